//! What becomes of entries from outside, the good and the bad.

use super::*;
use fedp2p_protocols::hlc::Hlc;
use fedp2p_protocols::id::NetworkId;
use fedp2p_protocols::limits::MAX_OP_BYTES;

/// Two connected nodes, and the hand of a third member that neither is connected with.
fn pair() -> (World, Scribe, Vec<Verified>) {
    let world = World::connected(2);
    let (scribe, ops) = Scribe::log(2, 3, 3);
    (world, scribe, ops)
}

#[test]
fn what_a_member_wrote_is_taken_from_whoever_brings_it() {
    let (mut world, _, ops) = pair();
    world.push(1, 0, &ops.iter().collect::<Vec<_>>());
    assert!(ops.iter().all(|op| world.holds(0, op)));
    assert_eq!(world.texts(0), ["message 0", "message 1", "message 2"]);
}

#[test]
fn an_entry_that_comes_again_changes_nothing() {
    let (mut world, _, ops) = pair();
    for _ in 0..3 {
        world.push(1, 0, &ops.iter().collect::<Vec<_>>());
    }
    let held = world.ops(0);
    world.restart(0);
    world.connect(0, 1);
    world.push(1, 0, &[&ops[2], &ops[1]]);
    assert_eq!(world.ops(0), held);
    assert!(world.status(0).forks.is_empty());
    assert!(world.hosts[0].thrown_out.is_empty());
}

#[test]
fn malformed_entries_end_the_connection_and_leave_nothing() {
    let (world, _, ops) = pair();
    drop(world);
    let good = ops[0].bytes();
    let truncated = good[..good.len() - 1].to_vec();
    let oversized = vec![0; MAX_OP_BYTES + 1];
    let mut unordered = good.to_vec();
    unordered[2 + 1 + 16 + 32 + 16 + 7] = 9;
    for bytes in [truncated, unordered, vec![]] {
        let mut world = World::connected(2);
        let before = world.ops(0);
        world.push_bytes(1, 0, vec![bytes.clone()]);
        assert_eq!(world.hosts[0].thrown_out.len(), 1);
        assert_eq!(world.ops(0), before);
        let mut world = World::connected(2);
        assert_eq!(world.gossip(1, 0, &bytes), Verdict::Reject);
    }
    let mut world = World::connected(2);
    assert_eq!(world.gossip(1, 0, &oversized), Verdict::Reject);
}

#[test]
fn a_frame_that_cannot_be_read_ends_the_connection() {
    let mut world = World::connected(2);
    let peer = world.id(1);
    world.give(0, Input::Frame { peer, frame: vec![99, 1, 2, 3] });
    assert_eq!(world.hosts[0].thrown_out.len(), 1);
}

#[test]
fn a_wrong_signature_ends_the_connection() {
    let (mut world, _, ops) = pair();
    let mut signature = ops[1].signature();
    signature[3] ^= 1;
    let bad = fedp2p_protocols::op::Op::from_parts(ops[1].header_bytes(), &signature, ops[1].payload()).unwrap();
    assert_eq!(world.gossip(1, 0, ops[0].bytes()), Verdict::Accept);
    assert_eq!(world.gossip(1, 0, bad.bytes()), Verdict::Reject);
    assert_eq!(world.hosts[0].thrown_out.len(), 1);
    assert!(!world.hosts[0].disk.by_id.contains_key(&bad.id()));
}

#[test]
fn an_entry_of_another_network_ends_the_connection() {
    let (mut world, mut scribe, _) = pair();
    let header = Header { network: NetworkId::from_bytes([8; 16]), ..scribe.header(Kind::Message) };
    let foreign = scribe.sign(header, &message("hello"));
    world.push(1, 0, &[&foreign]);
    assert_eq!(world.hosts[0].thrown_out.len(), 1);
    let header = Header { conversation: ConversationId::from_bytes([8; 16]), ..scribe.header(Kind::Message) };
    let elsewhere = scribe.sign(header, &message("hello"));
    world.push(1, 0, &[&elsewhere]);
    assert_eq!(world.hosts[0].thrown_out.len(), 2);
}

#[test]
fn an_unknown_version_is_ignored_and_forgiven() {
    let (mut world, _, ops) = pair();
    let mut bytes = ops[0].bytes().to_vec();
    bytes[2] = 9;
    assert_eq!(world.gossip(1, 0, &bytes), Verdict::Ignore);
    assert!(world.hosts[0].thrown_out.is_empty());
}

#[test]
fn a_kind_of_a_later_version_is_kept_and_passed_on() {
    let (mut world, mut scribe, ops) = pair();
    let header = scribe.header(Kind::Other(999));
    let later = scribe.sign(header, b"whatever");
    world.push(1, 0, &ops.iter().chain([&later]).collect::<Vec<_>>());
    assert!(world.holds(0, &later));
    world.wait(Duration::from_secs(31));
    assert!(world.holds(1, &later));
}

