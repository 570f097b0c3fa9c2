//! What people, payloads and the programs on this machine say: tickets, payloads, the local socket.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use fedp2p_node::frame::{self, Reader};
use fedp2p_protocols::api::{self, Call, Caller, Request};
use fedp2p_protocols::id::{LogId, OpId};
use fedp2p_protocols::limits::{MAX_REPLY_BYTES, MAX_REQUEST_BYTES};
use fedp2p_protocols::op::{Kind, verify_header};
use fedp2p_protocols::payload::{
    Change, Checkpoint, ForkProof, LogStart, Message, MessageType, Receipt, decode_certificate, encode_certificate,
};
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_protocols::ticket::Ticket;

use super::wire::{WALL_MS, entry, founder, key, member, variant};
use crate::Input;

pub(super) fn ticket_seeds() -> Vec<Vec<u8>> {
    let ticket = |addresses: &[&str]| Ticket {
        organisation: founder().certificate().organisation,
        organisation_name: "acme".parse().unwrap(),
        issuer: key(1).id(),
        secret: [3; 32],
        expires: WALL_MS,
        addresses: addresses.iter().map(ToString::to_string).collect(),
    };
    let addresses = ["/ip4/10.0.0.1/tcp/4001", "/dns4/node.example/tcp/4001"];
    let mut seeds: Vec<Vec<u8>> = [ticket(&[]), ticket(&addresses)].map(|ticket| ticket.to_string().into()).into();
    // What has a right checksum and is not a ticket.
    for content in [&[][..], &[0; 40], &[0xff; 130]] {
        let checked = [content, &blake3::hash(content).as_bytes()[..4]].concat();
        seeds.push(format!("fedp2p1{}", fedp2p_protocols::id::base32(&checked)).into());
    }
    seeds
}

/// A text is refused, or prints as a ticket that reads back.
pub(super) fn ticket(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else { return "not a text".to_owned() };
    match text.parse::<Ticket>() {
        Ok(ticket) => {
            assert_eq!(ticket.to_string().parse(), Ok(ticket));
            "ticket".to_owned()
        }
        Err(error) => format!("refused {}", variant(&error)),
    }
}

pub(super) fn payload_seeds() -> Vec<Vec<u8>> {
    let message = Message {
        to: vec![fedp2p_protocols::vote::AgentId { node: key(1).id(), name: "coder".parse().unwrap() }],
        kind: MessageType::Task,
        text: "Please review".to_owned(),
        data: Some(serde_json::json!({"file": ["auth.py", 1, null]})),
        reply_to: Some(OpId::from_bytes([4; 32])),
        correlation: Some("auth".to_owned()),
        urgent: true,
        expires: Some(7),
        covers: vec![fedp2p_protocols::payload::Cover { from: OpId::from_bytes([5; 32]), to: None }],
    };
    let (one, other) = (entry(Kind::Message, b"\0one", 0), entry(Kind::Message, b"\0other", 0));
    let side = |op: &fedp2p_protocols::op::Verified| (op.header_bytes().to_vec(), op.signature());
    let start = LogStart { chain: member(2), previous: Some((LogId::from_bytes([1; 16]), 3, one.id())) };
    let receipt = br#"{"surfaced":[{"author":"","log":"","seq":1}],"acknowledged":[]}"#.to_vec();
    [
        (0, message.encode()),
        (1, [vec![0], receipt].concat()),
        (1, b"\0{\"surfaced\":[],\"acknowledged\":[]}".to_vec()),
        (2, Change { epoch: 1, change: vec![0x85, 0x6f, 0x4a, 0x83] }.encode()),
        (3, Checkpoint { epoch: 1, changes: 2 }.encode()),
        (4, start.encode()),
        (5, encode_certificate(&member(2))),
        (6, ForkProof { one: side(&one), other: side(&other) }.encode()),
    ]
    .into_iter()
    .map(|(kind, payload): (u8, Vec<u8>)| [vec![kind], payload].concat())
    .collect()
}

