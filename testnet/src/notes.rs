//! Notes in the simulation: what clients write into them, and what must hold of them in the end.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_core::input::CallId;
use fedp2p_core::{Effect, Input};
use fedp2p_protocols::api::note::{Edit, Note};
use fedp2p_protocols::api::{Answer, Reply, Request, note_append, note_edit, note_history, note_show};
use fedp2p_protocols::id::OpId;
use fedp2p_protocols::limits::MAX_PAGE;
use fedp2p_protocols::name::NoteName;

use crate::check::Invariant;
use crate::dice::Dice;
use crate::sim::Sim;

/// How many notes the clients write to: few enough that they meet on them.
const NOTES: usize = 2;
/// Where the words begin that tell edits apart. Each is one character, so that nothing comes between its parts.
const FIRST_WORD: u32 = 0x4e00;

/// An edit that its author was told is stored.
#[derive(Debug)]
pub(crate) struct Written {
    node: usize,
    pub(crate) op: OpId,
    name: NoteName,
    word: char,
    /// Whether it may be gone: the only disk that had it lost it.
    pub(crate) excused: bool,
}

/// What the clients did with notes.
#[derive(Debug, Default)]
pub(crate) struct Notebook {
    words: u32,
    /// What was put into which note by calls that were not answered yet.
    asked: BTreeMap<CallId, (NoteName, char)>,
    pub(crate) written: Vec<Written>,
    /// What somebody has asked to have replaced.
    replaced: BTreeSet<char>,
}

fn name(number: usize) -> NoteName {
    format!("note{number}").parse().expect("letters and a digit are a name")
}

impl Sim {
    /// A client appends a word to a note, or puts one in the place of another.
    pub(crate) fn edit_some_note(&mut self, node: usize, agent: usize, dice: &mut Dice) {
        let notebook = &mut self.notebook;
        notebook.words += 1;
        let word = char::from_u32(FIRST_WORD + notebook.words).expect("far fewer than there are characters");
        let name = name(dice.index(NOTES));
        let others: Vec<char> =
            notebook.written.iter().filter(|written| written.name == name).map(|written| written.word).collect();
        let old = (dice.percent(30) && !others.is_empty()).then(|| others[dice.index(others.len())]);
        let request = match old {
            None => Request::NoteAppend(note_append::Request { name: name.clone(), text: word.to_string() }),
            Some(old) => {
                notebook.replaced.insert(old);
                let (replace, with) = (old.to_string(), word.to_string());
                Request::NoteEdit(note_edit::Request { name: name.clone(), replace, with })
            }
        };
        // What a call that is never answered has asked for may stand there or not, so the word is noted first.
        let call = self.next_call();
        self.notebook.asked.insert(call, (name, word));
        self.call(node, agent, request);
    }

    /// A call was answered: perhaps an edit is promised.
    pub(crate) fn note_answered(&mut self, node: usize, call: CallId, answer: &Answer) {
        let Some((name, word)) = self.notebook.asked.remove(&call) else { return };
        let Answer::Ok(Reply::NoteAppend(saved) | Reply::NoteEdit(saved)) = answer else { return };
        let Some(op) = saved.version else { return };
        if !self.nodes[node].disk.by_id.contains_key(&op) {
            self.fault(
                Invariant::Durable,
                format!("n{node} acknowledged the edit {} before it was stored", op.short()),
            );
        }
        if self.nodes[node].counts() {
            self.notebook.written.push(Written { node, op, name, word, excused: false });
        }
    }

    /// All nodes show the same texts by the same edits, and what was acknowledged is among them.
    pub(crate) fn check_notes(&mut self) {
        if self.notebook.written.is_empty() {
            return;
        }
        for name in (0..NOTES).map(name) {
            let mut shown: BTreeMap<String, (usize, String, BTreeSet<OpId>)> = BTreeMap::new();
            for node in self.honest() {
                let Some((note, edits)) = self.note_of(node, &name) else { continue };
                let ids = edits.iter().map(|edit| edit.version).collect();
                shown.insert(format!("{note:?} {edits:?}"), (node, note.text, ids));
            }
            if shown.len() > 1 {
                let who: Vec<String> = shown.values().map(|(node, text, _)| format!("n{node} {text:?}")).collect();
                self.fault(Invariant::Notes, format!("{name} reads differently: {}", who.join(", ")));
            }
            if let Some((_, (_, text, edits))) = shown.pop_first() {
                self.check_written(&name, &text, &edits);
            }
        }
    }

    fn check_written(&mut self, name: &NoteName, text: &str, edits: &BTreeSet<OpId>) {
        let void = self.void();
        let mut found = Vec::new();
        for written in self.notebook.written.iter().filter(|written| written.name == *name && !written.excused) {
            let node = &self.nodes[written.node];
            // What a node wrote before it went back to a backup stays where somebody has built on it; otherwise only its own
            // disk had reason to keep it.
            if void.contains(&written.op) && (node.lost || node.twin) && !edits.contains(&written.op) {
                continue;
            }
            let count = text.chars().filter(|c| *c == written.word).count();
            let there = count == 1 || self.notebook.replaced.contains(&written.word);
            if !edits.contains(&written.op) || !there {
                let (op, by, word) = (written.op.short(), written.node, written.word);
                found.push(format!("{name} has {word} of edit {op} {count} times, which n{by} acknowledged: {text:?}"));
            }
        }
        for text in found {
            self.fault(Invariant::Notes, text);
        }
    }

    /// A note as a node shows it, and its edits; nothing if nobody has written to it.
    fn note_of(&mut self, node: usize, name: &NoteName) -> Option<(Note, Vec<Edit>)> {
        let show = note_show::Request { name: name.clone(), version: None, from: 0 };
        let Some(Reply::NoteShow(note)) = self.ask_through(node, Request::NoteShow(show)) else { return None };
        let history = note_history::Request { name: name.clone(), before: None, limit: MAX_PAGE };
        match self.ask_through(node, Request::NoteHistory(history)) {
            Some(Reply::NoteHistory(history)) => Some((note, history.edits)),
            _ => None,
        }
    }

    /// Asks a node that may have to read its store first.
    fn ask_through(&mut self, node: usize, request: Request) -> Option<Reply> {
        let caller = self.caller(node, 0);
        let clock = self.nodes[node].clock(self.now);
        let mut inputs = vec![Input::Call { id: CallId(u64::MAX), caller, request }];
        let mut found = None;
        while let Some(input) = inputs.pop() {
            for effect in self.nodes[node].core.as_mut()?.handle(clock, input) {
                if let Effect::Reply(_, Answer::Ok(reply)) = effect {
                    found = Some(reply);
                } else if let Effect::Read(token, read) = effect {
                    inputs.push(Input::Read(token, self.nodes[node].disk.read(&read)));
                } else {
                    self.effect(node, effect);
                }
            }
        }
        found
    }
}
