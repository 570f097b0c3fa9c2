//! What `fedp2p doctor` looks at, and what it finds.
//!
//! | module | looks at |
//! |---|---|
//! | [`machine`] | the home folder, the disk, the clock, the network of this machine |
//! | [`mesh`] | the daemon and the other nodes |
//! | [`tools`] | the coding tools that were set up: their server and their hooks, run as the tool runs them |

use serde::Serialize;

pub(crate) mod machine;
pub(crate) mod mesh;
pub(crate) mod tools;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It works.
    Good,
    /// It works, but something is amiss.
    Doubtful,
    /// It does not work.
    Bad,
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) what: String,
    /// How it is.
    pub(crate) verdict: Verdict,
    /// What was seen.
    pub(crate) found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

impl Finding {
    /// Something works.
    pub(crate) fn good(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { what: what.into(), verdict: Verdict::Good, found: found.into(), hint: None }
    }

    /// Something is amiss.
    pub(crate) fn doubtful(what: impl Into<String>, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), verdict: Verdict::Doubtful, found: found.into(), hint: Some(hint.into()) }
    }

    /// Something does not work.
    pub(crate) fn bad(what: impl Into<String>, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), verdict: Verdict::Bad, found: found.into(), hint: Some(hint.into()) }
    }
}
