//! What is well formed: the rules for each kind of record.

use std::collections::BTreeSet;

use fedp2p_protocols::attention::{Attention, MAX_THROUGH};
use fedp2p_protocols::claim::{Acknowledgement, Claim, End, Glob, Mode, Reserved, Resource};
use fedp2p_protocols::limits::{
    MAX_CLAIM_TTL_S, MAX_CLAIM_WHY_BYTES, MAX_ELECTORATE, MAX_GLOBS, MAX_GLOBS_BYTES, MAX_OPTION_BYTES, MAX_OPTIONS,
    MAX_PROPOSAL_ID_BYTES, MAX_QUESTION_BYTES, MAX_REASON_BYTES, MAX_REPLACED, MAX_TASK_AFTER, MAX_TASK_DATA_BYTES,
    MAX_TASK_NOTE_BYTES, MAX_TASK_RESULT_BYTES, MAX_TASK_TEXT_BYTES, MAX_TASK_TITLE_BYTES, MAX_VOTERS, MIN_CLAIM_TTL_S,
};
use fedp2p_protocols::pulse::{Attendance, PulseTooLong};
use fedp2p_protocols::task::{Bid, Grant, State, Statement, Task};
use fedp2p_protocols::vote::{APPROVE, Ballot, Closing, Count, DENY, Electorate, Mechanism, Proposal, Seen};

use crate::content::{Agent, Record};
use crate::value::Mismatch;

/// Most ballots that a closing entry counts: so many always fit in one change.
pub const MAX_COUNTED: usize = MAX_VOTERS;

/// Something is not well formed or over a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// A field of a pulse is too long.
    #[error(transparent)]
    Pulse(#[from] PulseTooLong),
    /// The key of a record is empty, too long or not spelled as it prints.
    #[error("a record has a key of 1 to {MAX_PROPOSAL_ID_BYTES} bytes, or a number from 1")]
    Key,
    /// A question is empty or too long.
    #[error("a question has 1 to {MAX_QUESTION_BYTES} bytes")]
    Question,
    /// A proposal has no options, too many, or one twice.
    #[error("a proposal has 1 to {MAX_OPTIONS} options, each once")]
    Options,
    /// An option is empty or too long.
    #[error("an option has 1 to {MAX_OPTION_BYTES} bytes")]
    Option,
    /// A sign-off has other options than its two.
    #[error("a sign-off has the options {APPROVE} and {DENY}, in this order")]
    Signoff,
    /// An agent would become another kind.
    #[error("an agent keeps the kind under which it first spoke")]
    Kind,
    /// Too many agents may break through, or one is named twice.
    #[error("at most {MAX_THROUGH} agents may break through, each once")]
    Through,
    /// A revision is 0.
    #[error("revisions count from 1")]
    Revision,
    /// An electorate is empty, too long, or names one agent twice.
    #[error("an electorate has 1 to {MAX_ELECTORATE} agents, each once")]
    Electorate,
    /// A closing entry counts what is no answer.
    #[error("a closing entry counts answers that the options and the mechanism allow")]
    Counted,
    /// The reason of a ballot is too long.
    #[error("a reason has at most {MAX_REASON_BYTES} bytes")]
    Reason,
    /// A closing entry counts more than [`MAX_COUNTED`] ballots.
    #[error("a closing entry counts at most {MAX_COUNTED} ballots")]
    TooManyCounted,
    /// A closed proposal would change.
    #[error("a closed proposal does not change")]
    Closed,
    /// A ballot that was cast would change.
    #[error("a ballot that was cast does not change")]
    Cast,
    /// A claim on files names none, too many, or all of them for one agent alone.
    #[error(
        "a claim on files has 1 to {MAX_GLOBS} patterns of {MAX_GLOBS_BYTES} bytes in all; one that covers everything must \
         be shared"
    )]
    Globs,
    /// A claim on a task lets others in.
    #[error("a task is claimed for one agent alone")]
    SharedTask,
    /// The time to live of a claim is out of range.
    #[error("a claim lives for {MIN_CLAIM_TTL_S} to {MAX_CLAIM_TTL_S} seconds")]
    TimeToLive,
    /// The text that says what a claim is for is too long.
    #[error("what a claim is for has at most {MAX_CLAIM_WHY_BYTES} bytes")]
    Why,
    /// A claim takes over too many others.
    #[error("a claim takes over at most {MAX_REPLACED} others")]
    TooManyReplaced,
    /// A claim is confirmed by nobody or by more than there are, or its end does not say what won.
    #[error("a claim is confirmed by some of its members, and ends with what won if it lost")]
    ClaimState,
    /// What a claim says of itself would change, or what has ended would go on.
    #[error("a claim does not change but for its renewals, its confirmation and its end")]
    Claimed,
    /// A promise would be taken back.
    #[error("what a node acknowledged it does not take back")]
    Promised,
    /// The title of a task is empty or too long.
    #[error("a title has 1 to {MAX_TASK_TITLE_BYTES} bytes")]
    Title,
    /// A text of a task, a statement or a bid is too long.
    #[error(
        "a task has a text of at most {MAX_TASK_TEXT_BYTES} bytes, data of {MAX_TASK_DATA_BYTES}, notes and reasons of \
         {MAX_TASK_NOTE_BYTES} and a result of {MAX_TASK_RESULT_BYTES}"
    )]
    TaskText,
    /// A task comes after too many others, or not in their order.
    #[error("a task comes after at most {MAX_TASK_AFTER} others, in order and each once")]
    After,
    /// What came of a task is no end, or would change.
    #[error("a task ends completed, failed or rejected, and once for each attempt")]
    Outcome,
    /// What an agent said of a task would change.
    #[error("what was said of a task does not change")]
    Said,
    /// A record holds what documents have no words for.
    #[error("a record cannot be spelled: {0}")]
    Spelling(String),
}

