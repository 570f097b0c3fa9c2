//! `fedp2p invite`.

use std::time::Duration;

use clap::Args;
use fedp2p_protocols::api::invite;

use crate::context::Context;
use crate::error::Error;
use crate::ui::time::{Clock, parse_duration};

/// Print a one-time ticket for one more machine
#[derive(Debug, Args)]
#[command(after_help = "\
A ticket is as secret as a password, works once, and expires.

Examples:
  fedp2p invite
  fedp2p invite --valid 2d
  fedp2p invite | ssh aorus 'fedp2p up --detach --join -'")]
pub(crate) struct Arguments {
    /// How long the ticket can be used: 1m to 30d
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    valid: Duration,
}

/// Prints a ticket, and only the ticket, on stdout.
pub(crate) async fn run(arguments: &Arguments, context: &Context) -> Result<(), Error> {
    let request = invite::Request { valid_s: arguments.valid.as_secs() };
    let reply = context.ask(request).await?;
    context.show::<invite::Request>(&reply, |_| format!("{}\n", reply.ticket))?;
    let expires = Clock::local().moment(reply.expires);
    context.out.note(&format!(
        "\nOn the other machine, once and before {expires}:\n  fedp2p up --join TICKET      if fedp2p is not running there\n  \
         fedp2p join TICKET           if it is"
    ));
    Ok(())
}
