//! What needs root: networks of our own, and file systems that are small or read-only.
//!
//! Everything lives in network namespaces that are made here: no packet leaves them, and nothing outside has an
//! address in them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Whether root's tools can be used here. A test that needs them and has them not says why and passes.
pub fn is_available() -> bool {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let missing = MISSING.get_or_init(missing);
    if let Some(reason) = missing {
        let test = std::thread::current();
        // Not by a macro: the test runner would keep the words of a test that passes to itself.
        drop(writeln!(std::io::stderr(), "skipped: {} needs {reason}", test.name().unwrap_or("a test")));
    }
    missing.is_none()
}

fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("root".to_owned());
    }
    let name = unique("try");
    match run("ip", &["netns", "add", &name]) {
        Ok(()) => {
            drop(run("ip", &["netns", "del", &name]));
            None
        }
        Err(reason) => Some(format!("network namespaces: {reason}")),
    }
}

pub(crate) fn run(program: &str, words: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(words).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

pub(crate) fn must(program: &str, words: &[&str]) {
    run(program, words).unwrap_or_else(|reason| panic!("{reason}"));
}

/// A name that no other test process or test uses.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("fp{}-{number}-{what}", std::process::id())
}

/// Network namespaces with the addresses 10.77.0.1 and so on. They are removed when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Namespaces(Vec<String>);

impl Namespaces {
    /// Makes one, and returns its name.
    pub(crate) fn add(&mut self, name: &str) -> &str {
        let namespace = unique(name);
        must("ip", &["netns", "add", &namespace]);
        self.0.push(namespace);
        &self.0[self.0.len() - 1]
    }

    /// Gives the interface `eth0` of one its address.
    pub(crate) fn configure(&self, index: usize) {
        let address = format!("10.77.0.{}/24", index + 1);
        must("ip", &["-n", &self.0[index], "address", "add", &address, "dev", "eth0"]);
        must("ip", &["-n", &self.0[index], "link", "set", "eth0", "up"]);
        must("ip", &["-n", &self.0[index], "link", "set", "lo", "up"]);
    }

    pub(crate) fn name(&self, index: usize) -> &str {
        &self.0[index]
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for namespace in &self.0 {
            drop(run("ip", &["netns", "del", namespace]));
        }
    }
}

/// Network namespaces, each with a cable (a veth pair) to one switch (a bridge in a namespace of its own). An interface
/// is told when its cable is pulled.
#[derive(Debug)]
pub struct Lab {
    switch: String,
    namespaces: Namespaces,
}

impl Lab {
    /// Makes as many namespaces as there are names, with the addresses 10.77.0.1 and so on.
    pub fn new(names: &[&str]) -> Self {
        let mut lab = Self { switch: unique("switch"), namespaces: Namespaces::default() };
        must("ip", &["netns", "add", &lab.switch]);
        must("ip", &["-n", &lab.switch, "link", "add", "br0", "type", "bridge"]);
        must("ip", &["-n", &lab.switch, "link", "set", "br0", "type", "bridge", "mcast_snooping", "0"]);
        must("ip", &["-n", &lab.switch, "link", "set", "br0", "up"]);
        for (index, name) in names.iter().enumerate() {
            let namespace = lab.namespaces.add(name).to_owned();
            let port = port(index);
            let pair = ["link", "add", "eth0", "type", "veth", "peer", "name", &port, "netns", &lab.switch];
            must("ip", &[&["-n", &namespace][..], &pair].concat());
            lab.namespaces.configure(index);
            must("ip", &["-n", &lab.switch, "link", "set", &port, "master", "br0", "up"]);
        }
        lab
    }

    /// The name of a namespace.
    pub fn namespace(&self, index: usize) -> &str {
        self.namespaces.name(index)
    }

    /// Pulls a cable out of the switch.
    pub fn cut(&self, index: usize) {
        must("ip", &["-n", &self.switch, "link", "set", &port(index), "down"]);
    }

    /// Puts it back.
    pub fn mend(&self, index: usize) {
        must("ip", &["-n", &self.switch, "link", "set", &port(index), "up"]);
    }

    /// Takes down the interface at the node itself.
    pub fn interface_down(&self, index: usize) {
        must("ip", &["-n", self.namespace(index), "link", "set", "eth0", "down"]);
    }

    /// Brings it up again.
    pub fn interface_up(&self, index: usize) {
        must("ip", &["-n", self.namespace(index), "link", "set", "eth0", "up"]);
    }
}

fn port(index: usize) -> String {
    format!("port{index}")
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(run("ip", &["netns", "del", &self.switch]));
    }
}

/// A file system in memory with little room.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts a file system of so many KiB.
    ///
    /// # Panics
    /// If the folder cannot be made.
    pub fn new(path: &Path, kib: u32) -> Self {
        std::fs::create_dir_all(path).expect("a world has room for a folder");
        let options = format!("size={kib}k,mode=700");
        must("mount", &["-t", "tmpfs", "-o", &options, "fedp2p-test", &path.to_string_lossy()]);
        Self { path: path.to_owned() }
    }

    /// Makes it read-only.
    pub fn read_only(&self) {
        must("mount", &["-o", "remount,ro", &self.path.to_string_lossy()]);
    }

    /// Makes it writable again.
    pub fn writable(&self) {
        must("mount", &["-o", "remount,rw", &self.path.to_string_lossy()]);
    }

    /// Fills what is left of it, and returns the file that has to be removed to make room again.
    ///
    /// # Panics
    /// If anything but the lack of room stops it.
    pub fn fill(&self) -> PathBuf {
        let path = self.path.join("filler");
        let mut file = std::fs::File::create(&path).expect("the disk has room for a name");
        for size in [65_536, 4_096, 512, 1] {
            let block = vec![0; size];
            while file.write_all(&block).is_ok() {}
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(run("umount", &["--lazy", &self.path.to_string_lossy()]));
    }
}
