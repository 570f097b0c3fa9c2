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
//! | [`lab`] | network namespaces and cables between them; file systems that are small or read-only |
//!
//! ```no_run
//! use fedp2p_tests::world::World;
//! let world = World::new();
//! let mut taichi = world.node("taichi");
//! taichi.up(&[]);
//! assert_eq!(taichi.cli(&["status"]).code, 0);
//! ```

pub mod binary;
pub mod lab;
pub mod node;
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
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(instead) if Instant::now() > deadline => panic!("not within {PATIENCE:?}: {what}; instead: {instead}"),
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
