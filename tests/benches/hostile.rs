//! Measures what hostile peers cost honest traffic.
//!
//! `cargo bench -p fedp2p-tests --bench hostile` prints one Markdown table; `-- MODE …` measures only these attacks. Two
//! daemons of the release build exchange messages over loopback while `tests/foreign/src/hostile.js` attacks both of them.
//! Daemons and honest load are bound to the first processor, the attacker to the second, so that what is lost is what
//! the daemons themselves spend on the attack. Each attack is measured between two measurements without it, in a
//! world of its own; what stands under "alone" is the mean of the two. On a machine that does other work besides, the
//! processor time that the daemons spend for each message that came says more than how many came. Attackers that stay
//! connected are to be compared with the one that is `quiet`: while a member is away honest nodes also gossip.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a program for the terminal that stops at the first surprise"
)]

use std::process::Command;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use fedp2p_protocols::api::watch::{Event, Topic};
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_tests::foreign::{self, Foreign};
use fedp2p_tests::node::{Node, message};
use fedp2p_tests::world::World;
use serde_json::{Value, json};

/// How long messages are sent as fast as they go.
const LOADED: Duration = Duration::from_secs(2);
/// Messages of which each one's delivery is timed, and the pause between two.
const TIMED: (usize, Duration) = (150, Duration::from_millis(3));
/// How long an attack goes on before it is measured, so that what is cut off only after a while is.
const SETTLE: Duration = Duration::from_secs(6);
/// Most messages that are under way: a daemon ends the watch of a reader that falls too far behind.
const UNDER_WAY: usize = 64;
/// The text of an honest message.
const TEXT: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// The last message of a measurement.
const LAST: &str = "that was all";

fn main() {
    if !foreign::is_available() {
        return;
    }
    let own = std::process::id().to_string();
    let bound = Command::new("taskset").args(["--all-tasks", "--pid", "--cpu-list", "0", &own]).output();
    let bound = bound.is_ok_and(|output| output.status.success());
    if !bound {
        eprintln!("taskset is missing: attacker and daemons share all processors, and the figures mean little");
    }
    let only: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    println!(
        "| attack | by | sent | cut off, then refused | msg/s alone | under attack | share | p99 alone | under attack | CPU a message alone, under attack: lost | memory of the daemons |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for (mode, member) in modes() {
        if only.is_empty() || only.contains(&mode) {
            attack(&mode, member, bound.then_some(1));
        }
    }
}

/// All attacks, and whether a member makes them.
fn modes() -> Vec<(String, bool)> {
    let world = World::new();
    let reply = Foreign::hostile(&world, "eve", None).run_command("modes", json!({}));
    let names = |kind: &str, member| {
        let names = reply[kind].as_array().unwrap().clone();
        names.into_iter().map(move |name| (name.as_str().unwrap().to_owned(), member))
    };
    names("members", true).chain(names("strangers", false)).collect()
}

