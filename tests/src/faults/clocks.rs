//! Clocks that are wrong, by libfaketime. It changes the time of day and not the steady clock.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::Outcome;
use super::group::Group;
use crate::node::Node;
use crate::world::World;

const NAMES: [&str; 3] = ["taichi", "aorus", "baby"];

/// Where the library is. A test that needs it and has it not says why and passes.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|folder| folder.path());
    let found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    if found.is_none() {
        drop(writeln!(std::io::stderr(), "skipped: clocks need libfaketime (Debian: faketime)"));
    }
    found
}

/// Lets a node run with another clock from its next start.
fn fake(node: &mut Node, library: &Path, variable: &str, value: &str) {
    node.set_variable("LD_PRELOAD", library.to_str());
    node.set_variable("FAKETIME_DONT_FAKE_MONOTONIC", Some("1"));
    node.set_variable("FAKETIME_NO_CACHE", Some("1"));
    node.set_variable(variable, Some(value));
}

fn right(node: &mut Node) {
    for variable in ["LD_PRELOAD", "FAKETIME", "FAKETIME_TIMESTAMP_FILE"] {
        node.set_variable(variable, None);
    }
}

/// Restarts one of three nodes with another clock.
fn restart(group: &mut Group, library: &Path, index: usize, shift: &str) {
    group.nodes[index].down();
    fake(&mut group.nodes[index], library, "FAKETIME", shift);
    group.nodes[index].up(&[]);
}

/// Lets all talk while the clock of one of three nodes is a day behind, and sets it right.
pub(super) fn behind() -> Option<Outcome> {
    let library = library()?;
    let mut group = Group::local(&NAMES);
    restart(&mut group, &library, 2, "-1d");
    group.nodes[2].wait_for_peers(2);
    group.all_talk(5, 300);
    assert_told(&group);
    group.nodes[2].down();
    right(&mut group.nodes[2]);
    let started = Instant::now();
    group.nodes[2].up(&[]);
    group.say(2, 5, 300);
    group.agree();
    let recovered = Some(started.elapsed());
    let did = "said so on each node; took the others' entries once its clock was right".to_owned();
    Some(Outcome { did, lost: group.check(), recovered })
}

/// Lets all talk while the clock of one of three nodes is a day ahead. The others go on without what it says until
/// their clocks are as far.
pub(super) fn ahead() -> Option<Outcome> {
    let library = library()?;
    let mut group = Group::local(&NAMES);
    restart(&mut group, &library, 2, "+1d");
    group.nodes[2].wait_for_peers(2);
    group.all_talk(5, 300);
    assert_told(&group);
    a_day_later(&mut group, &library);
    Some(Outcome { did: AHEAD.to_owned(), lost: group.check(), recovered: None })
}

/// What a node says and the others do when its clock is ahead.
const AHEAD: &str = "said so on each node; its entries waited until their time had come, the others went on";

/// A person is told that clocks are apart.
fn assert_told(group: &Group) {
    let told =
        group.nodes.iter().any(|node| node.lines().iter().any(|line| line.to_string().contains("set both clocks")));
    assert!(told, "nobody is told that clocks are apart");
}

/// Restarts the first two nodes a day later, when what was ahead of them is not any more.
fn a_day_later(group: &mut Group, library: &Path) {
    for index in [0, 1] {
        restart(group, library, index, "+1d");
    }
    group.agree();
}

/// Sets a running node's clock a day ahead and back again. What it said meanwhile waits until its time has come; what
/// it says from then on stands in a new log and is taken at once.
pub(super) fn jumping() -> Option<Outcome> {
    let library = library()?;
    let world = World::new();
    let file = world.path("clock");
    let set = |shift: &str| fs::write(&file, shift).expect("a world has room for a file");
    set("+0");
    let mut nodes: Vec<Node> = NAMES.iter().map(|name| world.node(name)).collect();
    fake(&mut nodes[2], &library, "FAKETIME_TIMESTAMP_FILE", file.to_str().expect("a plain path"));
    let mut group = Group::new(world, nodes);
    group.up();
    group.all_talk(5, 300);
    set("+1d");
    group.all_talk(5, 300);
    set("+0");
    group.in_two_logs = Some(group.nodes[2].name().to_owned());
    group.say(2, 5, 300);
    a_day_later(&mut group, &library);
    Some(Outcome { did: AHEAD.to_owned(), lost: group.check(), recovered: None })
}
