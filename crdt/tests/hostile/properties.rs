//! Whatever bytes arrive: no panic, no trace of what was refused, and whatever was admitted can be saved, loads
//! again, and reads the same as a whole and piece by piece.

use fedp2p_crdt::document::Document;
use proptest::prelude::*;

use crate::forge::{Forge, Op, chunk, hash};
use crate::victim::{NODES, OWN, id, own_key, victim};

/// Lets `bytes` in or not and checks what must hold in either case.
fn check(document: &mut Document, bytes: &[u8]) -> Result<bool, TestCaseError> {
    let before = document.save().unwrap();
    match document.admit(bytes) {
        Err(_) => {
            prop_assert_eq!(document.save().unwrap(), before);
            Ok(false)
        }
        Ok(()) => {
            prop_assert!(document.save().is_ok(), "admitted, but does not load");
            let raw = document.raw_changes();
            prop_assert_eq!(raw.last().map(Vec::as_slice), Some(bytes));
            let restored = Document::restore(id(), raw.iter().map(Vec::as_slice)).unwrap();
            prop_assert_eq!(restored.content(), document.content());
            prop_assert_eq!(restored.save().unwrap(), document.save().unwrap());
            Ok(true)
        }
    }
}

/// A key that content knows, or nearly.
fn key() -> impl Strategy<Value = String> {
    let known = [
        "agents",
        "proposals",
        "ballots",
        "coder",
        "Coder",
        "kind",
        "at",
        "summary",
        "p",
        "by",
        "question",
        "options",
        "00",
        "01",
        "mechanism",
        "revision",
        "opened",
        "closed",
        "counted",
        "1",
        "01",
        "choice",
        "reason",
    ];
    let mut keys: Vec<String> = known.map(str::to_owned).to_vec();
    keys.push(own_key());
    keys.push(own_key().to_uppercase());
    prop::sample::select(keys)
}

fn value() -> impl Strategy<Value = (u64, Vec<u8>)> {
    let text = prop::sample::select(vec!["ai", "person", "poll", "coder", "a", ""]);
    prop_oneof![
        text.prop_map(|text| (6, text.as_bytes().to_vec())),
        (0u8..4).prop_map(|number| (3, vec![number])),
        Just((4, vec![1])),
        Just((0, vec![])),
        Just((6, vec![b'x'; 1025])),
    ]
}

/// What one operation of a random change is made of.
#[derive(Clone, Debug)]
struct Seed {
    object: prop::sample::Index,
    key: String,
    action: u64,
    value: (u64, Vec<u8>),
}

fn seed() -> impl Strategy<Value = Seed> {
    let action = prop_oneof![4 => Just(1u64), 4 => Just(0), 2 => Just(3)];
    (any::<prop::sample::Index>(), key(), action, value()).prop_map(|(object, key, action, value)| {
        let value = if action == 1 { value } else { (0, Vec::new()) };
        Seed { object, key, action, value }
    })
}

/// What stands at a key of a map: the last operation there, unless it is a deletion.
fn standing(history: &[Op], object: Option<(u64, u64)>, key: &str) -> Option<u64> {
    let last = (2..).zip(history).filter(|(_, op)| op.object == object && op.key == key).last();
    last.filter(|(_, op)| op.action != 3).map(|(counter, _)| counter)
}

/// Whether this operation put a map that still stands, as do those around it.
fn stands(history: &[Op], counter: u64) -> bool {
    let op = &history[counter as usize - 2];
    let around = op.object.is_some_and(|object| object == NODES || stands(history, object.1));
    op.action == 0 && standing(history, op.object, &op.key) == Some(counter) && around
}

/// Turns seeds into operations whose references exist, given all operations before them.
fn grow(history: &mut Vec<Op>, seeds: Vec<Seed>) -> Vec<Op> {
    let first = history.len();
    for seed in seeds {
        let maps: Vec<u64> = (2..).take(history.len()).filter(|&map| stands(history, map)).collect();
        if maps.is_empty() {
            break;
        }
        let object = (0, maps[seed.object.index(maps.len())]);
        let Seed { key, action, value, .. } = seed;
        let standing = standing(history, Some(object), &key).map(|counter| (0, counter));
        let preds = Vec::from_iter(standing);
        if action == 3 && preds.is_empty() {
            continue;
        }
        history.push(Op { object: Some(object), key, action, value, preds });
    }
    history[first..].to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn random_operations_on_what_exists_are_admitted_and_load(
        changes in prop::collection::vec(prop::collection::vec(seed(), 1..24), 1..6)
    ) {
        let mut document = Document::new(id());
        let mut history = vec![Op::map(NODES, &own_key())];
        let mut next = Forge::first(id().actor(), &history);
        prop_assert!(check(&mut document, &next.bytes())?);
        for seeds in changes {
            next.deps = vec![hash(&next.bytes())];
            next.seq += 1;
            next.start_op = history.len() as u64 + 2;
            let ops = grow(&mut history, seeds);
            if ops.is_empty() {
                break;
            }
            next.set_ops(&ops);
            // Only maps that are too deep are refused.
            if let Err(refusal) = document.clone().admit(&next.bytes()) {
                prop_assert!(matches!(refusal, fedp2p_crdt::gate::Refusal::TooDeep(_)), "{}", refusal);
                break;
            }
            prop_assert!(check(&mut document, &next.bytes())?);
        }
    }

    #[test]
    fn a_change_with_random_references_is_refused_or_loads(
        ops in prop::collection::vec((seed(), 0u64..3, 0u64..12, prop::collection::vec((0u64..2, 0u64..12), 0..3)), 1..6)
    ) {
        let (mut document, mut next) = victim();
        let ops: Vec<_> = ops
            .into_iter()
            .map(|(Seed { key, action, value, .. }, actor, counter, preds)| {
                Op { object: (actor < 2).then_some((actor, counter)), key, action, value, preds }
            })
            .collect();
        next.set_ops(&ops);
        check(&mut document, &next.bytes())?;
    }

    #[test]
    fn a_change_with_a_changed_byte_and_a_right_checksum_is_refused_or_loads(
        at in any::<prop::sample::Index>(), to in any::<u8>(), more in any::<bool>()
    ) {
        let (mut document, mut next) = victim();
        next.set_ops(&[Op::put((0, 3), "x", "new").over(&[4]), Op::map(OWN, "m"), Op::delete((0, 3), "y").over(&[5])]);
        let mut contents = next.contents();
        let at = at.index(contents.len());
        contents[at] = to;
        if more {
            contents.insert(at, to);
        }
        check(&mut document, &chunk(1, &contents))?;
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (mut document, _) = victim();
        prop_assert!(!check(&mut document, &bytes)?);
        prop_assert!(!check(&mut document, &chunk(1, &bytes))?);
    }

    #[test]
    fn random_columns_are_refused_or_load(
        columns in prop::collection::btree_map(
            prop::sample::select(vec![0x01u64, 0x02, 0x15, 0x34, 0x42, 0x56, 0x57, 0x70, 0x71, 0x73]),
            prop::collection::vec(any::<u8>(), 0..12),
            1..4,
        )
    ) {
        let (mut document, mut next) = victim();
        next.columns.extend(columns);
        check(&mut document, &next.bytes())?;
    }
}
