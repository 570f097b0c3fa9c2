//! Notes.

use fedp2p_protocols::api::{note_append, note_edit, note_list, note_show};
use fedp2p_protocols::limits::MAX_PAGE;
use fedp2p_protocols::name::NoteName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::mcp::link::Link;
use crate::mcp::tool::{Arguments, Effects, Outcome, given};
use crate::mcp::words;

/// Most bytes of a note in one answer.
const MAX_BYTES: usize = 16 * 1024;
/// Most notes of one list.
const MAX_NOTES: usize = 200;

/// Shared texts that many write at once without losing edits: plans, findings, decisions. list; read; append text at the
/// end (begins the note); edit: replace a passage that stands there exactly once by text.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Notes {
    action: Action,
    /// a-z 0-9 - _
    name: Option<NoteName>,
    text: Option<String>,
    /// edit: the passage, word for word
    replace: Option<String>,
    /// read: the byte to begin at
    offset: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Action {
    #[default]
    List,
    Read,
    Append,
    Edit,
}

/// A note, or the names of all.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// What members wrote
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Read on at this offset
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u32>,
    /// Who edited it last
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
}

impl Notes {
    fn name(&self) -> Result<NoteName, Error> {
        given(self.name.as_ref(), "name", "federation_notes lists the notes")
    }
}

impl Arguments for Notes {
    const NAME: &'static str = "federation_notes";
    const EFFECTS: Effects = Effects::Each;
    type Answer = Shown;

    async fn run(self, link: &Link) -> Outcome<Shown> {
        let saved = match self.action {
            Action::List => {
                let notes = link.call(note_list::Request { after: None, limit: MAX_PAGE }).await?.notes;
                let said = format!("{} notes", notes.len());
                let names = notes.into_iter().take(MAX_NOTES).map(|row| row.name.to_string()).collect();
                return Ok((Shown { names, ..Shown::default() }, said));
            }
            Action::Read => return read(self.name()?, self.offset, link).await,
            Action::Append => {
                let text = given(self.text.as_ref(), "text", "give text")?;
                link.call(note_append::Request { name: self.name()?, text }).await?
            }
            Action::Edit => {
                let replace = given(self.replace.as_ref(), "replace", "give the passage, word for word as it stands")?;
                let (name, with) = (self.name()?, self.text.clone().unwrap_or_default());
                link.call(note_edit::Request { name, replace, with }).await?
            }
        };
        let said = format!("Saved {}", saved.name);
        Ok((Shown { name: Some(saved.name.to_string()), bytes: Some(saved.bytes), ..Shown::default() }, said))
    }
}

/// Reads a note from the byte `offset`.
pub(crate) async fn read(name: NoteName, offset: u32, link: &Link) -> Outcome<Shown> {
    let note = link.call(note_show::Request { name, version: None, from: 0 }).await?;
    let (text, next) = words::page(&note.text, usize::try_from(offset).unwrap_or(usize::MAX), MAX_BYTES);
    let said = format!("Note {}", note.name);
    let shown = Shown {
        name: Some(note.name.to_string()),
        text: Some(text),
        next,
        by: note.by.map(|by| by.to_string()),
        bytes: u32::try_from(note.text.len()).ok(),
        names: Vec::new(),
    };
    Ok((shown, said))
}
