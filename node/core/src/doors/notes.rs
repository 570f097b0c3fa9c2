//! Notes at the doors: texts that everybody edits.
//!
//! A note is put together from what is stored when somebody asks for it, and a few are kept at hand. What comes while
//! one is being read is added to it then, so that nothing is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fedp2p_crdt::note::{self, EditError, Incoming, Note, NoteId, Writer};
use fedp2p_protocols::api::note::{Edit, Note as Shown, Saved};
use fedp2p_protocols::api::{Answer, Caller, Error, ErrorCode, Reply, Request, note_history, note_list, watch};
use fedp2p_protocols::id::OpId;
use fedp2p_protocols::limits::MAX_PAGE;
use fedp2p_protocols::name::NoteName;
use fedp2p_protocols::op::{Kind, Verified};
use fedp2p_protocols::payload;
use fedp2p_protocols::vote::AgentId;

use super::resolve::agent_name;
use super::{Continue, Finish, Then, id_prefix};
use crate::Core;
use crate::author::Entries;
use crate::commit::{Origin, Written, storage_refusal};
use crate::effect::Effect;
use crate::input::CallId;
use crate::store::{NoteRow, Read, StoreError};

/// How many notes are kept at hand.
pub(crate) const MAX_NOTES: usize = 16;
/// How many calls wait for one note.
pub(crate) const MAX_WAITING: usize = 64;
/// How alike names must be to be suggested.
const ALIKE: f64 = 0.7;

/// A note at hand.
#[derive(Debug)]
struct Held {
    note: Note,
    /// When it was used last, counting uses.
    used: u64,
    /// The commit with the last edit of this node; until that is durable, the store does not have it.
    own: u64,
}

/// A note that is being read.
#[derive(Debug, Default)]
struct Reading {
    calls: Vec<(CallId, Caller, Request)>,
    /// What came meanwhile.
    came: Vec<Arc<Verified>>,
}

/// The notes at hand, and those that are being read.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    held: BTreeMap<NoteName, Held>,
    reading: BTreeMap<NoteName, Reading>,
    uses: u64,
}

impl Notes {
    /// Forgets what is at hand: something that is stored no longer counts, or something that counted is not stored.
    pub(crate) fn forget(&mut self) {
        self.held.clear();
    }

    /// How many notes are at hand.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// The most calls that wait for one note.
    pub(crate) fn waiting(&self) -> usize {
        self.reading.values().map(|reading| reading.calls.len()).max().unwrap_or(0)
    }

    /// Makes room for one more. A note with an edit that is not durable yet has to stay.
    fn make_room(&mut self, durable: u64) {
        while self.held.len() >= MAX_NOTES {
            let free = self.held.iter().filter(|(_, held)| held.own <= durable);
            let Some(oldest) = free.min_by_key(|(_, held)| held.used).map(|(name, _)| name.clone()) else { return };
            self.held.remove(&oldest);
        }
    }
}

