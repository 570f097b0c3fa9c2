//! What hostile members can write into a note that everybody edits: nothing of it may stop the others, and every
//! replica leaves out the same.

use automerge::Change as Parsed;
use fedp2p_crdt::gate::Refusal as Change;
use fedp2p_crdt::note::{For, Incoming, Note, NoteId, Refusal, Step, Writer, genesis, limits};
use fedp2p_protocols::id::{ConversationId, LogId, NodeId, OpId};
use proptest::prelude::*;

use crate::forge::{Forge, TextOp, chunk, hash, text_columns};

fn id() -> NoteId {
    NoteId { conversation: ConversationId::from_bytes([9; 16]), name: "plan".parse().unwrap() }
}

fn writer(n: u8) -> Writer {
    Writer { node: NodeId::from_bytes([n; 32]), log: LogId::from_bytes([n; 16]) }
}

fn incoming(n: u8, change: &[u8]) -> Incoming {
    // Whatever tells changes apart.
    let op = OpId::from_bytes(hash(&[&[0; 8], change].concat()));
    Incoming { op, writer: writer(n), agent: None, at: 1, change: change.into(), by: None }
}

/// Makes the text `after`, as the writer `n`, and returns the changes.
fn write(note: &mut Note, n: u8, after: &str) -> Vec<Vec<u8>> {
    let changes = note.write(writer(n), after, 1).unwrap();
    assert_eq!(note.add(changes.iter().map(|change| incoming(n, change))), []);
    changes
}

/// The actor of a change.
fn actor(change: &[u8]) -> Vec<u8> {
    Parsed::from_bytes(change.to_vec()).unwrap().actor_id().to_bytes().to_vec()
}

/// Makes the text `after` by one change whose actor comes after the first change's, as actors stand in their order.
fn write_one(note: &mut Note, n: u8, after: &str) -> Vec<u8> {
    let change = |second: u64| note.write(writer(n), after, second * 1000).unwrap().remove(0);
    let change = (1..).map(change).find(|change| actor(change) > genesis::ACTOR.to_vec()).unwrap();
    assert_eq!(note.add([incoming(n, &change)]), []);
    change
}

/// Gives a change the only actor that it may have.
fn named(mut forge: Forge, n: u8) -> Forge {
    let [before, after] = forge.around();
    forge.actor = id().actor(&writer(n), [&before, &after]).to_vec();
    forge
}

const OTHERS: &str = "operations other than inserting and deleting characters";

/// The text, as an operation refers to it.
const TEXT: (u64, u64) = (1, genesis::OPS);

fn insert(key: Option<(u64, u64)>, text: &str) -> TextOp {
    TextOp { object: TEXT, key, insert: true, action: 1, value: (6, text.as_bytes().to_vec()), pred: None }
}

fn delete(key: (u64, u64)) -> TextOp {
    TextOp { object: TEXT, key: Some(key), insert: false, action: 3, value: (0, Vec::new()), pred: Some(key) }
}

/// A note that says "hello", and a change of the writer 2 that puts "!" behind it.
fn victim() -> (Note, Forge) {
    let mut note = Note::new(id());
    let first = write_one(&mut note, 1, "hello");
    let mut forge = Forge::first([0; 16], &[]);
    forge.start_op = genesis::OPS + 6;
    forge.deps = vec![hash(&first)];
    forge.others = vec![genesis::ACTOR.to_vec(), actor(&first)];
    forge.columns = text_columns(&[insert(Some((2, 6)), "!")]);
    (note, named(forge, 2))
}

