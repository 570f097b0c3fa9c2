//! Refusals: what went wrong, in words for a person and in a code for a program, and what to do about it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// The request itself is not valid.
    Invalid,
    /// A named thing does not exist.
    NotFound,
    /// A name or the start of an id means more than one thing.
    Ambiguous,
    /// The state of things does not allow it.
    Conflict,
    /// The caller may not.
    Forbidden,
    /// Over a limit.
    TooLarge,
    /// Too many requests wait.
    Busy,
    /// The disk is full, read-only or failing; nothing was written.
    Storage,
    /// Sent, but whether it was done is not known.
    Unknown,
    /// A bug in the daemon.
    Internal,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// For programs.
    pub code: ErrorCode,
    /// For people: what went wrong.
    pub message: String,
    /// What to do next, one action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What may have been meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggestions: Vec<String>,
}

impl Error {
    /// Makes a refusal.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, suggestions: Vec::new() }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what may have been meant.
    #[must_use]
    pub fn suggest(mut self, suggestions: Vec<String>) -> Self {
        self.suggestions = suggestions;
        self
    }
}
