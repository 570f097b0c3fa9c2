//! Measures the mesh as its users meet it: real daemons of the release build, real sockets, real disks.
//!
//! `cargo bench -p fedp2p-tests --bench mesh` prints one table against the budgets; `-- NAME …` measures only some of it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a program for the terminal that stops at the first surprise"
)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fedp2p_protocols::api::state;
use fedp2p_protocols::api::watch::{Event, Topic};
use fedp2p_protocols::pulse::{AgentKind, Pulse};
use fedp2p_tests::binary;
use fedp2p_tests::lab::{self, Lab};
use fedp2p_tests::measure::Samples;
use fedp2p_tests::node::{Node, message};
use fedp2p_tests::world::World;

/// A line of the table.
struct Row {
    what: &'static str,
    budget: &'static str,
    measured: String,
    workload: String,
}

/// Measures something.
type Bench = fn() -> Vec<Row>;

/// What is measured, by name.
const BENCHES: [(&str, Bench); 8] = [
    ("message", message_latency),
    ("pulse", pulse_latency),
    ("first", first_peer),
    ("lan", first_peer_lan),
    ("catch-up", || catch_up(10_000, "catch-up of 10,000 ops", "1 s")),
    ("ingest", || catch_up(50_000, "ops a node ingests from one peer", "25,000 /s")),
    ("cli", cli_call),
    ("idle", idle),
];

/// Time between two samples, so that each starts from rest.
const PAUSE: Duration = Duration::from_millis(5);

fn main() {
    let only: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let mut rows = Vec::new();
    for (name, bench) in BENCHES {
        if only.is_empty() || only.iter().any(|given| given == name) {
            eprintln!("measuring {name} …");
            rows.extend(bench());
        }
    }
    println!("{:<44} {:<28} {:<44} workload", "what", "budget", "measured");
    for row in rows {
        println!("{:<44} {:<28} {:<44} {}", row.what, row.budget, row.measured, row.workload);
    }
}

fn mesh<const N: usize>(world: &World) -> [Node; N] {
    world.daemons(N).try_into().expect("as many as were asked for")
}

fn message_latency() -> Vec<Row> {
    const COUNT: usize = 1000;
    let world = World::new();
    let [alpha, beta] = mesh(&world);
    let mut inbox = beta.session_as("reader", AgentKind::Person).watch(&[Topic::Inbox]);
    alpha.wait_for_agents(&["reader@n1".to_owned()]);
    let mut writer = alpha.session_as("writer", AgentKind::Person);
    let request = message(&["reader@n1"], &"x".repeat(300));
    let mut samples = Vec::new();
    for _ in 0..=COUNT {
        let start = Instant::now();
        writer.call(request.clone()).unwrap();
        inbox.wait("the message", |event| matches!(event, Event::Message(_)).then_some(()));
        samples.push(start.elapsed());
        std::thread::sleep(PAUSE);
    }
    // The first one also registers the writer.
    samples.remove(0);
    vec![Row {
        what: "message: send() to committed and readable",
        budget: "p50 0.45 ms, p99 2 ms",
        measured: Samples::from(samples).words(),
        workload: format!("{COUNT} messages of 300 bytes, 5 ms apart, 2 daemons, loopback"),
    }]
}

fn pulse_latency() -> Vec<Row> {
    const COUNT: usize = 1000;
    let world = World::new();
    let [alpha, beta, gamma] = mesh(&world);
    let mut readers = [&beta, &gamma].map(|node| node.session_as("reader", AgentKind::Person).watch(&[Topic::Pulse]));
    let mut writer = alpha.session_as("writer", AgentKind::Person);
    let mut samples = Vec::new();
    for number in 0..=COUNT {
        let pulse = Pulse {
            summary: Some(format!("step {number}")),
            thinking: Some(format!("about step {}", number + 1)),
            ..Pulse::default()
        };
        let start = Instant::now();
        writer.call(state::Request { pulse, clear: vec![] }).unwrap();
        for reader in &mut readers {
            reader.wait("the pulse", |event| matches!(event, Event::Pulse(_)).then_some(()));
        }
        samples.push(start.elapsed());
        std::thread::sleep(PAUSE);
    }
    samples.remove(0);
    vec![Row {
        what: "pulse change visible on the last of 3 nodes",
        budget: "p50 0.6 ms, p99 5 ms",
        measured: Samples::from(samples).words(),
        workload: format!("{COUNT} changes of two fields, 5 ms apart, loopback"),
    }]
}

