//! A proposal as every door shows it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::Address;
use crate::vote::Mechanism;

/// A proposal and its ballots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Proposal {
    /// Its id; `id@node` where two nodes chose the same.
    pub id: String,
    /// Who asks.
    pub by: Address,
    /// The question.
    pub question: String,
    /// What can be answered.
    pub options: Vec<String>,
    /// How ballots are counted.
    pub mechanism: Mechanism,
    /// The revision of question and options that ballots must answer.
    pub revision: u32,
    /// Whether ballots are still counted.
    pub open: bool,
    /// When it was opened.
    pub opened: u64,
    /// When it was closed.
    pub closed: Option<u64>,
    /// The option that leads, or has won once closed; absent on a tie.
    pub winner: Option<String>,
    /// Votes for each option.
    pub votes: BTreeMap<String, u32>,
    /// Every voter's latest ballot.
    pub ballots: Vec<Ballot>,
}

/// One voter's ballot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ballot {
    /// Who.
    pub voter: Address,
    /// The option.
    pub choice: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The revision it answers.
    pub revision: u32,
    /// When, by the voter's clock.
    pub at: u64,
    /// Whether it counts, and if not, why.
    pub counts: Counts,
}

/// Whether a ballot counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Counts {
    /// It does.
    Yes,
    /// It answers an older revision.
    Outdated,
    /// It names no option.
    Unknown,
    /// The proposal was closed without it.
    Late,
}
