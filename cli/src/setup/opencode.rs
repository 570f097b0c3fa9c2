//! OpenCode.
//!
//! Follows "MCP servers" and "Plugins" of the documentation of OpenCode 1 (opencode.ai/v1/docs). Servers stand in
//! `opencode.json` or `opencode.jsonc`. Instead of hooks it has plugins, which are programs in JavaScript: ours runs
//! our hook and adds its words to what the model reads next, and sends an idle session on when something has come.

use std::path::{Path, PathBuf};

use jsonc_parser::json;
use serde_json::json as answer;

use super::json::Entry;
use super::merge::Change;
use super::target::{Scope, Target};
use super::{Edit, Event, Moment, SERVER, Tool};
use crate::error::Error;
use crate::shell;

pub(crate) static TOOL: Tool = Tool {
    name: "opencode",
    title: "OpenCode",
    events: &[
        Event::unheard("session.created", Moment::Start),
        Event::heard("chat.message", Moment::Prompt),
        Event::heard("tool.execute.after", Moment::Step),
        Event::heard("session.idle", Moment::Stop),
        Event::unheard("session.deleted", Moment::End),
    ],
    answer: |_, text| answer!({ "text": text }),
    nothing: "{}",
    edits,
    afterwards: "start OpenCode anew",
};

/// The plugin; the words of the command stand in the place of `COMMAND_WORDS`.
const PLUGIN: &str = include_str!("opencode.js");

fn edits(target: &Target<'_>) -> Result<Vec<Edit>, Error> {
    let (settings, plugins) = match &target.scope {
        Scope::Project(project) => (project.clone(), project.join(".opencode")),
        Scope::User => {
            let config = target.path_in("XDG_CONFIG_HOME").unwrap_or_else(|| target.user_home.join(".config"));
            (config.join("opencode"), config.join("opencode"))
        }
    };
    let mut command = vec![target.launch.program.clone()];
    command.extend(target.server_arguments());
    let value = json!({ "type": "local", "command": command, "enabled": true });
    let server = Entry::Member { within: &["mcp"], key: SERVER, tool: TOOL.name, value };
    let words = serde_json::to_string(&target.hook_words()).expect("words can be written");
    let plugin = Change::Whole { text: PLUGIN.replace("COMMAND_WORDS", &words), executable: false };
    Ok(vec![
        Edit { path: settings_file(&settings), change: Change::Json { comments: true, entries: vec![server] } },
        Edit { path: plugins.join("plugins/fedp2p.js"), change: plugin },
    ])
}

/// Returns the shell line that the plugin runs for an event, as it stands in the plugin's text.
pub(crate) fn line_in(plugin: &str, event: &str) -> Option<String> {
    let words = plugin.lines().find_map(|line| line.strip_prefix("const COMMAND = "))?;
    let mut words: Vec<String> = serde_json::from_str(words).ok()?;
    words.push(event.to_owned());
    Some(words.iter().map(|word| shell::word(word)).collect::<Vec<_>>().join(" "))
}

/// The file of settings in a folder: the one that is there.
fn settings_file(folder: &Path) -> PathBuf {
    let with_comments = folder.join("opencode.jsonc");
    if with_comments.exists() { with_comments } else { folder.join("opencode.json") }
}
