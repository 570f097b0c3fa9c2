//! How long after the return of a link what was said during the cut is readable on the other side.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fedp2p_protocols::api::watch::{Event, Topic};
use fedp2p_protocols::pulse::AgentKind;

use crate::cable::Conditions;
use crate::node::message;
use crate::switch::Switch;
use crate::world::World;

/// Two nodes have known each other for so many of [`STEP`] at most when they are cut apart: a connection is settled
/// after a second, and before that several may be there.
const STEPS: usize = 6;
/// See [`STEPS`].
const STEP: Duration = Duration::from_millis(400);

/// Cuts two nodes apart for so long, once for each run, and returns how long each took to heal: from the moment the
/// cable was whole until a message that one had sent during the cut could be read at the other. The messages are sent
/// in either direction and at moments that are spread over the cut. So many pairs are measured at once.
///
/// # Panics
/// If a message does not arrive.
pub fn times(length: Duration, runs: usize, at_once: usize) -> Vec<Duration> {
    let next = AtomicUsize::new(0);
    let take = || {
        let mine = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed)).take_while(|run| *run < runs);
        mine.map(|run| once(length, run, runs)).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let places: Vec<_> = (0..at_once.min(runs)).map(|_| scope.spawn(take)).collect();
        places.into_iter().flat_map(|place| place.join().expect("a message arrives after the cut")).collect()
    })
}

fn once(length: Duration, run: usize, runs: usize) -> Duration {
    let (world, switch) = (World::new(), Switch::new(&["a", "b"], run as u64));
    let mut nodes = [0, 1].map(|index| world.lone_node(["a", "b"][index]).in_namespace(switch.namespace(index)));
    let [a, b] = &mut nodes;
    a.up(&["--quiet"]);
    b.up(&["--quiet", "--join", &a.invite()]);
    for node in &nodes {
        node.wait_for_peers(1);
        node.wait_for_agents(&["ada@a".to_owned(), "ada@b".to_owned()]);
    }
    let [a, b] = &nodes;
    let (from, to) = if run.is_multiple_of(2) { (a, b) } else { (b, a) };
    let mut inbox = to.session_as(crate::world::PERSON, AgentKind::Person).watch(&[Topic::Inbox]);
    std::thread::sleep(STEP * u32::try_from(run % STEPS).expect("few steps"));
    let (start, said_at) = (Instant::now(), length.mul_f64((run as f64 + 0.5) / runs as f64));
    switch.set_all(Conditions::cut());
    std::thread::sleep(said_at);
    from.call(message(&[&format!("ada@{}", to.name())], "during the cut"));
    std::thread::sleep(length.saturating_sub(start.elapsed()));
    switch.set_all(Conditions::default());
    let mended = Instant::now();
    inbox.wait("the message", |event| matches!(event, Event::Message(_)).then_some(()));
    mended.elapsed()
}
