//! Tasks at the doors: made, changed, canceled. `show` shows them, `work` is about those who do them, `wins` about who
//! gets which, `offers` about those who would.

use std::collections::BTreeSet;

use fedp2p_crdt::content::Entry;
use fedp2p_crdt::task::{self as standing, Board, Standing};
use fedp2p_protocols::api::task::Bidding;
use fedp2p_protocols::api::{Caller, Error, ErrorCode, Reply, task_cancel, task_edit, task_new};
use fedp2p_protocols::limits::{
    MAX_TASK_AFTER, MAX_TASK_BYTES, MAX_TASK_DATA_BYTES, MAX_TASK_NOTE_BYTES, MAX_TASK_TEXT_BYTES, MAX_TASK_TIME_S,
    MAX_TASK_TITLE_BYTES, MAX_TASKS,
};
use fedp2p_protocols::name::TaskId;
use fedp2p_protocols::task::{Assignee, Cancellation, Offer, Priority, State, Task, TaskKey};
use fedp2p_protocols::vote::AgentId;

use super::Finish;
use crate::Core;
use crate::author::Entries;
use crate::input::CallId;

mod offers;
mod show;
mod wins;
mod work;

pub(crate) use show::may_take;
pub(crate) use wins::Waiting;

/// Where tasks are found, and where those that have left.
const LISTING: &str = "\"fedp2p task list --all\" lists them; what was over long ago is in the signed log only";

