//! The commands, one file each. A command turns what was typed into operations, asks the daemon and shows the answer.

use std::future::Future;

use clap::error::ErrorKind;

use crate::args::{Cli, Command, Globals};
use crate::context::{Context, light_runtime};
use crate::error::{Error, Exit, Report};
use crate::ui::Output;
use crate::ui::colour::When;

pub(crate) mod ack;
pub(crate) mod agent;
pub(crate) mod agents;
pub(crate) mod approve;
pub(crate) mod attention;
pub(crate) mod claim;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod digest;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod guard;
pub(crate) mod history;
pub(crate) mod hook;
pub(crate) mod inbox;
pub(crate) mod invite;
pub(crate) mod join;
pub(crate) mod log;
pub(crate) mod mcp;
pub(crate) mod note;
pub(crate) mod peers;
pub(crate) mod pin;
pub(crate) mod pulse;
pub(crate) mod role;
pub(crate) mod send;
pub(crate) mod setup;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod task;
pub(crate) mod up;
pub(crate) mod vote;
pub(crate) mod wait;

/// Runs a command and says what went wrong, if something did.
///
/// # Errors
/// With how the program ends.
pub(crate) fn run(cli: Cli) -> Result<(), Exit> {
    let out = Output::new(cli.globals.json, cli.globals.color);
    let program = cli.globals.program();
    let result = dispatch(cli.command, &cli.globals, &out);
    result.map_err(|error| {
        // A reader that went away, as `head` does, has nothing to be told.
        if !matches!(error, Error::InEnvelope(_) | Error::OutputClosed) {
            out.failure(&error.report(&program));
        }
        error.exit()
    })
}

fn dispatch(command: Command, globals: &Globals, out: &Output) -> Result<(), Error> {
    // Looked for only by the commands that need it: the others work without a home too.
    let context = || Context::new(globals, out.clone());
    match command {
        Command::Demo(arguments) => demo::run(&arguments, out),
        Command::Completions(arguments) => completions::run(&arguments, out),
        Command::Up(arguments) => up::run(arguments, &context()?),
        Command::Down => block_on(down::run(&context()?)),
        Command::Status => block_on(status::run(&context()?)),
        Command::Peers => block_on(peers::run(&context()?)),
        Command::Invite(arguments) => block_on(invite::run(&arguments, &context()?)),
        Command::Join(arguments) => block_on(join::run(arguments, &context()?)),
        Command::Agent(arguments) => block_on(agent::run(arguments, &context()?, globals.agent.as_ref())),
        Command::Agents(arguments) => block_on(agents::run(arguments, &context()?)),
        Command::Send(arguments) => block_on(send::run(arguments, &context()?)),
        Command::Inbox(arguments) => block_on(inbox::run(&arguments, &context()?)),
        Command::Ack(arguments) => block_on(ack::run(arguments, &context()?)),
        Command::History(arguments) => block_on(history::run(arguments, &context()?)),
        Command::State(arguments) => block_on(state::run(arguments, &context()?)),
        Command::Pulse(arguments) => block_on(pulse::run(&arguments, &context()?)),
        Command::Attention(arguments) => block_on(attention::run(arguments, &context()?)),
        Command::Digest(arguments) => block_on(digest::run(&arguments, &context()?)),
        Command::Vote(arguments) => block_on(vote::run(arguments, &context()?)),
        Command::Task(arguments) => block_on(task::run(arguments, &context()?)),
        Command::Role(arguments) => block_on(role::run(arguments, &context()?)),
        Command::Approve(arguments) => block_on(approve::approve(arguments, &context()?)),
        Command::Deny(arguments) => block_on(approve::deny(arguments, &context()?)),
        Command::Pin(arguments) => block_on(pin::run(&arguments, &context()?)),
        Command::Note(arguments) => block_on(note::run(arguments, &context()?)),
        Command::Claim(arguments) => block_on(claim::run(arguments, &context()?)),
        Command::Guard(arguments) => block_on(guard::run(&arguments, &context()?)),
        Command::Setup(arguments) => setup::run(&arguments, globals, &context()?),
        Command::Hook(arguments) => {
            hook::run(&arguments, globals, out);
            Ok(())
        }
        Command::Wait(arguments) => block_on(wait::run(&arguments, &context()?)),
        Command::Doctor(doctor::Arguments {}) => block_on(doctor::run(globals, &context()?)),
        Command::Mcp(arguments) => mcp::run(arguments, globals, context()?),
        Command::Log(arguments) => block_on(log::run(&arguments, &context()?)),
    }
}

fn block_on(command: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    light_runtime()?.block_on(command)
}

/// Prints what the parser of the command line has to say: help, the version, or what is wrong.
///
/// # Errors
/// With [`Exit::Usage`] if something is wrong.
pub(crate) fn usage(error: &clap::Error) -> Result<(), Exit> {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let json = std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json");
    if json && !asked {
        let text = error.render().to_string();
        let first: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
        let message = first.join(" ").trim_start_matches("error: ").to_owned();
        Output::new(true, When::Never).failure(&Report {
            code: "usage".to_owned(),
            message,
            hint: "see \"fedp2p help\"".to_owned(),
            suggestions: suggestions(error),
        });
    } else if asked {
        // Nobody is left to tell if this cannot be printed.
        drop(error.print());
    } else {
        let text = error.render().to_string();
        let text = text.replace("For more information, try", "hint: for more information, try");
        Output::new(false, When::Auto).note(text.trim_end());
    }
    if asked { Ok(()) } else { Err(Exit::Usage) }
}

/// Returns what the parser thinks may have been meant.
fn suggestions(error: &clap::Error) -> Vec<String> {
    use clap::error::{ContextKind, ContextValue};
    let kinds = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    let mut found = Vec::new();
    for value in kinds.into_iter().filter_map(|kind| error.get(kind)) {
        if let ContextValue::String(text) = value {
            found.push(text.clone());
        } else if let ContextValue::Strings(texts) = value {
            found.extend(texts.iter().cloned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn a_mistyped_command_suggests_the_right_one_to_programs_too() {
        let error = Cli::try_parse_from(["fedp2p", "statsu"]).unwrap_err();
        assert!(suggestions(&error).contains(&"status".to_owned()));
    }
}
