//! `fedp2p send`.

use std::io::{self, Read};
use std::time::Duration;

use clap::{Args, ValueEnum};
use fedp2p_node::client::Client;
use fedp2p_protocols::api::message::{Delivery, DeliveryState};
use fedp2p_protocols::api::{history, send};
use fedp2p_protocols::id::OpId;
use fedp2p_protocols::limits::MAX_TEXT_BYTES;
use fedp2p_protocols::payload::MessageType;
use tokio::time::{Instant, sleep};

use super::history::message_type;
use crate::context::Context;
use crate::error::Error;
use crate::ui::show;
use crate::ui::time::{measured, parse_duration};

/// How long to wait between two looks at the deliveries, at first and at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(200));

/// Send a message to agents, or to everybody
#[derive(Debug, Args)]
#[command(override_usage = "fedp2p send [OPTIONS] <TO>... <TEXT>\n       fedp2p send [OPTIONS] --all <TEXT>")]
#[command(after_help = "\
The message is durable here when this returns, and waits for nodes that are down.

Examples:
  fedp2p send baby \"Please review auth-module.py for security issues\" --type task
  fedp2p send coder@taichi tester@aorus \"The build is green\"
  fedp2p send --all \"Lunch?\"
  git diff | fedp2p send baby - --type task --correlation auth-review
  fedp2p send taichi \"Two findings\" --type result --reply-to 4f6h2k3a --data '{\"findings\": 2}'
  fedp2p send --all \"half done\" --type status --expires 10m
  fedp2p send --all \"We chose OAuth2\" --type summary --covers 4f6h2k3a..7abc2345 --correlation auth
  fedp2p send baby \"Are you there?\" --wait surfaced --timeout 10s")]
pub(crate) struct Arguments {
    /// The recipients (agent@node, or a name that means one agent only) and last the text, or - to read it from stdin
    #[arg(required = true, value_name = "WORDS")]
    words: Vec<String>,

    /// Send to everybody instead of naming recipients
    #[arg(long)]
    all: bool,

    /// What the message is for
    #[arg(long = "type", value_name = "TYPE", default_value = "chat", value_parser = message_type())]
    kind: MessageType,

    /// Structured data to go with the text
    #[arg(long, value_name = "JSON", value_parser = json)]
    data: Option<serde_json::Value>,

    /// The message that this one answers: its id or a start of it that is unique
    #[arg(long, value_name = "ID")]
    reply_to: Option<String>,

    /// Tie together the messages of one piece of work
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,

    /// Break through to recipients who let you, whatever they are doing
    #[arg(long)]
    urgent: bool,

    /// Let a status expire after this time (30s, 10m, 2h)
    #[arg(long, value_name = "TIME", value_parser = super::vote::seconds)]
    expires: Option<u32>,

    /// What a summary covers: ids of messages, or ranges ID..ID of them, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    covers: Vec<String>,

    /// Wait until every recipient is as far as this
    #[arg(long, value_name = "STATE")]
    wait: Option<Goal>,

    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "30s", requires = "wait", value_parser = parse_duration)]
    timeout: Duration,
}

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Goal {
    /// Durable at the recipient's node
    Stored,
    /// Handed to the recipient
    Surfaced,
    /// Acknowledged by the recipient
    Acknowledged,
}

impl Goal {
    fn state(self) -> DeliveryState {
        match self {
            Self::Stored => DeliveryState::Stored,
            Self::Surfaced => DeliveryState::Surfaced,
            Self::Acknowledged => DeliveryState::Acknowledged,
        }
    }
}

fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not valid JSON: {error}"))
}

/// Sends, and waits if that was asked for.
pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    let wait = arguments.wait.map(|goal| (goal.state(), arguments.timeout));
    let request = request(arguments, io::stdin())?;
    let mut client = context.connect().await?;
    let mut reply = client.call(request).await?;
    let Some((goal, limit)) = wait else {
        return context.show::<send::Request>(&reply, |_| words(&reply, None));
    };
    let started = Instant::now();
    let reached = await_deliveries(&mut client, reply.id, goal, limit, &mut reply.deliveries).await?;
    if reached {
        return context.show::<send::Request>(&reply, |_| words(&reply, Some(started.elapsed())));
    }
    let failure = Error::NotYet {
        message: format!("sent, but not {} everywhere within {}", show::delivery(goal), measured(limit)),
        hint: format!("it is on its way: see how far with \"{} history {}\"", context.program, reply.id.short()),
    };
    Err(context.show_with::<send::Request>(&reply, |_| words(&reply, None), failure))
}

/// Builds the message out of the words, of which the last is the text and the others are the recipients.
fn request(arguments: Arguments, stdin: impl Read) -> Result<send::Request, Error> {
    let mut to = arguments.words;
    let text = to.pop().unwrap_or_default();
    match (to.is_empty(), arguments.all) {
        (true, false) => {
            let hint = "name the recipients before the text, or give --all for everybody";
            return Err(Error::usage("there is a text but nobody to send it to", hint));
        }
        (false, true) => {
            let hint = "give either --all or recipients, and put the text in quotes";
            return Err(Error::usage("--all goes to everybody, and there are recipients too", hint));
        }
        (true, true) | (false, false) => {}
    }
    let text = if text == "-" { read_text(stdin)? } else { text };
    if text.trim().is_empty() && arguments.data.is_none() {
        return Err(Error::usage("the message says nothing", "give a text, or --data, or both"));
    }
    Ok(send::Request {
        to,
        kind: arguments.kind,
        text,
        data: arguments.data,
        reply_to: arguments.reply_to,
        correlation: arguments.correlation,
        urgent: arguments.urgent,
        expires_s: arguments.expires,
        covers: arguments.covers,
    })
}

