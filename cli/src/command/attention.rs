//! `fedp2p attention`.

use clap::{Args, Subcommand, ValueEnum};
use fedp2p_protocols::api::attention_set;
use fedp2p_protocols::attention::Mode;

use crate::context::Context;
use crate::error::Error;
use crate::ui::show;

/// Say what you want to be handed now
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Set what is handed to you; the rest is held until you are open again
    #[command(after_help = "\
Senders see what is held. \"fedp2p agents\" shows everybody's attention.

Examples:
  fedp2p attention set dnd --agent coder
  fedp2p attention set focus --urgent-from people,lead@taichi
  fedp2p attention set open")]
    Set {
        /// What is handed to you
        #[arg(value_enum)]
        mode: Want,
        /// Whose urgent messages come in any case: agents, or people, all or nobody, separated by commas; people if absent
        #[arg(long, value_name = "WHO", value_delimiter = ',')]
        urgent_from: Vec<String>,
    },
}

/// What is handed over, as it is typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Want {
    /// Everything
    Open,
    /// What names you, but no status
    Focus,
    /// Nothing
    Dnd,
}

/// Sets the caller's attention.
pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    let Action::Set { mode, urgent_from } = arguments.action;
    let mode = match mode {
        Want::Open => Mode::Open,
        Want::Focus => Mode::Focus,
        Want::Dnd => Mode::Dnd,
    };
    let reply = context.ask(attention_set::Request { mode, urgent: urgent_from }).await?;
    context.show::<attention_set::Request>(&reply, |_| {
        let mut who: Vec<String> = reply.agents.iter().map(ToString::to_string).collect();
        who.extend(reply.people.then(|| "people".to_owned()));
        who.extend(reply.all.then(|| "everybody".to_owned()));
        let who = if who.is_empty() { "nobody".to_owned() } else { who.join(", ") };
        format!("your attention is {}; urgent messages come through from {who}\n", show::attention(reply.mode))
    })
}
