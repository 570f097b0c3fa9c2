//! For whom a client speaks.

use fedp2p_tests::mcp::Mcp;
use fedp2p_tests::node::Node;
use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, holds};
use serde_json::{Value, json};

/// What a node says of an agent; nothing if it knows none of this address.
fn row(node: &Node, address: &str) -> Option<Value> {
    let agents = node.json(&["agents"]);
    agents["agents"].as_array().unwrap().iter().find(|row| row["address"] == address).cloned()
}

#[track_caller]
fn wait_for_presence(node: &Node, address: &str, presence: Option<&str>) {
    eventually("the presence is right", || {
        let row = row(node, address);
        let seen = row.as_ref().and_then(|row| row["presence"].as_str());
        holds(seen == presence, &row)
    });
}

#[test]
fn a_tool_in_a_project_is_the_same_agent_tomorrow_and_another_in_another_project() {
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&[]);
    let (app, web) = (world.path("app"), world.path("web"));
    std::fs::create_dir_all(app.join("src")).unwrap();
    std::fs::create_dir_all(app.join(".git")).unwrap();
    std::fs::create_dir_all(&web).unwrap();
    let mut first = Mcp::open(&node, &app, "claude-code", &[]);
    let address = first.address();
    assert!(address.starts_with("claude-code-app-") && address.ends_with("@taichi"), "{address}");
    let mut second = Mcp::open(&node, &app.join("src"), "claude-code", &[]);
    assert_eq!(second.address(), address.replace("@taichi", "-2@taichi"));
    assert!(Mcp::open(&node, &web, "claude-code", &[]).address().starts_with("claude-code-web-"));
    assert!(Mcp::open(&node, &app, "codex-mcp-client", &[]).address().starts_with("codex-app-"));
    assert!(Mcp::open(&node, &app, "x", &["--client", "cursor"]).address().starts_with("cursor-app-"));
    assert_eq!(first.leave(), 0);
    eventually("the name is free again", || {
        let found = Mcp::open(&node, &app, "claude-code", &[]).address();
        holds(found == address, found)
    });
}

#[test]
fn two_clients_are_one_agent_only_if_told_to() {
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&[]);
    let mut first = Mcp::open(&node, &world.path(""), "test", &["--agent", "coder"]);
    first.address();
    let mut second = Mcp::open(&node, &world.path(""), "test", &["--agent", "coder"]);
    let text = second.refused("federation_pulse", json!({}));
    assert!(text.contains("another client speaks as coder") && text.contains("--share"), "{text}");
    let mut third = Mcp::open(&node, &world.path(""), "test", &["--agent", "coder", "--share"]);
    assert_eq!(third.address(), "coder@taichi");
}

#[test]
fn an_agent_is_gone_when_its_client_is_and_a_made_up_one_that_did_nothing_is_forgotten() {
    let world = World::new();
    let nodes = world.daemons(2);
    let mut coder = Mcp::open(&nodes[0], &world.path(""), "test", &["--agent", "coder"]);
    coder.call("federation_update_state", json!({"action": "WORKING"}));
    wait_for_presence(&nodes[1], "coder@n0", Some("reachable"));
    assert_eq!(coder.leave(), 0);
    wait_for_presence(&nodes[1], "coder@n0", Some("gone"));
    let mut killed = Mcp::open(&nodes[0], &world.path(""), "test", &["--agent", "coder"]);
    killed.address();
    wait_for_presence(&nodes[1], "coder@n0", Some("reachable"));
    drop(killed);
    wait_for_presence(&nodes[1], "coder@n0", Some("gone"));

    let mut idle = Mcp::open(&nodes[0], &world.path(""), "idler", &[]);
    let address = idle.address();
    wait_for_presence(&nodes[1], &address, Some("reachable"));
    idle.leave();
    wait_for_presence(&nodes[1], &address, None);
}

#[test]
fn a_client_goes_on_when_the_daemon_was_away() {
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&[]);
    let mut coder = Mcp::open(&node, &world.path(""), "test", &["--agent", "coder", "--no-start"]);
    coder.call("federation_update_state", json!({"action": "WORKING"}));
    node.kill();
    let text = coder.refused("federation_pulse", json!({}));
    assert!(text.contains("daemon"), "{text}");
    node.up(&[]);
    assert_eq!(coder.address(), "coder@taichi");
    wait_for_presence(&node, "coder@taichi", Some("reachable"));
}

#[test]
fn no_client_is_a_person() {
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&[]);
    let mut thief = Mcp::open(&node, &world.path(""), "test", &["--agent", "ada"]);
    let text = thief.refused("federation_send", json!({"content": "I am Ada"}));
    assert!(text.contains("person"), "{text}");
    let mut coder = Mcp::open(&node, &world.path(""), "ada", &[]);
    let address = coder.address();
    coder.call("federation_update_state", json!({"action": "IDLE"}));
    assert_eq!(row(&node, &address).unwrap()["kind"], "ai");
}

#[test]
fn a_client_that_was_started_elsewhere_says_which_project_it_works_on() {
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&[]);
    let app = world.path("my app");
    std::fs::create_dir(&app).unwrap();
    let mut client = Mcp::start(&node, &world.path(""), &[]);
    let params = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {"roots": {}},
        "clientInfo": {"name": "cline", "version": "1"},
    });
    client.request("initialize", params);
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    let asked = client.wait("the server asks", |line| (line["method"] == "roots/list").then(|| line["id"].clone()));
    let uri = format!("file://{}", app.to_str().unwrap().replace(' ', "%20"));
    client.send(&json!({"jsonrpc": "2.0", "id": asked, "result": {"roots": [{"uri": uri}]}}));
    let address = client.address();
    assert!(address.starts_with("cline-my-app-"), "{address}");
}