#[test]
fn an_entry_of_an_unknown_author_is_not_taken_until_its_log_starts() {
    let (mut world, _, ops) = pair();
    world.push(1, 0, &[&ops[1]]);
    assert!(!world.holds(0, &ops[1]));
    assert!(world.hosts[0].thrown_out.is_empty());
    world.push(1, 0, &[&ops[0], &ops[1]]);
    assert!(world.holds(0, &ops[1]));
}

#[test]
fn a_stranger_with_a_certificate_of_its_own_making_is_not_taken() {
    let mut world = World::connected(2);
    let mut scribe = Scribe::new(2, 3);
    let names = ("acme".parse().unwrap(), "n2".parse().unwrap());
    scribe.chain = membership::found(&key(201), key(3).id(), names, Serial::from_bytes([1; 16]), WALL_MS);
    let payload = LogStart { chain: scribe.chain.clone(), previous: None }.encode();
    let header = Header { network: chains(1)[0].network(), ..scribe.header(Kind::LogStart) };
    let header = Header { conversation: ConversationId::lobby(&header.network), ..header };
    let start = scribe.sign(header, &payload);
    world.push(1, 0, &[&start]);
    assert!(!world.holds(0, &start));
}

#[test]
fn a_clock_too_far_ahead_is_not_taken_until_ours_has_come_closer() {
    let (mut world, mut scribe, ops) = pair();
    world.push(1, 0, &ops.iter().collect::<Vec<_>>());
    let header = Header { hlc: Hlc::at(WALL_MS + 150_000), ..scribe.header(Kind::Message) };
    let future = scribe.sign(header, &message("from the future"));
    assert_eq!(world.gossip(1, 0, future.bytes()), Verdict::Ignore);
    assert!(!world.holds(0, &future));
    assert!(world.hosts[0].thrown_out.is_empty());
    world.wait(Duration::from_secs(40));
    world.push(1, 0, &[&future]);
    assert!(world.holds(0, &future));
}

#[test]
fn a_clock_that_runs_backwards_is_refused() {
    let (mut world, mut scribe, ops) = pair();
    world.push(1, 0, &ops.iter().collect::<Vec<_>>());
    let header = Header { hlc: Hlc::at(WALL_MS), ..scribe.header(Kind::Message) };
    let back = scribe.sign(header, &message("earlier"));
    world.push(1, 0, &[&back]);
    assert!(!world.holds(0, &back));
    assert!(world.notices(0).iter().any(|text| text.contains("ran backwards")));
}

#[test]
fn a_clock_before_what_it_depends_on_is_no_reason_to_refuse() {
    let (mut world, mut scribe, ops) = pair();
    world.push(1, 0, &ops.iter().collect::<Vec<_>>());
    world.wait(Duration::from_secs(10));
    world.send(0, &[], "later").unwrap();
    let later =
        *world.hosts[0].disk.logs.values().find(|log| log.key.author == world.id(0)).map(|log| &log.head).unwrap();
    let header = Header { deps: vec![later], ..scribe.header(Kind::Message) };
    let op = scribe.sign(header, &message("before its cause"));
    world.push(1, 0, &[&op]);
    assert!(world.holds(0, &op));
}

#[test]
fn a_log_that_starts_twice_is_refused_from_there() {
    let (mut world, mut scribe, ops) = pair();
    let payload = LogStart { chain: scribe.chain.clone(), previous: None }.encode();
    let header = scribe.header(Kind::LogStart);
    let again = scribe.sign(header, &payload);
    world.push(1, 0, &ops.iter().chain([&again]).collect::<Vec<_>>());
    assert!(world.holds(0, &ops[3]));
    assert!(!world.holds(0, &again));
}

#[test]
fn what_comes_after_a_gap_waits_and_is_released_by_what_was_missing() {
    let (mut world, _, ops) = pair();
    world.push(1, 0, &[&ops[0]]);
    world.push(1, 0, &[&ops[2], &ops[3]]);
    assert!(!world.holds(0, &ops[2]));
    assert_eq!(world.status(0).conversations[0].pending, 2);
    world.push(1, 0, &[&ops[1]]);
    assert!(ops.iter().all(|op| world.holds(0, op)));
    assert_eq!(world.status(0).conversations[0].pending, 0);
}

#[test]
fn entries_in_any_order_end_up_in_theirs() {
    let (mut world, _, ops) = pair();
    for op in [&ops[3], &ops[1], &ops[0], &ops[2]] {
        world.push(1, 0, &[op]);
    }
    world.push(1, 0, &[&ops[3], &ops[2], &ops[1]]);
    assert_eq!(world.texts(0), ["message 0", "message 1", "message 2"]);
}

