#![cfg_attr(test, allow(clippy::unwrap_used))]
//! What is done: the loop that drives the core, the workers that it hands effects to, and both ends of the local
//! socket. It decides nothing: that is the core's.
//!
//! | module | holds |
//! |---|---|
//! | [`daemon`], `applicant` | a node from start to end: home, restart; how it founds or joins an organisation |
//! | `running` | the loop: one task, one await |
//! | [`net`] | the network worker: libp2p, discovery, joining |
//! | [`store`] | the database worker: SQLite, one writer |
//! | `server`, [`client`], [`frame`] | the local socket, from both ends |
//! | [`home`], `keys`, `listen` | folders, secrets and ports |
//!
//! ```no_run
//! # async fn example() -> Result<(), fedp2p_node::daemon::Error> {
//! use fedp2p_node::daemon::{Options, run};
//! let options = Options { home: "/tmp/example-node".into(), ..Options::default() };
//! run(options, |report| eprintln!("{report:?}")).await
//! # }
//! ```

mod applicant;
pub mod client;
mod committing;
pub mod daemon;
pub mod frame;
pub mod home;
mod keys;
mod listen;
pub mod net;
mod running;
mod server;
pub mod store;
