//! Those who do tasks: they claim one, say how far it is, and give it up again.

use std::collections::BTreeSet;

use fedp2p_crdt::content::{Edit, Entry, StatementPlace};
use fedp2p_crdt::task::{Holder, Standing};
use fedp2p_protocols::api::{self, Caller, Error, ErrorCode, Reply, task_claim, task_next, task_update};
use fedp2p_protocols::limits::{
    MAX_SAID, MAX_STATEMENTS, MAX_TASK_EXCEPT, MAX_TASK_NOTE_BYTES, MAX_TASK_RESULT_BYTES, MAX_TASK_TITLE_BYTES,
};
use fedp2p_protocols::task::{State, Statement, Task, TaskKey};
use fedp2p_protocols::vote::AgentId;

use super::wins::{Purpose, Waiting};
use super::{check_id, check_text, check_title, length, may_take};
use crate::Core;
use crate::author::Entries;
use crate::doors::Finish;
use crate::doors::budget::What;
use crate::input::CallId;

/// Among how many of the tasks that press alike an agent chooses.
const AMONG: usize = 16;

impl Core {
    /// Whether an agent that may take a task can have it now.
    pub(crate) fn is_free(&self, standing: &Standing<'_>) -> bool {
        standing.is_open() && standing.holder.as_ref().is_none_or(|holder| self.has_run_out(&holder.claim))
    }

    pub(super) fn not_for(&self, agent: &AgentId, id: &str) -> Error {
        Error::new(ErrorCode::Forbidden, format!("{id:?} is not for {}", self.address(agent)))
            .hint("\"fedp2p task show\" says for whom it is")
    }

    pub(crate) fn task_claim(
        &mut self,
        call: CallId,
        caller: &Caller,
        request: task_claim::Request,
    ) -> Result<(), Error> {
        let note = check_text("a description", request.description, MAX_TASK_NOTE_BYTES)?;
        let found = self.find_task_for(caller, &request.id).map(|(key, _)| key);
        let (key, edits) = match found {
            Err(error) if error.code == ErrorCode::NotFound && request.create => {
                let (key, task) = self.bare_task(caller, &request.id, note.as_deref())?;
                (key.clone(), vec![Entry::Task(key.id, task).into()])
            }
            found => (found?, Vec::new()),
        };
        if edits.is_empty() {
            let standing = self.board().task(&key).expect("a task that was found is on the board");
            if self.holds_task(caller, &standing) {
                let state = match standing.state {
                    State::Submitted => {
                        check_unblocked(&standing)?;
                        State::Working
                    }
                    // What it waited for has come.
                    State::InputRequired => State::Working,
                    going @ (State::Working | State::Completed | State::Failed | State::Canceled | State::Rejected) => {
                        going
                    }
                };
                if state == standing.state && note.is_none() {
                    // What was said before is stored when this is.
                    self.commit_call(Entries::default(), call, finish(&key, Reply::TaskClaim));
                    return Ok(());
                }
                return self.say(call, caller, &key, state, note, None, finish(&key, Reply::TaskClaim));
            }
            self.check_free(caller, &standing, &request.id)?;
        }
        let purpose = Purpose::Begin(note, !edits.is_empty());
        let waiting = Waiting { call, caller: caller.clone(), key, purpose, until: self.task_wait() };
        self.claim_task(waiting, edits, request.ttl_s)
    }

    /// A task that somebody claims before anybody has made it.
    fn bare_task(&self, caller: &Caller, id: &str, description: Option<&str>) -> Result<(TaskKey, Task), Error> {
        let key = self.free_key(check_id(id)?)?;
        let line = description.and_then(|text| text.lines().next()).filter(|line| line.len() <= MAX_TASK_TITLE_BYTES);
        let task = self.plain_task(caller, check_title(line.unwrap_or(id))?);
        self.check_room(&task)?;
        Ok((key, task))
    }

