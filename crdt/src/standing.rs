//! The standing of one proposal: which ballots count, and what they say.
//!
//! An open proposal counts each voter's highest-numbered ballot, if that names the current revision and a real
//! option. A closed proposal counts exactly the ballots that its closing entry names, as far as they are present
//! and name the current revision and a real option; later ballots change nothing any more.

use std::collections::BTreeMap;

use fedp2p_protocols::vote::{AgentId, Ballot, BallotKey, Proposal, ProposalKey, Tally};

use crate::picture::Picture;

/// Whether a ballot counts, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum BallotState {
    /// It counts.
    Counts,
    /// The voter cast another with a higher number, or the closing entry names another of the same voter.
    Replaced,
    /// It answers another revision of the proposal.
    OtherRevision,
    /// It chooses what is not an option.
    NotAnOption,
    /// It came too late: the closing entry names no ballot of this voter, or an earlier one.
    Late,
}

/// One ballot on a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cast<'a> {
    /// Who cast it, and which of the voter's ballots it is.
    pub key: BallotKey,
    /// What it says.
    pub ballot: &'a Ballot,
    /// Whether it counts.
    pub state: BallotState,
}

/// The state of one proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    /// Which proposal.
    pub key: ProposalKey,
    /// What it asks; `closed` says whether it is still open.
    pub proposal: &'a Proposal,
    /// All ballots on it, by voter and number.
    pub ballots: Vec<Cast<'a>>,
    /// Ballots that the closing entry names and that are not here yet. While there are any, the tally may change.
    pub missing: Vec<BallotKey>,
    /// What the ballots that count say.
    pub tally: Tally,
}

impl Standing<'_> {
    /// Whether the proposal still takes ballots.
    pub fn is_open(&self) -> bool {
        self.proposal.closed.is_none()
    }
}

/// Returns the standing of the proposal with this key, if there is one.
pub fn standing<'a>(picture: &Picture<'a>, key: &ProposalKey) -> Option<Standing<'a>> {
    let proposal = picture.proposal(key)?;
    let named: Option<BTreeMap<&AgentId, u32>> =
        proposal.closed.as_ref().map(|closing| closing.counted.iter().map(|key| (&key.voter, key.number)).collect());
    let mut ballots = Vec::new();
    for (node, name, of_voter) in picture.ballots(key) {
        let voter = AgentId { node, name: name.clone() };
        // The number that counts if its ballot is valid, and whether higher ones came too late.
        let (counted, closed) = match &named {
            None => (of_voter.keys().next_back().copied(), false),
            Some(named) => (named.get(&voter).copied(), true),
        };
        for (&number, ballot) in of_voter {
            let state = match counted {
                Some(counted) if number < counted => BallotState::Replaced,
                Some(counted) if number == counted => validity(proposal, ballot),
                Some(_) | None if closed => BallotState::Late,
                Some(_) | None => BallotState::Replaced,
            };
            ballots.push(Cast { key: BallotKey { voter: voter.clone(), number }, ballot, state });
        }
    }
    let named = proposal.closed.iter().flat_map(|closing| &closing.counted);
    let missing = named.filter(|named| picture.ballot(key, named).is_none()).cloned().collect();
    let counting = ballots.iter().filter(|cast| cast.state == BallotState::Counts);
    let tally = Tally::poll(&proposal.options, counting.map(|cast| cast.ballot.choice.as_str()));
    Some(Standing { key: key.clone(), proposal, ballots, missing, tally })
}

/// Returns what a closing entry should name now: of each voter the highest-numbered ballot, if that names the
/// current revision and a real option.
pub fn countable(picture: &Picture<'_>, key: &ProposalKey) -> Vec<BallotKey> {
    let Some(proposal) = picture.proposal(key) else {
        return Vec::new();
    };
    let highest = picture.ballots(key).filter_map(|(node, name, ballots)| {
        let (&number, ballot) = ballots.last_key_value()?;
        let counts = validity(proposal, ballot) == BallotState::Counts;
        counts.then(|| BallotKey { voter: AgentId { node, name: name.clone() }, number })
    });
    highest.collect()
}

/// Judges a ballot by itself.
fn validity(proposal: &Proposal, ballot: &Ballot) -> BallotState {
    if ballot.revision != proposal.revision {
        BallotState::OtherRevision
    } else if !proposal.options.contains(&ballot.choice) {
        BallotState::NotAnOption
    } else {
        BallotState::Counts
    }
}
