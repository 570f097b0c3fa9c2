//! The operations of the doors: the command line, the agents' protocol and the local page all send these.
//!
//! One file holds one operation: its request, its reply and what it may do. A door decodes, calls and shows; it adds
//! nothing. On the local socket each message is a 32-bit big-endian length and JSON: first the daemon's [`Greeting`],
//! then [`Call`]s from the client and one [`Answer`] for each, in order. [`watch`] is the one operation that is
//! answered many times; it ends with the connection.
//!
//! Times are milliseconds since 1970; durations say their unit in the field's name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{NodeId, OrganisationId};
use crate::name::{AgentName, NodeName, OrganisationName};
use crate::pulse::AgentKind;

pub mod ack;
pub mod agents;
pub mod approval_answer;
pub mod approval_ask;
pub mod attention_set;
pub mod claim;
pub mod claim_check;
pub mod claim_list;
pub mod claim_release;
pub mod claim_renew;
pub mod claim_take;
pub mod digest;
pub mod down;
pub mod error;
pub mod history;
pub mod inbox;
pub mod invite;
pub mod join;
pub mod log_verify;
pub mod message;
pub mod note;
pub mod note_append;
pub mod note_edit;
pub mod note_history;
pub mod note_list;
pub mod note_restore;
pub mod note_show;
pub mod origin;
pub mod peers;
pub mod pin_set;
pub mod proposal;
pub mod pulse;
pub mod role_assign;
pub mod role_list;
pub mod role_remove;
pub mod send;
pub mod state;
pub mod status;
pub mod surfaced;
pub mod task;
pub mod task_award;
pub mod task_bid;
pub mod task_cancel;
pub mod task_claim;
pub mod task_edit;
pub mod task_list;
pub mod task_new;
pub mod task_next;
pub mod task_show;
pub mod task_update;
pub mod vote_ack;
pub mod vote_cast;
pub mod vote_close;
pub mod vote_list;
pub mod vote_new;
pub mod vote_show;
pub mod watch;

pub use error::{Error, ErrorCode};

/// The version of these types. A client and a daemon with different versions refuse to talk and say so.
pub const VERSION: u32 = 1;

/// What an operation may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Changes nothing.
    Read,
    /// Speaks or decides in an agent's name.
    Write,
    /// Changes the node itself.
    Administer,
}

/// One operation.
pub trait Operation: Serialize + serde::de::DeserializeOwned + JsonSchema {
    /// Its name at every door.
    const NAME: &'static str;
    /// What it may do.
    const ACCESS: Access;
    /// What it answers.
    type Reply: Serialize + serde::de::DeserializeOwned + JsonSchema;

    /// Wraps the operation for the way to the daemon.
    fn into_request(self) -> Request;

    /// Takes this operation's reply out of what came back.
    fn reply(reply: Reply) -> Option<Self::Reply>;
}

macro_rules! operations {
    ($($variant:ident $module:ident $name:literal $access:ident;)*) => {
        /// Any operation.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "op", content = "args", rename_all = "snake_case")]
        pub enum Request {
            $(#[doc = concat!("See [`", stringify!($module), "`].")] $variant($module::Request),)*
        }

        /// What any operation answers.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "op", content = "result", rename_all = "snake_case")]
        pub enum Reply {
            $(#[doc = concat!("See [`", stringify!($module), "`].")] $variant($module::Reply),)*
        }

        impl Request {
            /// Every operation's name and what it may do.
            pub const ALL: &'static [(&'static str, Access)] = &[$(($name, Access::$access)),*];

            /// What the operation may do.
            pub fn access(&self) -> Access {
                match self {
                    $(Self::$variant(_) => Access::$access,)*
                }
            }

            /// The operation's name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }
        }

        $(
            impl Operation for $module::Request {
                const NAME: &'static str = $name;
                const ACCESS: Access = Access::$access;
                type Reply = $module::Reply;

                fn into_request(self) -> Request {
                    Request::$variant(self)
                }

                #[allow(clippy::wildcard_enum_match_arm, reason = "every other reply is not this one")]
                fn reply(reply: Reply) -> Option<Self::Reply> {
                    match reply {
                        Reply::$variant(reply) => Some(reply),
                        _ => None,
                    }
                }
            }
        )*
    };
}

