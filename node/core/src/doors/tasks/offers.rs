//! Offers: bids for tasks, and who gets them.

use std::time::Duration;

use fedp2p_crdt::content::{BidPlace, Entry};
use fedp2p_crdt::task::bids;
use fedp2p_protocols::api::claim_take::DEFAULT_TTL_S;
use fedp2p_protocols::api::{Caller, Error, ErrorCode, Reply, task_award, task_bid};
use fedp2p_protocols::limits::{MAX_BIDS, MAX_TASK_NOTE_BYTES};
use fedp2p_protocols::name::TaskId;
use fedp2p_protocols::task::{Assignee, Award, Bid, Offer, Task, TaskKey};
use fedp2p_protocols::vote::AgentId;

use super::show::may_take;
use super::{check_text, next};
use crate::Core;
use crate::author::Entries;
use crate::doors::Finish;
use crate::input::CallId;

/// How long after its time it is tried again to award what could not be awarded, in milliseconds.
const RETRY_MS: u64 = 2_000;
/// How long the winner of a task may wait before it begins, in milliseconds: as long as a lease that nobody renews. Then
/// the task is free again.
const BEGIN_MS: u64 = 1_000 * DEFAULT_TTL_S as u64;
/// How often it is looked at after that whether the winner holds the task, in milliseconds.
const LOOK_MS: u64 = 60_000;

impl Core {
    pub(crate) fn task_bid(&mut self, call: CallId, caller: &Caller, request: task_bid::Request) -> Result<(), Error> {
        let (key, standing) = self.find_task(&request.id)?;
        let task = standing.task;
        let open = task.offer.as_ref().filter(|offer| offer.award.is_none() && !standing.state.is_terminal());
        let in_time = |offer: &Offer| offer.until.is_none_or(|until| self.now.wall_ms < until);
        if !open.is_some_and(in_time) {
            return Err(Error::new(ErrorCode::Conflict, format!("no bids for {:?} are taken", request.id))
                .hint("\"fedp2p task show\" says who has it"));
        }
        let agent = AgentId { node: self.me(), name: caller.name.clone() };
        if !may_take(task, &agent, &self.roles_of(&agent)) {
            return Err(self.not_for(&agent, &request.id));
        }
        let place = BidPlace { task: key.clone(), agent: caller.name.clone() };
        let own = &self.documents.content(&self.lobby, &self.me()).bids;
        let known = own.get(&place);
        if known.is_none() && own.len() >= MAX_BIDS {
            let message = format!("the agents of this node have made {MAX_BIDS} bids for tasks that are not over");
            return Err(Error::new(ErrorCode::TooLarge, message).hint("wait until some of these tasks are over"));
        }
        let bid = Bid {
            made: task.made,
            attempt: task.attempt,
            cost: request.cost,
            reason: check_text("a reason", request.reason, MAX_TASK_NOTE_BYTES)?,
            revision: known.map_or(Ok(1), |known| next(known.revision))?,
            at: self.now.wall_ms,
        };
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, vec![Entry::Bid(place, bid).into()])?;
        self.commit_call(entries, call, Finish::Task(key, Reply::TaskBid));
        Ok(())
    }

    pub(crate) fn task_award(
        &mut self,
        call: CallId,
        caller: &Caller,
        request: task_award::Request,
    ) -> Result<(), Error> {
        let (key, standing) = self.own_task(caller, &request.id)?;
        let task = standing.task.clone();
        if !task.is_announced() || standing.state.is_terminal() {
            return Err(Error::new(ErrorCode::Conflict, format!("no bids for {:?} are taken", request.id))
                .hint("ask for bids with \"fedp2p task offer\""));
        }
        let picture = self.documents.picture(&self.lobby);
        let bids = bids(&picture, &key, &task);
        let winner = match &request.agent {
            Some(text) => Some(self.resolve_by(caller, text)?).filter(|agent| bids.iter().any(|(by, _)| by == agent)),
            None => bids.first().map(|(agent, _)| agent.clone()),
        };
        let Some(winner) = winner else {
            let bidders = bids.iter().map(|(agent, _)| self.address(agent).to_string()).collect();
            let message = match &request.agent {
                Some(text) => format!("{text} has not bid for {:?}", request.id),
                None => format!("nobody has bid for {:?}", request.id),
            };
            return Err(Error::new(ErrorCode::Conflict, message)
                .hint("give it to somebody without bids: \"fedp2p task edit ID --to AGENT --clear bids\"")
                .suggest(bidders));
        };
        let reason = check_text("a reason", request.reason, MAX_TASK_NOTE_BYTES)?;
        let task = awarded(task, Some(winner), reason, self.now.wall_ms)?;
        self.write_task(call, caller, key, task, Reply::TaskAward)
    }

    /// When something becomes of a task of this node that bids were asked for, on the monotonic clock.
    pub(crate) fn award_due(&self) -> Option<Duration> {
        let wait = self.next_award?.saturating_sub(self.now.wall_ms);
        Some(self.now.monotonic + Duration::from_millis(wait))
    }

    /// Looks up which task of this node is awarded next, or is free again, as what this node says has changed.
    pub(crate) fn note_awards(&mut self) {
        let own = &self.documents.content(&self.lobby, &self.me()).tasks;
        // Who was found to hold a task is not looked at again for a while, whatever becomes of the clock.
        let not_before = self.winners_due.min(self.now.wall_ms + LOOK_MS);
        let free = own.values().filter_map(free_at).min().map(|at| at.max(not_before));
        self.next_award = own.values().filter_map(awarded_at).min().into_iter().chain(free).min();
    }

    /// Awards the tasks of this node whose bids are in, and frees those whose winner does not begin.
    pub(crate) fn awards_due(&mut self) {
        let now = self.now.wall_ms;
        if self.next_award.is_none_or(|next| next > now) {
            return;
        }
        if self.is_silent() {
            self.next_award = Some(now + RETRY_MS);
            return;
        }
        let me = self.me();
        let own = &self.documents.content(&self.lobby, &me).tasks;
        let is_due = |at: Option<u64>| at.is_some_and(|at| at <= now);
        let key = |id: &TaskId| TaskKey { node: me, id: id.clone() };
        let due = own.iter().filter(|(_, task)| is_due(awarded_at(task)));
        let due: Vec<TaskKey> = due.map(|(id, _)| key(id)).collect();
        let late = own.iter().filter(|(_, task)| is_due(free_at(task)));
        let mut late: Vec<TaskKey> = late.map(|(id, _)| key(id)).collect();
        if !late.is_empty() {
            let board = self.board();
            let rests = |key: &TaskKey| board.task(key).is_some_and(|standing| self.is_free(&standing));
            late.retain(rests);
            self.winners_due = now + LOOK_MS;
        }
        for key in due {
            self.award_own(&key);
        }
        for key in late {
            self.free_own(&key);
        }
        self.note_awards();
        // What could not be done now is tried again in a while.
        self.next_award = self.next_award.map(|next| next.max(now + RETRY_MS));
    }

    fn award_own(&mut self, key: &TaskKey) {
        let picture = self.documents.picture(&self.lobby);
        let Some(task) = picture.task(key).cloned() else { return };
        let winner = bids(&picture, key, &task).into_iter().next().map(|(agent, _)| agent);
        let reason = winner.is_some().then(|| "the best bid when the time was up".to_owned());
        if let Ok(task) = awarded(task, winner, reason, self.now.wall_ms) {
            self.write_own(key, task, "award");
        }
    }

    /// Lets everybody have a task again whose winner does not begin.
    fn free_own(&mut self, key: &TaskKey) {
        let Some(mut task) = self.documents.picture(&self.lobby).task(key).cloned() else { return };
        let Ok(revision) = next(task.revision) else { return };
        take_back(&mut task);
        self.write_own(key, Task { revision, ..task }, "free");
    }

    fn write_own(&mut self, key: &TaskKey, task: Task, what: &str) {
        let (lobby, me) = (self.lobby, self.me());
        if self.is_silent() {
            return;
        }
        let by = task.by.clone();
        let mut entries = Entries { before: Some(self.glance(&lobby, &me)), ..Entries::default() };
        match self.edit(&mut entries, lobby, Some(&by), &[Entry::Task(key.id.clone(), task).into()]) {
            Ok(()) => self.commit_entries(entries),
            Err(error) => self.notice(format!("could not {what} the task {:?}: {error}", key.id.as_str())),
        }
    }
}