    pub(crate) fn task_next(
        &mut self,
        call: CallId,
        caller: &Caller,
        request: &task_next::Request,
    ) -> Result<(), Error> {
        if request.except.len() > MAX_TASK_EXCEPT {
            let message = format!("at most {MAX_TASK_EXCEPT} tasks can be left out, not {}", request.except.len());
            return Err(Error::new(ErrorCode::TooLarge, message).hint("take one by its id with \"fedp2p task start\""));
        }
        // One that is not there any more cannot be taken anyway.
        let except: BTreeSet<TaskKey> =
            request.except.iter().filter_map(|id| self.find_task(id).ok().map(|(key, _)| key)).collect();
        if request.another {
            return self.try_next(call, caller, request.ttl_s, except);
        }
        // One that was interrupted goes on where it was.
        let tasks = self.board().tasks();
        let held = tasks.iter().filter(|standing| {
            let goes_on =
                standing.state == State::Working || (standing.state == State::Submitted && standing.is_open());
            self.holds_task(caller, standing) && goes_on && !except.contains(&standing.key)
        });
        let first = held.min_by(|a, b| a.order().cmp(&b.order()));
        match first.map(|standing| (standing.key.clone(), standing.state)) {
            Some((key, State::Submitted)) => {
                self.say(call, caller, &key, State::Working, None, None, Finish::NextTask(key.clone()))
            }
            Some((key, _)) => {
                self.next_taken(call, &key);
                Ok(())
            }
            None => self.try_next(call, caller, request.ttl_s, except),
        }
    }

    /// An agent holds the task that it asked for.
    pub(crate) fn next_taken(&mut self, call: CallId, key: &TaskKey) {
        let task = self.show_task(key).map(Box::new);
        let reply = task_next::Reply { task, open: self.open_tasks() };
        self.answer(call, Reply::TaskNext(reply));
    }

    /// How many tasks are not over.
    fn open_tasks(&self) -> u32 {
        let tasks = self.board().tasks();
        let open = tasks.iter().filter(|standing| !standing.state.is_terminal()).count();
        u32::try_from(open).unwrap_or(u32::MAX)
    }

    /// Claims the first task that the caller may take, that can be claimed and that it has not tried.
    pub(super) fn try_next(
        &mut self,
        call: CallId,
        caller: &Caller,
        ttl_s: Option<u32>,
        mut tried: BTreeSet<TaskKey>,
    ) -> Result<(), Error> {
        let mut refused = None;
        for _ in 0..AMONG {
            let Some(key) = self.next_free(caller, &tried) else { break };
            tried.insert(key.clone());
            let purpose = Purpose::Next(ttl_s, tried.clone());
            let waiting = Waiting { call, caller: caller.clone(), key, purpose, until: self.task_wait() };
            match self.claim_task(waiting, Vec::new(), ttl_s) {
                Ok(()) => return Ok(()),
                Err(error) => refused = Some(error),
            }
        }
        if let Some(error) = refused {
            return Err(error);
        }
        let reply = task_next::Reply { task: None, open: self.open_tasks() };
        self.answer(call, Reply::TaskNext(reply));
        Ok(())
    }