fn ops(ops: &[TextOp]) -> Forge {
    let (_, mut forge) = victim();
    forge.columns = text_columns(ops);
    named(forge, 2)
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
        named(forge, 2).bytes()
    };
    let only = |list: &[TextOp]| ops(list).bytes();
    let other = |action, value| only(&[TextOp { action, value, ..insert(Some((2, 6)), "x") }]);
    let mut flipped = good.bytes();
    flipped[5] ^= 1;
    let many = insert(Some((2, 6)), "x");
    let unsupported = |what| Refusal::Change(Change::Unsupported(what));
    let value = unsupported("values other than one character");
    let column = |specification, data| named(good.clone().column(specification, data), 2).bytes();
    let start = |expected, found| Refusal::Change(Change::StartOp { expected, found });
    let cases: Vec<(&str, Vec<u8>, Refusal)> = vec![
        ("another's actor", named(good.clone(), 1).bytes(), Change::WrongActor.into()),
        ("a second change of one actor", with(&|f| f.seq = 2), Change::Sequence { expected: 1, found: 2 }.into()),
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
        ("a key of a map", column(0x15, vec![0x7f, 1, b'a']), unsupported("maps")),
        ("marks", column(0x94, vec![1]), unsupported("marks")),
        ("an unknown column", column(0x99, vec![1]), Change::UnknownColumn(0x99).into()),
        ("another object", only(&[TextOp { object: (1, 2), ..many.clone() }]), Refusal::OtherObject(7)),
        ("an own object", only(&[TextOp { object: (0, 1), ..many.clone() }]), Refusal::OtherObject(7)),
        ("behind nothing", only(&[insert(Some((2, 7)), "x")]), Refusal::UnknownCharacter(7)),
        ("behind itself", only(&[insert(Some((0, 7)), "x")]), Refusal::UnknownCharacter(7)),
        ("behind what comes later", only(&[insert(Some((0, 8)), "x"), many.clone()]), Refusal::UnknownCharacter(7)),
        ("behind an actor out of range", only(&[insert(Some((9, 6)), "x")]), Refusal::UnknownCharacter(7)),
        ("behind the first change", only(&[insert(Some((1, 1)), "x")]), Refusal::UnknownCharacter(7)),
        ("deleting what is not there", only(&[delete((2, 9))]), Refusal::UnknownCharacter(7)),
        ("deleting a deletion", only(&[delete((2, 2)), delete((0, 7))]), Refusal::UnknownCharacter(8)),
        ("deleting something else", only(&[TextOp { pred: Some((2, 3)), ..delete((2, 2)) }]), unsupported(OTHERS)),
        ("deleting without a predecessor", only(&[TextOp { pred: None, ..delete((2, 2)) }]), unsupported(OTHERS)),
        ("overwriting", only(&[TextOp { insert: false, pred: Some((2, 6)), ..many.clone() }]), unsupported(OTHERS)),
        ("inserting over something", only(&[TextOp { pred: Some((2, 6)), ..many.clone() }]), unsupported(OTHERS)),
        ("two characters at once", only(&[insert(Some((2, 6)), "ab")]), value.clone()),
        ("no character", only(&[insert(Some((2, 6)), "")]), value.clone()),
        ("a number", other(1, (3, vec![1])), value.clone()),
        ("a counter", other(1, (8, vec![1])), value.clone()),
        ("a list", other(2, (0, Vec::new())), value.clone()),
        ("an increment", other(5, (4, vec![1])), value.clone()),
        ("no UTF-8", other(1, (6, vec![0xff])), value),
        ("too many at once", only(&vec![many; 4097]), Refusal::TooManyOps),
        ("runs without end", column(0x42, [vec![0xff; 9], vec![0x00, 1]].concat()), Refusal::TooManyOps),
        ("not canonical", column(0x42, vec![1, 1]), Change::NotCanonical.into()),
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
    let later = write_one(&mut note, 1, "hello world");
    // It follows "hello" only, and deletes the "w".
    let mut forge = ops(&[delete((2, 8))]);
    forge.others[1] = actor(&later);
    let forge = named(forge, 2);
    assert_eq!(note.add([incoming(2, &forge.bytes())])[0].1, Change::UnknownActor.into());
    let mut follows = forge;
    follows.deps = vec![hash(&later)];
    follows.start_op = 13;
    let follows = named(follows, 2);
    let mut note = Note::new(id());
    let first = write_one(&mut Note::new(id()), 1, "hello");
    note.add([incoming(1, &first), incoming(1, &later), incoming(2, &follows.bytes())]);
    assert_eq!(note.text(), "hello orld");
}

#[test]
fn a_log_that_has_written_all_that_it_may_stops_nobody_else() {
    let mut note = Note::new(id());
    let step = |text: &str| Step { at: 0, delete: 0, insert: text.to_owned() };
    let long = "x".repeat(4096);
    for _ in 0..limits::MAX_INSERTED / 4096 {
        let change = note.draft(writer(1), &step(&long), 1).unwrap();
        assert_eq!(note.add([incoming(1, &change)]), []);
    }
    assert!(note.draft(writer(1), &step("x"), 1).is_err());
    // What it writes all the same is refused, and everything that it writes later.
    let forged = Note::new(id());
    let over = forged.draft(writer(1), &step("y"), 1).unwrap();
    assert_eq!(note.add([incoming(1, &over)])[0].1, Refusal::NotNext);
    assert_eq!(note.add([incoming(1, &over)])[0].1, Refusal::NotNext);
    write(&mut note, 2, "clear");
    write(&mut note, 3, "clear again");
    assert_eq!(note.text(), "clear again");
}

