//! Lists the notes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{Address, NoteName};

/// Asks which notes there are, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {}

/// The notes, at most 1000.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// One row each.
    pub notes: Vec<Row>,
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
