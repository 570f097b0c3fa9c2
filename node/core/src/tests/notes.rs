//! Notes at the doors: edits by many at once, over partitions and restarts, and what is refused.

use std::sync::Arc;

use fedp2p_crdt::note::{self, Incoming, NoteId, Step, Writer};
use fedp2p_protocols::api::note::{Note, Saved};
use fedp2p_protocols::api::{note_append, note_edit, note_history, note_list, note_restore, note_show};
use fedp2p_protocols::payload::{self, Brings};

use super::*;

fn append(name: &str, text: &str) -> Request {
    Request::NoteAppend(note_append::Request { name: name.parse().unwrap(), text: text.to_owned() })
}

fn edit(name: &str, replace: &str, with: &str) -> Request {
    let request =
        note_edit::Request { name: name.parse().unwrap(), replace: replace.to_owned(), with: with.to_owned() };
    Request::NoteEdit(request)
}

fn restore(name: &str, version: &str) -> Request {
    Request::NoteRestore(note_restore::Request { name: name.parse().unwrap(), version: version.to_owned() })
}

fn saved(reply: Result<Reply, api::Error>) -> Saved {
    let reply = reply.unwrap();
    let (Reply::NoteAppend(saved) | Reply::NoteEdit(saved) | Reply::NoteRestore(saved)) = reply else {
        panic!("{reply:?}");
    };
    saved
}

fn shown(world: &mut World, n: usize, name: &str) -> Note {
    world.ask(n, note_show::Request { name: name.parse().unwrap(), version: None, from: 0 })
}

fn history(world: &mut World, n: usize, name: &str) -> note_history::Reply {
    world.ask(n, note_history::Request { name: name.parse().unwrap(), before: None, limit: 1000 })
}

/// What all nodes show; it must be the same, history included.
fn agreed(world: &mut World, name: &str) -> Note {
    let first = (shown(world, 0, name), history(world, 0, name));
    for n in 1..world.hosts.len() {
        assert_eq!((shown(world, n, name), history(world, n, name)), first, "n{n}");
    }
    first.0
}

#[test]
fn ten_agents_edit_one_note_across_a_partition_and_no_edit_is_lost() {
    let mut world = World::connected(4);
    world.call(0, append("plan", "# Plan\nopen: the middle\n# End")).unwrap();
    world.wait(Duration::from_secs(1));
    // Two halves, each of two nodes.
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        world.disconnect(a, b);
    }
    for round in 0..5 {
        for agent in 0..10 {
            let (n, name) = (agent % 4, format!("agent{agent}"));
            world.call_as(n, &name, append("plan", &format!("line {round} of {name}"))).unwrap();
            if round > 0 {
                let (old, new) =
                    (format!("line {} of {name}\n", round - 1), format!("edited {} of {name}\n", round - 1));
                world.call_as(n, &name, edit("plan", &old, &new)).unwrap();
            }
        }
    }
    // Both halves change the same passage as well.
    world.call(0, edit("plan", "the middle", "the middle, by n0")).unwrap();
    world.call(3, edit("plan", "open:", "open, by n3:")).unwrap();
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        world.connect(a, b);
    }
    world.wait(Duration::from_secs(60));
    let note = agreed(&mut world, "plan");
    let lines: Vec<&str> = note.text.lines().collect();
    for agent in 0..10 {
        for round in 0..5 {
            let word = if round < 4 { "edited" } else { "line" };
            let wanted = format!("{word} {round} of agent{agent}");
            assert_eq!(lines.iter().filter(|line| **line == wanted).count(), 1, "{wanted}\n{}", note.text);
        }
    }
    assert!(note.text.contains("open, by n3: the middle, by n0\n"), "{}", note.text);
    assert_eq!(note.edits, 1 + 50 + 40 + 2);
    world.assert_agreed();
    // It is the same for a node that starts again, and for one that comes later and reads it for the first time.
    world.restart(2);
    assert_eq!(shown(&mut world, 2, "plan"), note);
}

#[test]
fn a_note_that_two_halves_begin_becomes_one() {
    let mut world = World::new(2);
    world.call(0, append("ideas", "from n0")).unwrap();
    world.call(1, append("ideas", "from n1")).unwrap();
    world.connect(0, 1);
    world.wait(Duration::from_secs(10));
    let mut lines: Vec<String> = agreed(&mut world, "ideas").text.lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["from n0", "from n1"]);
}

