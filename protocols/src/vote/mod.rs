//! Proposals and ballots: a collective decision and each agent's answer.
//!
//! A proposal is written by one agent and answered by ballots that name its revision. A ballot is never changed:
//! an agent that thinks again casts another with the next number, and its highest number counts. The closing entry
//! names the ballots it counts and what they chose, so the result of a closed proposal is the same on every node for
//! ever, and a voter or an asker who later says otherwise is seen to.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{NodeId, ProposalHash};
use crate::limits::MAX_OPTIONS;
use crate::name::AgentName;

pub mod rules;
pub mod tally;

pub use rules::{APPROVE, Base, DENY, Electorate, Mechanism, Rules, Share};
pub use tally::{Choices, Count, Outcome, Tally};

/// The identity of an agent everywhere: its node's key and its name there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct AgentId {
    /// The node that speaks for it.
    pub node: NodeId,
    /// Its name on that node.
    pub name: AgentName,
}

/// The identity of a proposal everywhere: ids are chosen by people, so two nodes may choose the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ProposalKey {
    /// The node in whose document the proposal stands.
    pub node: NodeId,
    /// The id that it was given there.
    pub id: String,
}

/// A question put to the members of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Proposal {
    /// The agent that asks.
    pub by: AgentName,
    /// The question.
    pub question: String,
    /// What can be answered, in the asker's order.
    pub options: Vec<String>,
    /// How ballots become a result, who may cast them, and when.
    pub rules: Rules,
    /// Counts up from 1 each time the question or the options change.
    pub revision: u32,
    /// When it was opened, in milliseconds since 1970 by the asker's clock.
    pub opened: u64,
    /// When the asker's node saw that all who were asked had acknowledged it, in milliseconds since 1970: from then on it
    /// takes ballots, whoever else is asked later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<u64>,
    /// Present once it is closed.
    pub closed: Option<Closing>,
}

impl Proposal {
    /// Names everything that those who answer have to have seen. Whoever answers names it, so nobody can put another
    /// question in its place; and when it was asked, so that no answer counts when the same is asked again.
    pub fn hash(&self) -> ProposalHash {
        let asked = (&self.by, &self.question, &self.options, &self.rules, self.revision, self.opened);
        ProposalHash::of(&serde_json::to_vec(&asked).expect("a proposal can be written"))
    }
}

/// Why a proposal was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The asker said so.
    Asker,
    /// No further ballot could have changed the result.
    Settled,
    /// Its deadline came.
    Deadline,
    /// The asker took it back: it has no result.
    Withdrawn,
}

/// The entry that ends a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Closing {
    /// When, in milliseconds since 1970 by the asker's clock.
    pub at: u64,
    /// Why.
    pub cause: Cause,
    /// How many could have voted.
    pub eligible: u32,
    /// The ballots that count, by node and name of the voter.
    #[serde(default)]
    pub counted: BTreeMap<NodeId, BTreeMap<AgentName, Counted>>,
}

impl Closing {
    /// The ballots that count, by voter.
    pub fn ballots(&self) -> impl Iterator<Item = (BallotKey, &Counted)> {
        self.counted.iter().flat_map(|(&node, voters)| {
            voters.iter().map(move |(name, counted)| {
                (BallotKey { voter: AgentId { node, name: name.clone() }, number: counted.number }, counted)
            })
        })
    }

    /// The ballot of `voter` that counts.
    pub fn of(&self, voter: &AgentId) -> Option<&Counted> {
        self.counted.get(&voter.node)?.get(&voter.name)
    }
}

/// A ballot as a closing entry counts it. Its text form is `number:choice,choice`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct Counted {
    /// Which of the voter's ballots.
    pub number: u32,
    /// What it chose, by the place among the options.
    pub choices: Choices,
}

/// A counted ballot was not written as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a counted ballot is a number from 1, a colon, and the places of its choices")]
pub struct ParseCountedError;

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let choices: Vec<String> = self.choices.iter().map(usize::to_string).collect();
        write!(f, "{}:{}", self.number, choices.join(","))
    }
}

impl FromStr for Counted {
    type Err = ParseCountedError;

    fn from_str(text: &str) -> Result<Self, ParseCountedError> {
        let (number, choices) = text.split_once(':').ok_or(ParseCountedError)?;
        let place = |text: &str| text.parse::<usize>().ok().filter(|place| *place < MAX_OPTIONS);
        let counted = Self {
            number: number.parse().map_err(|_| ParseCountedError)?,
            choices: choices.split(',').map(place).collect::<Option<_>>().ok_or(ParseCountedError)?,
        };
        if counted.number == 0 || counted.to_string() != text {
            return Err(ParseCountedError);
        }
        Ok(counted)
    }
}

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Names one ballot on one proposal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct BallotKey {
    /// Who cast it.
    pub voter: AgentId,
    /// Which of the voter's ballots, counting up from 1.
    pub number: u32,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ballot {
    /// The revision of the proposal that the voter saw.
    pub revision: u32,
    /// What it asked.
    pub asked: ProposalHash,
    /// The options chosen, word for word; in a ranked vote the best first. None takes the voter's answer back.
    #[serde(default)]
    pub choices: Vec<String>,
    /// Why, if the voter said.
    pub reason: Option<String>,
    /// Whether the voter's node was given its PIN with the answer, so that a person gave it.
    #[serde(default)]
    pub proven: bool,
    /// When, in milliseconds since 1970 by the voter's clock.
    pub at: u64,
}

/// An agent's word that it has seen question and options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Seen {
    /// The revision of the proposal that it saw.
    pub revision: u32,
    /// What it asked.
    pub asked: ProposalHash,
    /// When, in milliseconds since 1970 by its clock.
    pub at: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_ballots_print_as_they_parse() {
        for text in ["1:0", "7:31,0,5"] {
            assert_eq!(text.parse::<Counted>().map(|counted| counted.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "1", "0:1", "1:", "1:32", "01:1", "1:1,", "1:+1", "-1:0"] {
            assert_eq!(text.parse::<Counted>(), Err(ParseCountedError), "{text}");
        }
    }
}
