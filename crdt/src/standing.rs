//! The standing of one proposal: who may vote, which ballots count, and what they say.
//!
//! An open proposal counts each voter's highest-numbered ballot, if the voter is in the electorate and the ballot names
//! what is asked now and choices that the options and the mechanism allow. Where those who are asked are not named, only so
//! many agents of a node are in it. A closed proposal counts exactly what its
//! closing entry says, so that its result never changes; ballots that say otherwise by now are shown as disputed, and
//! later ones as late. Only an approval needs more than the asker's word: it holds if every ballot that is counted was
//! given by a person for just this question.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_protocols::id::{NodeId, ProposalHash};
use fedp2p_protocols::limits::{MAX_VOTERS, MAX_VOTERS_OF_NODE};
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_protocols::vote::{
    AgentId, Ballot, BallotKey, Cause, Choices, Closing, Count, Counted, Electorate, Mechanism, Outcome, Proposal,
    ProposalKey, Tally,
};

use crate::picture::Picture;
use crate::roles;

/// Whether a ballot counts, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum BallotState {
    /// It counts.
    Counts,
    /// The voter cast another with a higher number, or the closing entry names another of the same voter.
    Replaced,
    /// The voter took its answer back.
    Withdrawn,
    /// The voter is not in the electorate.
    NotAsked,
    /// It answers another revision of the proposal.
    OtherRevision,
    /// It chooses what is not an option, or more than the mechanism allows.
    NotAnOption,
    /// It came too late: the closing entry names no ballot of this voter, or an earlier one.
    Late,
    /// The closing entry counts it, but says that it chose something else.
    Disputed,
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

/// Whether an agent may answer a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its answer would count.
    Free,
    /// It is asked, but its answer would not count: as many others of its node count as can, or of all.
    Taken,
    /// It is not asked.
    NotAsked,
}

/// How far a proposal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Voting opens when all have acknowledged it, or at this time in milliseconds since 1970.
    Acknowledging(u64),
    /// It takes ballots.
    Open,
    /// Its deadline has passed, and its asker's node has not closed it yet.
    Overdue,
    /// It is closed.
    Closed,
}

/// The state of one proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    /// Which proposal.
    pub key: ProposalKey,
    /// What it asks; `closed` says whether it is still open.
    pub proposal: &'a Proposal,
    /// The hash of that, which answers have to name.
    pub asked: ProposalHash,
    /// Who may vote, as far as they are known now.
    pub electorate: BTreeSet<AgentId>,
    /// Those of the electorate who have seen the current revision: they said so, voted on it or asked it.
    pub seen: BTreeSet<AgentId>,
    /// All ballots on it, by voter and number.
    pub ballots: Vec<Cast<'a>>,
    /// Ballots that the closing entry counts and that are nowhere else, perhaps as they were cleared away.
    pub missing: Vec<BallotKey>,
    /// The choices that count, by voter.
    pub counted: BTreeMap<AgentId, Counted>,
    /// What the ballots that count say.
    pub tally: Tally,
}

