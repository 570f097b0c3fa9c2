//! Changes of the wrong shape, out of bounds, or outside of what the writer owns.

use automerge::transaction::Transactable;
use automerge::{ActorId, Automerge, Change, ObjType, ROOT};
use fedp2p_crdt::document::Document;
use fedp2p_crdt::gate::{MAX_DEPTH, MAX_EPOCH_OPS, MAX_TOUCHED_OPS, Refusal};
use fedp2p_crdt::genesis;
use fedp2p_protocols::limits::{MAX_CHANGE_BYTES, MAX_CHANGE_OPS, MAX_EPOCH_CHANGES};

use crate::forge::{Forge, Op, chunk, hash};
use crate::victim::{NODES, OWN, Unguarded, id, own_key, refused, unguarded, victim};

#[test]
fn a_change_cut_off_anywhere_is_refused() {
    let (mut document, next) = victim();
    let bytes = next.bytes();
    let before = document.save().unwrap();
    for length in 0..bytes.len() {
        assert!(document.admit(&bytes[..length]).is_err(), "{length} bytes");
    }
    let contents = next.contents();
    for length in 0..contents.len() {
        assert!(document.admit(&chunk(1, &contents[..length])).is_err(), "{length} bytes inside");
    }
    assert_eq!(document.save().unwrap(), before);
    document.admit(&bytes).unwrap();
}

#[test]
fn other_chunks_and_other_bytes_are_refused() {
    let (mut document, next) = victim();
    for kind in [0, 2, 3, 4, 255] {
        let other = Forge { kind, ..next.clone() };
        refused(&mut document, &other.bytes(), &Refusal::NotAChange(kind));
    }
    let saved = document.save().unwrap();
    refused(&mut document, &saved, &Refusal::NotAChange(0));
    refused(&mut document, b"", &Refusal::NotAutomerge);
    refused(&mut document, b"hello, this is text", &Refusal::NotAutomerge);
    let mut magic = next.bytes();
    magic[0] ^= 1;
    refused(&mut document, &magic, &Refusal::NotAutomerge);
    let two = [next.bytes(), next.bytes()].concat();
    refused(&mut document, &two, &Refusal::ExtraBytes);
}

#[test]
fn a_bundle_of_automerge_is_refused() {
    let (mut document, _) = victim();
    let mut plain = Automerge::new();
    plain.put_all(&document);
    let bundle = plain.bundle(plain.get_heads()).unwrap();
    refused(&mut document, bundle.bytes(), &Refusal::NotAChange(3));
}

trait PutAll {
    fn put_all(&mut self, document: &Document);
}

impl PutAll for Automerge {
    fn put_all(&mut self, document: &Document) {
        let raw = document.raw_changes();
        let all = std::iter::once(&genesis::CHANGE[..]).chain(raw.iter().map(Vec::as_slice));
        let changes: Vec<_> = all.map(|bytes| Change::try_from(bytes).unwrap()).collect();
        self.apply_changes(changes).unwrap();
    }
}

#[test]
fn a_wrong_checksum_is_refused() {
    let (mut document, next) = victim();
    let mut bytes = next.bytes();
    bytes[4] ^= 1;
    refused(&mut document, &bytes, &Refusal::Checksum);
    // Automerge itself does not look.
    assert_eq!(unguarded(&document, &bytes), Unguarded::Fine);
}

#[test]
fn numbers_spelled_too_long_are_refused() {
    let (mut document, next) = victim();
    let contents = next.contents();
    // The number of dependencies, 1, in two bytes.
    let long = [&[0x81, 0x00], &contents[1..]].concat();
    refused(&mut document, &chunk(1, &long), &Refusal::Malformed("deps"));
    let action = next.clone().column(0x42, vec![0x7f, 0x81, 0x00]);
    refused(&mut document, &action.bytes(), &Refusal::Malformed("actions"));
    let run = next.column(0x42, vec![0xff, 0x7f, 1]);
    refused(&mut document, &run.bytes(), &Refusal::Malformed("actions"));
}

/// This many operations at keys of their own.
fn puts(map: (u64, u64), count: u64) -> Vec<Op> {
    (0..count).map(|at| Op::put(map, &format!("{at:x}"), "")).collect()
}

