//! The admission gate: which foreign changes may enter a document, and why the others may not.
//!
//! [`Document::admit`](crate::document::Document::admit) calls it with the bytes of one change. Automerge panics on
//! some changes, accepts others that make the saved document unreadable, and expands a few bytes to millions of
//! operations. So it sees a change only after everything that can be checked without it was checked.
//!
//! # Order of the checks
//!
//! 1. Size, chunk kind, shape of the columns, limits; only operations on maps (`scan`).
//! 2. The change follows the last one and nothing else; other actors are known; the actor is the document's; the
//!    sequence number is the next; the epoch has room; the first counter is the next; the time is sane.
//! 3. Every operation writes below the writer's own key, into a map that exists, and names as its predecessor exactly
//!    what stands at the same key of the same map; the maps that are written to do not hold too much (`ledger`).
//! 4. Automerge reads it; the checksum is right; encoding it again gives the same bytes.
//! 5. Automerge applies it. No change is known that comes so far and fails here. Should there be one, the document
//!    is made again without it and takes no further change.
//!
//! # Invariants
//!
//! The verdict is a pure function of the bytes and the changes given before. The last two steps run inside
//! `catch_unwind`. A refused change leaves no trace in what the document says.
//!
//! # Cost
//!
//! Automerge walks every operation of each map that a change writes to, so the bounds are on those: a change has at
//! most [`MAX_CHANGE_OPS`] operations and touches at most [`MAX_TOUCHED_OPS`]. As only one operation stands at a key
//! and nothing is written to maps that do not stand, what was replaced never comes back to be read again.
//! `cargo bench -p fedp2p-crdt --bench gate` prints what the worst changes cost.

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{Automerge, Change, ChangeHash};
use fedp2p_protocols::limits::{
    MAX_CHANGE_ACTORS, MAX_CHANGE_BYTES, MAX_CHANGE_DEPS, MAX_CHANGE_MESSAGE_BYTES, MAX_CHANGE_OPS, MAX_CHANGE_PREDS,
    MAX_EPOCH_CHANGES,
};

use crate::genesis;
use crate::scan::Scanned;

/// Counters of operations stay below this, as Automerge panics where they leave 32 bits.
pub const MAX_COUNTER: u64 = 1 << 31;
/// Times stay below this, as Automerge stores differences of times and cannot store every difference.
pub const MAX_TIME: i64 = 1 << 53;
/// Most operations in one document epoch, the common first change included. A ballot takes about five, an agent
/// eight, a proposal ten and one for each option.
pub const MAX_EPOCH_OPS: u64 = 1 << 16;
/// Most maps in one document epoch, because Automerge copies a list of them for each change.
pub const MAX_EPOCH_MAPS: usize = 14_000;
/// Most operations that one change touches: what was ever written in this epoch to the maps that it writes to, which
/// Automerge walks, and to the records that they belong to, which are read again. Its own count as well.
pub const MAX_TOUCHED_OPS: u64 = 1 << 12;
/// Deepest that maps may stand within maps, the root not counted.
pub const MAX_DEPTH: u8 = 16;

