//! `fedp2p completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::error::Error;
use crate::ui::Output;

/// Print a script that completes commands in a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fedp2p completions bash > ~/.local/share/bash-completion/completions/fedp2p
  fedp2p completions zsh > ~/.zfunc/_fedp2p
  fedp2p completions fish > ~/.config/fish/completions/fedp2p.fish")]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(arguments: &Arguments, out: &Output) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "fedp2p", &mut script);
    Ok(out.print(&String::from_utf8_lossy(&script))?)
}