/// What a request about a note asks for.
enum Asked<'a> {
    Append(&'a str),
    Replace(&'a str, &'a str),
    Restore(&'a str),
    Show(Option<&'a str>),
    History(u32),
}

impl<'a> Asked<'a> {
    fn of(request: &'a Request) -> Option<(&'a NoteName, Self)> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "every other request is about something else")]
        match request {
            Request::NoteAppend(request) => Some((&request.name, Self::Append(&request.text))),
            Request::NoteEdit(request) => Some((&request.name, Self::Replace(&request.replace, &request.with))),
            Request::NoteRestore(request) => Some((&request.name, Self::Restore(&request.version))),
            Request::NoteShow(request) => Some((&request.name, Self::Show(request.version.as_deref()))),
            Request::NoteHistory(request) => Some((&request.name, Self::History(request.limit))),
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
        if let Asked::History(limit) = asked
            && !(1..=MAX_PAGE).contains(&limit)
        {
            return Err(Error::new(ErrorCode::Invalid, format!("a limit is 1 to {MAX_PAGE}, not {limit}")));
        }
        if self.notes.held.contains_key(name) {
            return self.note_asked(id, &caller, name, &asked);
        }
        let name = name.clone();
        if let Some(reading) = self.notes.reading.get_mut(&name) {
            if reading.calls.len() >= MAX_WAITING {
                return Err(Error::new(ErrorCode::Busy, "too many calls wait for this note").hint("try again"));
            }
            reading.calls.push((id, caller, request));
            return Ok(());
        }
        let reading = Reading { calls: vec![(id, caller, request)], came: Vec::new() };
        self.notes.reading.insert(name.clone(), reading);
        self.read(Read::Note { conversation: self.lobby, name: name.clone() }, Then::Note(name));
        Ok(())
    }

    /// The edits of a note were read.
    pub(crate) fn note_read(&mut self, name: &NoteName, ops: &[Arc<Verified>]) {
        let Some(reading) = self.notes.reading.remove(name) else { return };
        let read: BTreeSet<OpId> = ops.iter().map(|op| op.id()).collect();
        let later = reading.came.iter().filter(|op| !read.contains(&op.id()));
        let mut note = Note::new(NoteId { conversation: self.lobby, name: name.clone() });
        // What was refused was told of when it came.
        drop(note.add(ops.iter().chain(later).filter_map(|op| self.note_change(op))));
        let durable = self.commits - self.in_flight.len() as u64;
        self.notes.make_room(durable);
        self.notes.held.insert(name.clone(), Held { note, used: self.notes.uses, own: 0 });
        for (id, caller, request) in reading.calls {
            if let Err(error) = self.note_call(id, caller, request) {
                self.effect(Effect::Reply(id, Answer::Error(error)));
            }
        }
    }

    pub(crate) fn note_unread(&mut self, name: &NoteName, error: &StoreError) {
        let Some(reading) = self.notes.reading.remove(name) else { return };
        for (id, ..) in reading.calls {
            self.effect(Effect::Reply(id, Answer::Error(storage_refusal(error))));
        }
    }

    /// The change of a note that an op carries, if it counts.
    fn note_change(&self, op: &Verified) -> Option<Incoming> {
        let header = op.header();
        let counts = self.logs.get(&crate::key_of(op)).is_none_or(|log| log.counts(header.seq));
        let said = payload::Note::decode(op.payload()).ok().filter(|_| counts)?;
        Some(Incoming {
            op: op.id(),
            writer: Writer { node: header.author, log: header.log },
            agent: header.agent.clone(),
            at: header.hlc.milliseconds(),
            change: said.change.into(),
        })
    }

    /// An edit is durable here.
    pub(crate) fn note_stored(&mut self, written: &Written) {
        let op = &written.op;
        let Ok(said) = payload::Note::decode(op.payload()) else { return };
        if let Some(reading) = self.notes.reading.get_mut(&said.name) {
            reading.came.push(Arc::clone(op));
        }
        let own = written.origin == Origin::Own;
        let change = if own { None } else { self.note_change(op) };
        if let (Some(change), Some(held)) = (change, self.notes.held.get_mut(&said.name)) {
            for (_, refusal) in held.note.add([change]) {
                let name = self.members.display(&op.header().author);
                self.notice(format!("an edit of {name} was left out of the note {}: {refusal}", said.name));
            }
        }
        let by = AgentId { node: op.header().author, name: agent_name(op.header().agent.as_ref()) };
        self.tell(watch::Event::Note { name: said.name, by: self.address(&by), version: op.id() });
    }

    fn note_asked(&mut self, id: CallId, caller: &Caller, name: &NoteName, asked: &Asked<'_>) -> Result<(), Error> {
        self.notes.uses += 1;
        let uses = self.notes.uses;
        if let Some(held) = self.notes.held.get_mut(name) {
            held.used = uses;
        }
        let Some(note) = self.notes.held.get(name).map(|held| &held.note) else { return Ok(()) };
        if note.is_empty() && !matches!(asked, Asked::Append(_)) {
            // There is none; perhaps another was meant.
            self.read(Read::Notes { conversation: self.lobby }, Then::Call(id, Continue::NoNote(name.clone())));
            return Ok(());
        }
        match asked {
            Asked::Show(version) => {
                let text = version.map_or_else(|| Ok(note.text()), |version| text_after(note, version))?;
                let shown = self.show_note(name, text);
                self.answer(id, Reply::NoteShow(shown));
            }
            Asked::History(limit) => {
                let reply = self.note_edits(note, *limit);
                self.answer(id, Reply::NoteHistory(reply));
            }
            Asked::Append(text) => {
                let after = appended(&note.text(), text)?;
                self.save_note(id, caller, name, &after, Reply::NoteAppend)?;
            }
            Asked::Replace(old, new) => {
                let after = replaced(&note.text(), old, new)?;
                self.save_note(id, caller, name, &after, Reply::NoteEdit)?;
            }
            Asked::Restore(version) => {
                let after = text_after(note, version)?;
                self.save_note(id, caller, name, &after, Reply::NoteRestore)?;
            }
        }
        Ok(())
    }

    fn show_note(&self, name: &NoteName, text: String) -> Shown {
        let held = self.notes.held.get(name);
        let edits = held.map(|held| held.note.edits()).unwrap_or_default();
        let last = edits.last();
        Shown {
            name: name.clone(),
            text,
            edits: u32::try_from(edits.len()).unwrap_or(u32::MAX),
            by: last.map(|edit| self.editor(edit)),
            at: last.map(|edit| edit.at),
            digest: held.map(|held| super::status::hex(&held.note.digest())).unwrap_or_default(),
        }
    }

    fn editor(&self, edit: &note::Edit) -> fedp2p_protocols::name::Address {
        self.address(&AgentId { node: edit.writer.node, name: agent_name(edit.agent.as_ref()) })
    }

    fn note_edits(&self, note: &Note, limit: u32) -> note_history::Reply {
        let edits = note.edits();
        let earlier = edits.len().saturating_sub(limit as usize);
        let shown = edits[earlier..].iter().map(|edit| Edit {
            version: edit.op,
            by: self.editor(edit),
            at: edit.at,
            inserted: edit.inserted,
            deleted: edit.deleted,
        });
        note_history::Reply {
            edits: shown.collect(),
            earlier: u32::try_from(earlier).unwrap_or(u32::MAX),
            left_out: u32::try_from(note.left_out()).unwrap_or(u32::MAX),
        }
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
        let Some(held) = self.notes.held.get(name) else { return Ok(()) };
        // On a copy first: what cannot be written whole is not begun.
        let changes = draft(held.note.clone(), writer, after, self.now.wall_ms).map_err(|error| refusal(&error))?;
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, Vec::new())?;
        let mut version = None;
        let mut refused = Vec::new();
        for change in changes {
            let payload = payload::Note { name: name.clone(), change }.encode();
            let op = self
                .append(&mut entries, lobby, Kind::Note, Some(&caller.name), &payload)
                .expect("a change is bounded below the size of an op");
            version = Some(op.id());
            if let (Some(change), Some(held)) = (self.note_change(&op), self.notes.held.get_mut(name)) {
                refused.extend(held.note.add([change]));
            }
        }
        for (_, refusal) in refused {
            self.notice(format!("an edit of this node was left out of the note {name}: {refusal}"));
        }
        let edits = self.notes.held.get(name).map_or(0, |held| held.note.edits().len());
        let saved = Saved {
            name: name.clone(),
            version,
            bytes: u32::try_from(after.len()).unwrap_or(u32::MAX),
            edits: u32::try_from(edits).unwrap_or(u32::MAX),
        };
        self.commit_call(entries, id, Finish::Reply(Box::new(wrap(saved))));
        if let Some(held) = self.notes.held.get_mut(name) {
            held.own = self.commits;
        }
        Ok(())
    }

    pub(crate) fn note_list(&mut self, id: CallId) {
        self.read(Read::Notes { conversation: self.lobby }, Then::Call(id, Continue::Notes));
    }

    pub(crate) fn notes_read(&mut self, id: CallId, rows: &[NoteRow]) {
        let row = |row: &NoteRow| {
            let header = row.last.op.header();
            let by = AgentId { node: header.author, name: agent_name(header.agent.as_ref()) };
            let at = header.hlc.milliseconds();
            note_list::Row { name: row.name.clone(), edits: row.edits, by: self.address(&by), at }
        };
        let notes = rows.iter().map(row).collect();
        self.answer(id, Reply::NoteList(note_list::Reply { notes }));
    }
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

