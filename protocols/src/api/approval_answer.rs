//! Approves or denies what was asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proposal::Proposal;
use crate::id::ProposalHash;

/// Answers as a person. Only a person can, and only with the PIN of the node.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The question: its id, or `id@node`.
    pub id: String,
    /// Whether it is approved.
    pub approve: bool,
    /// Why, at most 1 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The node's PIN. It is checked and forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// The revision that the person saw; refused if it is not the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    /// What the person saw, as `asked` of the question says it; refused if something else is asked now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<ProposalHash>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, approve, reason, pin: _, revision, asked } = self;
        let mut shown = f.debug_struct("Request");
        shown.field("id", id).field("approve", approve).field("reason", reason).field("revision", revision);
        shown.field("asked", asked);
        shown.finish_non_exhaustive()
    }
}

/// The question as it stands.
pub type Reply = Box<Proposal>;
