//! Tasks that are being claimed: the calls that wait until it is known who has won, and what is given up again.

use std::collections::BTreeSet;
use std::time::Duration;

use fedp2p_crdt::claim;
use fedp2p_crdt::content::{Edit, Entry, Place};
use fedp2p_protocols::api::claim_take::DEFAULT_TTL_S;
use fedp2p_protocols::api::{Answer, Caller, Error, ErrorCode, Reply};
use fedp2p_protocols::claim::{End, Ended, Fence, Mode, Resource};
use fedp2p_protocols::task::{State, Statement, Task, TaskKey};

use super::work::finish;
use crate::Core;
use crate::author::Entries;
use crate::doors::Finish;
use crate::doors::claims::Wish;
use crate::effect::Effect;
use crate::input::CallId;

/// A call that goes on once it is known who won the task that it claims.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(super) call: CallId,
    pub(super) caller: Caller,
    pub(super) key: TaskKey,
    pub(super) purpose: Purpose,
    /// When it is answered even if nobody has won.
    pub(super) until: Duration,
}

/// How long a call waits until it is known who won. Mostly that takes a round trip to most members.
const WAIT: Duration = Duration::from_secs(15);

/// What an agent claims a task for.
#[derive(Debug, Clone)]
pub(super) enum Purpose {
    /// To begin with it, with a note; whether it was made with the claim.
    Begin(Option<String>, bool),
    /// To say that it will not do it.
    Reject(Option<String>),
    /// To begin with it or, if another wins it, with another one that was not tried yet.
    Next(Option<u32>, BTreeSet<TaskKey>),
}

impl Core {
    /// Claims the task that a call waits for. The call goes on once it is known who won. A task that is not there yet is
    /// made with the claim.
    pub(super) fn claim_task(&mut self, waiting: Waiting, made: Vec<Edit>, ttl_s: Option<u32>) -> Result<(), Error> {
        let by = |other: &Waiting| (&other.key, &other.caller.name) == (&waiting.key, &waiting.caller.name);
        if self.task_waits.values().any(by) {
            let (id, name) = (waiting.key.id.as_str(), &waiting.caller.name);
            return Err(Error::new(ErrorCode::Conflict, format!("another call of {name} is claiming {id:?}"))
                .hint("wait for its answer"));
        }
        let wish = Wish {
            resource: Resource::Task(waiting.key.clone()),
            mode: Mode::Exclusive,
            ttl_s: ttl_s.unwrap_or(DEFAULT_TTL_S),
            why: None,
        };
        let mut entries = Entries::default();
        let staked = self.stake(&mut entries, &waiting.caller, wish);
        let done = staked.and_then(|counter| {
            self.task_waits.insert(counter, waiting.clone());
            self.edit_as(&mut entries, &waiting.caller, made)
        });
        self.commit_entries(entries);
        done
    }

    /// Goes on with the calls of which it is known by now who won what they claim.
    pub(crate) fn tasks_won(&mut self) {
        if self.task_waits.is_empty() || self.is_remaking() {
            return;
        }
        let claims = self.documents.claims(&self.lobby);
        let me = self.me();
        let mut settled = Vec::new();
        let mut renumbered = Vec::new();
        let mut late = Vec::new();
        for (counter, waiting) in &self.task_waits {
            let claim = claims.get(&Fence { counter: *counter, node: me });
            let ended = claim.and_then(|claim| claim.claim.ended);
            match (claim.map(|claim| claim.state), ended) {
                (Some(claim::State::Tentative), _) if waiting.until > self.now.monotonic => {}
                (Some(claim::State::Tentative), _) => late.push(*counter),
                (_, Some(Ended { cause: End::Renumbered, to: Some(to), .. })) => {
                    renumbered.push((*counter, to.counter));
                }
                (state, _) => settled.push((*counter, state)),
            }
        }
        for (counter, to) in renumbered {
            if let Some(waiting) = self.task_waits.remove(&counter) {
                self.task_waits.insert(to, waiting);
            }
        }
        for counter in late {
            if let Some(waiting) = self.task_waits.remove(&counter) {
                self.give_up(&waiting.caller, counter, None);
                let message = format!("nobody has won {:?} yet", waiting.key.id.as_str());
                let error = Error::new(ErrorCode::Conflict, message).hint("try again once more nodes can be reached");
                self.effect(Effect::Reply(waiting.call, Answer::Error(error)));
            }
        }
        for (counter, state) in settled {
            let Some(waiting) = self.task_waits.remove(&counter) else { continue };
            let call = waiting.call;
            let done = match state {
                Some(claim::State::Confirmed) => self.won(waiting, counter),
                Some(claim::State::Tentative | claim::State::Lost { .. } | claim::State::Ended(_)) | None => {
                    self.lost(waiting)
                }
            };
            if let Err(error) = done {
                self.effect(Effect::Reply(call, Answer::Error(error)));
            }
        }
    }

