//! A note that several write to, one of them by hand: the input is a little program of honest edits, and of changes that
//! are nearly right, which stand in a log or are carried on by another.

use fedp2p_crdt::note::{Incoming, Note, NoteId, Refusal, Writer, genesis};
use fedp2p_protocols::id::{ConversationId, LogId, NodeId, OpId};

use super::gate::{TAMPERINGS, tamper};
use super::wire::variant;
use crate::Input;
use crate::forge::{Forge, TextOp, hash, text_columns};

/// Most steps of one input.
const MOST_STEPS: usize = 10;
/// Who writes by hand.
const FORGER: u8 = 3;
/// Who carries on.
const CARRIER: u8 = 4;

fn id() -> NoteId {
    NoteId { conversation: ConversationId::from_bytes([9; 16]), name: "plan".parse().unwrap() }
}

fn writer(node: u8) -> Writer {
    Writer { node: NodeId::from_bytes([node; 32]), log: LogId::from_bytes([8; 16]) }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    // Two honest edits, and a change by hand that inserts twice and deletes.
    let begin = [0, 1, 0, 0, 2, b'a', b'b', 0, 2, 1, 1, 1, b'c'];
    let ops = [2, 1, 0, 1, b'x', 1, 1, 1, b'y', 0, 1, 1];
    let right = [&begin[..], &[1, 0], &ops, &[0]].concat();
    let mut seeds = vec![right.clone(), right.repeat(3)];
    for kind in 1..=2 {
        seeds.extend((0..TAMPERINGS).flat_map(|way| {
            [[way, 0x05, 1, 7], [way, 0x9f, 0, 3], [way, 0xc0, 2, 0x7f]]
                .map(|tampering| [&begin[..], &[kind, 0], &ops, &[1, way % 2], &tampering].concat())
        }));
    }
    // A run in each column that would expand to a million.
    seeds.extend((0..15).map(|column| [&begin[..], &[1, 0], &ops, &[1, 0, 11, column, 0x80 | 20, 0, 1]].concat()));
    // One right operation below a wrong checksum.
    seeds.push([&begin[..], &[1, 0, 0, 0x11, 0, 0, 0, 1, 1, 14, 0, 5, 1]].concat());
    seeds.push((0..=255).collect());
    seeds.push((0..=255).rev().collect());
    seeds
}

/// What was written so far.
#[derive(Default)]
struct Written {
    all: Vec<Incoming>,
    /// The hash, actor, first counter and number of operations of every change.
    known: Vec<(Vec<u8>, [u8; 32], u64, u64)>,
}

impl Written {
    fn push(&mut self, node: u8, by: Option<u8>, change: &[u8]) -> Incoming {
        let mut op = [0; 32];
        op[..8].copy_from_slice(&(self.all.len() as u64).to_be_bytes());
        let incoming = Incoming {
            op: OpId::from_bytes(op),
            writer: writer(node),
            agent: None,
            at: 1,
            change: change.into(),
            by: by.map(writer),
        };
        self.all.push(incoming.clone());
        incoming
    }

    /// An operation that is right, unless the input wants another.
    fn op(input: &mut Input<'_>, others: usize, genesis_at: u64) -> TextOp {
        let choice = input.byte();
        let other = input.below(others + 1) as u64;
        let counter = match input.byte() {
            0xf0.. => input.number(),
            place => u64::from(place) + genesis::OPS,
        };
        let character = Some((other, counter)).filter(|_| choice & 0x10 == 0);
        let object =
            if choice & 0x20 == 0 { (genesis_at, genesis::OPS) } else { (u64::from(choice & 3), input.number()) };
        if choice & 1 == 0 {
            return TextOp {
                object,
                key: character,
                insert: false,
                action: 3,
                value: (0, Vec::new()),
                pred: character,
            };
        }
        let value = if choice & 0x40 == 0 { vec![b'a' + input.byte() % 26] } else { input.short().to_vec() };
        let action = if choice & 0x80 == 0 { 1 } else { input.number() };
        TextOp { object, key: character, insert: true, action, value: (6, value), pred: None }
    }
}

