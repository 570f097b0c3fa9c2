//! Proposals and ballots: a collective decision and each agent's answer.
//!
//! A proposal is written by one agent and answered by ballots that name its revision. A ballot is never changed:
//! an agent that thinks again casts another with the next number, and its highest number counts. The closing entry
//! names the ballots it counts, so the result of a closed proposal is the same on every node for ever.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::name::AgentName;

/// How ballots become a result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mechanism {
    /// One choice each; most votes win; a tie has no winner.
    #[default]
    Poll,
}

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
    /// How the ballots are counted.
    pub mechanism: Mechanism,
    /// Counts up from 1 each time the question or the options change.
    pub revision: u32,
    /// When it was opened, in milliseconds since 1970 by the asker's clock.
    pub opened: u64,
    /// Present once it is closed.
    pub closed: Option<Closing>,
}

/// The entry that ends a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Closing {
    /// When, in milliseconds since 1970 by the asker's clock.
    pub at: u64,
    /// The ballots that count, by voter.
    pub counted: Vec<BallotKey>,
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
    /// The option chosen, word for word.
    pub choice: String,
    /// Why, if the voter said.
    pub reason: Option<String>,
    /// When, in milliseconds since 1970 by the voter's clock.
    pub at: u64,
}

/// What the ballots say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tally {
    /// The option with the most votes; absent while there are none and when several lead.
    pub winner: Option<String>,
    /// Votes for each option.
    pub votes: BTreeMap<String, u32>,
}

impl Tally {
    /// Counts `choices` over `options` as a poll: most votes win, a tie has no winner.
    pub fn poll<'a>(options: &[String], choices: impl Iterator<Item = &'a str>) -> Self {
        let mut votes: BTreeMap<String, u32> = options.iter().map(|o| (o.clone(), 0)).collect();
        for choice in choices {
            if let Some(count) = votes.get_mut(choice) {
                *count += 1;
            }
        }
        let most = votes.values().copied().max().unwrap_or(0);
        let mut leaders = votes.iter().filter(|(_, count)| **count == most && most > 0);
        let winner = match (leaders.next(), leaders.next()) {
            (Some((option, _)), None) => Some(option.clone()),
            _ => None,
        };
        Self { winner, votes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(choices: &[&str]) -> Tally {
        let options = ["OAuth2", "JWT", "Custom"].map(str::to_owned);
        Tally::poll(&options, choices.iter().copied())
    }

    #[test]
    fn most_votes_win() {
        let tally = poll(&["OAuth2", "JWT", "OAuth2"]);
        assert_eq!(tally.winner.as_deref(), Some("OAuth2"));
        assert_eq!(tally.votes["Custom"], 0);
    }

    #[test]
    fn a_tie_and_an_empty_box_have_no_winner() {
        assert_eq!(poll(&["OAuth2", "JWT"]).winner, None);
        assert_eq!(poll(&[]).winner, None);
    }

    #[test]
    fn a_choice_that_is_no_option_is_not_counted() {
        assert_eq!(poll(&["Basic"]).votes.values().sum::<u32>(), 0);
    }
}
