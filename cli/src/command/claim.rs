//! `fedp2p claim`.

use std::path::Path;

use clap::{Args, Subcommand};
use fedp2p_protocols::api::claim::{Claim, State};
use fedp2p_protocols::api::{claim_list, claim_release, claim_renew, claim_take};
use fedp2p_protocols::claim::Mode;
use fedp2p_protocols::name::RepositoryName;

use crate::context::Context;
use crate::error::Error;
use crate::page::{self, Page};
use crate::repository::Repository;
use crate::ui::lease;
use crate::ui::time::parse_duration;

/// Say which files you work on, so that nobody else does
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Take(Take),
    /// Let others have what you claimed
    #[command(after_help = "\
A person can release the claims of all agents of the node.

Examples:
  fedp2p claim release 12
  fedp2p claim release --all --agent coder")]
    Release {
        /// Their ids
        #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "ID")]
        claims: Vec<String>,
        /// All that you hold
        #[arg(long)]
        all: bool,
    },
    /// Keep claims for another while
    #[command(after_help = "\
The node renews the claims of an agent by itself as long as the agent calls or watches.

Examples:
  fedp2p claim renew
  fedp2p claim renew 12 --agent coder")]
    Renew {
        /// Their ids; all that you hold, if none is given
        #[arg(value_name = "ID")]
        claims: Vec<String>,
    },
    /// List who holds what
    #[command(after_help = "\
Examples:
  fedp2p claim list
  fedp2p claim list --by coder@taichi
  fedp2p claim list --all --json")]
    List {
        /// Those that have ended too
        #[arg(long)]
        all: bool,
        /// Only those of this agent
        #[arg(long, value_name = "AGENT")]
        by: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show one claim and who acknowledges it
    #[command(after_help = "Examples:\n  fedp2p claim show 12\n  fedp2p claim show 12@taichi --json")]
    Show {
        /// Its id
        id: String,
    },
}

/// Claim files of the repository that you are in
#[derive(Debug, Args)]
#[command(after_help = "\
A folder means all that is in it; in patterns, * and ? stand for parts of a name and ** for any folders. Put patterns in
quotes. A claim ends when it is released, or some time after its agent was heard of last.

Examples:
  fedp2p claim take src/parser docs/grammar.md --agent coder
  fedp2p claim take \"crdt/**/*.rs\" --ttl 30m --why \"moving the gate\"
  fedp2p claim take docs --shared --repository fedp2p --no-wait")]
struct Take {
    /// Files, folders or patterns, at most 8
    #[arg(required = true, value_name = "PATH")]
    files: Vec<String>,
    /// What all call the repository; else found out from git
    #[arg(long, value_name = "NAME")]
    repository: Option<RepositoryName>,
    /// Let others claim the same, if they share it too
    #[arg(long)]
    shared: bool,
    /// Let others take it over after this time without a sign of life (15m, 2h)
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = seconds)]
    ttl: u32,
    /// Say what for
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Do not wait until it is confirmed
    #[arg(long)]
    no_wait: bool,
}

fn seconds(text: &str) -> Result<u32, String> {
    let time = parse_duration(text).map_err(|error| error.to_string())?;
    u32::try_from(time.as_secs()).map_err(|_| "too long".to_owned())
}

/// Takes, releases, renews or lists.
pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    match arguments.action {
        Action::Take(arguments) => take(arguments, context).await,
        Action::Release { claims, all: _ } => {
            let reply = context.ask(claim_release::Request { claims }).await?;
            if reply.claims.is_empty() {
                context.out.note("you hold nothing");
            }
            context.show::<claim_release::Request>(&reply, |out| lease::table(&reply.claims, out))
        }
        Action::Renew { claims } => {
            let reply = context.ask(claim_renew::Request { claims }).await?;
            if reply.claims.is_empty() {
                context.out.note("you hold nothing");
            }
            context.show::<claim_renew::Request>(&reply, |out| lease::table(&reply.claims, out))
        }
        Action::List { all, by, page: Page { limit, after } } => {
            let begins = after.is_none();
            let reply = context.ask(claim_list::Request { id: None, by, all, limit, after }).await?;
            if reply.claims.is_empty() && begins {
                context.out.note(&format!("nobody holds anything: \"{} claim take\" claims", context.program));
            }
            context.show::<claim_list::Request>(&reply, |out| lease::table(&reply.claims, out))?;
            page::note(context, reply.more, reply.next.as_deref());
            Ok(())
        }
        Action::Show { id } => {
            let reply = context.ask(claim_list::Request { id: Some(id), all: true, ..Default::default() }).await?;
            let words = |out: &_| reply.claims.iter().map(|claim| lease::claim(claim, out)).collect();
            context.show::<claim_list::Request>(&reply, words)
        }
    }
}

async fn take(arguments: Take, context: &Context) -> Result<(), Error> {
    let (repository, files) = whereabouts(arguments.repository, arguments.files)?;
    let request = claim_take::Request {
        repository,
        files,
        mode: if arguments.shared { Mode::Shared } else { Mode::Exclusive },
        ttl_s: arguments.ttl,
        why: arguments.why,
        no_wait: arguments.no_wait,
    };
    let claim = context.ask(request).await?;
    if claim.state == State::Tentative && !arguments.no_wait {
        let failure = not_yet(&claim, context);
        return Err(context.show_with::<claim_take::Request>(&claim, |out| lease::claim(&claim, out), failure));
    }
    context.show::<claim_take::Request>(&claim, |out| lease::claim(&claim, out))
}

fn not_yet(claim: &Claim, context: &Context) -> Error {
    Error::NotYet {
        message: format!(
            "claim {} is not confirmed yet: {} of {} nodes have acknowledged it, and the rest may still",
            claim.id,
            claim.acknowledged.len(),
            claim.members
        ),
        hint: format!("look again before you begin: \"{} claim show {}\"", context.program, claim.id),
    }
}

/// The repository, and what was typed as paths from its root.
fn whereabouts(named: Option<RepositoryName>, typed: Vec<String>) -> Result<(RepositoryName, Vec<String>), Error> {
    let here = Repository::find(Path::new(".")).and_then(|repository| Ok((repository.name()?, repository)));
    match (named, here) {
        // Of a repository that we are not in, paths are meant from its root.
        (Some(named), here) if !here.as_ref().is_ok_and(|(name, _)| *name == named) => Ok((named, typed)),
        (_, here) => {
            let (name, repository) = here?;
            let files = typed.iter().map(|path| repository.below_root(path)).collect::<Result<_, _>>()?;
            Ok((name, files))
        }
    }
}
