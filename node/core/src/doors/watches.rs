//! The clients that watch: what they are told, and for whom they speak as long as they are connected.
//!
//! A client that holds an agent is that agent: its node's document says that the agent is there, and once the last of its
//! clients has gone, that it is not. Calls in an agent's name need no hold; a hold keeps out other holds only.

use std::collections::BTreeMap;

use fedp2p_crdt::content::{Edit, Entry, Place};
use fedp2p_protocols::api::watch::{self, Hold};
use fedp2p_protocols::api::{Access, Answer, Caller, Error, ErrorCode, Presence, Reply, Request};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::pulse::Attendance;
use fedp2p_protocols::vote::AgentId;

use crate::Core;
use crate::author::Entries;
use crate::effect::Effect;
use crate::input::CallId;

/// The clients that watch.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    watches: BTreeMap<CallId, Watching>,
}

#[derive(Debug)]
struct Watching {
    agent: AgentName,
    topics: Vec<watch::Topic>,
    hold: Option<Hold>,
    /// The agent was made for this client, and has done nothing yet.
    idle: bool,
}

impl Watches {
    /// Whether a client of this agent watches.
    pub(crate) fn has(&self, agent: &AgentName) -> bool {
        self.watches.values().any(|watching| watching.agent == *agent)
    }

    /// How clients hold this agent.
    fn holds(&self, agent: &AgentName) -> impl Iterator<Item = Hold> {
        self.watches.values().filter(move |watching| watching.agent == *agent).filter_map(|watching| watching.hold)
    }
}

impl Core {
    /// Whether it is news that this agent is there: its client came back after the daemon otherwise.
    pub(crate) fn comes(&self, caller: &Caller, request: &watch::Request) -> bool {
        let own = self.documents.content(&self.lobby, &self.me());
        let here = own.attendance.get(&caller.name).is_some_and(|attendance| attendance.here);
        !own.agents.contains_key(&caller.name) || (request.hold.is_some() && !here)
    }

    pub(crate) fn watch(&mut self, id: CallId, caller: &Caller, request: watch::Request) -> Result<(), Error> {
        let mut edits: Vec<Edit> = Vec::new();
        let content = self.documents.content(&self.lobby, &self.me());
        let new = !content.agents.contains_key(&caller.name);
        if let Some(hold) = request.hold {
            let other = self.watches.holds(&caller.name).next();
            if other.is_some() && !hold.share {
                let message = format!("another client speaks as {} already", caller.name);
                return Err(Error::new(ErrorCode::Conflict, message)
                    .hint("give this one a name of its own with --agent NAME, or let both be the same with --share"));
            }
            if content.attendance.get(&caller.name).is_none_or(|attendance| !attendance.here) {
                let attendance = Attendance { here: true, at: self.now.wall_ms };
                edits.push(Entry::Attendance(caller.name.clone(), attendance).into());
            }
        }
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, edits)?;
        self.commit_entries(entries);
        let idle = new && request.hold.is_some_and(|hold| hold.made_up);
        let watching = Watching { agent: caller.name.clone(), topics: request.topics, hold: request.hold, idle };
        self.watches.watches.insert(id, watching);
        self.answer(id, Reply::Watch(watch::Reply {}));
        Ok(())
    }

    /// Notes that an agent does something that others see.
    pub(crate) fn note_deed(&mut self, agent: &AgentName, request: &Request) {
        if request.access() == Access::Read || matches!(request, Request::Surfaced(_)) {
            return;
        }
        for watching in self.watches.watches.values_mut().filter(|watching| watching.agent == *agent) {
            watching.idle = false;
        }
    }

    /// A client has gone; if it was the last that held its agent, so has the agent.
    pub(crate) fn watch_ended(&mut self, id: CallId) {
        let Some(ended) = self.watches.watches.remove(&id) else { return };
        if ended.hold.is_none() || self.watches.holds(&ended.agent).next().is_some() {
            return;
        }
        if self.is_silent() {
            // Who is not there any more is said once the document is put together again.
            return;
        }
        let edits = if ended.idle {
            vec![Edit::Remove(Place::Attendance(ended.agent.clone())), Edit::Remove(Place::Agent(ended.agent))]
        } else {
            let attendance = Attendance { here: false, at: self.now.wall_ms };
            vec![Entry::Attendance(ended.agent, attendance).into()]
        };
        let (lobby, me) = (self.lobby, self.me());
        let before = self.glance(&lobby, &me);
        let mut entries = Entries { before: Some(before), ..Entries::default() };
        if self.edit(&mut entries, lobby, None, &edits).is_err() {
            // It is put right at the next start.
            self.notice("the own document could not be written".to_owned());
        }
        self.commit_entries(entries);
    }

    /// What a node says first of agents whose clients were there when it spoke last: they are not, until they come back.
    pub(crate) fn departures(&self) -> Vec<Edit> {
        let attendance = &self.documents.content(&self.lobby, &self.me()).attendance;
        let is_gone = |agent: &AgentName| self.watches.holds(agent).next().is_none();
        let here = attendance.iter().filter(|(agent, attendance)| attendance.here && is_gone(agent));
        let gone = Attendance { here: false, at: self.now.wall_ms };
        here.map(|(agent, _)| Entry::Attendance(agent.clone(), gone).into()).collect()
    }

    /// Whether an agent can be reached, as this node judges it.
    pub(crate) fn agent_presence(&self, agent: &AgentId) -> Presence {
        let attendance = &self.documents.content(&self.lobby, &agent.node).attendance;
        if attendance.get(&agent.name).is_some_and(|attendance| !attendance.here) {
            return Presence::Gone;
        }
        self.presence(&agent.node)
    }

    /// Tells the watching clients and the daemon's log what happened.
    pub(crate) fn tell(&mut self, event: watch::Event) {
        self.tell_inboxes(event, &[]);
    }

    /// As [`Core::tell`], for what lets these agents of this node find something in their inboxes.
    pub(crate) fn tell_inboxes(&mut self, event: watch::Event, inboxes: &[AgentName]) {
        let topic = event.topic();
        let wants = |agent: &AgentName, topics: &[watch::Topic]| {
            topics.is_empty()
                || topics.contains(&topic)
                || (topics.contains(&watch::Topic::Inbox) && inboxes.contains(agent))
        };
        for (id, watching) in &self.watches.watches {
            if wants(&watching.agent, &watching.topics) {
                self.effects.push(Effect::Reply(*id, Answer::Event(event.clone())));
            }
        }
        self.effect(Effect::Event(Box::new(event)));
    }
}
