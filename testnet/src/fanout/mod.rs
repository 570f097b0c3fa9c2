//! How gossip spreads: a model of gossipsub as the daemon uses it, for meshes that no one machine can run.
//!
//! Each node is a machine without input and output (`gossip`, after libp2p-gossipsub 0.50, with the daemon's settings)
//! in a seeded world of links (`world`): latency by pair, an uplink each, loss, churn, connections that break, nodes
//! that pass nothing on. Beside gossip there are the two other ways of an entry: straight from its author to up to
//! twelve sessions, and sync (`repair`). The same plan always gives the same figures.
//!
//! **Connections.** The daemon dials every member that it can and puts no limit to how many it is connected with, so
//! small meshes are full. With more than [`FULL_UP_TO`] nodes the model gives each a number of random connections
//! instead, unless it is told to connect all.
//!
//! **Left out:** processing time other than 0.2 ms to check a message, limits of what a node receives in a second,
//! queues that overflow (loss stands for them), and the parts of gossipsub that the `gossip` module names.
//!
//! | module | holds |
//! |---|---|
//! | `settings` | the daemon's settings, checked against its source |
//! | `gossip`, `peers` | one node's gossipsub |
//! | `holdings`, `repair` | what its application has; sync |
//! | `world`, `trouble`, `condition` | links and the queue of events; what breaks; which conditions there are |
//! | `play`, `figures` | one run; what is counted and made of it |
//! | `report` | the table, the JSON and the CSV |

mod condition;
mod figures;
mod gossip;
mod holdings;
mod peers;
mod play;
mod repair;
mod report;
mod settings;
#[cfg(test)]
mod tests;
mod trouble;
mod world;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use condition::{CONDITIONS, Condition, Network, Plan};
pub use figures::Row;
use figures::Tally;
use settings::{LAZY_FACTOR, MESH, MESH_LOW, Tuning};
use thiserror::Error;

/// A time or a span of it, in nanoseconds since the run began.
type Nanos = u64;

/// Up to so many nodes are all connected with each other, unless it is said otherwise.
pub const FULL_UP_TO: u32 = 128;
/// How many connections a node has in a larger mesh, unless it is said otherwise.
pub const DEGREE: u32 = 32;

/// Model how gossip spreads: hops, duplicates, bytes, latency and misses
#[derive(Debug, Clone, clap::Args)]
pub struct Fanout {
    /// How many nodes
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "10,100,1000,5000",
        value_parser = clap::value_parser!(u32).range(2..=20_000))]
    nodes: Vec<u32>,
    /// Only these conditions
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = CONDITIONS.map(|condition| condition.name))]
    conditions: Vec<String>,
    /// How many runs of each kind
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    seeds: u32,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    from: u64,
    /// Connections of a node: a number, or "all" [default: all up to 128 nodes, then 32]
    #[arg(long, value_name = "N|all", value_parser = read_degree)]
    degree: Option<Degree>,
    /// What the links are like
    #[arg(long, value_enum, default_value = "wan")]
    network: Network,
    /// How many messages a run publishes
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    messages: u32,
    /// How many messages are published in a second
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// How large a message is
    #[arg(long, value_name = "BYTES", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=61_440))]
    bytes: u32,
    /// Mesh links below which a node seeks more
    #[arg(long, value_name = "N", default_value_t = MESH_LOW)]
    mesh_low: usize,
    /// Mesh links that a node seeks
    #[arg(long, value_name = "N", default_value_t = MESH)]
    mesh: usize,
    /// Share of the peers outside the mesh that hear at a heartbeat what a node has; at least 6 do
    #[arg(long, value_name = "SHARE", default_value_t = LAZY_FACTOR)]
    lazy_factor: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Also write the hops and latencies by number of nodes, as a file for "plot"
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

/// How many connections a node seeks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Degree {
    All,
    Some(u32),
}

fn read_degree(text: &str) -> Result<Degree, String> {
    match text.parse::<u32>() {
        Ok(degree @ 2..=1000) => Ok(Degree::Some(degree)),
        Err(_) if text == "all" => Ok(Degree::All),
        Ok(_) | Err(_) => Err("a number from 2 to 1000, or all".to_owned()),
    }
}

/// Why figures could not be handed over.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FanoutError {
    /// The file of figures cannot be written.
    #[error("{}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// The caller no longer listens.
    #[error("cannot print the figures")]
    Output(#[source] io::Error),
}

impl Fanout {
    /// Plays all runs and prints what came of them.
    ///
    /// # Errors
    /// If the figures cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<(), FanoutError> {
        let rows = self.rows();
        let text = if self.json { report::json(&rows) } else { report::markdown(&rows) };
        out.write_all(text.as_bytes()).map_err(FanoutError::Output)?;
        if let Some(file) = &self.csv {
            std::fs::write(file, report::csv(&rows)).map_err(|error| FanoutError::File(file.clone(), error))?;
        }
        Ok(())
    }

    fn kinds(&self) -> Vec<(u32, Condition)> {
        let chosen = |condition: &Condition| {
            self.conditions.is_empty() || self.conditions.iter().any(|name| name == condition.name)
        };
        let conditions = || CONDITIONS.into_iter().filter(chosen);
        self.nodes.iter().flat_map(|nodes| conditions().map(|condition| (*nodes, condition))).collect()
    }

    fn plan(&self, nodes: u32, condition: Condition, seed: u64) -> Plan {
        let degree = match self.degree {
            Some(Degree::All) => None,
            Some(Degree::Some(degree)) => Some(degree).filter(|degree| *degree < nodes - 1),
            None => Some(DEGREE).filter(|_| nodes > FULL_UP_TO),
        };
        Plan {
            nodes,
            degree,
            condition,
            network: self.network,
            tuning: Tuning { mesh_low: self.mesh_low, mesh: self.mesh, lazy_factor: self.lazy_factor },
            messages: self.messages,
            message_bytes: self.bytes,
            per_second: self.rate,
            seed,
        }
    }

    /// Plays all runs, as many at once as the machine has cores; the largest come first.
    fn rows(&self) -> Vec<Row> {
        let kinds = self.kinds();
        let mut plans: Vec<(usize, Plan)> = Vec::new();
        for (at, (nodes, condition)) in kinds.iter().enumerate() {
            let seeds = self.from..self.from + u64::from(self.seeds);
            plans.extend(seeds.map(|seed| (at, self.plan(*nodes, *condition, seed))));
        }
        plans.sort_by_key(|(_, plan)| std::cmp::Reverse(plan.nodes));
        let next = AtomicUsize::new(0);
        let played: Mutex<Vec<(usize, u64, Tally)>> = Mutex::new(Vec::new());
        let work = || {
            while let Some((at, plan)) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
                let tally = play::play(*plan);
                played.lock().unwrap_or_else(PoisonError::into_inner).push((*at, plan.seed, tally));
            }
        };
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(work);
            }
        });
        let mut played = played.into_inner().unwrap_or_else(PoisonError::into_inner);
        played.sort_by_key(|(at, seed, _)| (*at, *seed));
        let mut tallies = vec![Tally::default(); kinds.len()];
        for (at, _, tally) in played {
            tallies[at].add(tally);
        }
        let rows = kinds.iter().zip(tallies);
        rows.map(|((nodes, condition), tally)| Row::new(*nodes, condition.name, self.seeds, tally)).collect()
    }
}
