//! Over the number of nodes, all connected with all.

use std::time::{Duration, Instant};

use fedp2p_tests::measure::{Curve, median};
use fedp2p_tests::node::Node;
use fedp2p_tests::world::World;

use super::{CALLS, calls, message_latency, pulse_latency, sizes, starts};

const SIZES: [usize; 4] = [3, 10, 30, 100];
/// How long daemons get to come to rest, and how long they are then watched.
const REST: Duration = Duration::from_secs(8);
const WATCHED: Duration = Duration::from_secs(12);
const MESSAGES: usize = 300;
const PULSES: usize = 200;

pub(super) fn measure(most: usize) -> Vec<Curve> {
    let latency = ["nodes", "message p50 ms", "message p99 ms", "pulse on the last node p50 ms", "pulse p99 ms"];
    let mut latency = Curve::new("nodes_latency", "Latency over the number of nodes", "xy", &latency);
    let cost = ["nodes", "idle each %", "message by all daemons ms", "pulse change by all daemons ms"];
    let mut cost = Curve::new("nodes_cpu", "Processor over the number of nodes", "xy", &cost);
    let memory = ["nodes", "resident MB", "peak MB", "home folder MB", "open files", "threads"];
    let mut memory = Curve::new("nodes_memory", "One daemon over the number of nodes", "x", &memory);
    let start = ["nodes", "start to ready ms", "start to all peers ms", "founding and joining all s"];
    let mut start = Curve::new("nodes_start", "Starting over the number of nodes", "xy", &start);
    let mut asked =
        Curve::new("nodes_calls", "Calls over the number of nodes", "xy", &[&["nodes"], &CALLS[..]].concat());
    for size in sizes(&SIZES, most) {
        eprintln!("measuring {size} nodes …");
        let (world, began) = (World::new(), Instant::now());
        let mut nodes = world.daemons(size);
        let founded = began.elapsed().as_secs_f64();
        let x = size as f64;
        std::thread::sleep(REST);
        let before = cpu(&nodes);
        std::thread::sleep(WATCHED);
        let idle = (cpu(&nodes) - before) * 100.0 / WATCHED.as_secs_f64() / x;
        let before = cpu(&nodes);
        let messages = message_latency(&nodes[0], &nodes[size - 1], MESSAGES);
        let message_cpu = (cpu(&nodes) - before) * 1e3 / MESSAGES as f64;
        let before = cpu(&nodes);
        let (pulses, _) = pulse_latency(&nodes[0], &nodes[1..], PULSES);
        let pulse_cpu = (cpu(&nodes) - before) * 1e3 / PULSES as f64;
        let [m50, m99] = messages.many_ms([0.5, 0.99]);
        let [p50, p99] = pulses.many_ms([0.5, 0.99]);
        latency.row([x, m50, m99, p50, p99]);
        cost.row([x, idle, message_cpu, pulse_cpu]);
        let each = |of: &dyn Fn(&Node) -> f64| median(nodes.iter().map(of));
        memory.row([
            x,
            each(&|node| node.process().resident_mb()),
            each(&|node| node.process().peak_mb()),
            each(&|node| fedp2p_tests::measure::bytes_in(node.home()) as f64 / 1e6),
            each(&|node| node.process().files()),
            each(&|node| node.process().threads()),
        ]);
        asked.row([&[x], &calls(&nodes[0])[..]].concat());
        let (ready, connected) = starts(&mut nodes[size - 1], size - 1);
        start.row([x, ready, connected, founded]);
    }
    vec![latency, cost, memory, start, asked]
}

fn cpu(nodes: &[Node]) -> f64 {
    nodes.iter().map(|node| node.process().cpu_seconds()).sum()
}
