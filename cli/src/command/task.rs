//! `fedp2p task`.

use clap::{Args, Subcommand, ValueEnum};
use fedp2p_protocols::api::task::{Bidding, Task};
use fedp2p_protocols::api::{
    Operation, task_award, task_bid, task_cancel, task_claim, task_edit, task_list, task_new, task_next, task_show,
    task_update,
};
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_protocols::task::{Priority, State};
use serde_json::Value;

use crate::context::Context;
use crate::error::Error;
use crate::page::{self, Page};
use crate::ui::task as show;
use crate::ui::time::parse_duration;

/// Hand out work and do it
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a task
    #[command(after_help = "\
Examples:
  fedp2p task new \"Profile memory allocation in the auth module\" --id memory-profile
  fedp2p task new \"Fix the leak\" --after memory-profile --to role:analyst --priority high --due 2h
  fedp2p task new \"Port it to Windows\" --bids --until 10m --auto")]
    New(New),
    /// Change a task of yours
    #[command(after_help = "\
Examples:
  fedp2p task edit fix-the-leak --to anyone --priority urgent
  fedp2p task edit fix-the-leak --after memory-profile,review --clear due")]
    Edit(Box<Edit>),
    /// Try a task of yours again that failed, was rejected or was canceled
    #[command(after_help = "Examples:\n  fedp2p task retry fix-the-leak\n  fedp2p task retry fix-the-leak --to baby")]
    Retry {
        /// Its id, or id@node where two nodes chose the same
        id: String,
        /// Who may take it now: an agent, role:NAME, or anyone
        #[arg(long, value_name = "WHO")]
        to: Option<String>,
    },
    /// Cancel a task of yours
    #[command(after_help = "Examples:\n  fedp2p task cancel fix-the-leak --reason \"fixed upstream\"")]
    Cancel {
        /// Its id, or id@node where two nodes chose the same
        id: String,
        /// Say why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Show a task and what was said of it
    #[command(after_help = "Examples:\n  fedp2p task show memory-profile\n  fedp2p task show memory-profile --json")]
    Show {
        /// Its id, or id@node where two nodes chose the same
        id: String,
    },
    /// List tasks, what is to be done first first
    #[command(after_help = "\
Examples:
  fedp2p task list
  fedp2p task list --mine --agent coder
  fedp2p task list --state working --state input-required
  fedp2p task list --all --json")]
    List {
        /// Those too that are over
        #[arg(long)]
        all: bool,
        /// Only those in this state; may be given several times
        #[arg(long, value_enum, value_name = "STATE")]
        state: Vec<Stage>,
        /// Only those that you hold or may take
        #[arg(long)]
        mine: bool,
        #[command(flatten)]
        page: Page,
    },
    /// List the tasks that you may take now
    #[command(after_help = "Examples:\n  fedp2p task ready\n  fedp2p task ready --agent coder --json")]
    Ready {
        #[command(flatten)]
        page: Page,
    },
    /// Show all tasks side by side, by how far they are
    #[command(after_help = "Examples:\n  fedp2p task board\n  fedp2p task board --mine")]
    Board {
        /// Only those that you hold or may take
        #[arg(long)]
        mine: bool,
    },
    /// Take the first task that you may take now
    #[command(after_help = "\
Others may take it over if you give no sign of life for as long as your lease lasts.

Examples:
  fedp2p task next --agent coder
  fedp2p task next --agent coder --ttl 10m --json")]
    Next {
        /// How long your lease lasts without a sign of life (30s, 10m, 2h)
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        ttl: Option<u32>,
    },
    /// Take a task, or go on with one that waited for input
    #[command(after_help = "\
Examples:
  fedp2p task start memory-profile --agent baby
  fedp2p task start memory-profile --note \"Running valgrind analysis\" --create")]
    Start {
        /// Its id, or id@node where two nodes chose the same
        id: String,
        /// Say what you do
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        /// Make the task if there is none of this id
        #[arg(long)]
        create: bool,
        /// How long your lease lasts without a sign of life (30s, 10m, 2h)
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        ttl: Option<u32>,
    },
    /// Say how it goes with a task that you hold
    #[command(after_help = "Examples:\n  fedp2p task note memory-profile \"2 of 3 runs are through\"")]
    Note {
        /// Its id, or id@node where two nodes chose the same
        id: String,
        /// What there is to say
        text: String,
    },
    /// Say that a task that you hold waits for an answer
    #[command(after_help = "Examples:\n  fedp2p task need-input memory-profile \"Which build shall I profile?\"")]
    NeedInput {
        /// Its id, or id@node where two nodes chose the same
        id: String,
        /// What you need
        text: String,
    },
    /// Complete a task that you hold
    #[command(after_help = "Examples:\n  fedp2p task done memory-profile --result \"no leak: see profile.txt\"")]
    Done(Ending),
    /// Say that a task that you hold cannot be done
    #[command(after_help = "Examples:\n  fedp2p task fail memory-profile --note \"valgrind crashes\"")]
    Fail(Ending),
    /// Say that you will not do a task
    #[command(after_help = "Examples:\n  fedp2p task reject memory-profile --note \"I have no valgrind\"")]
    Reject(Parting),
    /// Hand a task back that you hold, so that others can take it
    #[command(after_help = "Examples:\n  fedp2p task hand-back memory-profile --note \"run 3 is left\"")]
    HandBack(Parting),
    /// Ask for bids for a task of yours
    #[command(after_help = "\
