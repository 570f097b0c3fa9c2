//! Sends a message.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::message::Delivery;
use crate::id::OpId;
use crate::payload::MessageType;

/// Sends a message to agents or to everybody in the conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// For whom: `agent@node`, or a bare name if it means one agent only. Empty means everybody.
    pub to: Vec<String>,
    /// What it is for.
    #[serde(rename = "type")]
    pub kind: MessageType,
    /// The text, at most 32 KiB.
    pub text: String,
    /// Structured data, at most 24 KiB as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
    /// The message that this one answers: its id or a start of it that is unique.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// Ties together the messages of one piece of work, at most 128 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// Whether it may break through where a recipient lets it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub urgent: bool,
    /// In how many seconds it is not worth handing out any more, 1 to 604,800; only for the type `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<u32>,
    /// What a summary covers, at most 64: ids of messages, or ranges `ID..ID` of them; starts of ids that are unique do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub covers: Vec<String>,
}

/// The message is durable here and on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// Its id.
    pub id: OpId,
    /// When it was written, by this node's clock.
    pub at: u64,
    /// The recipients and how far it has come at each.
    pub deliveries: Vec<Delivery>,
}
