//! What agents were shown of questions, so that nobody answers one that it has not seen.

use std::collections::{BTreeMap, VecDeque};

use fedp2p_protocols::id::ProposalHash;
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::vote::ProposalKey;

/// How many questions are remembered, of all agents together. Of one that is forgotten, an agent that is not sure reads it
/// again.
const MOST: usize = 4096;

/// What the agents of this node were shown last of each question, since the node was started.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    asked: BTreeMap<(AgentName, ProposalKey), ProposalHash>,
    order: VecDeque<(AgentName, ProposalKey)>,
}

impl Shown {
    /// What an agent was shown last of a question.
    pub(crate) fn get(&self, agent: &AgentName, key: &ProposalKey) -> Option<&ProposalHash> {
        self.asked.get(&(agent.clone(), key.clone()))
    }

    /// Remembers what an agent was shown of a question.
    pub(crate) fn note(&mut self, agent: &AgentName, key: &ProposalKey, asked: ProposalHash) {
        let place = (agent.clone(), key.clone());
        if self.asked.insert(place.clone(), asked).is_some() {
            return;
        }
        self.order.push_back(place);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.asked.remove(&oldest);
        }
    }
}
