//! A node: its home folder, its daemon, and its clients.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};

use fedp2p_node::client::Client;
use fedp2p_node::home::Home;
use fedp2p_protocols::api::message::{DeliveryState, Message};
use fedp2p_protocols::api::{Caller, Operation, agents, history, inbox, invite, peers, status, surfaced};
use fedp2p_protocols::id::OpId;
use fedp2p_protocols::pulse::AgentKind;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::runtime::Builder;

use crate::measure::Process;
use crate::world::{Folder, PERSON, bare};
use crate::{PATIENCE, binary, eventually, holds};

mod following;
mod session;

use following::Printed;

pub use following::Following;
pub use session::{Events, Session, message};

/// A home folder with or without a daemon. The daemon is killed when this is dropped.
#[derive(Debug)]
pub struct Node {
    name: String,
    home: PathBuf,
    runtime_dir: PathBuf,
    namespace: Option<String>,
    listen: Vec<String>,
    environment: Vec<(String, String)>,
    daemon: Option<Daemon>,
    folder: Arc<Folder>,
}

/// What a command left behind.
#[derive(Debug)]
pub struct Output {
    /// The exit code; -1 if a signal ended it.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Output {
    /// Returns the output of a command that has to have succeeded.
    ///
    /// # Panics
    /// If it has not.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// The one envelope on stdout.
    ///
    /// # Panics
    /// If there is not exactly one line, or it is not an envelope of version 1.
    #[track_caller]
    pub fn envelope(&self) -> Value {
        let lines: Vec<&str> = self.stdout.lines().collect();
        assert_eq!(lines.len(), 1, "{self:#?}");
        let envelope: Value = serde_json::from_str(lines[0]).unwrap();
        assert_eq!(envelope["fedp2p"], 1, "{envelope}");
        envelope
    }

    /// The line with the hint, without its label.
    pub fn hint(&self) -> &str {
        self.stderr.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap_or_default()
    }
}

/// A running daemon and what it has printed.
#[derive(Debug)]
struct Daemon {
    child: Child,
    printed: Arc<Printed>,
}

impl Node {
    pub(crate) fn new(folder: Arc<Folder>, name: &str, home: PathBuf, runtime_dir: PathBuf) -> Self {
        let listen = ["--listen", "127.0.0.1:0", "--no-mdns"].map(str::to_owned).to_vec();
        Self {
            name: name.to_owned(),
            home,
            runtime_dir,
            namespace: None,
            listen,
            environment: Vec::new(),
            daemon: None,
            folder,
        }
    }

