//! The known attacks, A1 to A16 by their numbers in the review of Automerge 0.12.
//!
//! Where it is cheap, a test also shows what the bytes do to Automerge without the gate. Should an update of
//! Automerge make such an assertion fail, the check behind it has become a second line of defence.

use fedp2p_crdt::document::{Document, DocumentId};
use fedp2p_crdt::gate::Refusal;

use crate::forge::{Forge, Op, chunk, hash, signed, unsigned};
use crate::victim::{OWN, Unguarded, id, refused, unguarded, unguarded_all, victim};

#[test]
fn control_a_canonical_change_by_hand_is_admitted() {
    let (mut document, next) = victim();
    assert_eq!(unguarded(&document, &next.bytes()), Unguarded::Fine);
    document.admit(&next.bytes()).unwrap();
    assert_eq!(document.changes(), 2);
    assert_eq!(document.raw_changes()[1], next.bytes());
}

#[test]
fn a1_a_sequence_number_from_nowhere_is_refused() {
    let (mut document, mut next) = victim();
    next.seq = 7;
    refused(&mut document, &next.bytes(), &Refusal::Sequence { expected: 2, found: 7 });
    next.deps.clear();
    refused(&mut document, &next.bytes(), &Refusal::NotNext);
    next.actor = vec![1; 16];
    next.start_op = 1;
    assert_eq!(unguarded(&document, &next.bytes()), Unguarded::Panics);
}

#[test]
fn a2_another_actor_that_nobody_knows_is_refused() {
    let (mut document, mut next) = victim();
    next.others = vec![vec![7; 16]];
    refused(&mut document, &next.bytes(), &Refusal::UnknownActor);
    assert_eq!(unguarded(&document, &next.bytes()), Unguarded::Panics);
}

#[test]
fn a3_an_operation_on_a_map_that_does_not_exist_is_refused() {
    let (mut document, mut next) = victim();
    // The future, a scalar, and itself.
    for counter in [77, 4, 6] {
        next.set_ops(&[Op::put((0, counter), "z", "three")]);
        refused(&mut document, &next.bytes(), &Refusal::UnknownObject(6));
    }
    next.set_ops(&[Op::put((0, 77), "z", "three")]);
    assert_eq!(unguarded(&document, &next.bytes()), Unguarded::Panics);
}

#[test]
fn a4_a_map_of_an_actor_out_of_range_is_refused() {
    let (mut document, mut next) = victim();
    for actor in [1, 5, u64::MAX] {
        next.set_ops(&[Op::put((actor, 2), "z", "three")]);
        next.others.clear();
        refused(&mut document, &next.bytes(), &Refusal::UnknownObject(6));
    }
    next.set_ops(&[Op::put((5, 2), "z", "three")]);
    next.others.clear();
    assert_eq!(unguarded(&document, &next.bytes()), Unguarded::Panics);
}

#[test]
fn a5_counters_near_the_end_of_32_bits_are_refused() {
    let (mut document, mut next) = victim();
    for start_op in [u64::from(u32::MAX), 1 << 31, u64::MAX] {
        next.start_op = start_op;
        refused(&mut document, &next.bytes(), &Refusal::CounterTooHigh);
    }
}

#[test]
fn a6_a_first_operation_that_is_not_the_next_is_refused() {
    let (mut document, mut next) = victim();
    for found in [0, 1, 5, 7, 16] {
        next.start_op = found;
        refused(&mut document, &next.bytes(), &Refusal::StartOp { expected: 6, found });
    }
    next.start_op = 1;
    assert_ne!(unguarded(&document, &next.bytes()), Unguarded::Fine);
}

#[test]
fn a7_a_run_of_one_is_refused_as_not_canonical() {
    let (mut document, next) = victim();
    let run_of_one = next.column(0x42, vec![1, 1]);
    refused(&mut document, &run_of_one.bytes(), &Refusal::NotCanonical);
    assert_eq!(unguarded(&document, &run_of_one.bytes()), Unguarded::NoLongerLoads);
}

