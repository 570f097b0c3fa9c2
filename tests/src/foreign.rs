//! A member that shares no code with the mesh: a program on js-libp2p, written from `protocols/SPEC.md`.
//!
//! Its packages are installed once, into the target folder, by `npm ci`. A test that needs it says why and passes where
//! there is no Node.js of at least version 20, no npm, or no registry.

use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::PATIENCE;
use crate::node::Node;
use crate::world::World;

/// The sources of the program, as they are in the repository.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/foreign");

/// Whether the program can run here. A test that needs it and has it not says why and passes.
pub fn is_available() -> bool {
    if let Err(reason) = packages() {
        skipped(reason);
    }
    packages().is_ok()
}

/// Says that the present test passes without having run, and what it needs.
pub(crate) fn skipped(reason: &str) {
    let test = std::thread::current();
    // Not by a macro: the test runner would keep the words of a test that passes to itself.
    drop(writeln!(std::io::stderr(), "skipped: {} needs {reason}", test.name().unwrap_or("a test")));
}

/// The folder with the installed packages.
fn packages() -> &'static Result<PathBuf, String> {
    static PACKAGES: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PACKAGES.get_or_init(install)
}

fn install() -> Result<PathBuf, String> {
    let version = run(Command::new("node").arg("--version"))?;
    let major = version.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < 20) {
        return Err(format!("Node.js 20 or newer, not {}", version.trim()));
    }
    let lock = fs::read(format!("{SOURCES}/package-lock.json")).unwrap();
    let mut hasher = std::hash::DefaultHasher::new();
    lock.hash(&mut hasher);
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).expect("a test lies three folders deep in the target folder");
    let folder = target.join(format!("foreign-{:016x}", hasher.finish()));
    if folder.exists() {
        return Ok(folder);
    }
    // Made beside and put in place whole: other test processes may do the same at this moment.
    let fresh = tempfile::Builder::new().prefix("foreign-").tempdir_in(target).unwrap();
    for file in ["package.json", "package-lock.json"] {
        fs::copy(format!("{SOURCES}/{file}"), fresh.path().join(file)).unwrap();
    }
    let options = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    run(Command::new("npm").args(options).current_dir(fresh.path()))?;
    if fs::rename(fresh.path(), &folder).is_err() && !folder.exists() {
        return Err(format!("a folder to install packages in: {}", folder.display()));
    }
    Ok(folder)
}

pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{program} ({error})"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(format!("packages of {program}: {}", reason.lines().next().unwrap_or("no reason given")))
}

/// The program while it runs. It takes one command after the other, and is killed when this is dropped.
#[derive(Debug)]
pub struct Foreign {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<Value>,
}

impl Foreign {
    /// Starts the member that keeps its things in this folder of the world.
    ///
    /// # Panics
    /// If it cannot be started; [`is_available`] says so before.
    pub fn start(world: &World, name: &str) -> Self {
        Self::run(world, name, "main.js", None)
    }

    /// Starts the same member turned hostile, bound to one processor so that its own work costs nobody else.
    ///
    /// # Panics
    /// If it cannot be started; [`is_available`] says so before.
    pub fn hostile(world: &World, name: &str, processor: Option<usize>) -> Self {
        Self::run(world, name, "hostile.js", processor)
    }

    fn run(world: &World, name: &str, program: &str, processor: Option<usize>) -> Self {
        let packages = packages().as_ref().unwrap();
        let sources = world.path("foreign");
        if !sources.exists() {
            copy(&Path::new(SOURCES).join("src"), &sources.join("src"));
            fs::copy(format!("{SOURCES}/package.json"), sources.join("package.json")).unwrap();
            symlink(packages.join("node_modules"), sources.join("node_modules")).unwrap();
        }
        let mut command = match processor {
            None => Command::new("node"),
            Some(processor) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", &processor.to_string(), "node"]);
                command
            }
        };
        command.args(["--import", "./src/polyfill.js"]).arg(format!("src/{program}")).arg(world.path(name));
        command.current_dir(sources).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let told = serde_json::from_str(&line).is_ok_and(|line| send.send(line).is_ok());
                if !told {
                    return;
                }
            }
        });
        let mut foreign = Self { input: child.stdin.take(), child, lines };
        foreign.wait("the program is ready", |line| line.get("ready").map(|_| ()));
        foreign
    }

    /// Waits for a line that `pick` takes.
    ///
    /// # Panics
    /// If none comes.
    #[track_caller]
    pub fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&Value) -> Option<T>) -> T {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{what}: {error}"));
            if let Some(found) = pick(&line) {
                return found;
            }
        }
    }

    /// Gives a command and returns what it came to.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn run_command(&mut self, command: &str, fields: Value) -> Value {
        let mut line = fields;
        line["do"] = json!(command);
        let input = self.input.as_mut().expect("the program runs");
        writeln!(input, "{line}").unwrap();
        let reply = self.wait(command, |line| (line["did"] == command).then(|| line.clone()));
        assert!(reply.get("error").is_none(), "{command}: {reply:#}");
        reply
    }

    /// Joins by a ticket and connects.
    #[track_caller]
    pub fn join(&mut self, node: &Node, name: &str) {
        self.run_command("join", json!({ "ticket": node.invite(), "name": name }));
        self.run_command("connect", json!({}));
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets the program end by itself and returns whether it did so cleanly.
    pub fn end(mut self) -> bool {
        self.input = None;
        self.child.wait().unwrap().success()
    }

    /// Kills the program.
    pub fn kill(mut self) {
        drop(self.child.kill());
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}