impl Core {
    /// All tasks, as they stand.
    pub(crate) fn board(&self) -> Board<'_> {
        let picture = self.documents.picture(&self.lobby);
        Board::of(&picture, &self.documents.claims(&self.lobby))
    }

    pub(crate) fn task_new(&mut self, call: CallId, caller: &Caller, request: task_new::Request) -> Result<(), Error> {
        let title = check_title(&request.title)?;
        let id = match &request.id {
            Some(id) => check_id(id)?,
            None => self.make_task_id(&title),
        };
        let key = self.free_key(id)?;
        let task = Task {
            text: check_text("a text", request.text, MAX_TASK_TEXT_BYTES)?,
            data: check_data(request.data.as_ref())?,
            after: self.find_after(&key, &request.after)?,
            priority: request.priority,
            to: self.assignee(caller, request.to.as_deref())?,
            due: request.due_s.map(|seconds| self.in_seconds("a task is due", seconds)).transpose()?,
            offer: request.offer.map(|bidding| self.offer(bidding)).transpose()?,
            ..self.plain_task(caller, title)
        };
        self.check_room(&task)?;
        self.write_task(call, caller, key, task, Reply::TaskNew)
    }

    pub(crate) fn task_edit(
        &mut self,
        call: CallId,
        caller: &Caller,
        request: task_edit::Request,
    ) -> Result<(), Error> {
        let (key, before) = self.own_task(caller, &request.id)?;
        let state = before.state;
        let mut task = before.task.clone();
        if request.retry && !matches!(state, State::Failed | State::Rejected | State::Canceled) {
            let message =
                format!("{:?} is {state}; only what failed, was rejected or canceled is tried again", request.id);
            return Err(Error::new(ErrorCode::Conflict, message).hint("make a new task with \"fedp2p task new\""));
        }
        if state.is_terminal() && !request.retry {
            let hint = if state == State::Completed {
                "make a new task with \"fedp2p task new\""
            } else {
                "try it again with \"fedp2p task retry\""
            };
            return Err(Error::new(ErrorCode::Conflict, format!("{:?} is {state}", request.id)).hint(hint));
        }
        if request.retry {
            (task.attempt, task.canceled, task.closed) = (next(task.attempt)?, None, None);
            offers::take_back(&mut task);
        }
        if let Some(title) = &request.title {
            task.title = check_title(title)?;
        }
        for field in &request.clear {
            match field.as_str() {
                "text" => task.text = None,
                "data" => task.data = None,
                "due" => task.due = None,
                "bids" => task.offer = None,
                _ => {
                    let suggestions = super::resolve::alike(field, ["text", "data", "due", "bids"].map(str::to_owned));
                    return Err(Error::new(ErrorCode::Invalid, format!("{field:?} cannot be taken away"))
                        .hint("what can be is text, data, due, bids")
                        .suggest(suggestions));
                }
            }
        }
        task.text = check_text("a text", request.text, MAX_TASK_TEXT_BYTES)?.or(task.text);
        task.data = check_data(request.data.as_ref())?.or(task.data);
        if let Some(after) = &request.after {
            task.after = self.find_after(&key, after)?;
        }
        task.priority = request.priority.unwrap_or(task.priority);
        if let Some(to) = &request.to {
            task.to = self.assignee(caller, Some(to))?;
        }
        if let Some(seconds) = request.due_s {
            task.due = Some(self.in_seconds("a task is due", seconds)?);
        }
        if let Some(bidding) = request.offer {
            if let Some(holder) = &before.holder {
                let message = format!("{} holds {:?} already", self.address(&holder.agent), request.id);
                return Err(Error::new(ErrorCode::Conflict, message).hint("wait until it is handed back, or cancel it"));
            }
            offers::take_back(&mut task);
            task.offer = Some(self.offer(bidding)?);
        }
        task.revision = next(task.revision)?;
        self.check_room(&task)?;
        self.write_task(call, caller, key, task, Reply::TaskEdit)
    }

    pub(crate) fn task_cancel(
        &mut self,
        call: CallId,
        caller: &Caller,
        request: task_cancel::Request,
    ) -> Result<(), Error> {
        let (key, before) = self.own_task(caller, &request.id)?;
        if before.state.is_terminal() {
            let message = format!("{:?} is {} already", request.id, before.state);
            return Err(Error::new(ErrorCode::Conflict, message).hint("there is nothing left to cancel"));
        }
        let reason = check_text("a reason", request.reason, MAX_TASK_NOTE_BYTES)?;
        let task = Task {
            canceled: Some(Cancellation { reason, at: self.now.wall_ms }),
            revision: next(before.task.revision)?,
            ..before.task.clone()
        };
        self.write_task(call, caller, key, task, Reply::TaskCancel)
    }

    /// A task for one agent that is described in one text. What does not fit into a title is cut there.
    pub(crate) fn task_for(
        &self,
        caller: &Caller,
        agent: &AgentId,
        text: &str,
        id: Option<&str>,
    ) -> Result<(TaskKey, Task), Error> {
        let line = text.trim().lines().next().unwrap_or_default();
        let most = line.floor_char_boundary(MAX_TASK_TITLE_BYTES);
        let title = check_title(&line[..most])?;
        let id = match id {
            Some(id) => check_id(id)?,
            None => self.make_task_id(&title),
        };
        let key = self.free_key(id)?;
        let whole = (title != text.trim()).then(|| text.to_owned());
        let task = Task {
            text: check_text("a text", whole, MAX_TASK_TEXT_BYTES)?,
            to: Assignee::Agent(agent.clone()),
            ..self.plain_task(caller, title)
        };
        self.check_room(&task)?;
        Ok((key, task))
    }

    /// A task that nothing is said of but what is to be done.
    fn plain_task(&self, caller: &Caller, title: String) -> Task {
        Task {
            by: caller.name.clone(),
            title,
            text: None,
            data: None,
            after: Vec::new(),
            priority: Priority::default(),
            to: Assignee::default(),
            due: None,
            revision: 1,
            attempt: 1,
            made: self.now.wall_ms,
            offer: None,
            canceled: None,
            closed: None,
        }
    }

    /// The key of a new task of this node.
    fn free_key(&self, id: TaskId) -> Result<TaskKey, Error> {
        let key = TaskKey { node: self.me(), id };
        if self.documents.content(&self.lobby, &key.node).tasks.contains_key(&key.id) {
            let message = format!("there is a task {:?} on this node already", key.id.as_str());
            return Err(Error::new(ErrorCode::Conflict, message).hint("choose another id: --id ID"));
        }
        Ok(key)
    }

    fn write_task(
        &mut self,
        call: CallId,
        caller: &Caller,
        key: TaskKey,
        task: Task,
        wrap: fn(Box<fedp2p_protocols::api::task::Task>) -> Reply,
    ) -> Result<(), Error> {
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, vec![Entry::Task(key.id.clone(), task).into()])?;
        self.commit_call(entries, call, Finish::Task(key, wrap));
        Ok(())
    }

    /// Finds a task that is the caller's to change.
    fn own_task(&self, caller: &Caller, id: &str) -> Result<(TaskKey, Standing<'_>), Error> {
        let (key, standing) = self.find_task(id)?;
        if key.node != self.me() || standing.task.by != caller.name {
            let by = self.address(&AgentId { node: key.node, name: standing.task.by.clone() });
            return Err(Error::new(ErrorCode::Forbidden, format!("only {by}, who made {id:?}, can change it"))
                .hint(format!("ask {by}")));
        }
        Ok((key, standing))
    }

    /// Finds a task by `id` or `id@node`.
    pub(crate) fn find_task(&self, text: &str) -> Result<(TaskKey, Standing<'_>), Error> {
        let picture = self.documents.picture(&self.lobby);
        let tasks = || picture.tasks().map(|(key, _)| key);
        let find = |tasks: &mut dyn Iterator<Item = TaskKey>| {
            self.find_on_node(text, tasks.map(|key| (key.node, key.id.to_string())), "task", LISTING)
        };
        let (node, id) = find(&mut tasks()).or_else(|error| {
            // Of several with one id the one is meant that is not over.
            let board = self.board();
            let is_open = |key: &TaskKey| board.task(key).is_some_and(|task| !task.state.is_terminal());
            let alike = tasks().filter(|key| key.id.as_str() == text).filter(is_open);
            if error.code == ErrorCode::Ambiguous { find(&mut { alike }).map_err(|_| error) } else { Err(error) }
        })?;
        let key = TaskKey { node, id: id.parse().expect("it is the id of a task") };
        let standing = self.board().task(&key).expect("a task that was found is on the board");
        Ok((key, standing))
    }

    /// Finds the tasks that another comes after.
    fn find_after(&self, key: &TaskKey, texts: &[String]) -> Result<Vec<TaskKey>, Error> {
        let mut found = BTreeSet::new();
        for text in texts {
            let own = text == key.id.as_str() && key.node == self.me();
            let need = if own { key.clone() } else { self.find_task(text)?.0 };
            found.insert(need);
        }
        if found.len() > MAX_TASK_AFTER {
            let message = format!("a task comes after at most {MAX_TASK_AFTER} others");
            return Err(Error::new(ErrorCode::TooLarge, message).hint("put a task in between that comes after some"));
        }
        let picture = self.documents.picture(&self.lobby);
        let circle = found.iter().find_map(|need| standing::way(&picture, need, key));
        if let Some(way) = circle {
            let names: Vec<&str> = std::iter::once(key).chain(&way).map(|key| key.id.as_str()).collect();
            // One that comes after itself makes no sense; a longer one depends on what others come after.
            let code = if way.len() > 1 { ErrorCode::Conflict } else { ErrorCode::Invalid };
            return Err(Error::new(code, format!("a circle: {}", names.join(" after "))).hint("leave out one of them"));
        }
        Ok(found.into_iter().collect())
    }

    fn assignee(&self, caller: &Caller, text: Option<&str>) -> Result<Assignee, Error> {
        match text {
            None | Some("anyone") => Ok(Assignee::Anyone),
            Some(text) => match text.strip_prefix("role:") {
                Some(role) => Ok(Assignee::Role(self.find_role(role)?)),
                None => Ok(Assignee::Agent(self.resolve_by(caller, text)?)),
            },
        }
    }

    fn offer(&self, bidding: Bidding) -> Result<Offer, Error> {
        let until = bidding.until_s.map(|seconds| self.in_seconds("bids are in", seconds)).transpose()?;
        if bidding.auto && until.is_none() {
            return Err(Error::new(ErrorCode::Invalid, "it is not said when the best bid gets the task")
                .hint("say until when bids are taken: --until TIME"));
        }
        Ok(Offer { until, auto: bidding.auto, award: None })
    }

    /// The moment that is so many seconds from now.
    fn in_seconds(&self, what: &str, seconds: u32) -> Result<u64, Error> {
        if (1..=MAX_TASK_TIME_S).contains(&seconds) {
            return Ok(self.now.wall_ms + u64::from(seconds) * 1000);
        }
        Err(Error::new(ErrorCode::Invalid, format!("{what} 1 to {MAX_TASK_TIME_S} seconds from now"))
            .hint("choose a time within these, or none"))
    }

    /// Checks that there is room for one more task, or for more in one.
    fn check_room(&self, task: &Task) -> Result<(), Error> {
        let own = self.documents.content(&self.lobby, &self.me());
        if own.tasks.values().filter(|task| !task.is_closed()).count() >= MAX_TASKS {
            let message = format!("the agents of this node have made {MAX_TASKS} tasks that are not over");
            return Err(Error::new(ErrorCode::TooLarge, message)
                .hint("end some of them first: \"fedp2p task cancel\" takes back what nobody will do"));
        }
        self.check_task_bytes(task.title.len() + length(&task.text) + length(&task.data))
    }

    /// Checks that this node's document has room for so much more text about tasks.
    fn check_task_bytes(&self, more: usize) -> Result<(), Error> {
        let own = self.documents.content(&self.lobby, &self.me());
        let of_task = |task: &Task| task.title.len() + length(&task.text) + length(&task.data);
        let tasks: usize = own.tasks.values().map(of_task).sum();
        let said = own.statements.values().map(|said| length(&said.note) + length(&said.result));
        if tasks + said.sum::<usize>() + more <= MAX_TASK_BYTES {
            return Ok(());
        }
        let message = format!("what this node's agents say about tasks has over {MAX_TASK_BYTES} bytes");
        Err(Error::new(ErrorCode::TooLarge, message).hint("say it in fewer words, or in a message or a file"))
    }

    /// An id from the words of the title that no task has.
    fn make_task_id(&self, title: &str) -> TaskId {
        let picture = self.documents.picture(&self.lobby);
        let id = super::resolve::free_id(title, "task", |id| picture.tasks().any(|(key, _)| key.id.as_str() == id));
        id.parse().expect("it is made of the characters of names")
    }
}

