//! What hostile members can write into a note that everybody edits: nothing of it may stop the others, and every
//! replica leaves out the same.

use std::collections::BTreeMap;

use fedp2p_crdt::gate::Refusal as Change;
use fedp2p_crdt::note::{Incoming, Note, NoteId, Refusal, Writer, genesis, steps};
use fedp2p_protocols::id::{ConversationId, LogId, NodeId, OpId};
use proptest::prelude::*;

use crate::forge::{Forge, chunk, deltas, hash, runs, unsigned};

fn id() -> NoteId {
    NoteId { conversation: ConversationId::from_bytes([9; 16]), name: "plan".parse().unwrap() }
}

fn writer(n: u8) -> Writer {
    Writer { node: NodeId::from_bytes([n; 32]), log: LogId::from_bytes([n; 16]) }
}

fn incoming(n: u8, change: &[u8]) -> Incoming {
    // Whatever tells changes apart.
    let op = OpId::from_bytes(hash(&[&[0; 8], change].concat()));
    Incoming { op, writer: writer(n), agent: None, at: 1, change: change.into() }
}

/// Makes the text `after`, as the writer `n`, and returns the changes.
fn write(note: &mut Note, n: u8, after: &str) -> Vec<Vec<u8>> {
    let mut changes = Vec::new();
    for step in steps(&note.text(), after).unwrap() {
        let change = note.draft(writer(n), step.at, step.delete, &step.insert, 1).unwrap();
        assert_eq!(note.add([incoming(n, &change)]), []);
        changes.push(change);
    }
    changes
}

/// One operation on a text. References are (actor index, counter).
#[derive(Clone)]
struct Op {
    object: (u64, u64),
    key: Option<(u64, u64)>,
    insert: bool,
    action: u64,
    value: (u64, Vec<u8>),
    pred: Option<(u64, u64)>,
}

/// The text, as an operation refers to it.
const TEXT: (u64, u64) = (1, genesis::OPS);

fn insert(key: Option<(u64, u64)>, text: &str) -> Op {
    Op { object: TEXT, key, insert: true, action: 1, value: (6, text.as_bytes().to_vec()), pred: None }
}

fn delete(key: (u64, u64)) -> Op {
    Op { object: TEXT, key: Some(key), insert: false, action: 3, value: (0, Vec::new()), pred: Some(key) }
}

fn columns(ops: &[Op]) -> BTreeMap<u64, Vec<u8>> {
    let column = |values: Vec<Option<u64>>| runs(&values, |value| unsigned(*value));
    let mut inserts = Vec::new();
    let mut flag = false;
    for group in ops.chunk_by(|a, b| a.insert == b.insert) {
        if group[0].insert != flag {
            inserts.extend(unsigned(0));
        }
        inserts.extend(unsigned(group.len() as u64));
        flag = !group[0].insert;
    }
    let preds: Vec<(u64, u64)> = ops.iter().filter_map(|op| op.pred).collect();
    [
        (0x01, column(ops.iter().map(|op| Some(op.object.0)).collect())),
        (0x02, column(ops.iter().map(|op| Some(op.object.1)).collect())),
        (0x11, column(ops.iter().map(|op| op.key.map(|(actor, _)| actor)).collect())),
        (0x13, deltas(&ops.iter().map(|op| op.key.map_or(0, |(_, counter)| counter)).collect::<Vec<_>>())),
        (0x34, inserts),
        (0x42, column(ops.iter().map(|op| Some(op.action)).collect())),
        (0x56, column(ops.iter().map(|op| Some(((op.value.1.len() as u64) << 4) | op.value.0)).collect())),
        (0x57, ops.iter().flat_map(|op| op.value.1.clone()).collect()),
        (0x70, column(ops.iter().map(|op| Some(u64::from(op.pred.is_some()))).collect())),
        (0x71, column(preds.iter().map(|(actor, _)| Some(*actor)).collect())),
        (0x73, deltas(&preds.iter().map(|(_, counter)| *counter).collect::<Vec<_>>())),
    ]
    .into_iter()
    .filter(|(_, data)| !data.is_empty())
    .collect()
}