#[test]
fn a8_a_predecessor_that_is_not_there_is_refused() {
    let (mut document, mut next) = victim();
    let at_x = |text: &str| Op::put((0, 3), "x", text);
    // The future, itself, the other key, a map elsewhere; x is 4.
    for preds in [&[55][..], &[6], &[5], &[3], &[4, 5], &[4, 4], &[0]] {
        next.set_ops(&[at_x("new").over(preds)]);
        refused(&mut document, &next.bytes(), &Refusal::Predecessor(6));
    }
    next.set_ops(&[at_x("new").over(&[55])]);
    assert_eq!(unguarded(&document, &next.bytes()), Unguarded::NoLongerLoads);
    next.set_ops(&[at_x("new").over(&[4])]);
    document.admit(&next.bytes()).unwrap();
}

#[test]
fn a8_a_deletion_is_no_predecessor_and_needs_one() {
    let (mut document, mut next) = victim();
    let delete = Op::delete((0, 3), "x");
    next.set_ops(std::slice::from_ref(&delete));
    refused(&mut document, &next.bytes(), &Refusal::Predecessor(6));
    assert_ne!(unguarded(&document, &next.bytes()), Unguarded::Fine);
    next.set_ops(&[delete.over(&[4]), Op::put((0, 3), "x", "again").over(&[6])]);
    refused(&mut document, &next.bytes(), &Refusal::Predecessor(7));
    assert_ne!(unguarded(&document, &next.bytes()), Unguarded::Fine);
}

#[test]
fn a9_a_change_under_the_name_of_another_is_refused() {
    let (mut document, mut next) = victim();
    let others = [
        DocumentId { epoch: 1, ..id() }.actor(),
        DocumentId { node: fedp2p_protocols::id::NodeId::from_bytes([1; 32]), ..id() }.actor(),
        fedp2p_crdt::genesis::ACTOR,
        [0; 16],
    ];
    for actor in others {
        next.actor = actor.to_vec();
        refused(&mut document, &next.bytes(), &Refusal::WrongActor);
    }
    next.actor.clear();
    refused(&mut document, &next.bytes(), &Refusal::WrongActor);
}

#[test]
fn a10_a_second_change_with_the_same_number_is_refused() {
    let (mut document, next) = victim();
    document.admit(&next.bytes()).unwrap();
    let mut fork = next.clone();
    fork.set_ops(&[Op::put(OWN, "z", "something else")]);
    refused(&mut document, &fork.bytes(), &Refusal::NotNext);
    refused(&mut document, &next.bytes(), &Refusal::NotNext);
    fork.deps = vec![hash(&next.bytes())];
    refused(&mut document, &fork.bytes(), &Refusal::Sequence { expected: 3, found: 2 });
}

#[test]
fn a11_compressed_chunks_columns_and_padding_are_refused() {
    let (mut document, next) = victim();
    let compressed = Forge { kind: 2, ..next.clone() };
    refused(&mut document, &compressed.bytes(), &Refusal::NotAChange(2));
    let deflated = next.clone().column(0x42 | 0x08, vec![1]);
    refused(&mut document, &deflated.bytes(), &Refusal::UnknownColumn(0x4a));
    let padded = Forge { extra: vec![0; 40], ..next.clone() };
    refused(&mut document, &padded.bytes(), &Refusal::ExtraBytes);
    // The footer that names an author is extra as well.
    let author = Forge { extra: vec![1, 2, b'm', b'e'], ..next };
    refused(&mut document, &author.bytes(), &Refusal::ExtraBytes);
}

#[test]
fn a12_run_lengths_that_expand_to_too_many_operations_are_refused() {
    let (mut document, next) = victim();
    for count in [513, 1_000_000, 10_000_000, i64::MAX] {
        let run = |value: &[u8]| [signed(count), value.to_vec()].concat();
        let bomb = next
            .clone()
            .column(0x15, run(&[1, b'a']))
            .column(0x34, unsigned(count.unsigned_abs()))
            .column(0x42, run(&[1]))
            .column(0x56, run(&[0]))
            .column(0x70, run(&[0]));
        refused(&mut document, &bomb.bytes(), &Refusal::TooManyOps);
    }
    // Two runs whose sum does not fit in 64 bits, and a stretch of nulls.
    for bomb in [
        [signed(i64::MAX), vec![1], signed(i64::MAX), vec![1]].concat(),
        [signed(1), vec![1], signed(0), unsigned(u64::MAX)].concat(),
        signed(i64::MIN),
    ] {
        refused(&mut document, &next.clone().column(0x42, bomb).bytes(), &Refusal::TooManyOps);
    }
    // One column alone is long.
    for specification in [0x01, 0x02, 0x56, 0x70] {
        let bomb = next.clone().column(specification, [signed(1 << 40), vec![1]].concat());
        refused(&mut document, &bomb.bytes(), &Refusal::TooManyOps);
    }
}

