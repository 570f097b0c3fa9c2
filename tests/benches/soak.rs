//! Runs a small mesh for long under a steady load, while daemons are killed and started again, and looks for anything
//! that grows.
//!
//! `cargo bench -p fedp2p-tests --bench soak -- --minutes N [--seed S]`: 5 daemons on one machine, 2 agents on each
//! that send, say what they do and read their inboxes, command lines beside them, and every 20 seconds or so a SIGKILL
//! by chance to any daemon but the first: so one is there that has run all the time. Writes
//! `testnet/results/soak.csv`; at the end nothing that was acknowledged may be missing.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a program for the terminal that stops at the first surprise"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fedp2p_node::client::{CallError, Client};
use fedp2p_node::home::Home;
use fedp2p_protocols::api::{Caller, inbox, log_verify, state, surfaced};
use fedp2p_protocols::id::OpId;
use fedp2p_protocols::pulse::{AgentKind, Pulse};
use fedp2p_tests::crowd::{Dice, say};
use fedp2p_tests::measure::{Curve, bytes_in, markdown, median};
use fedp2p_tests::node::Node;
use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, holds};

const DAEMONS: usize = 5;
const AGENTS_EACH: usize = 2;
/// Between two turns of an agent: some 20 messages a second of each.
const PAUSE: Duration = Duration::from_millis(40);
const SAMPLE: Duration = Duration::from_secs(5);
const KILL_EVERY: Duration = Duration::from_secs(20);
/// How long a daemon may take to look through its log.
const PROOF: Duration = Duration::from_secs(120);
/// What a daemon may have gained at the end, by share and on top: caches fill up.
const GROWTH: (f64, f64) = (1.25, 4.0);
/// What is sampled of each daemon, and what it may be at most, if there is a bound: the store's log goes up and down
/// below 64 MiB, and how high it stands at the end is chance.
const FACTS: [(&str, Option<f64>); 4] =
    [("resident MB", None), ("open files", None), ("threads", None), ("WAL MB", Some(72.0))];

