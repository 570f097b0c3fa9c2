//! The Common Operating Picture at the doors: pulses, agents, and what changed in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fedp2p_crdt::content::{Agent, Content, Edit, Entry, Said};
use fedp2p_protocols::api::{Caller, Error, ErrorCode, Reply, agents, pulse, state, watch};
use fedp2p_protocols::attention::Mode;
use fedp2p_protocols::claim::{Claim, Fence};
use fedp2p_protocols::id::{ConversationId, NodeId};
use fedp2p_protocols::name::{Address, AgentName, TaskId};
use fedp2p_protocols::op::Verified;
use fedp2p_protocols::pulse::PulseTooLong;
use fedp2p_protocols::task::TaskKey;
use fedp2p_protocols::vote::{AgentId, Proposal, ProposalKey};

use super::page::{no_place, page};
use super::{Finish, Then};
use crate::Core;
use crate::author::Entries;
use crate::documents::Documents;
use crate::input::CallId;
use crate::store::Read;

/// How long no more of a lost log comes before what it says is taken over.
const RECOVER_AFTER: Duration = Duration::from_millis(500);

/// An earlier log of this node that is coming back.
#[derive(Debug)]
pub(crate) struct Recovery {
    due: Duration,
    /// What the present log said when the earlier one overtook it.
    said: Option<Content>,
    reading: bool,
}

impl Recovery {
    pub(crate) fn deadline(&self) -> Option<Duration> {
        (!self.reading).then_some(self.due)
    }
}

/// What a node's content said before a change, as far as events are made from it.
#[derive(Debug)]
pub(crate) struct Glance {
    /// What each agent says, and not only since when: two pulses can fall into one millisecond.
    agents: BTreeMap<AgentName, Option<Said>>,
    attendance: BTreeMap<AgentName, bool>,
    attention: BTreeMap<AgentName, Mode>,
    proposals: BTreeMap<String, (u32, bool)>,
    /// How many ballots and words of having seen it there are on each proposal.
    answers: BTreeMap<ProposalKey, (usize, Vec<u32>)>,
    /// Of each claim: its renewals, its acknowledgements as it says, whether it has ended.
    claims: BTreeMap<u64, (u32, u32, bool)>,
    acknowledged: Vec<Fence>,
    /// The revision of each task, and whether it is recorded what came of it.
    tasks: BTreeMap<TaskId, (u32, bool)>,
    /// How many statements there are on each task, and the revisions of the bids for it added up.
    work: BTreeMap<TaskKey, (usize, u64)>,
}

impl Glance {
    /// The tasks of which this says something else than before; `node` is the one that says it.
    fn changed_tasks(&self, before: &Self, node: NodeId) -> BTreeSet<TaskKey> {
        let made = self.tasks.iter().filter(|(id, revision)| before.tasks.get(*id) != Some(revision));
        let said = self.work.iter().filter(|(key, work)| before.work.get(*key) != Some(work));
        made.map(|(id, _)| TaskKey { node, id: id.clone() }).chain(said.map(|(key, _)| key.clone())).collect()
    }
}

impl Core {
    pub(crate) fn glance(&self, conversation: &ConversationId, node: &NodeId) -> Glance {
        let content = self.documents.content(conversation, node);
        let state = |proposal: &Proposal| (proposal.revision, proposal.closed.is_some());
        let mut answers: BTreeMap<ProposalKey, (usize, Vec<u32>)> = BTreeMap::new();
        for place in content.ballots.keys() {
            answers.entry(place.proposal.clone()).or_default().0 += 1;
        }
        for (place, seen) in &content.seen {
            answers.entry(place.proposal.clone()).or_default().1.push(seen.revision);
        }
        let mut work: BTreeMap<TaskKey, (usize, u64)> = BTreeMap::new();
        for place in content.statements.keys() {
            work.entry(place.task.clone()).or_default().0 += 1;
        }
        for (place, bid) in &content.bids {
            work.entry(place.task.clone()).or_default().1 += u64::from(bid.revision);
        }
        Glance {
            agents: content.agents.iter().map(|(name, agent)| (name.clone(), agent.said.clone())).collect(),
            attendance: content.attendance.iter().map(|(name, attendance)| (name.clone(), attendance.here)).collect(),
            attention: content.attention.iter().map(|(name, attention)| (name.clone(), attention.mode)).collect(),
            proposals: content.proposals.iter().map(|(id, proposal)| (id.clone(), state(proposal))).collect(),
            answers,
            claims: content.claims.iter().map(|(&counter, claim)| (counter, claim_state(claim))).collect(),
            acknowledged: content.acknowledged.keys().copied().collect(),
            tasks: content.tasks.iter().map(|(id, task)| (id.clone(), (task.revision, task.is_closed()))).collect(),
            work,
        }
    }

