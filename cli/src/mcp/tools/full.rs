//! What the full profile adds: the other operations of an agent, each as it stands, with long answers in parts.

use fedp2p_protocols::api;

use crate::mcp::tool::Tool;

/// Operations that the twelve tools do under other names.
#[cfg(test)]
pub(crate) const ELSEWHERE: [&str; 6] = ["state", "vote_new", "vote_cast", "surfaced", "task_claim", "task_next"];

/// Operations that no agent gets: those in the name of a person, and those that no call ends.
#[cfg(test)]
pub(crate) const NOT_FOR_AGENTS: [&str; 2] = ["approval_answer", "watch"];

/// Operations that take away or replace what is there.
const TAKES_AWAY: [&str; 5] = ["note_edit", "note_restore", "role_remove", "task_cancel", "vote_close"];

macro_rules! operations {
    ($($module:ident)*) => {
        /// The tools that the full profile adds.
        pub(crate) fn tools() -> Vec<Tool> {
            vec![$(Tool::operation::<api::$module::Request>(
                concat!("federation_", stringify!($module)),
                TAKES_AWAY.contains(&stringify!($module)),
            )),*]
        }
    };
}

operations! {
    status peers agents ack history attention_set approval_ask log_verify
    vote_ack vote_show vote_list vote_close
    role_assign role_remove role_list
    note_append note_edit note_restore note_show note_history note_list
    claim_take claim_renew claim_release claim_list claim_check
    task_new task_edit task_cancel task_show task_list task_update task_bid task_award
}
