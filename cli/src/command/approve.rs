//! `fedp2p approve` and `fedp2p deny`.

use std::io;
use std::time::Duration;

use clap::{Args, Subcommand};
use fedp2p_node::client::{Client, ConnectError};
use fedp2p_protocols::api::proposal::Proposal;
use fedp2p_protocols::api::watch::{self, Event, Topic};
use fedp2p_protocols::api::{self, ErrorCode, approval_answer, approval_ask, vote_list, vote_show};
use fedp2p_protocols::vote::{APPROVE, Mechanism, Share};
use tokio::time::{Instant, timeout_at};

use super::vote;
use crate::context::Context;
use crate::error::Error;
use crate::page::{self, Page};
use crate::ui::time::parse_duration;
use crate::ui::{Output, ballot, secret};

/// Approve what somebody asks for, or ask people for their approval
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "\
Only people approve, with the PIN of their node, which is asked for on the terminal.

Examples:
  fedp2p approve delete-the-old-data
  fedp2p approve delete-the-old-data --reason \"backups are checked\"
  fedp2p approve list")]
pub(crate) struct Approve {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    answer: Option<Answer>,
}

/// Deny what somebody asks for
#[derive(Debug, Args)]
#[command(after_help = "\
One refusal is enough. Only people deny, with the PIN of their node, which is asked for on the terminal.

Examples:
  fedp2p deny delete-the-old-data --reason \"not before the release\"")]
pub(crate) struct Deny {
    #[command(flatten)]
    answer: Answer,
}

#[derive(Debug, Args)]
struct Answer {
    /// Its id, or id@node where two nodes chose the same
    id: String,
    /// Say why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Refuse unless this is still the current revision of the question
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u32>,
    /// Read the PIN from stdin instead of the terminal
    #[arg(long)]
    pin_stdin: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Ask people for their approval
    #[command(after_help = "\
The people who may answer get a message, and each answer comes to your inbox. One approval is enough unless --needs says
more, and one refusal ends it. With --wait the command succeeds only if it was approved.

Examples:
  fedp2p approve ask \"Delete the old data?\" --agent coder
  fedp2p approve ask \"Deploy 2.1?\" --id deploy --of ada@taichi,bob@aorus --needs 2
  fedp2p approve ask \"Run the migration?\" --wait --timeout 10m --agent coder")]
    Ask(Ask),
    /// List what waits for an answer
    #[command(after_help = "Examples:\n  fedp2p approve list\n  fedp2p approve list --all --json")]
    List {
        /// What is decided too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        page: Page,
    },
}

#[derive(Debug, Args)]
struct Ask {
    /// What is to be approved
    question: String,
    /// Give it this id instead of one made from the question
    #[arg(long)]
    id: Option<String>,
    /// The people who may answer, separated by commas; every person if absent
    #[arg(long, value_name = "PEOPLE", value_delimiter = ',')]
    of: Vec<String>,
    /// How many must approve: a number, majority, two-thirds, unanimous, 3/5 or 60%
    #[arg(long, value_name = "SHARE")]
    needs: Option<Share>,
    /// Close it without an approval after this time (30s, 10m, 2h)
    #[arg(long, value_name = "TIME", value_parser = vote::seconds)]
    deadline: Option<u32>,
    /// Stay until it is decided
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "1h", requires = "wait", value_parser = parse_duration)]
    timeout: Duration,
}

/// Approves, asks or lists.
pub(crate) async fn approve(arguments: Approve, context: &Context) -> Result<(), Error> {
    match (arguments.action, arguments.answer) {
        (Some(Action::Ask(ask)), _) => ask_people(ask, context).await,
        (Some(Action::List { all, page }), _) => list(all, page, context).await,
        (None, Some(answer)) => reply(answer, true, context).await,
        (None, None) => Err(Error::usage("nothing to approve was named", "\"fedp2p approve list\" shows what waits")),
    }
}

/// Denies.
pub(crate) async fn deny(arguments: Deny, context: &Context) -> Result<(), Error> {
    reply(arguments.answer, false, context).await
}

