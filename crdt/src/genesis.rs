//! The change that every document starts from.
//!
//! Because all documents hold the same first change, the map `nodes` is one object in all of them, and their
//! changes merge into one document. The bytes are part of the protocol and never change.

use std::sync::LazyLock;

use automerge::{Automerge, Change, ChangeHash};

/// The actor that "wrote" the first change; no node's actor can be equal to it, as those are hashes.
pub const ACTOR: [u8; 16] = *b"fedp2p/1 genesis";

/// The key of the map in the root below which each node has its own.
pub const NODES: &str = "nodes";

/// The number of operations in the first change.
pub const OPS: u64 = 1;

/// The first change: an uncompressed Automerge change that puts an empty map at [`NODES`].
pub const CHANGE: [u8; 58] = [
    0x85, 0x6f, 0x4a, 0x83, 0xad, 0x9d, 0x76, 0x69, 0x01, 0x30, 0x00, 0x10, 0x66, 0x65, 0x64, 0x70, 0x32, 0x70, 0x2f,
    0x31, 0x20, 0x67, 0x65, 0x6e, 0x65, 0x73, 0x69, 0x73, 0x01, 0x01, 0x00, 0x00, 0x00, 0x05, 0x15, 0x07, 0x34, 0x01,
    0x42, 0x02, 0x56, 0x02, 0x70, 0x02, 0x7f, 0x05, 0x6e, 0x6f, 0x64, 0x65, 0x73, 0x01, 0x7f, 0x00, 0x7f, 0x00, 0x7f,
    0x00,
];

/// A document with only the first change, made once and cloned from then on.
static DOCUMENT: LazyLock<(Automerge, ChangeHash)> = LazyLock::new(|| first(&CHANGE));

/// Returns the document that holds the change with these bytes and nothing else, and the hash of the change.
pub(crate) fn first(bytes: &[u8]) -> (Automerge, ChangeHash) {
    let change = Change::from_bytes(bytes.to_vec()).expect("the constant is a change");
    let hash = change.hash();
    let mut document = Automerge::new();
    document.apply_changes([change]).expect("the constant applies to an empty document");
    (document, hash)
}

/// Returns a document that holds the first change and nothing else.
pub(crate) fn document() -> Automerge {
    DOCUMENT.0.clone()
}

/// Returns the hash of the first change.
pub(crate) fn hash() -> ChangeHash {
    DOCUMENT.1
}

#[cfg(test)]
mod tests {
    use automerge::transaction::{CommitOptions, Transactable};
    use automerge::{ActorId, ObjType, ROOT};

    use super::*;

    #[test]
    fn the_constant_is_what_automerge_makes() {
        let mut document = Automerge::new().with_actor(ActorId::from(ACTOR));
        let mut transaction = document.transaction();
        transaction.put_object(ROOT, NODES, ObjType::Map).unwrap();
        transaction.commit_with(CommitOptions::default().with_time(0));
        let change = document.get_last_local_change().unwrap();
        assert_eq!(change.raw_bytes(), CHANGE);
        assert_eq!(change.len() as u64, OPS);
    }
}