#[test]
fn an_entry_waits_for_what_it_depends_on() {
    let (mut world, mut scribe, ops) = pair();
    world.push(1, 0, &ops.iter().collect::<Vec<_>>());
    let (_, others) = Scribe::log(1, 3, 0);
    let header = Header { deps: vec![others[0].id()], ..scribe.header(Kind::Message) };
    let op = scribe.sign(header, &message("an answer"));
    world.push(1, 0, &[&op]);
    assert!(!world.holds(0, &op));
    world.push(1, 0, &[&others[0]]);
    assert!(world.holds(0, &op));
}

#[test]
fn what_waits_for_nothing_that_exists_is_dropped_after_a_minute() {
    let (mut world, mut scribe, ops) = pair();
    world.push(1, 0, &ops.iter().collect::<Vec<_>>());
    let header = Header { deps: vec![OpId::from_bytes([1; 32])], ..scribe.header(Kind::Message) };
    let op = scribe.sign(header, &message("an answer to nothing"));
    world.push(1, 0, &[&op]);
    world.wait(Duration::from_secs(59));
    assert_eq!(world.status(0).conversations[0].pending, 1);
    world.wait(Duration::from_secs(2));
    assert_eq!(world.status(0).conversations[0].pending, 0);
    assert!(!world.holds(0, &op));
}

#[test]
fn one_author_can_make_only_so_much_wait() {
    let (mut world, _, ops) = pair();
    world.push(1, 0, &[&ops[0]]);
    let most = fedp2p_protocols::limits::MAX_PENDING_OPS;
    let (_, many) = Scribe::log(2, 3, most + 100);
    // The latest come first, and give way to those that are needed first.
    for some in many[2..].chunks(100).rev() {
        world.push(1, 0, &some.iter().collect::<Vec<_>>());
    }
    assert_eq!(world.status(0).conversations[0].pending as usize, most);
    world.push(1, 0, &[&many[1]]);
    assert!(world.holds(0, &many[most + 1]) && !world.holds(0, &many[most + 2]));
}

#[test]
fn gossip_of_what_came_another_way_first_is_still_passed_on() {
    let (mut world, _, ops) = pair();
    world.push(1, 0, &[&ops[0]]);
    assert_eq!(world.gossip(1, 0, ops[0].bytes()), Verdict::Accept);
}

#[test]
fn a_liar_about_heights_is_asked_once_and_not_again_at_once() {
    let mut world = World::connected(2);
    let (_, ops) = Scribe::log(1, 2, 1);
    let lie = |height| {
        let header = ops[0].header();
        let key = fedp2p_protocols::sync::LogKey { author: header.author, log: header.log };
        fedp2p_protocols::sync::Head { key, height, head: ops[1].id(), floor: 50 }
    };
    let (peer, conversation) = (world.id(1), ops[0].header().conversation);
    world.links.clear();
    world.hosts[0].sent.clear();
    for frame in [
        Frame::Have { conversation, more: false, heads: vec![lie(1000)] },
        Frame::Ops { conversation, last: true, ops: Vec::new() },
    ] {
        world.give(0, Input::Frame { peer, frame: frame.encode() });
    }
    let asked = world.hosts[0].sent.iter().filter(|(_, frame)| matches!(frame, Frame::Want { .. } | Frame::Digest(_)));
    assert_eq!(asked.count(), 1);
}

#[test]
fn empty_answers_do_not_keep_a_request_alive() {
    let mut world = World::connected(3);
    let (_, ops) = Scribe::log(1, 3, 1);
    let header = ops[0].header();
    let (conversation, liar) = (header.conversation, world.id(1));
    let key = fedp2p_protocols::sync::LogKey { author: header.author, log: header.log };
    let head = fedp2p_protocols::sync::Head { key, height: 9, head: ops[1].id(), floor: 1 };
    world.links.clear();
    world.give(
        0,
        Input::Frame { peer: liar, frame: Frame::Have { conversation, more: false, heads: vec![head] }.encode() },
    );
    for _ in 0..3 {
        world.wait(Duration::from_secs(3));
        world.give(
            0,
            Input::Frame { peer: liar, frame: Frame::Ops { conversation, last: false, ops: vec![] }.encode() },
        );
    }
    assert!(!world.hosts[0].core.is_fetching_from(&liar));
}