async fn reply(answer: Answer, approve: bool, context: &Context) -> Result<(), Error> {
    let mut client = context.connect().await?;
    // Whoever types a PIN should see for what, and that it still is what it was.
    let asked = client.call(vote_show::Request { id: answer.id.clone() }).await?;
    let pin = if answer.pin_stdin {
        secret::next(&mut io::stdin().lock())?
    } else {
        context.out.note(&ballot::proposal(&asked, &context.out));
        secret::ask(if approve { "PIN to approve this: " } else { "PIN to deny this: " })?
    };
    let request = approval_answer::Request {
        id: answer.id,
        approve,
        reason: answer.reason,
        pin: Some(pin),
        revision: answer.revision.or(Some(asked.revision)),
        asked: Some(asked.asked),
    };
    let reply = client.call(request).await?;
    context.show::<approval_answer::Request>(&reply, |out| ballot::proposal(&reply, out))
}

async fn ask_people(ask: Ask, context: &Context) -> Result<(), Error> {
    let request = approval_ask::Request {
        question: ask.question,
        id: ask.id,
        of: ask.of,
        needs: ask.needs,
        deadline_s: ask.deadline,
    };
    let mut client = context.connect().await?;
    let mut proposal = client.call(request).await?;
    if ask.wait {
        let decided = decision(&mut client, &mut proposal, Instant::now() + ask.timeout, context).await?;
        if let Some(failure) = unapproved(&proposal, decided, context) {
            let words = |out: &Output| ballot::proposal(&proposal, out);
            return Err(context.show_with::<approval_ask::Request>(&proposal, words, failure));
        }
    }
    context.show::<approval_ask::Request>(&proposal, |out| ballot::proposal(&proposal, out))
}

/// Why whoever waited for an approval has none; nothing if there is one.
fn unapproved(proposal: &Proposal, decided: bool, context: &Context) -> Option<Error> {
    if !decided {
        return Some(Error::NotYet {
            message: format!("{:?} is not decided yet", proposal.id),
            hint: format!("the answer will come to the inbox; see \"{} vote show {}\"", context.program, proposal.id),
        });
    }
    if proposal.winner.as_deref() == Some(APPROVE) {
        return None;
    }
    let message = format!("{:?} was not approved: {}", proposal.id, proposal.why);
    let hint = format!("see who said what with \"fedp2p vote show {}\"", proposal.id);
    Some(Error::Refused(api::Error::new(ErrorCode::Forbidden, message).hint(hint)))
}

/// Waits until a proposal is closed, and returns whether it is.
async fn decision(
    client: &mut Client,
    proposal: &mut Box<Proposal>,
    deadline: Instant,
    context: &Context,
) -> Result<bool, Error> {
    let topics = vec![Topic::Votes];
    let mut events = context.connect().await?.watch(watch::Request { topics, ..Default::default() }).await?;
    // It may have been closed before we watched.
    *proposal = client.call(vote_show::Request { id: proposal.id.clone() }).await?;
    while proposal.open {
        match timeout_at(deadline, events.next()).await {
            Err(_) => return Ok(false),
            Ok(event) => match event? {
                None => return Err(ConnectError::NoDaemon.into()),
                Some(Event::Vote(changed)) if changed.id == proposal.id && changed.by == proposal.by => {
                    *proposal = changed;
                }
                Some(_) => {}
            },
        }
    }
    Ok(true)
}

async fn list(all: bool, page: Page, context: &Context) -> Result<(), Error> {
    let Page { limit, after } = page;
    let begins = after.is_none();
    let reply = context.ask(vote_list::Request { all, mechanism: Some(Mechanism::Signoff), limit, after }).await?;
    if reply.proposals.is_empty() && begins {
        context.out.note("nothing waits for an approval");
    }
    context.show::<vote_list::Request>(&reply, |out| vote::words(&reply.proposals, out))?;
    page::note(context, reply.more, reply.next.as_deref());
    Ok(())
}