    /// The task that the caller takes next, of those that it has not tried.
    fn next_free(&self, caller: &Caller, tried: &BTreeSet<TaskKey>) -> Option<TaskKey> {
        let agent = AgentId { node: self.me(), name: caller.name.clone() };
        let roles = self.roles_of(&agent);
        let tasks = self.board().tasks();
        let fits = |standing: &&Standing<'_>| {
            may_take(standing.task, &agent, &roles) && self.is_free(standing) && !tried.contains(&standing.key)
        };
        let mut free: Vec<&Standing<'_>> = tasks.iter().filter(fits).collect();
        free.sort_by(|a, b| a.order().cmp(&b.order()));
        choose(&free, &agent).map(|standing| standing.key.clone())
    }

    pub(crate) fn task_update(
        &mut self,
        call: CallId,
        caller: &Caller,
        request: task_update::Request,
    ) -> Result<(), Error> {
        let (key, standing) = self.find_task_for(caller, &request.id)?;
        let state = request.state.unwrap_or(standing.state);
        let note = check_text("a note", request.note, MAX_TASK_NOTE_BYTES)?;
        let result = check_text("a result", request.result, MAX_TASK_RESULT_BYTES)?;
        if state == State::Canceled {
            return Err(Error::new(ErrorCode::Invalid, "a task is canceled by whoever made it")
                .hint("\"fedp2p task cancel\" does it; who holds a task can fail, reject or hand it back"));
        }
        if result.is_some() && !matches!(state, State::Completed | State::Failed) {
            return Err(Error::new(ErrorCode::Invalid, format!("nothing has come yet of a task that is {state}"))
                .hint("say it as a note, or complete the task"));
        }
        if state == standing.state && note.is_none() && !state.is_terminal() {
            return Err(Error::new(ErrorCode::Invalid, format!("{:?} is {state} already", request.id))
                .hint("say something new: a state, or a note"));
        }
        let holds = self.holds_task(caller, &standing);
        if !holds && state == State::Rejected && !standing.state.is_terminal() {
            self.check_free(caller, &standing, &request.id)?;
            let waiting =
                Waiting { call, caller: caller.clone(), key, purpose: Purpose::Reject(note), until: self.task_wait() };
            return self.claim_task(waiting, Vec::new(), None);
        }
        if standing.state.is_terminal() || (holds && !standing.state.may_become(state)) {
            let message = format!("{:?} is {} and cannot become {state}", request.id, standing.state);
            return Err(Error::new(ErrorCode::Conflict, message).hint(after(standing.state)));
        }
        if !holds {
            return Err(self.not_held(&standing, &request.id));
        }
        if (standing.state, state) == (State::Submitted, State::Working) {
            check_unblocked(&standing)?;
        }
        // What ends the work is always heard.
        let chatter = note.is_some() && !state.is_terminal() && state != State::Submitted;
        if chatter {
            self.check_spending(caller, &[], What::Note)?;
        }
        self.say(call, caller, &key, state, note, result, finish(&key, Reply::TaskUpdate))?;
        if chatter {
            self.spend(caller, &[], What::Note, None);
        }
        Ok(())
    }

    /// As [`Core::find_task`]; of several with one id the one is meant that the caller holds.
    fn find_task_for(&self, caller: &Caller, text: &str) -> Result<(TaskKey, Standing<'_>), Error> {
        self.find_task(text).or_else(|error| {
            let is_meant =
                |standing: &Standing<'_>| standing.key.id.as_str() == text && self.holds_task(caller, standing);
            let mut held = self.board().tasks().into_iter().filter(is_meant);
            match (error.code, held.next(), held.next()) {
                (ErrorCode::Ambiguous, Some(one), None) => Ok((one.key.clone(), one)),
                _ => Err(error),
            }
        })
    }

    /// Whether the caller holds a task, and nobody can take it away any more.
    fn holds_task(&self, caller: &Caller, standing: &Standing<'_>) -> bool {
        standing.holder.as_ref().is_some_and(|holder| {
            holder.is_confirmed() && holder.agent.node == self.me() && holder.agent.name == caller.name
        })
    }

    fn not_held(&self, standing: &Standing<'_>, id: &str) -> Error {
        match &standing.holder {
            Some(holder) => Error::new(ErrorCode::Conflict, format!("{} holds {id:?}", self.address(&holder.agent)))
                .hint("only who holds a task can say how far it is"),
            None => Error::new(ErrorCode::Conflict, format!("nobody holds {id:?}"))
                .hint("take it with \"fedp2p task start\""),
        }
    }

    /// Checks that the caller may have a task now.
    fn check_free(&self, caller: &Caller, standing: &Standing<'_>, id: &str) -> Result<(), Error> {
        let agent = AgentId { node: self.me(), name: caller.name.clone() };
        let conflict = |message: String| Error::new(ErrorCode::Conflict, message);
        if standing.state.is_terminal() {
            return Err(conflict(format!("{id:?} is {}", standing.state)).hint(after(standing.state)));
        }
        if !may_take(standing.task, &agent, &self.roles_of(&agent)) {
            return Err(self.not_for(&agent, id));
        }
        if standing.task.is_announced() {
            return Err(conflict(format!("bids for {id:?} are taken")).hint("bid with \"fedp2p task bid\""));
        }
        if let Some(holder) = standing.holder.as_ref().filter(|holder| !self.has_run_out(&holder.claim)) {
            return Err(conflict(format!("{} holds {id:?}", self.address(&holder.agent)))
                .hint("\"fedp2p task next\" takes one that nobody holds"));
        }
        check_unblocked(standing)
    }

    /// Says how far a task is that the caller holds, and gives it up if that ends the work on it.
    #[expect(clippy::too_many_arguments, reason = "it is one statement and where the answer goes")]
    pub(super) fn say(
        &mut self,
        call: CallId,
        caller: &Caller,
        key: &TaskKey,
        state: State,
        note: Option<String>,
        result: Option<String>,
        finish: Finish,
    ) -> Result<(), Error> {
        let mut entries = Entries::default();
        let edits = self.statement(caller, key, state, note, result)?;
        self.edit_as(&mut entries, caller, edits)?;
        self.commit_call(entries, call, finish);
        Ok(())
    }

    /// The edits that say how far a task is.
    fn statement(
        &self,
        caller: &Caller,
        key: &TaskKey,
        state: State,
        note: Option<String>,
        result: Option<String>,
    ) -> Result<Vec<Edit>, Error> {
        // What ends the work on it is always heard.
        let ends = state.is_terminal() || state == State::Submitted;
        if !ends {
            self.check_task_bytes(length(&note) + length(&result))?;
        }
        let standing = self.board().task(key).expect("a task that is held is on the board");
        let held = standing.holder.as_ref().map(Holder::fence);
        let fence = held.ok_or_else(|| self.not_held(&standing, key.id.as_str()))?;
        let own = self.documents.content(&self.lobby, &self.me());
        let last = own.statements_on(key).filter(|(place, _)| place.agent == caller.name).last();
        let number = last.map_or(1, |(place, _)| place.number + 1);
        if own.statements.len() >= MAX_SAID && !ends {
            let message = format!("the agents of this node have said {MAX_SAID} things of tasks that are not over");
            return Err(Error::new(ErrorCode::TooLarge, message)
                .hint("complete some, or wait until those who made them are back and record what came of them"));
        }
        if number > MAX_STATEMENTS && !ends {
            let message = format!("an agent says at most {MAX_STATEMENTS} things of one task");
            return Err(Error::new(ErrorCode::TooLarge, message).hint("complete it, or hand it back"));
        }
        let said = Statement {
            made: standing.task.made,
            attempt: standing.task.attempt,
            fence: fence.counter,
            state,
            note,
            result,
            at: self.now.wall_ms,
        };
        let place = StatementPlace { task: key.clone(), agent: caller.name.clone(), number };
        let mut edits = vec![Entry::Statement(place, said).into()];
        if ends {
            edits.extend(self.releasing(fence.counter));
        }
        Ok(edits)
    }
}

