//! Writing into a note: from a text as it should be to changes.

use std::collections::VecDeque;

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, ReadDoc};
use fedp2p_protocols::id::OpId;

use super::chain::Chain;
use super::gate::Verdict;
use super::limits::{MAX_OPS, MAX_TEXT_BYTES};
use super::{Incoming, Note, Refusal, Writer, genesis, scan};
use crate::gate;

/// Stands in for the actor until the change that it is made of is known.
const NO_ACTOR: [u8; 16] = [0; 16];

/// Why an edit was not made. The note is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The text would be longer than [`MAX_TEXT_BYTES`].
    #[error("a note has at most {MAX_TEXT_BYTES} bytes")]
    TooLong,
    /// This log has written all that it may into this note.
    #[error("this node has written as much into this note as one node may")]
    Full,
    /// The place is not in the text.
    #[error("the place is not in the text")]
    Place,
    /// It does not fit into one change.
    #[error("the step does not fit into one change")]
    TooMuch,
    /// Our own gate refuses what was written, or Automerge fails, which is a bug.
    #[error("the edit cannot be written: {0}")]
    Refused(String),
}

fn bug(error: &dyn std::fmt::Display) -> EditError {
    EditError::Refused(error.to_string())
}

/// One step of an edit: so many characters deleted and this inserted at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The place, in characters.
    pub at: usize,
    /// How many characters are deleted.
    pub delete: usize,
    /// What is inserted.
    pub insert: String,
}

impl Step {
    /// The same in two, if it deletes more than one character.
    fn halves(&self) -> Option<[Self; 2]> {
        let first = self.delete / 2;
        let half = |delete, insert: &str| Self { at: self.at, delete, insert: insert.to_owned() };
        (first > 0).then(|| [half(first, ""), half(self.delete - first, &self.insert)])
    }
}

impl Note {
    /// Returns the changes of `writer` that make the text `after`, in order.
    ///
    /// `at_ms` is the time of the changes in milliseconds since 1970; it stands in them in whole seconds.
    ///
    /// # Errors
    /// If the text or what the log has written would be over a limit.
    pub fn write(&self, writer: Writer, after: &str, at_ms: u64) -> Result<Vec<Vec<u8>>, EditError> {
        let mut note = self.clone();
        let mut steps = VecDeque::from(steps(&note.text(), after)?);
        let mut changes = Vec::new();
        while let Some(step) = steps.pop_front() {
            let change = match (note.draft(writer, &step, at_ms), step.halves()) {
                (Err(EditError::TooMuch), Some([first, second])) => {
                    steps.push_front(second);
                    steps.push_front(first);
                    continue;
                }
                (drafted, _) => drafted?,
            };
            let op = OpId::from_bytes([0; 32]);
            let incoming = Incoming { op, writer, agent: None, at: at_ms, change: change.clone().into(), by: None };
            if let Some((_, refusal)) = note.add([incoming]).pop() {
                return Err(bug(&refusal));
            }
            changes.push(change);
        }
        Ok(changes)
    }

    /// Returns a change of `writer` that takes one step. Nothing changes until it is [added](Note::add).
    ///
    /// # Errors
    /// If the place is not in the text, the step does not fit into one change, or the log has written all that it may.
    pub fn draft(&self, writer: Writer, step: &Step, at_ms: u64) -> Result<Vec<u8>, EditError> {
        let length = self.automerge.length(genesis::text());
        if step.at.checked_add(step.delete).is_none_or(|end| end > length) {
            return Err(EditError::Place);
        }
        // The actor follows from everything else that the change says.
        let blank = self.transact(NO_ACTOR, step, at_ms)?;
        let scanned = scan::scan(&blank).map_err(Refusal::from).map_err(|refusal| misfit(&refusal))?;
        let bytes = self.transact(self.id.actor(&writer, scanned.head.around), step, at_ms)?;
        match self.judge(&writer, &bytes) {
            Ok(Verdict::Good(judged)) => {
                let first = Chain::default();
                let chain = self.chains.get(&writer).unwrap_or(&first);
                if !chain.waiting.is_empty() || chain.refused.is_some() {
                    return Err(bug(&"something that this log has written before does not count"));
                }
                chain.check(&judged, |hash| self.counting(hash)).map_err(|refusal| misfit(&refusal))?;
                Ok(bytes)
            }
            Ok(Verdict::Missing(_)) => Err(bug(&"it builds on what is not there")),
            Err(refusal) => Err(misfit(&refusal)),
        }
    }

