//! The server and the hooks of one session of a tool speak as one agent.

use fedp2p_tests::binary;
use fedp2p_tests::mcp::Mcp;
use fedp2p_tests::node::Node;
use fedp2p_tests::world::World;
use serde_json::{Value, json};

/// A tool: it starts its server, asks it who it is, and runs a hook while the server runs. The arguments are the program,
/// the home, the tool, the hook, what the tool says to the hook, and the lines for the server.
const TOOL: &str = r#"
mkfifo in out
"$0" --home "$1" mcp --client "$2" --no-start < in > out &
exec 3> in 4< out
printf '%s\n' "$5" "$6" "$7" >&3
read -r greeting <&4
read -r picture <&4
printf '%s\n' "$picture"
printf '%s' "$4" | "$0" --home "$1" hook "$2" "$3"
exec 3>&-
wait
rm in out
"#;

/// Runs a session of a tool in a folder, and returns as whom its server and its hook speak.
#[track_caller]
fn session(node: &Node, folder: &std::path::Path, tool: &str, event: &str, said: &Value) -> (String, String) {
    let greeting =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": tool, "version": "1"}});
    let lines = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": greeting}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "federation_pulse", "arguments": {}}}),
    ]
    .map(|line| line.to_string());
    let (program, home) = (binary::fedp2p().to_str().unwrap(), node.home().to_str().unwrap());
    let said = said.to_string();
    let arguments = ["-c", TOOL, program, home, tool, event, &said, &lines[0], &lines[1], &lines[2]];
    let output = node.beside("sh", folder, &arguments, &[]);
    assert_eq!(output.code, 0, "{output:#?}");
    let (picture, hook) = output.stdout.split_once('\n').unwrap();
    let picture: Value = serde_json::from_str(picture).unwrap();
    (picture["result"]["structuredContent"]["you"].as_str().unwrap().to_owned(), speaker(hook))
}

/// As whom a hook speaks that was asked.
#[track_caller]
fn speaker(answer: &str) -> String {
    let rest = answer.split_once("fedp2p answers ").unwrap_or_else(|| panic!("{answer}")).1;
    rest.split('"').next().unwrap().to_owned()
}

#[test]
fn the_hooks_of_a_second_session_in_a_project_speak_as_its_own_server() {
    let world = World::new();
    let [node] = world.mesh(["taichi"]);
    let app = world.path("app");
    std::fs::create_dir(&app).unwrap();
    let said = json!({"session_id": "s", "cwd": &app, "permission_mode": "default", "fedp2p_probe": true});
    let ask = || {
        let hook = node.cli_with_input(&["hook", "claude-code", "PostToolUse"], said.to_string().as_bytes());
        speaker(&hook.ok().stdout)
    };
    let before = ask();
    assert!(before.starts_with("claude-code-app-"), "{before}");
    let mut first = Mcp::open(&node, &app, "claude-code", &["--client", "claude-code"]);
    assert_eq!(first.address(), before);
    let (server, hook) = session(&node, &app, "claude-code", "PostToolUse", &said);
    assert_eq!(server, before.replace("@taichi", "-2@taichi"));
    assert_eq!(hook, server);
    assert_eq!(ask(), before, "the first session goes on as it was");
}

#[test]
fn a_server_that_was_not_started_in_the_project_gives_its_name_to_the_hooks() {
    let world = World::new();
    let [node] = world.mesh(["taichi"]);
    let (app, elsewhere) = (world.path("app"), world.path("elsewhere"));
    std::fs::create_dir(&app).unwrap();
    std::fs::create_dir(&elsewhere).unwrap();
    let said = json!({
        "conversation_id": "s", "cursor_version": "3.7.21", "workspace_roots": [&app], "fedp2p_probe": true,
    });
    let (server, hook) = session(&node, &elsewhere, "cursor", "postToolUse", &said);
    assert!(server.starts_with("cursor-elsewhere-"), "{server}");
    assert_eq!(hook, server);
    assert!(std::fs::read_dir(node.home().join("speaking")).unwrap().next().is_none(), "nothing is left behind");
}
