//! GitHub Copilot CLI.
//!
//! Follows "GitHub Copilot hooks reference" and "Adding MCP servers for GitHub Copilot CLI" of its documentation
//! (docs.github.com/copilot). Each file in its folder for hooks counts, so ours is a file of its own. What a hook says
//! when a person has written something is not read.

use jsonc_parser::json;
use serde_json::json as answer;

use super::json::Entry;
use super::merge::Change;
use super::target::{Scope, Target};
use super::{Edit, Event, Moment, SERVER, Tool};
use crate::error::Error;

pub(crate) static TOOL: Tool = Tool {
    name: "copilot",
    title: "GitHub Copilot CLI",
    events: &[
        Event::heard("sessionStart", Moment::Start),
        Event::unheard("userPromptSubmitted", Moment::Prompt),
        Event::heard("postToolUse", Moment::Step),
        Event::heard("agentStop", Moment::Stop),
        Event::unheard("sessionEnd", Moment::End),
    ],
    answer: |event, text| match event.moment {
        Moment::Stop => answer!({ "decision": "block", "reason": text }),
        Moment::Start | Moment::Prompt | Moment::Step | Moment::End => answer!({ "additionalContext": text }),
    },
    nothing: "{}",
    edits,
    afterwards: "start Copilot CLI anew",
};

/// After how many seconds it gives a hook up.
const TIMEOUT_S: u32 = 10;

fn edits(target: &Target<'_>) -> Result<Vec<Edit>, Error> {
    let (servers, hooks) = match &target.scope {
        Scope::Project(project) => (project.join(".github/mcp.json"), project.join(".github/hooks/fedp2p.json")),
        Scope::User => {
            let folder = target.folder(Some("COPILOT_HOME"), ".copilot");
            (folder.join("mcp-config.json"), folder.join("hooks/fedp2p.json"))
        }
    };
    let (command, arguments) = (target.launch.program.as_str(), target.server_arguments());
    let server = Entry::Member {
        within: &["mcpServers"],
        key: SERVER,
        tool: TOOL.name,
        value: json!({ "type": "local", "command": command, "args": arguments, "tools": ["*"] }),
    };
    let mut entries = vec![Entry::Needed { key: "version", value: json!(1) }];
    entries.extend(TOOL.events.iter().map(|event| {
        let command = target.hook_line(event.name);
        let value = json!({ "type": "command", "bash": command, "timeoutSec": TIMEOUT_S });
        Entry::Element { within: "hooks", list: event.name, tool: target.tool.name, value }
    }));
    Ok(vec![
        Edit { path: servers, change: Change::Json { comments: true, entries: vec![server] } },
        Edit { path: hooks, change: Change::Json { comments: true, entries } },
    ])
}
