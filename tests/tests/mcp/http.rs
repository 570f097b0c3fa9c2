//! The door over HTTP: who may call, and as whom.

use fedp2p_tests::mcp::{Mcp, Place};
use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, holds};
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
    let (status, answer) = place.call("tool", "federation_pulse", &json!({}));
    assert_eq!((status, &answer["result"]["structuredContent"]["you"]), (200, &json!("tool@taichi")), "{answer}");

    let mut headers = place.headers();
    set(&mut headers, "Authorization", None);
    let (status, head, body) = place.send("POST", &headers, ping.as_bytes());
    assert_eq!(status, 401);
    assert!(head.to_lowercase().contains("www-authenticate: bearer") && body.contains("fedp2p status"), "{head}{body}");
    let huge = vec![b'x'; 8 * 1024 * 1024];
    // Whoever does not stop writing may lose the answer.
    let status = place.send("POST", &place.headers(), &huge).0;
    assert!(matches!(status, 0 | 413), "{status}");
    assert_eq!(node.cli(&["status"]).code, 0);
}

#[test]
fn a_client_without_a_session_names_its_agent_or_is_called_like_its_tool() {
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&[]);
    let place = Place::of(&node);
    let (_, answer) = place.call("my-tool", "federation_send", &json!({"content": "hello"}));
    assert_ne!(answer["result"]["isError"], true, "{answer}");
    assert_eq!(node.history()[0].from.to_string(), "my-tool@taichi");
    // The same name over a pipe is taken as long as that client was heard.
    let mut pipe = Mcp::open(&node, &world.path(""), "x", &["--agent", "my-tool"]);
    let text = pipe.refused("federation_pulse", json!({}));
    assert!(text.contains("another client"), "{text}");
    let (_, answer) = place.call("ada", "federation_send", &json!({"content": "I am Ada"}));
    assert_ne!(answer["result"]["isError"], true, "{answer}");
    eventually("the two have different authors", || {
        let history = node.history();
        holds(history.len() == 2 && history[1].from.agent.as_str() != "ada", history)
    });
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
    assert_eq!(after.call("tool", "federation_pulse", &json!({})).0, 200);
    node.down();
    node.up(&["--no-mcp"]);
    assert!(node.json(&["status"]).get("mcp").is_none());
}
