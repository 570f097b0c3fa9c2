//! The order and the bounds of what one log brings to a note.

use std::collections::VecDeque;

use super::gate::Judged;
use super::limits::{MAX_CHANGES, MAX_DELETED, MAX_INSERTED};
use super::{Counted, Hash, Incoming, Refusal};

/// What a log says itself, in its order. Each change follows the one before it, so what a log is allowed is a function of
/// its changes alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Chain {
    /// The last change that is allowed.
    last: Option<Hash>,
    changes: u64,
    inserted: u64,
    deleted: u64,
    /// What could not be judged yet; the first waits for something that it follows.
    pub(super) waiting: VecDeque<Incoming>,
    /// Why nothing more of this chain counts.
    pub(super) refused: Option<Refusal>,
    /// How many do not count for that.
    pub(super) left_out: usize,
}

impl Chain {
    /// Checks that a change comes next, and that there is room for it. `before` finds what counts.
    ///
    /// # Errors
    /// If it does not follow the change before, or this log has written all that it may.
    pub(super) fn check<'a>(
        &self,
        judged: &Judged,
        before: impl FnOnce(&Hash) -> Option<&'a Counted>,
    ) -> Result<(), Refusal> {
        if let Some(last) = &self.last
            && !before(last).is_some_and(|last| last.is_in(&judged.past))
        {
            return Err(Refusal::NotNext);
        }
        let inserted = self.inserted + judged.stretch.inserted();
        let deleted = self.deleted + judged.stretch.deleted();
        if self.changes >= MAX_CHANGES || inserted > MAX_INSERTED || deleted > MAX_DELETED {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    /// Takes in a change that was checked.
    pub(super) fn advance(&mut self, judged: &Judged) {
        self.last = Some(judged.change.hash().0);
        self.changes += 1;
        self.inserted += judged.stretch.inserted();
        self.deleted += judged.stretch.deleted();
    }
}