    /// Until when a call that claims a task now is answered.
    pub(super) fn task_wait(&self) -> Duration {
        self.now.monotonic + WAIT
    }

    /// When the next call is answered that claims a task, even if nobody has won.
    pub(crate) fn task_answer_due(&self) -> Option<Duration> {
        if self.is_remaking() {
            return None;
        }
        self.task_waits.values().map(|waiting| waiting.until).min()
    }

    /// The store failed: what the waiting calls asked for was perhaps not written.
    pub(crate) fn refuse_task_calls(&mut self, error: &Error) {
        for waiting in std::mem::take(&mut self.task_waits).into_values() {
            self.effect(Effect::Reply(waiting.call, Answer::Error(error.clone())));
        }
    }

    /// An agent holds the task that it claimed.
    fn won(&mut self, waiting: Waiting, counter: u64) -> Result<(), Error> {
        let Waiting { call, caller, key, purpose, until } = waiting;
        let open = self.board().task(&key).is_some_and(|standing| standing.is_open());
        let done = match &purpose {
            // Something came in between.
            _ if !open => Err(Error::new(ErrorCode::Conflict, format!("{:?} can be begun no more", key.id.as_str()))
                .hint("\"fedp2p task show\" says why")),
            Purpose::Begin(_, true) if self.made_elsewhere(&key).is_some() => {
                let other = self.made_elsewhere(&key).map(|other| self.members.display(&other.node));
                let message =
                    format!("{:?} was begun on {} at the same time", key.id.as_str(), other.unwrap_or_default());
                self.unmake(&caller, &key);
                Err(Error::new(ErrorCode::Conflict, message).hint("\"fedp2p task show\" says who has it"))
            }
            Purpose::Begin(note, _) => {
                self.say(call, &caller, &key, State::Working, note.clone(), None, finish(&key, Reply::TaskClaim))
            }
            Purpose::Reject(note) => {
                self.say(call, &caller, &key, State::Rejected, note.clone(), None, finish(&key, Reply::TaskUpdate))
            }
            Purpose::Next(..) => {
                self.say(call, &caller, &key, State::Working, None, None, Finish::NextTask(key.clone()))
            }
        };
        if done.is_err() {
            self.give_up(&caller, counter, None);
            if matches!(purpose, Purpose::Next(..)) {
                return self.lost(Waiting { call, caller, key, purpose, until });
            }
        }
        done
    }

    /// Another task with the id of one that was made with its claim. Of all who made one at the same time, as far as they
    /// know of each other, the one on the least node goes on, unless another has begun already.
    fn made_elsewhere(&self, key: &TaskKey) -> Option<TaskKey> {
        let board = self.board();
        let alike = |other: &TaskKey| other.id == key.id && other.node != key.node;
        let goes_on = |other: &TaskKey| {
            let standing = board.task(other).filter(|other| !other.state.is_terminal());
            standing.is_some_and(|standing| other < key || standing.state != State::Submitted)
        };
        let picture = self.documents.picture(&self.lobby);
        picture.tasks().map(|(other, _)| other).find(|other| alike(other) && goes_on(other))
    }

    /// Takes away a task that was made with a claim, before it was begun.
    fn unmake(&mut self, caller: &Caller, key: &TaskKey) {
        let mut entries = Entries::default();
        match self.edit_as(&mut entries, caller, vec![Edit::Remove(Place::Task(key.id.clone()))]) {
            Ok(()) => self.commit_entries(entries),
            Err(error) => self.notice(format!("could not take back the task {:?}: {error}", key.id.as_str())),
        }
    }

    /// Another has the task that an agent claimed.
    fn lost(&mut self, waiting: Waiting) -> Result<(), Error> {
        if let Purpose::Next(ttl_s, tried) = waiting.purpose {
            return self.try_next(waiting.call, &waiting.caller, ttl_s, tried);
        }
        let id = waiting.key.id.as_str();
        let holder = self.board().holder(&waiting.key);
        let error = match holder {
            Some(holder) => {
                let confirmed = holder.claim.state == claim::State::Confirmed;
                let stands = if confirmed { "has won" } else { "is ahead in claiming" };
                Error::new(ErrorCode::Conflict, format!("{} {stands} {id:?}", self.address(&holder.agent)))
            }
            None => Error::new(ErrorCode::Conflict, format!("{id:?} was lost to another, who gave it up by now")),
        };
        Err(error.hint("\"fedp2p task next\" takes one that nobody holds"))
    }

