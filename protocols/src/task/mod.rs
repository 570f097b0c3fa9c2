//! Tasks, work that one agent describes and another does, and roles, by which agents are found for it.
//!
//! A [`Task`] stands in the document of the node of its creator, who alone changes or cancels it. Whoever works on it
//! holds the claim on it, and says in [`Statement`]s in the document of its own node how far it is. Each statement
//! names the fence of that claim, so that what is said by one who no longer holds the task does not count. Once it is
//! over its creator's node records the [`Outcome`], which stands whatever is said of it afterwards: so everything else
//! about it can be cleared away.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::claim::Fence;
use crate::id::NodeId;
use crate::name::{AgentName, RoleName, TaskId};
use crate::vote::AgentId;

pub mod state;

pub use state::State;

/// The identity of a task everywhere: ids are chosen by people, so two nodes may choose the same. Its text form is
/// `NODE/ID`, with the whole node id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct TaskKey {
    /// The node in whose document the task stands.
    pub node: NodeId,
    /// The id that it was given there.
    pub id: TaskId,
}

/// The key of a task was not written as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key of a task is a node id, a slash and the name of the task there")]
pub struct ParseTaskKeyError;

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.id)
    }
}

impl FromStr for TaskKey {
    type Err = ParseTaskKeyError;

    fn from_str(text: &str) -> Result<Self, ParseTaskKeyError> {
        let (node, id) = text.split_once('/').ok_or(ParseTaskKeyError)?;
        let key =
            Self { node: node.parse().map_err(|_| ParseTaskKeyError)?, id: id.parse().map_err(|_| ParseTaskKeyError)? };
        if key.to_string() == text { Ok(key) } else { Err(ParseTaskKeyError) }
    }
}

impl Serialize for TaskKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TaskKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Work that one agent describes and another does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// The agent that made it.
    pub by: AgentName,
    /// What is to be done, in a line.
    pub title: String,
    /// The same at length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What programs need for it, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The tasks that must be completed first, in order and each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<TaskKey>,
    /// How much it presses.
    #[serde(default)]
    pub priority: Priority,
    /// Who may take it.
    #[serde(default)]
    pub to: Assignee,
    /// When it should be done, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<u64>,
    /// Counts up from 1 with each change of the task.
    pub revision: u32,
    /// Which try it is, from 1: a new one begins with nothing said.
    pub attempt: u32,
    /// When it was made, in milliseconds since 1970 by the creator's clock.
    pub made: u64,
    /// Present while bids for it are asked for, and afterwards for as long as the attempt lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Offer>,
    /// Present once its creator has canceled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canceled: Option<Cancellation>,
    /// Present once its creator's node has recorded what came of this attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Outcome>,
}

impl Task {
    /// Whether it waits for its creator to award it to a bidder.
    pub fn is_announced(&self) -> bool {
        self.offer.as_ref().is_some_and(|offer| offer.award.is_none())
    }

    /// Whether it is over and nothing but the task itself is needed to know that.
    pub fn is_closed(&self) -> bool {
        self.closed.is_some() || self.canceled.is_some()
    }
}

/// How much a task presses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Can wait for everything else.
    Low,
    /// Like most.
    #[default]
    Normal,
    /// Before most.
    High,
    /// Before everything else.
    Urgent,
}

/// Who may take a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Assignee {
    /// Everybody.
    #[default]
    Anyone,
    /// Those who have this role.
    Role(RoleName),
    /// This agent.
    Agent(AgentId),
}

/// That bids for a task are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Offer {
    /// Until when, in milliseconds since 1970 by the creator's clock; without it, until the creator awards the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Whether the creator's node awards it to the best bid at that time.
    #[serde(default)]
    pub auto: bool,
    /// Who got it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub award: Option<Award>,
}

/// Who got a task that bids were asked for, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Award {
    /// Who.
    pub to: AgentId,
    /// Why, if the creator said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When, in milliseconds since 1970 by the creator's clock.
    pub at: u64,
    /// Who might have taken it before, and may again if the winner does not begin.
    #[serde(default)]
    pub before: Assignee,
}

/// That a task was canceled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancellation {
    /// Why, if the creator said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When, in milliseconds since 1970 by the creator's clock.
    pub at: u64,
}

/// What came of a task, as its creator's node records it for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// Completed, failed or rejected.
    pub state: State,
    /// The claim under which that was said.
    pub fence: Fence,
    /// The agent of its node that said it.
    pub by: AgentName,
    /// The last that it had to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// When it was said, in milliseconds since 1970 by the clock of that node.
    pub at: u64,
}

/// What an agent that holds a task says of it. It is never changed: the agent says more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Statement {
    /// When the task was made that it is about: a new one can have the id of an old one.
    pub made: u64,
    /// Which try of the task it is about.
    pub attempt: u32,
    /// The counter of the claim under which the agent holds the task.
    pub fence: u64,
    /// How far it is; submitted hands it back.
    pub state: State,
    /// What there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// When, in milliseconds since 1970 by the agent's clock.
    pub at: u64,
}

/// An agent's offer to do a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bid {
    /// When the task was made that it is for.
    pub made: u64,
    /// Which try of the task it is for.
    pub attempt: u32,
    /// What it would cost, in whatever the team counts; less is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u32>,
    /// Why the agent is the right one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Counts up from 1 with each change of the bid.
    pub revision: u32,
    /// When, in milliseconds since 1970 by the agent's clock.
    pub at: u64,
}

/// An agent's word on whether another has a role. What has the highest revision stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// The agent that says so.
    pub by: AgentName,
    /// Whether the other has the role.
    pub has: bool,
    /// Counts up from 1 with everything that is said about this role of this agent anywhere.
    pub revision: u32,
    /// When, in milliseconds since 1970 by the clock of the agent that says so.
    pub at: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_print_as_they_parse() {
        let key = TaskKey { node: NodeId::from_bytes([7; 32]), id: "memory-profile".parse().unwrap() };
        assert_eq!(key.to_string().parse(), Ok(key.clone()));
        for text in ["", "memory-profile", "x/y", &format!("{key}/z"), &key.to_string().to_uppercase()] {
            assert_eq!(text.parse::<TaskKey>(), Err(ParseTaskKeyError), "{text}");
        }
    }
}
