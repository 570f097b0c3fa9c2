#![cfg_attr(test, allow(clippy::unwrap_used))]
//! What can go wrong: many cores under one seeded clock, with links that cut, disks that fill, clocks that jump, and
//! nodes that crash, sleep, lie and contradict themselves. It is not the daemon: there are no sockets, no database
//! and no waiting.
//!
//! A run plays the [`Plan`] that a [`Scenario`] gives for a seed, heals everything, waits until the nodes agree and
//! checks what DESIGN section 10 promises: at every step what can be checked there, the rest whenever nodes agree and
//! at the end. The same plan always gives the same run.
//!
//! | module | holds |
//! |---|---|
//! | [`scenario`] | what is played, read from `testnet/scenarios` |
//! | [`Plan`] | every step of a run, made from a scenario and a seed |
//! | `script` | how each step is done |
//! | `adversary` | what hostile members do |
//! | `sim` | the queue of events and the loop |
//! | `node`, `disk`, `mesh`, `link`, `clients` | a process, its store, the network between, those who call |
//! | `leases`, `notes`, `tasks` | what clients do with these, and what must hold of them |
//! | `watch`, `check` | what must hold at every step, and at the end |
//! | `leases`, `tasks`, `polls` | what clients do with claims, tasks and questions, and what must hold of those |
//! | `tell` | what happens, in words |
//! | [`fanout`] | how far and how fast gossip spreads, with up to thousands of nodes |
//! | [`plot`] | pictures of measured figures |
//! | [`shrink`] | cutting a plan that fails down to what it takes |
//!
//! ```
//! let calm = fedp2p_testnet::scenario::find("calm").expect("a scenario that is built in");
//! let report = fedp2p_testnet::run(&calm, 1).expect("nothing goes wrong in it");
//! assert!(report.promises > 0);
//! ```

mod adversary;
mod check;
mod clients;
mod dice;
mod disk;
pub mod fanout;
mod leases;
mod link;
mod mesh;
mod node;
mod notes;
mod plan;
pub mod plot;
mod polls;
pub mod scenario;
mod script;
pub mod shrink;
mod sim;
mod tasks;
mod tell;
#[cfg(test)]
mod tests;
mod watch;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

pub use adversary::Attack;
pub use check::{Fault, Invariant};
pub use plan::{Plan, PlanError};
pub use scenario::Scenario;

use crate::sim::Sim;

/// How long nodes may take to agree once everything is healed.
const PATIENCE: Duration = Duration::from_secs(400);
/// For how long it is watched that they then keep quiet.
const QUIET: Duration = Duration::from_secs(60);

/// What a run that went well was like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// How many times a node was thrown out.
    pub thrown_out: u64,
    /// How many messages were acknowledged to their senders.
    pub promises: usize,
    /// How many of them were excused: the only disk that had them lost them.
    pub excused: usize,
    /// How long the nodes took to agree after everything was healed.
    pub settled: Duration,
}

/// A run in which something did not hold.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// What did not hold, in the order in which it was found.
    pub faults: Vec<Fault>,
}

impl Failure {
    /// What did not hold first.
    pub fn invariant(&self) -> Invariant {
        self.faults.first().map_or(Invariant::Panic, |fault| fault.invariant)
    }
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
    play(&Plan::new(scenario, seed))
}

/// Plays a plan.
///
/// # Errors
/// If something did not hold.
pub fn play(plan: &Plan) -> Result<Report, Failure> {
    watched(plan, false, |_| {}).0
}

/// Plays a plan and returns what happened as well, line by line.
pub fn replay(plan: &Plan) -> (Result<Report, Failure>, Vec<String>) {
    watched(plan, true, |_| {})
}

/// Plays a plan, after something was spoilt on purpose; a panic is a fault like any other.
fn watched(plan: &Plan, trace: bool, spoil: impl FnOnce(&mut Sim)) -> (Result<Report, Failure>, Vec<String>) {
    let mut sim = Sim::new(plan, trace);
    spoil(&mut sim);
    let settled = catch_unwind(AssertUnwindSafe(|| to_the_end(&mut sim, plan)));
    if let Err(panic) = &settled {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        sim.fault(Invariant::Panic, said.unwrap_or_else(|| "something panicked".to_owned()));
    }
    let trace = sim.trace.take().unwrap_or_default();
    if let Ok(Some(settled)) = settled
        && sim.faults.is_empty()
    {
        let counts = sim.counts;
        let report = Report {
            events: counts.events,
            frames: counts.frames,
            frame_bytes: counts.frame_bytes,
            gossip: counts.gossip,
            verified: counts.verified,
            thrown_out: counts.thrown_out,
            promises: sim.clients.promises.len(),
            excused: sim.excused(),
            settled,
        };
        return (Ok(report), trace);
    }
    (Err(Failure { scenario: plan.name.clone(), seed: plan.seed, faults: sim.faults }), trace)
}

fn to_the_end(sim: &mut Sim, plan: &Plan) -> Option<Duration> {
    sim.play_until(Duration::from_micros(plan.end_us));
    if !sim.faults.is_empty() {
        return None;
    }
    sim.heal();
    let settled = settle(sim);
    if settled.is_none() && sim.faults.is_empty() {
        let text = format!("the nodes did not agree within {} s", PATIENCE.as_secs());
        sim.fault(Invariant::Converge, text);
        sim.explain_disagreement();
    }
    if sim.faults.is_empty() {
        keep_quiet(sim);
    }
    if sim.faults.is_empty() && sim.scenario.focus == scenario::Focus::Tasks {
        sim.do_what_is_left();
        if sim.faults.is_empty() && settle(sim).is_none() {
            sim.fault(Invariant::Converge, "the nodes did not agree on what was done last".to_owned());
            sim.explain_disagreement();
        }
    }
    if sim.faults.is_empty() {
        sim.check_all();
    }
    settled
}

/// Plays on until all nodes agree. Returns how long that took.
fn settle(sim: &mut Sim) -> Option<Duration> {
    let healed = sim.now;
    let step = Duration::from_secs(if sim.scenario.large { 5 } else { 1 });
    while sim.now < healed + PATIENCE && sim.faults.is_empty() {
        sim.play_until(sim.now + step);
        if sim.faults.is_empty() && sim.agree() {
            return Some(sim.now - healed);
        }
    }
    None
}

/// Nodes that agree send signs of life and digests, and nothing else; a liar costs a little more.
fn keep_quiet(sim: &mut Sim) {
    sim.play_until(sim.now + Duration::from_secs(5));
    let (before, links) = (sim.counts.frames, sim.mesh.count() as u64);
    sim.play_until(sim.now + QUIET);
    let frames = sim.counts.frames - before;
    // Each way: a ping and its answer every 5 s, a digest and what follows from it at most as often. Entries that
    // a liar leaves waiting for ever are asked for again every 10 s.
    let each = if sim.scenario.hostile.nodes > 0 { 9 } else { 7 };
    let most = links * 2 * (QUIET.as_secs() / 5 + 1) * each;
    if frames > most {
        let text = format!("{frames} frames in a quiet minute over {links} connections, at most {most} are due");
        sim.fault(Invariant::Quiet, text);
    }
    // Something may have fallen due at the last moment.
    if sim.faults.is_empty() && !sim.agree() && settle(sim).is_none() {
        sim.fault(Invariant::Converge, "the nodes agreed and then no longer did".to_owned());
        sim.explain_disagreement();
    }
}
