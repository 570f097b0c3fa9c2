//! `fedp2p wait`: sleeps until something concerns the agent.

use std::time::Duration;

use clap::{Args, ValueEnum};
use fedp2p_node::client::{CallError, ConnectError};
use fedp2p_protocols::api::message::Message;
use fedp2p_protocols::api::proposal::Proposal;
use fedp2p_protocols::api::task::Task;
use fedp2p_protocols::api::watch::{self, Topic};
use fedp2p_protocols::limits::MAX_PAGE;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::concerns::{Concerns, decision_key, is_lost_claim, task_key};
use crate::context::Context;
use crate::error::Error;
use crate::ui::table::{Column, Table};
use crate::ui::time::{parse_duration, span};

/// Sleep until something concerns you: a message, a decision, a task, a claim that was lost
#[derive(Debug, Args)]
#[command(after_help = "\
Returns at once if something waits already, unless you ask for what is --new. Nothing is marked as read: read messages
with \"fedp2p inbox\". It ends with 0 when there is something, and with 4 when the time is up.

Examples:
  fedp2p wait
  fedp2p wait --for message --for decision --timeout 10m
  fedp2p wait --agent coder --for task --json
  fedp2p wait --new && fedp2p inbox")]
pub(crate) struct Arguments {
    /// Only for this; may be given several times. Tasks that anybody may take count only if you ask for tasks
    #[arg(long = "for", value_name = "WHAT")]
    what: Vec<What>,

    /// Give up after this time, such as 90s, 10m or 2h
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,

    /// Only for what comes from now on
    #[arg(long)]
    new: bool,
}

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Something in the inbox
    Message,
    /// A question that you are asked
    Decision,
    /// A task that you may begin
    Task,
    /// A claim of yours that another one won over
    Claim,
}

/// What there is.
#[derive(Debug, Default, Serialize)]
struct Reply {
    messages: Vec<Message>,
    decisions: Vec<Proposal>,
    tasks: Vec<Task>,
}

impl Reply {
    /// Each thing with a key by which it is known again.
    fn keys(&self) -> Vec<String> {
        let messages = self.messages.iter().map(|message| message.id.to_string());
        messages.chain(self.decisions.iter().map(decision_key)).chain(self.tasks.iter().map(task_key)).collect()
    }

    /// Leaves only what is not among these.
    fn without(mut self, known: &[String]) -> Self {
        let new = |key: String| !known.contains(&key);
        self.messages.retain(|message| new(message.id.to_string()));
        self.decisions.retain(|proposal| new(decision_key(proposal)));
        self.tasks.retain(|task| new(task_key(task)));
        self
    }

    fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.decisions.is_empty() && self.tasks.is_empty()
    }
}

impl Arguments {
    /// Picks what is waited for.
    fn pick(&self, concerns: Concerns) -> Reply {
        let wants = |what: What| self.what.is_empty() || self.what.contains(&what);
        let own: Vec<Task> = concerns.own_tasks().cloned().collect();
        let Concerns { inbox, decisions, tasks } = concerns;
        let message = |message: &Message| wants(What::Message) || (wants(What::Claim) && is_lost_claim(message));
        let anybody = self.what.contains(&What::Task);
        Reply {
            messages: inbox.messages.into_iter().filter(message).collect(),
            decisions: if wants(What::Decision) { decisions } else { Vec::new() },
            tasks: if anybody {
                tasks
            } else if wants(What::Task) {
                own
            } else {
                Vec::new()
            },
        }
    }
}

/// Waits. A daemon that stops while it is asked has ended, like one that stops later.
pub(crate) async fn run(arguments: &Arguments, context: &Context) -> Result<(), Error> {
    match wait(arguments, context).await {
        Err(Error::Call(CallError::Lost { .. })) => Err(ConnectError::NoDaemon.into()),
        ended => ended,
    }
}

async fn wait(arguments: &Arguments, context: &Context) -> Result<(), Error> {
    let deadline = arguments.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let topics = vec![Topic::Inbox, Topic::Votes, Topic::Tasks, Topic::Claims];
    // First the events, then the look: what comes in between wakes us.
    let mut events = context.connect().await?.watch(watch::Request { topics, ..watch::Request::default() }).await?;
    let mut client = context.connect().await?;
    let me = &context.caller.name;
    let mut known: Option<Vec<String>> = (!arguments.new).then(Vec::new);
    // What has just come, however much stands before it in the inbox.
    let mut came: Option<Message> = None;
    loop {
        let mut concerns = Concerns::gather(&mut client, me, MAX_PAGE).await?;
        let messages = &mut concerns.inbox.messages;
        let last = came.take().filter(|came| messages.iter().all(|message| message.id != came.id));
        messages.extend(last);
        let found = arguments.pick(concerns);
        match &known {
            None => known = Some(found.keys()),
            Some(known) => {
                let found = found.without(known);
                if !found.is_empty() {
                    return show(&found, context);
                }
            }
        }
        let event = match deadline {
            Some(deadline) => timeout_at(deadline, events.next()).await.map_err(|_| late(arguments))?,
            None => events.next().await,
        };
        match event? {
            None => return Err(ConnectError::NoDaemon.into()),
            Some(watch::Event::Message(message)) => came = Some(message),
            Some(_) => {}
        }
    }
}

fn late(arguments: &Arguments) -> Error {
    let time = arguments.timeout.map_or(0, |timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    Error::NotYet {
        message: format!("nothing came within {}", span(time)),
        hint: "wait again, or longer with --timeout".to_owned(),
    }
}

fn show(reply: &Reply, context: &Context) -> Result<(), Error> {
    if context.out.json() {
        return Ok(context.out.envelope("wait", reply, None)?);
    }
    let mut table =
        Table::new(&[Column::fixed("What"), Column::fixed("Id"), Column::fixed("From"), Column::text("About")]);
    for message in &reply.messages {
        let what = if is_lost_claim(message) { "claim" } else { "message" };
        table.row([
            what.into(),
            message.id.short().into(),
            message.from.to_string().into(),
            message.text.as_str().into(),
        ]);
    }
    for proposal in &reply.decisions {
        let (id, by) = (proposal.id.as_str(), proposal.by.to_string());
        table.row(["decision".into(), id.into(), by.into(), proposal.question.as_str().into()]);
    }
    for task in &reply.tasks {
        table.row(["task".into(), task.id.as_str().into(), task.by.to_string().into(), task.title.as_str().into()]);
    }
    Ok(context.out.print(&table.render(context.out.width(), context.out.paint()))?)
}
