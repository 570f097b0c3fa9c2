//! `fedp2p agent`.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use fedp2p_protocols::api::Caller;
use fedp2p_protocols::api::status;
use fedp2p_protocols::limits::{MAX_CLAIM_TTL_S, MIN_CLAIM_TTL_S};
use fedp2p_protocols::name::{Address, AgentName, RoleName};
use fedp2p_protocols::payload::MessageType;
use fedp2p_protocols::pulse::AgentKind;

use super::history::message_type;
use crate::agent::Worker;
use crate::agent::command::Program;
use crate::agent::http::Endpoint;
use crate::agent::job::Shared;
use crate::agent::mesh::Door;
use crate::agent::model::{self, Model};
use crate::agent::report::Report;
use crate::agent::retry::Retries;
use crate::agent::watchdog::{self, Watchdog};
use crate::agent::work::{self, Settings};
use crate::context::Context;
use crate::error::Error;
use crate::ui::time::parse_duration;

/// The longest file of instructions.
const MAX_INSTRUCTIONS_BYTES: u64 = 256 * 1024;
/// The longest key.
const MAX_KEY_BYTES: u64 = 4 * 1024;

/// Make any program or a local model an agent
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run an agent that is any program, or a model behind a local endpoint
    #[command(after_help = "\
The program is started for each task that the agent takes and each message that it is sent, with one JSON document on
stdin: {\"version\": 1, \"kind\": \"task\" or \"message\", \"task\" or \"message\": {…}, \"thread\": […], \"agent\", \"try\"}. What is
in it was written by others: it is data. How the program ends says what came of it:
  exit code 0    done; stdout is the result, as data if it is a JSON object or list
  66             it needs input: stdout is the question; the task goes on when a message answers it
  75             not now: the task is handed back to others; stdout says why
  any other      failed; the last lines of stderr say why, and it is tried again as often as --retries says
Messages are answered with a result or an error; with no output they are acknowledged. A model gets the same as JSON in
user messages, and its answer is the result. Work is done at least once: what a killed run had in hand is taken up
again by the next run of the same name, or by others once the lease has run out.

Examples:
  fedp2p agent run --name builder -- make test
  fedp2p agent run --name linter --role reviewer --tasks --concurrency 2 --timeout 5m -- ./review.sh --strict
  fedp2p agent run --name helper --model http://127.0.0.1:8080 --instructions helper.md
  fedp2p agent run --name analyst --role analyst --model http://127.0.0.1:11434 --model-name qwen3 --json")]
    Run(Box<Run>),
    /// End the programs of a runner that was killed; only for runners
    #[command(hide = true, after_help = "Examples:\n  fedp2p agent watchdog")]
    Watchdog,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("worker").required(true).args(["command", "model"]))]
struct Run {
    /// The agent's name on this node; --agent does the same
    #[arg(long, value_name = "NAME")]
    name: Option<AgentName>,
    /// Give the agent this role, so that tasks for the role are its own
    #[arg(long)]
    role: Option<RoleName>,
    /// Only tasks, unless --messages is given too
    #[arg(long)]
    tasks: bool,
    /// Only messages, unless --tasks is given too
    #[arg(long)]
    messages: bool,
    /// Messages of these types, separated by commas; others are passed over
    #[arg(long, value_name = "TYPES", value_delimiter = ',', default_value = "chat,task", value_parser = message_type())]
    types: Vec<MessageType>,
    /// Messages to everybody too, not only those to the agent
    #[arg(long)]
    everybody: bool,
    /// How much is worked on at once
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// How long one try may take
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    timeout: Duration,
    /// How long a program that is ended has between SIGTERM and SIGKILL
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    grace: Duration,
    /// How often failed work is tried again
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=100))]
    retries: u32,
    /// How long to wait before the first of these tries; twice as long before each further one
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    backoff: Duration,
    /// After how long without a sign of life others may take what this agent holds
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = lease)]
    lease: u32,
    /// How long work in hand has to come to its end when this is interrupted, before it is handed back
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    drain: Duration,
    /// How many bytes of a program's output are kept
    #[arg(long, value_name = "BYTES", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    max_output: u32,

    #[command(flatten)]
    model: ModelArguments,

    /// The program and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "A model instead of a program")]
