//! Cline.
//!
//! Follows "Hooks", "Hook reference" and "Configuration" of its documentation (docs.cline.bot). Its server settings are
//! one file of the user; a project has none. A hook is a program that is called like its event; those of the user
//! stand in one folder for the editor and in another for the command line, and what one of the two tells the other does
//! not. It has no hook that can keep the model from stopping.

use serde_json::json as answer;

use jsonc_parser::json;

use super::json::Entry;
use super::merge::{Change, OURS};
use super::target::{Scope, Target};
use super::{Edit, Event, Moment, SERVER, Tool};
use crate::error::Error;

pub(crate) static TOOL: Tool = Tool {
    name: "cline",
    title: "Cline",
    events: &[
        Event::heard("TaskStart", Moment::Start),
        Event::heard("TaskResume", Moment::Start),
        Event::heard("UserPromptSubmit", Moment::Prompt),
        Event::heard("PostToolUse", Moment::Step),
        Event::unheard("TaskComplete", Moment::Stop),
        Event::unheard("TaskCancel", Moment::Stop),
    ],
    answer: |_, text| answer!({ "cancel": false, "contextModification": text }),
    nothing: r#"{"cancel":false}"#,
    edits,
    afterwards: "switch hooks on in Cline's settings",
};

fn edits(target: &Target<'_>) -> Result<Vec<Edit>, Error> {
    let mut edits = Vec::new();
    let folders = match &target.scope {
        Scope::Project(project) => vec![project.join(".clinerules/hooks")],
        Scope::User => {
            let data = target.path_in("CLINE_DATA_DIR").unwrap_or_else(|| target.user_home.join(".cline/data"));
            let (command, arguments) = (target.launch.program.as_str(), target.server_arguments());
            let value = json!({ "command": command, "args": arguments, "disabled": false });
            let entries = vec![Entry::Member { within: &["mcpServers"], key: SERVER, tool: TOOL.name, value }];
            let path = data.join("settings/cline_mcp_settings.json");
            edits.push(Edit { path, change: Change::Json { comments: true, entries } });
            vec![target.user_home.join("Documents/Cline/Hooks"), target.user_home.join(".cline/hooks")]
        }
    };
    for folder in folders {
        edits.extend(TOOL.events.iter().map(|event| {
            let text = format!(
                "#!/bin/sh\n# {OURS}; \"fedp2p setup cline --remove\" takes it out.\nexec {}\n",
                target.hook_line(event.name)
            );
            Edit { path: folder.join(event.name), change: Change::Whole { text, executable: true } }
        }));
    }
    Ok(edits)
}
