//! `fedp2p join`.

use std::io::{self, Read};
use std::time::Duration;

use clap::Args;
use fedp2p_node::client::ConnectError;
use fedp2p_protocols::api::join;
use fedp2p_protocols::limits::MAX_TICKET_BYTES;
use fedp2p_protocols::name::NodeName;

use super::up;
use crate::context::Context;
use crate::error::Error;
use crate::ui::Output;

/// How long joining may take: the other node may be far away.
const PATIENCE: Duration = Duration::from_secs(120);

/// Join an organisation with a ticket
#[derive(Debug, Args)]
#[command(after_help = "\
If no daemon is running, one is started in the background, as by \"fedp2p up --detach --join TICKET\".
A node that shares an organisation with others already is told so and changes nothing.

Examples:
  fedp2p join fedp2p1abcdefgh
  fedp2p join fedp2p1abcdefgh --name taichi
  fedp2p join - < ticket.txt")]
pub(crate) struct Arguments {
    /// The ticket that \"fedp2p invite\" printed, or - to read it from stdin
    ticket: String,

    /// Take this name in the organisation
    #[arg(long)]
    name: Option<NodeName>,
}

/// Joins with the daemon that runs, or with one that is started for it.
pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    let ticket = ticket(arguments.ticket)?;
    let mut client = match context.connect().await {
        Ok(client) => client,
        Err(ConnectError::NoDaemon) => {
            context.out.note("no daemon is running: starting one in the background");
            let start = up::Start { join: Some(ticket), name: arguments.name, ..up::Start::default() };
            let status = up::detach(&start, context).await?;
            let reply = join::Reply { node: status.node };
            return context.show::<join::Request>(&reply, |out| words(&reply, out));
        }
        Err(error) => return Err(error.into()),
    };
    client.set_patience(PATIENCE);
    let request = join::Request { ticket, name: arguments.name };
    let reply = client.call(request).await?;
    context.show::<join::Request>(&reply, |out| words(&reply, out))
}

fn words(reply: &join::Reply, out: &Output) -> String {
    let name = out.paint().strong(reply.node.name.as_str());
    format!("{name} is now a member of {}\n", reply.node.organisation_name)
}

/// Returns the ticket that `argument` is, or that stdin holds if it is `-`.
pub(crate) fn ticket(argument: String) -> Result<String, Error> {
    let text = if argument == "-" { read(io::stdin().lock())? } else { argument };
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::usage("the ticket is empty", "make one on a member's machine with \"fedp2p invite\""));
    }
    Ok(text.to_owned())
}

fn read(from: impl Read) -> Result<String, Error> {
    let mut text = String::new();
    // A ticket that is too long is refused later; a stream that never ends is not read to its end.
    let most = MAX_TICKET_BYTES as u64 * 2;
    from.take(most).read_to_string(&mut text).map_err(Error::system("read the ticket from stdin"))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_loses_the_space_around_it_and_cannot_be_empty() {
        assert_eq!(ticket(" abc\n".to_owned()).unwrap(), "abc");
        assert!(ticket(" \n".to_owned()).is_err());
    }

    #[test]
    fn a_stream_without_end_is_not_read_to_its_end() {
        assert_eq!(read(io::repeat(b'x')).unwrap().len(), MAX_TICKET_BYTES * 2);
    }
}