/// A note that says "hello", and a change of the writer 2 that puts "!" behind it.
fn victim() -> (Note, Forge) {
    let mut note = Note::new(id());
    let first = write(&mut note, 1, "hello");
    let mut forge = Forge::first(id().actor(&writer(2)), &[]);
    forge.start_op = genesis::OPS + 6;
    forge.deps = vec![hash(&first[0])];
    forge.others = vec![genesis::ACTOR.to_vec(), id().actor(&writer(1)).to_vec()];
    forge.columns = columns(&[insert(Some((2, 6)), "!")]);
    (note, forge)
}

fn ops(ops: &[Op]) -> Forge {
    let (_, mut forge) = victim();
    forge.columns = columns(ops);
    forge
}

#[test]
fn a_change_made_by_hand_counts_if_nothing_is_wrong_with_it() {
    let (mut note, forge) = victim();
    assert_eq!(note.add([incoming(2, &forge.bytes())]), []);
    assert_eq!(note.text(), "hello!");
    let (mut note, _) = victim();
    assert_eq!(
        note.add([incoming(2, &ops(&[insert(None, "¡"), delete((2, 2)), insert(Some((0, 7)), "h")]).bytes())]),
        []
    );
    assert_eq!(note.text(), "¡hello");
}

#[test]
fn what_breaks_a_rule_is_left_out_with_all_that_follows_and_stops_nobody_else() {
    let good = victim().1;
    let with = |change: &dyn Fn(&mut Forge)| {
        let mut forge = good.clone();
        change(&mut forge);
        forge.bytes()
    };
    let only = |list: &[Op]| ops(list).bytes();
    let other = |action, value| only(&[Op { action, value, ..insert(Some((2, 6)), "x") }]);
    let mut flipped = good.bytes();
    flipped[5] ^= 1;
    let many = insert(Some((2, 6)), "x");
    let unsupported = Refusal::Unsupported("operations other than inserting and deleting characters");
    let value = Refusal::Unsupported("values other than one character");
    let start = |expected, found| Refusal::Change(Change::StartOp { expected, found });
    let cases: Vec<(&str, Vec<u8>, Refusal)> = vec![
        ("another's actor", with(&|f| f.actor = id().actor(&writer(1)).to_vec()), Change::WrongActor.into()),
        ("a later number", with(&|f| f.seq = 2), Change::Sequence { expected: 1, found: 2 }.into()),
        ("counters that go back", with(&|f| f.start_op = 3), start(7, 3)),
        ("counters that leap", with(&|f| f.start_op = 99), start(7, 99)),
        ("counters that do not fit", with(&|f| f.start_op = u64::from(u32::MAX)), start(7, u64::from(u32::MAX))),
        ("nothing before it", with(&|f| f.deps.clear()), Refusal::NotNext),
        ("one thing before it twice", with(&|f| f.deps.push(f.deps[0])), Change::DuplicateDep.into()),
        ("a time before 1970", with(&|f| f.time = -1), Change::Time.into()),
        ("an actor that nobody knows", with(&|f| f.others[1] = vec![7; 16]), Change::UnknownActor.into()),
        ("an actor twice", with(&|f| f.others.push(f.others[1].clone())), Change::UnknownActor.into()),
        ("a wrong checksum", flipped, Change::Checksum.into()),
        ("bytes behind the end", with(&|f| f.extra = vec![0; 9]), Change::ExtraBytes.into()),
        ("a compressed chunk", with(&|f| f.kind = 2), Change::NotAChange(2).into()),
        ("a key of a map", good.clone().column(0x15, vec![0x7f, 1, b'a']).bytes(), Refusal::Unsupported("maps")),
        ("marks", good.clone().column(0x94, vec![1]).bytes(), Refusal::Unsupported("marks")),
        ("an unknown column", good.clone().column(0x99, vec![1]).bytes(), Change::UnknownColumn(0x99).into()),
        ("another object", only(&[Op { object: (1, 2), ..many.clone() }]), Refusal::OtherObject(7)),
        ("an own object", only(&[Op { object: (0, 1), ..many.clone() }]), Refusal::OtherObject(7)),
        ("behind nothing", only(&[insert(Some((2, 7)), "x")]), Refusal::UnknownCharacter(7)),
        ("behind itself", only(&[insert(Some((0, 7)), "x")]), Refusal::UnknownCharacter(7)),
        ("behind what comes later", only(&[insert(Some((0, 8)), "x"), many.clone()]), Refusal::UnknownCharacter(7)),
        ("behind an actor out of range", only(&[insert(Some((9, 6)), "x")]), Refusal::UnknownCharacter(7)),
        ("behind the first change", only(&[insert(Some((1, 1)), "x")]), Refusal::UnknownCharacter(7)),
        ("deleting what is not there", only(&[delete((2, 9))]), Refusal::UnknownCharacter(7)),
        ("deleting a deletion", only(&[delete((2, 2)), delete((0, 7))]), Refusal::UnknownCharacter(8)),
        ("deleting something else", only(&[Op { pred: Some((2, 3)), ..delete((2, 2)) }]), unsupported.clone()),
        ("deleting without a predecessor", only(&[Op { pred: None, ..delete((2, 2)) }]), unsupported.clone()),
        ("overwriting", only(&[Op { insert: false, pred: Some((2, 6)), ..many.clone() }]), unsupported.clone()),
        ("inserting over something", only(&[Op { pred: Some((2, 6)), ..many.clone() }]), unsupported),
        ("two characters at once", only(&[insert(Some((2, 6)), "ab")]), value.clone()),
        ("no character", only(&[insert(Some((2, 6)), "")]), value.clone()),
        ("a number", other(1, (3, vec![1])), value.clone()),
        ("a counter", other(1, (8, vec![1])), value.clone()),
        ("a list", other(2, (0, Vec::new())), value.clone()),
        ("an increment", other(5, (4, vec![1])), value.clone()),
        ("no UTF-8", other(1, (6, vec![0xff])), value),
        ("too many at once", only(&vec![many; 4097]), Refusal::TooManyOps),
        (
            "runs without end",
            good.clone().column(0x42, [vec![0xff; 9], vec![0x00, 1]].concat()).bytes(),
            Refusal::TooManyOps,
        ),
        ("not canonical", good.clone().column(0x42, vec![1, 1]).bytes(), Change::NotCanonical.into()),
        ("too large", vec![0; 48 * 1024 + 1], Change::TooLarge(48 * 1024 + 1).into()),
        ("nothing", Vec::new(), Change::NotAutomerge.into()),
    ];
    for (what, bytes, expected) in cases {
        let (mut note, _) = victim();
        let (text, digest) = (note.text(), note.digest());
        let refused = note.add([incoming(2, &bytes)]);
        assert_eq!(refused.iter().map(|(_, refusal)| refusal).collect::<Vec<_>>(), [&expected], "{what}");
        // Nothing more of this writer counts, even if nothing else were wrong with it.
        assert_eq!(note.add([incoming(2, &good.bytes())]).len(), 1, "{what}");
        assert_eq!((note.text(), note.digest(), note.left_out()), (text, digest, 2), "{what}");
        write(&mut note, 1, "hello, all");
        write(&mut note, 3, "hello, you all");
        assert_eq!(note.text(), "hello, you all", "{what}");
    }
}

