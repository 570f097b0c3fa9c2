//! A proposal as every door shows it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::origin::Origin;
use crate::id::ProposalHash;
use crate::name::{Address, RoleName};
use crate::vote::{Base, Cause, Mechanism, Outcome, Share};

/// A proposal and its ballots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Proposal {
    /// Its id; `id@node` where two nodes chose the same.
    pub id: String,
    /// Who asks.
    pub by: Address,
    /// Where that comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// The question.
    pub question: String,
    /// What can be answered.
    pub options: Vec<String>,
    /// The revision of question and options that ballots must answer.
    pub revision: u32,
    /// A hash of everything that is asked, which every ballot names.
    pub asked: ProposalHash,
    /// How ballots become a result, and who may cast them.
    pub rules: Rules,
    /// Whether ballots are still counted.
    pub open: bool,
    /// How far it is.
    pub phase: Phase,
    /// When it was opened.
    pub opened: u64,
    /// When it was closed.
    pub closed: Option<u64>,
    /// Why it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The option that has what it takes to win; absent if there is none.
    pub winner: Option<String>,
    /// Votes for each option that has any; in a ranked vote, first places.
    pub votes: BTreeMap<String, u32>,
    /// The rounds of a ranked vote: votes for each option that was still in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<BTreeMap<String, u32>>,
    /// Why there is a winner or not.
    pub outcome: Outcome,
    /// The same in words.
    pub why: String,
    /// Whether no further ballot of those who may vote now can change the result.
    pub settled: bool,
    /// Every voter's latest ballot; of those that do not count, 200 at most.
    pub ballots: Vec<Ballot>,
    /// How many more there are that do not count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_ballots: u64,
    /// Those who may vote and of whom no ballot counts.
    pub silent: Vec<Address>,
    /// Those who have not acknowledged the current revision, where that is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Address>,
    /// Voters of whom the closing entry counts a ballot that stands nowhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfounded: Vec<Address>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is that of serde")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How a proposal is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rules {
    /// How ballots become a result.
    pub mechanism: Mechanism,
    /// What an option must reach to win; absent where most votes are enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Share>,
    /// What the threshold is a share of.
    pub of: Base,
    /// The share of the electorate that must vote for anything to be decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<Share>,
    /// `all`, `people`, `role` or `agents`.
    pub electorate: Asked,
    /// The role that those who may vote have, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleName>,
    /// How many may vote; of a closed proposal, how many could.
    pub eligible: u32,
    /// Until when voting waits for everybody to acknowledge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledge_until: Option<u64>,
    /// When it closes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// Whether it closes as soon as no further ballot can change the result.
    pub early: bool,
}

/// Who may vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Asked {
    /// Every agent.
    All,
    /// Every agent that is a person.
    People,
    /// Every agent that has a role.
    Role,
    /// Those whom the asker named.
    Agents,
}

/// How far a proposal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Voting opens when all who may vote have acknowledged it, or their time is up.
    Acknowledging,
    /// It takes ballots.
    Open,
    /// Its deadline has passed, and its asker's node has not closed it yet.
    Overdue,
    /// It is closed.
    Closed,
}

/// One voter's ballot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ballot {
    /// Who.
    pub voter: Address,
    /// Where that comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// The options; in a ranked vote the best first.
    pub choices: Vec<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The revision it answers.
    pub revision: u32,
    /// Whether it was given with the PIN of the voter's node, as that node says. Without it whoever calls that node may have
    /// answered in a person's name.
    pub proven: bool,
    /// When, by the voter's clock.
    pub at: u64,
    /// Whether it counts, and if not, why.
    pub counts: Counts,
}

/// Whether a ballot counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Counts {
    /// It does.
    Yes,
    /// It answers an older revision.
    Outdated,
    /// It names no option, or more than the mechanism allows.
    Unknown,
    /// Its voter took it back.
    Withdrawn,
    /// Its voter was not asked.
    NotAsked,
    /// The proposal was closed without it.
    Late,
    /// The closing entry counts it, but says that it chose something else.
    Disputed,
}
