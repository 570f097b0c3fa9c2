//! The command line: flags that every command has, and the commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use fedp2p_protocols::name::AgentName;

use crate::command::{
    ack, agent, agents, approve, attention, claim, completions, demo, digest, doctor, guard, history, hook, inbox,
    invite, join, log, mcp, note, pin, pulse, role, send, setup, state, task, up, vote, wait,
};
use crate::shell;
use crate::ui::colour::When;

const START: &str = "\
Start:
  fedp2p demo                            watch three nodes at work on this machine
  fedp2p up                              start this machine's node, in this terminal
  fedp2p invite                          print a ticket for another machine
  fedp2p up --join TICKET                start the other machine's node with it

Then:
  fedp2p pulse                           see what every agent is doing
  fedp2p send coder@taichi \"Hello\"       talk to one of them
  fedp2p inbox --watch                   read what they say

Exit codes: 0 done, 1 refused, 2 usage, 3 no daemon, 4 outcome unknown, 70 bug";

/// A brokerless mesh in which AI agents and people coordinate
#[derive(Debug, Parser)]
#[command(name = "fedp2p", version, after_help = START, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command has.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Use the node of this home folder [env: FEDP2P_HOME]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,

    /// Speak as this agent of the node instead of as a person
    #[arg(long, global = true, value_name = "NAME", env = "FEDP2P_AGENT", hide_env_values = true)]
    pub(crate) agent: Option<AgentName>,

    /// Print JSON for programs: one versioned object, or a line for each event
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_default_value = true)]
    pub(crate) color: When,
}

impl Globals {
    /// Returns how this program is called to reach the same home.
    pub(crate) fn program(&self) -> String {
        match &self.home {
            None => "fedp2p".to_owned(),
            Some(home) => format!("fedp2p --home {}", shell::word(&home.display().to_string())),
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(up::Arguments),
    /// Stop this machine's node
    #[command(after_help = "Examples:\n  fedp2p down\n  fedp2p down && fedp2p up --detach")]
    Down,
    /// Show how this machine's node is doing
    #[command(after_help = "Examples:\n  fedp2p status\n  fedp2p status --json")]
    Status,
    /// List the other nodes of the organisation
    #[command(after_help = "Examples:\n  fedp2p peers\n  fedp2p peers --json")]
    Peers,
    Invite(invite::Arguments),
    Join(join::Arguments),
    Agent(agent::Arguments),
    Agents(agents::Arguments),
    Send(send::Arguments),
    Inbox(inbox::Arguments),
    Ack(ack::Arguments),
    History(history::Arguments),
    State(state::Arguments),
    Pulse(pulse::Arguments),
    Attention(attention::Arguments),
    Digest(digest::Arguments),
    Vote(vote::Arguments),
    Task(task::Arguments),
    Role(role::Arguments),
    Approve(approve::Approve),
    Deny(approve::Deny),
    Pin(pin::Arguments),
    Note(note::Arguments),
    Claim(claim::Arguments),
    Guard(guard::Arguments),
    Setup(setup::Arguments),
    Hook(hook::Arguments),
    Wait(wait::Arguments),
    Doctor(doctor::Arguments),
    Log(log::Arguments),
    Mcp(mcp::Arguments),
    Completions(completions::Arguments),
    Demo(demo::Arguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn each(command: &clap::Command, check: &mut impl FnMut(&clap::Command)) {
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            check(inner);
            each(inner, check);
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_examples() {
        each(&Cli::command(), &mut |command| {
            let name = command.get_name();
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(about.starts_with(char::is_uppercase) && !about.ends_with('.'), "{name}: {about:?}");
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("fedp2p ") || command.has_subcommands(), "{name} has no example");
        });
    }

    #[test]
    fn every_example_parses() {
        let mut seen = 0;
        each(&Cli::command(), &mut |command| {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = after.lines().skip_while(|line| *line != "Examples:");
            for line in examples.filter_map(|line| line.split_once("fedp2p ").map(|(_, rest)| rest)) {
                let words = words(line);
                let result = Cli::try_parse_from(std::iter::once("fedp2p".to_owned()).chain(words));
                assert!(result.is_ok(), "{line}\n{}", result.unwrap_err());
                seen += 1;
            }
        });
        assert!(seen > 20, "only {seen} examples");
    }

    /// Splits a shell line without anything special but quotes, up to the first operator.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quote = None;
        for c in line.chars() {
            match (c, quote) {
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                ('&' | '|' | '<' | '>', None) => break,
                (' ', None) => words.push(String::new()),
                (c, _) => words.last_mut().unwrap().push(c),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn global_flags_work_before_and_after_the_command() {
        for line in ["fedp2p --json --home /x status", "fedp2p status --json --home /x"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert!(cli.globals.json);
            assert_eq!(cli.globals.program(), "fedp2p --home /x");
        }
    }

    #[test]
    fn a_bad_agent_name_and_an_unknown_command_are_usage_errors() {
        for line in ["fedp2p --agent Co.der status", "fedp2p statsu"] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2);
        }
        let error = Cli::try_parse_from(["fedp2p", "statsu"]).unwrap_err();
        assert!(error.to_string().contains("status"), "{error}");
    }

    #[test]
    fn hints_quote_a_home_that_a_shell_would_split() {
        let globals = Globals { home: Some("/my home/it's".into()), ..Globals::default() };
        assert_eq!(globals.program(), "fedp2p --home '/my home/it'\\''s'");
    }
}