impl Standing<'_> {
    /// Whether the proposal still takes ballots.
    pub fn is_open(&self) -> bool {
        self.proposal.closed.is_none()
    }

    /// How far the proposal is at this time, in milliseconds since 1970.
    pub fn phase(&self, now_ms: u64) -> Phase {
        let rules = &self.proposal.rules;
        let gathers =
            |until: &u64| now_ms < *until && self.proposal.acknowledged.is_none() && self.waiting().next().is_some();
        let gathering = rules.acknowledge_until.filter(gathers);
        match gathering {
            _ if !self.is_open() => Phase::Closed,
            _ if rules.deadline.is_some_and(|deadline| deadline <= now_ms) => Phase::Overdue,
            Some(until) => Phase::Acknowledging(until),
            None => Phase::Open,
        }
    }

    /// Those of the electorate who have not seen the current revision yet. Nobody waits for them once it is closed.
    pub fn waiting(&self) -> impl Iterator<Item = &AgentId> {
        let open = self.is_open();
        self.electorate.iter().filter(move |agent| open && !self.seen.contains(agent))
    }

    /// Those of the electorate of whom no ballot counts.
    pub fn silent(&self) -> impl Iterator<Item = &AgentId> {
        self.electorate.iter().filter(|agent| !self.counted.contains_key(agent))
    }

    /// Whether the result is the same whatever those say who are silent.
    pub fn is_settled(&self) -> bool {
        let ballots: Vec<Choices> = self.counted.values().map(|counted| counted.choices.clone()).collect();
        let remaining = u32::try_from(self.silent().count()).unwrap_or(u32::MAX);
        self.count().is_settled(&ballots, remaining)
    }

    /// Returns the entry that closes the proposal as it stands.
    pub fn close(&self, at: u64, cause: Cause) -> Closing {
        let mut closing = Closing { at, cause, eligible: self.eligible(), counted: BTreeMap::new() };
        // What is taken back counts nothing, so it can be taken back however many have answered.
        let counted = (cause != Cause::Withdrawn).then_some(&self.counted).into_iter().flatten();
        for (voter, counted) in counted {
            closing.counted.entry(voter.node).or_default().insert(voter.name.clone(), counted.clone());
        }
        closing
    }

    fn eligible(&self) -> u32 {
        match &self.proposal.closed {
            Some(closing) => closing.eligible,
            None => u32::try_from(self.electorate.len()).unwrap_or(u32::MAX),
        }
    }

    fn count(&self) -> Count<'_> {
        Count { options: &self.proposal.options, rules: &self.proposal.rules, eligible: self.eligible() }
    }
}

/// Returns the standing of the proposal with this key, if there is one.
pub fn standing<'a>(picture: &Picture<'a>, key: &ProposalKey) -> Option<Standing<'a>> {
    let proposal = picture.proposal(key)?;
    let electorate = electorate(picture, key, proposal);
    let mut standing = Standing {
        key: key.clone(),
        proposal,
        asked: proposal.hash(),
        seen: seen(picture, key, proposal),
        electorate,
        ballots: Vec::new(),
        missing: Vec::new(),
        counted: BTreeMap::new(),
        tally: Tally::default(),
    };
    standing.counted = match &proposal.closed {
        Some(closing) => closing.ballots().map(|(key, counted)| (key.voter, counted.clone())).collect(),
        None => countable(picture, &standing),
    };
    standing.ballots = cast(picture, &standing);
    let keys =
        standing.counted.iter().map(|(voter, counted)| BallotKey { voter: voter.clone(), number: counted.number });
    standing.missing = keys.filter(|named| picture.ballot(key, named).is_none()).collect();
    let choices: Vec<Choices> = standing.counted.values().map(|counted| counted.choices.clone()).collect();
    standing.tally = standing.count().tally(&choices);
    let borne_out = |state: BallotState| state == BallotState::Counts;
    let good = standing.ballots.iter().filter(|cast| borne_out(cast.state)).count();
    if proposal.rules.mechanism == Mechanism::Signoff && !standing.is_open() && good < standing.counted.len() {
        standing.tally = Tally { winner: None, outcome: Outcome::Unfounded, ..standing.tally };
    }
    if proposal.closed.as_ref().is_some_and(|closing| closing.cause == Cause::Withdrawn) {
        standing.tally = Tally { winner: None, outcome: Outcome::Withdrawn, ..standing.tally };
    }
    Some(standing)
}

