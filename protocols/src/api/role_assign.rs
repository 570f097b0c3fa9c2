//! Gives an agent a role.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::role_list::Role;
use super::task::Task;
use crate::name::RoleName;

/// Gives an agent a role in the conversation. Tasks and questions can then name the role instead of agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The agent: its address, or a name that only one has.
    pub agent: String,
    /// The role, such as `analyst`.
    pub role: RoleName,
    /// What the agent is to do in this role: makes a task for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtask: Option<String>,
    /// The id of that task; made from its words if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtask_id: Option<String>,
    /// The conversation, by name or id; there is only the `lobby` yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
}

/// The role as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// Who has it, and by whom.
    pub role: Role,
    /// The task that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Box<Task>>,
}
