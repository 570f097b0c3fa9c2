//! What travels between nodes: entries, sync frames, hellos and the joining handshake.

use fedp2p_protocols::certificate::{Certificate, Chain, Roles};
use fedp2p_protocols::hello::{Knock, Welcome};
use fedp2p_protocols::hlc::Hlc;
use fedp2p_protocols::id::{ConversationId, LogId, NodeId, OpId, OrganisationId, Serial};
use fedp2p_protocols::joining::{Answer, Inviter, Joiner, Request, Turned, split_first};
use fedp2p_protocols::limits::{MAX_DEPS, MAX_HEADER_BYTES, MAX_OP_BYTES};
use fedp2p_protocols::op::{Header, Kind, NO_BACKLINK, NodeKey, Op, Verified, verify};
use fedp2p_protocols::sync::{Frame, FrameError, Head, LogKey, Want};

use crate::Input;

/// When everything happens, in milliseconds since 1970.
pub(super) const WALL_MS: u64 = 1_800_000_000_000;

pub(super) fn key(seed: u8) -> NodeKey {
    NodeKey::from_seed([seed; 32])
}

fn certificate(subject: NodeId, name: &str, roles: Roles) -> Certificate {
    Certificate {
        organisation: OrganisationId::from_bytes([0; 32]),
        organisation_name: "acme".parse().unwrap(),
        subject,
        name: name.parse().unwrap(),
        roles,
        not_before: WALL_MS - 1_000_000,
        not_after: WALL_MS + 30 * 24 * 3_600_000,
        serial: Serial::from_bytes([1; 16]),
        issuer: [0; 32],
    }
}

/// The chain of the founder, who has the key 1; the organisation's key is 200.
pub(super) fn founder() -> Chain {
    Chain::by_root(&key(200), certificate(key(1).id(), "n0", Roles::ADMIN))
}

/// The chain of a member with this key.
pub(super) fn member(seed: u8) -> Chain {
    let name = format!("n{}", seed - 1);
    Chain::by_admin(&key(1), &founder(), certificate(key(seed).id(), &name, Roles::MEMBER)).unwrap()
}

/// An entry at the start of a log of the member with the key 2.
pub(super) fn entry(kind: Kind, payload: &[u8], deps: u8) -> Verified {
    let network = founder().network();
    let header = Header {
        network,
        author: key(2).id(),
        log: LogId::from_bytes([7; 16]),
        seq: 1,
        backlink: NO_BACKLINK,
        conversation: ConversationId::lobby(&network),
        deps: (0..deps).map(|dep| OpId::from_bytes([dep; 32])).collect(),
        hlc: Hlc::at(WALL_MS),
        kind,
        agent: (deps > 0).then(|| "coder".parse().unwrap()),
        payload_hash: [0; 32],
        payload_len: 0,
        floor: (deps > 1).then_some(3),
    };
    key(2).sign(header, payload).unwrap()
}

