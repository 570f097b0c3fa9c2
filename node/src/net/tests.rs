//! Two or more workers in one process, each driven by a few lines in place of the core.

mod garbage;
mod joins;
mod members;
mod peers;
