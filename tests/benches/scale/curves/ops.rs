//! Over the number of entries in the store.

use std::time::Instant;

use fedp2p_protocols::api::history;
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_tests::crowd::say;
use fedp2p_tests::measure::{Curve, bytes_in};
use fedp2p_tests::node::Node;
use fedp2p_tests::world::World;
use tokio::task::JoinSet;

use super::{CALLS, PAUSE, TEXT_BYTES, call_ms, calls, message_latency, pulse_latency, sizes, starts};

const SIZES: [usize; 7] = [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000];
/// Clients that fill the store.
const WRITERS: usize = 64;
const SAMPLES: usize = 200;

pub(super) fn measure(most: usize) -> Vec<Curve> {
    let latency = ["entries", "message p50 ms", "message p99 ms", "pulse on the other node p50 ms", "pulse p99 ms"];
    let mut latency = Curve::new("ops_latency", "Latency over the entries in the store", "xy", &latency);
    let mut asked =
        Curve::new("ops_calls", "Calls over the entries in the store", "xy", &[&["entries"], &CALLS[..]].concat());
    let filtered = ["entries", "by author ms", "by recipient ms", "of the last minute ms", "by correlation ms"];
    let mut filtered =
        Curve::new("ops_history", "History that finds little over the entries in the store", "xy", &filtered);
    let cost = ["entries", "resident after a start MB", "resident of the writer MB", "start to ready ms"];
    let mut cost = Curve::new("ops_cost", "One daemon over the entries in the store", "xy", &cost);
    let rates = ["entries", "sent /s", "taken by a new node /s", "bytes on disk of an entry"];
    let mut rates = Curve::new("ops_rates", "Rates over the entries in the store", "x", &rates);
    let world = World::new();
    let mut nodes = world.daemons(2);
    seed(&nodes);
    for size in sizes(&SIZES, most) {
        eprintln!("measuring {size} entries …");
        let sent = fill(&nodes[0], size);
        wait_for(&nodes[1], ops(&nodes[0]));
        let x = ops(&nodes[0]) as f64;
        let messages = message_latency(&nodes[0], &nodes[1], SAMPLES);
        let (pulses, _) = pulse_latency(&nodes[0], &nodes[1..], SAMPLES);
        let [m50, m99] = messages.many_ms([0.5, 0.99]);
        let [p50, p99] = pulses.many_ms([0.5, 0.99]);
        latency.row([x, m50, m99, p50, p99]);
        asked.row([&[x], &calls(&nodes[1])[..]].concat());
        filtered.row([&[x], &rare(&nodes[1])[..]].concat());
        let caught_up = newcomer(&world, &nodes[0]);
        let count = nodes[0].status().members as usize;
        let (ready, _) = starts(&mut nodes[1], 1);
        assert!(count >= 1);
        cost.row([x, nodes[1].process().resident_mb(), nodes[0].process().resident_mb(), ready]);
        rates.row([x, sent, caught_up, bytes_in(nodes[0].home()) as f64 / x]);
    }
    vec![latency, asked, filtered, cost, rates]
}

/// One message that is unlike all others, at the beginning.
fn seed(nodes: &[Node]) {
    nodes[1].wait_for_agents(&["ada@n0".to_owned()]);
    nodes[0].wait_for_agents(&["ada@n1".to_owned()]);
    let mut request = say(Some("ada@n0"), "the first".to_owned());
    request.correlation = Some("first".to_owned());
    nodes[1].session_as("rare", AgentKind::Person).call(request).unwrap();
}

/// Fills the store by messages to everybody, as fast as some clients can. Returns how many a second.
fn fill(node: &Node, size: usize) -> f64 {
    let missing = size.saturating_sub(ops(node) as usize);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let start = Instant::now();
    runtime.block_on(async {
        let mut writers = JoinSet::new();
        for _ in 0..WRITERS {
            let mut client = node.client("filler", AgentKind::Person).await;
            writers.spawn(async move {
                for _ in 0..missing / WRITERS {
                    client.call(say(None, "x".repeat(TEXT_BYTES))).await.unwrap();
                }
            });
        }
        writers.join_all().await;
    });
    missing as f64 / start.elapsed().as_secs_f64()
}

fn ops(node: &Node) -> u64 {
    node.status().conversations[0].ops
}

/// Waits until a daemon has so many entries; as long as it gets further.
fn wait_for(node: &Node, target: u64) {
    let (mut last, mut moved) = (0, Instant::now());
    loop {
        let now = ops(node);
        if now >= target {
            return;
        }
        if now > last {
            (last, moved) = (now, Instant::now());
        }
        assert!(moved.elapsed() < fedp2p_tests::PATIENCE, "{} stays at {now} of {target} entries", node.name());
        std::thread::sleep(PAUSE);
    }
}

/// How long histories take that find at most one message among all, in milliseconds.
fn rare(node: &Node) -> [f64; 4] {
    let mut session = node.session();
    let all = history::Request::default();
    let minute_ahead = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() + 60_000;
    [
        call_ms(&mut session, &history::Request { from: Some("rare@n1".to_owned()), ..all.clone() }),
        call_ms(&mut session, &history::Request { to: Some("rare@n1".to_owned()), until: Some(1), ..all.clone() }),
        call_ms(&mut session, &history::Request { since: Some(minute_ahead as u64), ..all.clone() }),
        call_ms(&mut session, &history::Request { correlation: Some("first".to_owned()), ..all }),
    ]
}

/// How many entries a second a node takes that joins with nothing.
fn newcomer(world: &World, founder: &Node) -> f64 {
    let target = ops(founder);
    let mut node = world.node(&format!("new{target}"));
    let ticket = founder.invite();
    let start = Instant::now();
    node.up(&["--quiet", "--join", &ticket]);
    wait_for(&node, target);
    let rate = target as f64 / start.elapsed().as_secs_f64();
    node.down();
    std::fs::remove_dir_all(node.home()).unwrap();
    rate
}
