//! What hostile changes cost at the gate: a row for each attack on each document, as a Markdown table.
//!
//! `cargo bench -p fedp2p-crdt --bench gate` measures each 20 times, each time on a fresh copy of the document; with
//! `-- N` another number of times. The budget is 5 ms and 1 MB.
#![expect(clippy::unwrap_used, reason = "a bench stops where it is wrong")]
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]
#![expect(clippy::print_stdout, reason = "a bench prints what it has measured")]

use std::time::{Duration, Instant};

use fedp2p_crdt::document::Document;
use peak_alloc::PeakAlloc;

#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/hostile/costly.rs"]
mod costly;
#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/hostile/forge.rs"]
mod forge;
#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/hostile/victim.rs"]
mod victim;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The cost of one attack, measured several times.
struct Cost {
    times: Vec<Duration>,
    peak: usize,
    kept: usize,
    verdict: String,
}

impl Cost {
    fn measure(document: &Document, bytes: &[u8], times: usize) -> Self {
        let mut cost = Self { times: Vec::new(), peak: 0, kept: 0, verdict: String::new() };
        for _ in 0..times {
            let mut victim = document.clone();
            let before = HEAP.current_usage();
            HEAP.reset_peak_usage();
            let start = Instant::now();
            let verdict = victim.admit(bytes);
            cost.times.push(start.elapsed());
            cost.peak = cost.peak.max(HEAP.peak_usage() - before);
            cost.kept = cost.kept.max(HEAP.current_usage().saturating_sub(before));
            cost.verdict = verdict.map_or_else(|refusal| refusal.to_string(), |()| "admitted".to_owned());
        }
        cost.times.sort_unstable();
        cost
    }

    fn milliseconds(&self, at: usize) -> f64 {
        self.times[at].as_secs_f64() * 1000.0
    }
}

fn main() {
    let times = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(20).max(1);
    println!("| document | attack | bytes | best ms | p50 ms | max ms | peak kB | kept kB | verdict |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let (mut slowest, mut largest) = (0.0f64, 0);
    for (document, author) in costly::authors() {
        for attack in costly::attacks(&author) {
            let cost = Cost::measure(&author.document, &attack.bytes, times);
            let [best, p50, most] = [0, times / 2, times - 1].map(|at| cost.milliseconds(at));
            (slowest, largest) = (slowest.max(p50), largest.max(cost.peak));
            let (name, bytes) = (attack.name, attack.bytes.len());
            let (peak, kept) = (cost.peak / 1000, cost.kept / 1000);
            println!(
                "| {document} | {name} | {bytes} | {best:.2} | {p50:.2} | {most:.2} | {peak} | {kept} | {} |",
                cost.verdict
            );
        }
    }
    println!("\nworst p50 {slowest:.2} ms of 5, worst peak {} kB of 1000", largest / 1000);
}
