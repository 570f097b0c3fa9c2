//! Commits: order, failure, generations.

use super::*;
use crate::store::Refused;

/// A write that must fail: an entry whose predecessor is not stored.
fn gap() -> Vec<Write> {
    let mut author = Author::new(99);
    author.say("never stored");
    vec![author.say("after a gap").at(1_000_000)]
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let home = Home::new();
    let mut author = Author::new(2);
    let mut running = home.start();
    let said = author.say("hello");
    let op = Arc::clone(&said.op);
    running.commit(vec![said.at(1)]);
    running.store.close().unwrap();

    let mut running = home.start();
    assert_eq!(running.opened.stored.position, 1);
    let log = &running.opened.stored.logs[0];
    assert_eq!((log.key, log.height, log.head), (author.log_key(), 1, op.id()));
    assert_eq!((log.conversation, log.hlc), (LOBBY, op.header().hlc.to_u64()));
    let outcome = running.read(Read::At { key: author.log_key(), seq: 1 });
    assert!(matches!(&outcome, ReadOutcome::At(Some(placed)) if placed.op == op), "{outcome:?}");
}

#[test]
fn every_kind_of_write_is_loaded_again() {
    let home = Home::new();
    let mut running = home.start();
    let key = Author::new(2).log_key();
    let agent = Author::new(2).agent("coder");
    let epoch = LogEpochId::from_bytes([9; 16]);
    let peer = |addresses: &[&str], last_seen| Write::Peer {
        node: node(4),
        addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
        last_seen,
    };
    running.commit(vec![
        Write::Reach { peer: node(4), key, height: 3 },
        Write::Reach { peer: node(4), key, height: 5 },
        Write::Surfaced { agent: agent.clone(), key, seq: 6 },
        Write::Member { node: node(4), chain: b"old".to_vec() },
        Write::Member { node: node(4), chain: b"new".to_vec() },
        Write::Fork { key, conversation: LOBBY, seq: 2, common: OpId::from_bytes([6; 32]), proof: b"proof".to_vec() },
        Write::OwnChain(b"renewed".to_vec()),
        Write::Epoch(epoch),
        peer(&["/ip4/10.0.0.4"], 10),
        peer(&[], 20),
    ]);
    running.store.close().unwrap();

    let (database, opened) = home.open();
    let stored = opened.stored;
    assert_eq!(stored.reaches, [(node(4), key, 5)]);
    assert_eq!(stored.surfaced, [(agent, key, 6)]);
    assert_eq!(stored.members, [b"new".to_vec()]);
    let fork = &stored.forks[0];
    assert_eq!((fork.key, fork.conversation, fork.seq), (key, LOBBY, 2));
    assert_eq!(fork.common, OpId::from_bytes([6; 32]));
    assert_eq!(stored.last_seen, [(node(4), 20)]);
    assert_eq!(opened.meta.chain.as_deref(), Some(b"renewed".as_slice()));
    assert_eq!(opened.meta.epoch, Some(epoch));
    let peers = database.peers().unwrap();
    assert_eq!(peers[0].addresses, ["/ip4/10.0.0.4"]);
}

#[test]
fn tickets_are_loaded_until_a_week_after_they_expired() {
    let home = Home::new();
    let mut running = home.start();
    let ticket = |seed, expires| Write::Ticket {
        id: fedp2p_protocols::id::TicketId::of(&[seed; 32]),
        secret: [seed; 32],
        expires,
        used_by: Some(node(4)),
    };
    let far = i64::MAX.unsigned_abs();
    running.commit(vec![ticket(1, far), ticket(2, START_MS)]);
    running.store.close().unwrap();
    let (_, opened) = home.open();
    let tickets = opened.stored.tickets;
    assert_eq!(tickets.len(), 1);
    assert_eq!((tickets[0].secret, tickets[0].used_by), ([1; 32], Some(node(4))));
}

#[test]
fn commits_are_reported_in_their_order() {
    let home = Home::new();
    let mut running = home.start();
    let mut author = Author::new(2);
    let tokens: Vec<_> = (1..=600)
        .map(|position| {
            let said = author.say("hello");
            running.hand_over(vec![said.at(position)])
        })
        .collect();
    for token in tokens {
        assert_eq!(running.next_commit(), (token, Ok(())));
    }
}

