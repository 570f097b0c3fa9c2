//! Random edits: writer, replica and restored document agree, byte for byte, and so do all orders of merging.

use fedp2p_crdt::document::{Document, DocumentId, merged};
use fedp2p_crdt::picture::Picture;
use proptest::prelude::*;

use crate::edits::{edits, id, replica, reread};

/// Writes the edits in the given groups; what cannot be written is left out.
fn write(document: &mut Document, groups: &[Vec<fedp2p_crdt::content::Edit>]) -> Vec<Vec<u8>> {
    let mut changes = Vec::new();
    for group in groups {
        let before = document.content().clone();
        match document.write(group, 1_000) {
            Ok(change) => changes.extend(change),
            Err(_) => assert_eq!(document.content(), &before),
        }
    }
    changes
}

fn groups() -> impl Strategy<Value = Vec<Vec<fedp2p_crdt::content::Edit>>> {
    prop::collection::vec(prop::collection::vec(edits(), 1..4), 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn writer_replica_and_restored_document_say_the_same(groups in groups()) {
        let mut writer = Document::new(id(1));
        let changes = write(&mut writer, &groups);
        prop_assert_eq!(&writer.raw_changes(), &changes);
        let replica = replica(&writer);
        prop_assert_eq!(replica.content(), writer.content());
        prop_assert_eq!(&reread(&writer), writer.content());
        prop_assert_eq!(replica.save().unwrap(), writer.save().unwrap());
    }

    #[test]
    fn a_restated_document_says_the_same(groups in groups()) {
        let mut writer = Document::new(id(1));
        write(&mut writer, &groups);
        let next = DocumentId { epoch: 1, ..id(1) };
        let (restated, changes) = Document::restate(next, writer.content(), 2_000).unwrap();
        prop_assert_eq!(restated.content(), writer.content());
        prop_assert_eq!(restated.id(), next);
        prop_assert_eq!(&restated.raw_changes(), &changes);
        let replica = replica(&restated);
        prop_assert_eq!(replica.content(), writer.content());
        let (again, same) = Document::restate(next, writer.content(), 2_000).unwrap();
        prop_assert_eq!(same, changes);
        prop_assert_eq!(again.save().unwrap(), restated.save().unwrap());
    }

    #[test]
    fn writing_what_stands_there_changes_nothing(groups in groups()) {
        let mut writer = Document::new(id(1));
        write(&mut writer, &groups);
        let content = writer.content().clone();
        for entry in content.entries() {
            prop_assert_eq!(writer.write(&[entry.into()], 1).unwrap(), None);
        }
    }

    #[test]
    fn documents_merge_in_any_order_to_the_same_bytes(a in groups(), b in groups(), c in groups()) {
        let documents: Vec<Document> = (1..).zip([a, b, c]).map(|(number, groups)| {
            let mut document = Document::new(id(number));
            write(&mut document, &groups);
            document
        }).collect();
        let picture = |order: [usize; 3]| {
            Picture::of(order.map(|at| (documents[at].id().node, documents[at].content()))).digest()
        };
        let bytes = |order: [usize; 3]| merged(order.map(|at| &documents[at])).unwrap();
        for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            prop_assert_eq!(picture(order), picture([0, 1, 2]));
            prop_assert_eq!(bytes(order), bytes([0, 1, 2]));
        }
        prop_assert_eq!(merged([&documents[0], &documents[0]]).unwrap(), merged([&documents[0]]).unwrap());
    }
}
