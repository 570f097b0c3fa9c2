//! Says which files others hold.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::claim::Claim;
use crate::name::RepositoryName;

/// Asks which of these files the calling agent must leave alone, as another has claimed them for itself alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What all who work on the repository call it.
    pub repository: RepositoryName,
    /// Paths from its root, at most 1,000.
    pub paths: Vec<String>,
}

/// What stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// The files that others hold, in the order in which they were given.
    pub held: Vec<Held>,
}

/// A file that another holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// The path.
    pub path: String,
    /// By what claim.
    pub claim: Claim,
}