impl From<Mismatch> for Invalid {
    fn from(mismatch: Mismatch) -> Self {
        Self::Spelling(mismatch.to_string())
    }
}

fn within(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
}

/// Checks an id that people chose.
pub(crate) fn check_id(id: &str) -> Result<(), Invalid> {
    if within(id, MAX_PROPOSAL_ID_BYTES) { Ok(()) } else { Err(Invalid::Key) }
}

impl Record for Agent {
    fn check(&self) -> Result<(), Invalid> {
        self.said.as_ref().map_or(Ok(()), |said| Ok(said.pulse.check()?))
    }

    fn check_follows(&self, before: &Self) -> Result<(), Invalid> {
        if before.kind == self.kind { Ok(()) } else { Err(Invalid::Kind) }
    }
}

impl Record for Attendance {
    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }

    fn check_follows(&self, _: &Self) -> Result<(), Invalid> {
        Ok(())
    }
}

impl Record for Attention {
    const MOST: usize = 8 + 3 * MAX_THROUGH;

    fn check(&self) -> Result<(), Invalid> {
        let distinct: BTreeSet<_> = self.urgent.agents.iter().collect();
        let within = self.urgent.agents.len() <= MAX_THROUGH && distinct.len() == self.urgent.agents.len();
        if within { Ok(()) } else { Err(Invalid::Through) }
    }

    fn check_follows(&self, _: &Self) -> Result<(), Invalid> {
        Ok(())
    }
}

impl Record for Proposal {
    const MOST: usize = 2 * MAX_COUNTED + 3 * MAX_ELECTORATE + 256;

    fn check(&self) -> Result<(), Invalid> {
        let options = &self.options;
        let distinct: BTreeSet<&String> = options.iter().collect();
        if !within(&self.question, MAX_QUESTION_BYTES) {
            return Err(Invalid::Question);
        }
        if !(1..=MAX_OPTIONS).contains(&options.len()) || distinct.len() != options.len() {
            return Err(Invalid::Options);
        }
        if !options.iter().all(|option| within(option, MAX_OPTION_BYTES)) {
            return Err(Invalid::Option);
        }
        if self.rules.mechanism == Mechanism::Signoff && *options != [APPROVE, DENY] {
            return Err(Invalid::Signoff);
        }
        if self.revision == 0 {
            return Err(Invalid::Revision);
        }
        if let Electorate::Agents(agents) = &self.rules.electorate {
            let distinct: BTreeSet<_> = agents.iter().collect();
            if !(1..=MAX_ELECTORATE).contains(&agents.len()) || distinct.len() != agents.len() {
                return Err(Invalid::Electorate);
            }
        }
        self.closed.as_ref().map_or(Ok(()), |closing| check_closing(self, closing))
    }