    /// Tells what is different from before.
    pub(crate) fn tell_changes(&mut self, conversation: &ConversationId, node: NodeId, before: &Glance) {
        let after = self.glance(conversation, &node);
        if node == self.me() {
            self.note_closings();
            self.note_awards();
        }
        let gone = before.proposals.keys().filter(|id| !after.proposals.contains_key(*id)).count()
            + before.tasks.keys().filter(|id| !after.tasks.contains_key(*id)).count();
        let mut votes: BTreeSet<ProposalKey> = BTreeSet::new();
        for (id, state) in &after.proposals {
            if before.proposals.get(id) != Some(state) {
                votes.insert(ProposalKey { node, id: id.clone() });
            }
        }
        for (key, answers) in &after.answers {
            if before.answers.get(key) != Some(answers) {
                votes.insert(key.clone());
            }
        }
        if (&after.claims, &after.acknowledged) != (&before.claims, &before.acknowledged) {
            self.claims_changed_by(node);
            self.tell_claims();
        }
        let tasks = after.changed_tasks(before, node);
        self.may_be_over(gone + votes.len() + tasks.len());
        for (name, said) in after.agents {
            let agent = AgentId { node, name };
            let came_or_went = before.attendance.get(&agent.name) != after.attendance.get(&agent.name);
            match before.agents.get(&agent.name) {
                None => self.tell(watch::Event::Agent(self.address(&agent))),
                Some(then) if *then == said && !came_or_went => continue,
                Some(_) => {}
            }
            // Without a pulse there is no row.
            if let Some(row) = self.pulse_row(&agent) {
                self.tell(watch::Event::Pulse(row));
            }
        }
        for (name, mode) in after.attention {
            if before.attention.get(&name) != Some(&mode) {
                let inboxes = if node == self.me() { vec![name.clone()] } else { Vec::new() };
                let agent = self.address(&AgentId { node, name });
                self.tell_inboxes(watch::Event::Attention { agent, mode }, &inboxes);
            }
        }
        for key in votes {
            if let Some(shown) = self.show_proposal(&key) {
                self.tell(watch::Event::Vote(Box::new(shown)));
            }
            self.note_acknowledged(&key);
            self.close_if_settled(&key);
        }
        if !tasks.is_empty() {
            // For whom a task is decides whether a claim on it is acknowledged.
            self.claims_changed();
        }
        self.release_over(&tasks);
        for key in tasks {
            if let Some(shown) = self.show_task(&key) {
                self.tell(watch::Event::Task(Box::new(shown)));
            }
        }
    }

    fn agent(&self, agent: &AgentId) -> Option<&Agent> {
        self.documents.content(&self.lobby, &agent.node).agents.get(&agent.name)
    }

    fn pulse_row(&self, id: &AgentId) -> Option<pulse::Row> {
        let agent = self.agent(id)?;
        let Said { pulse, at } = agent.said.clone()?;
        Some(pulse::Row {
            address: self.address(id),
            origin: self.members.origin(&id.node),
            kind: agent.kind,
            presence: self.agent_presence(id),
            pulse,
            at,
        })
    }

    pub(crate) fn pulse(&self, request: &pulse::Request) -> Result<pulse::Reply, Error> {
        let mut speaking = self.agents_after(request.after.as_deref())?;
        speaking.retain(|id| self.agent(id).is_some_and(|agent| agent.said.is_some()));
        let page = page(speaking, request.limit, |id| self.pulse_row(&id), |row| row.address.to_string())?;
        Ok(pulse::Reply { agents: page.rows, more: page.more, next: page.next })
    }

    /// What all agents but one say, by address.
    pub(crate) fn pulses_of_others(&self, me: &AgentId) -> Vec<pulse::Row> {
        let mut rows: Vec<pulse::Row> =
            self.all_agents().iter().filter(|id| *id != me).filter_map(|id| self.pulse_row(id)).collect();
        rows.sort_by(|a, b| a.address.cmp(&b.address));
        rows
    }

