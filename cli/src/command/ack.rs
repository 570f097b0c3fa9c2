//! `fedp2p ack`.

use clap::Args;
use fedp2p_protocols::api::ack;

use crate::context::Context;
use crate::error::Error;

/// Acknowledge messages, so that their senders see it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fedp2p ack 4f6h2k3a
  fedp2p ack 4f6h2k3a 7xq2m5ab --agent coder")]
pub(crate) struct Arguments {
    /// Ids of messages, or starts of them that are unique
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

/// Acknowledges messages.
pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    let reply = context.ask(ack::Request { ids: arguments.ids }).await?;
    context.show::<ack::Request>(&reply, |_| {
        reply.acknowledged.iter().map(|id| format!("acknowledged {}\n", id.short())).collect()
    })
}
