//! Which agent a tool's server of ours speaks as, so that the tool's hooks speak as the same.
//!
//! The second session of a tool in a project has another name than the first, and a tool that was not started in the
//! project has one that its server was told later. A hook is not told either; but the process that runs it is the one
//! that has started the server. So a server that speaks under a name that was made up writes down the name and the
//! processes above it, and a hook looks for the server that the nearest process above the hook has started as well. If
//! there is none, or are several, the name follows from the tool and the project.
//!
//! The file of a server is locked as long as the server runs. So those of servers that were killed are known and removed.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use fedp2p_protocols::name::AgentName;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// Where the servers write, in the home folder.
const FOLDER: &str = "speaking";
/// How the names of their files end.
const EXTENSION: &str = "json";
/// Most servers that are looked at.
const MAX_SERVERS: usize = 256;
/// Most processes above one that are looked at.
const MAX_ABOVE: usize = 8;
/// How far above its server a tool may be: right above it, or above one that only starts it.
const MAX_STARTERS: usize = 2;
/// Longest file that is read.
const MAX_BYTES: u64 = 4096;

/// What a server writes down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Server {
    /// The tool that it was set up for.
    tool: String,
    /// The name that follows from the tool and the project.
    first: AgentName,
    /// The name that it has.
    name: AgentName,
    /// The processes above it, the nearest first.
    above: Vec<u32>,
}

/// What a server has written down, as long as it holds this.
#[derive(Debug)]
pub(crate) struct Speaker {
    path: PathBuf,
    _locked: File,
}

impl Speaker {
    /// Writes down that this process speaks as `name`.
    ///
    /// # Errors
    /// If that cannot be written.
    pub(crate) fn announce(home: &Path, tool: &str, first: AgentName, name: AgentName) -> io::Result<Self> {
        let folder = home.join(FOLDER);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        // It gets its name when it is locked and whole: until then nobody looks at it.
        let path = folder.join(format!("{}.{EXTENSION}", std::process::id()));
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let server = Server { tool: tool.to_owned(), first, name, above: above() };
        file.write_all(&serde_json::to_vec(&server)?)?;
        std::fs::rename(&new, &path)?;
        Ok(Self { path, _locked: file })
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        // What is left behind is removed by whoever looks for a server.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Returns the name that the hook of a tool speaks under, of which `first` follows from the tool and the project.
pub(crate) fn name_for(home: &Path, tool: &str, first: AgentName) -> AgentName {
    let mut servers = running(&home.join(FOLDER));
    servers.retain(|server| server.tool == tool);
    if servers.is_empty() {
        return first;
    }
    choose(&servers, &above(), first)
}

fn choose(servers: &[Server], above: &[u32], first: AgentName) -> AgentName {
    let started = |server: &&Server, process: u32| server.above.iter().take(MAX_STARTERS).any(|pid| *pid == process);
    let nearest = above.iter().map(|process| servers.iter().filter(|server| started(server, *process)).collect());
    let nearest: Vec<&Server> = nearest.into_iter().find(|found: &Vec<_>| !found.is_empty()).unwrap_or_default();
    match nearest.as_slice() {
        [one] => one.name.clone(),
        several => {
            let mut own = several.iter().filter(|server| server.first == first);
            match (own.next(), own.next()) {
                (Some(one), None) => one.name.clone(),
                _ => first,
            }
        }
    }
}

/// The servers that run.
fn running(folder: &Path) -> Vec<Server> {
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    let paths = paths.filter(|path| path.extension().is_some_and(|end| end == EXTENSION));
    paths.filter_map(|path| read(&path)).take(MAX_SERVERS).collect()
}

fn read(path: &Path) -> Option<Server> {
    let file = File::open(path).ok()?;
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        // Its server has ended. One that has the same number now and writes just here is found by the next hook.
        drop(std::fs::remove_file(path));
        return None;
    }
    let mut text = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// The processes above this one, the nearest first; only the nearest where the system does not tell more in a file. The
/// first of all processes stands above everything and says nothing.
fn above() -> Vec<u32> {
    let nearest = std::os::unix::process::parent_id();
    let chain = std::iter::successors(Some(nearest), |pid| parent(*pid));
    chain.take_while(|pid| *pid > 1).take(MAX_ABOVE).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in brackets and may have any characters; the state and the parent follow.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(first: &str, name: &str, above: &[u32]) -> Server {
        let (first, name) = (first.parse().unwrap(), name.parse().unwrap());
        Server { tool: "codex".to_owned(), first, name, above: above.to_vec() }
    }

    fn chosen(servers: &[Server], above: &[u32], first: &str) -> String {
        choose(servers, above, first.parse().unwrap()).to_string()
    }

    #[test]
    fn a_hook_speaks_as_the_server_that_the_same_process_has_started() {
        let servers = [server("app", "app", &[10, 5]), server("app", "app-2", &[20, 5])];
        assert_eq!(chosen(&servers, &[20, 5], "app"), "app-2");
        assert_eq!(chosen(&servers, &[31, 30, 10, 5], "app"), "app");
        let elsewhere = [server("home", "home", &[12, 10])];
        assert_eq!(chosen(&elsewhere, &[11, 10], "app"), "home", "whatever project it was started for");
    }

    #[test]
    fn one_process_with_several_servers_has_one_for_each_project() {
        let servers = [server("app", "app-3", &[10]), server("web", "web", &[10])];
        assert_eq!(chosen(&servers, &[10], "app"), "app-3");
        assert_eq!(chosen(&servers, &[10], "docs"), "docs");
        let twice = [server("app", "app", &[10]), server("app", "app-2", &[10])];
        assert_eq!(chosen(&twice, &[10], "app"), "app", "nothing tells them apart");
    }

    #[test]
    fn servers_of_others_do_not_count() {
        assert_eq!(chosen(&[server("app", "app-2", &[20, 6, 5])], &[10, 5], "app"), "app");
        assert_eq!(chosen(&[], &[10], "app"), "app");
    }

    #[test]
    fn what_a_server_says_holds_while_it_runs() {
        let home = tempfile::tempdir().unwrap();
        let (first, name): (AgentName, AgentName) = ("app".parse().unwrap(), "app-2".parse().unwrap());
        let speaker = Speaker::announce(home.path(), "codex", first.clone(), name.clone()).unwrap();
        let file = speaker.path.clone();
        assert_eq!(name_for(home.path(), "codex", first.clone()), name);
        assert_eq!(name_for(home.path(), "cursor", first.clone()), first);
        drop(speaker);
        assert!(!file.exists());
        std::fs::write(&file, "{}").unwrap();
        assert_eq!(name_for(home.path(), "codex", first.clone()), first);
        assert!(!file.exists(), "left behind by a server that was killed");
    }
}
