//! `fedp2p hook`: what the hooks of coding tools run.
//!
//! Tells the model what concerns its agent, once, and the mesh what the agent does. Whatever happens, the tool goes on:
//! it ends with 0, and with nothing to say if the daemon is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use fedp2p_node::client::Client;
use fedp2p_protocols::api::{Caller, state, status, surfaced};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::pulse::{AgentKind, Pulse};
use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::args::Globals;
use crate::concerns::{self, Concerns, MAX_MESSAGES};
use crate::context::{Context, light_runtime};
use crate::error::{Error, Exit};
use crate::identity::agent_for;
use crate::setup::{Event, Moment, Tool, claude_code};
use crate::speakers::name_for;
use crate::ui::Output;
use crate::ui::colour::When;

mod beside;

/// How long the daemon has for everything.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most bytes that are read of what a tool says.
const MAX_INPUT: u64 = 64 * 1024 * 1024;
/// Most bytes that a model is told at once. Tools cut or put aside what is longer than 10,000 characters.
const MAX_WORDS: usize = 8000;
/// Most sessions of one agent that are remembered.
const MAX_SESSIONS: usize = 8;
/// Most decisions and tasks of one session that are remembered as told.
const MAX_TOLD: usize = 512;
/// Where it is remembered what was told, in the home folder.
const FOLDER: &str = "heard";

/// Tell a coding tool's model what concerns its agent; for the hooks that "fedp2p setup" writes
#[derive(Debug, Args)]
#[command(after_help = "\
Reads what the tool says on stdin, and answers in the tool's own form. It always ends with 0: without a daemon the answer
is empty, and the tool goes on.

Examples:
  fedp2p hook claude-code PostToolUse
  fedp2p hook codex Stop")]
pub(crate) struct Arguments {
    /// The tool
    client: String,

    /// What the tool calls the moment
    event: String,

    /// The hook of somebody else that is run as well, where the tool runs only one
    #[arg(long, value_name = "FILE", hide = true)]
    beside: Option<PathBuf>,
}

/// What a tool says on stdin. Each tool has other fields; what is of another kind than expected is not there.
#[derive(Debug, Default)]
struct Input {
    fields: BTreeMap<String, Box<RawValue>>,
}

impl Input {
    fn read() -> Self {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Self::default();
        }
        let mut text = Vec::new();
        // What cannot be read says nothing.
        let read = stdin.lock().take(MAX_INPUT).read_to_end(&mut text);
        read.map(|_| Self::of(&text)).unwrap_or_default()
    }

    fn of(text: &[u8]) -> Self {
        Self { fields: serde_json::from_slice(text).unwrap_or_default() }
    }

    fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.fields.get(name).and_then(|value| serde_json::from_str(value.get()).ok())
    }

    fn has(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|value| value.get() != "null")
    }

    fn is(&self, name: &str) -> bool {
        self.get(name).unwrap_or(false)
    }

    fn session(&self) -> String {
        let names = ["conversation_id", "session_id", "sessionId", "taskId"];
        names.into_iter().find_map(|name| self.get(name)).unwrap_or_default()
    }

    /// The folder of the project that the tool works on.
    fn project(&self) -> PathBuf {
        let set = ["CLAUDE_PROJECT_DIR", "CURSOR_PROJECT_DIR", "GEMINI_PROJECT_DIR"];
        let set = set.into_iter().find_map(|name| std::env::var_os(name).filter(|value| !value.is_empty()));
        let root = |name| self.get::<Vec<PathBuf>>(name)?.into_iter().next();
        let said = || root("workspace_roots").or_else(|| root("workspaceRoots")).or_else(|| self.get("cwd"));
        set.map(PathBuf::from).or_else(said).unwrap_or_else(|| PathBuf::from("."))
    }

    /// Whether the hook of a tool was run by another one that reads the same settings, or for a model that the agent
    /// has called: what it was told would be lost.
    fn is_not_for(&self, tool: &Tool) -> bool {
        let cursor = self.has("cursor_version");
        let copilot = self.has("timestamp") && !self.has("permission_mode");
        let foreign = tool.name == "claude-code" && (cursor || copilot);
        // Cline names the agent in every task, and the one that called it only if there is one.
        foreign || self.has("parent_agent_id") || (self.has("agent_id") && !self.has("taskId"))
    }

    /// Whether the model goes on already because a hook said so, or was interrupted.
    fn goes_on_already(&self) -> bool {
        let interrupted = self.get::<String>("status").is_some_and(|status| status != "completed");
        self.is("stop_hook_active") || self.get("loop_count").unwrap_or(0) > 0 || interrupted
    }

    /// Whether "fedp2p doctor" asks if the hook reaches the daemon.
    fn is_probe(&self) -> bool {
        self.is("fedp2p_probe")
    }
}

