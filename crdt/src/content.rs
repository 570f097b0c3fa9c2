//! What one document says, as types, and the edits that change it.
//!
//! [`Document`](crate::document::Document) keeps a [`Content`] up to date; the writer changes it by [`Edit`]s. A
//! content holds only what is well formed and within the limits of `fedp2p_protocols::limits`: reading leaves out
//! the rest, always in the same way, and writing refuses it.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_protocols::limits::{
    MAX_OPTION_BYTES, MAX_OPTIONS, MAX_PROPOSAL_ID_BYTES, MAX_QUESTION_BYTES, MAX_REASON_BYTES,
};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::pulse::{AgentKind, Pulse, PulseTooLong};
use fedp2p_protocols::vote::{Ballot, Closing, Proposal, ProposalKey};

/// Most ballots that a closing entry counts.
pub const MAX_COUNTED: usize = 4_096;

/// The ballots of one voter on one proposal, by number.
pub type Ballots = BTreeMap<u32, Ballot>;

/// What one document says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The agents of the node.
    pub agents: BTreeMap<AgentName, Agent>,
    /// The proposals that agents of the node made, by id.
    pub proposals: BTreeMap<String, Proposal>,
    /// The ballots that agents of the node cast.
    pub ballots: BTreeMap<ProposalKey, BTreeMap<AgentName, Ballots>>,
}

/// An agent of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Who stands behind it.
    pub kind: AgentKind,
    /// Its last pulse, if it ever said anything.
    pub said: Option<Said>,
}

/// What an agent said of itself, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What it said.
    pub pulse: Pulse,
    /// When, in milliseconds since 1970 by its node's clock.
    pub at: u64,
}

/// One change of what a document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Adds an agent, or changes who stands behind it.
    Register {
        /// Its name.
        agent: AgentName,
        /// Who stands behind it.
        kind: AgentKind,
    },
    /// Replaces an agent's whole pulse. Only the fields that differ are written.
    Say {
        /// The agent, which must be registered.
        agent: AgentName,
        /// What it says now.
        pulse: Pulse,
        /// When, in milliseconds since 1970.
        at: u64,
    },
    /// Opens a proposal or replaces it by a new revision.
    Propose {
        /// Its id among the proposals of this node.
        id: String,
        /// The proposal.
        proposal: Proposal,
    },
    /// Closes an open proposal.
    Close {
        /// Its id among the proposals of this node.
        id: String,
        /// The closing entry; at most one ballot of each voter.
        closing: Closing,
    },
    /// Casts a ballot. One that was cast never changes.
    Cast {
        /// What it answers.
        proposal: ProposalKey,
        /// Who casts it.
        voter: AgentName,
        /// Which of the voter's ballots, from 1.
        number: u32,
        /// The answer.
        ballot: Ballot,
    },
}

/// Something is not well formed or over a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// A field of a pulse is too long.
    #[error(transparent)]
    Pulse(#[from] PulseTooLong),
    /// A proposal id is empty or too long.
    #[error("a proposal id has 1 to {MAX_PROPOSAL_ID_BYTES} bytes")]
    ProposalId,
    /// A question is empty or too long.
    #[error("a question has 1 to {MAX_QUESTION_BYTES} bytes")]
    Question,
    /// A proposal has no options, too many, or one twice.
    #[error("a proposal has 1 to {MAX_OPTIONS} options, each once")]
    Options,
    /// An option is empty or too long.
    #[error("an option has 1 to {MAX_OPTION_BYTES} bytes")]
    Option,
    /// A revision is 0.
    #[error("revisions count from 1")]
    Revision,
    /// A ballot number is 0.
    #[error("ballots count from 1")]
    Number,
    /// The reason of a ballot is too long.
    #[error("a reason has at most {MAX_REASON_BYTES} bytes")]
    Reason,
    /// A closing entry names two ballots of one voter.
    #[error("a closing entry counts one ballot of each voter")]
    TwoBallots,
    /// A closing entry counts more than [`MAX_COUNTED`] ballots.
    #[error("a closing entry counts at most {MAX_COUNTED} ballots")]
    TooManyCounted,
}

fn within(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
}

/// Checks the id of a proposal.
pub(crate) fn check_proposal_id(id: &str) -> Result<(), Invalid> {
    if within(id, MAX_PROPOSAL_ID_BYTES) { Ok(()) } else { Err(Invalid::ProposalId) }
}

/// Checks a proposal with its closing entry.
pub(crate) fn check_proposal(proposal: &Proposal) -> Result<(), Invalid> {
    let options = &proposal.options;
    let distinct: BTreeSet<&String> = options.iter().collect();
    if !within(&proposal.question, MAX_QUESTION_BYTES) {
        return Err(Invalid::Question);
    }
    if !(1..=MAX_OPTIONS).contains(&options.len()) || distinct.len() != options.len() {
        return Err(Invalid::Options);
    }
    if !options.iter().all(|option| within(option, MAX_OPTION_BYTES)) {
        return Err(Invalid::Option);
    }
    if proposal.revision == 0 {
        return Err(Invalid::Revision);
    }
    proposal.closed.as_ref().map_or(Ok(()), check_closing)
}

/// Checks a closing entry.
pub(crate) fn check_closing(closing: &Closing) -> Result<(), Invalid> {
    if closing.counted.len() > MAX_COUNTED {
        return Err(Invalid::TooManyCounted);
    }
    let voters: BTreeSet<_> = closing.counted.iter().map(|key| &key.voter).collect();
    if voters.len() != closing.counted.len() {
        return Err(Invalid::TwoBallots);
    }
    if closing.counted.iter().any(|key| key.number == 0) {
        return Err(Invalid::Number);
    }
    Ok(())
}

/// Checks a ballot and its number.
pub(crate) fn check_ballot(number: u32, ballot: &Ballot) -> Result<(), Invalid> {
    if number == 0 {
        return Err(Invalid::Number);
    }
    if ballot.revision == 0 {
        return Err(Invalid::Revision);
    }
    if !within(&ballot.choice, MAX_OPTION_BYTES) {
        return Err(Invalid::Option);
    }
    if ballot.reason.as_ref().is_some_and(|reason| reason.len() > MAX_REASON_BYTES) {
        return Err(Invalid::Reason);
    }
    Ok(())
}

impl Edit {
    /// Checks everything about the edit that does not depend on the document.
    ///
    /// # Errors
    /// The first thing that is not well formed or over a limit.
    pub fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::Register { .. } => Ok(()),
            Self::Say { pulse, .. } => Ok(pulse.check()?),
            Self::Propose { id, proposal } => {
                check_proposal_id(id)?;
                check_proposal(proposal)
            }
            Self::Close { id, closing } => {
                check_proposal_id(id)?;
                check_closing(closing)
            }
            Self::Cast { proposal, number, ballot, .. } => {
                check_proposal_id(&proposal.id)?;
                check_ballot(*number, ballot)
            }
        }
    }
}
