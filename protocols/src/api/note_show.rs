//! Shows a note.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::note::Note;
use crate::name::NoteName;

/// Asks for the text of a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The note.
    pub name: NoteName,
    /// As it was after this edit: its id, or a start of it that is unique in the note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Only from this character on, counting from 0. A page has at most 262,144 characters.
    #[serde(default, skip_serializing_if = "is_first")]
    pub from: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out a reference")]
fn is_first(from: &u32) -> bool {
    *from == 0
}

/// The note.
pub type Reply = Note;
