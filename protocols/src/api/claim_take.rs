//! Claims something.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::claim::Claim;
use crate::claim::Mode;
use crate::name::RepositoryName;

/// How long a lease is unless another time is given, in seconds.
pub const DEFAULT_TTL_S: u32 = 900;

/// Claims files of a repository for the calling agent. The same again renews the claim. Refused while another holds
/// some of it; then the refusal names who, since when and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What all who work on the repository call it.
    pub repository: RepositoryName,
    /// Which files: 1 to 8 paths from its root, in which `*`, `?` and `**` may stand. A folder means all that is in it.
    pub files: Vec<String>,
    /// Whether others may claim the same, if they share it too.
    #[serde(default)]
    pub mode: Mode,
    /// After how many seconds without a sign of life of the agent others may take it over: 5 to 604,800. The node renews
    /// it as long as the agent calls or watches.
    #[serde(default = "default_ttl_s")]
    pub ttl_s: u32,
    /// What for, at most 256 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether to answer at once, and not only when it is confirmed or has lost; that takes 5 s at most, and then it is
    /// still tentative.
    #[serde(default)]
    pub no_wait: bool,
}

fn default_ttl_s() -> u32 {
    DEFAULT_TTL_S
}

/// The claim as it stands: confirmed, or still tentative.
pub type Reply = Box<Claim>;