Nobody can take it before you have awarded it.

Examples:
  fedp2p task offer memory-profile
  fedp2p task offer memory-profile --until 10m --auto")]
    Offer {
        /// Its id, or id@node where two nodes chose the same
        id: String,
        #[command(flatten)]
        bidding: Bids,
    },
    /// Bid for a task
    #[command(after_help = "Examples:\n  fedp2p task bid memory-profile --cost 20 --reason \"I know valgrind\"")]
    Bid {
        /// Its id, or id@node where two nodes chose the same
        id: String,
        /// What it would cost; less is better
        #[arg(long, value_name = "NUMBER")]
        cost: Option<u32>,
        /// Say why you are the right one
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Give a task of yours to one of its bidders
    #[command(after_help = "\
Without a name the best bid gets it: the cheapest, and of equals the earliest.

Examples:
  fedp2p task award memory-profile
  fedp2p task award memory-profile baby --reason \"has the machine for it\"")]
    Award {
        /// Its id, or id@node where two nodes chose the same
        id: String,
        /// The bidder
        #[arg(value_name = "AGENT")]
        to: Option<String>,
        /// Say why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

#[derive(Debug, Args)]
struct New {
    /// What is to be done, in a line
    title: String,
    /// Give it this id instead of one made from the title
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    details: Details,
    /// Who may take it: an agent, or role:NAME; anyone without it
    #[arg(long, value_name = "WHO")]
    to: Option<String>,
    /// The tasks that must be completed first, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    after: Vec<String>,
    /// Ask for bids
    #[arg(long)]
    bids: bool,
    #[command(flatten)]
    bidding: Bids,
}

#[derive(Debug, Args)]
struct Edit {
    /// Its id, or id@node where two nodes chose the same
    id: String,
    /// What is to be done, in a line
    #[arg(long)]
    title: Option<String>,
    #[command(flatten)]
    details: Details,
    /// Who may take it: an agent, role:NAME, or anyone
    #[arg(long, value_name = "WHO")]
    to: Option<String>,
    /// The tasks that must be completed first, all of them, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',', num_args = 0..)]
    after: Option<Vec<String>>,
    /// Take away: text, data, due, or bids; separated by commas
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    clear: Vec<String>,
}

/// What a task has besides its title.
#[derive(Debug, Args)]
struct Details {
    /// The same at length
    #[arg(long)]
    text: Option<String>,
    /// What programs need for it
    #[arg(long, value_name = "JSON", value_parser = json)]
    data: Option<Value>,
    /// How much it presses
    #[arg(long, value_enum)]
    priority: Option<Pressing>,
    /// When it should be done, from now (30s, 10m, 2h)
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    due: Option<u32>,
}

/// How bids are asked for.
#[derive(Debug, Args)]
struct Bids {
    /// Take bids for this long (30s, 10m, 2h); until the award without it
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    until: Option<u32>,
    /// Let the best bid have it then
    #[arg(long, requires = "until")]
    auto: bool,
}

#[derive(Debug, Args)]
struct Ending {
    /// Its id, or id@node where two nodes chose the same
    id: String,
    /// What came of it
    #[arg(long, value_name = "TEXT")]
    result: Option<String>,
    /// What else there is to say
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(Debug, Args)]
struct Parting {
    /// Its id, or id@node where two nodes chose the same
    id: String,
    /// Say why
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// How much a task presses, as it is typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Pressing {
    Low,
    Normal,
    High,
    Urgent,
}

impl From<Pressing> for Priority {
    fn from(pressing: Pressing) -> Self {
        match pressing {
            Pressing::Low => Self::Low,
            Pressing::Normal => Self::Normal,
            Pressing::High => Self::High,
            Pressing::Urgent => Self::Urgent,
        }
    }
}

/// How far a task is, as it is typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Stage {
    Submitted,
    Working,
    InputRequired,
    Completed,
    Failed,
    Canceled,
    Rejected,
}

impl From<Stage> for State {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Submitted => Self::Submitted,
            Stage::Working => Self::Working,
            Stage::InputRequired => Self::InputRequired,
            Stage::Completed => Self::Completed,
            Stage::Failed => Self::Failed,
            Stage::Canceled => Self::Canceled,
            Stage::Rejected => Self::Rejected,
        }
    }
}

