#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
//! What must hold at the doors for programs of others: agents that are programs, and agents that are models.

mod endpoint;
mod models;
mod programs;
mod stopping;
mod stub;
mod team;