/// A host that asks a peer for a log of somebody else's, of which the peer says to have 9 entries; and the start of another
/// log, to have something to push.
fn asking() -> (World, NodeId, ConversationId, Scribe) {
    let mut world = World::connected(4);
    let (scribe, ops) = Scribe::log(1, 4, 0);
    let (_, told) = Scribe::log(3, 4, 1);
    let (liar, conversation) = (world.id(1), told[0].header().conversation);
    let key = fedp2p_protocols::sync::LogKey { author: told[0].header().author, log: told[0].header().log };
    let head = fedp2p_protocols::sync::Head { key, height: 9, head: told[1].id(), floor: 1 };
    world.links.clear();
    world.push(1, 0, &ops.iter().collect::<Vec<_>>());
    world.give(
        0,
        Input::Frame { peer: liar, frame: Frame::Have { conversation, more: false, heads: vec![head] }.encode() },
    );
    assert!(world.hosts[0].core.is_fetching_from(&liar));
    (world, liar, conversation, scribe)
}

#[test]
fn what_a_peer_says_unasked_does_not_keep_a_request_alive() {
    let (mut world, liar, _, mut scribe) = asking();
    for n in 0..3 {
        world.wait(Duration::from_secs(3));
        let said = scribe.message(&format!("unasked {n}"));
        world.push(1, 0, &[&said]);
        assert!(world.holds(0, &said));
    }
    assert!(!world.hosts[0].core.is_fetching_from(&liar));
}

#[test]
fn a_peer_that_sends_little_for_long_gives_way_to_another() {
    let (mut world, liar, conversation, mut scribe) = asking();
    for n in 0..8 {
        let said = scribe.message(&format!("drop by drop {n}"));
        let frame = Frame::Ops { conversation, last: false, ops: vec![said.bytes().to_vec()] };
        world.give(0, Input::Frame { peer: liar, frame: frame.encode() });
        assert!(world.hosts[0].core.is_fetching_from(&liar), "{n}");
        world.wait(Duration::from_secs(3));
    }
    let (other, differs) = (world.id(2), Frame::Digest(vec![(conversation, [7; 32])]));
    world.give(0, Input::Frame { peer: other, frame: differs.encode() });
    for n in 0..8 {
        let said = scribe.message(&format!("and on {n}"));
        let frame = Frame::Ops { conversation, last: false, ops: vec![said.bytes().to_vec()] };
        world.give(0, Input::Frame { peer: liar, frame: frame.encode() });
        world.wait(Duration::from_secs(3));
    }
    assert!(!world.hosts[0].core.is_fetching_from(&liar));
}

#[test]
fn what_a_loud_author_says_is_not_named_by_others_until_it_is_quiet() {
    let mut world = World::connected(2);
    let (_, ops) = Scribe::log(1, 3, 3500);
    let (last, flood) = ops.split_last().unwrap();
    world.links.clear();
    for part in flood.chunks(100) {
        world.push(1, 0, &part.iter().collect::<Vec<_>>());
    }
    let deps = |world: &World| {
        let own = world.hosts[0].core.me();
        let mut own = world.hosts[0].disk.ops.values().filter(|stored| stored.op.header().author == own);
        own.next_back().unwrap().op.header().deps.clone()
    };
    world.say(0, "meanwhile");
    assert!(!deps(&world).contains(&flood.last().unwrap().id()));
    world.wait(Duration::from_secs(10));
    world.push(1, 0, &[last]);
    world.say(0, "afterwards");
    assert!(deps(&world).contains(&last.id()));
}

#[test]
fn more_logs_than_one_frame_lists_are_asked_for_in_one_request() {
    let mut world = World::connected(2);
    let peer = world.id(1);
    let conversation = ConversationId::lobby(&chains(1)[0].network());
    let head = |n: u16| {
        let author = NodeId::from_bytes([&n.to_be_bytes()[..], &[0; 30]].concat().try_into().unwrap());
        let key = fedp2p_protocols::sync::LogKey { author, log: LogId::from_bytes([1; 16]) };
        fedp2p_protocols::sync::Head { key, height: 1, head: OpId::from_bytes([1; 32]), floor: 1 }
    };
    world.links.clear();
    world.hosts[0].sent.clear();
    let heads: Vec<_> = (0..1000).map(head).collect();
    let count = heads.len().div_ceil(400);
    for (n, heads) in heads.chunks(400).enumerate() {
        let frame = Frame::Have { conversation, more: n + 1 < count, heads: heads.to_vec() };
        world.give(0, Input::Frame { peer, frame: frame.encode() });
    }
    let wants: Vec<(bool, usize)> = world.hosts[0]
        .sent
        .iter()
        .filter_map(
            |(_, frame)| if let Frame::Want { more, wants, .. } = frame { Some((*more, wants.len())) } else { None },
        )
        .collect();
    assert_eq!(wants, [(true, 400), (true, 400), (false, 200)]);
}
