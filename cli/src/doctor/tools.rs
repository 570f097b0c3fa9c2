//! The coding tools that were set up: their server is started and one of their hooks is run as the tool does it, from
//! what stands in the tool's files now, and the answers are looked at. Nothing is handed out by that.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::Finding;
use crate::setup::merge::Change;
use crate::setup::record::{Done, Record};
use crate::setup::target::{Scope, Target};
use crate::setup::{Edit, Event, Moment, Tool, disk, generic, opencode};
use crate::shell;
use crate::ui::time::measured;

/// How long a server or a hook has to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long one that failed has to say why.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A hook that takes longer is felt.
const SLOW: Duration = Duration::from_millis(30);
/// The protocol that is spoken to a server.
const PROTOCOL: &str = "2025-11-25";
/// A tool that every profile of our server has.
const KNOWN_TOOL: &str = "federation_send";
/// One that changes nothing and says who asks.
const ASKED_TOOL: &str = "federation_pulse";
/// How the daemon refuses a name that another client has; the name follows.
const HELD: &str = "another client speaks as ";

/// What every tool hands on of its environment to the servers that it starts; some hand on no more.
const HANDED_ON: [&str; 6] = ["HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"];

/// Looks at every tool that was set up.
pub(crate) async fn tools<'a>(
    record: &Record,
    target: impl Fn(&'static Tool, Scope, Option<PathBuf>) -> Target<'a>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for done in &record.tools {
        let Some(tool) = Tool::find(&done.tool) else { continue };
        let file = done.files.first().map(|written| written.path.clone());
        findings.extend(look_at(done, &target(tool, done.scope(), file)).await);
    }
    if findings.is_empty() {
        findings.push(Finding::good("coding tools", "none is set up; \"fedp2p setup\" lists them"));
    }
    findings
}

async fn look_at(done: &Done, target: &Target<'_>) -> Vec<Finding> {
    let tool = target.tool;
    let project = done.project.as_ref().map(|folder| format!(" --project={}", folder.display())).unwrap_or_default();
    let again = format!("set it up again: \"fedp2p setup {}{project}\"", tool.name);
    let name = |part: &str| match &done.project {
        None => format!("{} {part}", tool.title),
        Some(project) => format!("{} {part} in {}", tool.title, project.display()),
    };
    let edits = match (tool.edits)(target) {
        Ok(edits) => edits,
        Err(error) => return vec![Finding::bad(name("files"), error.report("fedp2p").message, again)],
    };
    let folder = done.project.clone().unwrap_or_else(|| PathBuf::from("."));
    let server = edits.iter().find_map(|edit| edit.change.server_in(&read(&edit.path)?));
    let mut findings = Vec::new();
    if edits.iter().any(|edit| edit.change.has_server()) {
        findings.push(match server {
            None => Finding::bad(name("server"), "our entry is not in its settings any more", again.clone()),
            Some(words) => judge(name("server"), server_answers(&words, &folder).await, &again),
        });
    }
    if let Some(event) = tool.events.iter().find(|event| event.moment == Moment::Step) {
        findings.extend(match hook_command(&edits, event) {
            None if tool.name == generic::TOOL.name => None,
            None => Some(Finding::bad(name("hook"), "ours is not in its settings any more", again)),
            Some(line) => Some(judge(name("hook"), hook_answers(&line, event, &folder).await, &again)),
        });
    }
    findings
}

fn read(path: &Path) -> Option<String> {
    disk::read(path).ok().flatten()
}

/// What was seen, or why something does not work.
type Seen = Result<(String, bool), String>;

fn judge(what: String, seen: Seen, again: &str) -> Finding {
    match seen {
        Ok((found, true)) => Finding::good(what, found),
        Ok((found, false)) => Finding::doubtful(what, found, "see what else this machine does"),
        Err(found) => Finding::bad(what, found, again),
    }
}

/// The shell line by which a tool runs our hook, as its files have it.
fn hook_command(edits: &[Edit], event: &Event) -> Option<String> {
    edits.iter().find_map(|edit| {
        let text = read(&edit.path)?;
        match &edit.change {
            Change::Json { .. } => edit.change.line_in(&text, event.name),
            Change::Whole { executable: true, .. } if edit.path.ends_with(event.name) => {
                Some(shell::word(&edit.path.display().to_string()))
            }
            // A program in the tool's own language, which runs this.
            Change::Whole { executable: false, .. } => opencode::line_in(&text, event.name),
            Change::Whole { .. } | Change::Toml { .. } => None,
        }
    })
}

