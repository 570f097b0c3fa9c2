//! `fedp2p demo`.

use clap::Args;

use crate::context::light_runtime;
use crate::demo;
use crate::error::Error;
use crate::ui::Output;

/// Watch three nodes at work on this machine
#[derive(Debug, Args)]
#[command(after_help = "\
Three real daemons in temporary homes join by tickets, find each other, exchange messages and pulses, vote, and
survive a stop and a kill. Nothing of yours is touched. Takes a few seconds.

Examples:
  fedp2p demo
  fedp2p demo --keep
  fedp2p demo --json")]
pub(crate) struct Arguments {
    /// Leave the three nodes running and say how to talk to them
    #[arg(long)]
    keep: bool,
}

/// Plays the whitepaper.
pub(crate) fn run(arguments: &Arguments, out: &Output) -> Result<(), Error> {
    light_runtime()?.block_on(demo::run(arguments.keep, out))
}
