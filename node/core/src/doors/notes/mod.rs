//! Notes at the doors: texts that everybody edits.

mod carry;
mod held;

use fedp2p_crdt::note::{self, EditError, For, Note, Writer};
use fedp2p_protocols::api::note::{Edit, Note as Shown, Saved};
use fedp2p_protocols::api::{Caller, Error, ErrorCode, Reply, Request, note_history, note_list};
use fedp2p_protocols::limits::{MAX_NOTE_PAGE, MAX_PAGE};
use fedp2p_protocols::name::NoteName;
use fedp2p_protocols::op::Kind;
use fedp2p_protocols::payload::{self, Brings};
use fedp2p_protocols::vote::AgentId;

use super::resolve::agent_name;
use super::{Continue, Finish, Then, id_prefix};
use crate::Core;
use crate::author::Entries;
use crate::input::CallId;
use crate::store::{NoteRow, Read};

pub(crate) use held::{MAX_NOTES, MAX_WAITING, Notes};

/// How alike names must be to be suggested.
const ALIKE: f64 = 0.7;

/// What a request about a note asks for.
enum Asked<'a> {
    Append(&'a str),
    Replace(&'a str, &'a str),
    Restore(&'a str),
    /// Which version, and from which character on.
    Show(Option<&'a str>, u32),
    /// Before which edit, and how many.
    History(Option<&'a str>, u32),
}

impl<'a> Asked<'a> {
    fn of(request: &'a Request) -> Option<(&'a NoteName, Self)> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "every other request is about something else")]
        match request {
            Request::NoteAppend(request) => Some((&request.name, Self::Append(&request.text))),
            Request::NoteEdit(request) => Some((&request.name, Self::Replace(&request.replace, &request.with))),
            Request::NoteRestore(request) => Some((&request.name, Self::Restore(&request.version))),
            Request::NoteShow(request) => Some((&request.name, Self::Show(request.version.as_deref(), request.from))),
            Request::NoteHistory(request) => {
                Some((&request.name, Self::History(request.before.as_deref(), request.limit)))
            }
            _ => None,
        }
    }
}

impl Core {
    /// Does what a request about one note asks for, once the note is at hand.
    pub(crate) fn note_call(&mut self, id: CallId, caller: Caller, request: Request) -> Result<(), Error> {
        let Some((name, asked)) = Asked::of(&request) else {
            return Err(Error::new(ErrorCode::Internal, "a request about no note"));
        };
        if let Asked::History(_, limit) = asked {
            check_limit(limit)?;
        }
        if self.notes.has(name) {
            return self.note_asked(id, &caller, name, &asked);
        }
        let name = name.clone();
        self.note_wanted(name, id, caller, request)
    }

    fn note_asked(&mut self, id: CallId, caller: &Caller, name: &NoteName, asked: &Asked<'_>) -> Result<(), Error> {
        if matches!(asked, Asked::Append(_) | Asked::Replace(..) | Asked::Restore(_)) {
            // Also what others lack who are not here: whoever edits a note carries on all that it is built of.
            self.carry_edits(name, For::All);
        }
        self.notes.touch(name);
        let Some(note) = self.notes.note(name) else { return Ok(()) };
        if note.is_empty() && !matches!(asked, Asked::Append(_)) {
            // There is none; perhaps another was meant.
            let read = Read::Notes { conversation: self.lobby, after: None, limit: MAX_PAGE };
            self.read(read, Then::Call(id, Continue::NoNote(name.clone())));
            return Ok(());
        }
        let text = note.text();
        match asked {
            Asked::Show(version, from) => {
                let text = version.map_or(Ok(text), |version| text_after(note, version))?;
                let shown = self.show_note(note, &text, *from)?;
                self.answer(id, Reply::NoteShow(shown));
            }
            Asked::History(before, limit) => {
                let reply = self.note_edits(note, *before, *limit)?;
                self.answer(id, Reply::NoteHistory(reply));
            }
            Asked::Append(more) => {
                let after = appended(&text, more)?;
                self.save_note(id, caller, name, &after, Reply::NoteAppend)?;
            }
            Asked::Replace(old, new) => {
                let after = replaced(&text, old, new)?;
                self.save_note(id, caller, name, &after, Reply::NoteEdit)?;
            }
            Asked::Restore(version) => {
                let after = text_after(note, version)?;
                self.save_note(id, caller, name, &after, Reply::NoteRestore)?;
            }
        }
        Ok(())
    }

