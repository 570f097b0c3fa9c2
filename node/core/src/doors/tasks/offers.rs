//! Offers: bids for tasks, and who gets them.

use std::time::Duration;

use fedp2p_crdt::content::{BidPlace, Entry};
use fedp2p_crdt::task::{best_bid, is_for};
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
        let bids: Vec<(AgentId, &Bid)> = picture.bids(&key).filter(|(_, bid)| is_for(bid, &task)).collect();
        let winner = match &request.agent {
            Some(text) => Some(self.resolve_by(caller, text)?).filter(|agent| bids.iter().any(|(by, _)| by == agent)),
            None => best_bid(bids.iter().cloned(), &task).map(|(agent, _)| agent),
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

    /// When the bids for the next task of this node are in that goes to the best of them, on the monotonic clock.
    pub(crate) fn award_due(&self) -> Option<Duration> {
        let wait = self.next_award?.saturating_sub(self.now.wall_ms);
        Some(self.now.monotonic + Duration::from_millis(wait))
    }

    /// Looks up which task of this node is awarded next, as what this node says has changed.
    pub(crate) fn note_awards(&mut self) {
        let own = &self.documents.content(&self.lobby, &self.me()).tasks;
        self.next_award = own.values().filter_map(awarded_at).min();
    }

    /// Awards the tasks of this node whose bids are in.
    pub(crate) fn awards_due(&mut self) {
        let now = self.now.wall_ms;
        if self.next_award.is_none_or(|next| next > now) {
            return;
        }
        let own = &self.documents.content(&self.lobby, &self.me()).tasks;
        let due = own.iter().filter(|(_, task)| awarded_at(task).is_some_and(|at| at <= now));
        let due: Vec<TaskId> = due.map(|(id, _)| id.clone()).collect();
        for id in due {
            self.award_own(&TaskKey { node: self.me(), id });
        }
        self.note_awards();
        // What could not be awarded now is tried again in a while.
        self.next_award = self.next_award.map(|next| next.max(now + RETRY_MS));
    }

    fn award_own(&mut self, key: &TaskKey) {
        let (lobby, me) = (self.lobby, self.me());
        if self.remaking.contains_key(&(lobby, me)) {
            return;
        }
        let picture = self.documents.picture(&lobby);
        let Some(task) = picture.task(key).cloned() else { return };
        let winner = best_bid(picture.bids(key), &task).map(|(agent, _)| agent);
        let reason = winner.is_some().then(|| "the best bid when the time was up".to_owned());
        let by = task.by.clone();
        let Ok(task) = awarded(task, winner, reason, self.now.wall_ms) else { return };
        let mut entries = Entries { before: Some(self.glance(&lobby, &me)), ..Entries::default() };
        match self.edit(&mut entries, lobby, Some(&by), &[Entry::Task(key.id.clone(), task).into()]) {
            Ok(()) => self.commit_entries(entries),
            Err(error) => self.notice(format!("could not award the task {:?}: {error}", key.id.as_str())),
        }
    }
}

/// When a task goes to the best bid by itself, if it does.
fn awarded_at(task: &Task) -> Option<u64> {
    let offer = task.offer.as_ref().filter(|offer| offer.auto && offer.award.is_none())?;
    offer.until.filter(|_| task.canceled.is_none())
}

/// A task that goes to the winner; without one, to whoever may take it.
fn awarded(task: Task, winner: Option<AgentId>, reason: Option<String>, at: u64) -> Result<Task, Error> {
    let revision = next(task.revision)?;
    Ok(match winner {
        None => Task { offer: None, revision, ..task },
        Some(to) => {
            let award = Some(Award { to: to.clone(), reason, at });
            let offer = task.offer.clone().map(|offer| Offer { award, ..offer });
            Task { to: Assignee::Agent(to), offer, revision, ..task }
        }
    })
}