/// The changes that make the text of a note `after`.
fn draft(mut note: Note, writer: Writer, after: &str, at_ms: u64) -> Result<Vec<Vec<u8>>, EditError> {
    let mut changes = Vec::new();
    for step in note::steps(&note.text(), after)? {
        let change = note.draft(writer, step.at, step.delete, &step.insert, at_ms)?;
        let incoming =
            Incoming { op: OpId::from_bytes([0; 32]), writer, agent: None, at: at_ms, change: change.clone().into() };
        if let Some((_, refusal)) = note.add([incoming]).pop() {
            return Err(EditError::Refused(refusal.to_string()));
        }
        changes.push(change);
    }
    Ok(changes)
}

fn refusal(error: &EditError) -> Error {
    #[expect(clippy::wildcard_enum_match_arm, reason = "what else there is, is a bug")]
    match error {
        EditError::TooLong => {
            Error::new(ErrorCode::TooLarge, error.to_string()).hint("shorten it, or go on in another note")
        }
        EditError::Full => Error::new(ErrorCode::TooLarge, error.to_string()).hint("go on in another note"),
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
    let prefix = id_prefix(version)?;
    let edits = note.edits();
    let found: Vec<&&note::Edit> = edits.iter().filter(|edit| edit.op.to_string().starts_with(&prefix)).collect();
    match found.as_slice() {
        [one] => note
            .text_after(&one.op)
            .ok_or_else(|| Error::new(ErrorCode::Internal, "the note cannot be shown as it was then")),
        [] => {
            Err(Error::new(ErrorCode::NotFound, format!("no edit of the note has an id that starts with {version:?}"))
                .hint("\"fedp2p note history\" lists them"))
        }
        [..] => {
            Err(Error::new(ErrorCode::Ambiguous, format!("more than one edit has an id that starts with {version:?}"))
                .hint("give more characters of the id"))
        }
    }
}
