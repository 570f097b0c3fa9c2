//! What belongs to others stays theirs, whatever it is called and wherever it stands.

use super::*;

/// Takes a tool's entries out of a file that somebody has changed since: `from` is in it, `to` afterwards.
fn changed_and_removed(user: &User, tool: &'static Tool, name: &str, from: &str, to: &str) -> String {
    let text = user.read(name);
    assert!(text.contains(from), "{text}");
    fs::write(user.path(name), text.replacen(from, to, 1)).unwrap();
    user.remove(tool).unwrap();
    user.read(name)
}

#[test]
fn a_server_of_somebody_else_that_is_called_like_ours_is_neither_replaced_nor_removed() {
    let json = r#"{"mcpServers":{"fedp2p":{"command":"ssh","args":["box","fedp2p","mcp"]}}}"#;
    let toml = "[mcp_servers.fedp2p]\ncommand = \"ssh\"\nargs = [\"box\", \"fedp2p\", \"mcp\"]\n";
    for (tool, name, text) in [(&claude_code::TOOL, ".claude.json", json), (&codex::TOOL, ".codex/config.toml", toml)] {
        let user = User::new(&[(name, text)]);
        let before = user.files();
        let report = user.set_up(tool).unwrap_err().report("fedp2p");
        assert!(report.message.contains(name) && report.message.contains("\"fedp2p\""), "{report:?}");
        assert!(report.hint.contains("another name"), "{report:?}");
        user.remove(tool).unwrap();
        assert_eq!(user.files(), before);
    }
}

#[test]
fn the_copy_is_what_was_there_even_if_ours_was_in_it() {
    let user = User::new(&everything());
    user.set_up(&gemini::TOOL).unwrap();
    fs::remove_dir_all(user.node()).unwrap();
    let there = user.read(".gemini/settings.json");
    let steps = user.set_up(&gemini::TOOL).unwrap();
    assert_eq!(fs::read_to_string(steps[0].backup.as_ref().unwrap()).unwrap(), there);
    let there = there.replace("GitHub", "Dark");
    fs::write(user.path(".gemini/settings.json"), &there).unwrap();
    let steps = user.set_up(&gemini::TOOL).unwrap();
    assert_eq!(fs::read_to_string(steps[0].backup.as_ref().unwrap()).unwrap(), there);
    user.remove(&gemini::TOOL).unwrap();
    let left = user.read(".gemini/settings.json");
    assert!(left.contains("Dark") && !left.contains("fedp2p"), "{left}");
}

#[test]
fn only_commands_that_are_ours_to_the_last_word_are_taken_out() {
    let user = User::new(&[(".claude/settings.json", CLAUDE_SETTINGS)]);
    user.set_up(&claude_code::TOOL).unwrap();
    let theirs = [
        r#"{ "type": "command", "command": "say done" }"#,
        r#"{ "type": "command", "command": "fedp2p hook claude-code Stop | tee log" }"#,
        r#"{ "type": "command", "command": "date; fedp2p hook claude-code Stop" }"#,
        r#"{ "type": "command", "command": "echo see hook claude-code Stop for more" }"#,
        r#"{ "type": "command", "command": "fedp2p hook claude-code SessionEnd" }"#,
    ];
    // In the group that is ours, and in one of their own.
    let list = "\"Stop\": [";
    let group = format!("\"Stop\": [\n      {{ \"hooks\": [{}] }},", theirs.join(", "));
    let text = user.read(".claude/settings.json").replacen(list, &group, 1);
    let ours = text.find("'/opt/fed p2p/fedp2p' hook claude-code Stop\"").unwrap();
    let end = ours + text[ours..].find('}').unwrap() + 1;
    let text = format!("{}, {}{}", &text[..end], theirs[0], &text[end..]);
    fs::write(user.path(".claude/settings.json"), &text).unwrap();
    user.remove(&claude_code::TOOL).unwrap();
    let left: serde_json::Value = serde_json::from_str(&user.read(".claude/settings.json")).unwrap();
    let own: Vec<serde_json::Value> = theirs.iter().map(|hook| serde_json::from_str(hook).unwrap()).collect();
    assert_eq!(left["hooks"]["Stop"][0]["hooks"], serde_json::json!(own));
    assert_eq!(left["hooks"]["Stop"][1]["hooks"], serde_json::json!([own[0]]));
    assert_eq!(left["hooks"]["Stop"].as_array().unwrap().len(), 2, "{left}");
    assert!(!left.to_string().contains("/opt/fed p2p"), "{left}");
}

#[test]
fn lists_that_were_there_and_comments_in_what_is_empty_stay() {
    let before = "{\n  \"theme\": \"GitHub\",\n  \"hooks\": {\n    \"AfterAgent\": [ /* mine */ ],\n    \
                  \"AfterTool\": [],\n    // nothing yet\n  }\n}\n";
    let user = User::new(&[(".gemini/settings.json", before)]);
    user.set_up(&gemini::TOOL).unwrap();
    let left = changed_and_removed(&user, &gemini::TOOL, ".gemini/settings.json", "GitHub", "Dark");
    assert!(left.contains("\"AfterAgent\": [") && left.contains("/* mine */"), "{left}");
    assert!(left.contains("\"AfterTool\": []") && left.contains("// nothing yet"), "{left}");
    assert!(!left.contains("SessionStart") && !left.contains("mcpServers") && !left.contains("fedp2p"), "{left}");

    let user = User::new(&[(".gemini/settings.json", "{\n  \"theme\": \"GitHub\"\n}\n")]);
    user.set_up(&gemini::TOOL).unwrap();
    let left =
        changed_and_removed(&user, &gemini::TOOL, ".gemini/settings.json", "\"hooks\": {", "\"hooks\": { // why");
    assert!(left.contains("\"hooks\"") && left.contains("// why"), "{left}");
}

