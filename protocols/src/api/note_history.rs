//! Lists the edits of a note.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::note::Edit;
use crate::id::OpId;
use crate::name::NoteName;

/// Asks who edited a note and when, newest last. Each edit comes after those that its author knew of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The note.
    pub name: NoteName,
    /// Only edits before this one, to page back: its id, or a start of it that is unique in the note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// At most this many, the newest; 1 to 1000.
    #[serde(default = "default_limit")]
    pub limit: u32,
}

fn default_limit() -> u32 {
    100
}

/// The edits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// Newest last.
    pub edits: Vec<Edit>,
    /// How many came before these.
    pub earlier: u32,
    /// What to give as `before` for the page before; absent at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<OpId>,
    /// Edits that do not count: they wait for others that they build on, or their author broke a rule.
    pub left_out: u32,
}
