//! Any other tool that takes servers of tools in the form that most have in common.
//!
//! The file is named by whoever sets it up. Hooks, if the tool can run commands, are to be set by hand: what they read
//! on stdin may be `{"session_id":…, "cwd":…, "stop_hook_active":…}`, and they answer `{"text":…}`, or `{}`.

use jsonc_parser::json;
use serde_json::json as answer;

use super::json::Entry;
use super::merge::Change;
use super::target::Target;
use super::{Edit, Event, Moment, SERVER, Tool};
use crate::error::Error;

pub(crate) static TOOL: Tool = Tool {
    name: "generic",
    title: "any other",
    events: &[
        Event::heard("start", Moment::Start),
        Event::heard("prompt", Moment::Prompt),
        Event::heard("step", Moment::Step),
        Event::heard("stop", Moment::Stop),
        Event::unheard("end", Moment::End),
    ],
    answer: |_, text| answer!({ "text": text }),
    nothing: "{}",
    edits,
    afterwards: "start the tool anew",
};

fn edits(target: &Target<'_>) -> Result<Vec<Edit>, Error> {
    let Some(path) = target.file.clone() else {
        let entry = answer!({ "mcpServers": { SERVER: {
            "command": target.launch.program, "args": target.server_arguments(),
        } } });
        return Err(Error::usage(
            "fedp2p does not know where this tool has its settings",
            format!("name the file with --file FILE, or put this into it: {entry}"),
        ));
    };
    let (command, arguments) = (target.launch.program.as_str(), target.server_arguments());
    let value = json!({ "command": command, "args": arguments });
    let entries = vec![Entry::Member { within: &["mcpServers"], key: SERVER, tool: TOOL.name, value }];
    Ok(vec![Edit { path, change: Change::Json { comments: true, entries } }])
}
