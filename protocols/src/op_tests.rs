//! Tests of the op: what is refused, and that what is accepted is exactly what was signed.

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::payload::ForkProof;

fn key(seed: u8) -> NodeKey {
    NodeKey::from_seed([seed; 32])
}

fn header(seq: u64) -> Header {
    Header {
        network: NetworkId::from_bytes([1; 16]),
        author: NodeId::from_bytes([0; 32]),
        log: LogId::from_bytes([2; 16]),
        seq,
        backlink: if seq == 1 { NO_BACKLINK } else { OpId::from_bytes([3; 32]) },
        conversation: ConversationId::from_bytes([4; 16]),
        deps: vec![OpId::from_bytes([5; 32]), OpId::from_bytes([6; 32])],
        hlc: Hlc::at(1_000),
        kind: Kind::Message,
        agent: Some("coder".parse().unwrap()),
        payload_hash: [0; 32],
        payload_len: 0,
        floor: None,
    }
}

fn signed(seq: u64) -> Verified {
    key(1).sign(header(seq), b"hello").unwrap()
}

/// An op with this header, signed whether or not the header is well formed.
fn forged(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut header = header.clone();
    header.author = key(1).id();
    header.payload_hash = *blake3::hash(payload).as_bytes();
    header.payload_len = payload.len() as u32;
    let bytes = header.encode();
    let signature = key(1).sign_bytes(DOMAIN, &bytes);
    lay_out(&bytes, &signature, payload)
}

#[test]
fn an_op_reads_back_and_verifies() {
    let op = signed(7);
    let read = Op::decode(op.bytes()).unwrap();
    assert_eq!(read, op.0);
    assert_eq!(read.payload(), b"hello");
    assert_eq!(read.header().author, key(1).id());
    assert_eq!(verify(read), Ok(op));
}

#[test]
fn parts_that_were_stored_apart_make_the_same_op() {
    let op = signed(1);
    let again = Op::from_parts(op.header_bytes(), &op.signature(), op.payload());
    assert_eq!(again, Ok(op.0));
}

#[test]
fn every_changed_byte_is_noticed() {
    let op = signed(7);
    for at in 0..op.bytes().len() {
        for bit in [1, 0x80] {
            let mut bytes = op.bytes().to_vec();
            bytes[at] ^= bit;
            let accepted = Op::decode(&bytes).is_ok_and(|op| verify(op).is_ok());
            assert!(!accepted, "byte {at} can be changed");
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    let op = signed(7);
    for length in 0..op.bytes().len() {
        assert!(Op::decode(&op.bytes()[..length]).is_err(), "{length} bytes pass");
    }
    let longer = [op.bytes(), b"!"].concat();
    assert_eq!(Op::decode(&longer), Err(DecodeError::Invalid("payload length")));
}

#[test]
fn deps_stand_in_order_and_each_once() {
    let (low, high) = (OpId::from_bytes([5; 32]), OpId::from_bytes([6; 32]));
    for deps in [vec![high, low], vec![low, low]] {
        let bytes = forged(&Header { deps, ..header(7) }, b"hello");
        assert_eq!(Op::decode(&bytes), Err(DecodeError::Invalid("deps")));
    }
}

#[test]
fn more_deps_than_allowed_are_refused() {
    let deps = (0..=MAX_DEPS as u8).map(|n| OpId::from_bytes([n; 32])).collect();
    let bytes = forged(&Header { deps, ..header(7) }, b"hello");
    assert!(matches!(Op::decode(&bytes), Err(DecodeError::TooLarge { what: "number of deps", .. })));
}

#[test]
fn a_backlink_and_the_first_position_exclude_each_other() {
    let first = forged(&Header { backlink: OpId::from_bytes([3; 32]), ..header(1) }, b"");
    let later = forged(&Header { backlink: NO_BACKLINK, ..header(2) }, b"");
    let zero = forged(&Header { seq: 0, ..header(2) }, b"");
    for bytes in [first, later, zero] {
        assert_eq!(Op::decode(&bytes), Err(DecodeError::Invalid("seq")));
    }
}

#[test]
fn an_op_over_the_limit_can_be_neither_made_nor_read() {
    let payload = vec![0; MAX_OP_BYTES];
    assert!(matches!(key(1).sign(header(7), &payload), Err(DecodeError::TooLarge { what: "op", .. })));
    assert!(matches!(Op::decode(&vec![0; MAX_OP_BYTES + 1]), Err(DecodeError::TooLarge { what: "op", .. })));
}

#[test]
fn an_unknown_version_is_told_from_garbage() {
    let mut bytes = signed(7).bytes().to_vec();
    bytes[2] = VERSION + 1;
    assert_eq!(Op::decode(&bytes), Err(DecodeError::Version(VERSION + 1)));
}

#[test]
fn a_payload_that_is_not_the_one_named_is_refused() {
    let op = signed(7);
    let other = Op::from_parts(op.header_bytes(), &op.signature(), b"jello");
    assert_eq!(other, Err(DecodeError::Invalid("payload hash")));
}

#[test]
fn the_signature_of_another_node_does_not_verify() {
    let op = signed(7);
    let signature = key(2).sign_bytes(DOMAIN, op.header_bytes());
    let stolen = Op::from_parts(op.header_bytes(), &signature, op.payload()).unwrap();
    assert_eq!(verify(stolen), Err(BadSignature));
}

#[test]
fn a_signature_for_another_purpose_does_not_verify() {
    let op = signed(7);
    let signature = key(1).sign_bytes(b"fedp2p/certificate/v1", op.header_bytes());
    let other = Op::from_parts(op.header_bytes(), &signature, op.payload()).unwrap();
    assert_eq!(verify(other), Err(BadSignature));
}

#[test]
fn a_batch_and_single_checks_agree_on_every_op() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut ops: Vec<Op> = (1..=20).map(|seq| signed(seq).0).collect();
    let all: Vec<bool> = verify_batch(ops.clone(), &mut rng).iter().map(Result::is_ok).collect();
    assert!(all.iter().all(|good| *good));
    for bad in [0, 7, 19] {
        let mut signature = ops[bad].signature();
        signature[40] ^= 1;
        ops[bad] = Op::from_parts(ops[bad].header_bytes(), &signature, ops[bad].payload()).unwrap();
    }
    let batch: Vec<bool> = verify_batch(ops.clone(), &mut rng).iter().map(Result::is_ok).collect();
    let single: Vec<bool> = ops.into_iter().map(|op| verify(op).is_ok()).collect();
    assert_eq!(batch, single);
    assert_eq!(batch.iter().filter(|good| !**good).count(), 3);
}

#[test]
fn kept_keys_change_no_verdict() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut verifier = Verifier::default();
    for round in 0..2 {
        // More authors than keys are kept for.
        for author in 0..300_u16 {
            let mut seed = [0; 32];
            seed[..2].copy_from_slice(&author.to_le_bytes());
            let own = NodeKey::from_seed(seed);
            let op = own.sign(header(7), b"hello").unwrap().0;
            let signature = key(2).sign_bytes(DOMAIN, op.header_bytes());
            let stolen = Op::from_parts(op.header_bytes(), &signature, op.payload()).unwrap();
            for (op, good) in [(op, true), (stolen, false)] {
                let verdict = verifier.verify(vec![op], &mut rng).pop().unwrap().is_ok();
                assert_eq!(verdict, good, "author {author} in round {round}");
            }
        }
    }
    assert!(verifier.keys.len() <= MAX_KEYS);
}

