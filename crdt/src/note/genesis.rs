//! The change that every note starts from.
//!
//! Two nodes that are cut off from each other may begin the same note, and their texts must be one text afterwards.
//! So the text is made by a change that all notes share. The bytes are part of the protocol and never change.

use std::sync::LazyLock;

use automerge::{Automerge, ChangeHash, ObjId, ROOT, ReadDoc};

use crate::genesis;

/// The actor that "wrote" the first change; no writer's actor can be equal to it, as those are hashes.
pub const ACTOR: [u8; 16] = *b"fedp2p/1 note   ";

/// The key of the text in the root.
pub const TEXT: &str = "text";

/// The number of operations in the first change.
pub const OPS: u64 = 1;

/// The first change: an uncompressed Automerge change that puts an empty text at [`TEXT`].
pub const CHANGE: [u8; 57] = [
    0x85, 0x6f, 0x4a, 0x83, 0xbb, 0x37, 0x1c, 0xb3, 0x01, 0x2f, 0x00, 0x10, 0x66, 0x65, 0x64, 0x70, 0x32, 0x70, 0x2f,
    0x31, 0x20, 0x6e, 0x6f, 0x74, 0x65, 0x20, 0x20, 0x20, 0x01, 0x01, 0x00, 0x00, 0x00, 0x05, 0x15, 0x06, 0x34, 0x01,
    0x42, 0x02, 0x56, 0x02, 0x70, 0x02, 0x7f, 0x04, 0x74, 0x65, 0x78, 0x74, 0x01, 0x7f, 0x04, 0x7f, 0x00, 0x7f, 0x00,
];

/// A note with only the first change, made once and cloned from then on.
static NOTE: LazyLock<(Automerge, ChangeHash, ObjId)> = LazyLock::new(|| {
    let (document, hash) = genesis::first(&CHANGE);
    let (_, text) = document.get(ROOT, TEXT).ok().flatten().expect("the constant makes a text");
    (document, hash, text)
});

/// Returns a note that holds the first change and nothing else.
pub(crate) fn document() -> Automerge {
    NOTE.0.clone()
}

/// Returns the hash of the first change.
pub(crate) fn hash() -> ChangeHash {
    NOTE.1
}

/// Returns the text, which is the same object in every note.
pub(crate) fn text() -> ObjId {
    NOTE.2.clone()
}

#[cfg(test)]
mod tests {
    use automerge::transaction::{CommitOptions, Transactable};
    use automerge::{ActorId, ObjType};

    use super::*;

    #[test]
    fn the_constant_is_what_automerge_makes() {
        let mut document = Automerge::new().with_actor(ActorId::from(ACTOR));
        let mut transaction = document.transaction();
        transaction.put_object(ROOT, TEXT, ObjType::Text).unwrap();
        transaction.commit_with(CommitOptions::default().with_time(0));
        let change = document.get_last_local_change().unwrap();
        assert_eq!(change.raw_bytes(), CHANGE);
        assert_eq!(change.len() as u64, OPS);
    }
}