/// Returns whether an agent of this kind may answer a proposal; it may be one that nobody knows yet.
pub fn place(picture: &Picture<'_>, key: &ProposalKey, agent: &AgentId, kind: AgentKind) -> Place {
    let Some(proposal) = picture.proposal(key) else { return Place::NotAsked };
    let by_kind = match &proposal.rules.electorate {
        _ if proposal.rules.mechanism == Mechanism::Signoff => false,
        Electorate::All => true,
        Electorate::People => kind == AgentKind::Person,
        Electorate::Role(_) | Electorate::Agents(_) => false,
    };
    let mut asked = asked(picture, key, proposal);
    if !asked.contains(agent) && !by_kind {
        return Place::NotAsked;
    }
    let mut answered = answered(picture, key, proposal.hash());
    let counted = bounded(picture, proposal, asked.clone(), &answered);
    let had: Vec<AgentId> = answered.intersection(&counted).cloned().collect();
    asked.insert(agent.clone());
    answered.insert(agent.clone());
    let counted = bounded(picture, proposal, asked, &answered);
    // Nobody takes the place of one that has answered.
    let free = counted.contains(agent) && had.iter().all(|other| counted.contains(other));
    if free { Place::Free } else { Place::Taken }
}

/// Who has answered what is asked now, whatever they said.
fn answered(picture: &Picture<'_>, key: &ProposalKey, asked: ProposalHash) -> BTreeSet<AgentId> {
    picture.ballots(key).filter(|(_, ballot)| ballot.asked == asked).map(|(key, _)| key.voter).collect()
}

/// Those who are asked and of whom an answer counts.
fn electorate(picture: &Picture<'_>, key: &ProposalKey, proposal: &Proposal) -> BTreeSet<AgentId> {
    let answered = answered(picture, key, proposal.hash());
    bounded(picture, proposal, asked(picture, key, proposal), &answered)
}

/// Leaves out of those who are asked, unless they are named, all but some of each node: a node can name as many agents as it
/// likes. Those who have answered come before those who have not, so nobody loses a place to one that comes later.
fn bounded(
    picture: &Picture<'_>,
    proposal: &Proposal,
    asked: BTreeSet<AgentId>,
    answered: &BTreeSet<AgentId>,
) -> BTreeSet<AgentId> {
    let named = matches!(proposal.rules.electorate, Electorate::Agents(_));
    if named || asked.len() <= MAX_VOTERS_OF_NODE {
        return asked;
    }
    let mut of_nodes: BTreeMap<NodeId, Vec<(bool, bool, AgentId)>> = BTreeMap::new();
    for agent in asked {
        let machine = picture.kind(&agent) != Some(AgentKind::Person);
        of_nodes.entry(agent.node).or_default().push((!answered.contains(&agent), machine, agent));
    }
    let mut places: Vec<(usize, bool, AgentId)> = Vec::new();
    for mut agents in of_nodes.into_values() {
        agents.sort();
        let first = agents.into_iter().take(MAX_VOTERS_OF_NODE).enumerate();
        places.extend(first.map(|(place, (silent, _, agent))| (place, silent, agent)));
    }
    places.sort();
    places.into_iter().take(MAX_VOTERS).map(|(_, _, agent)| agent).collect()
}

/// Everybody who is asked.
fn asked(picture: &Picture<'_>, key: &ProposalKey, proposal: &Proposal) -> BTreeSet<AgentId> {
    let of = |wanted: fn(AgentKind) -> bool| {
        let agents = picture.agents().filter(|(_, _, agent)| wanted(agent.kind));
        agents.map(|(node, name, _)| AgentId { node, name: name.clone() }).collect()
    };
    let mut asked: BTreeSet<AgentId> = match &proposal.rules.electorate {
        Electorate::All => of(|_| true),
        Electorate::People => of(|kind| kind == AgentKind::Person),
        Electorate::Role(role) => roles::who_has(picture, role),
        Electorate::Agents(agents) => agents.iter().cloned().collect(),
    };
    if proposal.rules.mechanism == Mechanism::Signoff {
        // Nobody signs off what they ask for themselves, and machines sign off nothing.
        asked.remove(&AgentId { node: key.node, name: proposal.by.clone() });
        asked.retain(|agent| picture.kind(agent) == Some(AgentKind::Person));
    }
    asked
}

