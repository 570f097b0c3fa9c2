//! `fedp2p guard`: git hooks that keep commits off what others hold.
//!
//! The hook before a commit asks the daemon which of the staged files other agents hold, and stops the commit if there
//! are any. What cannot be asked stops nobody: without a daemon the commit passes, with a warning. The hook after a
//! commit looks at what was committed, so that a commit that went past the first one is recorded in the mesh.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use fedp2p_protocols::api::claim_check::Held;
use fedp2p_protocols::api::{claim_check, send, status};
use fedp2p_protocols::limits::MAX_PAGE;
use fedp2p_protocols::name::{Address, AgentName};
use fedp2p_protocols::payload::MessageType;
use serde::Serialize;
use serde_json::json;

use crate::context::Context;
use crate::error::Error;
use crate::hooks::{self, Hook};
use crate::repository::{Next, Repository};
use crate::shell::quoted;
use crate::ui::escape;
use crate::ui::time::Clock;

mod commit;

/// Set to `off`, it lets a commit pass that holds files of others; that is recorded.
const BYPASS: &str = "FEDP2P_GUARD";
/// Most bytes of paths in one question to the daemon.
const MOST_BYTES: usize = 128 * 1024;
/// Most paths that a record names.
const MOST_NAMED: usize = 20;

/// Keep commits off files that others hold
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// The repository; else the one that you are in
    #[arg(long, global = true, value_name = "DIR")]
    repo: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Set hooks in a repository that stop commits of files that another agent holds
    #[command(after_help = "\
Hooks that are there already go on being run, before these. Amended commits are checked as a whole, merges for the files
that they would leave as they are on no side. FEDP2P_GUARD=off lets a commit pass; that, and commits with --no-verify, are
told to those who hold the files, inside a rebase only the first. Without a daemon commits pass.

Examples:
  fedp2p guard install
  fedp2p guard install --repo ~/src/fedp2p")]
    Install,
    /// Take the hooks out and put back what was there before
    #[command(after_help = "Examples:\n  fedp2p guard remove")]
    Remove,
    /// Say which staged files another agent holds
    #[command(after_help = "\
A merge is checked for the files that it would leave as they are on no side.

Examples:
  fedp2p guard check
  fedp2p guard check --amend
  fedp2p guard check --json")]
    Check {
        /// For a commit that takes the place of the last one
        #[arg(long)]
        amend: bool,
        /// For the commit that a merge is about to make; its hook says so
        #[arg(long, conflicts_with = "amend", hide = true)]
        merge: bool,
        /// For the commit that this process of git is about to make; its hook says so
        #[arg(long, value_name = "PROCESS", conflicts_with_all = ["amend", "merge"], hide = true)]
        called_by: Option<u32>,
    },
    /// Tell those who hold files of the last commit that it went past the guard
    #[command(after_help = "Examples:\n  fedp2p guard record")]
    Record,
}

/// What was done with the hooks.
#[derive(Debug, Serialize)]
struct Hooks {
    repository: String,
    hooks: Vec<String>,
    changed: bool,
}

/// Installs, removes, checks or records.
pub(crate) async fn run(arguments: &Arguments, context: &Context) -> Result<(), Error> {
    let folder = arguments.repo.as_deref().unwrap_or(Path::new("."));
    let repository = Repository::find(folder)?;
    match arguments.action {
        Action::Install => {
            let changed = hooks::install(&repository, &flags(context))?;
            told(context, &repository, "guard_install", changed, ["set", "set already"])
        }
        Action::Remove => {
            let changed = hooks::remove(&repository)?;
            told(context, &repository, "guard_remove", changed, ["taken out", "not there"])
        }
        Action::Check { amend: true, .. } => check(&repository, Next::Amend, context).await,
        Action::Check { merge: true, .. } => check(&repository, Next::Merge, context).await,
        Action::Check { called_by: Some(process), .. } if commit::amends(&commit::words_of(process)) => {
            check(&repository, Next::Amend, context).await
        }
        Action::Check { .. } => check(&repository, Next::Commit, context).await,
        Action::Record => record(&repository, context).await,
    }
}

/// The flags that lead to the same home from anywhere.
fn flags(context: &Context) -> String {
    if context.program == "fedp2p" {
        return String::new();
    }
    let home = context.home.root().display().to_string();
    format!(" --home {}", quoted(&home))
}

fn told(
    context: &Context,
    repository: &Repository,
    name: &'static str,
    changed: bool,
    words: [&str; 2],
) -> Result<(), Error> {
    let hooks = Hook::ALL.map(|hook| hook.name().to_owned()).to_vec();
    let repository = repository.root.display().to_string();
    if context.out.json() {
        return Ok(context.out.envelope(name, &Hooks { repository, hooks, changed }, None)?);
    }
    let word = if changed { words[0] } else { words[1] };
    Ok(context.out.print(&format!("hooks {word} in {}: {}\n", escape::line(&repository), hooks.join(", ")))?)
}

