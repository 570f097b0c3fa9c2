//! Official clients, the inspector and the conformance kit.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fedp2p_tests::binary;
use fedp2p_tests::clients::{self, Npm};
use fedp2p_tests::mcp::Place;
use fedp2p_tests::node::Node;
use fedp2p_tests::world::World;
use serde_json::{Value, json};

/// An agent as a program of an official client finds it.
pub(crate) fn agent(world: &World, node: &Node, name: &str, http: bool) -> Value {
    if http {
        let place = Place::of(node);
        return json!({"name": name, "node": node.name(), "url": place.url, "token": place.token});
    }
    let home = node.home().to_str().unwrap();
    json!({
        "name": name, "node": node.name(), "cwd": world.path(""), "command": binary::fedp2p(),
        "args": ["--home", home, "mcp", "--agent", name, "--no-start"],
        "env": {"USER": "ada", "HOME": world.path("")},
    })
}

/// Three agents on two nodes.
fn plan(world: &World, nodes: &[Node], http: bool, more: Value) -> Value {
    let mut plan = more;
    let agent = |name: &str, node: &Node| agent(world, node, name, http);
    plan["agents"] = json!([agent("taichi", &nodes[0]), agent("baby", &nodes[1]), agent("aorus", &nodes[1])]);
    plan
}

/// Runs a program to its end and returns what it printed.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// Plays the scenario on fresh nodes, and looks at what came of it.
#[track_caller]
fn play(http: bool, more: Value, command: impl FnOnce(&Path) -> Command) {
    let world = World::new();
    let nodes = world.daemons(2);
    let file = world.path("plan.json");
    std::fs::write(&file, plan(&world, &nodes, http, more).to_string()).unwrap();
    let result: Value = serde_json::from_str(run(&mut command(&file)).trim()).unwrap();
    assert_eq!(result["decided"], json!({"winner": "OAuth2", "votes": {"OAuth2": 2, "JWT": 1}}), "{result}");
    assert_eq!(result["tools"].as_array().map(Vec::len), Some(12), "{result}");
    assert!(result["pulse"].as_u64().unwrap() >= 3 && result["prompts"] == 4, "{result}");
    let history = nodes[0].history();
    assert!(history.iter().any(|message| message.text.contains("auth-module.py")), "{history:#?}");
}

fn javascript(npm: &Npm, program: &str) -> Command {
    let mut command = Command::new(&npm.node);
    command.arg(npm.folder.join(program)).current_dir(&npm.folder);
    command
}

#[test]
fn the_typescript_clients_play_the_whitepaper_over_pipes_and_http_in_both_eras() {
    let Some(npm) = clients::npm() else { return };
    for (sdk, mode) in [("v1", "legacy"), ("v2", "auto")] {
        for http in [false, true] {
            play(http, json!({"sdk": sdk, "mode": mode}), |plan| {
                let mut command = javascript(npm, "scenario.mjs");
                command.arg(plan);
                command
            });
        }
    }
}

#[test]
fn the_python_client_plays_the_whitepaper_over_pipes_and_http_in_both_eras() {
    let Some(python) = clients::python() else { return };
    for mode in ["legacy", "auto"] {
        for http in [false, true] {
            play(http, json!({"mode": mode}), |plan| {
                let mut command = Command::new(python);
                command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/scenario.py")).arg(plan);
                command
            });
        }
    }
}

#[test]
fn the_python_client_takes_what_the_full_profile_answers_for_what_its_schemas_say() {
    let Some(python) = clients::python() else { return };
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&[]);
    let file = world.path("server.json");
    let home = node.home().to_str().unwrap();
    let server = json!({
        "command": binary::fedp2p(), "cwd": world.path(""),
        "args": ["--home", home, "mcp", "--agent", "coder", "--no-start", "--profile", "full"],
        "env": {"USER": "ada", "HOME": world.path("")},
    });
    std::fs::write(&file, server.to_string()).unwrap();
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/full.py")).arg(&file);
    let result: Value = serde_json::from_str(run(&mut command).trim()).unwrap();
    // What another agent would have to send first.
    assert_eq!(result["not_called"], json!(["federation_ack"]), "{result}");
}

