//! What hostile members can send: every known way to break Automerge with a change, and our own variants of it.
//!
//! `costly` holds the changes that cost most; the test `cost` and the bench `gate` use it.
#![expect(clippy::unwrap_used, reason = "a test stops where it is wrong")]

mod attacks;
mod forge;
mod notes;
mod properties;
mod replicas;
mod shapes;
mod victim;