#[test]
fn a_change_that_names_what_it_does_not_follow_is_refused_though_it_is_there() {
    let (mut note, _) = victim();
    let later = write(&mut note, 1, "hello world");
    // It follows "hello" only, and deletes the "w".
    let forge = ops(&[delete((2, 8))]);
    assert_eq!(note.add([incoming(2, &forge.bytes())])[0].1, Refusal::UnknownCharacter(7));
    let mut follows = forge;
    follows.deps = vec![hash(&later[0])];
    follows.start_op = 13;
    let mut note = Note::new(id());
    let first = write(&mut Note::new(id()), 1, "hello");
    note.add([incoming(1, &first[0]), incoming(1, &later[0]), incoming(2, &follows.bytes())]);
    assert_eq!(note.text(), "hello orld");
}

#[test]
fn what_waits_for_something_counts_once_that_is_there() {
    let (note, forge) = victim();
    let first = note.text_after(&note.edits()[0].op).unwrap();
    assert_eq!(first, "hello");
    let base = write(&mut Note::new(id()), 1, "hello");
    let mut late = Note::new(id());
    assert_eq!(late.add([incoming(2, &forge.bytes())]), []);
    assert_eq!((late.text().as_str(), late.left_out()), ("", 1));
    assert_eq!(late.add([incoming(1, &base[0])]), []);
    assert_eq!((late.text().as_str(), late.left_out()), ("hello!", 0));
}

