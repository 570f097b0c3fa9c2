//! `fedp2p vote`.

use clap::{Args, Subcommand};
use fedp2p_protocols::api::proposal::Proposal;
use fedp2p_protocols::api::{Operation, vote_cast, vote_close, vote_list, vote_new, vote_show};
use fedp2p_protocols::vote::Mechanism;

use crate::context::Context;
use crate::error::Error;
use crate::ui::colour::Style;
use crate::ui::table::{Cell, Column, Table};
use crate::ui::time::Clock;
use crate::ui::{Output, show};

/// Decide together
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Put a question to everybody
    #[command(after_help = "\
The same id again makes a new revision of your open question; ballots on the old one no longer count.

Examples:
  fedp2p vote new \"Which auth approach?\" OAuth2 JWT Custom --id auth-decision
  fedp2p vote new \"Ship today?\" yes no")]
    New {
        /// The question
        question: String,
        /// What can be answered
        #[arg(required = true, num_args = 2.., value_name = "OPTION")]
        options: Vec<String>,
        /// Give it this id instead of one made from the question
        #[arg(long)]
        id: Option<String>,
    },
    /// Answer a question
    #[command(after_help = "\
A later answer replaces an earlier one.

Examples:
  fedp2p vote cast auth-decision OAuth2
  fedp2p vote cast auth-decision JWT --reason \"no state to keep\" --agent coder")]
    Cast {
        /// Its id, or id@node where two nodes chose the same
        id: String,
        /// The option; capitals do not matter
        choice: String,
        /// Say why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Refuse unless this is still the current revision of the question
        #[arg(long, value_name = "NUMBER")]
        revision: Option<u32>,
    },
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
    },
    /// Close a question of yours
    #[command(after_help = "\
The ballots that count now count for ever.

Examples:
  fedp2p vote close auth-decision")]
    Close {
        /// Its id, or id@node where two nodes chose the same
        id: String,
    },
}

/// Asks, answers, shows or closes.
pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    match arguments.action {
        Action::New { question, options, id } => {
            let request = vote_new::Request { question, options, id, mechanism: Mechanism::Poll };
            one(request, context).await
        }
        Action::Cast { id, choice, reason, revision } => {
            let request = vote_cast::Request { id, choice, reason, revision };
            one(request, context).await
        }
        Action::Show { id } => one(vote_show::Request { id }, context).await,
        Action::Close { id } => one(vote_close::Request { id }, context).await,
        Action::List { all } => list(all, context).await,
    }
}

/// Does what is answered with one proposal, and shows it.
async fn one<O: Operation<Reply = Proposal>>(operation: O, context: &Context) -> Result<(), Error> {
    let reply = context.ask(operation).await?;
    context.show::<O>(&reply, |out| show::proposal(&reply, out))
}

async fn list(all: bool, context: &Context) -> Result<(), Error> {
    let reply = context.ask(vote_list::Request { all }).await?;
    if reply.proposals.is_empty() {
        let which = if all { "questions" } else { "open questions" };
        context.out.note(&format!("no {which}: \"{} vote new\" asks one", context.program));
    }
    context.show::<vote_list::Request>(&reply, |out| words(&reply.proposals, out))
}

fn words(proposals: &[Proposal], out: &Output) -> String {
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
        let state = if proposal.open { ("open", Style::Good) } else { ("closed", Style::Faint) };
        table.row([
            Cell::styled(&proposal.id, Style::Strong),
            Cell::styled(state.0, state.1),
            (&proposal.question).into(),
            show::tally(proposal).into(),
            proposal.by.to_string().into(),
            clock.ago(proposal.opened).into(),
        ]);
    }
    table.render(out.width(), out.paint())
}
