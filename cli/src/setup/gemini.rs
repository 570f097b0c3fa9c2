//! Gemini CLI.
//!
//! Follows "Hooks reference" and "MCP servers with the Gemini CLI" of its documentation (geminicli.com/docs). Servers
//! and hooks stand in one `settings.json`, in which comments are allowed. Its hooks take the time in milliseconds.

use jsonc_parser::json;

use super::claude_code::hook_group;
use super::json::Entry;
use super::merge::Change;
use super::target::Target;
use super::{Edit, Event, Moment, SERVER, Tool, nested_answer};
use crate::error::Error;

pub(crate) static TOOL: Tool = Tool {
    name: "gemini",
    title: "Gemini CLI",
    events: &[
        Event::heard("SessionStart", Moment::Start),
        Event::heard("BeforeAgent", Moment::Prompt),
        Event::heard("AfterTool", Moment::Step),
        Event::heard("AfterAgent", Moment::Stop),
        Event::unheard("SessionEnd", Moment::End),
    ],
    answer: |event, text| nested_answer(event, text, "deny"),
    nothing: "{}",
    edits,
    afterwards: "start Gemini CLI anew",
};

/// After how many milliseconds it gives a hook up.
const TIMEOUT_MS: u32 = 10_000;

fn edits(target: &Target<'_>) -> Result<Vec<Edit>, Error> {
    let (command, arguments) = (target.launch.program.as_str(), target.server_arguments());
    let value = json!({ "command": command, "args": arguments });
    let mut entries = vec![Entry::Member { within: &["mcpServers"], key: SERVER, tool: TOOL.name, value }];
    entries.extend(TOOL.events.iter().map(|event| hook_group(target, event, TIMEOUT_MS)));
    let path = target.folder(None, ".gemini").join("settings.json");
    Ok(vec![Edit { path, change: Change::Json { comments: true, entries } }])
}