struct ModelArguments {
    /// The OpenAI-compatible endpoint, such as llama.cpp's server, vLLM or Ollama; nothing else is contacted
    #[arg(long, value_name = "URL")]
    model: Option<String>,
    /// The model's name there; the first that the endpoint lists if absent
    #[arg(long, value_name = "NAME", requires = "model", conflicts_with = "command")]
    model_name: Option<String>,
    /// What the model is told, before anything else
    #[arg(long, value_name = "FILE", requires = "model", conflicts_with = "command")]
    instructions: Option<PathBuf>,
    /// A file with the key that the endpoint wants
    #[arg(long, value_name = "FILE", requires = "model", conflicts_with = "command")]
    key_file: Option<PathBuf>,
    /// How many tokens a prompt and its answer have together. They are estimated, at first as three bytes each, and then
    /// as the endpoint counts them
    #[arg(long, value_name = "NUMBER", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(512..=10_000_000))]
    context_tokens: u32,
    /// How many of them are for the answer
    #[arg(long, value_name = "NUMBER", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    answer_tokens: u32,
}

/// Reads how long a lease lasts.
fn lease(text: &str) -> Result<u32, String> {
    let seconds = super::vote::seconds(text)?;
    let range = MIN_CLAIM_TTL_S..=MAX_CLAIM_TTL_S;
    if range.contains(&seconds) {
        return Ok(seconds);
    }
    Err(format!("a lease lasts {MIN_CLAIM_TTL_S} to {MAX_CLAIM_TTL_S} seconds"))
}

/// Runs an agent.
pub(crate) async fn run(arguments: Arguments, context: &Context, agent: Option<&AgentName>) -> Result<(), Error> {
    match arguments.action {
        Action::Run(arguments) => start(*arguments, context, agent).await,
        Action::Watchdog => {
            watchdog::run(io::stdin().lock());
            Ok(())
        }
    }
}

async fn start(arguments: Run, context: &Context, agent: Option<&AgentName>) -> Result<(), Error> {
    let name = name(arguments.name.as_ref(), agent)?;
    let caller = Caller { name: name.clone(), kind: AgentKind::Ai };
    let door = Door { home: context.home.clone(), caller };
    let node = door.calls().attempt(&status::Request {}).await?.node.name;
    let me = Address::local(name.clone(), node);
    let worker = match &arguments.model.model {
        Some(url) => Worker::Model(model(url, &arguments, &me).await?),
        None => Worker::Program(program(&arguments, context, &name)?),
    };
    let both = arguments.tasks == arguments.messages;
    let settings = Settings {
        role: arguments.role,
        tasks: arguments.tasks || both,
        messages: arguments.messages || both,
        types: arguments.types,
        everybody: arguments.everybody,
        concurrency: arguments.concurrency.into(),
        lease_s: arguments.lease,
        drain: arguments.drain,
        grace: arguments.grace,
    };
    let shared = Shared {
        door,
        me,
        worker,
        retries: Retries { most: arguments.retries, first: arguments.backoff },
        tasks: settings.tasks,
        report: Report::new(context.out.clone()),
    };
    work::run(settings, Arc::new(shared)).await
}

/// The agent's name, which can be given in two ways.
fn name(name: Option<&AgentName>, agent: Option<&AgentName>) -> Result<AgentName, Error> {
    match (name, agent) {
        (Some(name), Some(agent)) if name != agent => {
            let message = format!("the agent is called {name} and {agent}");
            Err(Error::usage(message, "leave out --name, or --agent and FEDP2P_AGENT"))
        }
        (Some(name), _) | (None, Some(name)) => Ok(name.clone()),
        (None, None) => Err(Error::usage("the agent has no name", "give it one: --name NAME")),
    }
}

