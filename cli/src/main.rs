#![cfg_attr(test, allow(clippy::unwrap_used))]
//! `fedp2p`, the command line: it decodes what was typed, asks the daemon and shows the answer.
//!
//! | module | holds |
//! |---|---|
//! | [`args`] | the flags and commands |
//! | [`command`] | one file for each command |
//! | [`context`] | whose daemon, who speaks, where the answer goes |
//! | [`identity`] | what an agent is called that was not given a name |
//! | [`repository`], [`hooks`] | the git repository that one is in, and the guard's hooks there |
//! | [`ui`] | everything that prints |
//! | [`error`] | what can go wrong, hints and exit codes |
//! | [`bug`] | what is said when a bug shows itself |
//! | [`agent`] | agents that are programs or models |
//! | [`demo`] | three daemons that play the whitepaper |

mod agent;
mod args;
mod bug;
mod command;
mod context;
mod demo;
mod error;
mod hooks;
#[cfg_attr(not(test), expect(dead_code, reason = "the doors that tools use call it"))]
mod identity;
mod repository;
mod ui;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use args::Cli;
use error::Exit;

fn main() -> ExitCode {
    bug::install_hook();
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(exit)) => ExitCode::from(exit as u8),
        Err(_) => {
            bug::report();
            ExitCode::from(Exit::Bug as u8)
        }
    }
}

fn run() -> Result<(), Exit> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return command::usage(&error),
    };
    command::run(cli)
}
