//! Tells what happens as it happens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Presence;
use super::claim::Claim;
use super::message::Message;
use super::proposal::Proposal;
use super::task::Task;
use crate::attention::Mode;
use crate::id::OpId;
use crate::name::{Address, NoteName};

/// Asks for events. The first answer is a reply; events follow until the connection closes. A client that does not
/// keep up is cut off and reads the state again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// Which; all if empty.
    pub topics: Vec<Topic>,
    /// Speak for the calling agent as long as the connection lasts. The agent is there until then, and gone afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
}

/// How a client speaks for an agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hold {
    /// Together with other clients that speak for it. Without it, it is refused while another one does.
    pub share: bool,
    /// The agent's name was made up for this client: an agent that did nothing under it is forgotten at the end.
    pub made_up: bool,
}

/// The daemon is watching.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {}

/// What can be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Messages for the calling agent.
    Inbox,
    /// All messages.
    Messages,
    /// Pulses.
    Pulse,
    /// Proposals and ballots.
    Votes,
    /// Notes that are edited.
    Notes,
    /// Claims that are made, confirmed, lost or ended.
    Claims,
    /// Tasks, what is said of them, and bids.
    Tasks,
    /// Nodes that come and go.
    Peers,
    /// What the admin should know.
    Notices,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum Event {
    /// A message was stored here.
    Message(Message),
    /// An agent's pulse changed.
    Pulse(super::pulse::Row),
    /// What an agent wants to be handed is another thing now.
    Attention {
        /// The agent.
        agent: Address,
        /// What it wants.
        mode: Mode,
    },
    /// A proposal changed or was answered.
    Vote(Box<Proposal>),
    /// A note was edited.
    Note {
        /// Which.
        name: NoteName,
        /// Who edited it.
        by: Address,
        /// The edit.
        version: OpId,
    },
    /// A claim was made, confirmed, lost or ended.
    Claim(Box<Claim>),
    /// A task was made or changed, or somebody said something of it or bid for it.
    Task(Box<Task>),
    /// A node came, went or fell silent.
    Peer {
        /// Its name.
        name: String,
        /// What it is now.
        presence: Presence,
    },
    /// An agent spoke for the first time.
    Agent(Address),
    /// What the admin should know.
    Notice {
        /// The text.
        text: String,
    },
}

impl Event {
    /// The topic that it belongs to.
    pub fn topic(&self) -> Topic {
        match self {
            Self::Message(_) => Topic::Messages,
            Self::Pulse(_) | Self::Attention { .. } => Topic::Pulse,
            Self::Vote(_) => Topic::Votes,
            Self::Note { .. } => Topic::Notes,
            Self::Claim(_) => Topic::Claims,
            Self::Task(_) => Topic::Tasks,
            Self::Peer { .. } | Self::Agent(_) => Topic::Peers,
            Self::Notice { .. } => Topic::Notices,
        }
    }
}