#[test]
fn limits_hold_to_the_byte() {
    let (mut document, mut next) = victim();
    let room = MAX_CHANGE_BYTES - next.bytes().len();
    next.set_ops(&[Op::put(OWN, "z", &"x".repeat(room - 16))]);
    let fill = MAX_CHANGE_BYTES - next.bytes().len();
    next.set_ops(&[Op::put(OWN, "z", &"x".repeat(room - 16 + fill))]);
    assert_eq!(next.bytes().len(), MAX_CHANGE_BYTES);
    document.clone().admit(&next.bytes()).unwrap();
    next.set_ops(&[Op::put(OWN, "z", &"x".repeat(room - 16 + fill + 1))]);
    refused(&mut document, &next.bytes(), &Refusal::TooLarge(MAX_CHANGE_BYTES + 1));

    next.set_ops(&puts(OWN, MAX_CHANGE_OPS));
    document.clone().admit(&next.bytes()).unwrap();
    next.set_ops(&puts(OWN, MAX_CHANGE_OPS + 1));
    refused(&mut document, &next.bytes(), &Refusal::TooManyOps);
    next.set_ops(&[]);
    refused(&mut document, &next.bytes(), &Refusal::NoOps);

    let (_, next) = victim();
    let message = |length| Forge { message: vec![b'm'; length], ..next.clone() }.bytes();
    document.clone().admit(&message(256)).unwrap();
    refused(&mut document, &message(257), &Refusal::MessageTooLong);
    let message = Forge { message: vec![0xff], ..next.clone() };
    refused(&mut document, &message.bytes(), &Refusal::Malformed("message"));
    let others = Forge { others: vec![genesis::ACTOR.to_vec(); 65], ..next.clone() };
    refused(&mut document, &others.bytes(), &Refusal::TooManyActors(65));
    let others = Forge { others: vec![genesis::ACTOR.to_vec(); 2], ..next.clone() };
    refused(&mut document, &others.bytes(), &Refusal::UnknownActor);
    // Known, but no operation refers to it.
    let others = Forge { others: vec![genesis::ACTOR.to_vec()], ..next };
    refused(&mut document, &others.bytes(), &Refusal::NotCanonical);
}

#[test]
fn dependencies_are_the_last_change_and_nothing_else() {
    let (mut document, mut next) = victim();
    let last = next.deps[0];
    let first = hash(&genesis::CHANGE);
    next.deps = vec![last, last];
    refused(&mut document, &next.bytes(), &Refusal::DuplicateDep);
    next.deps = vec![first];
    refused(&mut document, &next.bytes(), &Refusal::NotNext);
    next.deps = vec![first, last];
    refused(&mut document, &next.bytes(), &Refusal::NotNext);
    next.deps = vec![last; 17];
    refused(&mut document, &next.bytes(), &Refusal::TooManyDeps(17));
}

#[test]
fn writing_outside_of_the_own_map_is_refused() {
    let (mut document, mut next) = victim();
    let root = |op: Op| Op { object: None, ..op };
    next.set_ops(&[root(Op::put(OWN, "nodes", "gone"))]);
    refused(&mut document, &next.bytes(), &Refusal::OutOfScope(6));
    next.set_ops(&[root(Op { preds: vec![(1, 1)], ..Op::delete(OWN, "nodes") })]);
    refused(&mut document, &next.bytes(), &Refusal::OutOfScope(6));
    let upper = own_key().to_uppercase();
    for key in ["somebody", upper.as_str()] {
        next.set_ops(&[Op::map(NODES, key)]);
        refused(&mut document, &next.bytes(), &Refusal::OutOfScope(6));
    }
    // Its own map it may replace or remove.
    next.set_ops(&[Op::delete(NODES, &own_key()).over(&[2])]);
    document.admit(&next.bytes()).unwrap();
}

