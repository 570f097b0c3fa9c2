//! `fedp2p pulse`.

use std::time::Duration;

use clap::Args;
use fedp2p_node::client::ConnectError;
use fedp2p_protocols::api::watch::{self, Topic};
use fedp2p_protocols::api::{Operation, pulse};
use tokio::time::timeout;

use crate::context::Context;
use crate::error::Error;
use crate::page::{self, Page};
use crate::ui::show;

/// How often the ages are drawn anew while nothing happens.
const REDRAW: Duration = Duration::from_secs(5);
/// Clears the screen and starts at its top.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// Show what every agent is doing, thinking and offering
#[derive(Debug, Args)]
#[command(after_help = "\
What agents say is theirs to say; presence is what this node can tell of theirs.

Examples:
  fedp2p pulse
  fedp2p pulse --watch
  fedp2p pulse --json")]
pub(crate) struct Arguments {
    /// Stay and show every change
    #[arg(long, conflicts_with_all = ["limit", "after"])]
    watch: bool,
    #[command(flatten)]
    page: Page,
}

/// Shows the Common Operating Picture.
pub(crate) async fn run(arguments: &Arguments, context: &Context) -> Result<(), Error> {
    if arguments.watch {
        return follow(context).await;
    }
    let Page { limit, after } = arguments.page.clone();
    let begins = after.is_none();
    let reply = context.ask(pulse::Request { limit, after }).await?;
    if reply.agents.is_empty() && begins {
        let program = &context.program;
        context.out.note(&format!("nobody has said anything yet: \"{program} state --summary ...\" does"));
        if !context.out.json() {
            return Ok(());
        }
    }
    context.show::<pulse::Request>(&reply, |out| show::pulses(&reply.agents, out))?;
    page::note(context, reply.more, reply.next.as_deref());
    Ok(())
}

/// Shows the picture, then every change: on a terminal by drawing it anew, elsewhere as one table after another or,
/// as JSON, a line for each event.
async fn follow(context: &Context) -> Result<(), Error> {
    let topics = vec![Topic::Pulse, Topic::Peers];
    let mut events = context.connect().await?.watch(watch::Request { topics, ..Default::default() }).await?;
    let mut client = context.connect().await?;
    loop {
        let reply = client.call(pulse::Request::default()).await?;
        if context.out.json() {
            context.show::<pulse::Request>(&reply, |_| String::new())?;
            while let Some(event) = events.next().await? {
                context.out.envelope(watch::Request::NAME, &event, None)?;
            }
            return Err(ConnectError::NoDaemon.into());
        }
        let table = show::pulses(&reply.agents, &context.out);
        if context.out.is_terminal() {
            context.out.print(&format!("{CLEAR}{table}"))?;
        } else {
            context.out.print(&format!("{table}\n"))?;
        }
        loop {
            match timeout(REDRAW, events.next()).await {
                Ok(Ok(Some(_))) => break,
                Ok(Ok(None)) => return Err(ConnectError::NoDaemon.into()),
                Ok(Err(error)) => return Err(error.into()),
                Err(_) if context.out.is_terminal() => break,
                Err(_) => {}
            }
        }
    }
}