/// Parses a time from now, in whole seconds.
fn seconds(text: &str) -> Result<u32, String> {
    let time = parse_duration(text).map_err(|error| error.to_string())?;
    u32::try_from(time.as_secs()).map_err(|_| "too long".to_owned())
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

impl From<Bids> for Bidding {
    fn from(bids: Bids) -> Self {
        Self { until_s: bids.until, auto: bids.auto }
    }
}

impl From<New> for task_new::Request {
    fn from(new: New) -> Self {
        let asked = new.bids || new.bidding.until.is_some();
        Self {
            title: new.title,
            id: new.id,
            text: new.details.text,
            data: new.details.data,
            after: new.after,
            priority: new.details.priority.map(Priority::from).unwrap_or_default(),
            to: new.to,
            due_s: new.details.due,
            offer: asked.then(|| new.bidding.into()),
        }
    }
}

impl From<Edit> for task_edit::Request {
    fn from(edit: Edit) -> Self {
        Self {
            id: edit.id,
            title: edit.title,
            text: edit.details.text,
            data: edit.details.data,
            after: edit.after,
            priority: edit.details.priority.map(Priority::from),
            to: edit.to,
            due_s: edit.details.due,
            clear: edit.clear,
            ..Self::default()
        }
    }
}

/// Makes, changes, takes, does, shows.
pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    match arguments.action {
        Action::New(new) => one(task_new::Request::from(new), context).await,
        Action::Edit(edit) => one(task_edit::Request::from(*edit), context).await,
        Action::Retry { id, to } => {
            one(task_edit::Request { id, to, retry: true, ..Default::default() }, context).await
        }
        Action::Offer { id, bidding } => {
            one(task_edit::Request { id, offer: Some(bidding.into()), ..Default::default() }, context).await
        }
        Action::Cancel { id, reason } => one(task_cancel::Request { id, reason }, context).await,
        Action::Show { id } => one(task_show::Request { id }, context).await,
        Action::List { all, state, mine, page: Page { limit, after } } => {
            let states = state.into_iter().map(State::from).collect();
            list(task_list::Request { all, states, mine, ready: false, limit, after }, context).await
        }
        Action::Ready { page: Page { limit, after } } => {
            list(task_list::Request { ready: true, limit, after, ..Default::default() }, context).await
        }
        Action::Board { mine } => board(mine, context).await,
        Action::Next { ttl } => next(ttl, context).await,
        Action::Start { id, note, create, ttl } => {
            one(task_claim::Request { id, description: note, create, ttl_s: ttl }, context).await
        }
        Action::Note { id, text } => say(id, None, Some(text), None, context).await,
        Action::NeedInput { id, text } => say(id, Some(State::InputRequired), Some(text), None, context).await,
        Action::Done(end) => say(end.id, Some(State::Completed), end.note, end.result, context).await,
        Action::Fail(end) => say(end.id, Some(State::Failed), end.note, end.result, context).await,
        Action::Reject(end) => say(end.id, Some(State::Rejected), end.note, None, context).await,
        Action::HandBack(end) => say(end.id, Some(State::Submitted), end.note, None, context).await,
        Action::Bid { id, cost, reason } => one(task_bid::Request { id, cost, reason }, context).await,
        Action::Award { id, to, reason } => one(task_award::Request { id, agent: to, reason }, context).await,
    }
}

/// Does what is answered with one task, and shows it.
async fn one<O: Operation<Reply = Box<Task>>>(operation: O, context: &Context) -> Result<(), Error> {
    let reply = context.ask(operation).await?;
    context.show::<O>(&reply, |out| show::task(&reply, out))
}

async fn say(
    id: String,
    state: Option<State>,
    note: Option<String>,
    result: Option<String>,
    context: &Context,
) -> Result<(), Error> {
    one(task_update::Request { id, state, note, result }, context).await
}

async fn next(ttl_s: Option<u32>, context: &Context) -> Result<(), Error> {
    let reply = context.ask(task_next::Request { ttl_s, ..Default::default() }).await?;
    if reply.task.is_none() {
        context.out.note(&match reply.open {
            0 => format!("no tasks: \"{} task new\" makes one", context.program),
            open => format!("nothing is ready for {}; {open} tasks are not over", context.caller.name),
        });
    }
    let words = |out: &crate::ui::Output| reply.task.as_ref().map(|task| show::task(task, out)).unwrap_or_default();
    context.show::<task_next::Request>(&reply, words)
}

async fn list(request: task_list::Request, context: &Context) -> Result<(), Error> {
    let (ready, begins) = (request.ready, request.after.is_none());
    let reply = context.ask(request).await?;
    if reply.tasks.is_empty() && begins {
        let what = if ready { format!("nothing is ready for {}", context.caller.name) } else { "no tasks".to_owned() };
        context.out.note(&format!("{what}: \"{} task new\" makes one", context.program));
    }
    context.show::<task_list::Request>(&reply, |out| show::list(&reply, out))?;
    page::note(context, reply.more, reply.next.as_deref());
    Ok(())
}

async fn board(mine: bool, context: &Context) -> Result<(), Error> {
    let reply = context.ask(task_list::Request { all: true, mine, ..Default::default() }).await?;
    context.show::<task_list::Request>(&reply, |out| show::board(&reply, out))?;
    // A board has no pages; the list of the same tasks goes on where it ends.
    let mut list = "task list --all".to_owned();
    if mine {
        list.push_str(" --mine");
        if context.caller.kind == AgentKind::Ai {
            list.push_str(&format!(" --agent {}", context.caller.name));
        }
    }
    page::note_list(context, &list, reply.more, reply.next.as_deref());
    Ok(())
}