#[test]
fn before_ours_is_taken_out_of_a_file_that_others_have_changed_it_is_copied() {
    let user = User::new(&everything());
    user.set_up(&cursor::TOOL).unwrap();
    let changed = user.read(".cursor/hooks.json").replace("audit.sh", "audit2.sh");
    fs::write(user.path(".cursor/hooks.json"), &changed).unwrap();
    let steps = user.remove(&cursor::TOOL).unwrap();
    let step = steps.iter().find(|step| step.path == user.path(".cursor/hooks.json")).unwrap();
    assert_eq!(step.action, Action::TakeOut);
    assert_eq!(fs::read_to_string(step.backup.as_ref().unwrap()).unwrap(), changed);
    let other = steps.iter().find(|step| step.path == user.path(".cursor/mcp.json")).unwrap();
    assert!(other.action == Action::Restore && !user.path(".cursor/mcp.json.before-fedp2p").exists());
}

#[test]
fn a_link_to_a_file_of_another_name_is_cleared_as_well() {
    let user = User::new(&[("dotfiles/claude.json", CLAUDE_SETTINGS)]);
    fs::create_dir(user.path(".claude")).unwrap();
    symlink("../dotfiles/claude.json", user.path(".claude/settings.json")).unwrap();
    user.set_up(&claude_code::TOOL).unwrap();
    assert!(user.read("dotfiles/claude.json").contains("fedp2p"));
    user.remove(&claude_code::TOOL).unwrap();
    assert_eq!(user.read("dotfiles/claude.json"), CLAUDE_SETTINGS);
    assert!(fs::symlink_metadata(user.path(".claude/settings.json")).unwrap().is_symlink());
}

#[test]
fn a_file_that_cannot_be_told_any_more_is_said_and_not_forgotten() {
    let user = User::new(&[("dotfiles/claude.json", CLAUDE_SETTINGS)]);
    fs::create_dir(user.path(".claude")).unwrap();
    symlink("../dotfiles/claude.json", user.path(".claude/settings.json")).unwrap();
    user.set_up(&claude_code::TOOL).unwrap();
    fs::remove_file(user.path(".claude/settings.json")).unwrap();
    let before = user.files();
    let report = user.remove(&claude_code::TOOL).unwrap_err().report("fedp2p");
    assert!(report.message.contains("dotfiles/claude.json") && report.hint.contains("link"), "{report:?}");
    assert_eq!(user.files(), before);
    assert_eq!(user.record().tools.len(), 1);
    // Nothing of ours is in a file that is gone.
    fs::remove_file(user.path("dotfiles/claude.json")).unwrap();
    user.remove(&claude_code::TOOL).unwrap();
    assert!(user.record().tools.is_empty());
}

#[test]
fn a_hook_of_somebody_else_is_put_beside_ours_run_by_it_and_put_back() {
    let theirs = "#!/bin/sh\necho mine\n";
    let name = "Documents/Cline/Hooks/PostToolUse";
    for mode in [0o750, 0o640] {
        let user = User::new(&[(name, theirs)]);
        fs::set_permissions(user.path(name), fs::Permissions::from_mode(mode)).unwrap();
        let before = user.files();
        let steps = user.set_up(&cline::TOOL).unwrap();
        assert!(user.read(".cline/data/settings/cline_mcp_settings.json").contains("mcpServers"));
        let step = steps.iter().find(|step| step.path == user.path(name)).unwrap();
        let aside = step.backup.as_ref().unwrap();
        assert_eq!(fs::read_to_string(aside).unwrap(), theirs);
        assert_eq!(fs::metadata(aside).unwrap().permissions().mode() & 0o777, mode);
        assert_eq!(fs::metadata(user.path(name)).unwrap().permissions().mode() & 0o100, 0o100);
        let ours = user.read(name);
        assert!(ours.contains(&format!("hook cline PostToolUse --beside {}", aside.display())), "{ours}");
        assert!(!user.read("Documents/Cline/Hooks/TaskStart").contains("--beside"));
        assert!(user.set_up(&cline::TOOL).unwrap().iter().all(|step| step.action == Action::Keep));
        user.remove(&cline::TOOL).unwrap();
        assert_eq!(user.files(), before);
    }
}

#[test]
fn two_files_of_tools_that_are_not_known_are_cleared_one_by_one() {
    let user = User::new(&[("a/tool.json", "{}"), ("b/tool.json", "{\n}\n")]);
    let run = |name: &str, removes: bool| {
        let mut record = user.record();
        let target = Target { file: Some(user.path(name)), ..target(&generic::TOOL, user.folder.path(), Scope::User) };
        let plan = if removes { removing(&target, &record) } else { setting_up(&target, &record) };
        plan.unwrap().carry_out(&mut record, &user.node()).unwrap();
    };
    run("a/tool.json", false);
    run("b/tool.json", false);
    run("a/tool.json", true);
    assert_eq!(user.read("a/tool.json"), "{}");
    assert!(user.read("b/tool.json").contains("fedp2p"));
    run("b/tool.json", true);
    assert_eq!(user.read("b/tool.json"), "{\n}\n");
    assert!(user.record().tools.is_empty());
}