    fn check_follows(&self, before: &Self) -> Result<(), Invalid> {
        if before.closed.is_some() && before != self { Err(Invalid::Closed) } else { Ok(()) }
    }
}

fn check_closing(proposal: &Proposal, closing: &Closing) -> Result<(), Invalid> {
    if closing.ballots().count() > MAX_COUNTED {
        return Err(Invalid::TooManyCounted);
    }
    let count = Count { options: &proposal.options, rules: &proposal.rules, eligible: closing.eligible };
    let all_valid = closing.ballots().all(|(_, counted)| count.is_valid(&counted.choices));
    if all_valid { Ok(()) } else { Err(Invalid::Counted) }
}

impl Record for Seen {
    fn check(&self) -> Result<(), Invalid> {
        if self.revision == 0 { Err(Invalid::Revision) } else { Ok(()) }
    }

    fn check_follows(&self, _: &Self) -> Result<(), Invalid> {
        Ok(())
    }
}

impl Record for Ballot {
    fn check(&self) -> Result<(), Invalid> {
        if self.revision == 0 {
            return Err(Invalid::Revision);
        }
        if self.choices.len() > MAX_OPTIONS {
            return Err(Invalid::Options);
        }
        if !self.choices.iter().all(|choice| within(choice, MAX_OPTION_BYTES)) {
            return Err(Invalid::Option);
        }
        if self.reason.as_ref().is_some_and(|reason| reason.len() > MAX_REASON_BYTES) {
            return Err(Invalid::Reason);
        }
        Ok(())
    }

    fn check_follows(&self, before: &Self) -> Result<(), Invalid> {
        if before == self { Ok(()) } else { Err(Invalid::Cast) }
    }
}

impl Record for Grant {
    fn check(&self) -> Result<(), Invalid> {
        if self.revision == 0 { Err(Invalid::Revision) } else { Ok(()) }
    }

    fn check_follows(&self, before: &Self) -> Result<(), Invalid> {
        if before == self || before.revision < self.revision { Ok(()) } else { Err(Invalid::Revision) }
    }
}

impl Record for Claim {
    // Sixteen patterns and as many claims that are taken over, four entries each.
    const MOST: usize = 160;

    fn check(&self) -> Result<(), Invalid> {
        if let Resource::Files { globs, .. } = &self.resource {
            let all = self.mode == Mode::Exclusive && globs.iter().any(Glob::is_everything);
            let bytes: usize = globs.iter().map(|glob| glob.as_str().len()).sum();
            if !(1..=MAX_GLOBS).contains(&globs.len()) || bytes > MAX_GLOBS_BYTES || all {
                return Err(Invalid::Globs);
            }
        }
        if matches!(self.resource, Resource::Task(_)) && self.mode == Mode::Shared {
            return Err(Invalid::SharedTask);
        }
        if !(MIN_CLAIM_TTL_S..=MAX_CLAIM_TTL_S).contains(&self.ttl_s) {
            return Err(Invalid::TimeToLive);
        }
        if self.why.as_ref().is_some_and(|why| why.len() > MAX_CLAIM_WHY_BYTES) {
            return Err(Invalid::Why);
        }
        if self.replaces.len() > MAX_REPLACED {
            return Err(Invalid::TooManyReplaced);
        }
        let confirmed = self.confirmed.is_none_or(|by| (1..=by.members).contains(&by.acknowledged));
        let ended =
            self.ended.is_none_or(|ended| ended.to.is_some() == matches!(ended.cause, End::Lost | End::Renumbered));
        if confirmed && ended { Ok(()) } else { Err(Invalid::ClaimState) }
    }

