#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
//! The agents' door of the real program: over a pipe and over HTTP, for honest clients and for others.

mod agents;
mod bad;
mod http;
mod official;
mod resources;
mod signoff;
mod tools;