    fn show_note(&self, note: &Note, text: &str, from: u32) -> Result<Shown, Error> {
        let length = text.chars().count();
        let first = from as usize;
        if first > length {
            let message = format!("the note has {length} characters, so none comes after {from}");
            return Err(
                Error::new(ErrorCode::Invalid, message).hint("ask from 0 on, or from the \"next\" of the page before")
            );
        }
        let end = length.min(first.saturating_add(MAX_NOTE_PAGE));
        let last = note.last_edit();
        Ok(Shown {
            name: note.id().name.clone(),
            text: text.chars().skip(first).take(end - first).collect(),
            next: (end < length).then(|| u32::try_from(end).unwrap_or(u32::MAX)),
            edits: u32::try_from(note.len()).unwrap_or(u32::MAX),
            by: last.map(|edit| self.editor(edit)),
            at: last.map(|edit| edit.at),
            digest: super::status::hex(&note.digest()),
        })
    }

    fn editor(&self, edit: &note::Edit) -> fedp2p_protocols::name::Address {
        self.address(&AgentId { node: edit.writer.node, name: agent_name(edit.agent.as_ref()) })
    }

    fn note_edits(&self, note: &Note, before: Option<&str>, limit: u32) -> Result<note_history::Reply, Error> {
        let edits = note.edits();
        let end = match before {
            None => edits.len(),
            Some(before) => edit_named(&edits, before)?,
        };
        let earlier = end.saturating_sub(limit as usize);
        let shown = edits[earlier..end].iter().map(|edit| Edit {
            version: edit.op,
            by: self.editor(edit),
            origin: self.members.origin(&edit.writer.node),
            at: edit.at,
            inserted: edit.inserted,
            deleted: edit.deleted,
        });
        Ok(note_history::Reply {
            edits: shown.collect(),
            earlier: u32::try_from(earlier).unwrap_or(u32::MAX),
            before: edits.get(earlier).filter(|_| earlier > 0).map(|edit| edit.op),
            left_out: u32::try_from(note.left_out()).unwrap_or(u32::MAX),
        })
    }

    /// Makes the text of a note `after`, in the caller's name.
    fn save_note(
        &mut self,
        id: CallId,
        caller: &Caller,
        name: &NoteName,
        after: &str,
        wrap: fn(Saved) -> Reply,
    ) -> Result<(), Error> {
        let lobby = self.lobby;
        let key = self.own_log(&lobby);
        let writer = Writer { node: key.author, log: key.log };
        let Some(note) = self.notes.note(name) else { return Ok(()) };
        let changes = note.write(writer, after, self.now.wall_ms).map_err(|error| refusal(&error))?;
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, Vec::new())?;
        let mut version = None;
        for change in changes {
            let payload = payload::Note { name: name.clone(), brings: Brings::Change(change) }.encode();
            let op = self
                .append(&mut entries, lobby, Kind::Note, Some(&caller.name), &payload)
                .expect("a change is bounded below the size of an op");
            version = Some(op.id());
            self.note_written(name, &op);
        }
        let edits = self.notes.note(name).map_or(0, Note::len);
        let saved = Saved {
            name: name.clone(),
            version,
            bytes: u32::try_from(after.len()).unwrap_or(u32::MAX),
            edits: u32::try_from(edits).unwrap_or(u32::MAX),
        };
        self.commit_call(entries, id, Finish::Reply(Box::new(wrap(saved))));
        self.notes.wrote(name, self.commits);
        Ok(())
    }

    pub(crate) fn note_list(&mut self, id: CallId, request: note_list::Request) -> Result<(), Error> {
        check_limit(request.limit)?;
        // One more, to see whether there is one.
        let read = Read::Notes { conversation: self.lobby, after: request.after, limit: request.limit + 1 };
        self.read(read, Then::Call(id, Continue::Notes(request.limit)));
        Ok(())
    }

    pub(crate) fn notes_read(&mut self, id: CallId, rows: &[NoteRow], limit: u32) {
        let row = |row: &NoteRow| {
            let header = row.last.op.header();
            let by = AgentId { node: header.author, name: agent_name(header.agent.as_ref()) };
            let at = header.hlc.milliseconds();
            note_list::Row { name: row.name.clone(), edits: row.edits, by: self.address(&by), at }
        };
        let shown = &rows[..rows.len().min(limit as usize)];
        let after = shown.last().filter(|_| shown.len() < rows.len()).map(|row| row.name.clone());
        let notes = shown.iter().map(row).collect();
        self.answer(id, Reply::NoteList(note_list::Reply { notes, after }));
    }
}