    /// All agents by address, after the one that has this address.
    fn agents_after(&self, after: Option<&str>) -> Result<Vec<AgentId>, Error> {
        let after: Option<Address> =
            after.map(|text| text.parse().map_err(|_| no_place(text, "agents"))).transpose()?;
        let mut agents: Vec<(Address, AgentId)> =
            self.all_agents().into_iter().map(|agent| (self.address(&agent), agent)).collect();
        agents.retain(|(address, _)| after.as_ref().is_none_or(|after| address > after));
        agents.sort();
        Ok(agents.into_iter().map(|(_, agent)| agent).collect())
    }

    pub(crate) fn agents(&self, request: &agents::Request) -> Result<agents::Reply, Error> {
        let row = |id: AgentId| {
            let agent = self.agent(&id)?;
            let said = agent.said.as_ref();
            Some(agents::Agent {
                address: self.address(&id),
                kind: agent.kind,
                presence: self.agent_presence(&id),
                attention: self.mode(&id),
                status: said.and_then(|said| said.pulse.status.clone().or_else(|| said.pulse.action.clone())),
                summary: said.and_then(|said| said.pulse.summary.clone()),
                updated: said.map(|said| said.at),
            })
        };
        let agents = self.agents_after(request.after.as_deref())?;
        let page = page(agents, request.limit, row, |row| row.address.to_string())?;
        Ok(agents::Reply { agents: page.rows, more: page.more, next: page.next })
    }

    pub(crate) fn update_state(&mut self, id: CallId, caller: &Caller, request: &state::Request) -> Result<(), Error> {
        let me = AgentId { node: self.me(), name: caller.name.clone() };
        let mut pulse = self.agent(&me).and_then(|agent| agent.said.clone()).map(|said| said.pulse).unwrap_or_default();
        let given = request.pulse.fields();
        for (field, value) in given {
            if let (Some(value), Some(place)) = (value, pulse.field_mut(field)) {
                *place = Some(value.to_owned());
            }
        }
        for field in &request.clear {
            match pulse.field_mut(field) {
                Some(place) => *place = None,
                None => return Err(unknown_field(field, given.map(|(name, _)| name))),
            }
        }
        let too_long =
            |error: PulseTooLong| Error::new(ErrorCode::TooLarge, error.to_string()).hint("say it in fewer words");
        pulse.check().map_err(too_long)?;
        let at = self.now.wall_ms;
        let reply = Reply::State(state::Reply { pulse: pulse.clone(), at });
        let mut entries = Entries::default();
        let agent = Agent { kind: caller.kind, said: Some(Said { pulse, at }) };
        self.edit_as(&mut entries, caller, vec![Entry::Agent(caller.name.clone(), agent).into()])?;
        self.commit_call(entries, id, Finish::Reply(Box::new(reply)));
        Ok(())
    }

    /// A change of an earlier log of this node came back from another node. It counts here as it does elsewhere, and
    /// once no more of them come, what it says is taken over into the present log.
    pub(crate) fn recover(&mut self, op: &Arc<Verified>) {
        if self.lost_came(op) {
            return;
        }
        let conversation = op.header().conversation;
        let (me, own) = (self.me(), self.own_log(&conversation));
        let said = self.documents.content(&conversation, &me).clone();
        let was_own = self.documents.log(&conversation, &me) == Some(own.log);
        self.change_stored(op);
        let due = self.now.monotonic + RECOVER_AFTER;
        let recovery = self.recovering.entry(conversation).or_insert(Recovery { due, said: None, reading: false });
        recovery.due = due;
        if was_own && self.documents.log(&conversation, &me) != Some(own.log) {
            // The earlier log got further with its document than the present one knew.
            recovery.said.get_or_insert(said);
        }
    }

    pub(crate) fn recoveries_due(&mut self) {
        let now = self.now.monotonic;
        let mut due = Vec::new();
        for (conversation, recovery) in &mut self.recovering {
            if recovery.deadline().is_some_and(|deadline| deadline <= now) {
                recovery.reading = true;
                due.push(*conversation);
            }
        }
        for conversation in due {
            self.read(Read::Changes { author: self.me(), conversation }, Then::Recover { conversation });
        }
    }

