//! Reads: what is found, in which order, and when there is more.

use fedp2p_core::store::{HistoryFilter, Traced};
use fedp2p_protocols::sync::Want;

use super::*;

fn want(author: &Author, from: u64) -> Want {
    Want { key: author.log_key(), from }
}

/// Sets one filter or more.
type Narrow<'a> = &'a dyn Fn(&mut HistoryFilter);

fn history(running: &mut Running, filter: HistoryFilter) -> Vec<Traced> {
    let outcome = running.read(Read::History(filter));
    let ReadOutcome::History(found) = outcome else { panic!("{outcome:?}") };
    found
}

/// Returns the positions that wait for an agent, and how many more there are.
fn inbox(running: &mut Running, agent: &str, limit: u32) -> (Vec<u64>, u64) {
    let outcome = running.read(Read::Inbox { agent: name(agent), limit, held: false, urgent: false, now_ms: 1_000 });
    let ReadOutcome::Inbox { messages, more, .. } = outcome else { panic!("{outcome:?}") };
    (messages.iter().map(|placed| placed.position).collect(), more)
}

/// Reads page by page as a peer that catches up does.
fn catch_up(running: &mut Running, wants: &[Want], max_bytes: usize) -> Vec<u64> {
    let mut found = Vec::new();
    loop {
        let outcome = running.read(Read::Range {
            conversation: LOBBY,
            wants: wants.to_vec(),
            after: found.last().copied().unwrap_or(0),
            max_bytes,
        });
        let ReadOutcome::Range { ops, complete } = outcome else { panic!("{outcome:?}") };
        assert!(complete || !ops.is_empty());
        found.extend(ops.iter().map(|op| op.position));
        if complete {
            return found;
        }
    }
}

/// A store with entries of `authors` in turn.
fn in_turn(home: &Home, authors: &mut [Author], rounds: usize) -> Running {
    let mut running = home.start();
    let mut position = 0;
    for _ in 0..rounds {
        let mut writes = Vec::new();
        for author in authors.iter_mut() {
            position += 1;
            writes.push(author.say("hello").at(position));
        }
        running.commit(writes);
    }
    running
}

#[test]
fn a_range_holds_what_is_wanted_in_order_of_arrival() {
    let home = Home::new();
    let mut authors = [Author::new(2), Author::new(3), Author::new(4)];
    let mut running = in_turn(&home, &mut authors, 20);
    let wants = [want(&authors[2], 11), want(&authors[0], 1), want(&authors[2], 15)];
    let expected: Vec<u64> =
        (1..=60).filter(|position| position % 3 == 1 || (position % 3 == 0 && position / 3 >= 11)).collect();
    for max_bytes in [1, 1_500, 1_000_000] {
        assert_eq!(catch_up(&mut running, &wants, max_bytes), expected, "{max_bytes}");
    }
}

#[test]
fn a_range_of_many_logs_is_the_same_as_one_of_few() {
    let home = Home::new();
    let mut authors: Vec<_> = (2..102).map(Author::new).collect();
    let mut running = in_turn(&home, &mut authors, 4);
    let wants: Vec<_> = authors[..90].iter().map(|author| want(author, 2)).collect();
    let expected: Vec<u64> = (101..=400).filter(|position| (position - 1) % 100 < 90).collect();
    assert_eq!(catch_up(&mut running, &wants, 5_000), expected);
    let mut halves = catch_up(&mut running, &wants[..45], 5_000);
    halves.extend(catch_up(&mut running, &wants[45..], 5_000));
    halves.sort_unstable();
    assert_eq!(halves, expected);
}

#[test]
fn a_range_keeps_to_its_conversation_and_to_what_there_is() {
    let home = Home::new();
    let mut private = Author::new(3);
    private.conversation = ConversationId::from_bytes([8; 16]);
    let mut authors = [Author::new(2), private];
    let mut running = in_turn(&home, &mut authors, 2);
    let unknown = Author::new(9);
    let wants = [want(&authors[1], 1), want(&unknown, 1), want(&authors[0], 3), want(&authors[0], u64::MAX)];
    assert!(catch_up(&mut running, &wants, 1_000).is_empty());
    let wants = [want(&authors[0], 0)];
    assert_eq!(catch_up(&mut running, &wants, 1_000_000), [1, 3]);
}

#[test]
fn an_entry_is_found_by_its_place_and_by_its_id() {
    let home = Home::new();
    let mut authors = [Author::new(2)];
    let mut running = in_turn(&home, &mut authors, 3);
    let key = authors[0].log_key();
    for seq in [0, 4, u64::MAX] {
        let outcome = running.read(Read::At { key, seq });
        assert!(matches!(outcome, ReadOutcome::At(None)), "{outcome:?}");
    }
    let head = authors[0].head;
    let outcome = running.read(Read::Known(vec![OpId::from_bytes([1; 32]), head]));
    assert!(
        matches!(&outcome, ReadOutcome::Known(known) if matches!(known.as_slice(), [(id, clock)] if *id == head && clock.milliseconds() == START_MS + 3_000)),
        "{outcome:?}"
    );
}

