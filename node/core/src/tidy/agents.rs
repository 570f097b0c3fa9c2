//! Agents that have gone, and roles that others have given or taken since.

use std::time::Duration;

use fedp2p_crdt::content::Place;
use fedp2p_crdt::roles;
use fedp2p_protocols::limits::MAX_AGENTS;
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::pulse::AgentKind;

use super::{Look, too_many};
use crate::Core;

/// How many agents of a node stay, however long ago they called.
pub(super) const KEPT_AGENTS: usize = MAX_AGENTS / 2;
/// How long ago an agent called at least that goes as there are many.
pub(super) const IDLE: Duration = Duration::from_secs(600);
/// How long ago an agent said anything that goes however few there are, in milliseconds.
const SILENT_MS: u64 = 60 * 24 * 3600 * 1000;
/// How many words on roles stay that are of no effect.
const KEPT_ROLES: usize = 100;

impl Core {
    /// An agent of this node has called.
    pub(crate) fn heard_of(&mut self, agent: &AgentName) {
        self.tidy.heard.insert(agent.clone(), self.now.monotonic);
        let own = &self.documents.content(&self.lobby, &self.me()).agents;
        if self.tidy.heard.len() > 2 * MAX_AGENTS {
            self.tidy.heard.retain(|name, _| own.contains_key(name));
        }
        if own.len() > KEPT_AGENTS {
            self.may_be_over(1);
        }
    }

    /// AI agents that did not call for long, if there are many, and those that have said nothing for very long. Whoever
    /// calls again is there again. People stay: nobody else must be able to take their names.
    pub(super) fn look_at_agents(&self, look: &mut Look<'_>) {
        let own = self.documents.content(&self.lobby, &self.me());
        let now = self.now.monotonic;
        let heard = |name: &AgentName| self.tidy.heard.get(name).copied().unwrap_or(self.started.monotonic);
        let holds = |name: &AgentName| own.claims.values().any(|claim| claim.ended.is_none() && claim.by == *name);
        let idle = own.agents.iter().filter(|(name, agent)| {
            let idle = now.saturating_sub(heard(name)) >= IDLE;
            agent.kind == AgentKind::Ai && idle && !self.watches.has(name) && !holds(name)
        });
        let said = |name: &AgentName| own.agents.get(name).and_then(|agent| agent.said.as_ref()).map(|said| said.at);
        let mut idle: Vec<(Duration, Option<u64>, &AgentName)> =
            idle.map(|(name, _)| (heard(name), said(name), name)).collect();
        idle.sort();
        let spare = own.agents.len().saturating_sub(KEPT_AGENTS / look.scarce);
        let silent = |at: Option<u64>| at.is_some_and(|at| at.saturating_add(SILENT_MS) < self.now.wall_ms);
        let going = idle.into_iter().enumerate().filter(|(at, (_, said, _))| *at < spare || silent(*said));
        for (_, (_, _, name)) in going {
            look.gone.push(Place::Agent(name.clone()));
            look.gone.extend(own.attention.contains_key(name).then(|| Place::Attention(name.clone())));
            look.gone.extend(own.attendance.contains_key(name).then(|| Place::Attendance(name.clone())));
        }
    }

    /// Words on roles that others have outdone, and those that took a role of which nobody else says anything: all but the
    /// last.
    pub(super) fn look_at_roles(&self, look: &mut Look<'_>) {
        let me = self.me();
        let own = &self.documents.content(&self.lobby, &me).roles;
        let of_no_effect = own.iter().filter(|(place, grant)| {
            let outdone = roles::role(&look.picture, place).is_some_and(|role| role.from != me);
            let others = look.picture.nodes().any(|(node, content)| node != me && content.roles.contains_key(*place));
            outdone || (!grant.has && !others)
        });
        let of_no_effect = of_no_effect.map(|(place, grant)| (grant.at, Place::Role(place.clone()))).collect();
        look.gone.extend(too_many(of_no_effect, KEPT_ROLES / look.scarce));
    }
}