fn length(text: &Option<String>) -> usize {
    text.as_ref().map_or(0, String::len)
}

fn next(number: u32) -> Result<u32, Error> {
    let error = || Error::new(ErrorCode::TooLarge, "the task was changed too often").hint("make a new one");
    number.checked_add(1).ok_or_else(error)
}

fn check_title(title: &str) -> Result<String, Error> {
    let title = title.trim();
    if (1..=MAX_TASK_TITLE_BYTES).contains(&title.len()) && !title.contains(char::is_control) {
        return Ok(title.to_owned());
    }
    Err(Error::new(ErrorCode::Invalid, format!("a title is one line of 1 to {MAX_TASK_TITLE_BYTES} bytes"))
        .hint("say more with --text"))
}

/// Checks a text that may be absent; an empty one is.
fn check_text(what: &str, text: Option<String>, most: usize) -> Result<Option<String>, Error> {
    match text {
        Some(text) if text.len() > most => {
            Err(Error::new(ErrorCode::TooLarge, format!("{what} has at most {most} bytes, not {}", text.len()))
                .hint("say it in fewer words, or in a note: \"fedp2p note append\""))
        }
        text => Ok(text.filter(|text| !text.trim().is_empty())),
    }
}

fn check_data(data: Option<&serde_json::Value>) -> Result<Option<String>, Error> {
    check_text("data as text", data.map(ToString::to_string), MAX_TASK_DATA_BYTES)
}

fn check_id(id: &str) -> Result<TaskId, Error> {
    id.parse().map_err(|error| {
        Error::new(ErrorCode::Invalid, format!("{id:?} cannot be the id of a task: {error}"))
            .hint("an id has a-z, 0-9, '-' and '_', and at most 64 of them")
    })
}
