//! What the command line takes, and how each command is done. Exit codes: 0 everything held, 1 something did not, 2 it
//! was asked for something that there is not.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use fedp2p_testnet::fanout::Fanout;
use fedp2p_testnet::plot::Plot;
use fedp2p_testnet::{Failure, Plan, Scenario, replay, scenario, shrink};

use crate::table::{Job, Table};

#[derive(Parser)]
#[command(name = "fedp2p-testnet", version, about = "Play what can go wrong, from a seed")]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// List the scenarios
    List,
    /// Play scenarios with many seeds and check that everything holds
    Run(Run),
    /// Play one seed of a scenario, or a plan from a file, and show what happens
    Replay(Replay),
    Fanout(Fanout),
    Plot(Plot),
    /// Plant known bugs into a copy of the crates and see that each is found
    Planted(Planted),
}

#[derive(Args)]
struct Run {
    /// Scenarios by name, or files; without any, all that are not large
    scenarios: Vec<String>,
    /// How many seeds of each
    #[arg(long, default_value_t = 10)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many are played at once; all cores by default
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Stop at the first failure
    #[arg(long)]
    until_failure: bool,
    /// Do not cut the plan of the first failure down
    #[arg(long)]
    no_shrink: bool,
    /// Where the plan of the first failure is written
    #[arg(long, value_name = "FILE", default_value = "shrunk-plan.json")]
    plan: PathBuf,
}

#[derive(Args)]
struct Planted {
    /// Only this one
    name: Option<String>,
    /// How many seeds of each scenario are played at most
    #[arg(long, default_value_t = 50)]
    seeds: u64,
}

#[derive(Args)]
struct Replay {
    /// A scenario by name, a scenario file, or the file of a plan
    what: String,
    /// The seed; a plan from a file has its own
    seed: Option<u64>,
}

/// Reads the arguments, does what they say, and tells how it went.
pub(crate) fn main() -> ExitCode {
    let command = Command::parse();
    let done = match command.what {
        What::List => list(),
        What::Run(run) => play(&run),
        What::Replay(asked) => show(&asked),
        What::Planted(asked) => crate::planted::plant(asked.name.as_deref(), asked.seeds)
            .and_then(|(found, table)| print(&table).map(|()| found)),
        What::Fanout(fanout) => fanout.run(&mut std::io::stdout().lock()).map(|()| true).map_err(|error| chain(&error)),
        What::Plot(plot) => plot.run(&mut std::io::stdout().lock()).map(|()| true).map_err(|error| chain(&error)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(problem) => {
            say(&format!("error: {problem}"));
            ExitCode::from(2)
        }
    }
}

/// Says something to whoever watches, apart from what is printed.
pub(crate) fn say(text: &str) {
    // Nobody is left to tell if this fails.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Prints a line; a reader that has gone away ends the program without noise.
fn print(text: &str) -> Result<(), String> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(|error| error.to_string())
}

fn list() -> Result<bool, String> {
    for scenario in scenario::all() {
        let large = if scenario.large { " (large: played when named)" } else { "" };
        print(&format!("{:<20} {}{large}", scenario.name, scenario.about))?;
    }
    Ok(true)
}

/// A scenario by its name or its file.
fn find(text: &str) -> Result<Scenario, String> {
    if let Some(found) = scenario::find(text) {
        return Ok(found);
    }
    let path = Path::new(text);
    if path.extension().is_some() || path.exists() {
        return Scenario::read(path).map_err(|error| chain(&error));
    }
    let names: Vec<String> = scenario::all().into_iter().map(|scenario| scenario.name).collect();
    let near = |name: &&String| strsim::jaro_winkler(text, name);
    let best = names.iter().max_by(|a, b| near(a).total_cmp(&near(b)));
    let hint = best.filter(|name| near(name) > 0.7).map(|name| format!("; did you mean {name}?"));
    Err(format!("no scenario is called {text:?}{}", hint.unwrap_or_default()))
}

/// An error and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        if !text.contains(&cause.to_string()) {
            text = format!("{text}: {cause}");
        }
        source = cause.source();
    }
    text.trim_end().to_owned()
}

fn play(run: &Run) -> Result<bool, String> {
    let scenarios = if run.scenarios.is_empty() {
        scenario::all().into_iter().filter(|scenario| !scenario.large).collect()
    } else {
        run.scenarios.iter().map(|text| find(text)).collect::<Result<Vec<_>, _>>()?
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let jobs = run.jobs.map_or(cores, NonZeroUsize::get);
    let started = Instant::now();
    let table = Table::play(&Job {
        scenarios,
        from: run.from,
        seeds: run.seeds,
        threads: jobs,
        until_failure: run.until_failure,
    });
    let took = started.elapsed();
    print(&if run.json { table.json(took) } else { table.text(took) })?;
    let Some(failure) = table.first_failure() else { return Ok(true) };
    for failure in table.failures() {
        say(&failure.to_string());
    }
    let scenario = table.scenario(failure).ok_or("the scenario of a failure was played")?;
    tell_failure(scenario, failure, run)?;
    Ok(false)
}

/// Says how to see a failure again, and with how little.
fn tell_failure(scenario: &Scenario, failure: &Failure, run: &Run) -> Result<(), String> {
    say(&format!("see it with: fedp2p-testnet replay {} {}", failure.scenario, failure.seed));
    if run.no_shrink || scenario.large {
        return Ok(());
    }
    let plan = Plan::new(scenario, failure.seed);
    let most = 400;
    say(&format!("cutting its plan of {} steps down (at most {most} runs)", plan.steps()));
    let shrunk = shrink::shrink(&plan, failure, most);
    shrunk.plan.write(&run.plan).map_err(|error| format!("{}: {error}", run.plan.display()))?;
    say(&format!("{} steps are enough, after {} runs: {}", shrunk.plan.steps(), shrunk.played, shrunk.failure));
    say(&format!("see it with: fedp2p-testnet replay {}", run.plan.display()));
    Ok(())
}

fn show(asked: &Replay) -> Result<bool, String> {
    let plan = match asked.seed {
        Some(seed) => Plan::new(&find(&asked.what)?, seed),
        None => {
            let path = Path::new(&asked.what);
            if !path.exists() {
                find(&asked.what)?;
                return Err(format!("which seed of {}? fedp2p-testnet replay {} SEED", asked.what, asked.what));
            }
            Plan::read(path).map_err(|error| chain(&error))?
        }
    };
    let (result, trace) = replay(&plan);
    for line in &trace {
        print(line)?;
    }
    match result {
        Ok(report) => {
            print(&format!(
                "everything held: {} events, {} frames, {} messages acknowledged, all agreed {:.0} s after it was healed",
                report.events,
                report.frames,
                report.promises,
                report.settled.as_secs_f64()
            ))?;
            Ok(true)
        }
        Err(failure) => {
            print(&failure.to_string())?;
            Ok(false)
        }
    }
}
