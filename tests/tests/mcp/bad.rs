//! Clients that do what they should not. Each gets a clear answer, and the daemon serves the others.

use std::collections::BTreeSet;

use fedp2p_protocols::pulse::AgentKind;
use fedp2p_tests::mcp::{Mcp, meta};
use fedp2p_tests::node::{Node, message};
use fedp2p_tests::world::World;
use serde_json::json;

fn node(world: &World) -> Node {
    let mut node = world.node("taichi");
    node.up(&[]);
    node
}

#[test]
fn unknown_tools_and_methods_are_refused_by_name() {
    let world = World::new();
    let node = node(&world);
    let mut client = Mcp::open(&node, &world.path(""), "test", &["--agent", "coder"]);
    let answer = client.request("tools/call", json!({"name": "federation_sned", "arguments": {}}));
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("did you mean federation_send?"), "{answer}");
    let answer = client.request("tools/explode", json!({}));
    assert_eq!(answer["error"]["code"], -32601, "{answer}");
    let answer = client.request("tools/call", json!({"arguments": {}}));
    assert!(answer.get("error").is_some(), "{answer}");
    assert_eq!(client.address(), "coder@taichi");
}

#[test]
fn what_is_no_request_is_answered_and_what_is_too_long_is_cut() {
    let world = World::new();
    let node = node(&world);
    let mut client = Mcp::open(&node, &world.path(""), "test", &["--agent", "coder"]);
    for (line, code) in [(&b"this is no JSON\n"[..], -32700), (b"\xff\xfe\n", -32700), (b"\n[]\n", -32600)] {
        client.send_bytes(line);
        let answer = client.wait("an answer", |line| line.get("error").is_some().then(|| line.clone()));
        assert_eq!((&answer["error"]["code"], answer.get("id")), (&json!(code), None), "{answer}");
    }
    client.send_bytes(b"{\"jsonrpc\":\"1.0\",\"id\":98,\"method\":\"ping\"}\n");
    let answer = client.wait("an answer", |line| (line["id"] == 98).then(|| line.clone()));
    assert_eq!(answer["error"]["code"], -32600, "{answer}");
    // Some clients write the id first and some last.
    let long = "y".repeat(64 * 1024 * 1024);
    client.send_bytes(format!("{{\"jsonrpc\":\"2.0\",\"id\":99,\"method\":\"{long}\"}}\n").as_bytes());
    let behind =
        format!("{{\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"params\":{{\"id\":1,\"x\":\"{long}\"}},\"id\":\"b\"}}\n");
    client.send_bytes(behind.as_bytes());
    for id in [json!(99), json!("b")] {
        let answer = client.wait("an answer", |line| (line["id"] == id).then(|| line.clone()));
        let error = json!({"code": -32600, "message": "the request has more than 1048576 bytes"});
        assert_eq!(answer["error"], error, "{answer}");
    }
    assert_eq!(client.address(), "coder@taichi");
}

#[test]
fn huge_arguments_are_refused_and_change_nothing() {
    let world = World::new();
    let node = node(&world);
    let mut client = Mcp::open(&node, &world.path(""), "test", &["--agent", "coder"]);
    let text = client.refused("federation_send", json!({"content": "x".repeat(40_000)}));
    assert!(text.contains("at most"), "{text}");
    let text = client.refused("federation_send", json!({"content": "x".repeat(500_000)}));
    assert!(text.contains("262144"), "{text}");
    let text = client.refused("federation_send", json!({"content": "x", "data": vec![1; 30_000]}));
    assert!(text.contains("Next: "), "{text}");
    assert!(node.history().is_empty());
}

#[test]
fn a_thousand_calls_at_once_are_all_answered_and_others_are_served_meanwhile() {
    let world = World::new();
    let node = node(&world);
    let mut client = Mcp::open(&node, &world.path(""), "test", &["--agent", "coder"]);
    client.address();
    let asked: BTreeSet<u64> = (0..1000)
        .map(|n| {
            let name = if n % 2 == 0 { "federation_pulse" } else { "federation_update_state" };
            let arguments = if n % 2 == 0 { json!({}) } else { json!({"summary": format!("step {n}")}) };
            client.ask("tools/call", json!({"name": name, "arguments": arguments}))
        })
        .collect();
    assert_eq!(node.cli(&["status"]).code, 0);
    for id in asked {
        client.wait("an answer", |line| {
            (line["id"] == id).then(|| assert_ne!(line["result"]["isError"], true, "{line}"))
        });
    }
    assert_eq!(node.cli(&["pulse"]).code, 0);
}

#[test]
fn a_client_that_vanishes_in_the_middle_of_a_call_leaves_nothing_behind() {
    let world = World::new();
    let node = node(&world);
    for _ in 0..20 {
        let mut client = Mcp::open(&node, &world.path(""), "test", &["--agent", "coder", "--share"]);
        client.ask("tools/call", json!({"name": "federation_inbox", "arguments": {"wait_s": 50}}));
        drop(client);
    }
    let mut client = Mcp::open(&node, &world.path(""), "test", &["--agent", "coder", "--share"]);
    client.ask("tools/call", json!({"name": "federation_inbox", "arguments": {"wait_s": 50}}));
    assert_eq!(client.leave(), 0, "the server ends with its client");
    fedp2p_tests::eventually("the agent has gone", || {
        let agents = node.json(&["agents"]).to_string();
        fedp2p_tests::holds(agents.contains("\"gone\""), agents)
    });
}

#[test]
fn a_client_that_reads_no_answer_has_got_no_message() {
    let world = World::new();
    let node = node(&world);
    node.cli(&["--agent", "coder", "state", "--status", "NEW"]).ok();
    node.session_as("tester", AgentKind::Ai).call(message(&["coder"], "please look")).unwrap();
    let mut deaf = Mcp::deaf(&node, &world.path(""), &["--agent", "coder"]);
    deaf.ask("tools/call", json!({"name": "federation_inbox", "arguments": {}, "_meta": meta("test", json!({}))}));
    deaf.leave();
    let mut client = Mcp::open(&node, &world.path(""), "test", &["--agent", "coder"]);
    let inbox = client.call("federation_inbox", json!({}));
    assert_eq!(inbox["messages"][0]["text"], "please look", "{inbox}");
    assert!(inbox.get("notice").is_none(), "{inbox}");
    assert_eq!(client.call("federation_inbox", json!({}))["messages"], json!([]));
    assert_eq!(client.leave(), 0);
    assert!(node.waiting("coder", AgentKind::Ai).is_empty(), "what was written counts as handed out");
}
