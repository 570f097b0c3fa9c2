//! Turns edits into operations of one Automerge transaction.
//!
//! [`Document::write`](crate::document::Document::write) calls it on a copy of the document and drops the copy when
//! anything fails. Only what differs is written, so an edit that says what stands there already costs nothing.

use automerge::transaction::{Transactable, Transaction};
use automerge::{AutomergeError, ObjId, ObjType, ROOT, ScalarValue};
use fedp2p_protocols::limits::{MAX_CHANGE_BYTES, MAX_CHANGE_OPS};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::pulse::{AgentKind, Pulse};
use fedp2p_protocols::vote::{Ballot, Closing, Proposal, ProposalKey};

use crate::content::{Agent, Content, Edit, Invalid, Said};
use crate::gate::Refusal;
use crate::genesis;
use crate::read::{self, AGENTS, BALLOTS, PROPOSALS};

/// Why a writer's edits were not written. The document is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// An edit is not well formed or over a limit.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// An agent speaks that is not registered.
    #[error("agent {0} is not registered")]
    UnknownAgent(AgentName),
    /// A proposal is closed that does not exist.
    #[error("there is no proposal {0:?}")]
    UnknownProposal(String),
    /// A proposal is closed a second time in another way.
    #[error("proposal {0:?} is closed already")]
    AlreadyClosed(String),
    /// A ballot with this number was cast already and says something else.
    #[error("ballot {0} was cast already")]
    AlreadyCast(u32),
    /// The edits do not fit in one change.
    #[error("the edits do not fit in one change")]
    TooLarge,
    /// The epoch is full; a new one must begin.
    #[error("the epoch is full")]
    EpochFull,
    /// The time is too far in the future to be written.
    #[error("the time is out of range")]
    Time,
    /// A kind of agent or a mechanism that this version cannot write.
    #[error("a value that this version cannot write")]
    Unknown,
    /// Automerge failed, which it does not in a sound document.
    #[error("automerge failed")]
    Automerge(#[from] AutomergeError),
    /// Our own gate refuses what was written, which is a bug.
    #[error("the gate refuses our own change")]
    Refused(#[source] Refusal),
}

/// More than an operation takes up beside its texts: three references, the lengths and the kinds.
const OP_BYTES: usize = 32;
/// More than the header of a change takes up.
const HEADER_BYTES: usize = 512;
/// What edits that are packed together may cost at most, so that changes stay small.
const PACK_BYTES: usize = 32 * 1024;
/// The same for operations.
const PACK_OPS: u64 = 3_000;

/// An upper bound of what edits take up in a change.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    bytes: usize,
    ops: u64,
}

impl Cost {
    fn add(&mut self, texts: usize) {
        self.bytes += OP_BYTES + texts;
        self.ops += 1;
    }

    fn and(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, ops: self.ops + other.ops }
    }

    fn fits(self) -> bool {
        HEADER_BYTES + self.bytes <= MAX_CHANGE_BYTES && self.ops <= MAX_CHANGE_OPS
    }

    fn packs(self) -> bool {
        self.bytes <= PACK_BYTES && self.ops <= PACK_OPS
    }

    /// Returns the most that `edit` can cost in an empty document.
    fn of(edit: &Edit) -> Self {
        let mut cost = Self::default();
        match edit {
            Edit::Register { agent, .. } => {
                cost.add(0);
                cost.add(AGENTS.len());
                cost.add(agent.as_str().len());
                cost.add(16);
            }
            Edit::Say { pulse, .. } => {
                cost.add(16);
                pulse.fields().iter().for_each(|(name, value)| {
                    cost.add(name.len() + value.map_or(0, str::len));
                });
            }
            Edit::Propose { id, proposal } => {
                cost.add(PROPOSALS.len());
                cost.add(id.len() + proposal.by.as_str().len() + proposal.question.len());
                (0..8).for_each(|_| cost.add(16));
                proposal.options.iter().for_each(|option| cost.add(option.len() + 2));
                proposal.closed.iter().for_each(|closing| cost.add_closing(closing));
            }
            Edit::Close { closing, .. } => cost.add_closing(closing),
            Edit::Cast { proposal, voter, ballot, .. } => {
                cost.add(BALLOTS.len());
                cost.add(64);
                cost.add(proposal.id.len());
                cost.add(voter.as_str().len());
                cost.add(ballot.choice.len() + ballot.reason.as_ref().map_or(0, String::len));
                (0..4).for_each(|_| cost.add(16));
            }
        }
        cost
    }

    fn add_closing(&mut self, closing: &Closing) {
        (0..3).for_each(|_| self.add(16));
        let mut last = None;
        for key in &closing.counted {
            if last.replace(key.voter.node) != Some(key.voter.node) {
                self.add(64);
            }
            self.add(key.voter.name.as_str().len());
        }
    }
}

/// Edits in groups that fit in one change each.
#[derive(Debug, Default)]
struct Packer {
    groups: Vec<Vec<Edit>>,
    /// What the last group costs.
    filled: Cost,
}

