//! The admission gate, with changes that are nearly right: the input is a little program that writes operations and
//! then tampers with the change that holds them.

use std::sync::LazyLock;

use fedp2p_crdt::content::{Agent, Entry};
use fedp2p_crdt::document::{Document, DocumentId, merged};
use fedp2p_crdt::genesis;
use fedp2p_protocols::id::{ConversationId, LogId, NodeId};
use fedp2p_protocols::pulse::AgentKind;

use super::wire::variant;
use crate::Input;
use crate::forge::{Forge, Op, chunk, hash, signed};

/// Most changes that one input writes.
const MOST_CHANGES: usize = 8;
const COLUMNS: [u64; 15] = [0x01, 0x02, 0x11, 0x13, 0x15, 0x34, 0x42, 0x4a, 0x56, 0x57, 0x70, 0x71, 0x73, 0x94, 0xa5];
const KEYS: [&str; 16] = [
    "agents",
    "proposals",
    "ballots",
    "coder",
    "kind",
    "said",
    "at",
    "pulse",
    "summary",
    "p",
    "closed",
    "counted",
    "00",
    "1",
    "x",
    "",
];

fn id(node: u8) -> DocumentId {
    DocumentId {
        node: NodeId::from_bytes([node; 32]),
        log: LogId::from_bytes([8; 16]),
        conversation: ConversationId::from_bytes([9; 16]),
        epoch: 1,
    }
}

/// What somebody else says, who has nothing to do with it.
static HONEST: LazyLock<Document> = LazyLock::new(|| {
    let mut document = Document::new(id(2));
    let entry = Entry::Agent("honest".parse().unwrap(), Agent { kind: AgentKind::Person, said: None });
    document.write(&[entry.into()], 1_000).unwrap();
    document
});

pub(super) fn seeds() -> Vec<Vec<u8>> {
    // Three honest operations and then each way to tamper, with a few numbers.
    let ops = [2, 0, 0, 0, 0, 1, 4, 2, 1, 3, 1];
    let ways = (0..TAMPERINGS).flat_map(|way| {
        [[way, 0x05, 1, 7], [way, 0x9f, 0, 3], [way, 0xc0, 2, 0x7f]]
            .map(|tampering| [&ops[..], &[1], &tampering].concat())
    });
    let mut seeds: Vec<Vec<u8>> = ways.collect();
    // A run in each column that would expand to a million.
    let runs = 0..COLUMNS.len() as u8;
    seeds.extend(runs.map(|column| [&ops[..], &[1, 11, column, 0x80 | 20, 0, 1]].concat()));
    seeds.push([&ops[..], &[0]].concat().repeat(6));
    // A key in the root.
    seeds.push(vec![0, 0xf0, 0, 0, 0, 0, 0]);
    seeds.push((0..=255).collect());
    seeds.push((0..=255).rev().collect());
    seeds
}

struct Attempt {
    /// Every operation that was admitted; the first has the counter 2.
    history: Vec<Op>,
    next: Forge,
}

impl Attempt {
    fn standing(&self, more: &[Op], op: &Op) -> Option<u64> {
        let all = (2..).zip(self.history.iter().chain(more));
        let last = all.filter(|(_, before)| before.object == op.object && before.key == op.key).last();
        last.filter(|(_, before)| before.action != 3).map(|(counter, _)| counter)
    }

    /// Writes an operation that is right, unless the input wants another map or other predecessors.
    fn op(&self, input: &mut Input<'_>, more: &[Op]) -> Op {
        let all = (2..).zip(self.history.iter().chain(more));
        let maps: Vec<u64> = all.filter(|(_, op)| op.action == 0).map(|(counter, _)| counter).collect();
        let object = match input.byte() {
            0xf0..=0xf7 => (u64::from(input.byte() % 3), input.number()),
            0xf8 => (1, 1),
            choice => (0, maps[usize::from(choice) % maps.len()]),
        };
        let key = KEYS[input.below(KEYS.len())];
        let choice = input.byte();
        let mut op = match choice % 8 {
            0 | 1 => Op::map(object, key),
            2 | 3 => Op::put(object, key, KEYS[input.below(KEYS.len())]),
            4 => Op { value: (3, vec![input.byte()]), ..Op::put(object, key, "") },
            5 => Op::delete(object, key),
            6 => Op { value: (u64::from(input.byte() & 0x0f), input.short().to_vec()), ..Op::put(object, key, "") },
            _ => Op { action: input.number(), ..Op::put(object, key, "") },
        };
        if object == (0, 0) {
            op.object = None;
        }
        op.preds = match choice >> 5 {
            7 => (0..input.below(4)).map(|_| (u64::from(input.byte() % 2), input.number())).collect(),
            _ => self.standing(more, &op).map(|counter| (0, counter)).into_iter().collect(),
        };
        op
    }
}

