//! Who has which role.
//!
//! Any agent may give and take roles, in the document of its own node. Of all that is said about one role of one agent,
//! what has the highest revision stands, and among equals what the node with the greatest id says. A revision that leaps is
//! left out, so nobody can say what cannot be outdone.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::limits::MAX_REVISION_LEAP;
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
    let mut said: BTreeMap<&RolePlace, Vec<Role<'a>>> = BTreeMap::new();
    for (from, content) in picture.nodes() {
        for (place, grant) in &content.roles {
            said.entry(place).or_default().push(Role { from, grant });
        }
    }
    said.into_iter().filter_map(|(place, said)| Some((place.clone(), last(said)?))).collect()
}

/// Returns what stands on one role of one agent.
pub fn role<'a>(picture: &Picture<'a>, place: &RolePlace) -> Option<Role<'a>> {
    let said = picture.nodes().filter_map(|(from, content)| Some(Role { from, grant: content.roles.get(place)? }));
    last(said.collect())
}

/// What has the highest revision of those before which none is missing by more than [`MAX_REVISION_LEAP`].
fn last(mut said: Vec<Role<'_>>) -> Option<Role<'_>> {
    said.sort_by_key(|role| (role.grant.revision, role.from));
    let mut below = 0;
    let follows = |role: &Role<'_>| {
        let leap = role.grant.revision - std::mem::replace(&mut below, role.grant.revision);
        leap <= MAX_REVISION_LEAP
    };
    said.into_iter().take_while(follows).last()
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