/// What an agent did and saw.
#[derive(Default)]
struct Diary {
    /// Acknowledged messages and whom they were for; nobody means everybody.
    sent: Vec<(OpId, Option<String>)>,
    /// What was taken out of the inbox.
    taken: BTreeSet<OpId>,
    pulses: u64,
    lost: u64,
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let number = |option: &str, default: f64| {
        let at = words.iter().position(|word| word == option);
        at.map_or(default, |at| words[at + 1].parse().expect("a number after the option"))
    };
    let length = Duration::from_secs_f64(number("--minutes", 10.0) * 60.0);
    let mut dice = Dice::new(number("--seed", 1.0) as u64);
    let world = World::new();
    let mut nodes = world.daemons(DAEMONS);
    let agents: Vec<(String, usize)> =
        (0..DAEMONS * AGENTS_EACH).map(|agent| (format!("a{agent}"), agent % DAEMONS)).collect();
    let addresses: Vec<String> = agents.iter().map(|(name, node)| format!("{name}@n{node}")).collect();
    for (name, node) in &agents {
        nodes[*node].session_as(name, AgentKind::Person).call(inbox::Request::default()).unwrap();
    }
    nodes.iter().for_each(|node| node.wait_for_agents(&addresses));
    let (stop, start) = (AtomicBool::new(false), Instant::now());
    let mut samples: Vec<(f64, Vec<[f64; 4]>)> = Vec::new();
    let mut kills = 0;
    let diaries: BTreeMap<String, Diary> = std::thread::scope(|scope| {
        let workers: Vec<_> = agents
            .iter()
            .enumerate()
            .map(|(at, (name, node))| {
                let (home, addresses, stop) = (nodes[*node].folders(), &addresses, &stop);
                scope.spawn(move || (addresses[at].clone(), work(&home, name, at, addresses, stop)))
            })
            .collect();
        let mut kill_at = start + KILL_EVERY;
        while start.elapsed() < length {
            std::thread::sleep(SAMPLE);
            samples.push((start.elapsed().as_secs_f64(), nodes.iter().map(sample).collect()));
            nodes[samples.len() % DAEMONS].cli(&["pulse"]).ok();
            if Instant::now() >= kill_at {
                let victim = 1 + dice.below(DAEMONS - 1);
                nodes[victim].kill();
                nodes[victim].up(&["--quiet"]);
                kills += 1;
                kill_at = Instant::now() + KILL_EVERY / 2 + KILL_EVERY.mul_f64(dice.below(100) as f64 / 100.0);
            }
        }
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    report(&samples);
    prove(&nodes, &agents, diaries, kills, start.elapsed());
}

/// One agent: sends, says, reads, and comes back whenever its daemon has gone.
fn work(home: &Home, name: &str, at: usize, addresses: &[String], stop: &AtomicBool) -> Diary {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut diary = Diary::default();
    let mut dice = Dice::new(at as u64);
    runtime.block_on(async {
        while !stop.load(Ordering::Relaxed) {
            let caller = Caller { name: name.parse().unwrap(), kind: AgentKind::Person };
            if let Ok(mut client) = Client::connect(home, caller).await {
                while !stop.load(Ordering::Relaxed) {
                    tokio::time::sleep(PAUSE).await;
                    let to = addresses.get(dice.below(addresses.len() + 1)).cloned();
                    if let Err(error) = turn(&mut client, to, &mut diary).await {
                        // Whether it was done is not known while the daemon is killed; anything else is a failure.
                        assert!(matches!(error, CallError::Lost { .. } | CallError::NotSent(_)), "{name}: {error}");
                        diary.lost += 1;
                        break;
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
    diary
}

async fn turn(client: &mut Client, to: Option<String>, diary: &mut Diary) -> Result<(), CallError> {
    let sent = client.call(say(to.as_deref(), format!("number {}", diary.sent.len()))).await?;
    diary.sent.push((sent.id, to));
    if diary.sent.len().is_multiple_of(3) {
        let pulse = Pulse { summary: Some(format!("at {}", diary.sent.len())), ..Pulse::default() };
        client.call(state::Request { pulse, clear: vec![] }).await?;
        diary.pulses += 1;
    }
    if diary.sent.len().is_multiple_of(5) {
        take(client, diary).await?;
    }
    Ok(())
}

/// Takes what waits in the inbox; returns whether there was anything.
async fn take(client: &mut Client, diary: &mut Diary) -> Result<bool, CallError> {
    let page = client.call(inbox::Request { limit: 1000, held: false }).await?;
    diary.taken.extend(page.messages.iter().map(|message| message.id));
    if !page.messages.is_empty() {
        client.call(surfaced::Request { cursor: page.cursor, held: page.with_held }).await?;
    }
    Ok(!page.messages.is_empty())
}

fn sample(node: &Node) -> [f64; 4] {
    let process = node.process();
    let wal = std::fs::metadata(node.home().join("fedp2p.db-wal")).map_or(0, |file| file.len());
    [process.resident_mb(), process.files(), process.threads(), wal as f64 / 1e6]
}

/// Writes the samples, and says for each daemon and fact whether it grew.
fn report(samples: &[(f64, Vec<[f64; 4]>)]) {
    let columns = (0..DAEMONS).map(|node| format!("n{node} resident MB"));
    let columns: Vec<String> = std::iter::once("seconds".to_owned()).chain(columns).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut curve = Curve::new("soak", "Memory of 5 daemons under a steady load", "", &columns);
    for (at, nodes) in samples {
        curve.row(std::iter::once(*at).chain(nodes.iter().map(|facts| facts[0])).collect::<Vec<f64>>());
    }
    curve.write(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../testnet/results")).unwrap();
    let quarter = (samples.len() / 4).max(1);
    let (first, last) = (&samples[..quarter], &samples[samples.len() - quarter..]);
    let head = ["daemon", "what", "first quarter", "last quarter", "most", "verdict"].map(str::to_owned).to_vec();
    let mut lines = vec![head];
    for node in 0..DAEMONS {
        for (at, (what, bound)) in FACTS.iter().enumerate() {
            let most = samples.iter().map(|(_, nodes)| nodes[node][at]).fold(0.0, f64::max);
            let middle = |of: &[(f64, Vec<[f64; 4]>)]| median(of.iter().map(|(_, nodes)| nodes[node][at]));
            let (before, after) = (middle(first), middle(last));
            let grew = bound.map_or(after > before * GROWTH.0 + GROWTH.1, |bound| most > bound);
            let verdict = if grew { "GREW" } else { "flat" };
            let figures = [before, after, most].map(|figure| format!("{figure:.1}"));
            let line = std::iter::once(format!("n{node}")).chain([(*what).to_owned()]).chain(figures);
            lines.push(line.chain([verdict.to_owned()]).collect());
        }
    }
    println!("{}", markdown(&lines));
}

/// Checks that all daemons hold the same, that it is what was signed, and that nothing acknowledged is missing.
fn prove(nodes: &[Node], agents: &[(String, usize)], mut diaries: BTreeMap<String, Diary>, kills: u32, took: Duration) {
    eprintln!("proving …");
    let digests = |node: &Node| {
        let lobby = node.status().conversations.into_iter().next().expect("a node has a lobby");
        (lobby.ops_digest, lobby.picture_digest)
    };
    let equal = || {
        eventually("all daemons hold the same", || {
            let all: BTreeSet<_> = nodes.iter().map(digests).collect();
            holds(all.len() == 1, &all)
        });
    };
    equal();
    for (name, node) in agents {
        let diary = diaries.get_mut(&format!("{name}@n{node}")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut client = nodes[*node].client(name, AgentKind::Person).await;
            while take(&mut client, diary).await.unwrap() {}
        });
    }
    let all: Vec<(&str, OpId, Option<&str>)> = diaries
        .iter()
        .flat_map(|(from, diary)| diary.sent.iter().map(move |(id, to)| (from.as_str(), *id, to.as_deref())))
        .collect();
    for (address, diary) in &diaries {
        for (from, id, to) in &all {
            // To everybody means to everybody else.
            let is_for = to.map_or(*from != address, |to| to == address);
            assert!(!is_for || diary.taken.contains(id), "{address} never got {id}, acknowledged to {from}");
        }
    }
    equal();
    for node in nodes {
        let mut session = node.session();
        session.set_patience(PROOF);
        assert_eq!(session.call(log_verify::Request {}).unwrap().broken, None, "{}", node.name());
    }
    let (pulses, lost) = diaries.values().fold((0, 0), |sum, diary| (sum.0 + diary.pulses, sum.1 + diary.lost));
    println!(
        "{:.1} minutes, {kills} SIGKILLs; {} messages and {pulses} pulse changes acknowledged, all there, each in the inboxes that it belongs to; {lost} calls cut off by a kill; digests equal, every log good; home folder {:.1} MB",
        took.as_secs_f64() / 60.0,
        all.len(),
        bytes_in(nodes[0].home()) as f64 / 1e6
    );
}
