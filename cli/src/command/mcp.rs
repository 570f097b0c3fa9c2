//! `fedp2p mcp`: the server that AI tools start to speak as an agent.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::args::Globals;
use crate::context::{Context, light_runtime};
use crate::error::Error;
use crate::mcp::start::Starter;
use crate::mcp::tools::Profile;
use crate::mcp::who::{Agents, Client, Naming};
use crate::mcp::{Server, stdio};

/// Serve an AI tool over the Model Context Protocol (MCP), on stdin and stdout
///
/// Tools such as Claude Code, Codex or Cursor start this by themselves once they are told to. The agent is called like the
/// tool and the project's folder unless --agent gives it a name.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fedp2p mcp
  fedp2p mcp --agent coder
  fedp2p mcp --client claude-code --profile full")]
pub(crate) struct Arguments {
    /// Which tools to offer
    #[arg(long, value_name = "PROFILE", default_value = "default")]
    profile: Profile,

    /// Name the agent after this tool, whatever the client calls itself
    #[arg(long, value_name = "NAME")]
    client: Option<String>,

    /// Name the agent after this project's folder instead of the one that this runs in
    #[arg(long, value_name = "DIR")]
    project: Option<PathBuf>,

    /// Speak as the agent together with other clients that do
    #[arg(long)]
    share: bool,

    /// Do not start the daemon if none runs
    #[arg(long)]
    no_start: bool,
}

/// Serves the client at stdin and stdout.
pub(crate) fn run(arguments: Arguments, globals: &Globals, context: Context) -> Result<(), Error> {
    let project = match arguments.project {
        Some(project) => project,
        None => std::env::current_dir().map_err(Error::system("find the present folder"))?,
    };
    let naming =
        Naming { agent: globals.agent.clone(), tool: arguments.client, project: Some(project), share: arguments.share };
    let home = context.home.clone();
    let starter = if arguments.no_start { Starter::default() } else { Starter::new(context) };
    let agents = Arc::new(Agents::new(home, naming, starter));
    let runtime = light_runtime()?;
    let served = runtime.block_on(stdio::serve(Server::new(arguments.profile, agents, |_| Client::default())));
    // Whoever reads stdin cannot be stopped, and has nothing more to read for.
    runtime.shutdown_background();
    served
}
