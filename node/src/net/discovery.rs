//! The registry: a folder in which every live daemon of this user on this machine leaves a file.
//!
//! mDNS leaves out the loopback interface and says no goodbye, so nodes on one machine find each other here. A task of
//! its own writes our file once the addresses are known, then reads the others', at once and every two seconds. It
//! writes before it reads, so of two that start together at least one sees the other. What it finds is a hint: the
//! hello decides.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fedp2p_protocols::id::{NetworkId, NodeId};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

/// How often the folder is read.
const INTERVAL: Duration = Duration::from_secs(2);
/// Largest file that is read.
const MAX_FILE_BYTES: u64 = 16 * 1024;
/// Most files that are looked at.
const MAX_FILES: usize = 512;

/// One live daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The network it belongs to.
    pub(super) network: NetworkId,
    /// The node.
    pub(super) node: NodeId,
    /// Where it listens, as multiaddrs.
    pub(super) addresses: Vec<String>,
    /// Its process.
    pub(super) pid: u32,
}

/// What the task found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A daemon of our network that is new, or says something new.
    Here(Entry),
    /// A daemon that was here is gone.
    Gone(NodeId),
    /// The folder cannot be used; for the log.
    Trouble(String),
}

/// Our place in the folder, and what was read of it.
#[derive(Debug)]
pub(super) struct Registry {
    folder: PathBuf,
    network: NetworkId,
    me: NodeId,
    seen: BTreeMap<PathBuf, (SystemTime, Option<Entry>)>,
}

fn is_alive(pid: u32) -> bool {
    #[cfg(unix)]
    {
        let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else {
            return false;
        };
        // Any other error means that the process exists and is not ours.
        rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
    }
    #[cfg(not(unix))]
    {
        pid != 0
    }
}

impl Registry {
    pub(super) fn new(folder: PathBuf, network: NetworkId, me: NodeId) -> Self {
        Self { folder, network, me, seen: BTreeMap::new() }
    }

