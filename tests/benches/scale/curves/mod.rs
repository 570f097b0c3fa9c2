//! How each figure grows with what grows in use: nodes, agents, entries in the store, changes in a document.
//!
//! There is one conversation in the product so far, the lobby, so nothing is measured over the number of them.

mod agents;
mod changes;
mod nodes;
mod ops;

use std::path::Path;
use std::time::{Duration, Instant};

use fedp2p_protocols::api::watch::{Event, Topic};
use fedp2p_protocols::api::{Operation, agents as agents_api, history, inbox, pulse, state, status};
use fedp2p_protocols::pulse::{AgentKind, Pulse};
use fedp2p_tests::crowd::{Stamp, say};
use fedp2p_tests::measure::{Curve, Samples};
use fedp2p_tests::node::{Events, Node, Session};
use fedp2p_tests::world::PERSON;

/// Time between two samples, so that each starts from rest.
const PAUSE: Duration = Duration::from_millis(5);
/// Length of each text.
const TEXT_BYTES: usize = 300;

/// Measures curves up to a size.
type Measure = fn(usize) -> Vec<Curve>;

/// What is measured, by name, and the size that it goes up to unless told otherwise.
const CURVES: [(&str, Measure, usize); 4] = [
    ("nodes", nodes::measure, 100),
    ("agents", agents::measure, 1_000),
    ("ops", ops::measure, 1_000_000),
    ("changes", changes::measure, 1_024),
];

/// Measures the named curves, or all, prints them and writes them into the results.
pub(crate) fn run(names: &[String], most: Option<usize>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testnet/results");
    for (name, measure, full) in CURVES {
        if !names.is_empty() && !names.iter().any(|given| given == name) {
            continue;
        }
        for curve in measure(most.unwrap_or(full)) {
            println!("{}", curve.markdown());
            curve.write(&folder).unwrap();
        }
    }
}

/// The sizes to measure at: those up to the most.
fn sizes(all: &[usize], most: usize) -> impl Iterator<Item = usize> {
    all.iter().copied().filter(move |size| *size <= most)
}

/// One message after the other from one daemon to an agent of another, from the call until it can be read there.
fn message_latency(from: &Node, to: &Node, count: usize) -> Samples {
    let stamp = Stamp::default();
    let reader = format!("reader@{}", to.name());
    let mut inbox = to.session_as("reader", AgentKind::Person).watch(&[Topic::Inbox]);
    from.wait_for_agents(std::slice::from_ref(&reader));
    let mut writer = from.session_as("writer", AgentKind::Person);
    let sample = |inbox: &mut Events, writer: &mut Session| {
        std::thread::sleep(PAUSE);
        let sent = writer.call(say(Some(&reader), stamp.text(TEXT_BYTES))).unwrap().id;
        inbox.wait("the message", |event| match event {
            Event::Message(message) if message.id == sent => stamp.age(&message.text),
            _ => None,
        })
    };
    // The first one also registers the writer.
    sample(&mut inbox, &mut writer);
    (0..count).map(|_| sample(&mut inbox, &mut writer)).collect()
}

/// One change of a pulse after the other, from the call until the last of these daemons shows it; and the calls alone.
fn pulse_latency(at: &Node, seen_by: &[Node], count: usize) -> (Samples, Samples) {
    let stamp = Stamp::default();
    let mut watches: Vec<Events> = seen_by.iter().map(|node| node.session().watch(&[Topic::Pulse])).collect();
    let mut writer = at.session_as("writer", AgentKind::Person);
    let (mut seen, mut calls) = (Samples::default(), Samples::default());
    for number in 0..=count {
        std::thread::sleep(PAUSE);
        let text = stamp.text(60);
        let pulse = Pulse { summary: Some(text.clone()), ..Pulse::default() };
        let start = Instant::now();
        writer.call(state::Request { pulse, clear: vec![] }).unwrap();
        let call = start.elapsed();
        for watch in &mut watches {
            watch.wait("the pulse", |event| match event {
                Event::Pulse(row) => (row.pulse.summary.as_ref() == Some(&text)).then_some(()),
                _ => None,
            });
        }
        if number > 0 {
            calls.push(call);
            seen.push(start.elapsed());
        }
    }
    (seen, calls)
}

/// How long a call takes, in milliseconds.
fn call_ms<O: Operation + Clone>(session: &mut Session, operation: &O) -> f64 {
    const COUNT: usize = 20;
    let sample = |_| {
        let start = Instant::now();
        session.call(operation.clone()).unwrap();
        start.elapsed()
    };
    (0..COUNT).map(sample).collect::<Samples>().ms(0.5)
}

/// The calls that agents make all the time, as columns.
const CALLS: [&str; 5] = ["status ms", "agents ms", "pulse ms", "inbox of 100 ms", "history of 100 ms"];

/// How long each of them takes.
fn calls(node: &Node) -> [f64; 5] {
    let mut session = node.session_as(PERSON, AgentKind::Person);
    [
        call_ms(&mut session, &status::Request {}),
        call_ms(&mut session, &agents_api::Request::default()),
        call_ms(&mut session, &pulse::Request::default()),
        call_ms(&mut session, &inbox::Request::default()),
        call_ms(&mut session, &history::Request::default()),
    ]
}

/// Kills a daemon and starts it again, some times: until it is ready, and until so many others are connected.
fn starts(node: &mut Node, peers: usize) -> (f64, f64) {
    const COUNT: usize = 5;
    let (mut ready, mut connected) = (Samples::default(), Samples::default());
    for _ in 0..COUNT {
        node.kill();
        let start = Instant::now();
        node.up(&["--quiet"]);
        ready.push(start.elapsed());
        node.wait_for_peers(peers);
        connected.push(start.elapsed());
    }
    (ready.ms(0.5), connected.ms(0.5))
}