impl Packer {
    /// Adds edits that stay together, to the last group if it has room.
    fn put(&mut self, edits: Vec<Edit>) {
        let cost = edits.iter().map(Cost::of).fold(Cost::default(), Cost::and);
        let together = self.filled.and(cost);
        match self.groups.last_mut() {
            Some(group) if together.packs() => {
                group.extend(edits);
                self.filled = together;
            }
            _ => {
                self.groups.push(edits);
                self.filled = cost;
            }
        }
    }

    fn put_proposal(&mut self, id: &str, proposal: &Proposal) {
        let id = id.to_owned();
        let whole = Edit::Propose { id: id.clone(), proposal: proposal.clone() };
        match &proposal.closed {
            // The closing entry is as long as there are voters; then it takes a change of its own.
            Some(closing) if !Cost::of(&whole).fits() => {
                let proposal = Proposal { closed: None, ..proposal.clone() };
                let closing = closing.clone();
                self.put(vec![Edit::Propose { id: id.clone(), proposal }]);
                self.put(vec![Edit::Close { id, closing }]);
            }
            _ => self.put(vec![whole]),
        }
    }
}

/// Returns the edits that make `content` in an empty document, in groups that fit in one change each.
pub(crate) fn restating(content: &Content) -> Vec<Vec<Edit>> {
    let mut packer = Packer::default();
    for (name, Agent { kind, said }) in &content.agents {
        let (agent, kind) = (name.clone(), *kind);
        let mut edits = vec![Edit::Register { agent, kind }];
        if let Some(Said { pulse, at }) = said.clone() {
            let agent = name.clone();
            edits.push(Edit::Say { agent, pulse, at });
        }
        packer.put(edits);
    }
    for (id, proposal) in &content.proposals {
        packer.put_proposal(id, proposal);
    }
    for (proposal, voters) in &content.ballots {
        for (voter, ballots) in voters {
            for (&number, ballot) in ballots {
                packer.put(vec![Edit::Cast {
                    proposal: proposal.clone(),
                    voter: voter.clone(),
                    number,
                    ballot: ballot.clone(),
                }]);
            }
        }
    }
    packer.groups
}

/// Writes edits into a transaction.
pub(crate) struct Writer<'a, 'd> {
    transaction: &'a mut Transaction<'d>,
    own: String,
    cost: Cost,
}

impl<'a, 'd> Writer<'a, 'd> {
    /// Returns a writer for the node whose map has the key `own`.
    pub(crate) fn new(transaction: &'a mut Transaction<'d>, own: String) -> Self {
        Self { transaction, own, cost: Cost::default() }
    }

    /// Writes one edit.
    ///
    /// # Errors
    /// When the edit cannot be written; the transaction is then of no more use.
    pub(crate) fn write(&mut self, edit: &Edit) -> Result<(), WriteError> {
        edit.check()?;
        match edit {
            Edit::Register { agent, kind } => self.register(agent, *kind),
            Edit::Say { agent, pulse, at } => self.say(agent, pulse, *at),
            Edit::Propose { id, proposal } => self.propose(id, proposal),
            Edit::Close { id, closing } => self.close(id, closing),
            Edit::Cast { proposal, voter, number, ballot } => self.cast(proposal, voter, *number, ballot),
        }
    }

    /// Whether everything written so far fits in one change.
    pub(crate) fn fits(&self) -> bool {
        self.cost.fits()
    }

    fn register(&mut self, agent: &AgentName, kind: AgentKind) -> Result<(), WriteError> {
        let text = read::kind_text(kind).ok_or(WriteError::Unknown)?;
        let map = self.map_at(&[AGENTS, agent.as_str()])?;
        let standing = read::agent(self.transaction, &map);
        if standing.is_none_or(|standing| standing.kind != kind) {
            self.put(&map, "kind", text)?;
        }
        Ok(())
    }

    fn say(&mut self, agent: &AgentName, pulse: &Pulse, at: u64) -> Result<(), WriteError> {
        let map = self.find(&[AGENTS, agent.as_str()]);
        let standing = map.and_then(|map| Some((read::agent(self.transaction, &map)?, map)));
        let Some((standing, map)) = standing else {
            return Err(WriteError::UnknownAgent(agent.clone()));
        };
        let (before, said_at) = match standing.said {
            Some(said) => (said.pulse, Some(said.at)),
            None => (Pulse::default(), None),
        };
        for ((name, value), (_, before)) in pulse.fields().into_iter().zip(before.fields()) {
            match value {
                Some(text) if before != value => self.put(&map, name, text)?,
                None if before.is_some() => self.delete(&map, name)?,
                Some(_) | None => {}
            }
        }
        if said_at != Some(at) {
            self.put(&map, "at", at)?;
        }
        Ok(())
    }

