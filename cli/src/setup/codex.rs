//! Codex.
//!
//! Follows "Hooks" and "Model Context Protocol" of its documentation (developers.openai.com/codex) and the schemas of
//! what hooks read and print (`codex-rs/hooks/schema` in its repository). Servers stand in `config.toml`, hooks in
//! `hooks.json` beside it. It has no hook for the end of a session, and runs no hook that its person has not trusted.

use super::claude_code::hook_group;
use super::merge::Change;
use super::target::Target;
use super::{Edit, Event, Moment, SERVER, Tool, nested_answer};
use crate::error::Error;

pub(crate) static TOOL: Tool = Tool {
    name: "codex",
    title: "Codex",
    events: &[
        Event::heard("SessionStart", Moment::Start),
        Event::heard("UserPromptSubmit", Moment::Prompt),
        Event::heard("PostToolUse", Moment::Step),
        Event::heard("Stop", Moment::Stop),
    ],
    answer: |event, text| nested_answer(event, text, "block"),
    nothing: "{}",
    edits,
    afterwards: "start Codex anew and trust the hooks there: /hooks",
};

/// After how many seconds it gives a hook up.
const TIMEOUT_S: u32 = 10;

fn edits(target: &Target<'_>) -> Result<Vec<Edit>, Error> {
    let folder = target.folder(Some("CODEX_HOME"), ".codex");
    let (command, arguments) = (target.launch.program.clone(), target.server_arguments());
    let server = Change::Toml { within: "mcp_servers", key: SERVER, tool: TOOL.name, command, arguments };
    let entries = TOOL.events.iter().map(|event| hook_group(target, event, TIMEOUT_S)).collect();
    Ok(vec![
        Edit { path: folder.join("config.toml"), change: server },
        Edit { path: folder.join("hooks.json"), change: Change::Json { comments: false, entries } },
    ])
}
