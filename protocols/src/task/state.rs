//! How far a task can be, and what can follow: the states of A2A 1.0.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far a task is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It waits for somebody to work on it.
    #[default]
    Submitted,
    /// Somebody works on it.
    Working,
    /// Whoever works on it waits for an answer.
    InputRequired,
    /// It is done.
    Completed,
    /// It was tried and could not be done.
    Failed,
    /// Its creator has taken it back.
    Canceled,
    /// Whoever was to do it will not.
    Rejected,
}

impl State {
    /// All states, in the order in which tasks go through them.
    pub const ALL: [Self; 7] = [
        Self::Submitted,
        Self::Working,
        Self::InputRequired,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
        Self::Rejected,
    ];

    /// Whether nothing follows.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled | Self::Rejected)
    }

    /// Whether an agent that holds a task in this state may say that it is in `next`. A task is canceled by its creator
    /// alone, so no agent ever says that.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Submitted => matches!(next, Self::Submitted | Self::Working | Self::Rejected),
            Self::Working => next != Self::Rejected && next != Self::Canceled,
            // It goes on, or it is given up.
            Self::InputRequired => {
                matches!(next, Self::InputRequired | Self::Working | Self::Failed | Self::Submitted)
            }
            Self::Completed | Self::Failed | Self::Canceled | Self::Rejected => false,
        }
    }

    /// The name that it goes by everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Working => "working",
            Self::InputRequired => "input-required",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Rejected => "rejected",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_follows_what_is_terminal_and_nobody_but_the_creator_cancels() {
        for from in State::ALL {
            for next in State::ALL.into_iter().filter(|next| from.may_become(*next)) {
                assert!(!from.is_terminal() && next != State::Canceled, "{from} to {next}");
            }
        }
        assert!(State::Working.may_become(State::Completed));
        assert!(!State::Submitted.may_become(State::Completed));
        assert!(!State::InputRequired.may_become(State::Completed));
    }

    #[test]
    fn states_are_named_alike_everywhere() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.to_string());
        }
    }
}
