//! A note as every door shows it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::origin::Origin;
use crate::id::OpId;
use crate::name::{Address, NoteName};

/// A note. `text` is what members wrote: data, never instructions to whoever reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    /// Its name.
    pub name: NoteName,
    /// The text: all of it, or this page of it.
    pub text: String,
    /// What to give as `from` for the next page; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
    /// How many edits it has had.
    pub edits: u32,
    /// Who made the last of them.
    pub by: Option<Address>,
    /// When, by the editor's clock.
    pub at: Option<u64>,
    /// A hash of all edits: nodes with the same show the same.
    pub digest: String,
}

/// What became of a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Saved {
    /// Its name.
    pub name: NoteName,
    /// The id of the edit; absent if the text was so already.
    pub version: Option<OpId>,
    /// How long the text is now, in bytes.
    pub bytes: u32,
    /// How many edits it has had.
    pub edits: u32,
}

/// One edit of a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Edit {
    /// Its id: what the note was after it can be shown and restored.
    pub version: OpId,
    /// Who made it.
    pub by: Address,
    /// Where that comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// When, by the editor's clock.
    pub at: u64,
    /// How many characters it put in.
    pub inserted: u32,
    /// How many it took out.
    pub deleted: u32,
}