/// Why a change may not enter a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Larger than [`MAX_CHANGE_BYTES`].
    #[error("a change has at most {MAX_CHANGE_BYTES} bytes, not {0}")]
    TooLarge(usize),
    /// The first bytes are not Automerge's.
    #[error("not an automerge chunk")]
    NotAutomerge,
    /// A document, a compressed change, a bundle or something unknown.
    #[error("chunk of kind {0} instead of an uncompressed change")]
    NotAChange(u8),
    /// The named part ends early or breaks the format.
    #[error("the {0} cannot be read")]
    Malformed(&'static str),
    /// Bytes after what the format describes.
    #[error("bytes after the end")]
    ExtraBytes,
    /// A column that this version does not know, or a compressed one.
    #[error("unknown column {0:#x}")]
    UnknownColumn(u64),
    /// Something that Automerge has and these documents do not.
    #[error("{0} are not part of these documents")]
    Unsupported(&'static str),
    /// A column has more than [`MAX_CHANGE_OPS`] entries.
    #[error("a change has at most {MAX_CHANGE_OPS} operations")]
    TooManyOps,
    /// Nothing happens in it.
    #[error("a change without operations")]
    NoOps,
    /// The operations name more than [`MAX_CHANGE_PREDS`] predecessors.
    #[error("a change names at most {MAX_CHANGE_PREDS} predecessors")]
    TooManyPreds,
    /// More than [`MAX_CHANGE_DEPS`] dependencies.
    #[error("a change has at most {MAX_CHANGE_DEPS} dependencies, not {0}")]
    TooManyDeps(u64),
    /// A dependency is named twice.
    #[error("a dependency is named twice")]
    DuplicateDep,
    /// The dependencies are not exactly the last change of the document.
    #[error("does not follow the last change")]
    NotNext,
    /// More than [`MAX_CHANGE_ACTORS`] other actors.
    #[error("a change names at most {MAX_CHANGE_ACTORS} other actors, not {0}")]
    TooManyActors(u64),
    /// An actor that wrote nothing in this document, or one named twice.
    #[error("names an unknown actor")]
    UnknownActor,
    /// Not written by the actor of this document.
    #[error("written by another actor")]
    WrongActor,
    /// The sequence number is not the next.
    #[error("sequence number {found} instead of {expected}")]
    Sequence {
        /// The next number.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// The epoch has [`MAX_EPOCH_CHANGES`] changes, [`MAX_EPOCH_OPS`] operations or [`MAX_EPOCH_MAPS`] maps.
    #[error("the epoch has {MAX_EPOCH_CHANGES} changes, {MAX_EPOCH_OPS} operations or {MAX_EPOCH_MAPS} maps")]
    EpochFull,
    /// The counter of the first operation is not the next.
    #[error("first operation {found} instead of {expected}")]
    StartOp {
        /// The next counter.
        expected: u64,
        /// The counter found.
        found: u64,
    },
    /// Counters reach [`MAX_COUNTER`].
    #[error("operation counters are below {MAX_COUNTER}")]
    CounterTooHigh,
    /// The time is negative or reaches [`MAX_TIME`].
    #[error("the time is out of range")]
    Time,
    /// The commit message is longer than [`MAX_CHANGE_MESSAGE_BYTES`].
    #[error("a message has at most {MAX_CHANGE_MESSAGE_BYTES} bytes")]
    MessageTooLong,
    /// An operation on a map that does not exist, or not any more.
    #[error("operation {0} is on a map that does not exist")]
    UnknownObject(u64),
    /// An operation outside of what the writer owns.
    #[error("operation {0} is outside of the writer's own map")]
    OutOfScope(u64),
    /// An operation does not name as its predecessor exactly what stands at its key.
    #[error("operation {0} does not replace exactly what stands at its key")]
    Predecessor(u64),
    /// It touches more than [`MAX_TOUCHED_OPS`] operations.
    #[error("a change writes to maps and records of at most {MAX_TOUCHED_OPS} operations together")]
    TooMuchTouched,
    /// An operation puts a map deeper than [`MAX_DEPTH`].
    #[error("operation {0} puts a map deeper than {MAX_DEPTH}")]
    TooDeep(u64),
    /// An operation has an empty key.
    #[error("operation {0} has an empty key")]
    EmptyKey(u64),
    /// The checksum does not fit the contents.
    #[error("the checksum is wrong")]
    Checksum,
    /// Automerge cannot read it.
    #[error("automerge cannot read it")]
    Unreadable,
    /// Not encoded the way Automerge encodes it, so that a saved document would not load.
    #[error("not encoded the canonical way")]
    NotCanonical,
    /// Automerge cannot apply it.
    #[error("automerge cannot apply it")]
    NotApplied,
    /// Automerge panicked.
    #[error("automerge panicked on it")]
    Panicked,
    /// Automerge failed on an earlier change.
    #[error("automerge failed on an earlier change of this epoch")]
    Spoilt,
}

/// Where a document stands: what the next change must follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tip {
    /// The actor of the document.
    pub(crate) actor: [u8; 16],
    /// The hash of the last change.
    pub(crate) hash: ChangeHash,
    /// The number of changes after the first one.
    pub(crate) changes: u64,
    /// The highest counter of an operation.
    pub(crate) max_op: u64,
}

impl Tip {
    /// Checks that `scanned` is the next change of this document.
    ///
    /// # Errors
    /// Step 2 of the order above.
    pub(crate) fn check(&self, scanned: &Scanned<'_>) -> Result<(), Refusal> {
        let head = &scanned.head;
        let mut deps = head.deps.clone();
        deps.sort_unstable();
        if deps.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Refusal::DuplicateDep);
        }
        if deps != [self.hash.0] {
            return Err(Refusal::NotNext);
        }
        // One writer refers to itself and to the first change only.
        if head.others.len() > 1 || head.others.iter().any(|other| *other != genesis::ACTOR) {
            return Err(Refusal::UnknownActor);
        }
        if head.actor != self.actor {
            return Err(Refusal::WrongActor);
        }
        let expected = self.changes + 1;
        if head.seq != expected {
            return Err(Refusal::Sequence { expected, found: head.seq });
        }
        let ops = scanned.ops.len() as u64;
        if self.changes >= MAX_EPOCH_CHANGES || self.max_op + ops > MAX_EPOCH_OPS {
            return Err(Refusal::EpochFull);
        }
        if head.start_op >= MAX_COUNTER - ops {
            return Err(Refusal::CounterTooHigh);
        }
        let expected = self.max_op + 1;
        if head.start_op != expected {
            return Err(Refusal::StartOp { expected, found: head.start_op });
        }
        if !(0..MAX_TIME).contains(&head.time) {
            return Err(Refusal::Time);
        }
        Ok(())
    }
}

/// Lets Automerge read `bytes`, which the scan has accepted, and checks that they are its own encoding.
///
/// # Errors
/// Step 4 of the order above.
pub(crate) fn parse(bytes: &[u8]) -> Result<Change, Refusal> {
    let change = read(bytes)?;
    let same = unwinding(|| Ok(Change::from(change.decode()).raw_bytes() == bytes))?;
    if same { Ok(change) } else { Err(Refusal::NotCanonical) }
}

/// Does what [`parse`] does except for the last check, for changes that were admitted before.
///
/// # Errors
/// When Automerge cannot read the bytes or the checksum is wrong.
pub(crate) fn read(bytes: &[u8]) -> Result<Change, Refusal> {
    let change = unwinding(|| Change::try_from(bytes).map_err(|_| Refusal::Unreadable))?;
    if change.hash().0[..4] != bytes[4..8] {
        return Err(Refusal::Checksum);
    }
    Ok(change)
}

/// Applies `changes` to `document` and hands it to `then`. After a refusal the document is of no more use.
///
/// # Errors
/// Step 5 of the order above.
pub(crate) fn apply<T>(
    document: &mut Automerge,
    changes: Vec<Change>,
    then: impl FnOnce(&Automerge) -> T,
) -> Result<T, Refusal> {
    unwinding(|| {
        document.apply_changes(changes).map_err(|_| Refusal::NotApplied)?;
        Ok(then(document))
    })
}

/// Turns a panic in `work` into a refusal. What `work` was changing is given up by the caller then.
fn unwinding<T>(work: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Refusal::Panicked))
}
