//! People who are asked for a sign-off where the agent runs, and answer past the program that it runs in.

use std::process::Command;

use fedp2p_tests::mcp::{Mcp, exchange, meta};
use fedp2p_tests::node::Node;
use fedp2p_tests::world::World;
use fedp2p_tests::{clients, holds};
use serde_json::{Value, json};

use crate::official::{agent, run};

const PIN: &str = "correct horse";

fn node(world: &World) -> Node {
    let mut node = world.node("taichi");
    node.up(&[]);
    node.cli(&["state", "--status", "HERE"]).ok();
    let set = node.cli_with_input(&["pin", "--pin-stdin"], format!("{PIN}\n").as_bytes());
    assert_eq!(set.code, 0, "{set:?}");
    node
}

fn question(id: &str) -> Value {
    let arguments = json!({"question": "Delete <all> data?", "mechanism": "signoff", "consensus_id": id});
    json!({"name": "federation_consensus_request", "arguments": arguments})
}

/// A client that puts questions in the one era or the other.
struct Asker {
    mcp: Mcp,
    capabilities: Value,
    newer: bool,
}

/// A question that a client has been given for its person.
struct Put {
    call: u64,
    asked: Value,
    params: Value,
    /// The request of the server, or what it wants to have back.
    back: Value,
}

impl Asker {
    fn new(node: &Node, world: &World, newer: bool, capabilities: Value) -> Self {
        let words = ["--agent", "coder"];
        let mcp = match newer {
            true => Mcp::start(node, &world.path(""), &words),
            false => Mcp::open_able(node, &world.path(""), "test", capabilities.clone(), &words),
        };
        Self { mcp, capabilities, newer }
    }

    /// Puts a question, and waits until the client is asked.
    #[track_caller]
    fn put(&mut self, id: &str) -> Put {
        let mut params = question(id);
        if !self.newer {
            let call = self.mcp.ask("tools/call", params.clone());
            let line = self
                .mcp
                .wait("the client is asked", |line| (line["method"] == "elicitation/create").then(|| line.clone()));
            return Put { call, asked: line["params"].clone(), params, back: line["id"].clone() };
        }
        params["_meta"] = meta("test", self.capabilities.clone());
        let result = self.mcp.request("tools/call", params.clone())["result"].clone();
        assert_eq!(result["resultType"], "input_required", "{result}");
        let asked = &result["inputRequests"]["signoff"];
        assert_eq!(asked["method"], "elicitation/create", "{result}");
        Put { call: 0, asked: asked["params"].clone(), params, back: result["requestState"].clone() }
    }

    /// Says what the person does with it, and returns what the call comes to.
    #[track_caller]
    fn answer(&mut self, put: Put, action: &str) -> Value {
        let answer = json!({"action": action, "content": {}});
        let call = if self.newer {
            let mut params = put.params;
            params["inputResponses"] = json!({"signoff": answer});
            params["requestState"] = put.back;
            self.mcp.ask("tools/call", params)
        } else {
            self.mcp.send(&json!({"jsonrpc": "2.0", "id": put.back, "result": answer}));
            put.call
        };
        let line = self.mcp.wait("the answer", |line| (line["id"] == call).then(|| line.clone()));
        assert_ne!(line["result"]["isError"], true, "{line}");
        line["result"]["structuredContent"].clone()
    }
}