/// Answers a hook.
pub(crate) fn run(arguments: &Arguments, globals: &Globals, out: &Output) {
    if let Some(other) = &arguments.beside {
        if let Err(error) = beside::run(other, out) {
            out.note(&format!("fedp2p: {}", error.report("fedp2p").message));
        }
        return;
    }
    let input = Input::read();
    let Some(tool) = Tool::find(&arguments.client) else {
        return out.note(&format!("fedp2p: no tool is called {:?}: \"fedp2p setup\" lists them", arguments.client));
    };
    let Some(event) = tool.event(&arguments.event) else {
        return out.note(&format!("fedp2p: {} has no hook {:?} that is used", tool.title, arguments.event));
    };
    let answered = if input.is_not_for(tool) { Ok(false) } else { act(tool, event, &input, globals, out) };
    if let Err(error) = &answered {
        out.note(&format!("fedp2p: {}", error.report("fedp2p").message));
    }
    if !matches!(answered, Ok(true) | Err(Error::OutputClosed)) {
        // Who reads nothing needs no answer.
        drop(out.print(&format!("{}\n", tool.nothing)));
    }
}

/// Does what there is to do and returns whether something was printed.
fn act(tool: &Tool, event: &Event, input: &Input, globals: &Globals, out: &Output) -> Result<bool, Error> {
    let mut context = Context::new(globals, out.clone())?;
    if globals.agent.is_none() {
        let first = agent_for(tool.name, &input.project());
        context.caller = Caller { name: name_for(context.home.root(), tool.name, first), kind: AgentKind::Ai };
    }
    let shells = std::env::var_os(claude_code::SHELL_FILE).filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Some(path) = shells.filter(|_| tool.name == claude_code::TOOL.name && event.moment == Moment::Start)
        && let Err(error) = claude_code::name_in_shells(&path, &context.caller.name)
    {
        out.note(&format!("fedp2p: {} cannot be written: {error}", path.display()));
    }
    light_runtime()?.block_on(async {
        let done = tokio::time::timeout(PATIENCE, talk(tool, event, input, &context)).await;
        done.unwrap_or_else(|_| Err(fedp2p_node::client::ConnectError::Silent.into()))
    })
}

async fn talk(tool: &Tool, event: &Event, input: &Input, context: &Context) -> Result<bool, Error> {
    let mut client = context.connect().await?;
    let me = &context.caller.name;
    if input.is_probe() {
        let node = client.call(status::Request {}).await?.node.name;
        return say(tool, event, &format!("fedp2p answers {me}@{node}"), context);
    }
    let session = input.session();
    // Tools run hooks of one model at the same time: only one of them tells what there is.
    let Some(mut heard) = Heard::open(context.home.root(), me)? else { return Ok(false) };
    if event.moment == Moment::Start {
        heard.memory.forget(&session);
    }
    let mut printed = false;
    if event.heard && !(event.moment == Moment::Stop && input.goes_on_already()) {
        printed = deliver(&mut client, (tool, event), &session, &mut heard.memory, context).await?;
    }
    if event.moment == Moment::End {
        heard.memory.forget(&session);
    }
    let status = if printed && event.moment == Moment::Stop { Moment::Step.status() } else { event.moment.status() };
    if heard.memory.status != status {
        let pulse = Pulse { status: Some(status.to_owned()), ..Pulse::default() };
        client.call(state::Request { pulse, clear: Vec::new() }).await?;
        status.clone_into(&mut heard.memory.status);
    }
    heard.save();
    Ok(printed)
}

/// Hands out what concerns the agent and says so to the daemon, in this order.
async fn deliver(
    client: &mut Client,
    (tool, event): (&Tool, &Event),
    session: &str,
    memory: &mut Memory,
    context: &Context,
) -> Result<bool, Error> {
    let me = &context.caller.name;
    let concerns = Concerns::gather(client, me, MAX_MESSAGES).await?;
    let told = memory.told(session);
    let Some(handed) = concerns::hand_out(&concerns, me, told, MAX_WORDS) else { return Ok(false) };
    told.extend(handed.keys);
    while told.len() > MAX_TOLD {
        told.pop_first();
    }
    say(tool, event, &handed.text, context)?;
    if let Some(cursor) = handed.cursor {
        client.call(surfaced::Request { cursor, held: concerns.inbox.with_held }).await?;
    }
    Ok(true)
}

fn say(tool: &Tool, event: &Event, text: &str, context: &Context) -> Result<bool, Error> {
    let answer = (tool.answer)(event, text);
    context.out.print(&format!("{answer}\n"))?;
    Ok(true)
}

/// What the models that speak as one agent were told. Whoever has it open is the only one.
#[derive(Debug)]
struct Heard {
    file: File,
    memory: Memory,
}

/// What is remembered.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    /// The status that the agent shows.
    status: String,
    /// Newest last.
    sessions: Vec<Session>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Session {
    id: String,
    told: BTreeSet<String>,
}

