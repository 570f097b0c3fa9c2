#![cfg_attr(test, allow(clippy::unwrap_used))]
//! What can go wrong: many cores under one seeded clock, with links that cut, disks that fill and nodes that crash, lie
//! and contradict themselves. It is not the daemon: there are no sockets, no database and no waiting.
//!
//! A run plays a [`Scenario`] from a seed, heals everything, waits until the nodes agree and then checks what DESIGN
//! section 10 promises. The same scenario and seed always give the same run.
//!
//! | module | holds |
//! |---|---|
//! | [`scenario`] | the scenarios and their faults |
//! | `script` | what is planned from a seed, and how each fault is done |
//! | `sim` | the queue of events and the loop |
//! | `node`, `disk`, `mesh`, `clients` | a process, its store, the network between, those who call |
//! | `check` | what must hold |
//!
//! ```
//! let calm = fedp2p_testnet::scenario::find("calm").expect("a scenario of the table");
//! let report = fedp2p_testnet::run(calm, 1).expect("nothing goes wrong in it");
//! assert!(report.promises > 0);
//! ```

mod check;
mod clients;
mod dice;
mod disk;
mod mesh;
mod node;
pub mod scenario;
mod script;
mod sim;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub use scenario::{SCENARIOS, Scenario};

use crate::sim::Sim;

/// How long nodes may take to agree once everything is healed.
const PATIENCE: Duration = Duration::from_secs(400);
/// For how long it is watched that they then keep quiet.
const QUIET: Duration = Duration::from_secs(60);

/// What a run that went well was like.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// How many events there were.
    pub events: u64,
    /// How many sync frames were sent.
    pub frames: u64,
    /// How many bytes they had.
    pub frame_bytes: u64,
    /// How many gossip messages were sent, one for each hop.
    pub gossip: u64,
    /// How many signatures were checked.
    pub verified: u64,
    /// How many messages were acknowledged to their senders.
    pub promises: usize,
    /// How many of them were excused: the only disk that had them lost them, or they stand where a log forked.
    pub excused: usize,
    /// How long the nodes took to agree after everything was healed.
    pub settled: Duration,
}

/// A run in which something did not hold.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The scenario.
    pub scenario: &'static str,
    /// The seed.
    pub seed: u64,
    /// What did not hold.
    pub faults: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scenario {} with seed {}:", self.scenario, self.seed)?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for Failure {}

/// Plays a scenario.
///
/// # Errors
/// If something did not hold.
pub fn run(scenario: &Scenario, seed: u64) -> Result<Report, Failure> {
    play(scenario, seed, false, |_| {}).0
}

/// Plays a scenario and returns what happened as well, line by line.
pub fn replay(scenario: &Scenario, seed: u64) -> (Result<Report, Failure>, Vec<String>) {
    play(scenario, seed, true, |_| {})
}

fn play(
    scenario: &Scenario,
    seed: u64,
    trace: bool,
    spoil: impl FnOnce(&mut Sim),
) -> (Result<Report, Failure>, Vec<String>) {
    let mut sim = Sim::new(*scenario, seed, trace);
    sim.plan();
    spoil(&mut sim);
    let joining = if scenario.tickets { 2 * scenario.nodes as u64 } else { 0 };
    // Nodes that were killed at the end have had time to come back.
    sim.play_until(Duration::from_secs(scenario.seconds + joining + 18));
    sim.heal();
    let settled = settle(&mut sim);
    if settled.is_none() && sim.faults.is_empty() {
        sim.fault(format!("the nodes did not agree within {} s", PATIENCE.as_secs()));
        sim.explain_disagreement();
    }
    if sim.faults.is_empty() {
        keep_quiet(&mut sim);
    }
    if sim.faults.is_empty() {
        sim.check_all();
    }
    let trace = sim.trace.take().unwrap_or_default();
    if let Some(settled) = settled
        && sim.faults.is_empty()
    {
        let counts = sim.counts;
        let report = Report {
            events: counts.events,
            frames: counts.frames,
            frame_bytes: counts.frame_bytes,
            gossip: counts.gossip,
            verified: counts.verified,
            promises: sim.clients.promises.len(),
            excused: sim.excused(),
            settled,
        };
        return (Ok(report), trace);
    }
    let faults = sim.faults.into_iter().collect();
    (Err(Failure { scenario: scenario.name, seed, faults }), trace)
}

/// Plays on until all nodes agree. Returns how long that took.
fn settle(sim: &mut Sim) -> Option<Duration> {
    let healed = sim.now;
    while sim.now < healed + PATIENCE && sim.faults.is_empty() {
        sim.play_until(sim.now + Duration::from_secs(1));
        if sim.agree() {
            return Some(sim.now - healed);
        }
    }
    None
}

/// Nodes that agree send signs of life and digests, and nothing else; a liar may cost a little more.
fn keep_quiet(sim: &mut Sim) {
    sim.play_until(sim.now + Duration::from_secs(5));
    let (before, links) = (sim.counts.frames, sim.mesh.count() as u64);
    sim.play_until(sim.now + QUIET);
    let frames = sim.counts.frames - before;
    // Each way: a ping and its answer every 5 s, a digest and what follows from it at most as often.
    let most = links * 2 * (QUIET.as_secs() / 5 + 1) * 7;
    if frames > most {
        sim.fault(format!("{frames} frames in a quiet minute over {links} connections, at most {most} are due"));
    }
    if !sim.agree() {
        sim.fault("the nodes agreed and then no longer did".to_owned());
        sim.explain_disagreement();
    }
}
