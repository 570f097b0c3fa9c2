//! A temporary folder with nodes in it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::node::Node;

/// The person who runs every node.
pub const PERSON: &str = "ada";

/// A temporary folder with nodes in it, and an environment of its own. Whatever daemons still use a home in it when it
/// is dropped are killed.
#[derive(Debug)]
pub struct World {
    folder: Arc<Folder>,
}

/// Lives as long as the world or any of its nodes.
#[derive(Debug)]
pub(crate) struct Folder {
    folder: TempDir,
}

impl World {
    /// Makes an empty world.
    #[expect(clippy::new_without_default, reason = "a default that makes a folder would surprise")]
    pub fn new() -> Self {
        // Short, because the path of a socket is.
        let folder = tempfile::Builder::new().prefix("fp-").tempdir_in("/tmp").unwrap();
        let world = Self { folder: Arc::new(Folder { folder }) };
        std::fs::create_dir(world.path("run")).unwrap();
        world
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A node with its home in the folder; nodes find each other by the registry.
    pub fn node(&self, name: &str) -> Node {
        Node::new(Arc::clone(&self.folder), name, self.path(name), self.path("run"))
    }

    /// A node that shares no registry with the others.
    pub fn lone_node(&self, name: &str) -> Node {
        let runtime = self.path(&format!("run-{name}"));
        std::fs::create_dir_all(&runtime).unwrap();
        Node::new(Arc::clone(&self.folder), name, self.path(name), runtime)
    }

    /// Nodes of one organisation, all connected with all, that log only what a daemon in the background logs. Their
    /// names are n0, n1 and so on.
    pub fn daemons(&self, count: usize) -> Vec<Node> {
        let names: Vec<String> = (0..count).map(|number| format!("n{number}")).collect();
        self.daemons_called(names.iter().map(String::as_str))
    }

    /// As [`World::daemons`], with other names.
    pub fn daemons_called<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<Node> {
        let mut nodes: Vec<Node> = names.into_iter().map(|name| self.node(name)).collect();
        let others = nodes.len().saturating_sub(1);
        let Some((founder, rest)) = nodes.split_first_mut() else { return nodes };
        founder.up(&["--quiet"]);
        for (before, other) in rest.iter_mut().enumerate() {
            let ticket = founder.invite();
            other.up(&["--quiet", "--join", &ticket]);
            // Each makes connections with all before it, which many that share a processor do not do at once in time.
            other.wait_for_peers(before + 1);
        }
        for node in &nodes {
            node.wait_for_peers(others);
        }
        nodes
    }

    /// Nodes of one organisation, all running, which have heard of each other's person. The first has founded it.
    pub fn mesh<const N: usize>(&self, names: [&str; N]) -> [Node; N] {
        let mut nodes = names.map(|name| self.node(name));
        let [founder, others @ ..] = &mut nodes[..] else { return nodes };
        founder.up(&[]);
        for other in others {
            let ticket = founder.invite();
            other.up(&["--join", &ticket]);
        }
        for node in &nodes {
            node.wait_for_peers(N - 1);
            node.wait_for_agents(&names.map(|name| format!("{PERSON}@{name}")));
        }
        nodes
    }
}

impl Folder {
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Takes everything from a command but what every program needs.
pub(crate) fn bare(command: &mut Command, home: &Path, runtime: &Path) {
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", runtime)
        .env("USER", PERSON)
        .env("TZ", "UTC");
}

impl Drop for Folder {
    fn drop(&mut self) {
        let homes = std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten();
        for home in homes {
            kill_owner(&home.path().join("lock"));
        }
    }
}

/// Kills the daemon that holds a lock, such as one that was started in the background.
fn kill_owner(lock: &Path) {
    let Ok(file) = File::open(lock) else { return };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        return;
    }
    let pid = std::fs::read_to_string(lock).ok().and_then(|text| text.trim().parse().ok());
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        // It may have ended by itself just now.
        let _gone = kill_process(pid, Signal::KILL);
    }
}
