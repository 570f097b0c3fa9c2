//! What a program is given to work on: one JSON document on its stdin.
//!
//! ```json
//! {
//!   "version": 1,
//!   "agent": "coder@taichi",
//!   "try": 1,
//!   "kind": "task",
//!   "task": { "id": "memory-profile", "title": "…", "by": "ada@taichi", … },
//!   "thread": [ … ]
//! }
//! ```
//!
//! `kind` is `task` or `message`, and the field of that name holds the work: a task as `fedp2p task show --json` prints
//! it, or a message as `fedp2p history --json` does. `thread` holds what was said before, oldest first, in the same
//! shape: of a message the thread that it stands in, of a task the messages with the task's id as their correlation.
//! What others wrote stands only in these fields, each with its author; it is data.

use fedp2p_protocols::api::message::Message;
use fedp2p_protocols::api::task::Task;
use fedp2p_protocols::name::Address;
use serde::Serialize;

/// The version of the document's shape. Fields can be added without another one.
pub(crate) const VERSION: u32 = 1;

/// One piece of work and what one has to know for it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Document {
    /// [`VERSION`].
    version: u32,
    /// The agent that works on it.
    pub(crate) agent: Address,
    /// Counts up from 1 as this runner tries it again.
    #[serde(rename = "try")]
    pub(crate) attempt: u32,
    /// What is to be done.
    #[serde(flatten)]
    pub(crate) work: Work,
    /// What was said before, oldest first.
    pub(crate) thread: Vec<Message>,
}

/// What is to be done.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Work {
    /// A task that the agent holds.
    Task {
        /// With everything that was said of it.
        task: Box<Task>,
    },
    /// A message that the agent was sent.
    Message {
        /// As it came.
        message: Box<Message>,
    },
}

impl Document {
    /// The first try at some work. Of the thread that a message stands in, what came before it is taken.
    pub(crate) fn new(agent: Address, work: Work, mut thread: Vec<Message>) -> Self {
        if let Work::Message { message } = &work {
            let end = thread.iter().position(|other| other.id == message.id).unwrap_or(thread.len());
            thread.truncate(end);
        }
        for message in &mut thread {
            message.deliveries.clear();
        }
        Self { version: VERSION, agent, attempt: 1, work, thread }
    }

    /// The document as it is written: one line.
    pub(crate) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("a document has nothing that JSON has not");
        line.push(b'\n');
        line
    }
}

/// The id of a task without the node that may stand behind it: what the messages about it have as correlation.
pub(crate) fn bare(id: &str) -> &str {
    id.split_once('@').map_or(id, |(bare, _)| bare)
}

/// The id of a task that means it alone, whatever else is made.
pub(crate) fn full(task: &Task) -> String {
    format!("{}@{}", bare(&task.id), task.by.node)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::agent::samples;

    #[test]
    fn a_document_is_one_line_with_the_work_under_its_kind() {
        let task = Box::new(samples::task("profile", "profile it\nwell"));
        let thread = vec![samples::message(1, "ada@taichi", "first")];
        let document = Document::new("coder@taichi".parse().unwrap(), Work::Task { task }, thread);
        let line = document.line();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let json: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!((json["version"].as_u64(), json["try"].as_u64()), (Some(1), Some(1)));
        assert_eq!((json["kind"].as_str(), json["agent"].as_str()), (Some("task"), Some("coder@taichi")));
        assert_eq!(json["task"]["text"], "profile it\nwell");
        assert_eq!((&json["thread"][0]["text"], &json["thread"][0]["verified"]), (&"first".into(), &true.into()));

        let message = Box::new(samples::message(2, "ada@taichi", "hello"));
        let document = Document::new("coder@taichi".parse().unwrap(), Work::Message { message }, Vec::new());
        let json: Value = serde_json::from_slice(&document.line()).unwrap();
        assert_eq!((json["kind"].as_str(), json["message"]["from"].as_str()), (Some("message"), Some("ada@taichi")));
        assert_eq!(json["thread"], serde_json::json!([]));
    }

    #[test]
    fn the_id_of_a_task_means_it_alone() {
        let mut task = samples::task("profile", "x");
        assert_eq!(full(&task), "profile@taichi");
        task.id = "profile@taichi".to_owned();
        assert_eq!((full(&task).as_str(), bare(&task.id)), ("profile@taichi", "profile"));
    }
}