#[test]
fn whoever_builds_on_what_does_not_count_waits_with_it() {
    let (mut note, forge) = victim();
    let mut bad = forge.clone();
    bad.columns = columns(&[insert(Some((2, 99)), "x")]);
    let mut follower = forge.clone();
    follower.actor = id().actor(&writer(3)).to_vec();
    follower.deps = vec![hash(&bad.bytes())];
    note.add([incoming(2, &bad.bytes()), incoming(3, &follower.bytes())]);
    assert_eq!((note.text().as_str(), note.left_out()), ("hello", 2));
}

/// What one of the writers does: at which place of the text, how much it deletes, and what it puts there; and whether
/// it sees what the others did by then.
type Doing = (u8, usize, usize, String, bool);

fn doings() -> impl Strategy<Value = Vec<Doing>> {
    let doing = (0u8..4, any::<usize>(), 0usize..4, "[a-c\n]{0,5}|[ü…🦀]", any::<bool>());
    prop::collection::vec(doing, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_order_of_arrival_gives_the_same_note(doings in doings(), order in any::<prop::sample::Index>()) {
        let mut replicas: Vec<Note> = (0..4).map(|_| Note::new(id())).collect();
        let mut all: Vec<Incoming> = Vec::new();
        let mut seen = [0usize; 4];
        for (n, at, delete, text, meets) in doings {
            let me = usize::from(n);
            if meets {
                let news: Vec<Incoming> = all[seen[me]..].iter().filter(|c| c.writer != writer(n)).cloned().collect();
                prop_assert_eq!(replicas[me].add(news), []);
                seen[me] = all.len();
            }
            let before: Vec<char> = replicas[me].text().chars().collect();
            let at = at % (before.len() + 1);
            let end = (at + delete).min(before.len());
            let after: String = before[..at].iter().chain(text.chars().collect::<Vec<_>>().iter()).chain(&before[end..]).collect();
            for change in write(&mut replicas[me], n, &after) {
                all.push(incoming(n, &change));
            }
            prop_assert_eq!(replicas[me].text(), after);
        }
        let mut whole = Note::new(id());
        prop_assert_eq!(whole.add(all.clone()), []);
        // Each writer's changes stay in order; the writers come in another.
        let mut by_writer: Vec<Incoming> = all.clone();
        let first = order.index(4) as u8;
        by_writer.sort_by_key(|change| (change.writer != writer(first), change.writer));
        let mut again = Note::new(id());
        for change in by_writer {
            prop_assert_eq!(again.add([change]), []);
        }
        prop_assert_eq!((again.text(), again.digest(), again.left_out()), (whole.text(), whole.digest(), 0));
        prop_assert_eq!(again.edits(), whole.edits());
    }

    #[test]
    fn any_damage_is_refused_or_harmless(at in any::<prop::sample::Index>(), flip in 1u8.., cut in any::<bool>()) {
        let (mut note, forge) = victim();
        let contents = forge.contents();
        let mut damaged = contents.clone();
        let at = at.index(damaged.len());
        if cut { damaged.truncate(at) } else { damaged[at] ^= flip }
        let bytes = chunk(1, &damaged);
        let refused = note.add([incoming(2, &bytes)]);
        if refused.is_empty() && note.left_out() == 0 {
            // It counts, so it counts for everybody, and the note goes on.
            prop_assert_eq!(note.edits().len(), 2);
        } else {
            prop_assert_eq!(note.text(), "hello");
        }
        let text = note.text();
        write(&mut note, 1, &format!("{text} and more"));
        prop_assert_eq!(note.text(), format!("{text} and more"));
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (mut note, _) = victim();
        prop_assert_eq!(note.add([incoming(2, &bytes), incoming(2, &chunk(1, &bytes))]).len(), 2);
        prop_assert_eq!(note.text(), "hello");
    }
}
