//! Catching up by a node that is far behind, while more is sent to it than it can take.

use fedp2p_protocols::limits::MAX_PENDING_OPS;

use super::*;

/// Nodes of which the first has written much that the third lacks, and whose beginning depends on what the third holds but
/// has to look up.
fn far_behind() -> World {
    let mut world = World::connected(3);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        world.disconnect(a, b);
    }
    for with in [0, 2] {
        for number in 0..50 {
            world.send(1, &[], &format!("{number}")).unwrap();
        }
        world.connect(1, with);
        world.disconnect(1, with);
    }
    // It remembers only the last entry of each log.
    world.restart(2);
    for number in 0..2 * MAX_PENDING_OPS {
        world.send(0, &[], &format!("{number}")).unwrap();
    }
    world
}

/// How many bytes of entries a node was asked for and sent.
fn served(world: &World, n: usize) -> usize {
    let bytes = |frame: &Frame| match frame {
        Frame::Ops { ops, .. } => ops.iter().map(Vec::len).sum(),
        Frame::Digest(_)
        | Frame::Have { .. }
        | Frame::Want { .. }
        | Frame::Ack { .. }
        | Frame::Push { .. }
        | Frame::Stored { .. }
        | Frame::Ping(_)
        | Frame::Pong(_)
        | Frame::Renew
        | Frame::Renewed(_) => 0,
    };
    world.hosts[n].sent.iter().map(|(_, frame)| bytes(frame)).sum()
}

#[test]
fn who_is_far_behind_and_is_sent_more_than_it_can_take_fetches_everything_once() {
    let mut world = far_behind();
    let peer = world.id(0);
    let ops: Vec<Vec<u8>> = world.hosts[0].disk.ops.values().map(|write| write.op.bytes().to_vec()).collect();
    world.give(2, Input::Connected { peer, address: String::new() });
    for some in ops[ops.len() - MAX_PENDING_OPS..].chunks(64) {
        world.push_bytes(0, 2, some.to_vec());
    }
    assert_eq!(world.status(2).conversations[0].pending as usize, MAX_PENDING_OPS, "nothing more can wait");
    world.give(2, Input::Disconnected { peer });
    let before = served(&world, 0);
    world.connect(0, 2);
    world.wait(Duration::from_secs(1));
    let last = world.hosts[0].disk.ops.values().rfind(|write| write.op.header().author == peer).unwrap().op.clone();
    assert!(world.holds(2, &last));
    let log: usize = ops.iter().map(Vec::len).sum();
    let fetched = served(&world, 0) - before;
    assert!(fetched <= log, "{fetched} bytes were fetched of a log of {log}");
}

#[test]
fn what_is_on_its_way_is_not_asked_for() {
    let mut world = World::connected(3);
    world.send(0, &[], "the first").unwrap();
    world.wait(Duration::from_secs(1));
    world.disconnect(0, 2);
    world.send(0, &[], "a question").unwrap();
    let question = world.hosts[0].disk.ops.values().next_back().unwrap().op.clone();
    let asked =
        |world: &World| world.hosts[2].sent.iter().filter(|(_, frame)| matches!(frame, Frame::Digest(_))).count();
    let before = asked(&world);
    world.send(1, &[], "an answer").unwrap();
    assert_eq!(world.status(2).conversations[0].pending, 1);
    world.wait(Duration::from_millis(50));
    world.push(1, 2, &[&question]);
    world.wait(Duration::from_millis(500));
    assert_eq!(world.texts(2).last().map(String::as_str), Some("an answer"));
    assert_eq!(asked(&world), before);
    // What does not come is asked for.
    world.disconnect(1, 2);
    world.connect(1, 2);
    world.send(0, &[], "another question").unwrap();
    world.send(1, &[], "another answer").unwrap();
    world.wait(Duration::from_millis(500));
    assert_eq!(world.texts(2).last().map(String::as_str), Some("another answer"));
}
