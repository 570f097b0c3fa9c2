//! The door over HTTP: who may call, and as whom.

use fedp2p_tests::mcp::{Mcp, Place};
use fedp2p_tests::world::World;
use serde_json::json;

type Headers = Vec<(String, String)>;

#[test]
fn only_who_knows_the_token_and_is_no_page_of_another_site_is_answered() {
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&[]);
    let place = Place::of(&node);
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).to_string();
    let with = |change: &dyn Fn(&mut Headers)| {
        let mut headers = place.headers();
        change(&mut headers);
        place.send("POST", &headers, ping.as_bytes()).0
    };
    let set = |headers: &mut Vec<(String, String)>, name: &str, value: Option<&str>| {
        headers.retain(|(known, _)| known != name);
        headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    };
    assert_eq!(with(&|headers| set(headers, "Authorization", None)), 401);
    assert_eq!(with(&|headers| set(headers, "Authorization", Some("Bearer 0123"))), 401);
    assert_eq!(with(&|headers| set(headers, "Origin", Some("https://evil.example"))), 403);
    assert_eq!(with(&|headers| set(headers, "Origin", Some("null"))), 403);
    assert_eq!(with(&|headers| set(headers, "Host", Some("evil.example"))), 403);
    assert_ne!(with(&|_| ()), 401);
    let (status, answer) = place.call(Some("tool"), "federation_pulse", &json!({}));
    assert_eq!((status, &answer["result"]["structuredContent"]["you"]), (200, &json!("tool@taichi")), "{answer}");

    let mut headers = place.headers();
    set(&mut headers, "Authorization", None);
    let (status, head, body) = place.send("POST", &headers, ping.as_bytes());
    assert_eq!(status, 401);
    let head = head.to_lowercase();
    assert!(head.contains("www-authenticate: bearer") && body.contains("fedp2p status"), "{head}{body}");
    assert!(head.contains("connection: close"), "{head}");
    let huge = vec![b'x'; 8 * 1024 * 1024];
    // Whoever does not stop writing may lose the answer.
    let status = place.send("POST", &place.headers(), &huge).0;
    assert!(matches!(status, 0 | 413), "{status}");
    assert_eq!(node.cli(&["status"]).code, 0);
}

#[test]
fn a_client_without_a_session_names_its_agent_each_time() {
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&[]);
    let place = Place::of(&node);
    let (_, answer) = place.call(Some("my-tool"), "federation_send", &json!({"content": "hello"}));
    assert_ne!(answer["result"]["isError"], true, "{answer}");
    assert_eq!(node.history()[0].from.to_string(), "my-tool@taichi");
    // The same name over a pipe is taken as long as that client was heard.
    let mut pipe = Mcp::open(&node, &world.path(""), "x", &["--agent", "my-tool"]);
    let text = pipe.refused("federation_pulse", json!({}));
    assert!(text.contains("another client"), "{text}");
    // Two clients of one tool could not be told apart otherwise, and a wrong name is nobody's.
    for (agent, says) in [(None, "send \"Fedp2p-Agent: NAME\""), (Some("Not A Name!"), "names no agent")] {
        let (status, body) = place.send_call(agent, "federation_send", &json!({"content": "who am I?"}));
        assert!(status == 400 && body.contains(says), "{status} {body}");
    }
    let (_, answer) = place.call(Some("ada"), "federation_send", &json!({"content": "I am Ada"}));
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert_eq!(node.history().len(), 1);
}

#[test]
fn two_sessions_of_one_tool_are_two_agents_and_a_wrong_name_is_refused_there_too() {
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&[]);
    let place = Place::of(&node);
    let begin = || {
        let info = json!({"name": "my-tool", "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).to_string();
        let (status, head, body) = place.send("POST", &place.headers(), body.as_bytes());
        assert_eq!(status, 200, "{body}");
        let id = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("mcp-session-id").then(|| value.trim().to_owned())
        });
        let mut headers = place.headers();
        headers.push(("Mcp-Session-Id".to_owned(), id.unwrap()));
        let body = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
        assert_eq!(place.send("POST", &headers, body.as_bytes()).0, 202);
        headers
    };
    let body = json!({"name": "federation_pulse", "arguments": {}});
    let body = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": body}).to_string();
    let (first, second) = (begin(), begin());
    for (headers, address) in [(&first, "my-tool@taichi"), (&second, "my-tool-2@taichi")] {
        let (status, _, body) = place.send("POST", headers, body.as_bytes());
        assert!(status == 200 && body.contains(&format!("\"you\":\"{address}\"")), "{address}: {body}");
    }
    let named = [first, vec![("Fedp2p-Agent".to_owned(), "Not A Name!".to_owned())]].concat();
    assert_eq!(place.send("POST", &named, body.as_bytes()).0, 400);
}

#[test]
fn connections_that_say_nothing_or_never_end_what_they_say_keep_nobody_out() {
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&[]);
    let place = Place::of(&node);
    let mut head = "POST /mcp HTTP/1.1\r\nContent-Length: 100\r\n".to_owned();
    for (name, value) in place.headers() {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let slow = format!("{head}\r\n{{");
    // More than there are places for.
    let waiting: Vec<_> = (0..150).map(|n| place.open(if n % 2 == 0 { b"" } else { slow.as_bytes() })).collect();
    assert_eq!(place.call(Some("tool"), "federation_pulse", &json!({})).0, 200);
    drop(waiting);
    // What a client says of itself is kept as long as its session: that has a limit of its own.
    let info = json!({"name": "x".repeat(900_000), "version": "1"});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).to_string();
    assert_eq!(place.send("POST", &place.headers(), body.as_bytes()).0, 413);
}

#[test]
fn the_address_and_the_token_stay_and_the_door_can_be_left_closed() {
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&[]);
    let before = Place::of(&node);
    node.down();
    node.up(&[]);
    let after = Place::of(&node);
    assert_eq!((&before.url, &before.token), (&after.url, &after.token));
    assert_eq!(after.call(Some("tool"), "federation_pulse", &json!({})).0, 200);
    node.down();
    node.up(&["--no-mcp"]);
    assert!(node.json(&["status"]).get("mcp").is_none());
}