/// The name of an enum's variant.
pub(super) fn variant(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split(|character: char| !character.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

pub(super) fn op_seeds() -> Vec<Vec<u8>> {
    let long = vec![b'x'; 2_000];
    [(Kind::Message, &b"\0{}"[..], 0), (Kind::Change, &long, 1), (Kind::Other(99), b"", 3), (Kind::Receipt, b"\0", 16)]
        .map(|(kind, payload, deps)| entry(kind, payload, deps).bytes().to_vec())
        .to_vec()
}

/// An entry is refused, or is what it says, byte by byte and within the limits.
pub(super) fn op(bytes: &[u8]) -> String {
    let op = match Op::decode(bytes) {
        Ok(op) => op,
        Err(error) => return format!("refused {}", variant(&error)),
    };
    assert!(bytes.len() <= MAX_OP_BYTES && op.header_bytes().len() <= MAX_HEADER_BYTES);
    assert!(op.header().deps.len() <= MAX_DEPS && op.header().deps.is_sorted());
    assert_eq!(op.bytes(), bytes);
    assert_eq!(op.header().encode(), op.header_bytes());
    let again = Op::from_parts(op.header_bytes(), &op.signature(), op.payload()).unwrap();
    assert_eq!((again.bytes(), again.id()), (bytes, op.id()));
    if verify(op).is_ok() { "verified".to_owned() } else { "decoded".to_owned() }
}

pub(super) fn frame_seeds() -> Vec<Vec<u8>> {
    let conversation = ConversationId::from_bytes([1; 16]);
    let head = |n: u8| Head {
        key: LogKey { author: NodeId::from_bytes([n; 32]), log: LogId::from_bytes([n; 16]) },
        height: n.into(),
        head: OpId::from_bytes([n; 32]),
        floor: 1,
    };
    let wants = vec![Want { key: head(3).key, from: 9 }, Want { key: head(4).key, from: u64::MAX }];
    let ops = op_seeds();
    let frames = [
        Frame::Digest(vec![(conversation, [2; 32]), (ConversationId::from_bytes([9; 16]), [0; 32])]),
        Frame::Have { conversation, more: true, heads: vec![head(1), head(2)] },
        Frame::Want { conversation, more: false, wants },
        Frame::Ops { conversation, last: true, ops: ops.clone() },
        Frame::Ack { bytes: 7 },
        Frame::Push { ops },
        Frame::Stored { conversation, heads: vec![head(4)] },
        Frame::Ping(1),
        Frame::Pong(u64::MAX),
        Frame::Renew,
        Frame::Renewed(Box::new(member(2))),
    ];
    frames.iter().map(Frame::encode).collect()
}

/// A frame is refused, or encodes to the same bytes again.
pub(super) fn frame(bytes: &[u8]) -> String {
    match Frame::decode(bytes) {
        Ok(frame) => {
            assert_eq!(frame.encode(), bytes);
            variant(&frame)
        }
        Err(FrameError::Decode(_) | FrameError::Chain(_)) => "refused".to_owned(),
        Err(other) => format!("refused {other}"),
    }
}

pub(super) fn hello_seeds() -> Vec<Vec<u8>> {
    let knock = Knock::new(&OrganisationId::from_bytes([1; 32]), [5; 16], &key(1).id(), &key(2).id());
    let addresses = vec!["/ip4/127.0.0.1/tcp/4001".to_owned(), "/ip6/::1/udp/4001/quic-v1".to_owned()];
    let welcome = Welcome { chain: member(2), addresses };
    let with = |first: u8, bytes: Vec<u8>| [vec![first], bytes].concat();
    vec![with(0, knock.encode()), with(1, welcome.encode()), with(2, member(2).encode()), with(2, founder().encode())]
}

/// A message of the hello is refused, or encodes to the same bytes again; a chain that decodes is signed throughout.
pub(super) fn hello(bytes: &[u8]) -> String {
    let mut input = Input::new(bytes);
    let (kind, bytes) = (input.below(3), input.bytes(usize::MAX));
    let chain = match kind {
        0 => {
            return Knock::decode(bytes).map_or_else(
                |_| "knock refused".to_owned(),
                |knock| {
                    assert_eq!(knock.encode(), bytes);
                    "knock".to_owned()
                },
            );
        }
        1 => match Welcome::decode(bytes) {
            Ok(welcome) => {
                assert_eq!(welcome.encode(), bytes);
                return "welcome".to_owned();
            }
            Err(error) => Err(error),
        },
        _ => Chain::decode(bytes),
    };
    match chain {
        Ok(chain) => {
            assert_eq!(chain.encode(), bytes);
            // Nobody but the organisation's key and its admin signed here.
            assert!(chain.check(&key(2).id(), &founder().certificate().organisation).is_ok() || chain == founder());
            "chain".to_owned()
        }
        Err(error) => format!("refused {}", variant(&error)),
    }
}

pub(super) fn join_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = (0..4).flat_map(|at| [vec![at, 0, 0, 1], vec![at, 1, 3, 0xff]]).collect();
    seeds.extend((0..4).map(|answer| vec![9, answer]));
    seeds.push([vec![0, 2], vec![7; 48]].concat());
    seeds.push([vec![3, 2, 0, 4], b"baby".to_vec()].concat());
    seeds
}

/// What an attacker makes of one message on its way: flips bits, cuts it or puts another in its place.
fn tamper(message: Vec<u8>, at: usize, wanted: usize, rest: &[u8]) -> Vec<u8> {
    let mut input = Input::new(rest);
    if at != wanted {
        return message;
    }
    let mut message = message;
    match input.below(3) {
        0 => {
            let place = input.below(message.len());
            if let Some(byte) = message.get_mut(place) {
                *byte ^= input.byte();
            }
        }
        1 => message.truncate(input.below(message.len())),
        _ => message = input.bytes(usize::MAX).to_vec(),
    }
    message
}

/// A handshake with one message tampered with fails or comes to what both ends meant; the request comes from the
/// holder of the secret only.
///
/// Both ends draw their keys for one handshake themselves, as they must, so the bytes in between differ from run to
/// run; how the input tampers with them does not.
pub(super) fn join(bytes: &[u8]) -> String {
    let mut input = Input::new(bytes);
    let (wanted, rest) = (input.below(10), input.bytes(usize::MAX));
    let (joiner_id, inviter_id, secret) = (key(3).id(), key(1).id(), [9; 32]);
    let request = Request { name: "baby".parse().unwrap() };
    let (joiner, first) = Joiner::new(&joiner_id, &inviter_id, secret).unwrap();
    let first = tamper(first, 0, wanted, rest);
    let Ok((_, noise)) = split_first(&first) else { return "first refused".to_owned() };
    let Ok((inviter, second)) = Inviter::new(&joiner_id, &inviter_id, secret, noise) else {
        return "second refused".to_owned();
    };
    let second = tamper(second, 1, wanted, rest);
    let Ok((joining, third)) = joiner.second(&second, &request) else { return "third refused".to_owned() };
    let third = tamper(third, 2, wanted, rest);
    let Ok((inviting, asked)) = inviter.request(&third) else { return "request refused".to_owned() };
    assert_eq!(asked, request);
    let answer = match rest.first() {
        Some(0) => Answer::Turned(Turned::Expired),
        Some(1) => Answer::Turned(Turned::NameTaken { free: "baby-2".parse().unwrap() }),
        Some(2) => Answer::Turned(Turned::Unable),
        _ => Answer::Admitted { chain: member(3), inviter: founder() },
    };
    let last = tamper(inviting.answer(&answer), 3, wanted, rest);
    match joining.answer(&last) {
        Ok(read) => {
            assert_eq!(read, answer);
            "answered".to_owned()
        }
        Err(_) => "answer refused".to_owned(),
    }
}
