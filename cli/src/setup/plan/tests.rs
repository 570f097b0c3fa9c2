use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;
use crate::setup::target::tests::target;
use crate::setup::{TOOLS, Tool, claude_code, cline, codex, cursor, gemini};

mod others;

/// A user's folders, with files of tools in them.
struct User {
    folder: TempDir,
}

impl User {
    fn new(files: &[(&str, &str)]) -> Self {
        let user = Self { folder: tempfile::tempdir().unwrap() };
        for (name, text) in files {
            fs::create_dir_all(user.path(name).parent().unwrap()).unwrap();
            fs::write(user.path(name), text).unwrap();
        }
        user
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn node(&self) -> PathBuf {
        self.path("node")
    }

    fn record(&self) -> Record {
        Record::open(&self.node()).unwrap()
    }

    fn set_up(&self, tool: &'static Tool) -> Result<Vec<Step>, Error> {
        let mut record = self.record();
        let plan = setting_up(&target(tool, self.folder.path(), Scope::User), &record)?;
        plan.carry_out(&mut record, &self.node())
    }

    fn remove(&self, tool: &'static Tool) -> Result<Vec<Step>, Error> {
        let mut record = self.record();
        let plan = removing(&target(tool, self.folder.path(), Scope::User), &record)?;
        plan.carry_out(&mut record, &self.node())
    }

    /// Every file but the record, with what is in it.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>, u32)> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path == self.node() {
                    continue;
                }
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                match path.is_dir() {
                    true => folders.push(path.clone()),
                    false => found.push((path.clone(), fs::read(&path).unwrap(), mode)),
                }
            }
        }
        found.sort();
        found
    }
}

const CLAUDE_SETTINGS: &str = r#"{
  "$schema": "https://json.schemastore.org/claude-code-settings.json",
  "model": "opus",
  "permissions": { "allow": ["Bash(cargo test:*)"], "deny": [] },
  "hooks": {
    "PostToolUse": [
      {
        "matcher": "Edit|Write",
        "hooks": [{ "type": "command", "command": "$CLAUDE_PROJECT_DIR/.claude/format.sh" }]
      }
    ],
    "Notification": []
  },
  "statusLine": {"type": "command", "command": "~/.claude/line.sh"}
}
"#;
/// Without a newline at its end, as that file is.
const CLAUDE_STATE: &str = r#"{
  "numStartups": 412,
  "mcpServers": {
    "github": {
      "type": "http",
      "url": "https://api.example.org/mcp/"
    }
  },
  "projects": {
    "/home/ada/src/x": { "allowedTools": [], "history": [{ "display": "naïve \u00e9 – tests" }] }
  }
}"#;
const CODEX_CONFIG: &str = r#"# How I like it
model = "gpt-5"   # the newest
approval_policy = "on-request"

[mcp_servers.docs]
command = "npx"
args = ["-y", "docs-mcp"]

[projects."/home/ada/src/x"]
trust_level = "trusted"
"#;
const CODEX_HOOKS: &str = r#"{"hooks":{"Stop":[{"hooks":[{"type":"command","command":"say done"}]}]}}"#;
const CURSOR_SERVERS: &str =
    "{\n\t// ours\n\t\"mcpServers\": {\n\t\t\"figma\": { \"url\": \"http://127.0.0.1:3845/mcp\" },\n\t}\n}\n";
const CURSOR_HOOKS: &str = r#"{
  "version": 1,
  "hooks": {
    "stop": [{ "command": "./hooks/audit.sh" }],
    "beforeShellExecution": [{ "command": "./hooks/gate.sh" }]
  }
}
"#;
const GEMINI_SETTINGS: &str = "{\r\n    /* house rules */\r\n    \"theme\": \"GitHub\",\r\n    \"hooks\": {\r\n        \"AfterTool\": [\r\n            {\r\n                \"matcher\": \"write_file\",\r\n                \"hooks\": [ { \"name\": \"lint\", \"type\": \"command\", \"command\": \"lint.sh\" } ]\r\n            }\r\n        ]\r\n    }\r\n}\r\n";

const COPILOT_SERVERS: &str =
    r#"{ "mcpServers": { "playwright": { "type": "local", "command": "npx", "args": ["x"], "tools": ["*"] } } }"#;
const OPENCODE: &str = r#"{
  "$schema": "https://opencode.ai/config.json",
  // keep it small
  "model": "anthropic/claude",
  "mcp": {
    "docs": { "type": "remote", "url": "https://example.org/mcp" },
  },
}
"#;
const CLINE_SERVERS: &str = "{\n\t\"mcpServers\": {}\n}";

fn everything() -> [(&'static str, &'static str); 11] {
    [
        (".claude/settings.json", CLAUDE_SETTINGS),
        (".claude.json", CLAUDE_STATE),
        (".codex/config.toml", CODEX_CONFIG),
        (".codex/hooks.json", CODEX_HOOKS),
        (".cursor/mcp.json", CURSOR_SERVERS),
        (".cursor/hooks.json", CURSOR_HOOKS),
        (".gemini/settings.json", GEMINI_SETTINGS),
        (".copilot/mcp-config.json", COPILOT_SERVERS),
        (".config/opencode/opencode.jsonc", OPENCODE),
        (".cline/data/settings/cline_mcp_settings.json", CLINE_SERVERS),
        ("tool.json", "{}"),
    ]
}