/// Reads a text from stdin, without its last line end.
///
/// # Errors
/// If it is too long or no text.
pub(crate) fn read_text(stdin: impl Read) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let most = MAX_TEXT_BYTES as u64 + 2;
    stdin.take(most).read_to_end(&mut bytes).map_err(Error::system("read the text from stdin"))?;
    let hint = "send it in parts, or send where to find it";
    let too_long = || Error::usage(format!("the text on stdin has more than {MAX_TEXT_BYTES} bytes"), hint);
    if bytes.len() as u64 == most {
        return Err(too_long());
    }
    let mut text = String::from_utf8(bytes).map_err(|_| Error::usage("the text on stdin is not UTF-8", hint))?;
    if text.ends_with('\n') {
        text.pop();
    }
    if text.len() > MAX_TEXT_BYTES {
        return Err(too_long());
    }
    Ok(text)
}

/// Looks at the deliveries of a message until all have come as far as `goal`. Returns whether they have.
async fn await_deliveries(
    client: &mut Client,
    id: OpId,
    goal: DeliveryState,
    limit: Duration,
    deliveries: &mut Vec<Delivery>,
) -> Result<bool, Error> {
    let deadline = Instant::now() + limit;
    let mut pause = LOOK.0;
    while deliveries.iter().any(|delivery| delivery.state < goal) {
        let now = Instant::now();
        if now >= deadline {
            return Ok(false);
        }
        sleep(pause.min(deadline - now)).await;
        pause = (pause * 3 / 2).min(LOOK.1);
        let request = history::Request { id: Some(id.to_string()), limit: 1, ..history::Request::default() };
        if let Some(message) = client.call(request).await?.messages.pop() {
            *deliveries = message.deliveries;
        }
    }
    Ok(true)
}

fn words(reply: &send::Reply, waited: Option<Duration>) -> String {
    let waited = waited.map(|waited| format!(" after {}", measured(waited))).unwrap_or_default();
    let states: Vec<String> =
        reply.deliveries.iter().map(|d| format!("{} {}", d.to, show::delivery(d.state))).collect();
    let states = if states.is_empty() { "to everybody".to_owned() } else { states.join(", ") };
    format!("sent {}: {states}{waited}\n", reply.id.short())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(words: &[&str], stdin: &[u8]) -> Result<send::Request, Error> {
        let line = Line::try_parse_from(std::iter::once(&"send").chain(words));
        request(line.map_err(|error| Error::usage(error.to_string(), ""))?.arguments, stdin)
    }

    #[test]
    fn the_last_word_is_the_text() {
        let request = parse(&["baby", "coder@taichi", "Please review", "--type", "task"], b"").unwrap();
        assert_eq!(request.to, ["baby", "coder@taichi"]);
        assert_eq!((request.text.as_str(), request.kind), ("Please review", MessageType::Task));
    }

    #[test]
    fn everybody_has_to_be_meant() {
        assert!(parse(&["Hello"], b"").is_err());
        assert!(parse(&["--all", "baby", "Hello"], b"").is_err());
        assert_eq!(parse(&["--all", "Hello"], b"").unwrap().to, Vec::<String>::new());
    }

    #[test]
    fn a_dash_reads_the_text_from_stdin_without_its_last_line_end() {
        assert_eq!(parse(&["baby", "-"], b"one\ntwo\n").unwrap().text, "one\ntwo");
    }

    #[test]
    fn text_from_stdin_has_the_limit_of_any_text() {
        let most = "x".repeat(MAX_TEXT_BYTES);
        assert!(parse(&["baby", "-"], format!("{most}\n").as_bytes()).is_ok());
        assert!(parse(&["baby", "-"], format!("{most}xx").as_bytes()).is_err());
        assert!(parse(&["baby", "-"], b"\xff").is_err());
    }

    #[test]
    fn data_is_json_and_can_stand_for_the_text() {
        let request = parse(&["baby", "", "--data", "{\"n\":1}"], b"").unwrap();
        assert_eq!(request.data, Some(serde_json::json!({ "n": 1 })));
        assert!(parse(&["baby", "x", "--data", "{n:1}"], b"").is_err());
        assert!(parse(&["baby", " "], b"").is_err());
    }

    #[test]
    fn waiting_has_a_goal_and_a_limit() {
        let line = Line::try_parse_from(["send", "baby", "x", "--wait", "surfaced", "--timeout", "5s"]).unwrap();
        assert_eq!(line.arguments.wait.map(Goal::state), Some(DeliveryState::Surfaced));
        assert_eq!(line.arguments.timeout, Duration::from_secs(5));
        assert!(Line::try_parse_from(["send", "baby", "x", "--timeout", "5s"]).is_err());
    }
}
