//! What hostile members can send: every known way to break Automerge with a change, and our own variants of it.
//!
//! Two known attacks are on sync messages (a Bloom filter with no bits for an entry, and one with 50 million
//! probes). They do not apply: this crate has no way in for sync messages.
#![expect(clippy::unwrap_used, reason = "a test stops where it is wrong")]

mod attacks;
mod forge;
mod properties;
mod shapes;
mod victim;
