//! Who has which role.
//!
//! Any agent may give and take roles, in the document of its own node. Of all that is said about one role of one agent,
//! what has the highest revision stands, and among equals what the node with the greatest id says.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::name::RoleName;
use fedp2p_protocols::task::Grant;
use fedp2p_protocols::vote::AgentId;

use crate::content::RolePlace;
use crate::keys::Key;
use crate::picture::Picture;

/// What stands on one role of one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role<'a> {
    /// The node of the agent that said so.
    pub from: NodeId,
    /// What it said.
    pub grant: &'a Grant,
}

/// Returns what stands on every role, also on those that were taken.
pub fn roles<'a>(picture: &Picture<'a>) -> BTreeMap<RolePlace, Role<'a>> {
    let mut roles: BTreeMap<RolePlace, Role<'a>> = BTreeMap::new();
    // Nodes come in the order of their ids, so the later of equals stands.
    for (from, content) in picture.nodes() {
        for (place, grant) in &content.roles {
            let stands = roles.get(place).is_none_or(|known| known.grant.revision <= grant.revision);
            if stands {
                roles.insert(place.clone(), Role { from, grant });
            }
        }
    }
    roles
}

/// Returns what stands on one role of one agent.
pub fn role<'a>(picture: &Picture<'a>, place: &RolePlace) -> Option<Role<'a>> {
    let said = picture.nodes().filter_map(|(from, content)| Some(Role { from, grant: content.roles.get(place)? }));
    said.max_by_key(|role| (role.grant.revision, role.from))
}

/// Returns those who have a role.
pub fn who_has(picture: &Picture<'_>, role: &RoleName) -> BTreeSet<AgentId> {
    let least = RolePlace { role: role.clone(), agent: AgentId::first() };
    let said = picture.nodes().flat_map(|(_, content)| {
        content.roles.range(least.clone()..).map(|(place, _)| place).take_while(|place| place.role == *role)
    });
    let named: BTreeSet<&RolePlace> = said.collect();
    let has = |place: &&RolePlace| self::role(picture, place).is_some_and(|role| role.grant.has);
    named.into_iter().filter(has).map(|place| place.agent.clone()).collect()
}