operations! {
    Status status "status" Read;
    Peers peers "peers" Read;
    Agents agents "agents" Read;
    Invite invite "invite" Administer;
    Join join "join" Administer;
    Send send "send" Write;
    Inbox inbox "inbox" Read;
    Surfaced surfaced "surfaced" Write;
    Ack ack "ack" Write;
    History history "history" Read;
    State state "state" Write;
    Pulse pulse "pulse" Read;
    AttentionSet attention_set "attention_set" Write;
    Digest digest "digest" Read;
    VoteNew vote_new "vote_new" Write;
    VoteAck vote_ack "vote_ack" Write;
    VoteCast vote_cast "vote_cast" Write;
    VoteShow vote_show "vote_show" Read;
    VoteList vote_list "vote_list" Read;
    VoteClose vote_close "vote_close" Write;
    RoleAssign role_assign "role_assign" Write;
    RoleRemove role_remove "role_remove" Write;
    RoleList role_list "role_list" Read;
    ApprovalAsk approval_ask "approval_ask" Write;
    ApprovalAnswer approval_answer "approval_answer" Write;
    PinSet pin_set "pin_set" Administer;
    NoteAppend note_append "note_append" Write;
    NoteEdit note_edit "note_edit" Write;
    NoteRestore note_restore "note_restore" Write;
    NoteShow note_show "note_show" Read;
    NoteHistory note_history "note_history" Read;
    NoteList note_list "note_list" Read;
    ClaimTake claim_take "claim_take" Write;
    ClaimRenew claim_renew "claim_renew" Write;
    ClaimRelease claim_release "claim_release" Write;
    ClaimList claim_list "claim_list" Read;
    ClaimCheck claim_check "claim_check" Read;
    TaskNew task_new "task_new" Write;
    TaskEdit task_edit "task_edit" Write;
    TaskCancel task_cancel "task_cancel" Write;
    TaskShow task_show "task_show" Read;
    TaskList task_list "task_list" Read;
    TaskClaim task_claim "task_claim" Write;
    TaskNext task_next "task_next" Write;
    TaskUpdate task_update "task_update" Write;
    TaskBid task_bid "task_bid" Write;
    TaskAward task_award "task_award" Write;
    LogVerify log_verify "log_verify" Read;
    Watch watch "watch" Read;
    Down down "down" Administer;
}

/// The first message on the local socket, from the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The version of the program.
    pub fedp2p: String,
    /// [`VERSION`] of the daemon.
    pub api: u32,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The agent that speaks, by its name on this node.
    pub name: AgentName,
    /// Whether it is a person. An agent keeps the kind under which it first spoke.
    pub kind: AgentKind,
}

/// One call on the local socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    /// What is asked.
    pub request: Request,
}

/// One answer on the local socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It was done.
    Ok(Reply),
    /// It was refused, and nothing was changed.
    Error(Error),
    /// Something happened that a [`watch`] asked for.
    Event(watch::Event),
}

/// A node as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeInfo {
    /// Its key.
    pub id: NodeId,
    /// Its name in its organisation.
    pub name: NodeName,
    /// Its organisation.
    pub organisation: OrganisationId,
    /// The organisation's name.
    pub organisation_name: OrganisationName,
}

/// Whether a node can be reached, as this node judges it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// Connected and answering.
    Reachable,
    /// Silent for a short while; it may be back.
    Suspect,
    /// Not reached for longer than half a minute.
    Gone,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operation_names_are_the_tags_on_the_wire() {
        let request = Request::LogVerify(log_verify::Request {});
        let json = serde_json::to_value(&request).unwrap();
        assert_eq!(json["op"], request.name());
        assert_eq!(serde_json::from_value::<Request>(json).unwrap(), request);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Request::ALL.iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), Request::ALL.len());
    }
}
