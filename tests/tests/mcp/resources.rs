//! What clients read, start from and are told of.

use fedp2p_tests::mcp::{Mcp, meta};
use fedp2p_tests::world::World;
use serde_json::{Value, json};

fn read(client: &mut Mcp, uri: &str) -> Value {
    let answer = client.request("resources/read", json!({"uri": uri}));
    let text = answer["result"]["contents"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
    serde_json::from_str(text).unwrap()
}

#[test]
fn everything_there_is_can_be_read_found_and_followed() {
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&[]);
    let mut coder = Mcp::open(&node, &world.path(""), "test", &["--agent", "coder"]);
    let mut tester = Mcp::open(&node, &world.path(""), "test", &["--agent", "tester"]);
    coder.call("federation_notes", json!({"action": "append", "name": "plan", "text": "first"}));
    coder.call("federation_tasks", json!({"action": "new", "title": "Build", "task_id": "build"}));
    let listed = coder.request("resources/list", json!({}))["result"]["resources"].to_string();
    for uri in ["pulse", "mesh", "inbox/coder", "conversation/lobby", "task/build", "note/plan"] {
        let uri = format!("federation://{uri}");
        assert!(listed.contains(&format!("\"{uri}\"")), "{uri} in {listed}");
        read(&mut coder, &uri);
    }
    assert_eq!(read(&mut coder, "federation://note/plan")["text"].as_str().unwrap().trim(), "first");
    let templates = coder.request("resources/templates/list", json!({}))["result"]["resourceTemplates"].clone();
    assert_eq!(templates.as_array().map(Vec::len), Some(4));
    let complete = json!({
        "ref": {"type": "ref/resource", "uri": "federation://note/{name}"},
        "argument": {"name": "name", "value": "pl"},
    });
    assert_eq!(coder.request("completion/complete", complete)["result"]["completion"]["values"], json!(["plan"]));
    let answer = coder.request("resources/read", json!({"uri": "federation://note/none"}));
    assert_eq!(answer["error"]["code"], -32002, "{answer}");
    let answer = coder.request("resources/read", json!({"uri": "federation://inbox/tester"}));
    assert!(answer.get("error").is_some(), "{answer}");

    for uri in ["federation://note/plan", "federation://inbox/coder"] {
        assert!(coder.request("resources/subscribe", json!({"uri": uri})).get("error").is_none());
    }
    tester.call("federation_notes", json!({"action": "append", "name": "plan", "text": "second"}));
    tester.call("federation_send", json!({"content": "look at the plan", "to": "coder"}));
    for uri in ["federation://note/plan", "federation://inbox/coder"] {
        coder.wait("the client is told", |line| {
            let told = line["method"] == "notifications/resources/updated" && line["params"]["uri"] == uri;
            told.then_some(())
        });
    }
    let inbox = read(&mut coder, "federation://inbox/coder");
    assert_eq!(inbox["messages"][0]["text"], "look at the plan");
    // Reading it so does not mark it.
    assert_eq!(coder.call("federation_inbox", json!({}))["messages"][0]["text"], "look at the plan");
}

#[test]
fn prompts_are_our_words_alone() {
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&[]);
    let mut coder = Mcp::open(&node, &world.path(""), "test", &["--agent", "coder"]);
    let prompts = coder.request("prompts/list", json!({}))["result"]["prompts"].clone();
    assert_eq!(prompts.as_array().map(Vec::len), Some(4));
    let get = json!({"name": "prepare-decision", "arguments": {"question": "OAuth2 or\u{202e} JWT?"}});
    let text = coder.request("prompts/get", get)["result"]["messages"][0]["content"]["text"].to_string();
    assert!(text.contains("OAuth2 or\\\\u{202e} JWT?"), "{text}");
    let answer = coder.request("prompts/get", json!({"name": "prepare-decision"}));
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    let answer = coder.request("prompts/get", json!({"name": "nothing"}));
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
}

#[test]
fn the_newer_era_needs_no_handshake_and_follows_by_a_stream() {
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&[]);
    let mut coder = Mcp::start(&node, &world.path(""), &["--agent", "coder"]);
    let meta = meta("test", json!({}));
    let found = coder.request("server/discover", json!({"_meta": meta}));
    assert!(found["result"]["supportedVersions"].to_string().contains("2026-07-28"), "{found}");
    let listed = coder.request("tools/list", json!({"_meta": meta}));
    assert_eq!(listed["result"]["cacheScope"], "public", "{listed}");
    assert!(listed["result"]["ttlMs"].as_u64().unwrap() > 0 && listed["result"]["resultType"] == "complete");
    let uri = "federation://note/plan";
    let listens =
        coder.ask("subscriptions/listen", json!({"notifications": {"resourceSubscriptions": [uri]}, "_meta": meta}));
    coder
        .wait("the stream begins", |line| (line["method"] == "notifications/subscriptions/acknowledged").then_some(()));
    let write = json!({"name": "federation_notes", "arguments": {"action": "append", "name": "plan", "text": "x"}, "_meta": meta});
    let written = coder.request("tools/call", write);
    assert_eq!(written["result"]["resultType"], "complete", "{written}");
    coder.wait("the client is told", |line| {
        (line["method"] == "notifications/resources/updated" && line["params"]["uri"] == uri).then_some(())
    });
    coder.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": listens}}));
    assert_eq!(coder.leave(), 0);
}