#[test]
fn what_is_not_a_map_of_scalars_is_refused() {
    let (mut document, mut next) = victim();
    let put = Op::put(OWN, "z", "");
    let action = |action, value: &[u8], kind| Op { action, value: (kind, value.to_vec()), ..put.clone() };
    let lists = Refusal::Unsupported("lists and texts");
    let counters = Refusal::Unsupported("counters and unknown values");
    let unknown = Refusal::Unsupported("unknown actions");
    for (op, expected) in [
        (action(2, &[], 0), &lists),
        (action(4, &[], 0), &lists),
        (action(5, &[1], 4), &counters),
        (action(5, &[], 0), &counters),
        (action(1, &[1], 8), &counters),
        (action(1, &[1], 12), &counters),
        (action(6, &[], 0), &unknown),
        (action(7, &[], 0), &unknown),
        (action(48, &[], 0), &unknown),
        (action(u64::MAX, &[], 0), &unknown),
        (action(0, &[1], 3), &Refusal::Malformed("values")),
    ] {
        next.set_ops(&[op]);
        refused(&mut document, &next.bytes(), expected);
    }
    let (_, next) = victim();
    refused(&mut document, &next.clone().column(0x34, vec![0, 1]).bytes(), &lists);
    refused(&mut document, &next.clone().column(0x13, vec![0x7f, 0]).bytes(), &lists);
    let marks = next.clone().column(0x94, vec![0, 1]);
    refused(&mut document, &marks.bytes(), &Refusal::Unsupported("marks"));
    let column = next.column(0x66, vec![0x7f, 1]);
    refused(&mut document, &column.bytes(), &Refusal::UnknownColumn(0x66));
}

#[test]
fn values_that_do_not_fit_their_kind_are_refused() {
    let (mut document, mut next) = victim();
    let put = |kind, bytes: &[u8]| Op { value: (kind, bytes.to_vec()), ..Op::put(OWN, "z", "") };
    for (op, expected) in [
        (put(6, &[0xff]), Refusal::Unreadable),
        (put(5, &[0; 7]), Refusal::Unreadable),
        (put(3, &[0x80]), Refusal::Unreadable),
        (put(3, &[0x81, 0x00]), Refusal::Unreadable),
        (put(0, &[1]), Refusal::Unreadable),
        (put(1, &[1]), Refusal::Unreadable),
    ] {
        next.set_ops(&[op]);
        let bytes = next.bytes();
        let refusal = document.clone().admit(&bytes).unwrap_err();
        assert!([expected, Refusal::NotCanonical].contains(&refusal), "{refusal}");
        refused(&mut document, &bytes, &refusal);
    }
    for op in [put(5, &f64::NAN.to_le_bytes()), put(0, &[]), put(1, &[]), put(7, &[0xff]), put(9, &[5])] {
        next.set_ops(&[op]);
        let mut document = document.clone();
        document.admit(&next.bytes()).unwrap();
        document.save().unwrap();
    }
}

#[test]
fn keys_are_never_empty_and_maps_never_too_deep() {
    let (mut document, mut next) = victim();
    next.set_ops(&[Op::put(OWN, "", "x")]);
    refused(&mut document, &next.bytes(), &Refusal::EmptyKey(6));
    // Maps 6, 7, … each in the one before; what is in the own map stands at depth 3.
    let nested = |count: u64| {
        let first = Op::map(OWN, "deep");
        std::iter::once(first).chain((6..5 + count).map(|map| Op::map((0, map), "d"))).collect::<Vec<_>>()
    };
    let most = u64::from(MAX_DEPTH) - 3;
    next.set_ops(&nested(most));
    document.clone().admit(&next.bytes()).unwrap();
    next.set_ops(&nested(most + 1));
    refused(&mut document, &next.bytes(), &Refusal::TooDeep(5 + most + 1));
}

#[test]
fn a_full_epoch_refuses_the_next_change() {
    let mut document = Document::new(id());
    let mut next = Forge::first(id().actor(), &[Op::map(NODES, &own_key())]);
    for _ in 0..MAX_EPOCH_CHANGES {
        assert!(!document.is_full());
        document.admit(&next.bytes()).unwrap();
        next.deps = vec![hash(&next.bytes())];
        let over: &[u64] = if next.seq == 1 { &[] } else { &[next.start_op] };
        next.seq += 1;
        next.start_op += 1;
        next.set_ops(&[Op::put(OWN, "z", "").over(over)]);
    }
    assert!(document.is_full());
    let before = document.save().unwrap();
    assert_eq!(document.admit(&next.bytes()), Err(Refusal::EpochFull));
    assert_eq!(document.save().unwrap(), before);
}