#[test]
fn whole_lines_that_two_put_before_the_same_line_at_once_stay_whole() {
    let mut world = World::connected(2);
    world.call(0, append("plan", "# Plan\n## Open")).unwrap();
    world.wait(Duration::from_secs(1));
    world.disconnect(0, 1);
    for (n, item) in [(0, "- item A"), (1, "- item B")] {
        world.call(n, edit("plan", "## Open", &format!("{item}\n## Open"))).unwrap();
    }
    world.connect(0, 1);
    world.wait(Duration::from_secs(10));
    let note = agreed(&mut world, "plan");
    let mut lines: Vec<&str> = note.text.lines().collect();
    lines[1..].sort_unstable();
    assert_eq!(lines, ["# Plan", "## Open", "- item A", "- item B"], "{}", note.text);
    assert!(note.text.ends_with("\n## Open\n"), "{}", note.text);
}

#[test]
fn history_names_the_authors_and_any_version_comes_back() {
    let mut world = World::connected(2);
    let first = saved(world.call_as(0, "coder", append("plan", "one"))).version.unwrap();
    world.call_as(1, "tester", edit("plan", "one", "two")).unwrap();
    let edits = history(&mut world, 0, "plan").edits;
    let by: Vec<String> = edits.iter().map(|edit| edit.by.to_string()).collect();
    assert_eq!(by, ["coder@n0", "tester@n1"]);
    assert_eq!((edits[0].version, edits[1].inserted, edits[1].deleted), (first, 3, 3));
    let version = Some(first.to_string()[..8].to_owned());
    let then = world.ask(1, note_show::Request { name: "plan".parse().unwrap(), version, from: 0 });
    assert_eq!(then.text, "one\n");
    world.call(1, restore("plan", &first.to_string())).unwrap();
    assert_eq!(agreed(&mut world, "plan").text, "one\n");
    assert_eq!(saved(world.call(0, restore("plan", &first.to_string()))).version, None);
    let notes = world.ask(0, note_list::Request::default()).notes;
    assert_eq!((notes.len(), notes[0].name.as_str(), notes[0].edits), (1, "plan", 3));
    assert_eq!(notes[0].by.to_string(), "p1@n1");
}

#[test]
fn what_cannot_be_edited_is_refused_and_changes_nothing() {
    let mut world = World::connected(1);
    world.call(0, append("plan", "one two one")).unwrap();
    let before = shown(&mut world, 0, "plan");
    refusal(world.call(0, edit("plan", "three", "3")), ErrorCode::NotFound);
    let twice = refusal(world.call(0, edit("plan", "one", "1")), ErrorCode::Ambiguous);
    assert!(twice.message.contains("2 times"), "{twice:?}");
    refusal(world.call(0, edit("plan", "", "1")), ErrorCode::Invalid);
    refusal(world.call(0, append("plan", "\n")), ErrorCode::Invalid);
    refusal(world.call(0, append("plan", &"x".repeat(64 * 1024))), ErrorCode::TooLarge);
    refusal(world.call(0, restore("plan", "aaaa")), ErrorCode::NotFound);
    refusal(world.call(0, restore("plan", "1")), ErrorCode::Invalid);
    let unknown = refusal(world.call(0, edit("plans", "one", "1")), ErrorCode::NotFound);
    assert_eq!(unknown.suggestions, ["plan"]);
    let limit = note_history::Request { name: "plan".parse().unwrap(), before: None, limit: 0 };
    refusal(world.call(0, Request::NoteHistory(limit)), ErrorCode::Invalid);
    assert_eq!(shown(&mut world, 0, "plan"), before);
}

#[test]
fn a_long_text_is_written_in_several_changes_and_read_as_one() {
    let mut world = World::connected(2);
    let text: String = (0..3000).map(|line| format!("line {line} – ü\n")).collect();
    world.call(0, append("book", &text)).unwrap();
    assert_eq!(agreed(&mut world, "book").text, text);
    world.call(1, edit("book", &text[..text.len() - 9], "")).unwrap();
    assert_eq!(agreed(&mut world, "book").text, text[text.len() - 9..]);
}

