//! Lists the notes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{Address, NoteName};

/// Asks which notes there are, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// Only those after this name, to page on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<NoteName>,
    /// At most this many, 1 to 1000.
    pub limit: u32,
}

impl Default for Request {
    fn default() -> Self {
        Self { after: None, limit: 100 }
    }
}

/// The notes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// One row each.
    pub notes: Vec<Row>,
    /// What to give as `after` for the next page; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<NoteName>,
}

/// One note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its name.
    pub name: NoteName,
    /// How many edits were received.
    pub edits: u32,
    /// Who made the one that came last.
    pub by: Address,
    /// When, by the editor's clock.
    pub at: u64,
}
