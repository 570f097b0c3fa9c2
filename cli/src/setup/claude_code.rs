//! Claude Code.
//!
//! Follows "Hooks reference", "Claude Code settings" and "Connect Claude Code to tools via MCP" of its documentation
//! (code.claude.com/docs). Hooks stand in `settings.json`, servers in `.mcp.json` of a project or in `.claude.json` of
//! the user. A hook that ends with code 2 would stop what the model does, so ours never does.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use fedp2p_protocols::name::AgentName;
use jsonc_parser::json;

use super::json::Entry;
use super::merge::Change;
use super::target::{Scope, Target};
use super::{Edit, Event, Moment, SERVER, Tool, nested_answer};
use crate::error::Error;

pub(crate) static TOOL: Tool = Tool {
    name: "claude-code",
    title: "Claude Code",
    events: &[
        Event::heard("SessionStart", Moment::Start),
        Event::heard("UserPromptSubmit", Moment::Prompt),
        Event::heard("PostToolUse", Moment::Step),
        Event::heard("Stop", Moment::Stop),
        Event::unheard("SessionEnd", Moment::End),
    ],
    answer: |event, text| nested_answer(event, text, "block"),
    nothing: "{}",
    edits,
    afterwards: "start Claude Code anew; in a project it asks whether to trust the server",
};

/// The file that it reads before each command of a model in a shell, where a session begins.
pub(crate) const SHELL_FILE: &str = "CLAUDE_ENV_FILE";
/// After how many seconds it gives a hook up.
const TIMEOUT_S: u32 = 10;

fn edits(target: &Target<'_>) -> Result<Vec<Edit>, Error> {
    let settings = target.folder(Some("CLAUDE_CONFIG_DIR"), ".claude").join("settings.json");
    let servers = match &target.scope {
        Scope::Project(project) => project.join(".mcp.json"),
        Scope::User => target.path_in("CLAUDE_CONFIG_DIR").unwrap_or(target.user_home.to_owned()).join(".claude.json"),
    };
    let (command, arguments) = (target.launch.program.as_str(), target.server_arguments());
    let server = Entry::Member {
        within: &["mcpServers"],
        key: SERVER,
        tool: TOOL.name,
        value: json!({ "type": "stdio", "command": command, "args": arguments }),
    };
    let hooks = TOOL.events.iter().map(|event| hook_group(target, event, TIMEOUT_S)).collect();
    Ok(vec![
        Edit { path: servers, change: Change::Json { comments: false, entries: vec![server] } },
        Edit { path: settings, change: Change::Json { comments: false, entries: hooks } },
    ])
}

/// A hook as Claude Code, Codex and Gemini write it: a group with one command. `timeout` is in the tool's own unit.
pub(super) fn hook_group(target: &Target<'_>, event: &Event, timeout: u32) -> Entry {
    let command = target.hook_line(event.name);
    Entry::Element {
        within: "hooks",
        list: event.name,
        tool: target.tool.name,
        value: json!({ "hooks": [{ "type": "command", "command": command, "timeout": timeout }] }),
    }
}

/// Says in the shells of a session which agent its model is: what it commits and sends there is its own then.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn name_in_shells(path: &Path, agent: &AgentName) -> io::Result<()> {
    let line = format!("export FEDP2P_AGENT={agent}\n");
    // A session begins again and again, and every line is read each time.
    if fs::read_to_string(path).is_ok_and(|text| text.ends_with(&line) || text.contains(&format!("\n{line}"))) {
        return Ok(());
    }
    OpenOptions::new().append(true).create(true).open(path)?.write_all(format!("\n{line}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_named_once_beside_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("session.sh");
        let agent: AgentName = "coder".parse().unwrap();
        fs::write(&path, "export X=1").unwrap();
        for _ in 0..3 {
            name_in_shells(&path, &agent).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "export X=1\nexport FEDP2P_AGENT=coder\n");
    }
}
