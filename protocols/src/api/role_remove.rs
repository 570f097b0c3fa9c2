//! Takes a role from an agent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::role_list::Role;
use crate::name::RoleName;

/// Takes a role from an agent that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The agent: its address, or a name that only one has.
    pub agent: String,
    /// The role.
    pub role: RoleName,
    /// The conversation, by name or id; there is only the `lobby` yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
}

/// The role was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// Who has it no more, by whom and since when.
    pub role: Role,
}