#[test]
fn a_full_disk_leaves_a_note_as_it_was() {
    let mut world = World::connected(2);
    world.call(0, append("plan", "one")).unwrap();
    world.hosts[0].disk.full = true;
    refusal(world.call(0, append("plan", "two")), ErrorCode::Storage);
    world.hosts[0].disk.full = false;
    world.wait(Duration::from_secs(5));
    assert_eq!(agreed(&mut world, "plan").text, "one\n");
    world.call(0, append("plan", "three")).unwrap();
    assert_eq!(agreed(&mut world, "plan").text, "one\nthree\n");
}

#[test]
fn a_member_that_writes_garbage_spoils_only_its_own_edits() {
    let mut world = World::connected(3);
    world.call(0, append("plan", "one")).unwrap();
    let (mut scribe, mut ops) = Scribe::log(2, 3, 0);
    for change in [vec![1, 2, 3], Vec::new()] {
        let payload = payload::Note { name: "plan".parse().unwrap(), brings: Brings::Change(change) }.encode();
        let header = scribe.header(Kind::Note);
        ops.push(scribe.sign(header, &payload));
    }
    let header = scribe.header(Kind::Note);
    ops.push(scribe.sign(header, b"\0garbage"));
    let ops: Vec<&Verified> = ops.iter().collect();
    world.push(2, 0, &ops);
    world.wait(Duration::from_secs(5));
    world.call(1, append("plan", "two")).unwrap();
    assert_eq!(shown(&mut world, 0, "plan").text, "one\ntwo\n");
    assert_eq!(history(&mut world, 0, "plan").left_out, 2);
    assert!(world.notices(0).iter().any(|notice| notice.contains("left out of the note plan")));
    // Whoever reads the note for the first time sees the same.
    world.restart(0);
    assert_eq!(shown(&mut world, 0, "plan").text, "one\ntwo\n");
}

#[test]
fn many_notes_are_read_and_written_though_few_are_at_hand() {
    let mut world = World::connected(2);
    for round in 0..3 {
        for note in 0..40 {
            world.call(note % 2, append(&format!("note-{note}"), &format!("round {round}"))).unwrap();
        }
    }
    for note in 0..40 {
        assert_eq!(agreed(&mut world, &format!("note-{note}")).text, "round 0\nround 1\nround 2\n");
    }
    assert_eq!(world.ask(1, note_list::Request::default()).notes.len(), 40);
}

#[test]
fn an_edit_stays_though_the_node_before_it_went_back_to_a_backup() {
    let mut world = World::connected(2);
    world.call(0, append("plan", "begun")).unwrap();
    world.wait(Duration::from_secs(1));
    let backup = world.hosts[0].disk.clone();
    world.call(0, append("plan", "from n0")).unwrap();
    world.wait(Duration::from_secs(1));
    world.call(1, append("plan", "from n1")).unwrap();
    world.hosts[0].disk = backup;
    world.restart(0);
    world.wait(Duration::from_secs(1));
    // Nobody has heard this when the fork is proven, but it was acknowledged.
    world.call(0, append("plan", "alone")).unwrap();
    world.connect(0, 1);
    world.wait(Duration::from_secs(60));
    let note = agreed(&mut world, "plan");
    let mut lines: Vec<&str> = note.text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["alone", "begun", "from n0", "from n1"], "{}", note.text);
    let edits = history(&mut world, 0, "plan");
    let by: BTreeSet<String> = edits.edits.iter().map(|edit| edit.by.node.to_string()).collect();
    assert_eq!((edits.edits.len(), edits.left_out, by.len()), (4, 0, 2));
    // Both go on writing, also after a restart.
    world.call(0, append("plan", "n0 again")).unwrap();
    world.call(1, append("plan", "n1 again")).unwrap();
    for n in 0..2 {
        world.restart(n);
    }
    world.connect(0, 1);
    world.wait(Duration::from_secs(10));
    assert_eq!(agreed(&mut world, "plan").text.lines().count(), 6);
}

/// A member that nobody runs, which writes into the note "plan" by hand.
struct Forger {
    scribe: Scribe,
    writer: Writer,
}