#[test]
fn after_a_failure_the_rest_of_the_generation_is_refused() {
    let home = Home::new();
    let mut running = home.start();
    let mut author = Author::new(2);
    let good = running.hand_over(vec![author.say("before").at(1)]);
    let mut lost = author.clone();
    let guilty = running.hand_over(gap());
    let follower = running.hand_over(vec![lost.say("refused").at(2)]);
    running.generation += 1;
    let newer = running.hand_over(vec![author.say("after").at(2)]);

    assert_eq!(running.next_commit(), (good, Ok(())));
    let (token, result) = running.next_commit();
    assert_eq!(token, guilty);
    assert!(matches!(result, Err(StoreError::Other(_))), "{result:?}");
    assert_eq!(running.next_commit(), (follower, Err(StoreError::Superseded)));
    assert_eq!(running.next_commit(), (newer, Ok(())));

    running.generation -= 1;
    let late = running.try_commit(vec![author.say("of an old generation").at(3)]);
    assert_eq!(late, Err(StoreError::Superseded));
}

#[test]
fn a_commit_is_written_whole_or_not_at_all() {
    let home = Home::new();
    let mut running = home.start();
    let mut author = Author::new(2);
    let mut writes = vec![
        author.say("half").at(1),
        Write::Inbox { agent: name("coder"), position: 1, held: false, urgent: false, expires: None },
    ];
    writes.extend(gap());
    running.try_commit(writes).unwrap_err();
    running.store.close().unwrap();
    let running = home.start();
    assert_eq!(running.opened.stored.position, 0);
    assert!(running.opened.stored.logs.is_empty());
    let count: u32 = home.sqlite().query_row("SELECT count(*) FROM inbox", (), |row| row.get(0)).unwrap();
    assert_eq!(count, 0);
}

#[test]
fn a_log_cannot_get_a_gap_a_fork_or_another_conversation() {
    let home = Home::new();
    let mut running = home.start();
    let mut author = Author::new(2);
    running.commit(vec![author.say("one").at(1)]);
    let mut refuse = |said: Said| {
        let result = running.try_commit(vec![said.at(2)]);
        assert!(matches!(result, Err(StoreError::Other(_))), "{result:?}");
        running.generation += 1;
    };
    let mut skipping = author.clone();
    skipping.say("two");
    refuse(skipping.say("three"));
    let mut forked = author.clone();
    forked.head = OpId::from_bytes([5; 32]);
    refuse(forked.say("two"));
    let mut elsewhere = author.clone();
    elsewhere.conversation = ConversationId::from_bytes([8; 16]);
    refuse(elsewhere.say("two"));
    let mut again = Author::new(2);
    refuse(again.say("one"));
    running.commit(vec![author.say("two").at(2)]);
}

#[test]
fn a_full_disk_fails_the_commit_and_later_ones_go_on() {
    let mut home = Home::new();
    let (database, _) = home.open();
    database.close().unwrap();
    let pages: u32 = home.sqlite().query_row("PRAGMA page_count", (), |row| row.get(0)).unwrap();
    home.options.max_pages = Some(pages + 2);
    let mut running = home.start();
    let mut author = Author::new(2);
    let mut large = author.clone();
    let result = running.try_commit(vec![large.say(&"x".repeat(30_000)).at(1)]);
    assert_eq!(result, Err(StoreError::Full));
    running.generation += 1;
    running.commit(vec![author.say("small").at(1)]);
}

#[test]
fn a_disk_that_became_read_only_is_named() {
    let mut home = Home::new();
    home.options.read_only = true;
    let mut running = home.start();
    let result = running.try_commit(vec![Author::new(2).say("hello").at(1)]);
    assert_eq!(result, Err(StoreError::ReadOnly));
}

#[test]
fn a_full_queue_refuses_and_so_does_the_rest_of_the_generation() {
    let home = Home::new();
    let (database, _) = home.open();
    // Nobody takes events out, so the writer waits and its queue fills.
    let (sender, mut events) = mpsc::channel(1);
    let store = database.start(sender).unwrap();
    let commit = |generation, number| Commit { token: CommitToken { generation, number }, writes: vec![] };
    let refused = (1..10_000).find_map(|number| store.commit(commit(0, number)).err());
    assert_eq!(refused, Some(Refused::Busy));
    events.blocking_recv().unwrap();
    assert_eq!(store.commit(commit(0, 0)), Err(Refused::Superseded));
    store.close().unwrap();
}
