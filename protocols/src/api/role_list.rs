//! Lists who has which role.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{Address, RoleName};

/// Asks who has which role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// Only those who have this role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleName>,
    /// At most this many, 1 to 1,000; 1,000 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only what comes after this: the `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The roles, by name and then by agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// One row for each role of each agent.
    pub roles: Vec<Role>,
    /// How many more there are.
    pub more: u64,
    /// What to give as `after` for the page after this one; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A role of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Role {
    /// The role.
    pub role: RoleName,
    /// The agent.
    pub agent: Address,
    /// Who said so.
    pub by: Address,
    /// When, by that agent's clock.
    pub at: u64,
}