#[test]
fn a13_run_lengths_that_expand_to_too_many_predecessors_are_refused() {
    let (mut document, next) = victim();
    for count in [513, 10_000_000, u64::MAX] {
        let bomb = next
            .clone()
            .column(0x70, [signed(-1), unsigned(count)].concat())
            .column(0x71, [signed(count as i64 >> 1), vec![0]].concat())
            .column(0x73, [signed(count as i64 >> 1), vec![1]].concat());
        refused(&mut document, &bomb.bytes(), &Refusal::TooManyPreds);
    }
    // The count is honest and small, the columns are not.
    for specification in [0x71, 0x73] {
        let bomb = next.clone().column(specification, [signed(i64::MAX), vec![0]].concat());
        refused(&mut document, &bomb.bytes(), &Refusal::TooManyPreds);
    }
    // Two operations whose counts only overflow together.
    let ops = [Op::put(OWN, "a", ""), Op::put(OWN, "b", "")];
    let mut overflow = next;
    overflow.set_ops(&ops);
    let overflow = overflow.column(0x70, [signed(2), unsigned(u64::MAX)].concat());
    refused(&mut document, &overflow.bytes(), &Refusal::TooManyPreds);
}

/// A14 is a Bloom filter with no bits for an entry, A15 one with 50 million probes; both are sync messages.
#[test]
fn a14_a15_sync_messages_have_no_way_in() {
    let (mut document, _) = victim();
    for (entries, bits, probes) in [(1, 0, 7), (1, 10, 50_000_000)] {
        let filter = [unsigned(entries), unsigned(bits), unsigned(probes), vec![0xff; 2]].concat();
        let message = [vec![0x42, 0, 0, 1, 0], unsigned(filter.len() as u64), filter, vec![0]].concat();
        refused(&mut document, &message, &Refusal::NotAutomerge);
        refused(&mut document, &chunk(0x42, &message), &Refusal::NotAChange(0x42));
    }
    // No code of ours can read one.
    let folders = [concat!(env!("CARGO_MANIFEST_DIR"), "/src"), concat!(env!("CARGO_MANIFEST_DIR"), "/src/note")];
    let files = folders.into_iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let files = files.map(|file| file.unwrap().path()).filter(|path| path.is_file());
    let sources: Vec<String> = files.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert!(sources.iter().any(|source| source.contains("use automerge::")));
    for name in ["automerge::sync", "receive_sync_message", "load_incremental"] {
        assert!(!sources.iter().any(|source| source.contains(name)), "{name}");
    }
}

#[test]
fn a16_changes_with_unknown_dependencies_leave_nothing_behind() {
    let (mut document, mut next) = victim();
    let before = document.save().unwrap();
    for number in 0..2_000u64 {
        next.deps = vec![*blake3::hash(&number.to_le_bytes()).as_bytes()];
        assert_eq!(document.admit(&next.bytes()), Err(Refusal::NotNext));
    }
    assert_eq!(document.save().unwrap(), before);
    refused(&mut document, &next.bytes(), &Refusal::NotNext);
}

#[test]
fn times_whose_difference_automerge_cannot_store_are_refused() {
    let (mut document, mut next) = victim();
    for time in [-1, 1 << 53, i64::MAX, i64::MIN] {
        next.time = time;
        refused(&mut document, &next.bytes(), &Refusal::Time);
    }
    let early = Forge { time: i64::MIN, ..next.clone() };
    let mut late = Forge { time: i64::MAX, seq: 3, start_op: 7, ..next };
    late.deps = vec![hash(&early.bytes())];
    let outcome = unguarded_all(&document, &[&early.bytes(), &late.bytes()]);
    assert_ne!(outcome, Unguarded::Fine);
}

#[test]
fn attacks_on_an_empty_document_are_refused_too() {
    let mut document = Document::new(id());
    let mut forge = Forge::first(id().actor(), &[Op::put((0, 1), "x", "mine")]);
    refused(&mut document, &forge.bytes(), &Refusal::UnknownObject(2));
    forge.set_ops(&[Op::put((0, 2), "x", "in myself")]);
    refused(&mut document, &forge.bytes(), &Refusal::UnknownObject(2));
}
