//! `fedp2p pin`.

use std::io;

use clap::Args;
use fedp2p_protocols::api::pin_set;

use crate::context::Context;
use crate::error::Error;
use crate::ui::secret;

/// Set the PIN with which people answer approvals on this node
#[derive(Debug, Args)]
#[command(after_help = "\
Set it before you let agents work on this machine: the first one needs no proof. Once it is set, nobody new can speak as
a person of this node. It keeps out programs that can call the daemon, not those that can read the home folder or what
you type: run such agents as another user.

Examples:
  fedp2p pin
  fedp2p pin --change")]
pub(crate) struct Arguments {
    /// Put another in the place of the one that is set
    #[arg(long)]
    change: bool,

    /// Read the PIN from stdin instead of the terminal; with --change, the old one first, a line each
    #[arg(long)]
    pin_stdin: bool,
}

/// Asks for the PIN and sets it.
pub(crate) async fn run(arguments: &Arguments, context: &Context) -> Result<(), Error> {
    let request = if arguments.pin_stdin {
        let mut input = io::stdin().lock();
        let old = arguments.change.then(|| secret::next(&mut input)).transpose()?;
        pin_set::Request { old, pin: secret::next(&mut input)? }
    } else {
        let old = arguments.change.then(|| secret::ask("PIN that is set: ")).transpose()?;
        let pin = secret::ask("New PIN: ")?;
        if secret::ask("Once more: ")? != pin {
            return Err(Error::usage("the two PINs differ", "try again; nothing was changed"));
        }
        pin_set::Request { old, pin }
    };
    let reply = context.ask(request).await?;
    context.show::<pin_set::Request>(&reply, |_| {
        if reply.replaced { "the PIN is another one now\n" } else { "the PIN is set\n" }.to_owned()
    })
}