fn check_limit(limit: u32) -> Result<(), Error> {
    if (1..=MAX_PAGE).contains(&limit) {
        return Ok(());
    }
    Err(Error::new(ErrorCode::Invalid, format!("a limit is 1 to {MAX_PAGE}, not {limit}")).hint("ask page by page"))
}

/// Why there is no note of this name, and which may have been meant.
pub(crate) fn no_note(name: &NoteName, rows: &[NoteRow]) -> Error {
    let mut alike: Vec<(f64, &NoteName)> = rows
        .iter()
        .map(|row| (strsim::jaro_winkler(name.as_str(), row.name.as_str()), &row.name))
        .filter(|(alike, _)| *alike >= ALIKE)
        .collect();
    alike.sort_by(|(a, left), (b, right)| b.total_cmp(a).then_with(|| left.cmp(right)));
    Error::new(ErrorCode::NotFound, format!("there is no note {:?}", name.as_str()))
        .hint("\"fedp2p note list\" lists them; \"fedp2p note append\" begins one")
        .suggest(alike.into_iter().take(3).map(|(_, name)| name.to_string()).collect())
}

fn refusal(error: &EditError) -> Error {
    #[expect(clippy::wildcard_enum_match_arm, reason = "what else there is, is a bug")]
    match error {
        EditError::TooLong => Error::new(ErrorCode::TooLarge, error.to_string())
            .hint("shorten it, bring back what it was with \"fedp2p note restore\", or go on in another note"),
        EditError::Full => Error::new(ErrorCode::TooLarge, error.to_string())
            .hint("go on in another note, or let another node edit this one"),
        _ => Error::new(ErrorCode::Internal, error.to_string()),
    }
}

/// The text with lines at its end.
fn appended(before: &str, text: &str) -> Result<String, Error> {
    let text = text.trim_end_matches('\n');
    if text.is_empty() {
        return Err(Error::new(ErrorCode::Invalid, "nothing is to be appended").hint("give a text"));
    }
    let apart = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    // Each ends its line, so that two that are appended at once stay two lines.
    Ok(format!("{before}{apart}{text}\n"))
}

/// The text with another passage in the place of the only one that reads `old`.
fn replaced(before: &str, old: &str, new: &str) -> Result<String, Error> {
    if old.is_empty() {
        return Err(Error::new(ErrorCode::Invalid, "the passage to replace is empty").hint("name words of the note"));
    }
    let mut found = before.match_indices(old);
    let (first, second) = (found.next(), found.next());
    match (first, second) {
        (None, _) => Err(Error::new(ErrorCode::NotFound, "the note has no such passage")
            .hint("read it again with \"fedp2p note show\": somebody may have changed it")),
        (Some(_), Some(_)) => {
            let count = found.count() + 2;
            let message = format!("the passage stands in the note {count} times");
            Err(Error::new(ErrorCode::Ambiguous, message).hint("give more of what stands around it"))
        }
        (Some((at, _)), None) => Ok(format!("{}{new}{}", &before[..at], &before[at + old.len()..])),
    }
}

/// The text after the edit that a text names.
fn text_after(note: &Note, version: &str) -> Result<String, Error> {
    let edits = note.edits();
    let edit = edits[edit_named(&edits, version)?];
    note.text_after(&edit.op).ok_or_else(|| Error::new(ErrorCode::Internal, "the note cannot be shown as it was then"))
}

/// The place of the edit that a text names.
fn edit_named(edits: &[&note::Edit], version: &str) -> Result<usize, Error> {
    let prefix = id_prefix(version)?;
    let mut found = edits.iter().enumerate().filter(|(_, edit)| edit.op.to_string().starts_with(&prefix));
    match (found.next(), found.next()) {
        (Some((at, _)), None) => Ok(at),
        (None, _) => {
            Err(Error::new(ErrorCode::NotFound, format!("no edit of the note has an id that starts with {version:?}"))
                .hint("\"fedp2p note history\" lists them"))
        }
        (Some(_), Some(_)) => {
            Err(Error::new(ErrorCode::Ambiguous, format!("more than one edit has an id that starts with {version:?}"))
                .hint("give more characters of the id"))
        }
    }
}
