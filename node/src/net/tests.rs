//! Two or more workers in one process, each driven by a few lines in place of the core.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test waits for one kind of event")]

mod garbage;
mod joins;
mod members;
mod peers;
