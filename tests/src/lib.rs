#![expect(clippy::unwrap_used, reason = "where a test cannot go on, its harness cannot either")]
//! What must hold: the harness that drives the real binary, end to end.
//!
//! A [`World`](world::World) is a temporary folder with nodes in it, cut off from the environment of whoever runs the
//! tests. A [`Node`](node::Node) is one home folder, its daemon and its command line. Nothing here sleeps for a time:
//! what takes a while is waited for with [`eventually`], and everything is ended and removed when it is dropped.
//!
//! | module | holds |
//! |---|---|
//! | [`binary`] | where the program is, built if need be |
//! | [`world`] | the folder, its environment, and the clean-up |
//! | [`node`] | a daemon and its clients |
//! | [`foreign`] | a member of the mesh that is not our program |
//! | [`crowd`] | many agents in one program, and texts that say how old they are |
//! | [`mcp`], [`clients`] | clients of the agents' door: one that says what a test wants, and the official ones |
//! | [`measure`] | what benches have in common: percentiles, tables, curves, what a process costs |
//! | [`lab`] | network namespaces and cables between them; file systems that are small or read-only |
//! | [`faults`] | what is done to nodes, and what became of it |
//! | [`switch`], [`cable`] | networks whose cables lose, delay, double and hold up frames, by a seed |
//!
//! ```no_run
//! use fedp2p_tests::world::World;
//! let world = World::new();
//! let mut taichi = world.node("taichi");
//! taichi.up(&[]);
//! assert_eq!(taichi.cli(&["status"]).code, 0);
//! ```

pub mod binary;
pub mod cable;
pub mod clients;
pub mod crowd;
pub mod faults;
pub mod foreign;
pub mod lab;
pub mod mcp;
pub mod measure;
pub mod node;
pub mod switch;
pub mod world;

use std::time::{Duration, Instant};

/// How long anything may take that a test waits for. Generous: it is only ever waited out by a failure.
pub const PATIENCE: Duration = Duration::from_secs(45);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Looks at a condition until it holds, and returns what it found.
///
/// # Panics
/// If it does not hold within [`PATIENCE`]; with what was last found instead.
#[track_caller]
pub fn eventually<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    eventually_within(PATIENCE, what, look)
}

/// As [`eventually`], for what may take another time.
///
/// # Panics
/// If it does not hold within `patience`; with what was last found instead.
#[track_caller]
pub fn eventually_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match look() {
            Ok(found) => return found,
            Err(instead) if Instant::now() > deadline => panic!("not within {patience:?}: {what}; instead: {instead}"),
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

/// Turns a condition into what [`eventually`] takes.
///
/// # Errors
/// With `seen` if the condition does not hold.
pub fn holds(condition: bool, seen: impl std::fmt::Debug) -> Result<(), String> {
    if condition { Ok(()) } else { Err(format!("{seen:?}")) }
}