#[test]
fn the_inspector_lists_and_calls_everything() {
    let Some(npm) = clients::npm() else { return };
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&[]);
    // The inspector takes what looks like an option of the server for one of its own.
    let server = world.path("server");
    let (program, home) = (binary::fedp2p().display(), node.home().display());
    let line = format!("USER=ada exec '{program}' --home '{home}'");
    std::fs::write(&server, format!("#!/bin/sh\n{line} mcp --agent coder --no-start\n")).unwrap();
    std::fs::set_permissions(&server, std::fs::Permissions::from_mode(0o700)).unwrap();
    let inspect = |words: &[&str]| {
        let mut command = javascript(npm, "node_modules/.bin/inspector");
        command.arg("--cli").arg(&server).args(words);
        let printed = run(&mut command);
        serde_json::from_str::<Value>(printed.trim()).unwrap_or_else(|error| panic!("{error}: {printed}"))
    };
    let tools = inspect(&["--method", "tools/list"]);
    assert_eq!(tools["tools"].as_array().map(Vec::len), Some(12));
    assert!(inspect(&["--method", "resources/list"])["resources"].as_array().unwrap().len() >= 4);
    assert_eq!(inspect(&["--method", "resources/templates/list"])["resourceTemplates"].as_array().unwrap().len(), 4);
    assert_eq!(inspect(&["--method", "prompts/list"])["prompts"].as_array().unwrap().len(), 4);
    let calls: [(&str, &[&str]); 12] = [
        ("federation_digest", &["tokens=200"]),
        ("federation_pulse", &[]),
        ("federation_update_state", &["action=EXECUTING"]),
        ("federation_send", &["content=hello"]),
        ("federation_inbox", &[]),
        ("federation_consensus_request", &["question=Which?", "options=[\"a\",\"b\"]", "consensus_id=which"]),
        ("federation_consensus_respond", &["consensus_id=which", "response=a"]),
        ("federation_consensus_results", &["consensus_id=which"]),
        ("federation_assign_role", &["agent=coder", "role=analyst"]),
        ("federation_claim_task", &["task_id=build", "create=true"]),
        ("federation_tasks", &[]),
        ("federation_notes", &[]),
    ];
    for (tool, arguments) in calls {
        let mut words = vec!["--method", "tools/call", "--tool-name", tool];
        words.extend(arguments.iter().flat_map(|argument| ["--tool-arg", argument]));
        let result = inspect(&words);
        assert!(result["structuredContent"].is_object() && result["isError"] != true, "{tool}: {result}");
    }
}

/// The conformance kit's way to a server, with the token that the kit cannot show. Ended when dropped.
struct Proxy {
    child: Child,
    url: String,
}

impl Proxy {
    fn start(npm: &Npm, node: &Node) -> Self {
        let place = Place::of(node);
        let mut command = javascript(npm, "proxy.mjs");
        command.args([&place.url, &place.token]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned() }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn conform(npm: &Npm, url: &str, folder: &Path, words: &[&str]) {
    let mut command = javascript(npm, "node_modules/@modelcontextprotocol/conformance/dist/index.js");
    run(command.args(["server", "--url", url]).args(words).current_dir(folder));
}

#[test]
fn the_real_server_conforms_wherever_the_kit_needs_no_fixtures() {
    let Some(npm) = clients::npm() else { return };
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&[]);
    let proxy = Proxy::start(npm, &node);
    for (revision, scenarios) in REAL {
        for scenario in scenarios.iter().copied() {
            conform(npm, &proxy.url, &world.path(""), &["--spec-version", revision, "--scenario", scenario]);
        }
    }
}

#[test]
fn the_same_server_with_fixtures_conforms_to_both_revisions_entirely() {
    let Some(npm) = clients::npm() else { return };
    let world = World::new();
    let mut node = world.node("taichi");
    node.up(&["--mcp-profile", "fixtures"]);
    let proxy = Proxy::start(npm, &node);
    for revision in ["2025-11-25", "2026-07-28"] {
        conform(npm, &proxy.url, &world.path(""), &["--requirements", revision]);
    }
}

/// The scenarios that look at no tool, prompt or resource of their own, by revision.
const REAL: [(&str, &[&str]); 2] = [
    (
        "2025-11-25",
        &[
            "server-initialize",
            "ping",
            "completion-complete",
            "tools-list",
            "resources-list",
            "prompts-list",
            "server-sse-multiple-streams",
            "dns-rebinding-protection",
            "server-session-lifecycle",
        ],
    ),
    (
        "2026-07-28",
        &[
            "completion-complete",
            "tools-list",
            "resources-list",
            "prompts-list",
            "server-sse-multiple-streams",
            "dns-rebinding-protection",
            "caching",
            "sep-2164-resource-not-found",
            "http-header-validation",
            "input-required-result-unsupported-methods",
        ],
    ),
];