#[test]
fn what_is_carried_on_counts_if_something_follows_it_or_its_node_brings_it() {
    let mut theirs = Note::new(id());
    let void = write(&mut theirs, 1, "void");
    let after = write(&mut theirs, 2, "void, and more");
    let carried = |by: u8| Incoming { by: Some(writer(by)), ..incoming(1, &void[0]) };
    let all = [carried(3), incoming(2, &after[0])];
    for order in [[0, 1], [1, 0]] {
        let mut note = Note::new(id());
        for at in order {
            assert_eq!(note.add([all[at].clone()]), []);
        }
        assert_eq!((note.text().as_str(), note.left_out()), ("void, and more", 0));
        assert_eq!(note.edits()[0].writer, writer(1));
    }
    let mut note = Note::new(id());
    assert_eq!(note.add([carried(3)]), []);
    assert_eq!(note.text(), "");
    let other = Writer { log: LogId::from_bytes([77; 16]), ..writer(1) };
    assert_eq!(note.add([Incoming { by: Some(other), ..incoming(1, &void[0]) }]), []);
    assert_eq!(note.text(), "void");
    // In nobody's name but its writer's.
    let forged = Incoming { by: Some(writer(3)), ..incoming(4, &void[0]) };
    assert_eq!(note.add([forged])[0].1, Change::WrongActor.into());
}

/// A node that finds out step by step where its log forked carries on what it wrote in any order, and both sides of it.
#[test]
fn what_a_node_carries_on_of_its_own_counts_in_any_order() {
    let mut theirs = Note::new(id());
    let first = write(&mut theirs, 1, "first");
    let second = write(&mut theirs, 1, "first, second");
    let other = write(&mut Note::new(id()), 1, "other ");
    let by = Some(Writer { log: LogId::from_bytes([77; 16]), ..writer(1) });
    let carried = |change: &[u8]| Incoming { by, ..incoming(1, change) };
    let all = [carried(&first[0]), carried(&second[0]), carried(&other[0])];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut note = Note::new(id());
        for at in order {
            assert_eq!(note.add([all[at].clone()]), [], "{order:?}");
        }
        assert_eq!((note.len(), note.left_out()), (3, 0), "{order:?}");
        assert!(note.text().contains("first, second") && note.text().contains("other "), "{}", note.text());
    }
    let mut note = Note::new(id());
    assert_eq!(note.add([all[1].clone()]), []);
    assert_eq!((note.len(), note.left_out()), (0, 1));
    let void = [incoming(1, &first[0])];
    assert_eq!(note.lacks(&void, For::Node(writer(1).node)), [0]);
    assert_eq!(note.lacks(&void, For::Node(writer(2).node)), [0; 0]);
    assert_eq!(note.lacks(&void, For::All), [0]);
}

/// What a log carries on of its own node is as much as it may write, and no more.
#[test]
fn a_log_carries_on_no_more_of_its_own_node_than_it_may_write() {
    let mut theirs = Note::new(id());
    let step = |text: &str| Step { at: 0, delete: 0, insert: text.to_owned() };
    let mut changes = Vec::new();
    for (log, count) in [(1, limits::MAX_INSERTED / 4096), (2, 1)] {
        let by = Writer { log: LogId::from_bytes([log; 16]), ..writer(1) };
        for _ in 0..count {
            let change = theirs.draft(by, &step(&"x".repeat(4096)), 1).unwrap();
            let one = Incoming { writer: by, ..incoming(1, &change) };
            assert_eq!(theirs.add([one.clone()]), []);
            changes.push(one);
        }
    }
    let by = Writer { log: LogId::from_bytes([77; 16]), ..writer(1) };
    let mut note = Note::new(id());
    let refused = note.add(changes.into_iter().map(|one| Incoming { by: Some(by), ..one }));
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].1, Refusal::Full);
    assert_eq!(note.len() as u64, limits::MAX_INSERTED / 4096);
}

#[test]
fn what_waits_for_something_counts_once_that_is_there() {
    let (note, forge) = victim();
    let first = note.text_after(&note.edits()[0].op).unwrap();
    assert_eq!(first, "hello");
    let base = write_one(&mut Note::new(id()), 1, "hello");
    let mut late = Note::new(id());
    assert_eq!(late.add([incoming(2, &forge.bytes())]), []);
    assert_eq!((late.text().as_str(), late.left_out()), ("", 1));
    assert_eq!(late.add([incoming(1, &base)]), []);
    assert_eq!((late.text().as_str(), late.left_out()), ("hello!", 0));
}

#[test]
fn whoever_builds_on_what_does_not_count_waits_with_it() {
    let (mut note, forge) = victim();
    let mut bad = forge.clone();
    bad.columns = text_columns(&[insert(Some((2, 99)), "x")]);
    let bad = named(bad, 2);
    let mut follower = forge.clone();
    follower.deps = vec![hash(&bad.bytes())];
    let follower = named(follower, 3);
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
    fn any_damage_is_refused_or_harmless(
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
        cut in any::<bool>(),
        named in any::<bool>(),
    ) {
        let (mut note, forge) = victim();
        let mut damaged = forge.contents();
        // One dependency, and the length of the actor.
        let (actor, after) = (34, 50);
        let at = if named { after + at.index(damaged.len() - after) } else { at.index(damaged.len()) };
        if cut { damaged.truncate(at) } else { damaged[at] ^= flip }
        if named {
            let right = id().actor(&writer(2), [&damaged[..actor - 1], &damaged[after..]]);
            damaged[actor..after].copy_from_slice(&right);
        }
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
