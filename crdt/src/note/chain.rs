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
    /// What could not be judged yet, at most [`MAX_CHANGES`]; the first waits for something that it follows.
    pub(super) waiting: VecDeque<Incoming>,
    /// Why nothing more of this chain counts.
    pub(super) refused: Option<Refusal>,
    /// How many do not count for that, or are more than a log may bring.
    pub(super) left_out: usize,
}

impl Chain {
    /// Whether the log has brought as many changes as it may, whatever becomes of them. No other can ever count then: either
    /// all of these are allowed, and that is all, or one of them is refused or waits for ever, and it comes behind that. How
    /// many there are does not depend on what of other logs is here.
    pub(super) fn is_full(&self) -> bool {
        self.changes + (self.waiting.len() + self.left_out) as u64 >= MAX_CHANGES
    }

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

#[cfg(test)]
mod tests {
    use fedp2p_protocols::id::{ConversationId, LogId, NodeId, OpId};

    use super::super::gate::{Past, Stretch};
    use super::super::limits::MAX_OPS;
    use super::super::{Note, NoteId, Writer, genesis};
    use super::*;

    fn note() -> Note {
        Note::new(NoteId { conversation: ConversationId::from_bytes([9; 16]), name: "plan".parse().unwrap() })
    }

    fn writer(n: u8) -> Writer {
        Writer { node: NodeId::from_bytes([n; 32]), log: LogId::from_bytes([n; 16]) }
    }

    fn incoming(n: u8, number: u64, change: &[u8]) -> Incoming {
        let mut op = [n; 32];
        op[..8].copy_from_slice(&number.to_be_bytes());
        Incoming { op: OpId::from_bytes(op), writer: writer(n), agent: None, at: 1, change: change.into(), by: None }
    }

    #[test]
    fn a_log_that_waits_keeps_no_more_than_could_ever_count() {
        let mut theirs = note();
        let base = incoming(1, 1, &theirs.write(writer(1), "one", 1).unwrap()[0]);
        assert_eq!(theirs.add([base.clone()]), []);
        let mut log = vec![incoming(2, 1, &theirs.write(writer(2), "one, two", 1).unwrap()[0])];
        log.extend((2..=MAX_CHANGES + 100).map(|number| incoming(2, number, &[])));

        let mut late = note();
        let mut refused = late.add(log.clone());
        assert_eq!(late.chains[&writer(2)].waiting.len() as u64, MAX_CHANGES);
        assert_eq!((refused.len(), late.left_out() as u64), (100, MAX_CHANGES + 100));
        assert!(refused.iter().all(|(_, refusal)| *refusal == Refusal::Full));

        // Whoever had before what the log waits for refuses the same, and for the same reasons.
        refused.extend(late.add([base.clone()]));
        refused.sort_by_key(|(op, _)| *op);
        let mut early = note();
        assert_eq!(early.add([base]), []);
        assert_eq!(early.add(log), refused);
        assert_eq!((early.text(), early.left_out()), ("one, two".to_owned(), refused.len()));
        assert_eq!((late.text(), late.digest(), late.left_out()), (early.text(), early.digest(), early.left_out()));
    }

    #[test]
    fn one_log_may_delete_what_five_have_inserted() {
        let deletions = Judged {
            change: crate::gate::read(&genesis::CHANGE).unwrap(),
            actor: [0; 16],
            past: Past::new(),
            stretch: Stretch { start: 1, inserts: vec![false; MAX_OPS as usize] },
        };
        let all = 5 * MAX_INSERTED;
        let chain = Chain { changes: all / MAX_OPS - 1, deleted: all - MAX_OPS, ..Chain::default() };
        assert_eq!(chain.check(&deletions, |_| None), Ok(()));
        // However full the note is, the last change that a log may bring can still delete as much as one may.
        let chain = Chain { changes: MAX_CHANGES - 1, deleted: (MAX_CHANGES - 1) * MAX_OPS, ..Chain::default() };
        assert_eq!(chain.check(&deletions, |_| None), Ok(()));
    }
}
