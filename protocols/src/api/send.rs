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
