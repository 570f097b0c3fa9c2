//! Attention: what an agent wants to be handed now, and who may break through.
//!
//! An agent says so in its node's document, so that whoever writes to it sees what is held. Held messages are durable at
//! its node and wait; nothing is lost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::payload::{Message, MessageType};
use crate::pulse::AgentKind;
use crate::vote::AgentId;

/// What is handed out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everything.
    #[default]
    Open,
    /// What names the agent, but no news of work under way; messages to everybody are held.
    Focus,
    /// Nothing.
    Dnd,
}

/// Whose urgent messages are handed out in spite of that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Through {
    /// Everybody's.
    #[serde(default)]
    pub all: bool,
    /// Those of people.
    #[serde(default)]
    pub people: bool,
    /// Those of these agents.
    #[serde(default)]
    pub agents: Vec<AgentId>,
}

/// Most agents that a [`Through`] names.
pub const MAX_THROUGH: usize = 32;

/// What an agent wants to be handed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attention {
    /// What is handed out.
    pub mode: Mode,
    /// Whose urgent messages are in any case.
    pub urgent: Through,
    /// When it said so, in milliseconds since 1970 by its node's clock.
    pub at: u64,
}

impl Attention {
    /// Whether a message to `recipient`, whose attention this is, is held; `kind` is who stands behind its author.
    pub fn holds(&self, message: &Message, recipient: &AgentId, author: &AgentId, kind: Option<AgentKind>) -> bool {
        let of_person = kind == Some(AgentKind::Person);
        let through = &self.urgent;
        let allowed = through.all || (through.people && of_person) || through.agents.contains(author);
        if author == recipient || (message.urgent && allowed) {
            return false;
        }
        match self.mode {
            Mode::Open => false,
            Mode::Focus => message.to.is_empty() || message.kind == MessageType::Status,
            Mode::Dnd => true,
        }
    }
}
