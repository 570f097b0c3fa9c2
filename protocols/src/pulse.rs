//! The pulse: what an agent says of itself now, its part of the Common Operating Picture.
//!
//! What an agent *says* is here. Whether its node can be *reached* is presence, which every node judges for
//! itself and nobody writes down.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::MAX_PULSE_FIELD_BYTES;

/// Who stands behind an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AgentKind {
    /// A human being.
    Person,
    /// A program that acts by a language model or by rules.
    Ai,
}

/// Whether a client speaks for an agent, where one has said that it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attendance {
    /// Whether it still does.
    pub here: bool,
    /// Since when, in milliseconds since 1970 by the agent's node's clock.
    pub at: u64,
}

/// What an agent says of itself. Every field is free text of at most 1 KiB; an absent field was never said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pulse {
    /// What the agent works on, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What it is doing this moment, such as `EXECUTING` or `WAITING`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// What it has in mind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// What it would like to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wondering: Option<String>,
    /// What it can do for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offering: Option<String>,
    /// One word for tables, such as `IDLE`; the action stands in for it where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// A field of a pulse is longer than [`MAX_PULSE_FIELD_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} has {bytes} bytes; a field of a pulse has at most {MAX_PULSE_FIELD_BYTES}")]
#[non_exhaustive]
pub struct PulseTooLong {
    /// The field.
    pub field: &'static str,
    /// Its length.
    pub bytes: usize,
}

impl Pulse {
    /// The fields by name, in the order of the whitepaper.
    pub fn fields(&self) -> [(&'static str, Option<&str>); 6] {
        [
            ("summary", self.summary.as_deref()),
            ("action", self.action.as_deref()),
            ("thinking", self.thinking.as_deref()),
            ("wondering", self.wondering.as_deref()),
            ("offering", self.offering.as_deref()),
            ("status", self.status.as_deref()),
        ]
    }

    /// The field of this name, to be set.
    pub fn field_mut(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "summary" => Some(&mut self.summary),
            "action" => Some(&mut self.action),
            "thinking" => Some(&mut self.thinking),
            "wondering" => Some(&mut self.wondering),
            "offering" => Some(&mut self.offering),
            "status" => Some(&mut self.status),
            _ => None,
        }
    }

    /// Checks the length of every field.
    ///
    /// # Errors
    /// Names the first field that is too long.
    pub fn check(&self) -> Result<(), PulseTooLong> {
        for (field, value) in self.fields() {
            let bytes = value.map_or(0, str::len);
            if bytes > MAX_PULSE_FIELD_BYTES {
                return Err(PulseTooLong { field, bytes });
            }
        }
        Ok(())
    }
}
