#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
//! What must hold of real daemons, driven through the command line and the local socket.

mod absence;
mod approvals;
mod attention;
mod copies;
mod crashes;
mod crew;
mod demo;
mod envelopes;
mod garbage;
mod guard;
mod homes;
mod impostors;
mod joining;
mod messages;
mod notes;
mod partitions;
mod polls;
mod verify;
mod watching;
mod whitepaper;
