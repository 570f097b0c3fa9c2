//! Brings back what a note was.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::note::Saved;
use crate::name::NoteName;

/// Makes the text what it was after one edit, as that edit's author saw it. This is an edit like any other: nothing is
/// lost, and it can be undone in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The note.
    pub name: NoteName,
    /// The edit: its id, or a start of it that is unique in the note.
    pub version: String,
}

/// What became of the note.
pub type Reply = Saved;
