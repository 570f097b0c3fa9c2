//! Measures the mesh as its users meet it: real daemons of the release build, real sockets, real disks.
//!
//! `cargo bench -p fedp2p-tests` prints one table against the budgets; `-- NAME …` measures only some of it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a program for the terminal that stops at the first surprise"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fedp2p_node::client::{Client, Watch};
use fedp2p_node::home::Home;
use fedp2p_protocols::api::{Caller, invite, send, state, status, watch};
use fedp2p_protocols::payload::MessageType;
use fedp2p_protocols::pulse::{AgentKind, Pulse};
use tempfile::TempDir;

/// A line of the table.
struct Row {
    what: &'static str,
    budget: &'static str,
    measured: String,
    workload: String,
}

/// A folder for homes and sockets that is gone when it is dropped.
struct World {
    folder: TempDir,
    binary: PathBuf,
}

struct Daemon {
    child: Child,
    home: Home,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl World {
    fn new(binary: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("f2b").tempdir().unwrap();
        Self { folder, binary: binary.to_owned() }
    }

    fn home(&self, name: &str) -> Home {
        Home::at(&self.folder.path().join(name), self.folder.path().join("run/fedp2p")).unwrap()
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().env("XDG_RUNTIME_DIR", self.folder.path().join("run")).env("USER", "bench");
        command.arg("--home").arg(self.folder.path().join(name)).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn spawn(&self, name: &str, ticket: Option<&str>) -> Daemon {
        let mut command = self.command(name);
        command.args(["up", "--name", name, "--listen", "127.0.0.1:0"]);
        command.args(ticket.map(|ticket| format!("--join={ticket}")));
        Daemon { child: command.spawn().unwrap(), home: self.home(name) }
    }

    /// Starts a daemon and waits until it answers.
    async fn up(&self, name: &str, ticket: Option<&str>) -> Daemon {
        let daemon = self.spawn(name, ticket);
        drop(ready(&daemon.home).await);
        daemon
    }

    /// Starts `names`, the first of which invites the others, and waits until all see each other.
    async fn mesh(&self, names: &[&str]) -> Vec<Daemon> {
        std::fs::create_dir_all(self.folder.path().join("run")).unwrap();
        let mut daemons = vec![self.up(names[0], None).await];
        for name in &names[1..] {
            let mut client = connect(&daemons[0].home, "bench").await;
            let ticket = client.call(invite::Request::default()).await.unwrap().ticket;
            daemons.push(self.up(name, Some(&ticket)).await);
        }
        for daemon in &daemons {
            reachable(&daemon.home, names.len() - 1).await;
        }
        daemons
    }
}

fn caller(name: &str) -> Caller {
    Caller { name: name.parse().unwrap(), kind: if name == "bench" { AgentKind::Person } else { AgentKind::Ai } }
}

async fn connect(home: &Home, name: &str) -> Client {
    Client::connect(home, caller(name)).await.unwrap()
}

/// Waits until the daemon answers and returns a connection to it.
async fn ready(home: &Home) -> Client {
    loop {
        if let Ok(mut client) = Client::connect(home, caller("bench")).await
            && client.call(status::Request {}).await.is_ok()
        {
            return client;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn status_of(home: &Home) -> status::Reply {
    connect(home, "bench").await.call(status::Request {}).await.unwrap()
}

async fn reachable(home: &Home, count: usize) {
    while (status_of(home).await.reachable as usize) < count {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn watch(home: &Home, name: &str, topic: watch::Topic) -> Watch {
    connect(home, name).await.watch(watch::Request { topics: vec![topic] }).await.unwrap()
}

fn percentiles(mut samples: Vec<Duration>) -> String {
    samples.sort();
    let at = |share: f64| samples[((samples.len() - 1) as f64 * share).round() as usize];
    let ms = |d: Duration| format!("{:.2}", d.as_secs_f64() * 1e3);
    format!("p50 {} ms, p99 {} ms, max {} ms", ms(at(0.5)), ms(at(0.99)), ms(at(1.0)))
}

async fn message_latency(world: &World) -> Row {
    const COUNT: usize = 1000;
    let nodes = world.mesh(&["alpha", "beta"]).await;
    let mut inbox = watch(&nodes[1].home, "reader", watch::Topic::Inbox).await;
    let mut sender = connect(&nodes[0].home, "writer").await;
    let text = "x".repeat(300);
    let request = |to: &str| send::Request {
        to: vec![to.to_owned()],
        kind: MessageType::Chat,
        text: text.clone(),
        ..send::Request::default()
    };
    while sender.call(request("reader@beta")).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    inbox.next().await.unwrap();
    let mut samples = Vec::new();
    for _ in 0..COUNT {
        let start = Instant::now();
        let (sent, event) = tokio::join!(sender.call(request("reader@beta")), inbox.next());
        sent.unwrap();
        assert!(matches!(event.unwrap(), Some(watch::Event::Message(_))));
        samples.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Row {
        what: "message: send() to committed and readable",
        budget: "p50 0.45 ms, p99 2 ms",
        measured: percentiles(samples),
        workload: format!("{COUNT} messages of 300 bytes, 5 ms apart, 2 daemons, loopback"),
    }
}

async fn pulse_latency(world: &World) -> Row {
    const COUNT: usize = 500;
    let nodes = world.mesh(&["alpha", "beta", "gamma"]).await;
    let mut first = watch(&nodes[1].home, "reader", watch::Topic::Pulse).await;
    let mut second = watch(&nodes[2].home, "reader", watch::Topic::Pulse).await;
    let mut writer = connect(&nodes[0].home, "writer").await;
    let mut samples = Vec::new();
    for number in 0..COUNT {
        let pulse = Pulse {
            summary: Some(format!("step {number}")),
            thinking: Some("about the next one".to_owned()),
            ..Pulse::default()
        };
        let start = Instant::now();
        let (said, one, other) =
            tokio::join!(writer.call(state::Request { pulse, clear: vec![] }), first.next(), second.next());
        said.unwrap();
        assert!(one.unwrap().is_some() && other.unwrap().is_some());
        samples.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Row {
        what: "pulse change visible on the last of 3 nodes",
        budget: "p50 0.6 ms, p99 5 ms",
        measured: percentiles(samples),
        workload: format!("{COUNT} changes of two fields, 5 ms apart, loopback"),
    }
}

async fn first_peer(world: &World) -> Vec<Row> {
    const COUNT: usize = 20;
    let mut nodes = world.mesh(&["alpha", "beta"]).await;
    let (mut start_samples, mut peer_samples) = (Vec::new(), Vec::new());
    for _ in 0..COUNT {
        drop(nodes.pop());
        while status_of(&nodes[0].home).await.reachable > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let start = Instant::now();
        let daemon = world.spawn("beta", None);
        drop(ready(&daemon.home).await);
        start_samples.push(start.elapsed());
        reachable(&daemon.home, 1).await;
        peer_samples.push(start.elapsed());
        nodes.push(daemon);
    }
    let workload = format!("{COUNT} starts after SIGKILL, process start included");
    vec![
        Row {
            what: "daemon start to ready",
            budget: "50 ms",
            measured: percentiles(start_samples),
            workload: workload.clone(),
        },
        Row {
            what: "first peer connected, same machine",
            budget: "p50 100 ms",
            measured: percentiles(peer_samples),
            workload,
        },
    ]
}

async fn catch_up(world: &World, count: u64) -> Row {
    let mut nodes = world.mesh(&["alpha", "beta"]).await;
    drop(nodes.pop());
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(connect(&nodes[0].home, "writer").await);
    }
    let text = "x".repeat(300);
    let share = count / clients.len() as u64;
    let writers = clients.into_iter().map(|mut client| {
        let text = text.clone();
        tokio::spawn(async move {
            for _ in 0..share {
                let request = send::Request { text: text.clone(), ..send::Request::default() };
                client.call(request).await.unwrap();
            }
        })
    });
    let started = Instant::now();
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let sending = started.elapsed();
    let target = status_of(&nodes[0].home).await.conversations[0].ops;
    let daemon = world.spawn("beta", None);
    let mut client = ready(&daemon.home).await;
    let mut missing_since = None;
    let start = Instant::now();
    loop {
        let status = client.call(status::Request {}).await.unwrap();
        let ops = status.conversations[0].ops;
        if status.reachable > 0 {
            missing_since.get_or_insert((Instant::now(), ops));
        }
        // Beta adds entries of its own, so it ends with at least as many.
        if ops >= target {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (connected, had) = missing_since.unwrap_or((start, 0));
    let took = connected.elapsed();
    Row {
        what: if count > 20_000 { "ops a node ingests from one peer" } else { "catch-up of 10,000 ops" },
        budget: if count > 20_000 { "25,000 /s" } else { "1 s" },
        measured: format!("{:.2} s, {:.0} ops/s", took.as_secs_f64(), (target - had) as f64 / took.as_secs_f64()),
        workload: format!(
            "{count} messages of 300 bytes sent while it was down ({:.0}/s from 8 clients)",
            count as f64 / sending.as_secs_f64()
        ),
    }
}

async fn cli_call(world: &World) -> Row {
    const COUNT: usize = 100;
    let _nodes = world.mesh(&["alpha", "beta"]).await;
    let mut samples = Vec::new();
    for _ in 0..COUNT {
        let mut command = world.command("alpha");
        command.arg("agents");
        let start = Instant::now();
        assert!(command.status().unwrap().success());
        samples.push(start.elapsed());
    }
    Row {
        what: "CLI call, daemon running",
        budget: "5 ms",
        measured: percentiles(samples),
        workload: format!("{COUNT} times fedp2p agents, whole process"),
    }
}

async fn idle(world: &World) -> Row {
    let nodes = world.mesh(&["alpha", "beta"]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let pid = nodes[0].child.id();
    let before = cpu_ticks(pid);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let ticks = cpu_ticks(pid) - before;
    Row {
        what: "idle daemon",
        budget: "30 MB, under 0.5 % of a core",
        measured: format!(
            "{:.1} MB resident, {:.2} % of a core",
            resident_kib(pid) as f64 / 1024.0,
            ticks as f64 / 20.0
        ),
        workload: "one peer connected, 20 s".to_owned(),
    }
}

/// Processor time of a process, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn resident_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Builds the release binary and returns where it is.
fn build() -> PathBuf {
    let built = Command::new(env!("CARGO")).args(["build", "--release", "--package", "fedp2p"]).status().unwrap();
    assert!(built.success());
    // This program lies in TARGET/release/deps.
    let here = std::env::current_exe().unwrap();
    here.ancestors().nth(2).unwrap().join("fedp2p")
}

#[tokio::main]
async fn main() {
    let only: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|given| name.contains(given.as_str()));
    let binary = build();
    let world = || World::new(&binary);
    let mut rows = Vec::new();
    for name in ["message", "pulse", "first", "catch-up", "ingest", "cli", "idle"] {
        if !wanted(name) {
            continue;
        }
        eprintln!("measuring {name} …");
        match name {
            "message" => rows.push(message_latency(&world()).await),
            "pulse" => rows.push(pulse_latency(&world()).await),
            "first" => rows.extend(first_peer(&world()).await),
            "catch-up" => rows.push(catch_up(&world(), 10_000).await),
            "ingest" => rows.push(catch_up(&world(), 50_000).await),
            "cli" => rows.push(cli_call(&world()).await),
            _ => rows.push(idle(&world()).await),
        }
    }
    println!("{:<44} {:<28} {:<48} workload", "what", "budget", "measured");
    for row in rows {
        println!("{:<44} {:<28} {:<48} {}", row.what, row.budget, row.measured, row.workload);
    }
}
