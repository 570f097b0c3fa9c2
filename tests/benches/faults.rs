//! Plays faults to real daemons and prints what became of each as a Markdown table.
//!
//! `cargo bench -p fedp2p-tests --bench faults` plays all of them; `-- NAME …` only some, of which `heal` is how soon a
//! partition is over. `--runs N` says how often that is measured for each length (20), `--lengths 2,10,60` for which,
//! in seconds, and `--at-once N` how many pairs of daemons are measured at once (5).
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a program for the terminal that stops at the first surprise"
)]

use std::time::Duration;

use fedp2p_tests::faults::{self, heal};
use fedp2p_tests::switch;

/// What was asked for.
struct Wanted {
    names: Vec<String>,
    runs: usize,
    lengths: Vec<u64>,
    at_once: usize,
}

impl Wanted {
    fn read() -> Self {
        let mut wanted = Self { names: Vec::new(), runs: 20, lengths: vec![2, 10, 60], at_once: 5 };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--runs" => wanted.runs = words.next().unwrap().parse().unwrap(),
                "--at-once" => wanted.at_once = words.next().unwrap().parse().unwrap(),
                "--lengths" => {
                    wanted.lengths = words.next().unwrap().split(',').map(|length| length.parse().unwrap()).collect();
                }
                flag if flag.starts_with("--") => {}
                name => wanted.names.push(name.to_owned()),
            }
        }
        wanted
    }

    fn has(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted == name)
    }
}

fn main() {
    let wanted = Wanted::read();
    let faults: Vec<_> = faults::ALL.iter().filter(|fault| wanted.has(fault.name)).collect();
    if !faults.is_empty() {
        println!("| fault | what the nodes did | what was lost | time to recover |\n|---|---|---|---|");
    }
    for fault in faults {
        eprintln!("playing {} …", fault.name);
        if let Some(outcome) = (fault.play)() {
            let recovered = outcome.recovered.map_or("–".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()));
            println!("| {} | {} | {} | {recovered} |", fault.what, outcome.did, outcome.lost);
        }
    }
    if wanted.has("heal") && switch::is_available() {
        heal(&wanted);
    }
}

/// Prints how long partitions of each length took to heal.
fn heal(wanted: &Wanted) {
    println!("| partition of | runs | p50 | max |\n|---|---|---|---|");
    for seconds in &wanted.lengths {
        eprintln!("measuring the healing of partitions of {seconds} s …");
        let mut times = heal::times(Duration::from_secs(*seconds), wanted.runs, wanted.at_once);
        times.sort();
        let [middle, longest] = [times[times.len() / 2], times[times.len() - 1]].map(|time| time.as_secs_f64() * 1e3);
        println!("| {seconds} s | {} | {middle:.0} ms | {longest:.0} ms |", times.len());
    }
}