    fn own_file(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.me))
    }

    /// Writes our file, whole or not at all.
    fn write(&self, addresses: &[String]) -> io::Result<()> {
        let entry =
            Entry { network: self.network, node: self.me, addresses: addresses.to_vec(), pid: std::process::id() };
        make_folder(&self.folder)?;
        let draft = self.folder.join(format!(".{}.{}.draft", self.me.short(), std::process::id()));
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&draft)?;
        file.write_all(&serde_json::to_vec(&entry)?)?;
        drop(file);
        fs::rename(&draft, self.own_file())
    }

    /// Removes our file, unless a later process with our key has replaced it.
    fn remove(&self) {
        let file = self.own_file();
        if read_entry(&file).is_some_and(|entry| entry.pid == std::process::id()) {
            // A file that stays behind is removed by whoever finds its process dead.
            let _gone = fs::remove_file(file);
        }
    }

    /// Reads what changed, and removes the files of dead processes.
    fn scan(&mut self) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        let mut present = BTreeMap::new();
        for file in fs::read_dir(&self.folder)?.take(MAX_FILES) {
            let path = file?.path();
            if path.extension().is_none_or(|extension| extension != "json") || path == self.own_file() {
                continue;
            }
            let Ok(modified) = fs::symlink_metadata(&path).and_then(|data| data.modified()) else {
                continue;
            };
            let known = self.seen.remove(&path);
            let (entry, is_new) = match known {
                Some((at, entry)) if at == modified => (entry, false),
                Some((_, before)) => {
                    let entry = read_entry(&path);
                    let is_new = entry != before;
                    (entry, is_new)
                }
                None => (read_entry(&path), true),
            };
            if entry.as_ref().is_some_and(|entry| !is_alive(entry.pid)) {
                let _gone = fs::remove_file(&path);
                found.extend(entry.map(|entry| Found::Gone(entry.node)));
                continue;
            }
            let ours = entry.clone().filter(|entry| is_new && entry.network == self.network);
            found.extend(ours.map(Found::Here));
            present.insert(path, (modified, entry));
        }
        let left = std::mem::replace(&mut self.seen, present);
        found.extend(left.into_values().filter_map(|(_, entry)| entry).map(|entry| Found::Gone(entry.node)));
        Ok(found)
    }

    /// One round: makes sure that our file is there, then reads the others'.
    fn round(&mut self, addresses: &[String], rewrite: bool) -> Vec<Found> {
        let written = if rewrite || !self.own_file().exists() { self.write(addresses) } else { Ok(()) };
        match written.and_then(|()| self.scan()) {
            Ok(found) => found,
            Err(error) => {
                vec![Found::Trouble(format!("the registry {} cannot be used: {error}", self.folder.display()))]
            }
        }
    }

    /// Runs until the sender of our addresses is dropped, then removes our file.
    pub(super) async fn run(mut self, mut addresses: watch::Receiver<Vec<String>>, found: mpsc::Sender<Vec<Found>>) {
        let mut had_trouble = false;
        let mut rewrite = match addresses.changed().await {
            Ok(()) => true,
            Err(_) => return,
        };
        loop {
            let current = addresses.borrow_and_update().clone();
            let round = tokio::task::spawn_blocking(move || {
                let news = self.round(&current, rewrite);
                (self, news)
            });
            let Ok((registry, mut news)) = round.await else {
                return;
            };
            self = registry;
            let trouble = news.iter().any(|found| matches!(found, Found::Trouble(_)));
            if trouble && had_trouble {
                news.clear();
            }
            had_trouble = trouble;
            if !news.is_empty() && found.send(news).await.is_err() {
                break;
            }
            rewrite = match tokio::time::timeout(INTERVAL, addresses.changed()).await {
                Ok(Ok(())) => true,
                Ok(Err(_)) => break,
                Err(_) => trouble,
            };
        }
        self.remove();
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Reads one file, or nothing if it is not a regular file of ours.
fn read_entry(path: &Path) -> Option<Entry> {
    let data = fs::symlink_metadata(path).ok()?;
    if !data.is_file() || data.len() > MAX_FILE_BYTES {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(folder: &Path, network: u8, node: u8) -> Registry {
        let network = NetworkId::from_bytes([network; 16]);
        Registry::new(folder.to_owned(), network, NodeId::from_bytes([node; 32]))
    }

    #[test]
    fn daemons_of_one_network_find_each_other_once() {
        let folder = tempfile::tempdir().unwrap();
        let (mut a, mut b, mut c) =
            (registry(folder.path(), 1, 1), registry(folder.path(), 1, 2), registry(folder.path(), 2, 3));
        assert_eq!(a.round(&["x".to_owned()], true), []);
        assert_eq!(c.round(&[], true), []);
        let found = b.round(&[], true);
        assert!(matches!(found.as_slice(), [Found::Here(entry)] if entry.node == a.me && entry.addresses == ["x"]));
        assert_eq!(b.round(&[], false), []);
        a.remove();
        assert_eq!(b.round(&[], false), [Found::Gone(a.me)]);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("run");
        let a = registry(&inner, 1, 1);
        a.write(&[]).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&inner), mode(&a.own_file())), (0o700, 0o600));
    }

    #[test]
    fn the_file_of_a_dead_process_is_removed_and_nonsense_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut a = registry(folder.path(), 1, 1);
        let dead = Entry {
            network: a.network,
            node: NodeId::from_bytes([9; 32]),
            addresses: vec![],
            // Above the largest process id of Linux.
            pid: 0x7fff_fff0,
        };
        let path = folder.path().join("dead.json");
        fs::write(&path, serde_json::to_vec(&dead).unwrap()).unwrap();
        fs::write(folder.path().join("nonsense.json"), "{").unwrap();
        fs::create_dir(folder.path().join("folder.json")).unwrap();
        assert_eq!(a.round(&[], true), [Found::Gone(dead.node)]);
        assert!(!path.exists());
        assert!(folder.path().join("nonsense.json").exists());
    }

    #[test]
    fn our_own_file_comes_back_when_somebody_removed_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut a = registry(folder.path(), 1, 1);
        a.round(&[], true);
        fs::remove_file(a.own_file()).unwrap();
        a.round(&[], false);
        assert!(a.own_file().exists());
    }
}
