//! Roles at the doors: given, taken, listed.

use fedp2p_crdt::content::{Edit, Entry, Place, RolePlace};
use fedp2p_crdt::roles;
use fedp2p_protocols::api::{Caller, Error, ErrorCode, Reply, role_assign, role_list, role_remove};
use fedp2p_protocols::limits::MAX_ROLES;
use fedp2p_protocols::name::{Address, RoleName};
use fedp2p_protocols::task::Grant;
use fedp2p_protocols::vote::AgentId;

use super::Finish;
use super::page::{no_place, page};
use crate::author::Entries;
use crate::input::CallId;
use crate::{Core, LOBBY};

/// Where roles are found.
const ROLES: &str = "\"fedp2p role list\" shows who has which role";

impl Core {
    pub(crate) fn role_assign(
        &mut self,
        call: CallId,
        caller: &Caller,
        request: &role_assign::Request,
    ) -> Result<(), Error> {
        self.check_conversation(request.conversation.as_deref())?;
        let place = RolePlace { role: request.role.clone(), agent: self.resolve_by(caller, &request.agent)? };
        let id = request.subtask_id.as_deref();
        let subtask = match &request.subtask {
            Some(text) => Some(self.task_for(caller, &place.agent, text, id)?),
            None if id.is_some() => {
                return Err(Error::new(ErrorCode::Invalid, "there is no subtask to give the id to")
                    .hint("say what is to be done: --subtask TEXT"));
            }
            None => None,
        };
        let (mut edits, role) = self.grant(caller, place, true)?;
        self.may_be_over(1);
        edits.extend(subtask.iter().map(|(key, task)| Edit::from(Entry::Task(key.id.clone(), task.clone()))));
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, edits)?;
        let task = subtask.and_then(|(key, _)| self.show_task(&key)).map(Box::new);
        let reply = Reply::RoleAssign(role_assign::Reply { role, task });
        self.commit_call(entries, call, Finish::Reply(Box::new(reply)));
        Ok(())
    }

    pub(crate) fn role_remove(
        &mut self,
        call: CallId,
        caller: &Caller,
        request: &role_remove::Request,
    ) -> Result<(), Error> {
        self.check_conversation(request.conversation.as_deref())?;
        let place = RolePlace { role: request.role.clone(), agent: self.resolve_by(caller, &request.agent)? };
        let picture = self.documents.picture(&self.lobby);
        if !roles::role(&picture, &place).is_some_and(|role| role.grant.has) {
            let has = self.roles_of(&place.agent).iter().map(ToString::to_string).collect();
            let message = format!("{} is no {}", self.address(&place.agent), place.role);
            return Err(Error::new(ErrorCode::Conflict, message).hint(ROLES).suggest(has));
        }
        let (edits, role) = self.grant(caller, place, false)?;
        self.may_be_over(1);
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, edits)?;
        let reply = Reply::RoleRemove(role_remove::Reply { role });
        self.commit_call(entries, call, Finish::Reply(Box::new(reply)));
        Ok(())
    }

    /// What the caller says on a role, as it is written and as it is shown.
    fn grant(&self, caller: &Caller, place: RolePlace, has: bool) -> Result<(Vec<Edit>, role_list::Role), Error> {
        let picture = self.documents.picture(&self.lobby);
        let own = &self.documents.content(&self.lobby, &self.me()).roles;
        if own.len() >= MAX_ROLES && !own.contains_key(&place) {
            return Err(Error::new(
                ErrorCode::TooLarge,
                format!("the agents of this node have given {MAX_ROLES} roles"),
            )
            .hint("let an agent of another node give it"));
        }
        let known = roles::role(&picture, &place).map_or(0, |role| role.grant.revision);
        let revision = known.checked_add(1).ok_or_else(|| {
            let message = format!("what {} says on this role cannot be outdone", self.address(&place.agent));
            Error::new(ErrorCode::Conflict, message).hint("use another name for the role")
        })?;
        let grant = Grant { by: caller.name.clone(), has, revision, at: self.now.wall_ms };
        let shown = role_list::Role {
            role: place.role.clone(),
            agent: self.address(&place.agent),
            by: self.address(&AgentId { node: self.me(), name: caller.name.clone() }),
            at: grant.at,
        };
        // What this node said before is left out if that upon which it followed was taken away.
        let left_out = own.get(&place).filter(|before| before.revision >= revision);
        let mut edits: Vec<Edit> = left_out.iter().map(|_| Edit::Remove(Place::Role(place.clone()))).collect();
        edits.push(Entry::Role(place, grant).into());
        Ok((edits, shown))
    }

    pub(crate) fn role_list(&self, request: &role_list::Request) -> Result<role_list::Reply, Error> {
        let after = request.after.as_deref().map(|text| role_place(text).ok_or_else(|| no_place(text, "roles")));
        let after = after.transpose()?;
        let picture = self.documents.picture(&self.lobby);
        let wanted = |place: &RolePlace| request.role.as_ref().is_none_or(|role| *role == place.role);
        let found = roles::roles(&picture).into_iter().filter(|(place, role)| role.grant.has && wanted(place));
        let mut rows: Vec<role_list::Role> = found
            .map(|(place, role)| role_list::Role {
                role: place.role,
                agent: self.address(&place.agent),
                by: self.address(&AgentId { node: role.from, name: role.grant.by.clone() }),
                at: role.grant.at,
            })
            .filter(|row| after.as_ref().is_none_or(|(role, agent)| (&row.role, &row.agent) > (role, agent)))
            .collect();
        rows.sort_by(|a, b| (&a.role, &a.agent).cmp(&(&b.role, &b.agent)));
        let page = page(rows, request.limit, Some, |row| format!("{}:{}", row.role, row.agent))?;
        Ok(role_list::Reply { roles: page.rows, more: page.more, next: page.next })
    }

    /// The roles that an agent has.
    pub(crate) fn roles_of(&self, agent: &AgentId) -> Vec<RoleName> {
        let picture = self.documents.picture(&self.lobby);
        let found = roles::roles(&picture).into_iter().filter(|(place, role)| role.grant.has && place.agent == *agent);
        found.map(|(place, _)| place.role).collect()
    }

    /// Finds a role that somebody has.
    pub(crate) fn find_role(&self, text: &str) -> Result<RoleName, Error> {
        let role: RoleName = text
            .parse()
            .map_err(|error| Error::new(ErrorCode::Invalid, format!("the role {text:?}: {error}")).hint(ROLES))?;
        let picture = self.documents.picture(&self.lobby);
        if !roles::who_has(&picture, &role).is_empty() {
            return Ok(role);
        }
        let known = roles::roles(&picture).into_iter().filter(|(_, role)| role.grant.has);
        let known: std::collections::BTreeSet<String> = known.map(|(place, _)| place.role.to_string()).collect();
        Err(Error::new(ErrorCode::NotFound, format!("nobody has the role {text:?}"))
            .hint("give it to an agent with \"fedp2p role assign AGENT ROLE\"")
            .suggest(super::resolve::alike(text, known)))
    }

    /// Checks that a conversation is the one that there is.
    fn check_conversation(&self, conversation: Option<&str>) -> Result<(), Error> {
        match conversation {
            Some(text) if text != LOBBY && text != self.lobby.to_string() => {
                Err(Error::new(ErrorCode::NotFound, format!("there is no conversation {text:?}"))
                    .hint(format!("{LOBBY:?} is the only one yet, and the one that is meant when none is named"))
                    .suggest(vec![LOBBY.to_owned()]))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// A place in the list of roles: `ROLE:AGENT@NODE`.
fn role_place(text: &str) -> Option<(RoleName, Address)> {
    let (role, agent) = text.split_once(':')?;
    Some((role.parse().ok()?, agent.parse().ok()?))
}