impl Forger {
    fn new() -> (Self, Vec<Verified>) {
        let (scribe, start) = Scribe::log(2, 3, 0);
        let writer = Writer { node: scribe.key.id(), log: scribe.log };
        (Self { scribe, writer }, start)
    }

    /// The note as it follows from entries.
    fn note(&self, world: &World, ops: &[&Verified]) -> note::Note {
        let conversation = world.hosts[0].core.lobby;
        let mut note = note::Note::new(NoteId { conversation, name: "plan".parse().unwrap() });
        assert_eq!(note.add(ops.iter().filter_map(|op| incoming(op))), []);
        note
    }

    /// Appends a line to what it knows, and signs that as its next entry.
    fn append(&mut self, note: &note::Note, line: &str) -> Verified {
        let after = format!("{}{line}\n", note.text());
        let change = note.write(self.writer, &after, WALL_MS).unwrap().pop().unwrap();
        let payload = payload::Note { name: "plan".parse().unwrap(), brings: Brings::Change(change) }.encode();
        let header = self.scribe.header(Kind::Note);
        self.scribe.sign(header, &payload)
    }
}

fn incoming(op: &Verified) -> Option<Incoming> {
    let header = op.header();
    if header.kind != Kind::Note {
        return None;
    }
    let Brings::Change(change) = payload::Note::decode(op.payload()).ok()?.brings else { return None };
    Some(Incoming {
        op: op.id(),
        writer: Writer { node: header.author, log: header.log },
        agent: None,
        at: 1,
        change: change.into(),
        by: None,
    })
}

/// Both sides of a fork, each followed by somebody else in good faith, in both orders of arrival.
#[test]
fn what_stands_on_either_side_of_a_fork_stays_where_somebody_has_built_on_it() {
    for first in [0, 1] {
        let mut world = World::new(2);
        let (mut forger, start) = Forger::new();
        let note = forger.note(&world, &[]);
        let common = forger.scribe.last.clone();
        let one = forger.append(&note, "one");
        let first_note = forger.note(&world, &[&one]);
        let more = forger.append(&first_note, "more");
        forger.scribe.last = common;
        let other = forger.append(&note, "other");
        for op in start.iter().chain([&one, &more]) {
            world.gossip(1, 0, op.bytes());
        }
        for op in start.iter().chain([&other]) {
            world.gossip(0, 1, op.bytes());
        }
        world.call(0, append("plan", "from n0")).unwrap();
        world.call(1, append("plan", "from n1")).unwrap();
        world.connect(first, 1 - first);
        world.wait(Duration::from_secs(90));
        let note = agreed(&mut world, "plan");
        let mut lines: Vec<&str> = note.text.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["from n0", "from n1", "more", "one", "other"], "{}", note.text);
        for n in 0..2 {
            world.call(n, append("plan", "later")).unwrap();
            world.wait(Duration::from_secs(5));
            assert_eq!(agreed(&mut world, "plan").edits, note.edits + 1 + n as u32);
        }
    }
}

/// A note can be read when the store has an entry of which the node does not know yet.
#[test]
fn an_entry_counts_once_though_the_note_is_read_before_its_commit_is_told() {
    let mut world = World::connected(2);
    let (mut forger, start) = Forger::new();
    world.push(1, 0, &start.iter().collect::<Vec<_>>());
    let mut ops = Vec::new();
    for line in ["one", "two", "three"] {
        let note = forger.note(&world, &ops.iter().collect::<Vec<_>>());
        ops.push(forger.append(&note, line));
    }
    let peer = world.id(1);
    let frame = |op: &Verified| Frame::Push { ops: vec![op.bytes().to_vec()] }.encode();
    let untold = world.give_untold(0, Input::Frame { peer, frame: frame(&ops[0]) });
    assert!(world.holds(0, &ops[0]) && !untold.is_empty());
    assert_eq!(shown(&mut world, 0, "plan").text, "one\n");
    for input in untold {
        world.give(0, input);
    }
    for op in &ops[1..] {
        world.give(0, Input::Frame { peer, frame: frame(op) });
    }
    let note = shown(&mut world, 0, "plan");
    assert_eq!((note.text.as_str(), history(&mut world, 0, "plan").left_out), ("one\ntwo\nthree\n", 0));
    world.restart(0);
    assert_eq!(shown(&mut world, 0, "plan"), note);
}

