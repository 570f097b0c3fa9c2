//! Looks back at messages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::message::Message;
use crate::payload::MessageType;

/// Asks for messages, newest last. Filters narrow together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// One message by its id or a start of it that is unique.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Only the thread of this message: what it answers, what answers it, and so on; its id or a start of it. Filters
    /// other than the limit do not go with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// Only from this author: `agent@node` or a bare name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only to this recipient: `agent@node` or a bare name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Only of this type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<MessageType>,
    /// Only of this conversation: its id or its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// Only with this correlation id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// Only written at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Only written before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Only before this position, to page back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// At most this many, the newest; 1 to 1000.
    pub limit: u32,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            id: None,
            thread: None,
            from: None,
            to: None,
            kind: None,
            conversation: None,
            correlation: None,
            since: None,
            until: None,
            before: None,
            limit: 100,
        }
    }
}

/// The messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// In order of arrival, with the deliveries of this node's own.
    pub messages: Vec<Message>,
    /// What to give as `before` for the page before; absent at the beginning.
    pub before: Option<u64>,
}
