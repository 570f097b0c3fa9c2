//! Where what somebody says comes from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::OrganisationName;

/// What is known of whoever says something, besides the name: it stands beside the address in what is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Origin {
    /// The organisation of the node that says it.
    #[serde(default)]
    pub organisation: Option<OrganisationName>,
    /// Whether that node signed it and is a member, as was checked here.
    #[serde(default)]
    pub verified: bool,
}