    fn propose(&mut self, id: &str, proposal: &Proposal) -> Result<(), WriteError> {
        let mechanism = read::mechanism_text(proposal.mechanism).ok_or(WriteError::Unknown)?;
        let map = self.map_at(&[PROPOSALS, id])?;
        let standing = read::proposal(self.transaction, &map);
        let standing = standing.as_ref();
        if standing.is_none_or(|standing| standing.by != proposal.by) {
            self.put(&map, "by", proposal.by.as_str())?;
        }
        if standing.is_none_or(|standing| standing.question != proposal.question) {
            self.put(&map, "question", proposal.question.as_str())?;
        }
        if standing.is_none_or(|standing| standing.options != proposal.options) {
            let options = self.fresh_map(&map, "options")?;
            for (index, option) in proposal.options.iter().enumerate() {
                self.put(&options, &read::option_key(index), option.as_str())?;
            }
        }
        if standing.is_none_or(|standing| standing.mechanism != proposal.mechanism) {
            self.put(&map, "mechanism", mechanism)?;
        }
        if standing.is_none_or(|standing| standing.revision != proposal.revision) {
            self.put(&map, "revision", u64::from(proposal.revision))?;
        }
        if standing.is_none_or(|standing| standing.opened != proposal.opened) {
            self.put(&map, "opened", proposal.opened)?;
        }
        let closed = standing.and_then(|standing| standing.closed.as_ref());
        match &proposal.closed {
            Some(closing) if closed != Some(&sorted(closing)) => self.put_closing(&map, closing),
            None if closed.is_some() => self.delete(&map, "closed"),
            Some(_) | None => Ok(()),
        }
    }

    fn close(&mut self, id: &str, closing: &Closing) -> Result<(), WriteError> {
        let map = self.find(&[PROPOSALS, id]);
        let standing = map.and_then(|map| Some((read::proposal(self.transaction, &map)?, map)));
        let Some((standing, map)) = standing else {
            return Err(WriteError::UnknownProposal(id.to_owned()));
        };
        match standing.closed {
            None => self.put_closing(&map, closing),
            Some(closed) if closed == sorted(closing) => Ok(()),
            Some(_) => Err(WriteError::AlreadyClosed(id.to_owned())),
        }
    }

    fn put_closing(&mut self, proposal: &ObjId, closing: &Closing) -> Result<(), WriteError> {
        let map = self.fresh_map(proposal, "closed")?;
        self.put(&map, "at", closing.at)?;
        let counted = self.fresh_map(&map, "counted")?;
        let mut node = None;
        for key in sorted(closing).counted {
            let map = match node.take() {
                Some((id, map)) if id == key.voter.node => map,
                _ => self.fresh_map(&counted, &key.voter.node.to_string())?,
            };
            self.put(&map, key.voter.name.as_str(), u64::from(key.number))?;
            node = Some((key.voter.node, map));
        }
        Ok(())
    }

    fn cast(
        &mut self,
        proposal: &ProposalKey,
        voter: &AgentName,
        number: u32,
        ballot: &Ballot,
    ) -> Result<(), WriteError> {
        let node = proposal.node.to_string();
        let map = self.map_at(&[BALLOTS, &node, &proposal.id, voter.as_str(), &number.to_string()])?;
        match read::ballot(self.transaction, number, &map) {
            Some((_, standing)) if standing == *ballot => return Ok(()),
            Some(_) => return Err(WriteError::AlreadyCast(number)),
            None => {}
        }
        self.put(&map, "revision", u64::from(ballot.revision))?;
        self.put(&map, "choice", ballot.choice.as_str())?;
        if let Some(reason) = &ballot.reason {
            self.put(&map, "reason", reason.as_str())?;
        }
        self.put(&map, "at", ballot.at)
    }

    /// Returns the map at `path` below the own map, if it is there.
    fn find(&self, path: &[&str]) -> Option<ObjId> {
        let own = read::own(self.transaction, &self.own)?;
        path.iter().try_fold(own, |map, key| read::child(self.transaction, &map, key))
    }

    /// Returns the map at `path` below the own map and makes what is missing on the way.
    fn map_at(&mut self, path: &[&str]) -> Result<ObjId, WriteError> {
        let own = self.own.clone();
        let nodes = self.map(&ROOT, genesis::NODES)?;
        let own = self.map(&nodes, &own)?;
        path.iter().try_fold(own, |map, key| self.map(&map, key))
    }

    fn map(&mut self, parent: &ObjId, key: &str) -> Result<ObjId, WriteError> {
        match read::child(self.transaction, parent, key) {
            Some(map) => Ok(map),
            None => self.fresh_map(parent, key),
        }
    }

    fn fresh_map(&mut self, parent: &ObjId, key: &str) -> Result<ObjId, WriteError> {
        self.cost.add(key.len());
        Ok(self.transaction.put_object(parent, key, ObjType::Map)?)
    }

    fn put(&mut self, map: &ObjId, key: &str, value: impl Into<ScalarValue>) -> Result<(), WriteError> {
        let value = value.into();
        self.cost.add(key.len() + value.as_str().map_or(0, str::len));
        Ok(self.transaction.put(map, key, value)?)
    }

    fn delete(&mut self, map: &ObjId, key: &str) -> Result<(), WriteError> {
        self.cost.add(key.len());
        Ok(self.transaction.delete(map, key)?)
    }
}

/// Returns the closing entry in the order in which it is read back.
fn sorted(closing: &Closing) -> Closing {
    let mut closing = closing.clone();
    closing.counted.sort_unstable();
    closing
}
