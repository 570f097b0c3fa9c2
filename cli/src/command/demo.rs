//! `fedp2p demo`.

use clap::Args;

use crate::context::Context;
use crate::error::Error;

/// Watch three nodes at work on this machine
#[derive(Debug, Args)]
#[command(after_help = "\
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
pub(crate) fn run(_arguments: &Arguments, _context: &Context) -> Result<(), Error> {
    Ok(())
}
