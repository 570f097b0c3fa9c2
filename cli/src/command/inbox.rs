//! `fedp2p inbox`.

use clap::Args;
use fedp2p_node::client::{Client, ConnectError};
use fedp2p_protocols::api::message::Message;
use fedp2p_protocols::api::watch::{self, Event, Topic};
use fedp2p_protocols::api::{Operation, inbox, surfaced};

use crate::context::Context;
use crate::error::Error;
use crate::ui::show;
use crate::ui::time::Clock;

/// Read what waits for you
#[derive(Debug, Args)]
#[command(after_help = "\
A message counts as surfaced once it has really been printed: if the output breaks, it waits on.

Examples:
  fedp2p inbox
  fedp2p inbox --watch
  fedp2p inbox --held
  fedp2p inbox --peek --limit 5
  fedp2p inbox --agent coder --json")]
pub(crate) struct Arguments {
    /// Stay and print what comes
    #[arg(long, conflicts_with = "peek")]
    watch: bool,

    /// Look without taking: everything stays unread
    #[arg(long)]
    peek: bool,

    /// Also what is held while your attention is elsewhere
    #[arg(long, conflicts_with = "watch")]
    held: bool,

    /// At most this many at once, the oldest
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

/// Prints what waits and says so to the daemon, in this order.
pub(crate) async fn run(arguments: &Arguments, context: &Context) -> Result<(), Error> {
    let result = if arguments.watch { follow(arguments, context).await } else { once(arguments, context).await };
    if matches!(result, Err(Error::OutputClosed)) && !arguments.peek {
        context.out.note("the output was closed: what was not printed stays unread");
    }
    result
}

async fn once(arguments: &Arguments, context: &Context) -> Result<(), Error> {
    let mut client = context.connect().await?;
    let reply = client.call(inbox::Request { limit: arguments.limit, held: arguments.held }).await?;
    context.show::<inbox::Request>(&reply, |_| words(&reply.messages, context))?;
    if reply.messages.is_empty() {
        context.out.note("nothing waits");
    } else if !arguments.peek {
        client.call(surfaced::Request { cursor: reply.cursor, held: reply.with_held }).await?;
    }
    if reply.held > 0 {
        context.out.note(&format!("{} are held: \"{} inbox --held\" shows them", reply.held, context.program));
    }
    if reply.more > 0 {
        context.out.note(&format!("\n{} more wait: \"{} inbox\" again", reply.more, context.program));
    }
    Ok(())
}

/// Prints what waits, and again whenever something has come. The events only wake us; what is printed is read from
/// the inbox, so that the cursor always stands behind exactly what was printed.
async fn follow(arguments: &Arguments, context: &Context) -> Result<(), Error> {
    let topics = vec![Topic::Inbox];
    let mut events = context.connect().await?.watch(watch::Request { topics, ..Default::default() }).await?;
    let mut client = context.connect().await?;
    loop {
        while drain(&mut client, arguments.limit, context).await? > 0 {}
        if events.next().await?.is_none() {
            // The daemon has stopped; whoever restarts us should know why.
            return Err(ConnectError::NoDaemon.into());
        }
    }
}

/// Prints one page of what waits, marks it, and returns how many more wait.
async fn drain(client: &mut Client, limit: u32, context: &Context) -> Result<u64, Error> {
    let reply = client.call(inbox::Request { limit, held: false }).await?;
    if reply.messages.is_empty() {
        return Ok(0);
    }
    if context.out.json() {
        for message in &reply.messages {
            let event = Event::Message(message.clone());
            context.out.envelope(watch::Request::NAME, &event, None)?;
        }
    } else {
        context.out.print(&words(&reply.messages, context))?;
    }
    client.call(surfaced::Request { cursor: reply.cursor, held: reply.with_held }).await?;
    Ok(reply.more)
}

fn words(messages: &[Message], context: &Context) -> String {
    let clock = Clock::local();
    messages.iter().map(|message| show::message(message, &clock, &context.out)).collect()
}
