//! Puts a question to the members.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proposal::Proposal;
use crate::vote::{Base, Mechanism, Share};

/// Opens a proposal, or makes a new revision of an open one of the caller's with the same id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The question, at most 2 KiB.
    pub question: String,
    /// What can be answered: 2 to 32 different options of at most 256 bytes.
    pub options: Vec<String>,
    /// An id of `a-z`, `0-9`, `-`, `_`; made from the question if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How ballots become a result.
    #[serde(default)]
    pub mechanism: Mechanism,
    /// What an option must reach to win: `majority`, `two-thirds`, `unanimous`, `3/5` or `60%`. A vote needs a majority
    /// unless told otherwise; with the other mechanisms most votes are enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Share>,
    /// What the threshold is a share of: those who vote, or the whole electorate.
    #[serde(default)]
    pub of: Base,
    /// The share of the electorate that must vote for anything to be decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<Share>,
    /// Who may vote: addresses of agents, or the one word `people`, `all` or `role:NAME`, which stands for all who have
    /// that role as long as the question is open. Everybody if absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub electorate: Vec<String>,
    /// For how many seconds voting waits for everybody to acknowledge question and options, 1 to 2,592,000. Without it,
    /// voting is open at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledge_s: Option<u32>,
    /// In how many seconds the proposal closes by itself, 1 to 2,592,000. Without it, the asker closes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<u32>,
    /// Close it as soon as no further ballot can change the result.
    #[serde(default)]
    pub early: bool,
}

/// The proposal as it stands.
pub type Reply = Box<Proposal>;
