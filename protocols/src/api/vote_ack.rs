//! Acknowledges a proposal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proposal::Proposal;

/// Says that the calling agent has seen question and options. Voting on a proposal that asks for it opens when everybody
/// of the electorate has, or when its time is up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The proposal: its id, or `id@node`.
    pub id: String,
    /// The revision that was seen. It may be left out if there was never another, or if the agent was shown the current one.
    /// Refused if it is not the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
}

/// The proposal as it stands.
pub type Reply = Box<Proposal>;
