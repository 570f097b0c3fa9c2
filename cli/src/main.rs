#![cfg_attr(test, allow(clippy::unwrap_used))]
//! `fedp2p`, the command line: it decodes what was typed, asks the daemon and shows the answer.
//!
//! | module | holds |
//! |---|---|
//! | [`args`] | the flags and commands |
//! | [`command`] | one file for each command |
//! | [`context`] | whose daemon, who speaks, where the answer goes |
//! | [`setup`] | how each coding tool is set up, and how its hooks speak |
//! | [`concerns`] | what concerns an agent now |
//! | [`doctor`] | what is looked at to see whether everything works |
//! | [`identity`] | what an agent is called that was not given a name |
//! | [`mcp`] | the server that AI tools talk to |
//! | [`repository`], [`hooks`] | the git repository that one is in, and the guard's hooks there |
//! | [`page`] | which part of a long list is shown |
//! | [`shell`] | words as a shell takes them |
//! | [`ui`] | everything that prints |
//! | [`error`] | what can go wrong, hints and exit codes |
//! | [`bug`] | what is said when a bug shows itself |
//! | [`agent`] | agents that are programs or models |
//! | [`demo`] | three daemons that play the whitepaper |

mod agent;
mod args;
mod bug;
mod command;
mod concerns;
mod context;
mod demo;
mod doctor;
mod error;
mod hooks;
mod identity;
mod mcp;
mod page;
mod repository;
mod setup;
mod shell;
mod speakers;
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
        Err(error) if command::hook::is_asked(&error) => return command::hook::misused(&error),
        Err(error) => return command::usage(&error),
    };
    command::run(cli)
}
