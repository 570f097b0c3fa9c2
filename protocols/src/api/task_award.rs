//! Awards a task.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::task::Task;

/// Gives a task of the calling agent that bids were asked for to one of the bidders, who alone may take it then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The task: its id, or `id@node`.
    pub id: String,
    /// The bidder; the one of the best bid if absent: the cheapest, and of equals the earliest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Why, for those who do not get it; at most 1 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The task as it stands.
pub type Reply = Box<Task>;
