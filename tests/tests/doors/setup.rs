//! Tools set up in a home with settings of its own, and their hooks run as they stand there.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use fedp2p_tests::node::Node;
use fedp2p_tests::world::World;
use serde_json::{Value, json};

const SETTINGS: &str =
    "{\n  // mine\n  \"theme\": \"GitHub\",\n  \"mcpServers\": { \"docs\": { \"command\": \"docs\" } }\n}\n";

/// A node in a world whose home folder is a user's.
fn user(world: &World) -> Node {
    fs::create_dir(world.path(".gemini")).unwrap();
    fs::write(world.path(".gemini/settings.json"), SETTINGS).unwrap();
    world.node("taichi")
}

#[test]
fn a_tool_is_set_up_its_hook_speaks_and_it_is_taken_out_byte_for_byte() {
    let world = World::new();
    let mut taichi = user(&world);
    taichi.up(&[]);
    let reply = taichi.json(&["--agent", "coder", "setup", "gemini"]);
    assert_eq!((reply["tool"].as_str(), reply["files"][0]["action"].as_str()), (Some("gemini"), Some("change")));
    let backup = reply["files"][0]["backup"].as_str().unwrap();
    assert_eq!(fs::read_to_string(backup).unwrap(), SETTINGS);
    let text = fs::read_to_string(world.path(".gemini/settings.json")).unwrap();
    assert!(text.starts_with("{\n  // mine\n  \"theme\": \"GitHub\",\n"), "{text}");

    let line = text.lines().find(|line| line.contains("hook gemini AfterTool")).unwrap();
    let line: Value = serde_json::from_str(&format!("{{{}}}", line.trim().trim_end_matches(','))).unwrap();
    taichi.cli(&["--agent", "coder", "state", "--status", "NEW"]).ok();
    taichi.send(&["coder"], "hello from the mesh");
    let shell = taichi.beside("sh", &world.path("run"), &["-c", line["command"].as_str().unwrap()], &[]).ok();
    assert!(shell.stdout.contains("hello from the mesh"), "{shell:?}");

    let list = taichi.json(&["setup"]);
    let gemini = list.as_array().unwrap().iter().find(|tool| tool["tool"] == "gemini").unwrap();
    assert_eq!(gemini["user"], true);
    taichi.cli(&["setup", "gemini", "--remove"]).ok();
    assert_eq!(fs::read_to_string(world.path(".gemini/settings.json")).unwrap(), SETTINGS);
    assert_eq!(fs::read_dir(world.path(".gemini")).unwrap().count(), 1);
}

#[test]
fn a_dry_run_shows_a_diff_and_changes_nothing() {
    let world = World::new();
    let taichi = user(&world);
    let shown = taichi.cli(&["setup", "gemini", "--dry-run"]).ok();
    assert!(shown.stdout.contains("+++ ") && shown.stdout.contains("hook gemini AfterTool"), "{shown:?}");
    assert_eq!(fs::read_to_string(world.path(".gemini/settings.json")).unwrap(), SETTINGS);
    assert!(!taichi.home().exists());
    let reply = taichi.json(&["setup", "codex", "--dry-run"]);
    assert!(reply["dry_run"] == true && reply["files"][0]["diff"].as_str().unwrap().contains("+[mcp_servers.fedp2p]"));
    assert!(!world.path(".codex").exists());
}