#[test]
fn what_automerge_itself_writes_below_the_own_map_is_admitted() {
    let (mut document, _) = victim();
    let mut plain = Automerge::new();
    plain.put_all(&document);
    plain.set_actor(ActorId::from(id().actor()));
    let nodes = automerge::ReadDoc::get(&plain, ROOT, "nodes").unwrap().unwrap().1;
    let own = automerge::ReadDoc::get(&plain, &nodes, own_key()).unwrap().unwrap().1;
    let mut transaction = plain.transaction();
    let map = transaction.put_object(&own, "anything", ObjType::Map).unwrap();
    transaction.put(&map, "a", 1.5).unwrap();
    transaction.put(&map, "a", true).unwrap();
    transaction.put(&map, "b", ()).unwrap();
    transaction.delete(&map, "b").unwrap();
    transaction.delete(&own, "agents").unwrap();
    transaction.commit();
    document.admit(plain.get_last_local_change().unwrap().raw_bytes()).unwrap();
    document.save().unwrap();
}

#[test]
fn records_with_too_many_fields_are_not_read() {
    let mut document = Document::new(id());
    let opening =
        [Op::map(NODES, &own_key()), Op::map(OWN, "agents"), Op::map((0, 3), "coder"), Op::put((0, 4), "kind", "ai")];
    let first = Forge::first(id().actor(), &opening);
    document.admit(&first.bytes()).unwrap();
    assert_eq!(document.content().agents.len(), 1);
    let mut next = Forge { seq: 2, start_op: 6, deps: vec![hash(&first.bytes())], ..first };
    let fields = |count| (0..count).map(|at| Op::put((0, 4), &format!("later-{at}"), "x")).collect::<Vec<_>>();
    next.set_ops(&fields(63));
    let mut tolerated = document.clone();
    tolerated.admit(&next.bytes()).unwrap();
    assert_eq!(tolerated.content(), document.content());
    next.set_ops(&fields(64));
    document.admit(&next.bytes()).unwrap();
    assert!(document.content().agents.is_empty());
}

#[test]
fn an_epoch_has_an_end_to_its_operations() {
    let mut document = Document::new(id());
    let mut next = Forge::first(id().actor(), &[Op::map(NODES, &own_key())]);
    document.admit(&next.bytes()).unwrap();
    let mut ops = genesis::OPS + 1;
    for number in 0.. {
        next.deps = vec![hash(&next.bytes())];
        (next.seq, next.start_op) = (next.seq + 1, ops + 1);
        // A map for each change, as there is also an end to what one map takes.
        let map = Op::map(OWN, &format!("m{number}"));
        next.set_ops(&[vec![map], puts((0, ops + 1), MAX_CHANGE_OPS - 1)].concat());
        if ops + MAX_CHANGE_OPS > MAX_EPOCH_OPS {
            break;
        }
        document.admit(&next.bytes()).unwrap();
        ops += MAX_CHANGE_OPS;
    }
    assert!(!document.is_full());
    assert_eq!(document.admit(&next.bytes()), Err(Refusal::EpochFull));
}

#[test]
fn a_map_has_an_end_to_its_operations_and_others_go_on() {
    let (mut document, mut next) = victim();
    let mut touched = 1;
    while touched + MAX_CHANGE_OPS <= MAX_TOUCHED_OPS {
        // Always the same key: what was replaced counts as well.
        let put = |counter: u64| Op::put(OWN, "z", "").over(&Vec::from_iter((counter > 6).then(|| counter - 1)));
        let counters = next.start_op..next.start_op + MAX_CHANGE_OPS;
        next.set_ops(&counters.map(put).collect::<Vec<_>>());
        document.admit(&next.bytes()).unwrap();
        touched += MAX_CHANGE_OPS;
        next.deps = vec![hash(&next.bytes())];
        (next.seq, next.start_op) = (next.seq + 1, next.start_op + MAX_CHANGE_OPS);
    }
    next.set_ops(&puts(OWN, MAX_TOUCHED_OPS - touched));
    document.clone().admit(&next.bytes()).unwrap();
    next.set_ops(&puts(OWN, MAX_TOUCHED_OPS - touched + 1));
    refused(&mut document, &next.bytes(), &Refusal::TooMuchTouched);
    next.set_ops(&[Op::put((0, 3), "elsewhere", "")]);
    document.admit(&next.bytes()).unwrap();
}

