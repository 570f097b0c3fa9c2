//! `fedp2p digest`.

use clap::Args;
use fedp2p_protocols::api::digest;

use crate::context::Context;
use crate::error::Error;
use crate::ui::escape;

/// Read what you must know now, in few words
#[derive(Debug, Args)]
#[command(after_help = "\
The newest summary, urgent and other unread messages, decisions to take, what became of your tasks, questions and claims,
what there is to do, and what the others are about. Nothing is marked as read. A token is taken to have four bytes; the
text is never longer than you allow, and says what it leaves out.

Examples:
  fedp2p digest
  fedp2p digest --tokens 400 --agent coder --json")]
pub(crate) struct Arguments {
    /// How long the text may be
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(50..=32_000))]
    tokens: u32,
}

/// Prints the digest.
pub(crate) async fn run(arguments: &Arguments, context: &Context) -> Result<(), Error> {
    let reply = context.ask(digest::Request { tokens: arguments.tokens }).await?;
    context.show::<digest::Request>(&reply, |_| {
        reply.text.lines().map(|line| format!("{}\n", escape::line(line))).collect()
    })?;
    if reply.text.is_empty() {
        context.out.note("there is nothing to know");
    }
    Ok(())
}
