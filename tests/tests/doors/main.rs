#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
//! What must hold at the doors for programs of others: agents that are programs, agents that are models, and coding tools.

mod bare;
mod doctor;
mod endpoint;
mod hooks;
mod models;
mod names;
mod programs;
mod setup;
mod stopping;
mod stub;
mod team;
mod waiting;
