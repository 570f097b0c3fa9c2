//! Over the number of agents, on three nodes.

use fedp2p_protocols::api::state;
use fedp2p_protocols::pulse::{AgentKind, Pulse};
use fedp2p_tests::measure::{Curve, Samples, bytes_in};
use fedp2p_tests::node::Node;
use fedp2p_tests::world::World;

use std::time::Instant;

use super::{CALLS, PAUSE, TEXT_BYTES, calls, message_latency, pulse_latency, sizes, starts};

const SIZES: [usize; 5] = [10, 30, 100, 300, 1_000];
const NODES: usize = 3;
const MESSAGES: usize = 200;

pub(super) fn measure(most: usize) -> Vec<Curve> {
    let latency = [
        "agents",
        "message p50 ms",
        "message p99 ms",
        "call that sends to everybody p50 ms",
        "pulse on the last node p50 ms",
        "pulse p99 ms",
    ];
    let mut latency = Curve::new("agents_latency", "Latency over the number of agents, 3 nodes", "xy", &latency);
    let mut asked = Curve::new(
        "agents_calls",
        "Calls over the number of agents, 3 nodes",
        "xy",
        &[&["agents"], &CALLS[..]].concat(),
    );
    let cost = ["agents", "resident MB", "start to ready ms", "bytes on disk of a message to everybody"];
    let mut cost = Curve::new("agents_cost", "One daemon over the number of agents, 3 nodes", "xy", &cost);
    let world = World::new();
    let mut nodes = world.daemons(NODES);
    let mut known = 0;
    for size in sizes(&SIZES, most) {
        eprintln!("measuring {size} agents …");
        let x = size as f64;
        register(&nodes, known..size);
        known = size;
        let messages = message_latency(&nodes[0], &nodes[1], MESSAGES);
        let (pulses, _) = pulse_latency(&nodes[0], &nodes[1..], MESSAGES);
        let before = settled_bytes(&mut nodes[1]);
        let to_all = to_everybody(&nodes[0]);
        wait_until_equal(&nodes);
        let grown = (settled_bytes(&mut nodes[1]) - before) / MESSAGES as f64;
        let [m50, m99] = messages.many_ms([0.5, 0.99]);
        let [p50, p99] = pulses.many_ms([0.5, 0.99]);
        latency.row([x, m50, m99, to_all.ms(0.5), p50, p99]);
        asked.row([&[x], &calls(&nodes[0])[..]].concat());
        let (ready, _) = starts(&mut nodes[1], NODES - 1);
        cost.row([x, nodes[1].process().resident_mb(), ready, grown]);
    }
    vec![latency, asked, cost]
}

/// Lets these agents say something for the first time.
fn register(nodes: &[Node], agents: std::ops::Range<usize>) {
    let mut addresses = Vec::new();
    for agent in agents {
        let node = &nodes[agent % nodes.len()];
        let name = format!("a{agent}");
        let pulse = Pulse {
            summary: Some(format!("works on part {agent}")),
            action: Some("EXECUTING".to_owned()),
            thinking: Some("x".repeat(100)),
            ..Pulse::default()
        };
        node.session_as(&name, AgentKind::Person).call(state::Request { pulse, clear: vec![] }).unwrap();
        addresses.push(format!("{name}@{}", node.name()));
    }
    nodes.iter().for_each(|node| node.wait_for_agents(&addresses));
}

fn to_everybody(node: &Node) -> Samples {
    let mut session = node.session_as("writer", AgentKind::Person);
    let request = fedp2p_tests::crowd::say(None, "x".repeat(TEXT_BYTES));
    let sample = |_| {
        std::thread::sleep(PAUSE);
        let start = Instant::now();
        session.call(request.clone()).unwrap();
        start.elapsed()
    };
    (0..MESSAGES).map(sample).collect()
}

fn wait_until_equal(nodes: &[Node]) {
    fedp2p_tests::eventually("all hold the same", || {
        let digests: Vec<String> = nodes.iter().map(|node| node.status().conversations[0].ops_digest.clone()).collect();
        fedp2p_tests::holds(digests.iter().all(|digest| *digest == digests[0]), &digests)
    });
}

/// What the home folder takes once everything is in the database.
fn settled_bytes(node: &mut Node) -> f64 {
    node.down();
    let bytes = bytes_in(node.home()) as f64;
    node.up(&["--quiet"]);
    node.wait_for_peers(NODES - 1);
    bytes
}