#[test]
fn a_project_has_settings_of_its_own_in_which_others_find_the_program_by_name_or_path() {
    let world = World::new();
    let taichi = user(&world);
    fs::create_dir(world.path("website")).unwrap();
    let project = format!("--project={}", world.path("website").display());
    for tool in ["claude-code", "codex", "cursor", "gemini", "copilot", "opencode", "cline"] {
        taichi.cli(&["setup", tool, &project]).ok();
    }
    for file in [
        ".mcp.json",
        ".claude/settings.json",
        ".codex/config.toml",
        ".codex/hooks.json",
        ".cursor/mcp.json",
        ".cursor/hooks.json",
        ".gemini/settings.json",
        ".github/mcp.json",
        ".github/hooks/fedp2p.json",
        "opencode.json",
        ".opencode/plugins/fedp2p.js",
        ".clinerules/hooks/PostToolUse",
    ] {
        let text = fs::read_to_string(world.path("website").join(file)).unwrap();
        assert!(text.contains("fedp2p"), "{file}: {text}");
    }
    assert_eq!(fs::read_to_string(world.path(".gemini/settings.json")).unwrap(), SETTINGS);
    for tool in ["claude-code", "codex", "cursor", "gemini", "copilot", "opencode", "cline"] {
        taichi.cli(&["setup", tool, &project, "--remove"]).ok();
    }
    assert_eq!(fs::read_dir(world.path("website")).unwrap().count(), 0);
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
    let world = World::new();
    let taichi = user(&world);
    let mistyped = taichi.refused(&["setup", "claud-code"]);
    assert_eq!(mistyped.0, 2);
    assert_eq!(mistyped.1["suggestions"], json!(["claude-code"]), "{}", mistyped.1);
    fs::write(world.path(".gemini/settings.json"), "{ \"theme\": ").unwrap();
    let (code, error) = taichi.refused(&["setup", "gemini"]);
    assert_eq!((code, error["code"].as_str()), (1, Some("invalid")));
    assert!(error["message"].as_str().unwrap().contains("does not parse"), "{error}");
    assert_eq!(fs::read_to_string(world.path(".gemini/settings.json")).unwrap(), "{ \"theme\": ");
    assert_eq!(taichi.refused(&["setup", "codex", "--project=/nowhere/at/all"]).1["code"], "not_found");
    assert_eq!(taichi.refused(&["setup", "codex", "--file", "/tmp/x"]).0, 2);
    let (_, error) = taichi.refused(&["setup", "generic"]);
    assert!(error["hint"].as_str().unwrap().contains("mcpServers"), "{error}");
    let file = world.path("tool.json");
    taichi.cli(&["setup", "generic", "--file", file.to_str().unwrap()]).ok();
    let entry: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert!(entry["mcpServers"]["fedp2p"]["args"].as_array().unwrap().contains(&json!("generic")), "{entry}");
    taichi.cli(&["setup", "generic", "--file", file.to_str().unwrap(), "--remove"]).ok();
    assert!(!file.exists());
}

#[test]
fn a_hook_of_the_users_own_goes_on_being_run_and_the_model_reads_both() {
    let world = World::new();
    let mut taichi = world.node("taichi");
    taichi.up(&[]);
    let hook = world.path("Documents/Cline/Hooks/PostToolUse");
    let theirs = "#!/bin/sh\ncat > \"$0.heard\"\necho '{\"contextModification\":\"from the user\"}'\nexit 3\n";
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, theirs).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o700)).unwrap();
    taichi.cli(&["--agent", "coder", "setup", "cline"]).ok();
    assert!(world.path(".cline/data/settings/cline_mcp_settings.json").exists());
    taichi.cli(&["--agent", "coder", "state", "--status", "NEW"]).ok();
    taichi.send(&["coder"], "hello from the mesh");
    let line = format!("echo '{{\"taskId\":\"s\"}}' | '{}'", hook.display());
    let ran = taichi.beside("sh", &world.path("run"), &["-c", &line], &[]);
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    let words = answer["contextModification"].as_str().unwrap();
    assert!(words.starts_with("from the user\n\n") && words.contains("hello from the mesh"), "{answer}");
    assert_eq!((ran.code, &answer["cancel"]), (3, &json!(false)));
    let heard = fs::read_to_string(world.path("Documents/Cline/Hooks/PostToolUse.before-fedp2p.heard")).unwrap();
    assert_eq!(heard, "{\"taskId\":\"s\"}\n");
    let envelope = taichi.cli(&["doctor", "--json"]).envelope();
    let findings = envelope["doctor"]["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["what"] == "Cline hook").unwrap();
    assert_ne!(found["verdict"], "bad", "{found}");
    assert_eq!(fs::read_to_string(world.path("Documents/Cline/Hooks/PostToolUse.before-fedp2p.heard")).unwrap(), heard);
    taichi.cli(&["setup", "cline", "--remove"]).ok();
    assert_eq!(fs::read_to_string(&hook).unwrap(), theirs);
    assert_eq!(fs::metadata(&hook).unwrap().permissions().mode() & 0o777, 0o700);
}