    fn transact(&self, actor: [u8; 16], step: &Step, at_ms: u64) -> Result<Vec<u8>, EditError> {
        let time = i64::try_from(at_ms / 1000).map_err(|error| bug(&error))?;
        let deleted = isize::try_from(step.delete).map_err(|error| bug(&error))?;
        let mut copy = self.automerge.clone().with_actor(ActorId::from(actor));
        let mut transaction = copy.transaction();
        // Behind what is deleted, so that it stays with what stood around it: what stands before it may have been written
        // by somebody else, and others may have put something there at the same time.
        transaction
            .splice_text(genesis::text(), step.at + step.delete, 0, &step.insert)
            .map_err(|error| bug(&error))?;
        transaction.splice_text(genesis::text(), step.at, deleted, "").map_err(|error| bug(&error))?;
        let (hash, _) = transaction.commit_with(CommitOptions::default().with_time(time));
        if hash.is_none() {
            return Err(bug(&"it changes nothing"));
        }
        let change = copy.get_last_local_change().ok_or_else(|| bug(&"it made no change"))?;
        Ok(change.raw_bytes().to_vec())
    }
}

/// Why the gate would not take what was drafted.
fn misfit(refusal: &Refusal) -> EditError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "what else there is, is a bug")]
    match refusal {
        Refusal::Full | Refusal::Change(gate::Refusal::CounterTooHigh) => EditError::Full,
        Refusal::Change(gate::Refusal::TooLarge(_) | gate::Refusal::TooManyActors(_) | gate::Refusal::TooManyOps) => {
            EditError::TooMuch
        }
        _ => bug(refusal),
    }
}

/// Returns the steps that make `after` of `before`, each with at most [`MAX_OPS`] operations. What both begin and end
/// with is left alone.
///
/// # Errors
/// If `after` is too long for a note, and not shorter than `before`.
pub fn steps(before: &str, after: &str) -> Result<Vec<Step>, EditError> {
    if after.len() > MAX_TEXT_BYTES && after.len() >= before.len() {
        return Err(EditError::TooLong);
    }
    let (old, new): (Vec<char>, Vec<char>) = (before.chars().collect(), after.chars().collect());
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let shorter = old.len().min(new.len()) - start;
    let end = old.iter().rev().zip(new.iter().rev()).take(shorter).take_while(|(a, b)| a == b).count();
    let (mut delete, mut insert) = (old.len() - start - end, &new[start..new.len() - end]);
    let is_prefix = insert.last().is_some_and(|last| *last != '\n') && (start == 0 || old[start - 1] == '\n');
    if delete == 0 && end > 0 && is_prefix {
        // What comes at the beginning of a line is to stay with that line. Whole lines are no part of it, and two who put
        // some before the same line at once would both write its first character again.
        delete = 1;
        insert = &new[start..new.len() - end + 1];
    }
    let most = usize::try_from(MAX_OPS).unwrap_or(usize::MAX);
    let mut steps = Vec::new();
    if delete + insert.len() <= most {
        if delete + insert.len() > 0 {
            steps.push(Step { at: start, delete, insert: insert.iter().collect() });
        }
        return Ok(steps);
    }
    for (number, chunk) in insert.chunks(most).enumerate() {
        steps.push(Step { at: start + delete + number * most, delete: 0, insert: chunk.iter().collect() });
    }
    while delete > 0 {
        let now = delete.min(most);
        steps.push(Step { at: start, delete: now, insert: String::new() });
        delete -= now;
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(at: usize, delete: usize, insert: &str) -> Result<Vec<Step>, EditError> {
        Ok(vec![Step { at, delete, insert: insert.to_owned() }])
    }

    #[test]
    fn a_prefix_is_written_into_its_line_and_whole_lines_before_it() {
        let before = "# Plan\n## Open\n";
        assert_eq!(steps(before, "# Plan\nour ## Open\n"), step(7, 1, "our #"));
        assert_eq!(steps(before, "# Plan\n- item\n- our ## Open\n"), step(7, 1, "- item\n- our #"));
        assert_eq!(steps(before, "# Plan\n- item\n## Open\n"), step(7, 0, "- item\n"));
        assert_eq!(steps(before, "# Plan\n\n## Open\n"), step(7, 0, "\n"));
        assert_eq!(steps(before, "- item\n# Plan\n## Open\n"), step(0, 0, "- item\n"));
        assert_eq!(steps(before, "# Plan\n## Open\n- item\n"), step(15, 0, "- item\n"));
    }
}
