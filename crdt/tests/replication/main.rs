//! What the owner of a document writes is what every replica reads, in whatever way it got the changes.
#![expect(clippy::unwrap_used, reason = "a test stops where it is wrong")]

mod claims;
mod documents;
mod edits;
mod load;
mod notes;
mod properties;
mod tasks;
mod votes;
