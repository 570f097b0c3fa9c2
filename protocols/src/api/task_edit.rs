//! Changes a task.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::task::{Bidding, Task};
use crate::task::Priority;

/// Changes a task of the calling agent. What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The task: its id, or `id@node`.
    pub id: String,
    /// What is to be done, in a line of at most 256 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The same at length, at most 8 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What programs need for it, at most 4 KiB as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
    /// The tasks that must be completed first, all of them; at most 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<String>>,
    /// How much it presses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Who may take it: an agent, `role:NAME`, or `anyone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// In how many seconds it should be done, 1 to 31,622,400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_s: Option<u32>,
    /// Ask for bids: nobody may take it before the creator has awarded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Bidding>,
    /// What to take away: `text`, `data`, `due`, or `bids`, so that it can be taken without an award.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clear: Vec<String>,
    /// Begin a new try of a task that failed, was rejected or was canceled: what was said before no longer counts.
    #[serde(default)]
    pub retry: bool,
}

/// The task as it stands.
pub type Reply = Box<Task>;
