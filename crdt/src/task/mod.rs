//! How tasks stand: what state each is in, who holds it, what it waits for, and which of what was said of it counts.
//!
//! What an agent says of a task counts if it says it under a claim on the task that was confirmed and has not lost, if
//! nobody has said anything under a higher one since, if it is about the present attempt, and if it may follow what
//! was said before. What is said under a claim that most members acknowledge goes before what is said under any other;
//! among those others, before whose word ends the task. So everybody counts the same statements, the word of one who lost
//! the task changes nothing, and no claim that only its own node knows of reopens what is over. A task that its creator canceled is canceled, whatever is said of it; and once its node has
//! recorded what came of it, only what was said under the claim that the record names counts, and nothing changes that.
//!
//! What is over for long is no task any more: its node has cleared it away. Others that come after it do not wait for it,
//! as long as anything is known of that node.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use fedp2p_protocols::claim::{Fence, Resource};
use fedp2p_protocols::name::RoleName;
use fedp2p_protocols::task::{Assignee, Bid, Outcome, Priority, State, Statement, Task, TaskKey};
use fedp2p_protocols::vote::AgentId;

use crate::claim::{self, Claims};
use crate::picture::Picture;
use crate::roles;

mod circles;

use circles::Circles;
pub use circles::way;

/// Whether a statement counts, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counts {
    /// It does.
    Yes,
    /// Another has held the task since.
    Stale,
    /// Its agent never held the task under this number, or lost it.
    NotHeld,
    /// It is about another attempt.
    OtherAttempt,
    /// It may not follow what was said before.
    Illegal,
}

/// One statement on a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said<'a> {
    /// Who said it.
    pub by: AgentId,
    /// Which of the agent's statements on the task, from 1.
    pub number: u32,
    /// The claim under which it was said.
    pub fence: Fence,
    /// What was said.
    pub statement: &'a Statement,
    /// Whether it counts.
    pub counts: Counts,
}

/// A task that another comes after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Which.
    pub key: TaskKey,
    /// How far it is; nothing if there is none.
    pub state: Option<State>,
    /// There was one, and it was over: its node says other things, and nothing of it any more.
    pub gone: bool,
    /// Both come after each other, which no order satisfies: this one is not waited for.
    pub circle: bool,
}

impl Need {
    /// Whether it is waited for.
    pub fn is_open(&self) -> bool {
        !self.circle && !self.gone && self.state != Some(State::Completed)
    }
}

/// Who holds a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder<'a> {
    /// The agent.
    pub agent: AgentId,
    /// Its claim.
    pub claim: claim::Standing<'a>,
}

impl Holder<'_> {
    /// The number of the claim.
    pub fn fence(&self) -> Fence {
        self.claim.fence
    }

    /// Whether the claim is confirmed; others may yet win a tentative one.
    pub fn is_confirmed(&self) -> bool {
        self.claim.state == claim::State::Confirmed
    }
}

/// How a task stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    /// Which task.
    pub key: TaskKey,
    /// What is to be done.
    pub task: &'a Task,
    /// How far it is.
    pub state: State,
    /// Who holds it, or is about to.
    pub holder: Option<Holder<'a>>,
    /// Everything that was said of it, by claim and number.
    pub said: Vec<Said<'a>>,
    /// What it comes after.
    pub needs: Vec<Need>,
}

impl Standing<'_> {
    /// Whether it comes after something that is not completed.
    pub fn is_blocked(&self) -> bool {
        self.needs.iter().any(Need::is_open)
    }

    /// Whether somebody may begin with it, whoever holds it: nothing is in its way.
    pub fn is_open(&self) -> bool {
        !self.state.is_terminal() && !self.task.is_announced() && !self.is_blocked()
    }

    /// What is to be done first comes first: by priority, by when it is due, by age.
    pub fn order(&self) -> (Reverse<Priority>, u64, u64, &TaskKey) {
        (Reverse(self.task.priority), self.task.due.unwrap_or(u64::MAX), self.task.made, &self.key)
    }
}

/// All tasks of a conversation.
#[derive(Debug)]
pub struct Board<'a> {
    picture: Picture<'a>,
    /// The claims on each task.
    claims: BTreeMap<TaskKey, Vec<claim::Standing<'a>>>,
}

impl<'a> Board<'a> {
    /// Returns the tasks of a picture whose claims stand so.
    pub fn of(picture: &Picture<'a>, claims: &Claims<'a>) -> Self {
        let mut on: BTreeMap<TaskKey, Vec<claim::Standing<'a>>> = BTreeMap::new();
        for standing in claims.iter() {
            if let Resource::Task(key) = &standing.claim.resource {
                on.entry(key.clone()).or_default().push(standing.clone());
            }
        }
        Self { picture: picture.clone(), claims: on }
    }