fn attack(mode: &str, member: bool, processor: Option<usize>) {
    let world = World::new();
    let (mut alpha, mut beta) = (world.node("alpha"), world.node("beta"));
    alpha.up(&["--quiet"]);
    beta.up(&["--quiet", "--join", &alpha.invite()]);
    beta.wait_for_peers(1);
    let mut eve = Foreign::hostile(&world, "eve", processor);
    if member {
        eve.run_command("join", json!({ "ticket": alpha.invite(), "name": "eve" }));
    }
    let target = |node: &Node| json!({ "node": node.status().node.id, "address": format!("/ip4/127.0.0.1/tcp/{}", node.tcp().port()) });
    let targets: Vec<Value> = [&alpha, &beta].map(target).to_vec();
    let nodes = [&alpha, &beta];
    measure(nodes, "first");
    let before = measure(nodes, "before");
    let small = nodes.map(resident);
    eve.run_command("attack", json!({ "mode": mode, "targets": targets }));
    thread::sleep(SETTLE);
    let under = measure(nodes, "under");
    let counts = eve.run_command("counts", json!({}));
    let grown = nodes.map(resident);
    eve.kill();
    let after = measure(nodes, "after");
    let (alone, cost) = (before.rate.midpoint(after.rate), before.cost.midpoint(after.cost));
    println!(
        "| {mode} | {} | {} | {}, {} | {alone:.0} | {:.0} | {:.0} % | {:.1} ms | {:.1} ms | {cost:.0}, {:.0} us: {:.0} % | {} |",
        if member { "member" } else { "stranger" },
        counts["sent"],
        counts["cut"],
        counts["refused"],
        under.rate,
        100.0 * under.rate / alone,
        before.late.min(after.late).as_secs_f64() * 1e3,
        under.late.as_secs_f64() * 1e3,
        under.cost,
        100.0 * (1.0 - cost / under.cost),
        small.iter().zip(grown).map(|(before, after)| format!("{before} → {after} MB")).collect::<Vec<_>>().join(", "),
    );
    alpha.down();
    beta.down();
}

/// What was seen of honest traffic.
struct Measured {
    /// Messages that came in a second.
    rate: f64,
    /// The delivery that 99 of 100 were faster than.
    late: Duration,
    /// Microseconds of processor time of both daemons for each message.
    cost: f64,
}

/// Each `reader` is an agent of its own: a new watch of the same one would begin with everything that it got before.
fn measure([from, to]: [&Node; 2], reader: &str) -> Measured {
    let mut inbox = to.session_as(reader, AgentKind::Person).watch(&[Topic::Inbox]);
    let recipient = format!("{reader}@beta");
    from.wait_for_agents(std::slice::from_ref(&recipient));
    let mut writer = from.session_as("writer", AgentKind::Person);
    let request = message(&[&recipient], TEXT);
    writer.call(request.clone()).unwrap();
    next(&mut inbox);
    let mut waits = Vec::new();
    for _ in 0..TIMED.0 {
        thread::sleep(TIMED.1);
        let start = Instant::now();
        writer.call(request.clone()).unwrap();
        next(&mut inbox);
        waits.push(start.elapsed());
    }
    waits.sort();
    let spent = [from, to].map(ticks);
    let (start, end) = (Instant::now(), Instant::now() + LOADED);
    let (sent, under_way) = sync_channel(UNDER_WAY);
    let reader = thread::spawn(move || {
        let mut in_time = 0_u32;
        while next(&mut inbox) != LAST {
            in_time += u32::from(Instant::now() < end);
            under_way.recv().unwrap();
        }
        in_time
    });
    while Instant::now() < end {
        sent.send(()).unwrap();
        writer.call(request.clone()).unwrap();
    }
    let took = start.elapsed();
    writer.call(message(&[&recipient], LAST)).unwrap();
    let came = reader.join().unwrap();
    let spent: u64 = [from, to].map(ticks).iter().zip(spent).map(|(after, before)| after - before).sum();
    Measured {
        rate: f64::from(came) / took.as_secs_f64(),
        late: waits[waits.len() * 99 / 100],
        cost: spent as f64 * 10_000.0 / f64::from(came.max(1)),
    }
}

fn next(inbox: &mut fedp2p_tests::node::Events) -> String {
    inbox.wait("a message", |event| match event {
        Event::Message(message) => Some(message.text),
        Event::Pulse(_)
        | Event::Attention { .. }
        | Event::Vote(_)
        | Event::Note { .. }
        | Event::Claim(_)
        | Event::Task(_)
        | Event::Peer { .. }
        | Event::Agent(_)
        | Event::Notice { .. } => None,
    })
}

/// Processor time of a daemon, in hundredths of a second.
fn ticks(node: &Node) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", node.status().pid)).unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Memory of a daemon, in MB.
fn resident(node: &Node) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", node.status().pid)).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