#[test]
fn every_tool_is_set_up_beside_what_is_there_and_removed_byte_for_byte() {
    for tool in TOOLS {
        let user = User::new(&everything());
        let before = user.files();
        let steps = user.set_up(tool).unwrap();
        assert!(!steps.is_empty() && steps.iter().all(|step| step.action != Action::Keep), "{}", tool.name);
        for step in &steps {
            let now = fs::read_to_string(&step.path).unwrap();
            assert!(now.contains("fedp2p"), "{now}");
            let saved = step.backup.as_ref().map(|backup| fs::read_to_string(backup).unwrap());
            assert_eq!(saved, step.before, "{}", step.path.display());
        }
        assert!(user.set_up(tool).unwrap().iter().all(|step| step.action == Action::Keep), "{}", tool.name);
        user.remove(tool).unwrap();
        assert_eq!(user.files(), before, "{}", tool.name);
        assert!(user.record().tools.is_empty());
    }
}

#[test]
fn where_nothing_was_nothing_is_left() {
    for tool in TOOLS {
        let user = User::new(&[]);
        user.set_up(tool).unwrap();
        assert!(!user.files().is_empty());
        user.remove(tool).unwrap();
        let left: Vec<_> = fs::read_dir(user.folder.path()).unwrap().flatten().map(|entry| entry.path()).collect();
        assert_eq!(left, [user.node()], "{}", tool.name);
    }
}

#[test]
fn what_somebody_else_has_written_since_stays_when_ours_is_taken_out() {
    let user = User::new(&everything());
    for tool in TOOLS {
        user.set_up(tool).unwrap();
    }
    let edit = |name: &str, from: &str, to: &str| {
        let text = user.read(name);
        assert!(text.contains(from), "{name}: {text}");
        fs::write(user.path(name), text.replace(from, to)).unwrap();
    };
    edit(".claude.json", "412", "413");
    edit(".codex/config.toml", "gpt-5", "gpt-6");
    edit(".cursor/hooks.json", "audit.sh", "audit2.sh");
    edit(".gemini/settings.json", "GitHub", "Dark");
    for tool in TOOLS {
        user.remove(tool).unwrap();
    }
    assert_eq!(user.read(".claude.json"), CLAUDE_STATE.replace("412", "413"));
    assert_eq!(user.read(".claude/settings.json"), CLAUDE_SETTINGS);
    assert_eq!(user.read(".codex/config.toml"), CODEX_CONFIG.replace("gpt-5", "gpt-6"));
    for (name, from, to) in
        [(".cursor/hooks.json", "audit.sh", "audit2.sh"), (".gemini/settings.json", "GitHub", "Dark")]
    {
        let text = user.read(name);
        assert!(text.contains(to) && !text.contains(from) && !text.contains("fedp2p"), "{text}");
    }
    assert!(user.read(".gemini/settings.json").contains("/* house rules */\r\n"));
}

#[test]
fn setting_up_again_after_others_wrote_keeps_their_words_and_ours_once() {
    let user = User::new(&everything());
    user.set_up(&claude_code::TOOL).unwrap();
    let changed = user.read(".claude/settings.json").replace("opus", "sonnet");
    fs::write(user.path(".claude/settings.json"), &changed).unwrap();
    user.set_up(&claude_code::TOOL).unwrap();
    let now = user.read(".claude/settings.json");
    assert!(now.contains("sonnet"));
    assert_eq!(now.matches("hook claude-code Stop").count(), 1, "{now}");
    user.remove(&claude_code::TOOL).unwrap();
    let after = user.read(".claude/settings.json");
    assert!(after.contains("sonnet") && !after.contains("fedp2p"), "{after}");
}

#[test]
fn entries_are_what_the_tools_document() {
    let user = User::new(&everything());
    for tool in TOOLS {
        user.set_up(tool).unwrap();
    }
    let json = |name: &str| -> serde_json::Value { serde_json::from_str(&user.read(name)).unwrap() };
    let settings = json(".claude/settings.json");
    assert_eq!(settings["hooks"]["PostToolUse"][0]["matcher"], "Edit|Write");
    let ours = &settings["hooks"]["PostToolUse"][1]["hooks"][0];
    assert_eq!(ours["type"], "command");
    assert_eq!(ours["command"], "'/opt/fed p2p/fedp2p' hook claude-code PostToolUse");
    let server = &json(".claude.json")["mcpServers"]["fedp2p"];
    assert_eq!(server["command"], "/opt/fed p2p/fedp2p");
    assert_eq!(server["args"], serde_json::json!(["mcp", "--client", "claude-code"]));
    let codex: toml_edit::DocumentMut = user.read(".codex/config.toml").parse().unwrap();
    assert_eq!(codex["mcp_servers"]["fedp2p"]["args"][2].as_str(), Some("codex"));
    assert_eq!(json(".codex/hooks.json")["hooks"]["Stop"].as_array().unwrap().len(), 2);
    let hooks = json(".cursor/hooks.json");
    assert_eq!((hooks["version"].as_u64(), hooks["hooks"]["stop"].as_array().unwrap().len()), (Some(1), 2));
    assert!(user.read(".gemini/settings.json").contains("\"timeout\": 10000"));
}

