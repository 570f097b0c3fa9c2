//! Every bound on a note.

/// Most operations in one change: characters that it inserts or deletes.
pub const MAX_OPS: u64 = 4096;
/// Highest counter of an operation in a note. Each edit counts up from the highest that its writer knew, so this bounds
/// how often a note can be edited, in characters.
pub const MAX_COUNTER: u64 = 1 << 17;
/// Most changes of one writer, which is one log of one node, in one note.
pub const MAX_CHANGES: u64 = 4096;
/// Most changes that one change follows directly.
pub const MAX_DEPS: usize = 1024;
/// Most other writers whose characters one change refers to.
pub const MAX_ACTORS: usize = 256;
/// Longest text that an edit may leave, in bytes. It is the editor who keeps to it: edits that are made at once may lead
/// to more, and are not refused for that.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;
