//! Answers a proposal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proposal::Proposal;

/// Casts a ballot; a later one of the same agent replaces it, and one without a choice takes it back.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// The revision that the voter saw. It may be left out if there was never another, or if the agent was shown the current
    /// one or acknowledged it. Refused if it is not the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    /// The PIN of the node, which proves that a person answers. Where the node has one, the answer of a person needs it,
    /// unless every agent may vote. It is checked and forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, choices, reason, revision, pin: _ } = self;
        let mut shown = f.debug_struct("Request");
        shown.field("id", id).field("choices", choices).field("reason", reason).field("revision", revision);
        shown.finish_non_exhaustive()
    }
}

/// The proposal as it stands.
pub type Reply = Box<Proposal>;