/// Looks at a page, or sends its form back as a browser does, and returns the status and the page.
fn browse(url: &str, form: Option<&str>) -> (u16, String) {
    let (authority, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let header = |name: &str, value: String| (name.to_owned(), value);
    let mut headers = vec![header("Host", authority.to_owned())];
    if form.is_some() {
        headers.push(header("Origin", format!("http://{authority}")));
        headers.push(header("Content-Type", "application/x-www-form-urlencoded".to_owned()));
    }
    let method = if form.is_some() { "POST" } else { "GET" };
    let (status, _, page) =
        exchange(authority, &format!("{method} /{path}"), &headers, form.unwrap_or_default().as_bytes());
    (status, page)
}

#[test]
fn a_person_answers_on_a_page_that_the_client_opens_and_only_with_the_pin() {
    for newer in [false, true] {
        let world = World::new();
        let node = node(&world);
        let mut asker = Asker::new(&node, &world, newer, json!({"elicitation": {"form": {}, "url": {}}}));
        let put = asker.put("wipe");
        assert_eq!((&put.asked["mode"], put.asked.get("requestedSchema")), (&json!("url"), None), "{}", put.asked);
        assert!(put.asked["message"].as_str().unwrap().contains("Delete <all> data?"), "{}", put.asked);
        let url = put.asked["url"].as_str().unwrap().to_owned();
        let (status, page) = browse(&url, None);
        assert!(status == 200 && page.contains("Delete &lt;all&gt; data?") && page.contains("coder@taichi"), "{page}");
        assert_eq!(browse(&url.replace("/approve/", "/approve/x"), None).0, 404);
        let (status, page) = browse(&url, Some("answer=approve&pin=guess"));
        assert!(status == 403 && page.contains("this is not the PIN of the node"), "{status} {page}");
        assert_eq!(browse(&url, Some("answer=approve&pin=")).0, 403);
        assert_eq!(node.json(&["vote", "show", "wipe"])["ballots"], json!([]));
        let right = format!("answer=approve&reason=backups+are+checked&pin={}", PIN.replace(' ', "+"));
        let (status, page) = browse(&url, Some(&right));
        assert!(status == 200 && page.contains("You approved it"), "{status} {page}");
        assert_eq!(browse(&url, Some(&right)).0, 404, "a page answers once");
        let answer = asker.answer(put, "accept");
        assert_eq!((&answer["phase"], &answer["winner"]), (&json!("closed"), &json!("approve")), "{answer}");
        let shown = node.json(&["vote", "show", "wipe"]);
        assert_eq!(shown["ballots"][0]["reason"], "backups are checked", "{shown}");
        assert_eq!(shown["ballots"][0]["proven"], true, "{shown}");
    }
}

#[test]
fn a_call_goes_on_when_the_person_answers_while_it_waits() {
    for newer in [false, true] {
        let world = World::new();
        let node = node(&world);
        let mut asker = Asker::new(&node, &world, newer, json!({"elicitation": {"url": {}}}));
        let put = asker.put("wipe");
        let url = put.asked["url"].as_str().unwrap().to_owned();
        let answering = std::thread::spawn(move || browse(&url, Some("answer=deny&pin=correct+horse")).0);
        let answer = asker.answer(put, "accept");
        assert_eq!(answer["winner"], "deny", "{answer}");
        assert_eq!(answering.join().unwrap(), 200);
    }
}

#[test]
fn a_question_that_is_declined_stays_open_for_everybody() {
    for newer in [false, true] {
        let world = World::new();
        let node = node(&world);
        let mut asker = Asker::new(&node, &world, newer, json!({"elicitation": {"url": {}}}));
        for (id, action) in [("one", "decline"), ("two", "cancel")] {
            let put = asker.put(id);
            let answer = asker.answer(put, action);
            assert_eq!((&answer["phase"], answer.get("winner")), (&json!("open"), None), "{answer}");
        }
        let given = node.cli_with_input(&["approve", "one", "--pin-stdin"], format!("{PIN}\n").as_bytes());
        assert_eq!(given.code, 0, "{given:?}");
        let list = node.json(&["approve", "list"]);
        assert_eq!(list["proposals"].as_array().map(Vec::len), Some(1), "{list}");
    }
}

#[test]
fn a_client_that_only_shows_words_is_given_no_field_for_the_pin() {
    for newer in [false, true] {
        let world = World::new();
        let node = node(&world);
        let mut asker = Asker::new(&node, &world, newer, json!({"elicitation": {}}));
        let put = asker.put("wipe");
        assert_eq!(put.asked["requestedSchema"], json!({"type": "object", "properties": {}}), "{}", put.asked);
        assert!(put.asked["message"].as_str().unwrap().contains("fedp2p approve wipe"), "{}", put.asked);
        let given = node.cli_with_input(&["approve", "wipe", "--pin-stdin"], format!("{PIN}\n").as_bytes());
        assert_eq!(given.code, 0, "{given:?}");
        assert_eq!(asker.answer(put, "accept")["winner"], "approve");
    }
}

#[test]
fn without_a_pin_nobody_answers_and_who_cannot_ask_or_be_asked_waits_for_nobody() {
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&[]);
    node.cli(&["state", "--status", "HERE"]).ok();
    let mut asker = Asker::new(&node, &world, false, json!({"elicitation": {"url": {}}}));
    let put = asker.put("wipe");
    let (status, page) = browse(put.asked["url"].as_str().unwrap(), Some("answer=approve&pin=1234"));
    assert!(status == 403 && page.contains("it has none yet") && page.contains("fedp2p pin"), "{status} {page}");
    assert_eq!(asker.answer(put, "cancel")["phase"], "open");
    drop(asker);
    let mut deaf = Mcp::open(&node, &world.path(""), "test", &["--agent", "tester"]);
    let answer = deaf.tool("federation_consensus_request", question("other")["arguments"].clone());
    assert_eq!(answer["structuredContent"]["phase"], "open", "{answer}");
    let text = deaf.refused(
        "federation_consensus_request",
        json!({"question": "Delete?", "mechanism": "signoff", "options": ["yes", "no"]}),
    );
    assert!(text.contains("a signoff has no options"), "{text}");
}

#[test]
fn the_person_of_an_official_client_is_asked_over_pipes_and_http_in_both_eras() {
    let Some(python) = clients::python() else { return };
    for (mode, http) in [("legacy", false), ("legacy", true), ("auto", false), ("auto", true)] {
        let world = World::new();
        let node = node(&world);
        let form = |answer: &str, pin: &str| json!([["answer", answer], ["pin", pin]]);
        let forms = json!([form("approve", PIN), form("deny", PIN), form("approve", "guess"), []]);
        let plan = json!({"mode": mode, "agent": agent(&world, &node, "coder", http), "forms": forms});
        let file = world.path("plan.json");
        std::fs::write(&file, plan.to_string()).unwrap();
        let mut command = Command::new(python);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/signoff.py")).arg(&file);
        let result: Value = serde_json::from_str(run(&mut command).trim()).unwrap();
        let winners: Vec<&Value> =
            result["answers"].as_array().unwrap().iter().map(|answer| &answer["winner"]).collect();
        let (approve, deny) = (json!("approve"), json!("deny"));
        assert_eq!(winners, [&approve, &deny, &Value::Null, &Value::Null], "{result}");
        let statuses: Vec<&Value> = result["asked"].as_array().unwrap().iter().map(|asked| &asked["status"]).collect();
        assert_eq!(statuses, [&json!(200), &json!(200), &json!(403), &Value::Null], "{result}");
        fedp2p_tests::eventually("two questions wait", || {
            let list = node.json(&["approve", "list"]);
            holds(list["proposals"].as_array().map(Vec::len) == Some(2), list)
        });
    }
}