    /// Puts the node into a network namespace, where it listens everywhere and looks for others by mDNS.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self.listen.clear();
        self
    }

    /// Replaces what the node is told about where to listen and how to find others.
    #[must_use]
    pub fn listening(mut self, words: &[&str]) -> Self {
        self.listen = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Sets or, without a value, removes a variable of the environment in which everything of this node runs from now on.
    pub fn set_variable(&mut self, name: &str, value: Option<&str>) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }

    /// Gives the node another name than its folder.
    #[must_use]
    pub fn called(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The home folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The folders as the node's own library knows them.
    pub fn folders(&self) -> Home {
        Home::at(&self.home, self.runtime_dir.join("fedp2p")).unwrap()
    }

    pub(crate) fn command(&self, json: bool) -> Command {
        let program = binary::fedp2p();
        let mut command = match &self.namespace {
            None => Command::new(program),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
        };
        bare(&mut command, self.folder.path(), &self.runtime_dir);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.arg("--home").arg(&self.home);
        if json {
            command.arg("--json");
        }
        command
    }

    /// Starts the daemon and waits until it is ready.
    ///
    /// # Panics
    /// If it does not come up.
    #[track_caller]
    pub fn up(&mut self, arguments: &[&str]) {
        if let Err(output) = self.try_up(arguments) {
            panic!("{} does not start: {output:#?}", self.name);
        }
    }

    /// Starts the daemon and waits until it is ready or has ended.
    ///
    /// # Errors
    /// With what it left behind.
    pub fn try_up(&mut self, arguments: &[&str]) -> Result<(), Output> {
        assert!(self.daemon.is_none(), "{} runs already", self.name);
        let mut command = self.command(true);
        command.args(["up", "--name", &self.name]).args(&self.listen).args(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let printed = Arc::new(Printed::default());
        Arc::clone(&printed).follow(child.stdout.take().unwrap());
        let errors = drain(child.stderr.take().unwrap());
        if printed.wait("ready", |line| line.get("status").map(|_| ())).is_some() {
            self.daemon = Some(Daemon { child, printed });
            return Ok(());
        }
        let status = child.wait().unwrap();
        let lines = printed.lines.lock().unwrap().lines.iter().map(|line| format!("{line}\n")).collect();
        Err(Output { code: code(status), stdout: lines, stderr: errors.recv().unwrap() })
    }

    /// Waits until the daemon has printed a line that `pick` takes.
    ///
    /// # Panics
    /// If it never does.
    pub fn wait_for_line<T>(&self, what: &str, pick: impl FnMut(&Value) -> Option<T>) -> T {
        let daemon = self.daemon.as_ref().expect("the daemon was started");
        daemon.printed.wait(what, pick).unwrap_or_else(|| panic!("the daemon ended before: {what}"))
    }

    /// What the daemon has printed so far.
    ///
    /// # Panics
    /// If none was started.
    pub fn lines(&self) -> Vec<Value> {
        let daemon = self.daemon.as_ref().expect("the daemon was started");
        daemon.printed.lines.lock().unwrap().lines.clone()
    }

    fn pid(&self) -> Pid {
        let daemon = self.daemon.as_ref().expect("the daemon was started");
        Pid::from_raw(i32::try_from(daemon.child.id()).unwrap()).unwrap()
    }

    /// Stops the daemon with `down`.
    ///
    /// # Panics
    /// If it does not stop cleanly.
    #[track_caller]
    pub fn down(&mut self) {
        self.cli(&["down"]).ok();
        assert_eq!(self.wait_for_end(), 0);
    }

    /// Waits for the daemon to end and returns its exit code.
    pub fn wait_for_end(&mut self) -> i32 {
        let mut daemon = self.daemon.take().expect("the daemon was started");
        eventually("the daemon ends", || {
            let ended = daemon.child.try_wait().unwrap();
            ended.map(code).ok_or_else(|| "it runs".to_owned())
        })
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait_for_end();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Whether the daemon still runs.
    pub fn is_running(&mut self) -> bool {
        self.daemon.as_mut().is_some_and(|daemon| daemon.child.try_wait().unwrap().is_none())
    }

    /// Runs a command with this home.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        self.cli_with_input(arguments, b"")
    }

    /// Runs a command with this home that reads `input`.
    ///
    /// # Panics
    /// If it does not end.
    pub fn cli_with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(false);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        feed(child.stdin.take().unwrap(), input.to_vec());
        let (stdout, stderr) = (drain(child.stdout.take().unwrap()), drain(child.stderr.take().unwrap()));
        let stdout = match stdout.recv_timeout(PATIENCE) {
            Ok(stdout) => stdout,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                drop(child.kill());
                panic!("does not end: fedp2p {arguments:?}");
            }
        };
        let status = child.wait().unwrap();
        Output { code: code(status), stdout, stderr: stderr.recv().unwrap() }
    }

    /// Runs another program in a folder, in the environment of this node and with these variables.
    ///
    /// # Panics
    /// If it cannot be run.
    pub fn beside(&self, program: &str, folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(program);
        bare(&mut command, self.folder.path(), &self.runtime_dir);
        command.envs(variables.iter().copied()).current_dir(folder).args(arguments).stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Output { code: code(output.status), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs a command whose output goes elsewhere, and returns its exit code.
    pub fn cli_into(&self, arguments: &[&str], stdout: impl Into<Stdio>) -> i32 {
        let mut command = self.command(false);
        command.args(arguments).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::null());
        code(command.status().unwrap())
    }

    /// Starts a command that stays and prints what happens.
    pub fn follow(&self, arguments: &[&str]) -> Following {
        let mut command = self.command(false);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let printed = Arc::new(Printed::default());
        Arc::clone(&printed).follow(child.stdout.take().unwrap());
        Following { child, printed }
    }

    /// Runs a command with `--json` that has to succeed, and returns the reply of the operation that it names.
    ///
    /// # Panics
    /// If it fails, or the envelope holds anything else.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.cli(&[arguments, &["--json"]].concat()).ok();
        let envelope = output.envelope();
        let (_, reply) = envelope.as_object().unwrap().iter().find(|(name, _)| *name != "fedp2p").unwrap();
        reply.clone()
    }

    /// Runs a command with `--json` that has to be refused, and returns the exit code and the error.
    ///
    /// # Panics
    /// If it succeeds, or the envelope has no complete error.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.cli(&[arguments, &["--json"]].concat());
        assert_ne!(output.code, 0, "{output:#?}");
        let error = output.envelope()["error"].clone();
        assert!(error["code"].is_string() && error["suggestions"].is_array(), "{error}");
        for field in ["message", "hint"] {
            assert!(error[field].as_str().is_some_and(|text| !text.is_empty()), "{error}");
        }
        (output.code, error)
    }

    /// Connects a client that speaks as the person of the node.
    pub fn session(&self) -> Session {
        self.session_as(PERSON, AgentKind::Person)
    }

    /// Connects a client.
    ///
    /// # Panics
    /// If there is no daemon.
    #[track_caller]
    pub fn session_as(&self, agent: &str, kind: AgentKind) -> Session {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(self.client(agent, kind));
        Session { client, runtime }
    }

    /// Connects a client for a program that drives many at once.
    ///
    /// # Panics
    /// If there is no daemon.
    pub async fn client(&self, agent: &str, kind: AgentKind) -> Client {
        let caller = Caller { name: agent.parse().unwrap(), kind };
        Client::connect(&self.folders(), caller).await.unwrap()
    }

    /// What the daemon costs.
    ///
    /// # Panics
    /// If it was not started.
    pub fn process(&self) -> Process {
        Process { pid: self.daemon.as_ref().expect("the daemon was started").child.id() }
    }

    /// Makes one call that has to succeed.
    ///
    /// # Panics
    /// If it is refused.
    #[track_caller]
    pub fn call<O: Operation>(&self, operation: O) -> O::Reply {
        self.session().call(operation).unwrap()
    }

    /// How the node is doing.
    #[track_caller]
    pub fn status(&self) -> status::Reply {
        self.call(status::Request {})
    }

    /// Makes a ticket.
    #[track_caller]
    pub fn invite(&self) -> String {
        self.call(invite::Request::default()).ticket
    }

    /// Sends a text and returns its id.
    #[track_caller]
    pub fn send(&self, to: &[&str], text: &str) -> OpId {
        self.call(message(to, text)).id
    }

    /// Waits until so many other nodes are connected.
    #[track_caller]
    pub fn wait_for_peers(&self, count: usize) {
        eventually(&format!("{} is connected to {count} others", self.name), || {
            let status = self.status();
            holds(status.reachable as usize == count, (status.reachable, status.members))
        });
    }

    /// Waits until the node has heard of these agents.
    #[track_caller]
    pub fn wait_for_agents(&self, addresses: &[String]) {
        eventually(&format!("{} has heard of {addresses:?}", self.name), || {
            let agents = self.call(agents::Request::default()).agents;
            let known: Vec<String> = agents.iter().map(|agent| agent.address.to_string()).collect();
            holds(addresses.iter().all(|address| known.contains(address)), known)
        });
    }

    /// The messages of the history, read page by page, oldest first.
    ///
    /// # Panics
    /// If the pages do not fit together.
    #[track_caller]
    pub fn history(&self) -> Vec<Message> {
        let mut session = self.session();
        let mut pages = Vec::new();
        let mut before = None;
        loop {
            let request = history::Request { before, limit: 300, ..history::Request::default() };
            let reply = session.call(request).unwrap();
            let more = reply.before;
            pages.push(reply.messages);
            match more {
                None => break,
                Some(_) => before = more,
            }
        }
        let all: Vec<Message> = pages.into_iter().rev().flatten().collect();
        assert!(all.is_sorted_by(|a, b| a.position < b.position), "pages overlap or are out of order");
        all
    }

    /// How far a message of this node has come at each recipient, by address.
    #[track_caller]
    pub fn deliveries(&self, id: &OpId) -> Vec<(String, DeliveryState)> {
        let request = history::Request { id: Some(id.to_string()), ..history::Request::default() };
        let messages = self.call(request).messages;
        let [message] = messages.as_slice() else { panic!("{messages:?}") };
        message.deliveries.iter().map(|delivery| (delivery.to.to_string(), delivery.state)).collect()
    }

    /// Waits until a message has come exactly so far at its only recipient.
    #[track_caller]
    pub fn wait_for_delivery(&self, id: &OpId, state: DeliveryState) {
        eventually(&format!("{} sees {state:?}", self.name), || {
            let deliveries = self.deliveries(id);
            holds(deliveries.iter().all(|(_, now)| *now == state) && !deliveries.is_empty(), deliveries)
        });
    }

    /// The texts that wait for an agent, without taking them.
    #[track_caller]
    pub fn waiting(&self, agent: &str, kind: AgentKind) -> Vec<String> {
        let reply = self.session_as(agent, kind).call(inbox::Request { limit: 1000, held: false }).unwrap();
        reply.messages.into_iter().map(|message| message.text).collect()
    }

    /// Takes what waits for the person, and returns the texts.
    #[track_caller]
    pub fn take_inbox(&self) -> Vec<String> {
        let mut session = self.session();
        let reply = session.call(inbox::Request { limit: 1000, held: false }).unwrap();
        session.call(surfaced::Request { cursor: reply.cursor, held: reply.with_held }).unwrap();
        reply.messages.into_iter().map(|message| message.text).collect()
    }

    /// The other nodes by name.
    #[track_caller]
    pub fn peers(&self) -> Vec<peers::Peer> {
        self.call(peers::Request {}).peers
    }

    /// A raw connection to the local socket.
    pub fn socket(&self) -> UnixStream {
        let stream = UnixStream::connect(self.folders().socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Where the node listens for TCP on the loopback interface.
    ///
    /// # Panics
    /// If it does not.
    pub fn tcp(&self) -> SocketAddr {
        let listening = self.status().listening;
        let port = listening.iter().find_map(|address| {
            let port = address.strip_prefix("/ip4/127.0.0.1/tcp/")?;
            port.split('/').next()?.parse().ok()
        });
        SocketAddr::from(([127, 0, 0, 1], port.unwrap_or_else(|| panic!("{listening:?}"))))
    }
}

impl Drop for Node {
    #[expect(clippy::print_stderr, reason = "the last words of a daemon belong to the failure of its test")]
    fn drop(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        drop(daemon.child.kill());
        drop(daemon.child.wait());
        if std::thread::panicking() {
            let lines = daemon.printed.lines.lock().unwrap();
            let last = lines.lines.len().saturating_sub(40);
            eprintln!("--- last lines of {} ---", self.name);
            lines.lines[last..].iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}

/// Reads everything on a thread of its own, so that no pipe fills up.
fn drain(mut pipe: impl Read + Send + 'static) -> std::sync::mpsc::Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        drop(pipe.read_to_end(&mut bytes));
        drop(sender.send(String::from_utf8_lossy(&bytes).into_owned()));
    });
    receiver
}

fn feed(mut stdin: ChildStdin, bytes: Vec<u8>) {
    // A command that does not read its input closes it.
    std::thread::spawn(move || drop(stdin.write_all(&bytes)));
}