    /// A call has ended that claimed a task: nobody is there to begin with it.
    pub(crate) fn task_call_ended(&mut self, call: CallId) {
        let of_call = self.task_waits.iter().filter(|(_, waiting)| waiting.call == call);
        let counters: Vec<u64> = of_call.map(|(counter, _)| *counter).collect();
        for counter in counters {
            if let Some(waiting) = self.task_waits.remove(&counter) {
                self.give_up(&waiting.caller, counter, None);
            }
        }
    }

    /// Releases what agents of this node hold of tasks that are over by now, canceled or ended by another, and tells them.
    pub(crate) fn release_over(&mut self, tasks: &BTreeSet<TaskKey>) {
        let me = self.me();
        let own = self.documents.content(&self.lobby, &me);
        let held = own.claims.iter().filter(|(_, claim)| claim.ended.is_none()).filter_map(|(counter, claim)| {
            let Resource::Task(key) = &claim.resource else { return None };
            let kind = own.agents.get(&claim.by).map(|agent| agent.kind)?;
            tasks.contains(key).then(|| (key, *counter, Caller { name: claim.by.clone(), kind }))
        });
        let held: Vec<(&TaskKey, u64, Caller)> = held.collect();
        if held.is_empty() || self.is_silent() {
            return;
        }
        let board = self.board();
        let over = held.into_iter().filter_map(|(key, counter, caller)| {
            let standing = board.task(key).filter(|standing| standing.state.is_terminal())?;
            // Who cancels a task that it made itself knows.
            let by_itself = standing.state == State::Canceled && key.node == me && standing.task.by == caller.name;
            let text = format!(
                "task {:?}, which you hold under claim {counter}, is {}; stop working on it",
                key.id.as_str(),
                standing.state
            );
            let data =
                serde_json::json!({ "claim": Fence { counter, node: me }, "task": key, "state": standing.state });
            Some((caller, counter, (!by_itself).then_some((text, data))))
        });
        for (caller, counter, told) in over.collect::<Vec<_>>() {
            self.give_up(&caller, counter, told);
        }
    }

    /// As [`Core::release_over`] for all tasks, once this node says something again.
    pub(crate) fn release_all_over(&mut self) {
        let own = &self.documents.content(&self.lobby, &self.me()).claims;
        let tasks = own.values().filter(|claim| claim.ended.is_none()).filter_map(|claim| match &claim.resource {
            Resource::Task(key) => Some(key.clone()),
            Resource::Files { .. } => None,
        });
        self.release_over(&tasks.collect());
    }

    /// Releases a claim of an agent of this node, and tells it something.
    fn give_up(&mut self, caller: &Caller, counter: u64, told: Option<(String, serde_json::Value)>) {
        let mut entries = Entries::default();
        let edits = self.releasing(counter).into_iter().collect();
        match self.edit_as(&mut entries, caller, edits) {
            Ok(()) => {
                if let Some((text, data)) = told {
                    self.tell_agent(&mut entries, caller.name.clone(), text, data);
                }
                self.commit_entries(entries);
            }
            Err(error) => self.notice(format!("could not release a claim of {}: {error}", caller.name)),
        }
        self.claims_changed();
    }

    /// Whether what was said of a task under a claim of this node counts, as far as this node has said anything: it does as
    /// long as the claim is there, or until it is recorded what came of the task.
    pub(crate) fn has_spoken(&self, claims: &claim::Claims<'_>, own: &claim::Standing<'_>) -> bool {
        let Resource::Task(key) = &own.claim.resource else { return false };
        let task = self.documents.picture(&self.lobby).task(key);
        if task.is_some_and(Task::is_closed) {
            return false;
        }
        let held = |counter: &u64| {
            let claim = claims.get(&Fence { counter: *counter, node: own.fence.node });
            claim.is_some_and(|claim| {
                claim.claim.confirmed.is_some() && !matches!(claim.state, claim::State::Lost { .. })
            })
        };
        let said = self.documents.content(&self.lobby, &self.me()).statements_on(key);
        let is_of = |said: &Statement, task: &Task| (said.made, said.attempt) == (task.made, task.attempt);
        let present = said.filter(|(_, said)| task.is_none_or(|task| is_of(said, task)));
        present.map(|(_, said)| said.fence).filter(held).max() == Some(own.fence.counter)
    }

    /// The edit that ends a claim of this node, if it has not ended.
    pub(super) fn releasing(&self, counter: u64) -> Option<Edit> {
        let own = self.documents.content(&self.lobby, &self.me());
        let claim = own.claims.get(&counter).filter(|claim| claim.ended.is_none())?;
        Some(Entry::Claim(counter, self.released(claim)).into())
    }
}