/// Nobody but the forger has seen what it wrote: that is nobody's loss.
#[test]
fn what_stands_behind_a_fork_and_is_followed_by_nobody_does_not_count() {
    let mut world = World::new(2);
    let (mut forger, start) = Forger::new();
    let note = forger.note(&world, &[]);
    let common = forger.scribe.last.clone();
    let one = forger.append(&note, "one");
    forger.scribe.last = common;
    let other = forger.append(&note, "other");
    world.call(0, append("plan", "from n0")).unwrap();
    for op in start.iter().chain([&one]) {
        world.gossip(1, 0, op.bytes());
    }
    for op in start.iter().chain([&other]) {
        world.gossip(0, 1, op.bytes());
    }
    world.connect(0, 1);
    world.wait(Duration::from_secs(90));
    assert_eq!(agreed(&mut world, "plan").text, "from n0\n");
}

#[test]
fn a_note_that_one_member_has_filled_can_be_restored_by_another() {
    let mut world = World::connected(2);
    let first = saved(world.call(0, append("plan", "one"))).version.unwrap();
    let (mut forger, start) = Forger::new();
    world.push(1, 0, &start.iter().collect::<Vec<_>>());
    let written: Vec<Arc<Verified>> = world.hosts[0].disk.ops.values().map(|write| Arc::clone(&write.op)).collect();
    let mut note = forger.note(&world, &written.iter().map(|op| &**op).collect::<Vec<_>>());
    for size in [4096, 256, 16, 1] {
        let step = Step { at: 0, delete: 0, insert: "x".repeat(size) };
        while let Ok(change) = note.draft(forger.writer, &step, WALL_MS) {
            let payload = payload::Note { name: "plan".parse().unwrap(), brings: Brings::Change(change) }.encode();
            let header = forger.scribe.header(Kind::Note);
            let op = forger.scribe.sign(header, &payload);
            assert_eq!(note.add(incoming(&op)), []);
            world.push(1, 0, &[&op]);
        }
    }
    let full = shown(&mut world, 0, "plan");
    assert!(full.text.len() > note::limits::MAX_TEXT_BYTES && full.next.is_none());
    refusal(world.call(0, append("plan", "more")), ErrorCode::TooLarge);
    world.call(0, restore("plan", &first.to_string())).unwrap();
    assert_eq!(shown(&mut world, 0, "plan").text, "one\n");
    world.call(0, append("plan", "more")).unwrap();
    world.wait(Duration::from_secs(60));
    assert_eq!(agreed(&mut world, "plan").text, "one\nmore\n");
}

#[test]
fn long_lists_and_texts_come_in_pages() {
    let mut world = World::connected(1);
    for number in 0..25 {
        world.call(0, append("plan", &format!("line {number}"))).unwrap();
        world.call(0, append(&format!("note-{number:02}"), "one")).unwrap();
    }
    let all: Vec<OpId> = history(&mut world, 0, "plan").edits.iter().map(|edit| edit.version).collect();
    let (mut before, mut found) = (None, Vec::new());
    loop {
        let request = note_history::Request { name: "plan".parse().unwrap(), before, limit: 10 };
        let page = world.ask(0, request);
        found.splice(0..0, page.edits.iter().map(|edit| edit.version));
        before = page.before.map(|before| before.to_string());
        if before.is_none() {
            break;
        }
    }
    assert_eq!(found, all);
    let (mut after, mut names) = (None, Vec::new());
    loop {
        let page = world.ask(0, note_list::Request { after, limit: 10 });
        names.extend(page.notes.into_iter().map(|row| row.name.to_string()));
        after = page.after;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((names.len(), names.is_sorted()), (26, true));
    let page = world.ask(0, note_show::Request { name: "plan".parse().unwrap(), version: None, from: 7 });
    assert!(page.text.starts_with("line 1\n") && page.next.is_none(), "{page:?}");
    let beyond = note_show::Request { name: "plan".parse().unwrap(), version: None, from: 1000 };
    refusal(world.call(0, Request::NoteShow(beyond)), ErrorCode::Invalid);
    refusal(world.call(0, Request::NoteList(note_list::Request { after: None, limit: 0 })), ErrorCode::Invalid);
}