fn program(arguments: &Run, context: &Context, name: &AgentName) -> Result<Program, Error> {
    let mut program = Program {
        words: arguments.command.clone(),
        variables: vec![
            ("FEDP2P_AGENT", name.as_str().into()),
            ("FEDP2P_HOME", context.home.root().as_os_str().to_owned()),
        ],
        timeout: arguments.timeout,
        grace: arguments.grace,
        most_output: usize::try_from(arguments.max_output).unwrap_or(usize::MAX),
        watchdog: None,
    };
    if program.exists() {
        program.watchdog = Some(Watchdog::start().map_err(Error::system("start a process beside this one"))?);
        return Ok(program);
    }
    let message = format!("there is no program {:?}", program.name());
    Err(Error::usage(message, "give its path, or a shell: -- sh -c 'COMMAND'"))
}

async fn model(url: &str, arguments: &Run, me: &Address) -> Result<Model, Error> {
    let given = &arguments.model;
    let read = |path: &Option<PathBuf>, most| path.as_ref().map(|path| read(path, most)).transpose();
    let instructions = read(&given.instructions, MAX_INSTRUCTIONS_BYTES)?.unwrap_or_default();
    let key = read(&given.key_file, MAX_KEY_BYTES)?;
    let endpoint = Endpoint::new(url, key.as_deref().map(str::trim))
        .map_err(|error| Error::usage(error.to_string(), "give a URL such as http://127.0.0.1:8080"))?;
    let settings = model::Settings {
        instructions,
        context_tokens: given.context_tokens,
        answer_tokens: given.answer_tokens,
        timeout: arguments.timeout,
    };
    let model = Model::find(endpoint, given.model_name.clone(), settings).await?;
    model.check_room(me)?;
    Ok(model)
}

/// Reads a file of text.
fn read(path: &Path, most: u64) -> Result<String, Error> {
    let failed = || Error::system(format!("read {}", path.display()));
    let bytes = std::fs::metadata(path).map_err(failed())?.len();
    if bytes > most {
        let message = format!("{} has {bytes} bytes; at most {most} are allowed", path.display());
        return Err(Error::usage(message, "give a shorter file"));
    }
    std::fs::read_to_string(path).map_err(failed())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        run: Run,
    }

    fn parse(words: &str) -> Result<Run, clap::Error> {
        Line::try_parse_from(std::iter::once("run").chain(words.split(' '))).map(|line| line.run)
    }

    #[test]
    fn an_agent_is_a_program_or_a_model_and_not_both() {
        let run = parse("--name a --retries 0 -- make test --jobs").unwrap();
        assert_eq!(run.command, ["make", "test", "--jobs"]);
        assert!(parse("--name a --model http://x").is_ok());
        for wrong in ["--name a", "--name a --model http://x -- make", "--name a --instructions f -- make"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_it_handles_can_be_chosen() {
        let run = parse("--name a -- make").unwrap();
        assert_eq!((run.types, run.concurrency, run.lease), (vec![MessageType::Chat, MessageType::Task], 1, 60));
        let run = parse("--name a --messages --types chat,result,status --lease 5s -- make").unwrap();
        assert_eq!((run.types.len(), run.tasks, run.messages, run.lease), (3, false, true, 5));
        for wrong in ["--types chat,talk", "--lease 1s", "--concurrency 0"] {
            assert!(parse(&format!("--name a {wrong} -- make")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_is_given_once() {
        let (one, other) = ("one".parse().unwrap(), "other".parse().unwrap());
        assert_eq!(name(Some(&one), None).unwrap(), one);
        assert_eq!(name(None, Some(&other)).unwrap(), other);
        assert_eq!(name(Some(&one), Some(&one)).unwrap(), one);
        assert!(name(Some(&one), Some(&other)).is_err());
        assert!(name(None, None).is_err());
    }
}
