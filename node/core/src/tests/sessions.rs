//! When a connected node is asked whether it is there.

use super::*;

/// How soon a node is asked after something was sent to it that is worth an answer.
const SOON: Duration = Duration::from_millis(250);
/// How often it is asked in any case.
const OFTEN: Duration = Duration::from_secs(5);

/// Two nodes between which nothing is under way any more, not long after they were connected.
fn quiet() -> World {
    let mut world = World::connected(2);
    world.wait(Duration::from_secs(1));
    world.hosts[0].sent.clear();
    world
}

/// How many pings the first has sent since the last time.
fn pings(world: &mut World) -> usize {
    world.hosts[0].sent.drain(..).filter(|(_, frame)| matches!(frame, Frame::Ping(_))).count()
}

#[test]
fn what_is_answered_in_time_brings_no_ping() {
    let mut world = quiet();
    world.send(0, &["p1"], "one").unwrap();
    world.wait(SOON);
    assert_eq!(pings(&mut world), 0);
}

#[test]
fn an_answer_that_never_comes_does_not_hold_back_the_pings_after_it() {
    let mut world = quiet();
    // Nothing arrives any more, and nobody is told.
    world.links.clear();
    for number in 0..4 {
        world.send(0, &["p1"], &format!("message {number}")).unwrap();
        world.wait(SOON - Duration::from_millis(1));
        assert_eq!(pings(&mut world), 0, "ping {number} comes too early");
        world.wait(Duration::from_millis(1));
        assert_eq!(pings(&mut world), 1, "ping {number} does not come");
    }
    for _ in 0..2 {
        world.wait(OFTEN);
        assert_eq!(pings(&mut world), 1, "a node that is silent is still asked");
    }
}

#[test]
fn a_node_that_answers_again_is_asked_as_before() {
    let mut world = quiet();
    let links = std::mem::take(&mut world.links);
    world.send(0, &["p1"], "during the cut").unwrap();
    world.wait(SOON);
    assert_eq!(pings(&mut world), 1);
    world.links = links;
    world.send(0, &["p1"], "after it").unwrap();
    world.wait(SOON);
    assert_eq!(pings(&mut world), 0, "the answer came");
    let rtt = world.hosts[0].core.sessions.values().next().unwrap().rtt;
    assert_eq!(rtt, Some(Duration::ZERO));
}