#[test]
fn nothing_that_stands_is_left_standing_beside_what_is_put() {
    let (mut document, mut next) = victim();
    // x is 4, the map `agents` is 3.
    for op in [Op::put((0, 3), "x", "beside"), Op::map(OWN, "agents"), Op::map(NODES, &own_key())] {
        next.set_ops(&[op]);
        refused(&mut document, &next.bytes(), &Refusal::Predecessor(6));
    }
    // Nor what stood there before, or both.
    next.set_ops(&[Op::put((0, 3), "x", "new").over(&[4]), Op::put((0, 3), "x", "newer").over(&[4])]);
    refused(&mut document, &next.bytes(), &Refusal::Predecessor(7));
    next.set_ops(&[Op::put((0, 3), "x", "new").over(&[4]), Op::put((0, 3), "x", "newer").over(&[4, 6])]);
    refused(&mut document, &next.bytes(), &Refusal::Predecessor(7));
    next.set_ops(&[Op::delete((0, 3), "x").over(&[4]), Op::put((0, 3), "x", "again")]);
    document.admit(&next.bytes()).unwrap();
}

#[test]
fn nothing_is_written_to_a_map_that_does_not_stand_any_more() {
    let (mut document, mut next) = victim();
    // The map `agents` is 3 and stands in the own map, 2.
    let again = Op::map(OWN, "agents").over(&[3]);
    for (first, second) in [
        (Op::delete(OWN, "agents").over(&[3]), Op::put((0, 3), "z", "hidden")),
        (again.clone(), Op::put((0, 3), "z", "hidden")),
        (Op::put(OWN, "agents", "text").over(&[3]), Op::map((0, 3), "z")),
        (Op::delete(NODES, &own_key()).over(&[2]), Op::put((0, 3), "z", "hidden")),
        (Op::map(NODES, &own_key()).over(&[2]), Op::put(OWN, "z", "hidden")),
    ] {
        next.set_ops(&[first, second]);
        refused(&mut document, &next.bytes(), &Refusal::UnknownObject(7));
    }
    next.set_ops(&[again, Op::put((0, 6), "x", "new")]);
    document.admit(&next.bytes()).unwrap();
    document.save().unwrap();
}

#[test]
fn large_records_are_not_read_again_for_every_small_change() {
    let mut document = Document::new(id());
    let mut next = Forge::first(id().actor(), &[Op::map(NODES, &own_key()), Op::map(OWN, "proposals")]);
    document.admit(&next.bytes()).unwrap();
    let mut write = |document: &mut Document, ops: &[Op]| {
        let start_op = next.start_op + next_ops(&next);
        next.deps = vec![hash(&next.bytes())];
        (next.seq, next.start_op) = (next.seq + 1, start_op);
        next.set_ops(ops);
        let admitted = document.admit(&next.bytes());
        (admitted, start_op)
    };
    let mut records = Vec::new();
    for record in 0..=MAX_TOUCHED_OPS / MAX_CHANGE_OPS {
        let first = 4 + record * MAX_CHANGE_OPS;
        let map = Op::map((0, 3), &format!("p{record}"));
        let inner = Op::map((0, first), "closed");
        let ops = [vec![map, inner], puts((0, first + 1), MAX_CHANGE_OPS - 2)].concat();
        assert_eq!(write(&mut document, &ops), (Ok(()), first));
        records.push(first);
    }
    // What the small maps hold is little; the records that they belong to are large.
    let all: Vec<Op> = records.iter().map(|&record| Op::put((0, record), "by", "x")).collect();
    assert_eq!(write(&mut document.clone(), &all).0, Err(Refusal::TooMuchTouched));
}

fn next_ops(forge: &Forge) -> u64 {
    // The column of inserts is the number of operations.
    forge.columns[&0x34].iter().rev().fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f))
}