impl Heard {
    /// Opens what is remembered of an agent, or returns nothing if somebody else has it open.
    fn open(home: &Path, agent: &AgentName) -> Result<Option<Self>, Error> {
        let folder = home.join(FOLDER);
        let path = folder.join(format!("{agent}.json"));
        let open = || -> io::Result<Option<Self>> {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            let mut options = OpenOptions::new();
            let mut file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                return Ok(None);
            }
            let mut text = Vec::new();
            file.read_to_end(&mut text)?;
            // A file that was cut off says nothing: then some things are told twice.
            let memory = serde_json::from_slice(&text).unwrap_or_default();
            Ok(Some(Self { file, memory }))
        };
        open().map_err(Error::system(format!("open {}", path.display())))
    }

    fn save(mut self) {
        let mut write = || -> io::Result<()> {
            let text = serde_json::to_vec(&self.memory)?;
            self.file.seek(SeekFrom::Start(0))?;
            self.file.set_len(0)?;
            self.file.write_all(&text)
        };
        // What is not remembered is told again.
        drop(write());
    }
}

impl Memory {
    /// What was told in a session.
    fn told(&mut self, session: &str) -> &mut BTreeSet<String> {
        let at = self.sessions.iter().position(|known| known.id == session);
        let at = at.unwrap_or_else(|| {
            if self.sessions.len() >= MAX_SESSIONS {
                self.sessions.remove(0);
            }
            self.sessions.push(Session { id: session.to_owned(), told: BTreeSet::new() });
            self.sessions.len() - 1
        });
        &mut self.sessions[at].told
    }

    fn forget(&mut self, session: &str) {
        self.sessions.retain(|known| known.id != session);
    }
}

/// Whether a command line that does not parse was a hook's.
pub(crate) fn is_asked(error: &clap::Error) -> bool {
    error.use_stderr() && std::env::args_os().skip(1).any(|word| word == "hook")
}

/// Says what is wrong with a hook's command line. It does not fail: to some tools code 2 means to stop.
///
/// # Errors
/// None.
pub(crate) fn misused(error: &clap::Error) -> Result<(), Exit> {
    Output::new(false, When::Never).note(error.render().to_string().trim_end());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::codex;

    fn input(json: &str) -> Input {
        Input::of(json.as_bytes())
    }

    #[test]
    fn sessions_are_known_by_what_each_tool_calls_them() {
        for json in [
            r#"{"session_id":"s","cwd":"/x"}"#,
            r#"{"sessionId":"s"}"#,
            r#"{"conversation_id":"s","session_id":"t"}"#,
            r#"{"taskId":"s"}"#,
        ] {
            assert_eq!(input(json).session(), "s", "{json}");
        }
    }

    #[test]
    fn a_hook_that_another_tool_runs_is_silent() {
        let cursor = input(r#"{"cursor_version":"3.7","hook_event_name":"PostToolUse"}"#);
        let copilot = input(r#"{"timestamp":"2026-11-21T00:00:00Z","hook_event_name":"PostToolUse"}"#);
        let claude = input(r#"{"session_id":"s","permission_mode":"default","transcript_path":"/x"}"#);
        assert!(cursor.is_not_for(&claude_code::TOOL) && copilot.is_not_for(&claude_code::TOOL));
        assert!(!claude.is_not_for(&claude_code::TOOL) && !copilot.is_not_for(&codex::TOOL));
        let called = input(r#"{"session_id":"s","permission_mode":"default","agent_id":"a1"}"#);
        assert!(called.is_not_for(&claude_code::TOOL));
    }

    #[test]
    fn nobody_is_kept_from_stopping_twice() {
        assert!(input(r#"{"stop_hook_active":true}"#).goes_on_already());
        assert!(input(r#"{"loop_count":1,"status":"completed"}"#).goes_on_already());
        assert!(input(r#"{"loop_count":0,"status":"aborted"}"#).goes_on_already());
        assert!(!input(r#"{"loop_count":0,"status":"completed"}"#).goes_on_already());
        assert!(!input(r#"{"stop_hook_active":false}"#).goes_on_already());
        assert!(input(r#"{"session_id":7,"workspace_roots":null,"stop_hook_active":true}"#).goes_on_already());
    }

    #[test]
    fn only_one_at_a_time_tells_and_what_was_told_is_remembered() {
        let home = tempfile::tempdir().unwrap();
        let agent: AgentName = "coder".parse().unwrap();
        let mut first = Heard::open(home.path(), &agent).unwrap().unwrap();
        assert!(Heard::open(home.path(), &agent).unwrap().is_none());
        first.memory.told("s").insert("vote:x".to_owned());
        first.save();
        let mut next = Heard::open(home.path(), &agent).unwrap().unwrap();
        assert!(next.memory.told("s").contains("vote:x") && next.memory.told("t").is_empty());
        next.memory.forget("s");
        assert!(next.memory.told("s").is_empty());
    }

    #[test]
    fn few_sessions_are_remembered() {
        let mut memory = Memory::default();
        for number in 0..50 {
            memory.told(&number.to_string());
        }
        assert_eq!(memory.sessions.len(), MAX_SESSIONS);
        assert_eq!(memory.sessions[0].id, "42");
    }
}