    fn check_follows(&self, before: &Self) -> Result<(), Invalid> {
        let weight = |claim: &Self| claim.confirmed.map(|by| by.acknowledged);
        let same = self.hash() == before.hash() && self.taken == before.taken && self.why == before.why;
        let onward = self.renewals >= before.renewals && weight(self) >= weight(before);
        let over = before.ended.is_some() && self != before;
        if same && onward && !over { Ok(()) } else { Err(Invalid::Claimed) }
    }
}

impl Record for Acknowledgement {
    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }

    fn check_follows(&self, before: &Self) -> Result<(), Invalid> {
        if self == before { Ok(()) } else { Err(Invalid::Promised) }
    }
}

impl Record for Reserved {
    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }

    fn check_follows(&self, _: &Self) -> Result<(), Invalid> {
        Ok(())
    }
}

fn within_most(text: Option<&String>, most: usize) -> Result<(), Invalid> {
    if text.is_none_or(|text| text.len() <= most) { Ok(()) } else { Err(Invalid::TaskText) }
}

impl Record for Task {
    fn check(&self) -> Result<(), Invalid> {
        if !within(&self.title, MAX_TASK_TITLE_BYTES) {
            return Err(Invalid::Title);
        }
        within_most(self.text.as_ref(), MAX_TASK_TEXT_BYTES)?;
        within_most(self.data.as_ref(), MAX_TASK_DATA_BYTES)?;
        let award = self.offer.as_ref().and_then(|offer| offer.award.as_ref());
        within_most(award.and_then(|award| award.reason.as_ref()), MAX_TASK_NOTE_BYTES)?;
        within_most(self.canceled.as_ref().and_then(|canceled| canceled.reason.as_ref()), MAX_TASK_NOTE_BYTES)?;
        if let Some(closed) = &self.closed {
            within_most(closed.note.as_ref(), MAX_TASK_NOTE_BYTES)?;
            within_most(closed.result.as_ref(), MAX_TASK_RESULT_BYTES)?;
            if !closed.state.is_terminal() || closed.state == State::Canceled {
                return Err(Invalid::Outcome);
            }
        }
        if self.after.len() > MAX_TASK_AFTER || !self.after.is_sorted_by(|a, b| a < b) {
            return Err(Invalid::After);
        }
        if self.revision == 0 || self.attempt == 0 { Err(Invalid::Revision) } else { Ok(()) }
    }

    fn check_follows(&self, before: &Self) -> Result<(), Invalid> {
        let closes = before.closed.is_none() && *self == Self { closed: self.closed.clone(), ..before.clone() };
        let reopens = before.closed.is_some() && self.attempt == before.attempt && self.closed != before.closed;
        let onward = self.revision > before.revision && self.attempt >= before.attempt;
        if reopens {
            return Err(Invalid::Outcome);
        }
        if before == self || closes || onward { Ok(()) } else { Err(Invalid::Revision) }
    }
}

impl Record for Statement {
    fn check(&self) -> Result<(), Invalid> {
        within_most(self.note.as_ref(), MAX_TASK_NOTE_BYTES)?;
        within_most(self.result.as_ref(), MAX_TASK_RESULT_BYTES)?;
        if self.attempt == 0 { Err(Invalid::Revision) } else { Ok(()) }
    }

    fn check_follows(&self, before: &Self) -> Result<(), Invalid> {
        if before == self { Ok(()) } else { Err(Invalid::Said) }
    }
}

impl Record for Bid {
    fn check(&self) -> Result<(), Invalid> {
        within_most(self.reason.as_ref(), MAX_TASK_NOTE_BYTES)?;
        if self.revision == 0 || self.attempt == 0 { Err(Invalid::Revision) } else { Ok(()) }
    }

    fn check_follows(&self, before: &Self) -> Result<(), Invalid> {
        if before == self || before.revision < self.revision { Ok(()) } else { Err(Invalid::Revision) }
    }
}
