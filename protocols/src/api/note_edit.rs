//! Changes a passage of a note.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::note::Saved;
use crate::name::NoteName;

/// Puts another passage in the place of one that stands in the note exactly once. Edits that others make at the same
/// time elsewhere in the note stand as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The note.
    pub name: NoteName,
    /// The passage, word for word.
    pub replace: String,
    /// What stands there afterwards; nothing removes the passage.
    pub with: String,
}

/// What became of the note.
pub type Reply = Saved;
