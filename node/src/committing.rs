//! The commits that are on their way to the disk: in what order the core is told how they ended, and when it is to be
//! given nothing more to write.
//!
//! The core takes the first failure as the end of everything after it, and of nothing before it. A commit that the
//! store refuses because its queue is full fails at once, while those before it are still being written. Told at
//! once, the core would take those for lost; they would be stored all the same, and from then on the store would
//! refuse what the core has it write in their place.

use fedp2p_core::Input;
use fedp2p_core::store::{CommitToken, StoreError};

/// Most commits on their way while the loop still takes what makes new ones: half of the store's queue. One input
/// causes a handful of commits at most, so the queue is full only when the store itself is.
const ROOM: usize = crate::store::COMMIT_QUEUE / 2;

/// The commits on their way.
#[derive(Debug, Default)]
pub(crate) struct Committing {
    /// Those that the store has taken and not told of yet.
    taken: usize,
    /// The first that it did not take.
    refused: Option<(CommitToken, StoreError)>,
}

impl Committing {
    /// The store has taken a commit.
    pub(crate) fn taken(&mut self) {
        self.taken += 1;
    }

    /// The store has told how a commit ended.
    pub(crate) fn ended(&mut self) {
        self.taken -= 1;
    }

    /// How many commits the store is writing or about to write.
    pub(crate) fn under_way(&self) -> usize {
        self.taken
    }

    /// The store did not take a commit. Those after it fail with it.
    pub(crate) fn refused(&mut self, token: CommitToken, error: StoreError) {
        self.refused.get_or_insert((token, error));
    }

    /// What the core is to be told, now that everything before it has ended.
    pub(crate) fn failure(&mut self) -> Option<Input> {
        let (token, error) = self.refused.take_if(|_| self.taken == 0)?;
        Some(Input::CommitFailed(token, error))
    }

    /// Whether the loop may take what makes new commits: what others send waits with its senders until then.
    pub(crate) fn has_room(&self) -> bool {
        self.taken < ROOM && self.refused.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u64) -> CommitToken {
        CommitToken { generation: 0, number }
    }

    #[test]
    fn a_refused_commit_fails_after_those_before_it_have_ended() {
        let mut commits = Committing::default();
        commits.taken();
        commits.taken();
        commits.refused(token(3), StoreError::Other("full".to_owned()));
        commits.refused(token(4), StoreError::Superseded);
        assert!(commits.failure().is_none() && !commits.has_room());
        commits.ended();
        assert!(commits.failure().is_none());
        commits.ended();
        assert!(
            matches!(commits.failure(), Some(Input::CommitFailed(failed, StoreError::Other(_))) if failed == token(3))
        );
        assert!(commits.failure().is_none() && commits.has_room());
    }

    #[test]
    fn nothing_new_is_taken_while_half_of_the_queue_waits() {
        let mut commits = Committing::default();
        (0..ROOM).for_each(|_| commits.taken());
        assert!(!commits.has_room());
        commits.ended();
        assert!(commits.has_room());
    }
}