    /// What this node's logs say has been read; `None` if it could not be.
    pub(crate) fn recover_read(&mut self, conversation: ConversationId, changes: Option<&[Arc<Verified>]>) {
        let (now, me, own) = (self.now.monotonic, self.me(), self.own_log(&conversation));
        let Some(recovery) = self.recovering.get_mut(&conversation) else { return };
        recovery.reading = false;
        let Some(changes) = changes.filter(|_| !self.remaking.contains_key(&(conversation, me))) else {
            recovery.due = now + RECOVER_AFTER;
            return;
        };
        let said = recovery.said.take();
        if recovery.due <= now {
            self.recovering.remove(&conversation);
        }
        let mut lost = Documents::default();
        for op in changes.iter().filter(|op| op.header().log != own.log) {
            if self.logs.get(&crate::key_of(op)).is_none_or(|log| log.counts(op.header().seq)) {
                lost.apply(op.header(), op.payload());
            }
        }
        self.take_over(conversation, lost.content(&conversation, &me));
        if let Some(said) = said {
            self.take_over(conversation, &said);
        }
    }

    /// Says what only `lost` says. Nothing is said if nothing is missing: two homes with one key would go on for ever.
    fn take_over(&mut self, conversation: ConversationId, lost: &Content) {
        let me = self.me();
        let edits = missing_edits(lost, self.documents.content(&conversation, &me));
        if edits.is_empty() {
            return;
        }
        let before = self.glance(&conversation, &me);
        let mut entries = Entries { before: Some(before), ..Entries::default() };
        drop(self.edit_what_fits(&mut entries, conversation, &edits));
        self.commit_entries(entries);
    }
}

fn unknown_field(field: &str, names: [&'static str; 6]) -> Error {
    let best = names.iter().max_by(|a, b| strsim::jaro_winkler(field, a).total_cmp(&strsim::jaro_winkler(field, b)));
    Error::new(ErrorCode::Invalid, format!("a pulse has no field {field:?}"))
        .hint(format!("the fields are {}", names.join(", ")))
        .suggest(best.map(ToString::to_string).into_iter().collect())
}

fn claim_state(claim: &Claim) -> (u32, u32, bool) {
    (claim.renewals, claim.confirmed.map_or(0, |by| by.acknowledged), claim.ended.is_some())
}

/// The edits that add to `have` what only `lost` says, and what it says later.
pub(crate) fn missing_edits(lost: &Content, have: &Content) -> Vec<Edit> {
    let later = |entry: &Entry| match entry {
        Entry::Agent(name, agent) => have.agents.get(name).is_none_or(|known| {
            let at = |agent: &Agent| agent.said.as_ref().map(|said| said.at);
            at(agent) > at(known)
        }),
        Entry::Proposal(id, proposal) => have.proposals.get(id).is_none_or(|known| {
            let closed_since = known.closed.is_none() && proposal.closed.is_some();
            known.revision < proposal.revision || closed_since
        }),
        // Who is there now is known better than any earlier log knew it.
        Entry::Attendance(name, _) => !have.attendance.contains_key(name),
        Entry::Attention(name, attention) => have.attention.get(name).is_none_or(|known| known.at < attention.at),
        Entry::Ballot(place, _) => !have.ballots.contains_key(place),
        Entry::Task(id, task) => have.tasks.get(id).is_none_or(|known| {
            let closed_since = known.closed.is_none() && task.closed.is_some();
            known.revision < task.revision || (known.revision == task.revision && closed_since)
        }),
        Entry::Statement(place, _) => !have.statements.contains_key(place),
        Entry::Bid(place, bid) => have.bids.get(place).is_none_or(|known| known.revision < bid.revision),
        Entry::Role(place, grant) => have.roles.get(place).is_none_or(|known| known.revision < grant.revision),
        Entry::Seen(place, seen) => have.seen.get(place).is_none_or(|known| known.revision < seen.revision),
        Entry::Claim(counter, claim) => have.claims.get(counter).is_none_or(|known| {
            let weight = |claim: &Claim| claim.confirmed.map(|by| by.acknowledged);
            let further = weight(claim) > weight(known) || claim.renewals > known.renewals || claim.ended.is_some();
            known.hash() == claim.hash() && known.ended.is_none() && further
        }),
        Entry::Acknowledged(place, _) => !have.acknowledged.contains_key(place),
        Entry::Reserved(counter, _) => have.reserved.keys().next_back() < Some(counter),
    };
    lost.entries().filter(later).map(Edit::from).collect()
}