/// A payload is refused, or encodes to the same again; a fork proof that holds names two signed headers.
pub(super) fn payload(bytes: &[u8]) -> String {
    let mut input = Input::new(bytes);
    let (kind, bytes) = (input.below(7), input.bytes(usize::MAX));
    let refused = || "refused".to_owned();
    match kind {
        0 => Message::decode(bytes).map_or_else(
            |_| refused(),
            |message| {
                assert_eq!(Message::decode(&message.encode()), Ok(message));
                "Message".to_owned()
            },
        ),
        1 => Receipt::decode(bytes).map_or_else(
            |_| refused(),
            |receipt| {
                assert_eq!(Receipt::decode(&receipt.encode()), Ok(receipt));
                "Receipt".to_owned()
            },
        ),
        2 => same("Change", bytes, Change::decode(bytes).ok().map(|change| change.encode())),
        3 => same("Checkpoint", bytes, Checkpoint::decode(bytes).ok().map(|checkpoint| checkpoint.encode())),
        4 => same("LogStart", bytes, LogStart::decode(bytes).ok().map(|start| start.encode())),
        5 => same("Certificate", bytes, decode_certificate(bytes).ok().map(|chain| encode_certificate(&chain))),
        _ => {
            let Ok(proof) = ForkProof::decode(bytes) else { return refused() };
            assert_eq!(proof.encode(), bytes);
            if proof.check().is_err() {
                return "ForkProof".to_owned();
            }
            assert_ne!(proof.one.0, proof.other.0);
            assert!([&proof.one, &proof.other].iter().all(|side| verify_header(&side.0, &side.1).is_ok()));
            "proven fork".to_owned()
        }
    }
}

fn same(name: &str, bytes: &[u8], encoded: Option<Vec<u8>>) -> String {
    let Some(encoded) = encoded else { return "refused".to_owned() };
    assert_eq!(encoded, bytes);
    name.to_owned()
}

pub(super) fn socket_seeds() -> Vec<Vec<u8>> {
    let caller = Caller { name: "coder".parse().unwrap(), kind: AgentKind::Ai };
    let requests = [
        Request::Status(api::status::Request {}),
        Request::Send(api::send::Request { to: vec!["p0".to_owned()], text: "hello".to_owned(), ..Default::default() }),
        Request::Inbox(api::inbox::Request { limit: 10, held: true }),
        Request::State(api::state::Request::default()),
        Request::History(api::history::Request::default()),
    ];
    let frames = requests.map(|request| {
        let call = Call { caller: caller.clone(), request };
        frame::encode(&call, MAX_REQUEST_BYTES).unwrap()
    });
    let mut seeds: Vec<Vec<u8>> = frames.to_vec();
    seeds.push(frames.concat());
    seeds.push(vec![0, 0, 0, 1, b'{']);
    seeds.push(vec![0xff; 5]);
    seeds.push(Vec::new());
    seeds
}

/// What a client sends is cut into frames within the limit, each a call or not; a call can be sent on.
pub(super) fn socket(bytes: &[u8]) -> String {
    let mut reader = Reader::new(bytes, MAX_REQUEST_BYTES);
    let (mut taken, mut calls) = (0, 0);
    loop {
        let frame = match at_once(reader.read()) {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(frame::Error::TooLarge { .. }) => return "too large".to_owned(),
            Err(frame::Error::Truncated) => return "truncated".to_owned(),
            Err(error) => return error.to_string(),
        };
        taken += 4 + frame.len();
        assert!(frame.len() <= MAX_REQUEST_BYTES && taken <= bytes.len());
        let Ok(call) = serde_json::from_slice::<Call>(&frame) else {
            return "not a call".to_owned();
        };
        let sent = frame::encode(&call, MAX_REPLY_BYTES).unwrap();
        assert_eq!(serde_json::from_slice::<Call>(&sent[4..]).unwrap(), call);
        calls += 1;
    }
    assert_eq!(taken, bytes.len());
    if calls > 0 { "call".to_owned() } else { "ended".to_owned() }
}

/// Runs what has nothing to wait for.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("reading from memory waits for nothing"),
    }
}
