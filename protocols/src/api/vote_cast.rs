//! Answers a proposal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proposal::Proposal;

/// Casts a ballot; a later one of the same agent replaces it, and one without a choice takes it back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The proposal: its id, or `id@node`.
    pub id: String,
    /// The option, or several where the mechanism allows it, in a ranked vote the best first; capitals do not matter.
    /// None takes the agent's answer back.
    pub choices: Vec<String>,
    /// Why, at most 1 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The revision that the voter saw; the current one if absent. Refused if it is not the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
}

/// The proposal as it stands.
pub type Reply = Box<Proposal>;