    /// How one task stands.
    pub fn task(&self, key: &TaskKey) -> Option<Standing<'a>> {
        let task = self.picture.task(key)?;
        let circles = Circles::among(&self.picture, [key.clone()]);
        Some(self.stand(key, task, &circles, |key| self.state(key)))
    }

    /// How all tasks stand, by node and id.
    pub fn tasks(&self) -> Vec<Standing<'a>> {
        let keys = || self.picture.tasks().map(|(key, _)| key);
        let circles = Circles::among(&self.picture, keys());
        let states: BTreeMap<TaskKey, State> =
            keys().filter_map(|key| Some((key.clone(), self.state(&key)?))).collect();
        let all =
            self.picture.tasks().map(|(key, task)| self.stand(&key, task, &circles, |key| states.get(key).copied()));
        all.collect()
    }

    /// What came of a task, to be recorded: nothing if it is not over or that is recorded already.
    pub fn outcome(&self, key: &TaskKey) -> Option<Outcome> {
        let task = self.picture.task(key).filter(|task| !task.is_closed())?;
        let (said, _) = self.said(key, task);
        let counted: Vec<&Said<'_>> = said.iter().filter(|said| said.counts == Counts::Yes).collect();
        let last = counted.last().filter(|said| said.statement.state.is_terminal())?;
        let latest = |pick: fn(&Statement) -> Option<&String>| {
            counted.iter().rev().find_map(|said| pick(said.statement)).cloned()
        };
        Some(Outcome {
            state: last.statement.state,
            fence: last.fence,
            by: last.by.name.clone(),
            note: latest(|said| said.note.as_ref()),
            result: latest(|said| said.result.as_ref()),
            at: last.statement.at,
        })
    }

    /// How far a task is.
    pub fn state(&self, key: &TaskKey) -> Option<State> {
        let task = self.picture.task(key)?;
        let (said, ruling) = self.said(key, task);
        Some(state(task, &said, ruling, self.holder(key).as_ref()))
    }

    /// Who holds a task, or is about to.
    pub fn holder(&self, key: &TaskKey) -> Option<Holder<'a>> {
        let live = self.claims.get(key)?.iter().filter(|claim| claim.is_live());
        let claim = live.min_by_key(|claim| (claim.state != claim::State::Confirmed, claim.fence))?;
        let agent = AgentId { node: claim.fence.node, name: claim.claim.by.clone() };
        Some(Holder { agent, claim: claim.clone() })
    }

    fn stand(
        &self,
        key: &TaskKey,
        task: &'a Task,
        circles: &Circles,
        state_of: impl Fn(&TaskKey) -> Option<State>,
    ) -> Standing<'a> {
        let (said, ruling) = self.said(key, task);
        let holder = self.holder(key);
        let need = |need: &TaskKey| Need {
            key: need.clone(),
            state: state_of(need),
            gone: self.picture.task(need).is_none() && self.picture.node(&need.node).is_some(),
            // Within a circle each waits for those before it only.
            circle: circles.are_in_one(key, need) && need >= key,
        };
        Standing {
            key: key.clone(),
            task,
            state: state(task, &said, ruling, holder.as_ref()),
            holder,
            said,
            needs: task.after.iter().map(need).collect(),
        }
    }

    /// What was said of a task, each with whether it counts, and the claim under which the last that counts was said.
    fn said(&self, key: &TaskKey, task: &Task) -> (Vec<Said<'a>>, Option<Fence>) {
        let claims = self.claims.get(key).map_or(&[][..], Vec::as_slice);
        let held = |claim: &claim::Standing<'_>| claim.state == claim::State::Confirmed && claim.is_majority();
        let mut least = if claims.iter().any(held) { Ground::Majority } else { Ground::Word };
        let mut said: Vec<(Said<'a>, Option<Ground>)> = Vec::new();
        for (by, number, statement) in self.picture.statements(key) {
            let fence = Fence { counter: statement.fence, node: by.node };
            let present = (statement.made, statement.attempt) == (task.made, task.attempt);
            let ground = ground(claims, task, &by, fence).filter(|_| present);
            least = least.max(ground.unwrap_or(Ground::Word));
            let counts = if present { Counts::NotHeld } else { Counts::OtherAttempt };
            said.push((Said { by, number, fence, statement, counts }, ground));
        }
        for (said, ground) in said.iter_mut().filter(|(said, _)| said.counts == Counts::NotHeld) {
            said.counts = match &task.closed {
                Some(closed) if (closed.fence, &closed.by) == (said.fence, &said.by.name) => Counts::Yes,
                Some(_) => Counts::Stale,
                None if ground.is_some_and(|ground| ground >= least) => Counts::Yes,
                None => Counts::NotHeld,
            };
        }
        // Who held it on less ground than another has since.
        let before: BTreeSet<Fence> =
            said.iter().filter(|(_, ground)| ground.is_some()).map(|(said, _)| said.fence).collect();
        let mut said: Vec<Said<'a>> = said.into_iter().map(|(said, _)| said).collect();
        said.sort_by(|a, b| (a.fence, &a.by.name, a.number).cmp(&(b.fence, &b.by.name, b.number)));
        let ruling = task.closed.as_ref().map(|closed| closed.fence).or_else(|| ruling(&said, least));
        for said in said.iter_mut().filter(|said| said.counts == Counts::NotHeld && Some(said.fence) < ruling) {
            if before.contains(&said.fence) {
                said.counts = Counts::Stale;
            }
        }
        let mut state = State::Submitted;
        for said in said.iter_mut().filter(|said| said.counts == Counts::Yes) {
            if Some(said.fence) != ruling {
                said.counts = Counts::Stale;
            } else if state.may_become(said.statement.state) {
                state = said.statement.state;
            } else {
                said.counts = Counts::Illegal;
            }
        }
        (said, ruling)
    }
}

