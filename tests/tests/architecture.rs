#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
//! The shape of the workspace: who imports whom, which crates are pure, how long files are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// Each package of ours and which of ours it may import, in the order of the arrows.
const ARROWS: &[(&str, &[&str])] = &[
    ("fedp2p-protocols", &[]),
    ("fedp2p-crdt", &["fedp2p-protocols"]),
    ("fedp2p-core", &["fedp2p-protocols", "fedp2p-crdt"]),
    ("fedp2p-node", &["fedp2p-protocols", "fedp2p-crdt", "fedp2p-core"]),
    ("fedp2p", &["fedp2p-protocols", "fedp2p-crdt", "fedp2p-core", "fedp2p-node"]),
    ("fedp2p-testnet", &["fedp2p-protocols", "fedp2p-crdt", "fedp2p-core"]),
    ("fedp2p-tests", &["fedp2p-protocols", "fedp2p-node"]),
    ("fedp2p-fuzz", &["fedp2p-protocols", "fedp2p-crdt", "fedp2p-core", "fedp2p-node"]),
];

/// The pure packages and their folders.
const PURE: [(&str, &str); 3] =
    [("fedp2p-protocols", "protocols"), ("fedp2p-crdt", "crdt"), ("fedp2p-core", "node/core")];

/// Runtimes, networks and databases, which no pure crate may reach by any way.
const IMPURE: [&str; 8] = ["tokio", "mio", "async-io", "socket2", "libp2p", "rusqlite", "libsqlite3-sys", "reqwest"];

/// What the lints of a pure crate forbid.
const FORBIDDEN: [&str; 8] = [
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    "std::thread::sleep",
    "rand::rng",
    "rand::random",
    "rand::thread_rng",
    "rand_core::OsRng",
    "std::collections::HashMap",
];

const MAX_LINES: usize = 700;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What Cargo knows of the workspace and everything that it depends on, on this platform.
fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let version = Command::new("rustc").arg("-vV").output().unwrap().stdout;
        let version = String::from_utf8(version).unwrap();
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["metadata", "--format-version", "1", "--filter-platform", host]).current_dir(root());
        let output = cargo.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    })
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value[field].as_array().unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// Our packages with the names of what they declare to depend on, tests included.
fn ours() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let members: BTreeSet<&str> = list(metadata(), "workspace_members").iter().map(|id| id.as_str().unwrap()).collect();
    let packages = list(metadata(), "packages").iter().filter(|package| members.contains(text(package, "id")));
    packages
        .map(|package| {
            let dependencies =
                list(package, "dependencies").iter().map(|dependency| text(dependency, "name")).collect();
            (text(package, "name"), dependencies)
        })
        .collect()
}

#[test]
fn imports_follow_the_arrows() {
    let ours = ours();
    let known: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(ours.keys().copied().collect::<BTreeSet<_>>(), known, "every package has its place in the arrows");
    for (name, allowed) in ARROWS {
        let imported: BTreeSet<&str> = ours[name].intersection(&known).copied().collect();
        let wrong: Vec<_> = imported.iter().filter(|import| !allowed.contains(*import)).collect();
        assert!(wrong.is_empty(), "{name} must not import {wrong:?}");
    }
}

#[test]
fn pure_crates_reach_no_runtime_network_or_database() {
    let packages: BTreeMap<&str, &str> =
        list(metadata(), "packages").iter().map(|package| (text(package, "id"), text(package, "name"))).collect();
    let mut graph: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in list(&metadata()["resolve"], "nodes") {
        let normal =
            list(node, "deps").iter().filter(|dep| list(dep, "dep_kinds").iter().any(|kind| kind["kind"].is_null()));
        graph.insert(text(node, "id"), normal.map(|dep| text(dep, "pkg")).collect());
    }
    for (name, _) in PURE {
        let start = packages.iter().find(|(_, package)| **package == name).map(|(id, _)| *id).unwrap();
        let mut ways: BTreeMap<&str, &str> = BTreeMap::from([(start, start)]);
        let mut queue = vec![start];
        while let Some(id) = queue.pop() {
            for next in &graph[id] {
                if !ways.contains_key(next) {
                    ways.insert(next, id);
                    queue.push(next);
                }
            }
        }
        assert!(ways.len() > 5, "{name} depends on something");
        for (id, by) in &ways {
            let reached = packages[id];
            let impure = IMPURE.contains(&reached) || reached.starts_with("libp2p");
            assert!(!impure, "{name} reaches {reached} by {}", packages[by]);
        }
    }
}

#[test]
fn lints_of_pure_crates_forbid_clocks_and_global_randomness() {
    for (name, folder) in PURE {
        let path = root().join(folder).join("clippy.toml");
        let lints = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {}: {error}", path.display()));
        for forbidden in FORBIDDEN {
            let line = lints.lines().find(|line| line.contains(&format!("path = \"{forbidden}\"")));
            assert!(line.is_some_and(|line| line.contains("reason = ")), "{name} does not forbid {forbidden}");
        }
    }
}

#[test]
fn pure_crates_name_no_files_sockets_threads_or_environment() {
    for (name, folder) in PURE {
        for path in rust_files(&root().join(folder).join("src")) {
            let source = fs::read_to_string(&path).unwrap();
            for module in ["std::fs", "std::net", "std::process", "std::thread", "std::env"] {
                assert!(!source.contains(module), "{name}: {} names {module}", path.display());
            }
        }
    }
}

#[test]
fn every_package_takes_the_lints_of_the_workspace() {
    for package in list(metadata(), "packages").iter().filter(|package| package["source"].is_null()) {
        let manifest = fs::read_to_string(text(package, "manifest_path")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{}", text(package, "name"));
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    let files = rust_files(&root());
    assert!(files.len() > 100);
    for path in files {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines; at most {MAX_LINES} are allowed", path.display());
    }
}

/// Every source file below a folder that is ours.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
