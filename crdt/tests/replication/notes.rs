//! Notes that many write at once, apart and together, also where one of them goes back to a backup: one text in the end,
//! whatever the order of arrival, and no edit is lost.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_crdt::note::{For, Incoming, Note, NoteId, Writer, steps};
use fedp2p_protocols::id::{ConversationId, LogId, NodeId, OpId};
use proptest::prelude::*;

const AUTHORS: usize = 10;
/// Where words that tell edits apart begin: each is one character, so that nothing comes between its parts.
const FIRST_WORD: u32 = 0x4e00;

fn id() -> NoteId {
    NoteId { conversation: ConversationId::from_bytes([9; 16]), name: "plan".parse().unwrap() }
}

fn writer(node: usize, log: u8) -> Writer {
    Writer { node: NodeId::from_bytes([node as u8; 32]), log: LogId::from_bytes([log; 16]) }
}

/// One entry of a log.
#[derive(Clone)]
struct Entry {
    author: usize,
    incoming: Incoming,
    /// On which side of the fork it stands, if it is behind it.
    side: Option<u8>,
    deleted: Vec<char>,
    inserted: Vec<char>,
}

/// One of the authors, and what it knows.
#[derive(Clone)]
struct Author {
    note: Note,
    known: BTreeSet<usize>,
    side: Option<u8>,
}

impl Author {
    fn new() -> Self {
        Self { note: Note::new(id()), known: BTreeSet::new(), side: None }
    }

    /// Hears what another knows. Of a log that forked, one side is known to it.
    fn hear(&mut self, other: &BTreeSet<usize>, entries: &[Entry]) {
        for at in other.difference(&self.known.clone()) {
            let side = entries[*at].side;
            if side.is_some() && self.side.is_some() && side != self.side {
                continue;
            }
            self.side = self.side.or(side);
            self.known.insert(*at);
            assert_eq!(self.note.add([entries[*at].incoming.clone()]), []);
        }
    }
}

/// What an author does: hears another, appends, replaces a word, or restores what was.
#[derive(Debug, Clone)]
enum Doing {
    Hear(usize),
    Append,
    Replace(prop::sample::Index),
    Restore(prop::sample::Index),
}

fn doings() -> impl Strategy<Value = Vec<(usize, Doing)>> {
    let doing = prop_oneof![
        4 => (0..AUTHORS).prop_map(Doing::Hear),
        4 => Just(Doing::Append),
        2 => any::<prop::sample::Index>().prop_map(Doing::Replace),
        1 => any::<prop::sample::Index>().prop_map(Doing::Restore),
    ];
    prop::collection::vec((0..AUTHORS, doing), 1..90)
}

struct Mesh {
    authors: Vec<Author>,
    entries: Vec<Entry>,
    words: u32,
    /// Whether the first author has gone back to its backup.
    forked: bool,
}

impl Mesh {
    fn word(&mut self) -> char {
        self.words += 1;
        char::from_u32(FIRST_WORD + self.words).unwrap()
    }

    fn act(&mut self, author: usize, doing: &Doing) {
        let before = self.authors[author].note.text();
        let after = match doing {
            Doing::Hear(other) => {
                let known = self.authors[*other].known.clone();
                self.authors[author].hear(&known, &self.entries);
                return;
            }
            Doing::Append => format!("{before}{}\n", self.word()),
            Doing::Replace(at) => {
                let words: Vec<char> = before.chars().filter(|c| *c != '\n').collect();
                if words.is_empty() {
                    return;
                }
                let old = words[at.index(words.len())];
                before.replacen(old, &self.word().to_string(), 1)
            }
            Doing::Restore(at) => {
                let note = &self.authors[author].note;
                let edits = note.edits();
                if edits.is_empty() {
                    return;
                }
                note.text_after(&edits[at.index(edits.len())].op).unwrap()
            }
        };
        self.write(author, &before, &after);
    }

    fn write(&mut self, author: usize, before: &str, after: &str) {
        let (mut deleted, mut inserted) = (Vec::new(), Vec::new());
        for step in steps(before, after).unwrap() {
            deleted.extend(before.chars().skip(step.at).take(step.delete));
            inserted.extend(step.insert.chars());
        }
        let this = &mut self.authors[author];
        let writer = writer(author, 0);
        for change in this.note.write(writer, after, 1).unwrap() {
            let mut op = [0; 32];
            op[..8].copy_from_slice(&(self.entries.len() as u64).to_be_bytes());
            let incoming =
                Incoming { op: OpId::from_bytes(op), writer, agent: None, at: 1, change: change.into(), by: None };
            assert_eq!(this.note.add([incoming.clone()]), []);
            this.known.insert(self.entries.len());
            let side = (author == 0 && this.side.is_some()).then_some(if self.forked { 2 } else { 1 });
            self.entries.push(Entry { author, incoming, side, deleted: deleted.clone(), inserted: inserted.clone() });
        }
        assert_eq!(this.note.text(), after);
    }
}

