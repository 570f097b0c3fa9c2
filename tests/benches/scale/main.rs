//! Measures how the mesh bears many agents, messages, nodes and years: real daemons of the release build on one machine.
//!
//! `cargo bench -p fedp2p-tests --bench scale` plays the load of 100 agents on 10 daemons and proves what came of it;
//! `-- load --messages N --pulses N --agents N --daemons N --seed N` plays another one. `-- curves` measures how each
//! figure grows and writes `testnet/results/*.csv`; `-- curves NAME …` only some of them, `--most N` up to that size.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a program for the terminal that stops at the first surprise"
)]

mod curves;
mod load;

use fedp2p_tests::measure::markdown;
use load::Plan;

/// A hundred agents at work.
const LOAD: Plan =
    Plan { daemons: 10, agents: 100, messages: 64_000, pulses: 20_000, everybody: 16, bytes: 300, seed: 1 };

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.first().map(String::as_str) {
        Some("curves") => {
            let names: Vec<String> = words[1..].iter().take_while(|word| !word.starts_with("--")).cloned().collect();
            let most = number(&words, "--most", 0);
            curves::run(&names, (most > 0).then_some(most));
        }
        _ => play(&words),
    }
}

/// The number after an option.
fn number(words: &[String], option: &str, default: usize) -> usize {
    let at = words.iter().position(|word| word == option);
    at.map_or(default, |at| words.get(at + 1).and_then(|text| text.parse().ok()).expect("a number after the option"))
}

fn play(words: &[String]) {
    let plan = Plan {
        daemons: number(words, "--daemons", LOAD.daemons),
        agents: number(words, "--agents", LOAD.agents),
        messages: number(words, "--messages", LOAD.messages),
        pulses: number(words, "--pulses", LOAD.pulses),
        seed: number(words, "--seed", LOAD.seed as usize) as u64,
        ..LOAD
    };
    eprintln!("playing the load …");
    let lines = load::run(plan).into_iter().map(|(name, value)| vec![name, value]);
    let head = vec!["what".to_owned(), "measured".to_owned()];
    println!("{}", markdown(&std::iter::once(head).chain(lines).collect::<Vec<_>>()));
}
