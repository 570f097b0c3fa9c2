//! `fedp2p vote`.

use std::io;

use clap::{Args, Subcommand, ValueEnum};
use fedp2p_protocols::api::proposal::Proposal;
use fedp2p_protocols::api::{Operation, vote_ack, vote_cast, vote_close, vote_list, vote_new, vote_show};
use fedp2p_protocols::vote::{Base, Mechanism, Share};

use crate::context::Context;
use crate::error::Error;
use crate::page::{self, Page};
use crate::ui::colour::Style;
use crate::ui::table::{Cell, Column, Table};
use crate::ui::time::{Clock, parse_duration};
use crate::ui::{Output, ballot, secret};

/// Decide together
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Put a question to the others
    #[command(after_help = "\
The same id again makes a new revision of your open question; ballots on the old one no longer count.

Examples:
  fedp2p vote new \"Which auth approach?\" OAuth2 JWT Custom --id auth-decision
  fedp2p vote new \"Ship today?\" yes no --mechanism vote --threshold two-thirds --of electorate
  fedp2p vote new \"Where shall we meet?\" Rome Oslo Lima --mechanism ranked --deadline 2h
  fedp2p vote new \"Delete the old data?\" yes no --electorate people --quorum 1/2
  fedp2p vote new \"Is the leak fixed?\" yes no --electorate role:analyst
  fedp2p vote new \"Rename it?\" yes no --acknowledge 30s --early")]
    New(New),
    /// Say that you have seen a question
    #[command(after_help = "\
A question that asks for it takes votes only once everybody has seen it, or its time is up.

Examples:
  fedp2p vote ack rename-it")]
    Ack {
        /// Its id, or id@node where two nodes chose the same
        id: String,
        /// Refuse unless this is still the current revision of the question
        #[arg(long, value_name = "NUMBER")]
        revision: Option<u32>,
    },
    Cast(Cast),
    /// Show a question and its answers
    #[command(after_help = "\
Examples:
  fedp2p vote show auth-decision
  fedp2p vote show auth-decision --json")]
    Show {
        /// Its id, or id@node where two nodes chose the same
        id: String,
    },
    /// List the open questions
    #[command(after_help = "Examples:\n  fedp2p vote list\n  fedp2p vote list --all")]
    List {
        /// Closed ones too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        page: Page,
    },
    /// Close a question of yours
    #[command(after_help = "\
The ballots that count now count for ever.

Examples:
  fedp2p vote close auth-decision
  fedp2p vote close auth-decision --withdraw")]
    Close {
        /// Its id, or id@node where two nodes chose the same
        id: String,
        /// Take the question back: it then has no result
        #[arg(long)]
        withdraw: bool,
    },
}

/// Answer a question
#[derive(Debug, Args)]
#[command(after_help = "\
A later answer replaces an earlier one. Where a question takes several choices, name them all; in a ranked vote, the
best first. Once your node has a PIN, your vote as a person takes it wherever not everybody may vote; that it was given
stands with the vote.

Examples:
  fedp2p vote cast auth-decision OAuth2
  fedp2p vote cast auth-decision JWT --reason \"no state to keep\" --agent coder
  fedp2p vote cast where-shall-we-meet Oslo Rome
  fedp2p vote cast delete-the-old-data yes --pin
  fedp2p vote cast auth-decision --withdraw")]
struct Cast {
    /// Its id, or id@node where two nodes chose the same
    id: String,
    /// The option, or several; capitals do not matter
    #[arg(required_unless_present = "withdraw", conflicts_with = "withdraw", value_name = "CHOICE")]
    choices: Vec<String>,
    /// Say why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Answer this revision of the question, and nothing else
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u32>,
    /// Take your answer back
    #[arg(long)]
    withdraw: bool,
    /// Prove with the PIN of your node that a person votes; it is asked for on the terminal
    #[arg(long)]
    pin: bool,
    /// Read the PIN from stdin instead of the terminal
    #[arg(long)]
    pin_stdin: bool,
}

#[derive(Debug, Args)]
struct New {
    /// The question
    question: String,
    /// What can be answered
    #[arg(required = true, num_args = 2.., value_name = "OPTION")]
    options: Vec<String>,
    /// Give it this id instead of one made from the question
    #[arg(long)]
    id: Option<String>,
    /// How ballots become a result
    #[arg(long, value_enum, default_value = "poll")]
    mechanism: Way,
    /// What an option must reach to win: majority, two-thirds, unanimous, 3/5 or 60%
    #[arg(long, value_name = "SHARE")]
    threshold: Option<Share>,
    /// What the threshold is a share of
    #[arg(long, value_enum, default_value = "voting")]
    of: Whole,
    /// The share of the electorate that must vote for anything to be decided
    #[arg(long, value_name = "SHARE")]
    quorum: Option<Share>,
    /// Who may vote: agents, separated by commas, or the one word people, all or role:NAME
    #[arg(long, value_name = "AGENTS", value_delimiter = ',')]
    electorate: Vec<String>,
    /// Open voting only once all have seen the question, or after this time (30s, 10m, 2h)
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    acknowledge: Option<u32>,
    /// Close the question by itself after this time (30s, 10m, 2h)
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    deadline: Option<u32>,
    /// Close it as soon as no further vote can change the result
    #[arg(long)]
    early: bool,
}

