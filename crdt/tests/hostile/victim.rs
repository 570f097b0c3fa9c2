//! A document under attack, and what must hold after each attempt.

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{Automerge, Change};
use fedp2p_crdt::content::{Agent, Entry};
use fedp2p_crdt::document::{Document, DocumentId};
use fedp2p_crdt::gate::Refusal;
use fedp2p_crdt::genesis;
use fedp2p_protocols::id::{ConversationId, LogId, NodeId};
use fedp2p_protocols::pulse::AgentKind;

use crate::forge::{Forge, Op, hash};

/// The map `nodes`, as an operation refers to it that names the common actor.
pub(crate) const NODES: (u64, u64) = (1, genesis::OPS);
/// The attacker's own map, which its first change makes.
pub(crate) const OWN: (u64, u64) = (0, 2);

pub(crate) fn id() -> DocumentId {
    DocumentId {
        node: NodeId::from_bytes([7; 32]),
        log: LogId::from_bytes([8; 16]),
        conversation: ConversationId::from_bytes([9; 16]),
        epoch: 0,
    }
}

/// The key of the attacker's own map.
pub(crate) fn own_key() -> String {
    id().node.to_string()
}

/// The operations of the first change: the own map, a map in it, and two texts in that, counters 2 to 5.
pub(crate) fn opening() -> Vec<Op> {
    vec![Op::map(NODES, &own_key()), Op::map(OWN, "agents"), Op::put((0, 3), "x", "one"), Op::put((0, 3), "y", "two")]
}

/// A document in which the attacker has written its first change, and the forge for the second.
pub(crate) fn victim() -> (Document, Forge) {
    let mut document = Document::new(id());
    let first = Forge::first(id().actor(), &opening());
    document.admit(&first.bytes()).unwrap();
    let mut next = Forge::first(id().actor(), &[Op::put(OWN, "z", "three")]);
    next.seq = 2;
    next.start_op = 6;
    next.deps = vec![hash(&first.bytes())];
    (document, next)
}

/// Asserts that `bytes` are refused for this reason, leave no trace, and do not stop the document.
#[track_caller]
pub(crate) fn refused(document: &mut Document, bytes: &[u8], expected: &Refusal) {
    let before = (document.save().unwrap(), document.content().clone(), document.changes());
    assert_eq!(document.admit(bytes), Err(expected.clone()));
    assert_eq!(document.admit(bytes), Err(expected.clone()), "the second time");
    let after = (document.save().unwrap(), document.content().clone(), document.changes());
    assert_eq!(after, before);
    let mut usable = document.clone();
    let entry = Entry::Agent("after".parse().unwrap(), Agent { kind: AgentKind::Ai, said: None });
    let change = usable.write(&[entry.into()], 0).unwrap().unwrap();
    document.clone().admit(&change).unwrap();
}

/// What happens to a document without the gate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unguarded {
    Refused,
    Panics,
    NoLongerLoads,
    Fine,
}

/// Applies `bytes` to what `document` holds without any gate.
pub(crate) fn unguarded(document: &Document, bytes: &[u8]) -> Unguarded {
    unguarded_all(document, &[bytes])
}

/// Applies several changes to what `document` holds without any gate.
pub(crate) fn unguarded_all(document: &Document, changes: &[&[u8]]) -> Unguarded {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut plain = Automerge::new();
        let before = document.raw_changes();
        let before = before.iter().map(Vec::as_slice);
        let all = std::iter::once(&genesis::CHANGE[..]).chain(before).chain(changes.iter().copied());
        for bytes in all {
            let change = Change::try_from(bytes).map_err(|_| Unguarded::Refused)?;
            plain.apply_changes([change]).map_err(|_| Unguarded::Refused)?;
        }
        plain.save_and_verify().map_err(|_| Unguarded::NoLongerLoads)
    }));
    match outcome {
        Err(_) => Unguarded::Panics,
        Ok(Err(outcome)) => outcome,
        Ok(Ok(_)) => Unguarded::Fine,
    }
}