fn seen(picture: &Picture<'_>, key: &ProposalKey, proposal: &Proposal) -> BTreeSet<AgentId> {
    let asked = proposal.hash();
    let said = picture.seen(key).filter(|(_, seen)| seen.asked == asked).map(|(agent, _)| agent);
    let asker = AgentId { node: key.node, name: proposal.by.clone() };
    said.chain(answered(picture, key, asked)).chain([asker]).collect()
}

/// What counts while the proposal is open.
fn countable(picture: &Picture<'_>, standing: &Standing<'_>) -> BTreeMap<AgentId, Counted> {
    let valid = highest(picture, &standing.key).into_iter().filter_map(|(voter, (number, ballot))| {
        let choices = judge(picture, standing, &voter, ballot).ok()?;
        Some((voter, Counted { number, choices }))
    });
    valid.collect()
}

/// Each voter's ballot with the highest number.
fn highest<'a>(picture: &Picture<'a>, key: &ProposalKey) -> BTreeMap<AgentId, (u32, &'a Ballot)> {
    // The last one of each voter stays.
    picture.ballots(key).map(|(key, ballot)| (key.voter, (key.number, ballot))).collect()
}

/// All ballots, each with its state.
fn cast<'a>(picture: &Picture<'a>, standing: &Standing<'_>) -> Vec<Cast<'a>> {
    let highest = highest(picture, &standing.key);
    let state = |key: &BallotKey, ballot: &Ballot| {
        let judged = judge(picture, standing, &key.voter, ballot);
        let counted = standing.counted.get(&key.voter);
        match (counted, standing.is_open()) {
            (Some(counted), _) if key.number < counted.number => BallotState::Replaced,
            (Some(counted), _) if key.number == counted.number => match judged {
                Ok(choices) if choices == counted.choices => BallotState::Counts,
                Ok(_) | Err(_) => BallotState::Disputed,
            },
            (_, false) => judged.err().unwrap_or(BallotState::Late),
            (_, true) if highest.get(&key.voter).is_some_and(|(number, _)| key.number < *number) => {
                BallotState::Replaced
            }
            // The highest one of a voter either counts or is judged not to.
            (_, true) => judged.err().unwrap_or(BallotState::Replaced),
        }
    };
    picture.ballots(&standing.key).map(|(key, ballot)| Cast { state: state(&key, ballot), key, ballot }).collect()
}

/// Whether a voter is in the electorate. Of a closed proposal only what can never change speaks against that: who has a
/// role may have had none then, and the other way round.
fn is_asked(picture: &Picture<'_>, standing: &Standing<'_>, voter: &AgentId) -> bool {
    if standing.is_open() {
        return standing.electorate.contains(voter);
    }
    let Proposal { by, rules, .. } = standing.proposal;
    let named = match &rules.electorate {
        Electorate::Agents(agents) => agents.contains(voter),
        Electorate::All | Electorate::People | Electorate::Role(_) => true,
    };
    let asker = AgentId { node: standing.key.node, name: by.clone() };
    let may_sign = || *voter != asker && picture.kind(voter) == Some(AgentKind::Person);
    named && (rules.mechanism != Mechanism::Signoff || may_sign())
}

/// Judges a ballot by itself: its choices, or why it cannot count.
fn judge(
    picture: &Picture<'_>,
    standing: &Standing<'_>,
    voter: &AgentId,
    ballot: &Ballot,
) -> Result<Choices, BallotState> {
    if !is_asked(picture, standing, voter) {
        return Err(BallotState::NotAsked);
    }
    if ballot.revision != standing.proposal.revision || ballot.asked != standing.asked {
        return Err(BallotState::OtherRevision);
    }
    if ballot.choices.is_empty() {
        return Err(BallotState::Withdrawn);
    }
    let place = |choice: &String| standing.proposal.options.iter().position(|option| option == choice);
    let choices: Choices = ballot.choices.iter().map(place).collect::<Option<_>>().ok_or(BallotState::NotAnOption)?;
    if standing.count().is_valid(&choices) { Ok(choices) } else { Err(BallotState::NotAnOption) }
}
