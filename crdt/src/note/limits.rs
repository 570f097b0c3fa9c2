//! Every bound on a note. Nobody can use up what others may write: what is counted is counted for each log.

/// Most operations in one change: characters that it inserts or deletes.
pub const MAX_OPS: u64 = 4096;
/// Counters of operations stay below this, as Automerge panics where they leave 32 bits.
pub const MAX_COUNTER: u64 = crate::gate::MAX_COUNTER;
/// Most changes of one log in one note.
pub const MAX_CHANGES: u64 = 4096;
/// Most characters that one log inserts into one note.
pub const MAX_INSERTED: u64 = 1 << 17;
/// Most characters that one log deletes from one note: all that fits into its changes. A node may have many logs, and what
/// they have filled, one log of another is to clear: 128 logs that have written all that they may leave as many.
pub const MAX_DELETED: u64 = MAX_CHANGES * MAX_OPS;
/// Most changes that one log carries on in one note.
pub const MAX_CARRIED: u64 = 4096;
/// Most changes that one change follows directly.
pub const MAX_DEPS: usize = 1024;
/// Most other changes whose characters one change refers to.
pub const MAX_ACTORS: usize = 1024;
/// Longest text that an edit may leave, in bytes, unless it makes the text shorter. It is the editor who keeps to it:
/// edits that are made at once may lead to more, and are not refused for that.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;
