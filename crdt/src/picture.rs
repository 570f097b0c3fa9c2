//! The Common Operating Picture of a conversation: what all its documents say together.
//!
//! Whoever shows the conversation asks for it. It borrows the contents of the documents and copies nothing, so
//! making one costs a map entry for each node. It is a pure function of the contents; the order in which they are
//! given does not matter, as long as each node is given once.

use std::collections::BTreeMap;

use fedp2p_protocols::attention::Attention;
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_protocols::task::{Bid, Statement, Task, TaskKey};
use fedp2p_protocols::vote::{AgentId, Ballot, BallotKey, Proposal, ProposalKey, Seen};

use crate::content::{Agent, BallotPlace, BidPlace, Content, StatementPlace};

pub use crate::standing::{BallotState, Cast, Phase, Place, Standing, standing};

/// What all documents of a conversation say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture<'a> {
    nodes: BTreeMap<NodeId, &'a Content>,
}

impl<'a> Picture<'a> {
    /// Returns the picture of these contents. Where a node is given twice, the later one stands.
    pub fn of(contents: impl IntoIterator<Item = (NodeId, &'a Content)>) -> Self {
        Self { nodes: contents.into_iter().collect() }
    }

    /// What each node says.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &'a Content)> {
        self.nodes.iter().map(|(&node, &content)| (node, content))
    }

    /// What one node says.
    pub fn node(&self, node: &NodeId) -> Option<&'a Content> {
        self.nodes.get(node).copied()
    }

    /// All agents, ordered by node and name.
    pub fn agents(&self) -> impl Iterator<Item = (NodeId, &'a AgentName, &'a Agent)> {
        self.nodes().flat_map(|(node, content)| content.agents.iter().map(move |(name, agent)| (node, name, agent)))
    }

    /// Who stands behind an agent, if it has ever spoken.
    pub fn kind(&self, agent: &AgentId) -> Option<AgentKind> {
        self.node(&agent.node)?.agents.get(&agent.name).map(|agent| agent.kind)
    }

    /// What an agent wants to be handed, if it ever said.
    pub fn attention(&self, agent: &AgentId) -> Option<&'a Attention> {
        self.node(&agent.node)?.attention.get(&agent.name)
    }

    /// All proposals, ordered by node and id.
    pub fn proposals(&self) -> impl Iterator<Item = (ProposalKey, &'a Proposal)> {
        self.nodes().flat_map(|(node, content)| {
            let key = move |id: &String| ProposalKey { node, id: id.clone() };
            content.proposals.iter().map(move |(id, proposal)| (key(id), proposal))
        })
    }

    /// One proposal.
    pub fn proposal(&self, key: &ProposalKey) -> Option<&'a Proposal> {
        self.node(&key.node)?.proposals.get(&key.id)
    }

    /// The ballots on a proposal, ordered by the voter's node and name and the ballot's number.
    pub fn ballots(&self, proposal: &ProposalKey) -> impl Iterator<Item = (BallotKey, &'a Ballot)> {
        self.nodes().flat_map(|(node, content)| {
            let key = move |place: &BallotPlace| BallotKey {
                voter: AgentId { node, name: place.voter.clone() },
                number: place.number,
            };
            content.ballots_on(proposal).map(move |(place, ballot)| (key(place), ballot))
        })
    }

    /// One ballot on a proposal.
    pub fn ballot(&self, proposal: &ProposalKey, key: &BallotKey) -> Option<&'a Ballot> {
        let BallotKey { voter, number } = key.clone();
        let place = BallotPlace { proposal: proposal.clone(), voter: voter.name, number };
        self.node(&voter.node)?.ballots.get(&place)
    }

    /// Who says to have seen a proposal, ordered by node and name.
    pub fn seen(&self, proposal: &ProposalKey) -> impl Iterator<Item = (AgentId, &'a Seen)> {
        self.nodes().flat_map(|(node, content)| {
            let agent = move |name: &AgentName| AgentId { node, name: name.clone() };
            content.seen_by(proposal).map(move |(place, seen)| (agent(&place.agent), seen))
        })
    }

    /// All tasks, ordered by node and id.
    pub fn tasks(&self) -> impl Iterator<Item = (TaskKey, &'a Task)> {
        self.nodes().flat_map(|(node, content)| {
            content.tasks.iter().map(move |(id, task)| (TaskKey { node, id: id.clone() }, task))
        })
    }

    /// One task.
    pub fn task(&self, key: &TaskKey) -> Option<&'a Task> {
        self.node(&key.node)?.tasks.get(&key.id)
    }

    /// What was said of a task: by whom, which of its statements, and what; ordered by node, name and number.
    pub fn statements(&self, task: &TaskKey) -> impl Iterator<Item = (AgentId, u32, &'a Statement)> {
        self.nodes().flat_map(|(node, content)| {
            let by = move |place: &StatementPlace| AgentId { node, name: place.agent.clone() };
            content.statements_on(task).map(move |(place, said)| (by(place), place.number, said))
        })
    }

    /// Who bids for a task, ordered by node and name.
    pub fn bids(&self, task: &TaskKey) -> impl Iterator<Item = (AgentId, &'a Bid)> {
        self.nodes().flat_map(|(node, content)| {
            let by = move |place: &BidPlace| AgentId { node, name: place.agent.clone() };
            content.bids_for(task).map(move |(place, bid)| (by(place), bid))
        })
    }

    /// Returns BLAKE3 over one canonical encoding of everything in the picture.
    ///
    /// Two nodes with the same changes get the same digest. The encoding is the number of nodes in 8 bytes, then each
    /// node's id and the digest of its content in the order of the ids; `digest.rs` says how contents are spelled.
    pub fn digest(&self) -> [u8; 32] {
        self.digest_of(|_, content| content.digest())
    }

    /// As [`Picture::digest`], with the digests of contents that the caller knows or takes.
    pub fn digest_of(&self, mut content_digest: impl FnMut(NodeId, &Content) -> [u8; 32]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("fedp2p/1 picture");
        hasher.update(&(self.nodes.len() as u64).to_le_bytes());
        for (node, content) in self.nodes() {
            hasher.update(node.as_bytes()).update(&content_digest(node, content));
        }
        *hasher.finalize().as_bytes()
    }
}