async fn check(repository: &Repository, next: Next, context: &Context) -> Result<(), Error> {
    let held = held(repository, repository.staged(next)?, context).await;
    let (reply, warning) = match held {
        Ok(held) => (claim_check::Reply { held }, None),
        Err(error) => (claim_check::Reply { held: Vec::new() }, Some(error)),
    };
    if let Some(error) = warning {
        // A mesh that is not there must not stop anybody's work.
        let report = error.report(&context.program);
        context.out.note(&format!("fedp2p guard: nothing was checked: {}", report.message));
    }
    if reply.held.is_empty() {
        return context.show::<claim_check::Request>(&reply, |_| String::new());
    }
    if std::env::var_os(BYPASS).is_some_and(|value| value == "off") {
        context.out.note(&format!("fedp2p guard: {BYPASS}=off, so this passes and its holders are told"));
        // A merge is recorded in any case, and has the index in use.
        let marked = if next == Next::Merge { Ok(()) } else { hooks::let_past(repository) };
        if let Err(error) = marked {
            let report = error.report(&context.program);
            context.out.note(&format!("fedp2p guard: inside a rebase this is not recorded: {}", report.message));
        }
        return context.show::<claim_check::Request>(&reply, |_| words(&reply.held));
    }
    let failure = stopped(&reply.held, own_holder(&reply.held, context).await.as_ref());
    Err(context.show_with::<claim_check::Request>(&reply, |_| words(&reply.held), failure))
}

/// `me` is the holder that whoever commits may be.
fn stopped(held: &[Held], me: Option<&AgentName>) -> Error {
    let message = format!("{} of the staged files are held by others", held.len());
    let mut hint = format!("leave them out of the commit, or ask their holders; {BYPASS}=off passes and tells them");
    if let Some(me) = me {
        hint.push_str(&format!("; if you are {me}, commit as it: FEDP2P_AGENT={me} git commit ..."));
    }
    fedp2p_protocols::api::Error::new(fedp2p_protocols::api::ErrorCode::Conflict, message).hint(hint).into()
}

/// A holder that is an agent of this node, if nobody was named who commits: the agent may not have said who it is.
async fn own_holder(held: &[Held], context: &Context) -> Option<AgentName> {
    if context.named {
        return None;
    }
    // Without an answer there is one hint less.
    let node = context.ask(status::Request {}).await.ok()?.node.name;
    let own = held.iter().map(|held| &held.claim.by).find(|by| by.organisation.is_none() && by.node == node);
    own.map(|by| by.agent.clone())
}

fn words(held: &[Held]) -> String {
    let clock = Clock::local();
    let line = |held: &Held| {
        let claim = &held.claim;
        let left = clock.until(claim.until);
        let why = claim.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let text = format!("{}  held by {} for another {left}, claim {}{why}", held.path, claim.by, claim.id);
        format!("{}\n", escape::line(&text))
    };
    held.iter().map(line).collect()
}

/// Which of these files others hold.
async fn held(repository: &Repository, paths: Vec<String>, context: &Context) -> Result<Vec<Held>, Error> {
    let mut held = Vec::new();
    if paths.is_empty() {
        return Ok(held);
    }
    let name = repository.name()?;
    let mut client = context.connect().await?;
    let mut paths = paths.into_iter().peekable();
    while paths.peek().is_some() {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while let Some(path) = paths.next_if(|path| bytes + path.len() <= MOST_BYTES || part.is_empty()) {
            bytes += path.len();
            part.push(path);
            if part.len() == MAX_PAGE as usize {
                break;
            }
        }
        let request = claim_check::Request { repository: name.clone(), paths: part };
        held.extend(client.call(request).await?.held);
    }
    Ok(held)
}

/// Tells those who hold files of the last commit. What cannot be told stops nobody: the commit is made.
async fn record(repository: &Repository, context: &Context) -> Result<(), Error> {
    let held = match held(repository, repository.committed()?, context).await {
        Ok(held) => held,
        Err(error) => {
            let report = error.report(&context.program);
            context.out.note(&format!("fedp2p guard: nothing was checked: {}", report.message));
            Vec::new()
        }
    };
    let reply = claim_check::Reply { held };
    if !reply.held.is_empty() {
        let mut by_holder: BTreeMap<&Address, Vec<&Held>> = BTreeMap::new();
        for held in &reply.held {
            by_holder.entry(&held.claim.by).or_default().push(held);
        }
        let commit = repository.git(["rev-parse", "--short", "HEAD"])?.unwrap_or_default();
        let name = repository.name()?;
        for (holder, held) in by_holder {
            let paths: Vec<&str> = held.iter().map(|held| held.path.as_str()).take(MOST_NAMED).collect();
            let more = held.len().saturating_sub(paths.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let text = format!(
                "commit {commit} of {name} went past the guard and changes what you hold: {}{more}",
                paths.join(", ")
            );
            let data = json!({ "guard": "bypassed", "commit": commit, "repository": name, "paths": paths });
            let (to, kind) = (vec![holder.to_string()], MessageType::Status);
            context.ask(send::Request { to, kind, text, data: Some(data), ..send::Request::default() }).await?;
        }
        context.out.note("fedp2p guard: this commit changes what others hold; they have been told");
    }
    context.show::<claim_check::Request>(&reply, |_| words(&reply.held))
}