#[test]
fn a_message_is_found_by_the_start_of_its_id() {
    let home = Home::new();
    let mut author = Author::new(2);
    let mut running = home.start();
    let mut writes: Vec<_> = (1..=64).map(|position| author.say("hello").at(position)).collect();
    writes.push(changed(65, author.change(0), 0));
    running.commit(writes);
    let receipt = author.head.to_string();
    author.say("not stored");
    let outcome = running.read(Read::At { key: author.log_key(), seq: 5 });
    let ReadOutcome::At(Some(fifth)) = outcome else { panic!("{outcome:?}") };
    let id = fifth.op.id().to_string();
    let texts = vec![id.clone(), id[..13].to_uppercase(), String::new(), receipt, "0".to_owned()];
    let outcome = running.read(Read::Find(texts));
    let ReadOutcome::Find(found) = outcome else { panic!("{outcome:?}") };
    let found: Vec<Vec<u64>> =
        found.iter().map(|matches| matches.iter().map(|placed| placed.position).collect()).collect();
    assert_eq!(found[..2], [[5], [5]]);
    assert_eq!(found[2].len(), 2);
    assert!(found[3].is_empty() && found[4].is_empty());
}

#[test]
fn history_filters_and_pages() {
    let home = Home::new();
    let (mut ann, mut bob) = (Author::new(2), Author::new(3));
    bob.conversation = ConversationId::from_bytes([8; 16]);
    let mut running = home.start();
    let coder = bob.agent("coder");
    let first = ann.say("all");
    let task = ann.say_as("tester", "do it", std::slice::from_ref(&coder), MessageType::Task, Some("job"));
    let id = task.op.id();
    let result = bob.say_as("coder", "done", &[ann.agent("tester")], MessageType::Result, Some("job"));
    running.commit(vec![
        first.at(1),
        task.at(2),
        result.at(3),
        changed(4, ann.change(0), 0),
        ann.say("bye").at(5),
        Write::Acknowledged { agent: coder.clone(), message: id },
        Write::Acknowledged { agent: coder.clone(), message: id },
    ]);
    let narrowed = |narrow: Narrow<'_>| {
        let mut filter = HistoryFilter { limit: 10, ..HistoryFilter::default() };
        narrow(&mut filter);
        filter
    };
    let cases: [(Narrow<'_>, &[u64]); 15] = [
        (&|_| (), &[1, 2, 3, 5]),
        (&|f| f.from = Some(ann.agent("coder")), &[1, 5]),
        (&|f| f.to = Some(coder.clone()), &[1, 2, 5]),
        (&|f| f.to = Some(ann.agent("coder")), &[1, 5]),
        (&|f| f.kind = Some(MessageType::Task), &[2]),
        (&|f| f.conversation = Some(bob.conversation), &[3]),
        (&|f| f.correlation = Some("job".to_owned()), &[2, 3]),
        (&|f| f.id = Some(id), &[2]),
        (&|f| (f.id, f.kind) = (Some(ann.head), Some(MessageType::Task)), &[]),
        (&|f| f.id = Some(OpId::from_bytes([1; 32])), &[]),
        (&|f| f.since_ms = Some(START_MS + 2_000), &[2, 5]),
        (&|f| f.until_ms = Some(START_MS + 2_000), &[1, 3]),
        (&|f| (f.before, f.limit) = (Some(3), 1), &[2]),
        (&|f| f.limit = 2, &[3, 5]),
        (&|f| f.limit = 0, &[]),
    ];
    for (narrow, expected) in cases {
        let filter = narrowed(narrow);
        let found = history(&mut running, filter.clone());
        let found: Vec<_> = found.iter().map(|row| row.placed.position).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
    let found = history(&mut running, narrowed(&|f| f.id = Some(id)));
    assert_eq!(found[0].acknowledged, [coder]);
}

#[test]
fn a_cursor_never_goes_back() {
    let home = Home::new();
    let mut running = home.start();
    let agent: AgentName = "coder".parse().unwrap();
    for position in [10, 5] {
        running.commit(vec![Write::Cursor { agent: agent.clone(), position, held: false }]);
    }
    let outcome = running.read(Read::InboxUpTo { agent, position: 1, held: false, now_ms: 0 });
    assert!(matches!(outcome, ReadOutcome::InboxUpTo { cursor: 10, .. }), "{outcome:?}");
}

#[test]
fn an_inbox_starts_after_its_cursor() {
    let home = Home::new();
    let (mut ann, mut bob) = (Author::new(2), Author::new(3));
    let mut running = home.start();
    let waits = |position| Write::Inbox { agent: name("coder"), position, held: false, urgent: false, expires: None };
    running.commit(vec![
        ann.say("1").at(1),
        bob.say("2").at(2),
        ann.say("3").at(3),
        ann.say("not for this agent").at(4),
        bob.say("5").at(5),
        waits(1),
        waits(2),
        waits(3),
        waits(5),
        waits(5),
        Write::Inbox { agent: name("other"), position: 4, held: false, urgent: false, expires: None },
    ]);
    assert_eq!(inbox(&mut running, "coder", 3), (vec![1, 2, 3], 1));

    running.commit(vec![Write::Cursor { agent: name("coder"), position: 1, held: false }]);
    let outcome = running.read(Read::InboxUpTo { agent: name("coder"), position: 3, held: false, now_ms: 1_000 });
    let ReadOutcome::InboxUpTo { mut surfaced, exact, cursor } = outcome else { panic!("{outcome:?}") };
    assert!(exact.is_empty());
    surfaced.sort_unstable();
    let mut expected = [(ann.log_key(), 2), (bob.log_key(), 1)];
    expected.sort_unstable();
    assert_eq!((surfaced.as_slice(), cursor), (expected.as_slice(), 1));

    running.commit(vec![Write::Cursor { agent: name("coder"), position: 3, held: false }]);
    assert_eq!(inbox(&mut running, "coder", 3), (vec![5], 0));
    assert_eq!(inbox(&mut running, "nobody", 3), (vec![], 0));
}

#[test]
fn what_is_held_or_expired_is_left_out_and_what_stands_behind_it_is_named_by_itself() {
    let home = Home::new();
    let mut ann = Author::new(2);
    let mut running = home.start();
    let said: Vec<Said> = (1..=4).map(|number| ann.say(&number.to_string())).collect();
    let ids: Vec<OpId> = said.iter().map(|said| said.op.id()).collect();
    let waits = |position, held, expires| Write::Inbox { agent: name("coder"), position, held, urgent: false, expires };
    let mut writes: Vec<Write> = said.into_iter().zip(1..).map(|(said, position)| said.at(position)).collect();
    writes.extend([waits(1, false, None), waits(2, true, None), waits(3, false, Some(2_000)), waits(4, false, None)]);
    running.commit(writes);
    let look = |running: &mut Running, held, now_ms| {
        let outcome = running.read(Read::Inbox { agent: name("coder"), limit: 9, held, urgent: false, now_ms });
        let ReadOutcome::Inbox { messages, more: 0, held } = outcome else { panic!("{outcome:?}") };
        (messages.iter().map(|placed| placed.position).collect::<Vec<_>>(), held)
    };
    assert_eq!(look(&mut running, false, 1_999), (vec![1, 3, 4], 1));
    assert_eq!(look(&mut running, true, 2_000), (vec![1, 2, 4], 0));
    let up_to = |running: &mut Running, held| {
        let outcome = running.read(Read::InboxUpTo { agent: name("coder"), position: 4, held, now_ms: 1_000 });
        let ReadOutcome::InboxUpTo { surfaced, exact, .. } = outcome else { panic!("{outcome:?}") };
        (surfaced, exact.into_iter().collect::<std::collections::BTreeSet<_>>())
    };
    assert_eq!(up_to(&mut running, false), (vec![(ann.log_key(), 1)], [ids[2], ids[3]].into()));
    assert_eq!(up_to(&mut running, true), (vec![(ann.log_key(), 4)], [ids[2]].into()));
    running.commit(vec![Write::Cursor { agent: name("coder"), position: 4, held: false }]);
    assert_eq!(look(&mut running, false, 0), (vec![], 1));
    assert_eq!(look(&mut running, true, 0), (vec![2], 0));
    running.commit(vec![Write::Cursor { agent: name("coder"), position: 2, held: true }]);
    assert_eq!(look(&mut running, true, 0), (vec![], 0));
}

#[test]
fn what_is_urgent_is_found_behind_the_rest_and_what_was_held_is_let_through_and_held_again() {
    let home = Home::new();
    let mut ann = Author::new(2);
    let mut running = home.start();
    let said: Vec<Said> = (1..=4).map(|number| ann.say(&number.to_string())).collect();
    let third = said[2].op.id();
    let waits = |position, held, urgent| Write::Inbox { agent: name("coder"), position, held, urgent, expires: None };
    let mut writes: Vec<Write> = said.into_iter().zip(1..).map(|(said, position)| said.at(position)).collect();
    writes.extend([waits(1, true, false), waits(2, false, false), waits(3, true, true), waits(4, false, true)]);
    running.commit(writes);
    let look = |running: &mut Running, held, urgent| {
        let outcome = running.read(Read::Inbox { agent: name("coder"), limit: 9, held, urgent, now_ms: 0 });
        let ReadOutcome::Inbox { messages, more: 0, held } = outcome else { panic!("{outcome:?}") };
        (messages.iter().map(|placed| placed.position).collect::<Vec<_>>(), held)
    };
    let held = |running: &mut Running, after| {
        let outcome = running.read(Read::Held { agent: name("coder"), after, limit: 9 });
        let ReadOutcome::Held(rows) = outcome else { panic!("{outcome:?}") };
        rows.iter().map(|(placed, held)| (placed.position, *held)).collect::<Vec<_>>()
    };
    let judge = |running: &mut Running, position, held| {
        running.commit(vec![Write::Judged { agent: name("coder"), position, held }]);
    };
    assert_eq!((look(&mut running, false, true).0, look(&mut running, true, true).0), (vec![4], vec![3, 4]));
    assert_eq!((held(&mut running, 0), held(&mut running, 1)), (vec![(1, true), (3, true)], vec![(3, true)]));

    running.commit(vec![Write::Cursor { agent: name("coder"), position: 4, held: false }]);
    assert_eq!(look(&mut running, false, false), (vec![], 2));
    judge(&mut running, 3, false);
    // What was never held stays as it is.
    judge(&mut running, 2, true);
    assert_eq!((look(&mut running, false, false), look(&mut running, false, true).0), ((vec![3], 1), vec![3]));
    assert_eq!(held(&mut running, 0), [(1, true), (3, false)]);
    judge(&mut running, 3, true);
    assert_eq!(look(&mut running, false, false), (vec![], 2));
    judge(&mut running, 3, false);
    let outcome = running.read(Read::InboxUpTo { agent: name("coder"), position: 4, held: false, now_ms: 0 });
    let ReadOutcome::InboxUpTo { surfaced, exact, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!((surfaced, exact), (vec![], vec![third]));
    running.commit(vec![Write::Cursor { agent: name("coder"), position: 4, held: false }]);
    assert_eq!((look(&mut running, false, false), held(&mut running, 0)), ((vec![], 1), vec![(1, true)]));
}

#[test]
fn a_thread_is_found_from_any_of_its_messages() {
    let home = Home::new();
    let mut ann = Author::new(2);
    let mut running = home.start();
    // 1 <- 2 <- 4, 1 <- 5; 3 stands alone; 6 answers what is not here.
    let said: Vec<Said> = (1..=6).map(|number| ann.say(&number.to_string())).collect();
    let ids: Vec<OpId> = said.iter().map(|said| said.op.id()).collect();
    let answers = [None, Some(ids[0]), None, Some(ids[1]), Some(ids[0]), Some(OpId::from_bytes([9; 32]))];
    let writes = said.into_iter().zip(answers).zip(1..).map(|((mut said, reply_to), position)| {
        said.index.reply_to = reply_to;
        said.at(position)
    });
    running.commit(writes.collect());
    let mut thread = |id: OpId, limit| {
        let outcome = running.read(Read::Thread { message: id, limit });
        let ReadOutcome::History(rows) = outcome else { panic!("{outcome:?}") };
        rows.iter().map(|row| row.placed.position).collect::<Vec<_>>()
    };
    for of in [0, 1, 3, 4] {
        assert_eq!(thread(ids[of], 9), [1, 2, 4, 5], "{of}");
    }
    assert_eq!(thread(ids[0], 2), [4, 5]);
    assert_eq!((thread(ids[2], 9), thread(ids[5], 9)), (vec![3], vec![6]));
    assert!(thread(OpId::from_bytes([9; 32]), 9).is_empty());
}

#[test]
fn the_audit_view_reads_like_a_list_for_people() {
    let home = Home::new();
    let mut author = Author::new(2);
    let mut running = home.start();
    running.commit(vec![author.say("hello, \"world\"").at(1), changed(2, author.change(0), 0)]);
    let conn = home.sqlite();
    let row = conn
        .query_row("SELECT at, author, agent, kind, type, text, seq FROM audit WHERE position = 1", (), |row| {
            Ok((
                (row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?),
                (row.get::<_, String>(3)?, row.get::<_, String>(4)?, row.get::<_, String>(5)?),
                row.get::<_, u64>(6)?,
            ))
        })
        .unwrap();
    let hex = author.key.id().as_bytes().map(|byte| format!("{byte:02x}")).concat();
    let expected = ("2025-06-15T15:06:41.000Z".to_owned(), hex, "coder".to_owned());
    assert_eq!(row.0, expected);
    let (kind, kind_of_message, text) = row.1;
    assert_eq!((kind.as_str(), kind_of_message.as_str(), text.as_str()), ("message", "chat", "hello, \"world\""));
    assert_eq!(row.2, 1);
}