/// Chooses one of the tasks that press the most. Each agent prefers others among the oldest of them, so that not all run
/// after the same one, of which all but one would be disappointed.
fn choose<'a, 'b>(free: &[&'b Standing<'a>], agent: &AgentId) -> Option<&'b Standing<'a>> {
    let pressing = |standing: &Standing<'_>| (standing.task.priority, standing.task.due);
    let first = free.first()?;
    let alike = free.iter().take(AMONG).take_while(|other| pressing(other) == pressing(first));
    let preference = |standing: &&&Standing<'_>| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(agent.node.as_bytes()).update(agent.name.as_str().as_bytes());
        hasher.update(standing.key.to_string().as_bytes());
        *hasher.finalize().as_bytes()
    };
    alike.min_by_key(preference).copied()
}

/// How a call ends that is answered with a task.
pub(super) fn finish(key: &TaskKey, wrap: fn(Box<api::task::Task>) -> Reply) -> Finish {
    Finish::Task(key.clone(), wrap)
}

/// What can be done with a task in this state.
fn after(state: State) -> &'static str {
    match state {
        State::Submitted => "take it with \"fedp2p task start\"",
        State::Working => "it can be completed, fail, wait for input, or be handed back",
        State::InputRequired => "go on with \"fedp2p task start\", or hand it back",
        State::Completed => "it is over; make a new task with \"fedp2p task new\"",
        State::Failed | State::Canceled | State::Rejected => "who made it can try it again with \"fedp2p task retry\"",
    }
}

/// Checks that a task has nothing in its way that is to be completed first.
fn check_unblocked(standing: &Standing<'_>) -> Result<(), Error> {
    if !standing.is_blocked() {
        return Ok(());
    }
    let open = standing.needs.iter().filter(|need| need.is_open());
    let names: Vec<&str> = open.map(|need| need.key.id.as_str()).collect();
    let message = format!("{:?} comes after {}", standing.key.id.as_str(), names.join(", "));
    Err(Error::new(ErrorCode::Conflict, message).hint("\"fedp2p task next\" takes one that has nothing in its way"))
}
