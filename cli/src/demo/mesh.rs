//! The three processes and their folders.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fedp2p_node::client::Client;
use fedp2p_node::home::Home;
use fedp2p_protocols::api::{Caller, agents, down, invite, state, status};
use fedp2p_protocols::pulse::{AgentKind, Pulse};
use tempfile::TempDir;

use super::Stage;
use super::check::{failed, until};
use crate::command::up::reason;
use crate::error::Error;
use crate::ui::table::{Cell, Column, Table};
use crate::ui::time::measured;

/// The variables of the person's own node, which the demo must not see.
const FOREIGN: [&str; 4] = ["FEDP2P_HOME", "FEDP2P_AGENT", "FEDP2P_TICKET", "XDG_DATA_HOME"];

/// The nodes, each with one agent of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// The lead, who founds the organisation.
    Taichi,
    /// The developer.
    Aorus,
    /// The analyst.
    Baby,
}

impl Who {
    /// All three.
    pub(super) const ALL: [Self; 3] = [Self::Taichi, Self::Aorus, Self::Baby];

    /// The name of the node and of its agent.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Taichi => "taichi",
            Self::Aorus => "aorus",
            Self::Baby => "baby",
        }
    }

    /// The address of the agent.
    pub(super) fn address(self) -> String {
        format!("{}@{}", self.name(), self.name())
    }

    fn role(self) -> &'static str {
        match self {
            Self::Taichi => "Lead",
            Self::Aorus => "Developer",
            Self::Baby => "Analyst",
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Three homes in a temporary folder and the processes that use them.
pub(super) struct Mesh {
    /// Absent once the folder is somebody else's to remove.
    temp: Option<TempDir>,
    root: PathBuf,
    children: [Option<Child>; 3],
}

impl Mesh {
    /// Makes the folder; nothing runs yet.
    pub(super) fn new() -> Result<Self, Error> {
        let temp = tempfile::Builder::new().prefix("fedp2p-").tempdir();
        let temp = temp.map_err(Error::system("make a temporary folder"))?;
        let root = temp.path().canonicalize().map_err(Error::system("find the temporary folder"))?;
        Ok(Self { temp: Some(temp), root, children: [None, None, None] })
    }

    /// The folder of everything.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The folders of one node.
    pub(super) fn home(&self, who: Who) -> Result<Home, Error> {
        Ok(Home::at(&self.root.join(who.name()), self.environment().join("fedp2p"))?)
    }

    /// Connects to a node as its agent.
    pub(super) async fn client(&self, who: Who) -> Result<Client, Error> {
        let caller = Caller { name: who.name().parse().expect("the names of the demo are valid"), kind: AgentKind::Ai };
        Ok(Client::connect(&self.home(who)?, caller).await?)
    }

    /// Starts a node and waits until it is ready. Returns how long that took.
    pub(super) async fn start(&mut self, who: Who, ticket: Option<&str>) -> Result<Duration, Error> {
        let started = Instant::now();
        self.spawn(who, ticket)?;
        until(&format!("{who} to be ready"), async || {
            let child = self.child(who).as_mut();
            let ended = child.and_then(|child| child.try_wait().transpose()).transpose();
            if let Some(status) = ended.map_err(Error::system("wait for a daemon"))? {
                return Err(self.died(who, &status.to_string()));
            }
            Ok(match self.client(who).await {
                Ok(mut client) => client.call(status::Request {}).await.ok(),
                Err(_) => None,
            })
        })
        .await?;
        Ok(started.elapsed())
    }

    /// Stops a node in good order and waits until its process has ended.
    pub(super) async fn stop(&mut self, who: Who) -> Result<(), Error> {
        self.client(who).await?.call(down::Request {}).await?;
        until(&format!("{who} to stop"), async || {
            let child = self.child(who).as_mut();
            let ended = child.and_then(|child| child.try_wait().transpose()).transpose();
            ended.map_err(Error::system("wait for a daemon"))
        })
        .await?;
        *self.child(who) = None;
        Ok(())
    }

    /// Kills a node: it has no chance to finish anything.
    pub(super) fn kill(&mut self, who: Who) -> Result<(), Error> {
        if let Some(mut child) = self.child(who).take() {
            child.kill().and_then(|()| child.wait()).map_err(Error::system("kill a daemon"))?;
        }
        Ok(())
    }

    /// Leaves everything running and returns how to talk to it.
    pub(super) fn keep(&mut self) -> String {
        if let Some(temp) = self.temp.take() {
            drop(temp.keep());
        }
        self.children = [None, None, None];
        let program = std::env::current_exe().map_or_else(|_| "fedp2p".to_owned(), |path| path.display().to_string());
        let (root, environment) = (self.root.display(), self.environment());
        format!(
            "\nThe nodes are still running. Talk to them:\n  \
             export XDG_RUNTIME_DIR={}\n  \
             {program} --home {root}/taichi pulse\n  \
             {program} --home {root}/baby send taichi \"Hello\"\n\
             Stop them and remove their folders:\n  \
             for node in taichi aorus baby; do {program} --home {root}/$node down; done; rm -r {root}",
            environment.display()
        )
    }

    /// Stops what runs and removes the folder.
    pub(super) fn strike(&mut self) {
        for child in self.children.iter_mut().filter_map(Option::take) {
            end(child);
        }
        // What cannot be removed from a temporary folder is the system's to tidy up.
        drop(self.temp.take().map(TempDir::close));
    }

    fn child(&mut self, who: Who) -> &mut Option<Child> {
        &mut self.children[who as usize]
    }

    fn environment(&self) -> PathBuf {
        self.root.join("run")
    }

    fn log(&self, who: Who) -> PathBuf {
        self.root.join(format!("{who}.log"))
    }

    fn spawn(&mut self, who: Who, ticket: Option<&str>) -> Result<(), Error> {
        let program = std::env::current_exe().map_err(Error::system("find this program's file"))?;
        let log = open(&self.log(who)).map_err(Error::system("open a log file"))?;
        let errors = log.try_clone().map_err(Error::system("open a log file"))?;
        let mut command = Command::new(program);
        FOREIGN.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.env("XDG_RUNTIME_DIR", self.environment()).env("NO_COLOR", "1");
        command.arg("--home").arg(self.root.join(who.name()));
        command.args(["up", "--no-mdns", "--listen", "127.0.0.1:0"]);
        // Names are given once; a home that exists knows its own.
        if !self.home(who)?.root().exists() {
            command.args(["--name", who.name()]);
            if who == Who::Taichi {
                command.args(["--organisation", "federation"]);
            }
        }
        if let Some(ticket) = ticket {
            command.env("FEDP2P_TICKET", ticket);
        }
        command.process_group(0).stdin(Stdio::null()).stdout(log).stderr(errors);
        *self.child(who) = Some(command.spawn().map_err(Error::system("start a daemon"))?);
        Ok(())
    }

    fn died(&self, who: Who, status: &str) -> Error {
        let words = std::fs::read_to_string(self.log(who)).unwrap_or_default();
        let last = words.lines().last().unwrap_or("it said nothing").to_owned();
        let why = reason(&words).map_or(last, |(message, _)| message);
        failed(format!("{who} stopped ({status}): {why}"))
    }
}

impl Drop for Mesh {
    /// Leaves nothing behind when the demo ends by a panic.
    fn drop(&mut self) {
        self.strike();
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Ends a process of ours; one that has ended by itself is fine too.
fn end(mut child: Child) {
    drop(child.kill());
    drop(child.wait());
}

/// Starts the three nodes, two with tickets of the first, and waits until all know each other.
pub(super) async fn assemble(stage: &mut Stage<'_>) -> Result<(), Error> {
    let mut table = Table::new(&[
        Column::fixed("Node"),
        Column::fixed("Role"),
        Column::fixed("Came by"),
        Column::number("Ready after"),
        Column::text("Listens at"),
    ]);
    for who in Who::ALL {
        let ticket = match who {
            Who::Taichi => None,
            Who::Aorus | Who::Baby => Some(ticket(&stage.mesh).await?),
        };
        let ready = stage.mesh.start(who, ticket.as_deref()).await?;
        match who {
            Who::Taichi => stage.figures.once("start of a fresh node", ready),
            Who::Aorus => stage.figures.once("start of a fresh node that joins by ticket", ready),
            Who::Baby => {}
        }
        let status = stage.mesh.client(who).await?.call(status::Request {}).await?;
        table.row([
            Cell::from(who.name()),
            who.role().into(),
            if ticket.is_some() { "ticket" } else { "itself" }.into(),
            measured(ready).into(),
            status.listening.first().map_or("", String::as_str).into(),
        ]);
    }
    meet(stage).await?;
    stage.show("Nodes", &table.render(stage.out.width(), stage.out.paint()))
}

async fn ticket(mesh: &Mesh) -> Result<String, Error> {
    let request = invite::Request { valid_s: 600 };
    Ok(mesh.client(Who::Taichi).await?.call(request).await?.ticket)
}

/// Waits until every node reaches the two others and knows their agents.
async fn meet(stage: &mut Stage<'_>) -> Result<(), Error> {
    let started = Instant::now();
    for who in Who::ALL {
        all_reachable(&stage.mesh, who).await?;
    }
    stage.figures.once("last node ready until all three are connected", started.elapsed());
    for who in Who::ALL {
        let pulse = Pulse { summary: Some(who.role().to_owned()), ..Pulse::default() };
        let request = state::Request { pulse, clear: Vec::new() };
        stage.mesh.client(who).await?.call(request).await?;
    }
    for who in Who::ALL {
        let mut client = stage.mesh.client(who).await?;
        until(&format!("{who} to know all agents"), async || {
            let known = client.call(agents::Request::default()).await?.agents;
            let knows = |other: Who| known.iter().any(|agent| agent.address.to_string() == other.address());
            Ok(Who::ALL.into_iter().all(knows).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// Waits until `who` reaches the two others.
pub(super) async fn all_reachable(mesh: &Mesh, who: Who) -> Result<(), Error> {
    let mut client = mesh.client(who).await?;
    until(&format!("{who} to reach the two others"), async || {
        let status = client.call(status::Request {}).await?;
        Ok((status.reachable == 2).then_some(()))
    })
    .await
}
