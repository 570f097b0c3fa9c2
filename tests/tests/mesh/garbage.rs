//! Garbage on the local socket and on the network: the daemon goes on.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;

use fedp2p_tests::node::Node;
use fedp2p_tests::world::World;
use fedp2p_tests::{PATIENCE, eventually, holds};
use serde_json::{Value, json};

fn read_frame(stream: &mut UnixStream) -> Option<Value> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// Greets, sends some bytes, and returns what comes back before the connection ends or the frame is there.
fn say(node: &Node, bytes: &[u8]) -> Option<Value> {
    let mut stream = node.socket();
    assert_eq!(read_frame(&mut stream).unwrap()["api"], 1);
    // The daemon may have closed already.
    drop(stream.write_all(bytes));
    drop(stream.shutdown(std::net::Shutdown::Write));
    read_frame(&mut stream)
}

/// Bytes that look random and are the same each time.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..length).map(next).collect()
}

#[test]
fn garbage_on_the_local_socket_is_refused_and_the_daemon_goes_on() {
    let world = World::new();
    let [mut taichi] = world.mesh(["taichi"]);
    let caller = json!({ "name": "ada", "kind": "person" });
    let invalid = [
        frame(b"{"),
        frame(b"\xff\xfe"),
        frame(b"null"),
        frame(b"{}"),
        frame(&serde_json::to_vec(&json!({ "caller": caller, "request": { "op": "explode" } })).unwrap()),
        frame(&serde_json::to_vec(&json!({ "caller": caller, "request": { "op": "send", "args": { "volume": 11 } } })).unwrap()),
        frame(&serde_json::to_vec(&json!({ "caller": { "name": "Not A Name", "kind": "person" }, "request": { "op": "status", "args": {} } })).unwrap()),
        u32::MAX.to_be_bytes().to_vec(),
        frame(&vec![b' '; 300 * 1024]),
        frame("[".repeat(100_000).as_bytes()),
    ];
    for bytes in &invalid {
        let answer = say(&taichi, bytes).unwrap();
        assert_eq!(answer["error"]["code"], "invalid", "{answer}");
    }
    // Cut short, or nothing at all.
    for bytes in [&b""[..], b"\0", b"\0\0\0\x09{\"caller\""] {
        say(&taichi, bytes);
    }
    for seed in 0..50 {
        say(&taichi, &noise(seed, 2_000));
    }
    // Many that never say anything do not keep others out.
    let silent: Vec<UnixStream> = (0..100).map(|_| taichi.socket()).collect();
    assert!(taichi.is_running());
    assert_eq!(taichi.cli(&["status"]).code, 0);
    drop(silent);
    taichi.down();
}

#[test]
fn a_client_without_a_place_is_told_that_the_daemon_is_busy() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    let greeted = |mut stream: UnixStream| (read_frame(&mut stream).unwrap(), stream);
    let mut served = Vec::new();
    let refused = loop {
        let (greeting, stream) = greeted(taichi.socket());
        if greeting["api"] != 1 {
            break greeting;
        }
        served.push(stream);
    };
    assert_eq!(refused["error"]["code"], "busy", "{refused}");
    let (code, error) = taichi.refused(&["status"]);
    assert_eq!((code, error["code"].as_str()), (1, Some("busy")));
    drop(served);
    eventually("a place is free", || {
        let output = taichi.cli(&["status"]);
        holds(output.code == 0, output)
    });
}

#[test]
fn invalid_calls_of_a_valid_form_are_refused_with_a_reason() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    let call = |request: Value| {
        let call = json!({ "caller": { "name": "ada", "kind": "person" }, "request": request });
        let answer = say(&taichi, &frame(&serde_json::to_vec(&call).unwrap())).unwrap();
        answer["error"]["code"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    assert_eq!(call(json!({ "op": "history", "args": { "limit": 0 } })), "invalid");
    assert_eq!(call(json!({ "op": "history", "args": { "limit": 1_000_000 } })), "invalid");
    assert_eq!(call(json!({ "op": "history", "args": { "conversation": "attic" } })), "not_found");
    assert_eq!(call(json!({ "op": "surfaced", "args": { "cursor": u64::MAX } })), "invalid");
    assert_eq!(call(json!({ "op": "invite", "args": { "valid_s": 1 } })), "invalid");
    assert_eq!(call(json!({ "op": "join", "args": { "ticket": "fedp2p1zzzz", "name": null } })), "invalid");
    assert_eq!(call(json!({ "op": "ack", "args": { "ids": [] } })), "invalid");
    assert_eq!(call(json!({ "op": "ack", "args": { "ids": ["%%%"] } })), "invalid");
    assert_eq!(call(json!({ "op": "send", "args": { "text": "" } })), "invalid");
    assert_eq!(call(json!({ "op": "send", "args": { "text": "x".repeat(33 * 1024) } })), "too_large");
    assert_eq!(call(json!({ "op": "send", "args": { "text": "x", "to": ["ghost@nowhere"] } })), "not_found");
    assert_eq!(call(json!({ "op": "send", "args": { "text": "x", "correlation": "c".repeat(200) } })), "too_large");
    assert_eq!(call(json!({ "op": "state", "args": { "pulse": { "summary": "x".repeat(2_000) } } })), "too_large");
    assert_eq!(call(json!({ "op": "vote_new", "args": { "question": "?", "options": ["one"] } })), "invalid");
    assert_eq!(call(json!({ "op": "vote_cast", "args": { "id": "nothing", "choices": ["x"] } })), "not_found");
}

#[test]
fn garbage_on_the_network_is_dropped_and_the_daemon_goes_on() {
    let world = World::new();
    let [mut taichi, aorus] = world.mesh(["taichi", "aorus"]);
    let address = taichi.tcp();
    let multistream = b"\x13/multistream/1.0.0\n";
    let openings: [Vec<u8>; 6] = [
        Vec::new(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        multistream.to_vec(),
        [&multistream[..], b"\x07/noise\n", &noise(1, 600)].concat(),
        [&multistream[..], b"\xff\xff\xff\xff\x0f"].concat(),
        noise(2, 70_000),
    ];
    for opening in openings {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // It may be closed while we write.
        drop(stream.write_all(&opening));
        drop(stream.shutdown(std::net::Shutdown::Write));
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest));
    }
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    for seed in 0..50 {
        udp.send_to(&noise(seed, 1_200), address).unwrap();
    }
    assert!(taichi.is_running());
    let id = aorus.send(&["ada@taichi"], "still there?");
    aorus.wait_for_delivery(&id, fedp2p_protocols::api::message::DeliveryState::Stored);
}
