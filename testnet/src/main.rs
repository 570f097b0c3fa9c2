//! Plays scenarios from the command line.
//!
//! `fedp2p-testnet run [SCENARIO] [--seeds N] [--from S]` plays, `fedp2p-testnet replay SCENARIO SEED` shows what
//! happened in one run, `fedp2p-testnet list` names the scenarios.

use std::io::Write;
use std::process::ExitCode;

use fedp2p_testnet::{SCENARIOS, Scenario, replay, run, scenario};

const USAGE: &str = "fedp2p-testnet list | run [SCENARIO] [--seeds N] [--from SEED] | replay SCENARIO SEED";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut out = std::io::stdout().lock();
    let done = match words.as_slice() {
        ["list"] => SCENARIOS.iter().try_for_each(|scenario| writeln!(out, "{}", scenario.name)).map(|()| true),
        ["run", rest @ ..] => play(&mut out, rest),
        ["replay", name, seed] => show(&mut out, name, seed),
        _ => writeln!(out, "{USAGE}").map(|()| false),
    };
    if done.unwrap_or(false) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn number(words: &[&str], option: &str, default: u64) -> u64 {
    let at = words.iter().position(|word| *word == option);
    at.and_then(|at| words.get(at + 1)).and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn play(out: &mut impl Write, words: &[&str]) -> std::io::Result<bool> {
    let (seeds, from) = (number(words, "--seeds", 10), number(words, "--from", 1));
    let named = words.first().filter(|word| !word.starts_with("--"));
    let chosen: Vec<&Scenario> =
        SCENARIOS.iter().filter(|scenario| named.is_none_or(|name| *name == scenario.name)).collect();
    let mut well = !chosen.is_empty();
    for scenario in chosen {
        let (mut slowest, mut frames, mut excused, mut promises) = (0.0_f64, 0, 0, 0);
        let mut failed = 0;
        for seed in from..from + seeds {
            match run(scenario, seed) {
                Ok(report) => {
                    slowest = slowest.max(report.settled.as_secs_f64());
                    frames += report.frames;
                    excused += report.excused;
                    promises += report.promises;
                }
                Err(failure) => {
                    failed += 1;
                    writeln!(out, "{failure}")?;
                }
            }
        }
        well &= failed == 0;
        let name = scenario.name;
        writeln!(
            out,
            "{name:<12} {seeds} seeds, {failed} failed; settled in at most {slowest:.0} s; {promises} messages acknowledged, {excused} excused; {frames} frames"
        )?;
    }
    Ok(well)
}

fn show(out: &mut impl Write, name: &str, seed: &str) -> std::io::Result<bool> {
    let (Some(scenario), Ok(seed)) = (scenario::find(name), seed.parse()) else {
        return writeln!(out, "{USAGE}").map(|()| false);
    };
    let (result, trace) = replay(scenario, seed);
    for line in trace {
        writeln!(out, "{line}")?;
    }
    match result {
        Ok(report) => writeln!(out, "{report:?}").map(|()| true),
        Err(failure) => writeln!(out, "{failure}").map(|()| false),
    }
}
