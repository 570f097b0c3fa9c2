//! `fedp2p doctor` on nodes that are well and on nodes that are not.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use fedp2p_tests::mcp::Mcp;
use fedp2p_tests::node::Node;
use fedp2p_tests::world::World;
use serde_json::Value;

/// What the doctor finds, whether something is bad or not.
fn findings(node: &Node) -> (i32, Vec<Value>) {
    let output = node.cli(&["doctor", "--json"]);
    let envelope = output.envelope();
    (output.code, envelope["doctor"]["findings"].as_array().unwrap().clone())
}

fn verdict(findings: &[Value], what: &str) -> String {
    let finding = findings.iter().find(|finding| finding["what"] == what);
    finding.unwrap_or_else(|| panic!("{what}: {findings:#?}"))["verdict"].as_str().unwrap().to_owned()
}

#[test]
fn a_node_that_is_well_has_nothing_bad_and_a_home_that_others_may_open_has() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    let (code, found) = findings(&taichi);
    let bad: Vec<&Value> = found.iter().filter(|finding| finding["verdict"] == "bad").collect();
    assert!(code == 0 && bad.is_empty(), "{bad:#?}");
    for what in ["home", "node key", "daemon", "certificate", "other nodes", "firewall", "coding tools"] {
        assert_eq!(verdict(&found, what), "good", "{found:#?}");
    }
    assert_eq!(verdict(&found, "PIN"), "doubtful");
    fs::set_permissions(taichi.home(), fs::Permissions::from_mode(0o755)).unwrap();
    let (code, found) = findings(&taichi);
    assert_eq!((code, verdict(&found, "home").as_str()), (1, "bad"));
    let words = taichi.cli(&["doctor"]);
    assert!(words.code == 1 && words.stdout.contains("chmod go-rwx"), "{words:?}");
    fs::set_permissions(taichi.home(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn without_a_daemon_the_doctor_says_how_to_start_it() {
    let world = World::new();
    let taichi = world.node("taichi");
    let (code, found) = findings(&taichi);
    assert_eq!((code, verdict(&found, "daemon").as_str()), (1, "bad"));
    let daemon = found.iter().find(|finding| finding["what"] == "daemon").unwrap();
    assert!(daemon["hint"].as_str().unwrap().contains("up --detach"), "{daemon}");
}

#[test]
fn the_hook_of_each_tool_that_was_set_up_is_run() {
    let world = World::new();
    let [taichi] = world.mesh(["taichi"]);
    let tools = [
        ("claude-code", "Claude Code"),
        ("codex", "Codex"),
        ("cursor", "Cursor"),
        ("gemini", "Gemini CLI"),
        ("copilot", "GitHub Copilot CLI"),
        ("opencode", "OpenCode"),
        ("cline", "Cline"),
    ];
    for (tool, _) in tools {
        taichi.cli(&["--agent", "coder", "setup", tool]).ok();
    }
    taichi.cli(&["--agent", "coder", "state", "--status", "NEW"]).ok();
    taichi.send(&["coder"], "still unread");
    let (_, found) = findings(&taichi);
    for (_, title) in tools {
        assert_ne!(verdict(&found, &format!("{title} hook")), "bad", "{found:#?}");
    }
    let waiting = taichi.waiting("coder", fedp2p_protocols::pulse::AgentKind::Ai);
    assert_eq!(waiting, ["still unread"], "the doctor takes nothing");
    fs::write(world.path(".codex/hooks.json"), "{}").unwrap();
    let (code, found) = findings(&taichi);
    assert_eq!((code, verdict(&found, "Codex hook").as_str()), (1, "bad"));
}

#[test]
fn a_name_that_a_client_uses_proves_that_the_tool_works() {
    let world = World::new();
    let [mut taichi] = world.mesh(["taichi"]);
    taichi.cli(&["--agent", "coder", "setup", "codex"]).ok();
    let said = |node: &Node| {
        let (_, found) = findings(node);
        let finding = found.iter().find(|finding| finding["what"] == "Codex server").unwrap();
        (finding["verdict"].as_str().unwrap().to_owned(), finding["found"].as_str().unwrap().to_owned())
    };
    let (verdict, found) = said(&taichi);
    assert!(verdict == "good" && found.contains("speaks as coder@taichi"), "{found}");
    let mut codex = Mcp::open(&taichi, &world.path(""), "codex", &["--agent", "coder"]);
    codex.address();
    let (verdict, found) = said(&taichi);
    assert!(verdict == "good" && found.contains("coder is in use by a client that runs"), "{found}");
    drop(codex);
    taichi.down();
    std::fs::write(taichi.home().join("node.key"), "no key").unwrap();
    let (verdict, found) = said(&taichi);
    assert!(verdict == "bad" && found.contains("does not reach the daemon"), "{found}");
}