/// On what ground an agent says how far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ground {
    /// Its node says that its claim was confirmed: in a part that was cut off, or most members acknowledge it no more.
    Word,
    /// Most members acknowledge its claim.
    Majority,
}

/// On what ground the agent holds the task under a claim of this number, or held it and gave it up.
fn ground(claims: &[claim::Standing<'_>], task: &Task, agent: &AgentId, fence: Fence) -> Option<Ground> {
    let claim = claims.iter().find(|claim| claim.fence == fence && claim.claim.by == agent.name)?;
    let held = match claim.state {
        claim::State::Confirmed => true,
        claim::State::Ended(_) => claim.claim.confirmed.is_some(),
        claim::State::Tentative | claim::State::Lost { .. } => false,
    };
    if held && claim.is_majority() {
        return Some(Ground::Majority);
    }
    // Most members acknowledge no claim on what is not the agent's to take; that it was confirmed is its node's word alone.
    let others = matches!(&task.to, Assignee::Agent(only) if only != agent);
    (held && !others && !task.is_announced()).then_some(Ground::Word)
}

/// The claim that rules, of those under which something was said that may count: the highest. On mere words the highest
/// of those whose words end the task, if there is one.
fn ruling(said: &[Said<'_>], least: Ground) -> Option<Fence> {
    let counts: Vec<&Said<'_>> = said.iter().filter(|said| said.counts == Counts::Yes).collect();
    let ends = |said: &[&Said<'_>]| {
        let next = |state: State, said: &&Said<'_>| {
            if state.may_become(said.statement.state) { said.statement.state } else { state }
        };
        said.iter().fold(State::Submitted, next).is_terminal()
    };
    let mut by_claim = counts.chunk_by(|a, b| a.fence == b.fence);
    let ended = by_claim.rfind(|said| least == Ground::Word && ends(said));
    ended.and_then(|said| said.first().copied()).or_else(|| counts.last().copied()).map(|said| said.fence)
}

/// How far a task is by what was said of it.
fn state(task: &Task, said: &[Said<'_>], ruling: Option<Fence>, holder: Option<&Holder<'_>>) -> State {
    if task.canceled.is_some() {
        return State::Canceled;
    }
    let last = said.iter().rev().find(|said| said.counts == Counts::Yes).map(|said| said.statement.state);
    let held = holder.is_some_and(|holder| Some(holder.fence()) == ruling);
    if let Some(closed) = &task.closed {
        return closed.state;
    }
    // What is not over goes back to where it began once nobody holds it, or another does.
    last.filter(|state| state.is_terminal() || held).unwrap_or_default()
}

/// Whether an agent is among those whom an assignee names.
pub fn is_among(assignee: &Assignee, agent: &AgentId, has_role: impl Fn(&RoleName) -> bool) -> bool {
    match assignee {
        Assignee::Anyone => true,
        Assignee::Role(role) => has_role(role),
        Assignee::Agent(only) => only == agent,
    }
}

/// The bids for the present attempt of a task of those who might take it, the best first: the cheapest, those without a
/// cost last, and of equals the earliest.
pub fn bids<'a>(picture: &Picture<'a>, key: &TaskKey, task: &Task) -> Vec<(AgentId, &'a Bid)> {
    let award = task.offer.as_ref().and_then(|offer| offer.award.as_ref());
    let asked = award.map_or(&task.to, |award| &award.before);
    let have: BTreeSet<AgentId> =
        if let Assignee::Role(role) = asked { roles::who_has(picture, role) } else { BTreeSet::new() };
    let valid = |(agent, bid): &(AgentId, &Bid)| {
        (bid.made, bid.attempt) == (task.made, task.attempt) && is_among(asked, agent, |_| have.contains(agent))
    };
    let mut bids: Vec<_> = picture.bids(key).filter(valid).collect();
    bids.sort_by(|(a, left), (b, right)| {
        let order = |bid: &Bid| (bid.cost.is_none(), bid.cost, bid.at);
        (order(left), a).cmp(&(order(right), b))
    });
    bids
}
