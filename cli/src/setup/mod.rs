//! How each coding tool is set up: its entry for our server of tools, and its hooks.
//!
//! A [`Tool`] is a description: what it calls the moments of its work, how its hooks answer, and which of its files
//! get what. Everything else exists once: [`merge`] changes files of each format and takes our entries out again,
//! [`plan`] sets up and removes, [`record`] remembers what was written, [`disk`] writes.
//!
//! | module | holds |
//! |---|---|
//! | [`claude_code`], [`codex`], [`cursor`], [`gemini`], [`copilot`], [`opencode`], [`cline`], [`generic`] | a tool each |
//! | [`target`] | for whom it is set up, and the commands that are written |
//! | [`merge`], [`json`](mod@json), [`owned`], [`plan`], [`record`], [`disk`] | changing files |

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::error::Error;

pub(crate) mod claude_code;
pub(crate) mod cline;
pub(crate) mod codex;
pub(crate) mod copilot;
pub(crate) mod cursor;
pub(crate) mod disk;
pub(crate) mod gemini;
pub(crate) mod generic;
mod json;
pub(crate) mod merge;
pub(crate) mod opencode;
mod owned;
pub(crate) mod plan;
pub(crate) mod record;
pub(crate) mod target;

use merge::Change;
use target::Target;

/// What our entry is called in the files of the tools.
pub(crate) const SERVER: &str = "fedp2p";

/// Every tool that can be set up.
pub(crate) static TOOLS: [&Tool; 8] = [
    &claude_code::TOOL,
    &codex::TOOL,
    &cursor::TOOL,
    &gemini::TOOL,
    &copilot::TOOL,
    &opencode::TOOL,
    &cline::TOOL,
    &generic::TOOL,
];

/// A coding tool.
#[derive(Debug)]
pub(crate) struct Tool {
    /// Its name on our command line and in the names of its agents.
    pub(crate) name: &'static str,
    /// What people call it.
    pub(crate) title: &'static str,
    /// Its hooks that we use.
    pub(crate) events: &'static [Event],
    /// What a hook prints so that the model reads this text.
    pub(crate) answer: fn(&Event, &str) -> Value,
    /// What a hook prints that has nothing to say.
    pub(crate) nothing: &'static str,
    /// The changes to its files.
    pub(crate) edits: fn(&Target<'_>) -> Result<Vec<Edit>, Error>,
    /// What a person has to do in the tool afterwards.
    pub(crate) afterwards: &'static str,
}

impl Tool {
    /// The tool of this name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        TOOLS.into_iter().find(|tool| tool.name == name)
    }

    /// The hook that it calls so.
    pub(crate) fn event(&self, name: &str) -> Option<&'static Event> {
        self.events.iter().find(|event| event.name == name)
    }
}

/// A hook of a tool.
#[derive(Debug)]
pub(crate) struct Event {
    /// What the tool calls it.
    pub(crate) name: &'static str,
    /// When the tool runs it.
    pub(crate) moment: Moment,
    /// Whether the model reads what it answers.
    pub(crate) heard: bool,
}

impl Event {
    const fn heard(name: &'static str, moment: Moment) -> Self {
        Self { name, moment, heard: true }
    }

    const fn unheard(name: &'static str, moment: Moment) -> Self {
        Self { name, moment, heard: false }
    }
}

/// When a tool runs a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A session begins, or begins again without what was said before.
    Start,
    /// A person has given the model something to do.
    Prompt,
    /// The model has used a tool and goes on.
    Step,
    /// The model is about to stop, which the answer can prevent.
    Stop,
    /// The session is over.
    End,
}

impl Moment {
    /// The status that the agent shows from then on.
    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::Start => "READY",
            Self::Prompt | Self::Step => "WORKING",
            Self::Stop => "WAITING",
            Self::End => "GONE",
        }
    }
}

/// A change to one file of a tool.
#[derive(Debug)]
pub(crate) struct Edit {
    /// The file.
    pub(crate) path: PathBuf,
    /// What is changed.
    pub(crate) change: Change,
}

/// The answer of Claude Code's hooks, which others have taken over: `stop` is the word that keeps the model going.
fn nested_answer(event: &Event, text: &str, stop: &str) -> Value {
    match event.moment {
        Moment::Stop => json!({ "decision": stop, "reason": text }),
        Moment::Start | Moment::Prompt | Moment::Step | Moment::End => {
            json!({ "hookSpecificOutput": { "hookEventName": event.name, "additionalContext": text } })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_hears_between_steps_and_says_when_it_begins() {
        for tool in TOOLS {
            let has = |moment| tool.events.iter().any(|event| event.moment == moment);
            assert!(has(Moment::Start) && has(Moment::Step), "{}", tool.name);
            assert!(serde_json::from_str::<Value>(tool.nothing).is_ok(), "{}", tool.name);
            assert_eq!(Tool::find(tool.name).unwrap().name, tool.name);
        }
    }
}
