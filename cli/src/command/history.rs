//! `fedp2p history`.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use fedp2p_protocols::api::history;
use fedp2p_protocols::payload::MessageType;

use crate::context::Context;
use crate::error::Error;
use crate::ui::show;
use crate::ui::time::{Clock, parse_moment};

/// Look back at messages and how far they have come
#[derive(Debug, Args)]
#[command(after_help = "\
Filters narrow together. Times are a duration ago (2h), a date, or a date and time.
States of a message: queued (durable here), stored (durable there), held (the recipient's attention is elsewhere),
surfaced (handed over), acknowledged, expired (before it was handed over).

Examples:
  fedp2p history
  fedp2p history 4f6h2k3a
  fedp2p history --thread 4f6h2k3a
  fedp2p history --from baby --type result --since 2h
  fedp2p history --correlation auth-review --limit 20 --json")]
pub(crate) struct Arguments {
    /// Only this message: its id or a start of it that is unique
    id: Option<String>,

    /// Only the thread of this message: what it answers, what answers it, and so on
    #[arg(long, value_name = "ID", conflicts_with_all = ["id", "from", "to", "kind", "conversation", "correlation", "since", "until", "before"])]
    thread: Option<String>,

    /// Only from this author
    #[arg(long, value_name = "AGENT")]
    from: Option<String>,

    /// Only to this recipient
    #[arg(long, value_name = "AGENT")]
    to: Option<String>,

    /// Only of this type
    #[arg(long = "type", value_name = "TYPE", value_parser = message_type())]
    kind: Option<MessageType>,

    /// Only of this conversation
    #[arg(long, value_name = "NAME")]
    conversation: Option<String>,

    /// Only with this correlation id
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,

    /// Only written at this time or later
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    since: Option<u64>,

    /// Only written before this time
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    until: Option<u64>,

    /// At most this many, the newest
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,

    /// Only before this position, to page back
    #[arg(long, value_name = "POSITION")]
    before: Option<u64>,
}

/// Returns what reads the type of a message and lists the types in the help.
pub(crate) fn message_type() -> impl TypedValueParser<Value = MessageType> {
    PossibleValuesParser::new(MessageType::ALL.map(MessageType::as_str)).map(|text| {
        let found = MessageType::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.expect("the parser lets only names of types pass")
    })
}

/// Shows messages, newest last.
pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    let request = history::Request {
        id: arguments.id,
        thread: arguments.thread,
        from: arguments.from,
        to: arguments.to,
        kind: arguments.kind,
        conversation: arguments.conversation,
        correlation: arguments.correlation,
        since: arguments.since,
        until: arguments.until,
        before: arguments.before,
        limit: arguments.limit,
    };
    let reply = context.ask(request).await?;
    context.show::<history::Request>(&reply, |out| {
        let clock = Clock::local();
        reply.messages.iter().map(|message| show::message(message, &clock, out)).collect()
    })?;
    if reply.messages.is_empty() {
        context.out.note("no such messages");
    }
    if let Some(before) = reply.before {
        context.out.note(&format!("\nearlier ones: the same with --before {before}"));
    }
    Ok(())
}