fn side(op: &Verified) -> (Vec<u8>, [u8; 64]) {
    (op.header_bytes().to_vec(), op.signature())
}

#[test]
fn two_entries_for_one_position_prove_a_fork_and_nothing_else_does() {
    let one = key(1).sign(header(7), b"yes").unwrap();
    let other = key(1).sign(header(7), b"no").unwrap();
    let proof = ForkProof { one: side(&one), other: side(&other) };
    let (log, seq) = proof.check().unwrap();
    assert_eq!((log.author, seq), (key(1).id(), 7));
    assert_eq!(ForkProof::decode(&proof.encode()), Ok(proof));

    let same = ForkProof { one: side(&one), other: side(&one) };
    let later = key(1).sign(header(8), b"no").unwrap();
    let elsewhere = key(1).sign(Header { log: LogId::from_bytes([9; 16]), ..header(7) }, b"no").unwrap();
    let somebody = key(2).sign(header(7), b"no").unwrap();
    let mut unsigned = side(&other);
    unsigned.1[5] ^= 1;
    let claims = [side(&later), side(&elsewhere), side(&somebody), unsigned];
    assert!(same.check().is_err());
    for claim in claims {
        assert!(ForkProof { one: side(&one), other: claim }.check().is_err());
    }
}

proptest! {
    #[test]
    fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(op) = Op::decode(&bytes) {
            prop_assert_eq!(op.bytes(), &bytes[..]);
        }
    }

    #[test]
    fn bytes_near_an_op_decode_to_themselves_or_are_refused(at in 0usize..400, with in any::<u8>(), cut in 0usize..400) {
        let mut bytes = signed(7).bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = with;
        bytes.truncate(bytes.len().saturating_sub(cut % 50));
        if let Ok(op) = Op::decode(&bytes) {
            prop_assert_eq!(op.bytes(), &bytes[..]);
            prop_assert_eq!(lay_out(op.header_bytes(), &op.signature(), op.payload()), bytes);
        }
    }

    #[test]
    fn any_header_that_can_be_signed_reads_back(
        seq in 1u64..,
        hlc in any::<u64>(),
        kind in any::<u16>(),
        floor in proptest::option::of(any::<u64>()),
        payload in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let header = Header { hlc: Hlc::from_u64(hlc), kind: Kind::from_code(kind), floor, ..header(seq) };
        let op = key(3).sign(header, &payload).unwrap();
        let read = Op::decode(op.bytes()).unwrap();
        prop_assert_eq!(read.header().floor, floor);
        prop_assert_eq!(read.header().kind.code(), kind);
        prop_assert_eq!(verify(read), Ok(op));
    }
}