/// When a task goes to the best bid by itself, if it does.
fn awarded_at(task: &Task) -> Option<u64> {
    let offer = task.offer.as_ref().filter(|offer| offer.auto && offer.award.is_none())?;
    offer.until.filter(|_| !task.is_closed())
}

/// When a task that was awarded is free again, if nobody holds it then.
fn free_at(task: &Task) -> Option<u64> {
    let award = task.offer.as_ref()?.award.as_ref().filter(|award| task.to == Assignee::Agent(award.to.clone()))?;
    Some(award.at.saturating_add(BEGIN_MS)).filter(|_| !task.is_closed())
}

/// Lets those have a task again who might have had it before it was awarded, without asking for bids.
pub(super) fn take_back(task: &mut Task) {
    if let Some(award) = task.offer.take().and_then(|offer| offer.award)
        && task.to == Assignee::Agent(award.to)
    {
        task.to = award.before;
    }
}

/// A task that goes to the winner; without one, to whoever may take it.
fn awarded(task: Task, winner: Option<AgentId>, reason: Option<String>, at: u64) -> Result<Task, Error> {
    let revision = next(task.revision)?;
    Ok(match winner {
        None => Task { offer: None, revision, ..task },
        Some(to) => {
            let award = Some(Award { to: to.clone(), reason, at, before: task.to.clone() });
            let offer = task.offer.clone().map(|offer| Offer { award, ..offer });
            Task { to: Assignee::Agent(to), offer, revision, ..task }
        }
    })
}
