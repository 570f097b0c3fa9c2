//! Many runs on all cores, and what came of them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fedp2p_testnet::{Failure, Report, Scenario, run};
use serde_json::{Value, json};

use crate::cli::say;

/// What is to be played.
pub(crate) struct Job {
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) from: u64,
    pub(crate) seeds: u64,
    pub(crate) threads: usize,
    /// Whether nothing more is played after a failure.
    pub(crate) until_failure: bool,
}

/// What came of it.
pub(crate) struct Table {
    scenarios: Vec<Scenario>,
    rows: BTreeMap<usize, BTreeMap<u64, Result<Report, Failure>>>,
    runs: usize,
}

/// How often it is said how far it is.
const EVERY: Duration = Duration::from_secs(10);

impl Table {
    /// Plays everything.
    pub(crate) fn play(job: &Job) -> Self {
        let seeds = usize::try_from(job.seeds).unwrap_or(usize::MAX);
        let total = seeds.saturating_mul(job.scenarios.len());
        let next = AtomicUsize::new(0);
        let (rows, told) = (Mutex::new(BTreeMap::new()), Mutex::new(Instant::now()));
        std::thread::scope(|scope| {
            for _ in 0..job.threads.min(total).max(1) {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= total {
                            return;
                        }
                        let (index, seed) =
                            (number % job.scenarios.len(), job.from + (number / job.scenarios.len()) as u64);
                        let result = run(&job.scenarios[index], seed);
                        if job.until_failure && result.is_err() {
                            next.store(total, Ordering::Relaxed);
                        }
                        record(&rows, index, seed, result);
                        progress(&told, number, total);
                    }
                });
            }
        });
        let rows = rows.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Self { scenarios: job.scenarios.clone(), rows, runs: total }
    }

    /// Every failure, by scenario and seed.
    pub(crate) fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.rows.values().flat_map(|seeds| seeds.values().filter_map(|result| result.as_ref().err()))
    }

    pub(crate) fn first_failure(&self) -> Option<&Failure> {
        self.failures().next()
    }

    /// The scenario in which this failed.
    pub(crate) fn scenario(&self, failure: &Failure) -> Option<&Scenario> {
        self.scenarios.iter().find(|scenario| scenario.name == failure.scenario)
    }

    fn columns(&self) -> Vec<(&str, Row)> {
        let row = |(index, seeds): (&usize, &BTreeMap<u64, Result<Report, Failure>>)| {
            (self.scenarios[*index].name.as_str(), Row::of(seeds.values()))
        };
        self.rows.iter().map(row).collect()
    }

    /// The table as people read it; Markdown.
    pub(crate) fn text(&self, took: Duration) -> String {
        let mut text = String::from(
            "| scenario | seeds | failed | events | frames | MB | gossip | thrown out | acknowledged | excused | settled p50 / max |\n\
             |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        );
        for (name, row) in self.columns() {
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "\n| {name} | {} | {} | {} | {} | {:.1} | {} | {} | {} | {} | {:.0} / {:.0} s |",
                row.seeds,
                row.failed,
                row.events,
                row.frames,
                row.frame_bytes as f64 / 1e6,
                row.gossip,
                row.thrown_out,
                row.promises,
                row.excused,
                row.settled(50).as_secs_f64(),
                row.settled(100).as_secs_f64()
            );
        }
        let failed: usize = self.failures().count();
        let _ = write!(text, "\n\n{} runs in {:.1} s, {failed} failed", self.runs, took.as_secs_f64());
        text
    }

    /// The same as one JSON document.
    pub(crate) fn json(&self, took: Duration) -> String {
        let rows: Vec<Value> = self.columns().into_iter().map(|(name, row)| row.json(name)).collect();
        let failure = |failure: &Failure| {
            let faults: Vec<Value> = failure
                .faults
                .iter()
                .map(|fault| {
                    json!({
                        "invariant": fault.invariant.to_string(),
                        "text": fault.text,
                        "at_s": fault.at.as_secs_f64(),
                    })
                })
                .collect();
            json!({ "scenario": failure.scenario, "seed": failure.seed, "faults": faults })
        };
        let failures: Vec<Value> = self.failures().map(failure).collect();
        json!({
            "version": 1,
            "runs": self.runs,
            "took_s": took.as_secs_f64(),
            "scenarios": rows,
            "failures": failures,
        })
        .to_string()
    }
}

type Rows = BTreeMap<usize, BTreeMap<u64, Result<Report, Failure>>>;

fn record(rows: &Mutex<Rows>, index: usize, seed: u64, result: Result<Report, Failure>) {
    let mut rows = rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Err(failure) = &result {
        let first = failure.faults.first().map_or("?".to_owned(), ToString::to_string);
        say(&format!("FAILED {} with seed {}: {first}", failure.scenario, failure.seed));
    }
    rows.entry(index).or_default().insert(seed, result);
}

fn progress(told: &Mutex<Instant>, number: usize, total: usize) {
    let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if told.elapsed() >= EVERY {
        *told = Instant::now();
        say(&format!("{number} of {total} runs"));
    }
}

/// The sums of one scenario.
#[derive(Default)]
struct Row {
    seeds: usize,
    failed: usize,
    events: u64,
    frames: u64,
    frame_bytes: u64,
    gossip: u64,
    thrown_out: u64,
    promises: usize,
    excused: usize,
    settled: Vec<Duration>,
}

impl Row {
    fn of<'a>(results: impl Iterator<Item = &'a Result<Report, Failure>>) -> Self {
        let mut row = Self::default();
        for result in results {
            row.seeds += 1;
            match result {
                Ok(report) => {
                    row.events += report.events;
                    row.frames += report.frames;
                    row.frame_bytes += report.frame_bytes;
                    row.gossip += report.gossip;
                    row.thrown_out += report.thrown_out;
                    row.promises += report.promises;
                    row.excused += report.excused;
                    row.settled.push(report.settled);
                }
                Err(_) => row.failed += 1,
            }
        }
        row.settled.sort();
        row
    }

    /// How long so many in a hundred took at most to agree.
    fn settled(&self, percent: usize) -> Duration {
        let index = (self.settled.len() * percent / 100).min(self.settled.len().saturating_sub(1));
        self.settled.get(index).copied().unwrap_or_default()
    }

    fn json(&self, name: &str) -> Value {
        json!({
            "scenario": name,
            "seeds": self.seeds,
            "failed": self.failed,
            "events": self.events,
            "frames": self.frames,
            "frame_bytes": self.frame_bytes,
            "gossip": self.gossip,
            "thrown_out": self.thrown_out,
            "acknowledged": self.promises,
            "excused": self.excused,
            "settled_p50_s": self.settled(50).as_secs_f64(),
            "settled_max_s": self.settled(100).as_secs_f64(),
        })
    }
}