#[test]
fn a_file_that_does_not_parse_stops_everything_before_anything_is_written() {
    for (tool, name) in [
        (&claude_code::TOOL, ".claude/settings.json"),
        (&codex::TOOL, ".codex/hooks.json"),
        (&cursor::TOOL, ".cursor/hooks.json"),
        (&gemini::TOOL, ".gemini/settings.json"),
    ] {
        let user = User::new(&everything());
        fs::write(user.path(name), "{ \"hooks\": ").unwrap();
        let before = user.files();
        let error = user.set_up(tool).unwrap_err();
        let report = error.report("fedp2p");
        assert!(report.message.contains(name) && report.hint.contains("mend"), "{report:?}");
        assert_eq!(user.files(), before);
    }
}

#[test]
fn links_and_permissions_stay() {
    let user = User::new(&[("dotfiles/settings.json", CLAUDE_SETTINGS)]);
    fs::create_dir(user.path(".claude")).unwrap();
    fs::set_permissions(user.path("dotfiles/settings.json"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("../dotfiles/settings.json", user.path(".claude/settings.json")).unwrap();
    user.set_up(&claude_code::TOOL).unwrap();
    assert!(fs::symlink_metadata(user.path(".claude/settings.json")).unwrap().is_symlink());
    let mode = |name: &str| fs::metadata(user.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("dotfiles/settings.json"), 0o640);
    assert_eq!(mode(&format!("dotfiles/settings.json.{BACKUP}")), 0o640);
    assert_eq!(mode(".claude.json"), 0o600);
    user.remove(&claude_code::TOOL).unwrap();
    assert_eq!(user.read("dotfiles/settings.json"), CLAUDE_SETTINGS);
}

#[test]
fn a_backup_of_before_is_never_written_over() {
    let user = User::new(&[(".gemini/settings.json", "{}\n"), (".gemini/settings.json.before-fedp2p", "precious")]);
    let steps = user.set_up(&gemini::TOOL).unwrap();
    assert_eq!(user.read(".gemini/settings.json.before-fedp2p"), "precious");
    assert!(steps[0].backup.as_ref().unwrap().ends_with("settings.json.before-fedp2p-2"));
    user.remove(&gemini::TOOL).unwrap();
    assert_eq!(user.read(".gemini/settings.json"), "{}\n");
    assert!(!user.path(".gemini/settings.json.before-fedp2p-2").exists());
}

#[test]
fn without_the_record_ours_is_still_taken_out() {
    let user = User::new(&everything());
    user.set_up(&codex::TOOL).unwrap();
    fs::remove_dir_all(user.node()).unwrap();
    user.remove(&codex::TOOL).unwrap();
    assert_eq!(user.read(".codex/config.toml"), CODEX_CONFIG);
    assert!(!user.read(".codex/hooks.json").contains("fedp2p"));
    assert!(!user.node().exists(), "removing makes no home");
}

#[test]
fn a_lost_record_does_not_make_ours_a_part_of_what_was_before() {
    let user = User::new(&everything());
    user.set_up(&gemini::TOOL).unwrap();
    fs::remove_dir_all(user.node()).unwrap();
    user.set_up(&gemini::TOOL).unwrap();
    user.remove(&gemini::TOOL).unwrap();
    assert!(!user.read(".gemini/settings.json").contains("fedp2p"));
}

#[test]
fn a_diff_shows_what_would_change_and_nothing_is_written() {
    let user = User::new(&everything());
    let before = user.files();
    let plan = setting_up(&target(&codex::TOOL, user.folder.path(), Scope::User), &user.record()).unwrap();
    let diff: String = plan.steps.iter().map(Step::diff).collect();
    assert!(diff.contains("+[mcp_servers.fedp2p]") && diff.contains(" trust_level = \"trusted\""), "{diff}");
    assert!(plan.changes());
    assert_eq!(user.files(), before);
}

#[test]
fn a_plan_that_is_no_longer_true_is_not_carried_out() {
    let user = User::new(&everything());
    let mut record = user.record();
    let plan = setting_up(&target(&codex::TOOL, user.folder.path(), Scope::User), &record).unwrap();
    fs::write(user.path(".codex/hooks.json"), "{}").unwrap();
    assert!(plan.carry_out(&mut record, &user.node()).is_err());
    assert_eq!(user.read(".codex/config.toml"), CODEX_CONFIG);
}

#[test]
fn a_hook_that_is_a_program_can_be_run() {
    let user = User::new(&[]);
    user.set_up(&cline::TOOL).unwrap();
    let mode = fs::metadata(user.path(".cline/hooks/PostToolUse")).unwrap().permissions().mode();
    assert_eq!(mode & 0o100, 0o100);
}