/// How many ways to tamper there are.
pub(super) const TAMPERINGS: u8 = 16;

/// Makes the bytes of a change, wrong in the way that the input wants.
pub(super) fn tamper(forge: &mut Forge, input: &mut Input<'_>) -> Vec<u8> {
    match input.byte() % TAMPERINGS {
        0 => forge.seq = input.number(),
        1 => forge.start_op = input.number(),
        2 => forge.deps.push(forge.deps[0]),
        3 => forge.deps = (0..input.below(20)).map(|dep| [dep as u8; 32]).collect(),
        4 => forge.actor = input.short().to_vec(),
        5 => forge.others.push(input.short().to_vec()),
        6 => forge.others = vec![genesis::ACTOR.to_vec(); input.below(70)],
        7 => forge.message = input.short().to_vec(),
        8 => forge.time = input.number() as i64,
        9 => {
            let column = COLUMNS[input.below(COLUMNS.len())];
            forge.columns.insert(column, input.short().to_vec());
        }
        10 => drop(forge.columns.remove(&COLUMNS[input.below(COLUMNS.len())])),
        11 => {
            let column = COLUMNS[input.below(COLUMNS.len())];
            let run = [signed(input.number() as i64), vec![input.byte()]].concat();
            forge.columns.entry(column).or_default().extend(run);
        }
        12 => {
            if let Some(data) = forge.columns.get_mut(&COLUMNS[input.below(COLUMNS.len())]) {
                let at = input.below(data.len());
                let (byte, insert) = (input.byte(), input.byte() % 2 == 1);
                match data.get_mut(at) {
                    Some(_) if insert => data.insert(at, byte),
                    Some(old) => *old = byte,
                    None => data.push(byte),
                }
            }
        }
        13 => forge.extra = input.short().to_vec(),
        14 => {
            let mut bytes = forge.bytes();
            let at = (usize::from(input.byte()) << 8 | usize::from(input.byte())) % bytes.len();
            bytes[at] ^= input.byte();
            return bytes;
        }
        _ => {
            let mut contents = forge.contents();
            let at = (usize::from(input.byte()) << 8 | usize::from(input.byte())) % contents.len();
            contents[at] = input.byte();
            return chunk(1, &contents);
        }
    }
    forge.bytes()
}

/// However a change was made: it is refused without a trace, or the document saves, loads and reads the same made
/// again; and whoever else wrote is as before.
pub(super) fn run(bytes: &[u8]) -> String {
    let mut input = Input::new(bytes);
    let mut document = Document::new(id(1));
    let history = vec![Op::map((1, 1), &id(1).node.to_string())];
    let mut attempt = Attempt { next: Forge::first(id(1).actor(), &history), history };
    document.admit(&attempt.next.bytes()).unwrap();
    let mut label = "admitted".to_owned();
    for _ in 0..MOST_CHANGES {
        if input.is_empty() {
            break;
        }
        let mut ops = Vec::new();
        for _ in 0..=input.below(8) {
            ops.push(attempt.op(&mut input, &ops));
        }
        let mut forge = attempt.next.clone();
        forge.deps = vec![hash(document.raw_changes().last().unwrap())];
        forge.seq = document.changes() + 1;
        forge.start_op = attempt.history.len() as u64 + 2;
        forge.set_ops(&ops);
        let tampered = input.below(3) == 1;
        let change = if tampered { tamper(&mut forge, &mut input) } else { forge.bytes() };
        let before = (document.content().clone(), document.changes(), document.save().unwrap());
        match document.admit(&change) {
            Err(refusal) => {
                assert_eq!((document.content(), document.changes()), (&before.0, before.1));
                assert_eq!(document.save().unwrap(), before.2, "{refusal}");
                label = variant(&refusal);
            }
            Ok(()) => {
                document.save().unwrap();
                attempt.history.extend(ops);
                if tampered {
                    break;
                }
            }
        }
    }
    let raw = document.raw_changes();
    let again = Document::restore(id(1), raw.iter().map(Vec::as_slice)).unwrap();
    assert_eq!(again.content(), document.content());
    assert_eq!(again.save().unwrap(), document.save().unwrap());
    let honest = HONEST.content().clone();
    merged([&document, &HONEST]).unwrap();
    assert_eq!(HONEST.content(), &honest);
    label
}
