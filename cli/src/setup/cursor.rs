//! Cursor.
//!
//! Follows "Hooks" and "Model Context Protocol" of its documentation (cursor.com/docs). Servers stand in `mcp.json`,
//! hooks in `hooks.json`, of the project or of the user. What a hook answers before it stops is sent as the next
//! message of the person, and only if the model was not interrupted.

use jsonc_parser::json;
use serde_json::json as answer;

use super::json::Entry;
use super::merge::Change;
use super::target::Target;
use super::{Edit, Event, Moment, SERVER, Tool};
use crate::error::Error;

pub(crate) static TOOL: Tool = Tool {
    name: "cursor",
    title: "Cursor",
    events: &[
        Event::heard("sessionStart", Moment::Start),
        Event::unheard("beforeSubmitPrompt", Moment::Prompt),
        Event::heard("postToolUse", Moment::Step),
        Event::heard("stop", Moment::Stop),
        Event::unheard("sessionEnd", Moment::End),
    ],
    answer: |event, text| match event.moment {
        Moment::Stop => answer!({ "followup_message": text }),
        Moment::Start | Moment::Prompt | Moment::Step | Moment::End => answer!({ "additional_context": text }),
    },
    nothing: "{}",
    edits,
    afterwards: "start Cursor anew and switch the server on: Settings, MCP",
};

/// After how many seconds it gives a hook up.
const TIMEOUT_S: u32 = 10;

fn edits(target: &Target<'_>) -> Result<Vec<Edit>, Error> {
    let folder = target.folder(None, ".cursor");
    let (command, arguments) = (target.launch.program.as_str(), target.server_arguments());
    let server = Entry::Member {
        within: &["mcpServers"],
        key: SERVER,
        tool: TOOL.name,
        value: json!({ "type": "stdio", "command": command, "args": arguments }),
    };
    let mut hooks = vec![Entry::Needed { key: "version", value: json!(1) }];
    hooks.extend(TOOL.events.iter().map(|event| {
        let command = target.hook_line(event.name);
        let value = json!({ "command": command, "timeout": TIMEOUT_S });
        Entry::Element { within: "hooks", list: event.name, tool: target.tool.name, value }
    }));
    Ok(vec![
        Edit { path: folder.join("mcp.json"), change: Change::Json { comments: true, entries: vec![server] } },
        Edit { path: folder.join("hooks.json"), change: Change::Json { comments: true, entries: hooks } },
    ])
}
