//! How far agents have been handed logs, as far as anything here follows from it.
//!
//! Receipts may name any agent and any log. What they say is remembered of this node's own logs, by which its agents see
//! how far their messages have come, and of no more than so many agents of each node. Of this node's own agents it is
//! remembered whether they were handed anything at all.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::sync::LogKey;
use fedp2p_protocols::vote::AgentId;

use crate::Core;

/// Of how many agents of one node it is remembered how far they were handed this node's logs.
const MOST_AGENTS: usize = 1024;

/// How far agents have been handed logs.
#[derive(Debug, Default)]
pub(crate) struct Surfaced {
    /// The levels of this node's own logs.
    levels: BTreeMap<AgentId, BTreeMap<LogKey, u64>>,
    /// This node's agents that were handed something.
    own: BTreeSet<AgentName>,
}

impl Surfaced {
    /// How far an agent has been handed one of this node's logs.
    pub(crate) fn level(&self, agent: &AgentId, key: &LogKey) -> u64 {
        self.levels.get(agent).and_then(|levels| levels.get(key)).copied().unwrap_or(0)
    }

    /// Whether an agent of this node was handed anything yet.
    pub(crate) fn has_read(&self, agent: &AgentName) -> bool {
        self.own.contains(agent)
    }

    fn raise(&mut self, agent: AgentId, key: LogKey, seq: u64) {
        let of_node = || self.levels.keys().filter(|other| other.node == agent.node).count();
        if !self.levels.contains_key(&agent) && of_node() >= MOST_AGENTS {
            return;
        }
        let level = self.levels.entry(agent).or_default().entry(key).or_default();
        *level = (*level).max(seq);
    }

    /// How many agents and logs are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.levels.values().map(BTreeMap::len).sum::<usize>() + self.own.len()
    }
}

impl Core {
    /// Takes in what a receipt says, if anything follows from it.
    pub(crate) fn note_surfaced(&mut self, agent: AgentId, key: LogKey, seq: u64) {
        if agent.node == self.me() && !self.surfaced.own.contains(&agent.name) {
            self.surfaced.own.insert(agent.name.clone());
        }
        if key.author == self.me() && self.logs.get(&key).is_some() {
            self.surfaced.raise(agent, key, seq);
        }
    }
}