fn first_peer() -> Vec<Row> {
    const COUNT: usize = 20;
    let world = World::new();
    let [alpha, mut beta] = mesh(&world);
    let (mut starts, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..COUNT {
        beta.kill();
        alpha.wait_for_peers(0);
        let start = Instant::now();
        beta.up(&["--quiet"]);
        starts.push(start.elapsed());
        beta.wait_for_peers(1);
        peers.push(start.elapsed());
    }
    let workload = format!("{COUNT} starts after SIGKILL, process start included");
    vec![
        Row {
            what: "daemon start to ready",
            budget: "50 ms",
            measured: Samples::from(starts).words(),
            workload: workload.clone(),
        },
        Row {
            what: "first peer, same machine",
            budget: "p50 100 ms",
            measured: Samples::from(peers).words(),
            workload,
        },
    ]
}

fn first_peer_lan() -> Vec<Row> {
    const COUNT: usize = 20;
    if !lab::is_available() {
        return Vec::new();
    }
    let (world, lab) = (World::new(), Lab::new(&["alpha", "beta"]));
    let mut alpha = world.lone_node("alpha").in_namespace(lab.namespace(0));
    let mut beta = world.lone_node("beta").in_namespace(lab.namespace(1));
    alpha.up(&["--quiet"]);
    beta.up(&["--quiet", "--join", &alpha.invite()]);
    beta.wait_for_peers(1);
    let mut samples = Vec::new();
    for _ in 0..COUNT {
        for node in [&mut alpha, &mut beta] {
            node.down();
            // Nothing but mDNS can help: addresses are forgotten and ports are others.
            let database = rusqlite::Connection::open(node.home().join("fedp2p.db")).unwrap();
            database.execute_batch("DELETE FROM peers; DELETE FROM meta WHERE key = 'port'").unwrap();
        }
        alpha.up(&["--quiet"]);
        let start = Instant::now();
        beta.up(&["--quiet"]);
        beta.wait_for_peers(1);
        samples.push(start.elapsed());
    }
    vec![Row {
        what: "first peer, two hosts, mDNS only",
        budget: "p50 300 ms",
        measured: Samples::from(samples).words(),
        workload: format!("{COUNT} starts in network namespaces, process start included"),
    }]
}

fn catch_up(count: usize, what: &'static str, budget: &'static str) -> Vec<Row> {
    const WRITERS: usize = 8;
    let world = World::new();
    let [alpha, mut beta] = mesh(&world);
    beta.down();
    let request = message(&[], &"x".repeat(300));
    let sending = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let mut writer = alpha.session_as("writer", AgentKind::Person);
                for _ in 0..count / WRITERS {
                    writer.call(request.clone()).unwrap();
                }
            });
        }
    });
    let sent = count as f64 / sending.elapsed().as_secs_f64();
    let target = alpha.status().conversations[0].ops;
    beta.up(&["--quiet"]);
    let before = beta.status().conversations[0].ops;
    let start = Instant::now();
    while beta.status().conversations[0].ops < target {
        std::thread::sleep(PAUSE);
    }
    let took = start.elapsed().as_secs_f64();
    vec![Row {
        what,
        budget,
        measured: format!("{took:.2} s, {:.0} ops/s", (target - before) as f64 / took),
        workload: format!("{count} messages of 300 bytes, sent while it was down at {sent:.0}/s by {WRITERS} clients"),
    }]
}

fn cli_call() -> Vec<Row> {
    const COUNT: usize = 100;
    let world = World::new();
    let [alpha, _beta] = mesh(&world);
    let mut samples = Vec::new();
    for _ in 0..COUNT {
        let mut command = Command::new(binary::fedp2p());
        command.env("XDG_RUNTIME_DIR", world.path("run")).arg("--home").arg(alpha.home()).arg("agents");
        let start = Instant::now();
        assert!(command.stdout(Stdio::null()).status().unwrap().success());
        samples.push(start.elapsed());
    }
    vec![Row {
        what: "CLI call, daemon running",
        budget: "5 ms",
        measured: Samples::from(samples).words(),
        workload: format!("{COUNT} times fedp2p agents, whole process"),
    }]
}

fn idle() -> Vec<Row> {
    const WATCHED: Duration = Duration::from_secs(20);
    let world = World::new();
    let [alpha, _beta] = mesh(&world);
    let daemon = alpha.process();
    std::thread::sleep(Duration::from_secs(3));
    let before = daemon.cpu_seconds();
    std::thread::sleep(WATCHED);
    let percent = (daemon.cpu_seconds() - before) * 100.0 / WATCHED.as_secs_f64();
    vec![Row {
        what: "idle daemon",
        budget: "30 MB, under 0.5 % of a core",
        measured: format!("{:.1} MB resident, {percent:.2} % of a core", daemon.resident_mb()),
        workload: format!("one peer connected, {} s", WATCHED.as_secs()),
    }]
}