/// How ballots become a result, as it is typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Way {
    /// One choice each; most votes win
    Poll,
    /// One choice each; an option needs a majority, or what --threshold says
    Vote,
    /// As many choices as one likes; most approvals win
    Approval,
    /// The choices in the order of preference; the weakest drop out round by round
    Ranked,
}

/// What a threshold is a share of, as it is typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Whole {
    /// Those who vote
    Voting,
    /// All who may vote
    Electorate,
}

/// Parses a time from now, in whole seconds.
pub(crate) fn seconds(text: &str) -> Result<u32, String> {
    let time = parse_duration(text).map_err(|error| error.to_string())?;
    u32::try_from(time.as_secs()).map_err(|_| "too long".to_owned())
}

impl From<New> for vote_new::Request {
    fn from(new: New) -> Self {
        Self {
            question: new.question,
            options: new.options,
            id: new.id,
            mechanism: match new.mechanism {
                Way::Poll => Mechanism::Poll,
                Way::Vote => Mechanism::Vote,
                Way::Approval => Mechanism::Approval,
                Way::Ranked => Mechanism::Ranked,
            },
            threshold: new.threshold,
            of: match new.of {
                Whole::Voting => Base::Voting,
                Whole::Electorate => Base::Electorate,
            },
            quorum: new.quorum,
            electorate: new.electorate,
            acknowledge_s: new.acknowledge,
            deadline_s: new.deadline,
            early: new.early,
        }
    }
}

/// Asks, answers, shows or closes.
pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    match arguments.action {
        Action::New(new) => one(vote_new::Request::from(new), context).await,
        Action::Ack { id, revision } => one(vote_ack::Request { id, revision }, context).await,
        Action::Cast(arguments) => cast(arguments, context).await,
        Action::Show { id } => one(vote_show::Request { id }, context).await,
        Action::Close { id, withdraw } => one(vote_close::Request { id, withdraw }, context).await,
        Action::List { all, page } => list(all, page, context).await,
    }
}

/// Does what is answered with one proposal, and shows it.
async fn one<O: Operation<Reply = Box<Proposal>>>(operation: O, context: &Context) -> Result<(), Error> {
    let reply = context.ask(operation).await?;
    context.show::<O>(&reply, |out| ballot::proposal(&reply, out))
}

async fn list(all: bool, page: Page, context: &Context) -> Result<(), Error> {
    let Page { limit, after } = page;
    let begins = after.is_none();
    let reply = context.ask(vote_list::Request { all, limit, after, ..Default::default() }).await?;
    if reply.proposals.is_empty() && begins {
        let which = if all { "questions" } else { "open questions" };
        context.out.note(&format!("no {which}: \"{} vote new\" asks one", context.program));
    }
    context.show::<vote_list::Request>(&reply, |out| words(&reply.proposals, out))?;
    page::note(context, reply.more, reply.next.as_deref());
    Ok(())
}

/// The answer to a question, and what it takes.
async fn cast(cast: Cast, context: &Context) -> Result<(), Error> {
    let pin = if cast.pin_stdin {
        Some(secret::next(&mut io::stdin().lock())?)
    } else if cast.pin {
        Some(secret::ask("PIN to vote: ")?)
    } else {
        None
    };
    let Cast { id, choices, reason, revision, .. } = cast;
    one(vote_cast::Request { id, choices, reason, revision, pin }, context).await
}

/// The table of proposals.
pub(crate) fn words(proposals: &[Proposal], out: &Output) -> String {
    if proposals.is_empty() {
        return String::new();
    }
    let clock = Clock::local();
    let mut table = Table::new(&[
        Column::fixed("Id"),
        Column::fixed("State"),
        Column::text("Question"),
        Column::text("Votes"),
        Column::fixed("By"),
        Column::number("Age"),
    ]);
    for proposal in proposals {
        let state = ballot::phase(proposal);
        table.row([
            Cell::styled(&proposal.id, Style::Strong),
            Cell::styled(state.0, state.1),
            (&proposal.question).into(),
            ballot::tally(proposal).into(),
            proposal.by.to_string().into(),
            clock.ago(proposal.opened).into(),
        ]);
    }
    table.render(out.width(), out.paint())
}