/// Runs a hook with what the tool would say, and a word that it is only asked whether it reaches the daemon.
async fn hook_answers(line: &str, event: &Event, folder: &Path) -> Seen {
    let input = json!({ "session_id": "doctor", "cwd": folder, "hook_event_name": event.name, "fedp2p_probe": true });
    let begun = Instant::now();
    let mut command = Command::new("sh");
    command.arg("-c").arg(line).current_dir(folder);
    let mut child = spawn(&mut command)?;
    let talk = async {
        if let Some(mut stdin) = child.stdin.take() {
            // A hook that reads nothing may be gone already.
            drop(stdin.write_all(input.to_string().as_bytes()).await);
        }
        child.wait_with_output().await
    };
    let output = timeout(PATIENCE, talk).await.map_err(|_| format!("no answer within {PATIENCE:?}: {line}"))?;
    let output = output.map_err(|error| format!("it cannot be waited for: {error}"))?;
    let took = begun.elapsed();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(format!("it ended with {}: {}", output.status, first_line(&output.stderr)));
    }
    let answer: Value = serde_json::from_str(&text).map_err(|_| format!("its answer is not JSON: {line}"))?;
    match said(&answer) {
        Some(said) => Ok((format!("{said}, in {}", measured(took)), took <= SLOW)),
        None => Err(format!("it does not reach the daemon: {}", first_line(&output.stderr))),
    }
}

/// What our hook said, wherever in its answer.
fn said(answer: &Value) -> Option<&str> {
    match answer {
        Value::String(text) => text.starts_with("fedp2p answers").then_some(text),
        Value::Object(members) => members.values().find_map(said),
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Starts a server of tools, greets it, asks for its tools and calls one.
async fn server_answers(words: &[String], folder: &Path) -> Seen {
    let [program, arguments @ ..] = words else { return Err("its command is empty".to_owned()) };
    let begun = Instant::now();
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    let mut child = spawn(&mut command)?;
    let talked = timeout(PATIENCE, greet(&mut child)).await;
    let answer = match talked {
        Ok(Ok((tools, speaks))) if tools.iter().any(|tool| tool == KNOWN_TOOL) => {
            Ok((format!("{} tools, {speaks}, in {}", tools.len(), measured(begun.elapsed())), true))
        }
        Ok(Ok((tools, _))) => Err(format!("it has {} tools, and {KNOWN_TOOL} is not among them", tools.len())),
        Ok(Err(why)) => Err(why),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    };
    drop(child.kill().await);
    match answer {
        Ok(seen) => Ok(seen),
        Err(why) => {
            // A child of it may hold its end of the pipe for ever.
            let output = timeout(LAST_WORDS, child.wait_with_output()).await;
            let words = output.ok().and_then(Result::ok).map(|output| first_line(&output.stderr)).unwrap_or_default();
            Err(format!("{why} {words}").trim_end().to_owned())
        }
    }
}

/// Greets a server, and returns the names of its tools and as whom it speaks, which it has from the daemon.
async fn greet(child: &mut Child) -> Result<(Vec<String>, String), String> {
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("it has no input and output".to_owned());
    };
    let mut server = Server { stdin, lines: BufReader::new(stdout).lines(), asked: 0 };
    let client = json!({ "name": "fedp2p-doctor", "version": env!("CARGO_PKG_VERSION") });
    let hello = json!({ "protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": client });
    server.ask("initialize", &hello).await?;
    server.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await?;
    let tools = server.ask("tools/list", &json!({})).await?;
    let tools = tools["tools"].as_array().cloned().unwrap_or_default();
    let tools = tools.iter().filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect();
    let picture = server.ask("tools/call", &json!({ "name": ASKED_TOOL, "arguments": {} })).await?;
    if let Some(me) = picture["structuredContent"]["you"].as_str() {
        return Ok((tools, format!("speaks as {me}")));
    }
    let refusal = picture["content"][0]["text"].as_str().unwrap_or_default();
    let refusal = refusal.lines().next().unwrap_or_default();
    // Whoever has the name proves that it works.
    match refusal.strip_prefix(HELD).and_then(|rest| rest.split(' ').next()) {
        Some(name) => Ok((tools, format!("{name} is in use by a client that runs"))),
        None => Err(format!("it does not reach the daemon: {refusal}")),
    }
}

/// A server that runs, and what it was asked so far.
struct Server {
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    asked: u32,
}

impl Server {
    async fn send(&mut self, line: &Value) -> Result<(), String> {
        let sent = self.stdin.write_all(format!("{line}\n").as_bytes()).await;
        sent.map_err(|_| "it ended before it was asked".to_owned())
    }

    async fn ask(&mut self, method: &str, params: &Value) -> Result<Value, String> {
        self.asked += 1;
        let id = self.asked;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await?;
        loop {
            let line = self.lines.next_line().await.map_err(|error| error.to_string())?;
            let line = line.ok_or_else(|| format!("it ended before it answered {method}"))?;
            let mut answer: Value = serde_json::from_str(&line).map_err(|_| format!("not JSON: {line}"))?;
            if answer["id"] != id {
                continue;
            }
            return match answer["error"]["message"].as_str() {
                Some(error) => Err(format!("it refuses {method}: {error}")),
                None => Ok(answer["result"].take()),
            };
        }
    }
}

fn spawn(command: &mut Command) -> Result<Child, String> {
    command.env_clear().envs(HANDED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().map_err(|error| format!("it cannot be started: {error}"))
}

fn first_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_owned()
}
