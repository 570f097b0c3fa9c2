//! Adds to a note.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::note::Saved;
use crate::name::NoteName;

/// Puts lines at the end of a note, which begins with them if there is none of this name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The note.
    pub name: NoteName,
    /// The text, which begins on a line of its own; the note has at most 64 KiB then.
    pub text: String,
}

/// What became of the note.
pub type Reply = Saved;