/// Every author's entries from the beginning, mixed with those of others as `turns` say; the rest one author after another.
fn in_turns(entries: &[(usize, Incoming)], turns: &[usize]) -> Vec<Incoming> {
    let of =
        |author: usize| entries.iter().filter(move |(log, _)| *log == author).map(|(_, incoming)| incoming.clone());
    let mut logs: Vec<_> = (0..AUTHORS).map(of).collect();
    let mut order: Vec<Incoming> = turns.iter().filter_map(|author| logs[*author].next()).collect();
    order.extend(logs.into_iter().rev().flatten());
    order
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn ten_authors_end_in_one_text_with_no_edit_lost(
        before in doings(),
        lost in doings(),
        after in doings(),
        forks in any::<bool>(),
        proofs in prop::collection::vec(0..12_usize, 0..4),
        turns in prop::collection::vec(0..AUTHORS, 0..200),
    ) {
        let mut mesh =
            Mesh { authors: vec![Author::new(); AUTHORS], entries: Vec::new(), words: 0, forked: false };
        before.iter().for_each(|(author, doing)| mesh.act(*author, doing));
        if forks {
            let backup = mesh.authors[0].clone();
            mesh.authors[0].side = Some(1);
            lost.iter().for_each(|(author, doing)| mesh.act(*author, doing));
            mesh.authors[0] = Author { side: Some(2), ..backup };
            mesh.forked = true;
        }
        after.iter().for_each(|(author, doing)| mesh.act(*author, doing));

        // The fork is proven: what stands behind it does not count there any more. It is found out from the end of the log
        // on, and each time all carry on what they lack.
        let counted = mesh.entries.iter().filter(|entry| entry.side.is_none());
        let mut all: Vec<(usize, Incoming)> = counted.map(|entry| (entry.author, entry.incoming.clone())).collect();
        let mut cuts = proofs;
        cuts.push(0);
        cuts.sort_unstable_by(|a, b| b.cmp(a));
        for cut in cuts {
            let mut carried = Vec::new();
            for (author, this) in mesh.authors.iter().enumerate() {
                let behind = this.known.iter().map(|at| &mesh.entries[*at]).filter(|entry| entry.side.is_some());
                let behind: Vec<Incoming> = behind.map(|entry| entry.incoming.clone()).collect();
                let (stays, void) = behind.split_at(cut.min(behind.len()));
                let mut note = Note::new(id());
                let heard = all.iter().map(|(_, incoming)| incoming);
                prop_assert_eq!(note.add(heard.chain(stays).cloned()), []);
                let by = if author == 0 { writer(0, 1) } else { writer(author, 0) };
                for at in note.lacks(void, For::Node(by.node)) {
                    carried.push((author, Incoming { by: Some(by), ..void[at].clone() }));
                }
            }
            all.extend(carried);
        }
        let mut replicas: Vec<Note> = Vec::new();
        for order in [all.iter().map(|(_, incoming)| incoming.clone()).collect(), in_turns(&all, &turns)] {
            let mut note = Note::new(id());
            for incoming in order {
                prop_assert_eq!(note.add([incoming]), []);
            }
            replicas.push(note);
        }
        let note = &replicas[0];
        prop_assert_eq!(note.left_out(), 0);
        prop_assert_eq!((note.text(), note.digest(), note.edits()), (replicas[1].text(), replicas[1].digest(), replicas[1].edits()));

        let counts: BTreeSet<OpId> = note.edits().iter().map(|edit| edit.op).collect();
        let mut fate: BTreeMap<char, (usize, bool)> = BTreeMap::new();
        for entry in &mesh.entries {
            let stays = counts.contains(&entry.incoming.op);
            // Only what the author that went back wrote before, and nobody followed, may be gone.
            prop_assert!(stays || entry.side == Some(1));
            if stays {
                entry.inserted.iter().for_each(|word| fate.entry(*word).or_default().0 += 1);
                entry.deleted.iter().for_each(|word| fate.entry(*word).or_default().1 = true);
            }
        }
        let text = note.text();
        for (word, (inserted, deleted)) in fate.into_iter().filter(|(word, (inserted, _))| *word != '\n' && *inserted == 1) {
            let found = text.chars().filter(|c| *c == word).count();
            prop_assert_eq!(found, usize::from(!deleted), "{} of {} in {}", word, inserted, text);
        }
    }
}