/// Edits the note honestly.
fn edit(note: &mut Note, written: &mut Written, input: &mut Input<'_>) {
    let node = 1 + input.byte() % 2;
    let before: Vec<char> = note.text().chars().collect();
    let at = input.below(before.len() + 1);
    let end = (at + input.below(4)).min(before.len());
    let insert = String::from_utf8_lossy(input.short()).into_owned();
    let after: String =
        before[..at].iter().copied().chain(insert.chars()).chain(before[end..].iter().copied()).collect();
    for change in note.write(writer(node), &after, 1).unwrap() {
        let incoming = written.push(node, None, &change);
        assert_eq!(note.add([incoming]), []);
        remember(note, written, &change);
    }
    assert_eq!(note.text(), after);
}

/// Notes what a change by hand can refer to.
fn remember(note: &Note, written: &mut Written, change: &[u8]) {
    let leb = |bytes: &[u8]| {
        let length = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let value = bytes[..length].iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
        (length, value)
    };
    // Behind the magic number, the checksum and the kind.
    let contents = &change[9 + leb(&change[9..]).0..];
    let (length, deps) = leb(contents);
    let actor = &contents[length + 32 * usize::try_from(deps).unwrap() + 1..];
    let (_, start) = leb(&actor[17..]);
    let op = written.all.last().unwrap().op;
    let ops = note.edits().into_iter().find(|edit| edit.op == op).map_or(0, |edit| edit.inserted + edit.deleted);
    written.known.push((actor[..16].to_vec(), hash(change), start, u64::from(ops)));
}

/// Makes a change by hand.
fn forge(written: &Written, input: &mut Input<'_>) -> Vec<u8> {
    let mut others: Vec<Vec<u8>> = written.known.iter().map(|(actor, ..)| actor.clone()).collect();
    others.push(genesis::ACTOR.to_vec());
    others.sort();
    let genesis_at = others.iter().position(|other| *other == genesis::ACTOR).unwrap() as u64 + 1;
    let mut forge = Forge::first([0; 16], &[]);
    if let Some((_, last, start, ops)) = written.known.last() {
        (forge.deps, forge.start_op) = (vec![*last], start + ops);
    }
    let ops: Vec<TextOp> = (0..=input.below(4)).map(|_| Written::op(input, others.len(), genesis_at)).collect();
    forge.others = others;
    forge.columns = text_columns(&ops);
    let name = |forge: &mut Forge| {
        let [before, after] = forge.around();
        forge.actor = id().actor(&writer(FORGER), [&before, &after]).to_vec();
    };
    name(&mut forge);
    if input.byte().is_multiple_of(2) {
        return forge.bytes();
    }
    let again = input.byte().is_multiple_of(2);
    let bytes = tamper(&mut forge, input);
    if again && bytes == forge.bytes() && forge.actor.len() == 16 {
        name(&mut forge);
        return forge.bytes();
    }
    bytes
}

/// However a change was made: it counts everywhere or nowhere, in whatever order the logs come, and the others go on.
pub(super) fn run(bytes: &[u8]) -> String {
    let mut input = Input::new(bytes);
    let (mut note, mut written) = (Note::new(id()), Written::default());
    let mut label = "nothing".to_owned();
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        let kind = input.byte() % 3;
        if kind == 0 {
            edit(&mut note, &mut written, &mut input);
            continue;
        }
        let own = input.byte() % 4 == 3;
        let change = forge(&written, &mut input);
        let by = (kind == 2).then_some(if own { FORGER } else { CARRIER });
        let incoming = written.push(FORGER, by, &change);
        let (before, waiting) = (note.len(), note.left_out());
        label = match note.add([incoming]).as_slice() {
            [] if note.len() > before => "counts".to_owned(),
            [] if note.left_out() > waiting => "waits".to_owned(),
            [] => "carried".to_owned(),
            [(_, Refusal::Change(refusal)), ..] => variant(refusal),
            [(_, refusal), ..] => variant(refusal),
        };
    }
    // By logs, the last first; and all at once.
    let mut by_log = written.all.clone();
    by_log.sort_by_key(|incoming| std::cmp::Reverse(incoming.by.unwrap_or(incoming.writer)));
    for order in [by_log, written.all.clone()] {
        let mut again = Note::new(id());
        again.add(order);
        assert_eq!((again.text(), again.digest(), again.left_out()), (note.text(), note.digest(), note.left_out()));
        assert_eq!(again.edits(), note.edits());
    }
    let after = format!("{}and more", note.text());
    for change in note.write(writer(1), &after, 1).unwrap() {
        assert_eq!(note.add([written.push(1, None, &change)]), []);
    }
    assert_eq!(note.text(), after);
    label
}
