//! What it costs to decide which claims hold, and to have that again while nothing changes: a row for each way in which
//! two members claim all that they may, as a Markdown table.
//!
//! `cargo bench -p fedp2p-crdt --bench claims` measures each 20 times; with `-- N` another number of times. Each member
//! makes 256 claims of as many agents in one repository. The budget is 20 ms.
#![expect(clippy::unwrap_used, reason = "a bench stops where it is wrong")]
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]
#![expect(clippy::print_stdout, reason = "a bench prints what it has measured")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use fedp2p_crdt::claim::claims;
use fedp2p_crdt::content::Content;
use fedp2p_crdt::picture::Picture;
use fedp2p_protocols::claim::{Acknowledgement, Claim, Fence, Mode, Resource};
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::limits::MAX_CLAIMS;

/// What a member claims: how many patterns in each claim, and the pattern that is made of a number given once only.
struct Workload {
    name: &'static str,
    patterns: u64,
    pattern: fn(u64) -> String,
}

const WORKLOADS: [Workload; 6] = [
    Workload { name: "2 files in one folder", patterns: 2, pattern: |number| format!("src/parser/file-{number}.rs") },
    Workload { name: "8 files in one folder", patterns: 8, pattern: |number| format!("src/parser/file-{number}.rs") },
    Workload {
        name: "8 patterns, 57 `?` before a number",
        patterns: 8,
        pattern: |number| "?".repeat(57) + &tail(number),
    },
    Workload {
        name: "8 patterns, a number before 57 `?`",
        patterns: 8,
        pattern: |number| tail(number) + &"?".repeat(57),
    },
    Workload { name: "8 folders of any depth", patterns: 8, pattern: |number| format!("**/{}", tail(number)) },
    Workload { name: "several stars against plain names", patterns: 8, pattern: stars_and_names },
];

fn tail(number: u64) -> String {
    format!("{number:07}")
}

/// The first claims have stars, the others none, and that they differ shows only after each place was tried.
fn stars_and_names(number: u64) -> String {
    let claim = number / 8 % MAX_CLAIMS as u64;
    if claim < 8 { format!("*{}{number}*", "a".repeat(5)) } else { format!("{}{number}", "a".repeat(32)) }
}

/// What two members say who claim so, and each acknowledges all.
fn contents(workload: &Workload) -> BTreeMap<NodeId, Content> {
    let node = |at: u64| NodeId::from_bytes([at as u8 + 1; 32]);
    let mut contents: BTreeMap<NodeId, Content> = (0..2).map(|at| (node(at), Content::default())).collect();
    for (at, counter) in (0..2).flat_map(|at| (0..MAX_CLAIMS as u64).map(move |counter| (at, counter))) {
        let number = |of: u64| (at * MAX_CLAIMS as u64 + counter) * 8 + of;
        let globs = (0..workload.patterns).map(|of| (workload.pattern)(number(of)).parse().unwrap()).collect();
        let claim = Claim {
            resource: Resource::Files { repository: "fedp2p".parse().unwrap(), globs },
            by: format!("agent-{counter}").parse().unwrap(),
            mode: Mode::Exclusive,
            ttl_s: 900,
            why: None,
            salt: number(0),
            replaces: Vec::new(),
            taken: 1,
            renewals: 0,
            renewed: 1,
            confirmed: None,
            ended: None,
        };
        let fence = Fence { counter: counter + 1, node: node(at) };
        for content in contents.values_mut() {
            content.acknowledged.insert(fence, Acknowledgement { claim: claim.hash(), at: 1 });
        }
        contents.get_mut(&fence.node).unwrap().claims.insert(fence.counter, claim);
    }
    contents
}

/// The median of so many measurements, in milliseconds.
fn median(times: usize, run: impl Fn()) -> f64 {
    let measure = || {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    let mut measured: Vec<Duration> = (0..times).map(|_| measure()).collect();
    measured.sort_unstable();
    measured[times / 2].as_secs_f64() * 1000.0
}

fn main() {
    let times = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(20).max(1);
    println!("| what each of 2 x {MAX_CLAIMS} claims is on | count | p50 ms to decide | p50 ms again |");
    println!("|---|---|---|---|");
    for workload in &WORKLOADS {
        let contents = contents(workload);
        let picture = Picture::of(contents.iter().map(|(&node, content)| (node, content)));
        let outcome = claims(&picture).outcome();
        let decide = median(times, || drop(black_box(claims(&picture))));
        let again = median(times, || drop(black_box(outcome.of(&picture))));
        let count = outcome.of(&picture).iter().count();
        println!("| {} | {count} | {decide:.2} | {again:.2} |", workload.name);
    }
}
