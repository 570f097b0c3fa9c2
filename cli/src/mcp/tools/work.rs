//! Roles and tasks.

use fedp2p_protocols::api::task::{Assignee, Task};
use fedp2p_protocols::api::watch::Event;
use fedp2p_protocols::api::{
    role_assign, task_cancel, task_claim, task_list, task_new, task_next, task_show, task_update,
};
use fedp2p_protocols::name::RoleName;
use fedp2p_protocols::task::{Priority, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout_at;

use super::Author;
use super::talk::word;
use crate::error::Error;
use crate::mcp::link::Link;
use crate::mcp::tool::{Arguments, Effects, Outcome, given, one_or_many, until};
use crate::mcp::words;

/// Give an agent a role, and with subtask a task to do in it. Tasks and questions can name role:NAME.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssignRole {
    /// Default lobby
    conversation_id: Option<String>,
    agent: String,
    /// Such as analyst
    role: RoleName,
    subtask: Option<String>,
    /// Id of that task
    task_id: Option<String>,
}

/// Who has the role.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Assigned {
    agent: String,
    role: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<String>,
}

impl Arguments for AssignRole {
    const NAME: &'static str = "federation_assign_role";
    const EFFECTS: Effects = Effects::Each;
    type Answer = Assigned;

    async fn run(self, link: &Link) -> Outcome<Assigned> {
        let request = role_assign::Request {
            agent: self.agent,
            role: self.role,
            subtask: self.subtask,
            subtask_id: self.task_id,
            conversation: self.conversation_id,
        };
        let reply = link.call(request).await?;
        let (agent, role) = (reply.role.agent.to_string(), reply.role.role.to_string());
        let task_id = reply.task.map(|task| task.id);
        let said = match &task_id {
            Some(task) => format!("{agent} is {role} and has task {task}"),
            None => format!("{agent} is {role}"),
        };
        Ok((Assigned { agent, role, task_id }, said))
    }
}

/// A task as models see it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Shown {
    task_id: String,
    state: String,
    by: String,
    #[serde(flatten)]
    author: Author,
    title: String,
    to: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Read on at this offset
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    after: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    /// Number of the holder's claim
    #[serde(skip_serializing_if = "Option::is_none")]
    fence: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<String>,
}

impl Shown {
    pub(crate) fn of(task: Task, offset: usize) -> Self {
        let (text, next) = match &task.text {
            Some(text) => {
                let (text, next) = words::page(text, offset, words::MAX_TEXT_BYTES);
                (Some(text), next)
            }
            None => (None, None),
        };
        Self {
            task_id: task.id,
            state: word(&task.state),
            by: task.by.to_string(),
            author: task.origin.into(),
            title: task.title,
            to: match task.to {
                Assignee::Anyone => "anyone".to_owned(),
                Assignee::Role(role) => format!("role:{role}"),
                Assignee::Agent(agent) => agent.to_string(),
            },
            ready: task.ready,
            priority: Some(task.priority).filter(|priority| *priority != Priority::default()).map(|p| word(&p)),
            text,
            next,
            data: task.data,
            after: task.after.into_iter().map(|need| need.id).collect(),
            due: task.due.map(words::time),
            fence: task.holder.as_ref().map(|holder| holder.fence.clone()),
            holder: task.holder.map(|holder| holder.agent.to_string()),
            said: task.note,
            result: task.result.map(|result| words::page(&result, 0, words::MAX_TEXT_BYTES).0),
        }
    }
}

/// Take a task for yourself before you work on it; of all who try, one gets it. Without task_id: the next one that is ready
/// for you, or the one you already hold. Report with federation_tasks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimTask {
    task_id: Option<String>,
    /// What you do about it
    description: Option<String>,
    /// Make the task if there is none of this id
    #[serde(default)]
    create: bool,
    /// Without task_id: wait so many seconds, up to 50
    #[serde(default)]
    wait_s: u32,
}

/// The task that was claimed, if there was one.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Claimed {
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Shown>,
}

impl Arguments for ClaimTask {
    const NAME: &'static str = "federation_claim_task";
    const EFFECTS: Effects = Effects::Once;
    type Answer = Claimed;

    async fn run(self, link: &Link) -> Outcome<Claimed> {
        let task = match self.task_id {
            Some(id) => {
                let (description, create) = (self.description, self.create);
                Some(link.call(task_claim::Request { id, description, create, ..Default::default() }).await?)
            }
            None => next(self.wait_s, link).await?,
        };
        let said = match &task {
            Some(task) => format!("You hold {}", task.id),
            None => "No task is ready for you".to_owned(),
        };
        Ok((Claimed { task: task.map(|task| Shown::of(*task, 0)) }, said))
    }

    /// Whoever does not come back finds the task with its next call.
    fn only_waiting(self) -> Option<Self> {
        (self.wait_s > 0 && self.task_id.is_none()).then_some(self)
    }
}

/// Takes the next task that is ready, and waits for one if there is none.
async fn next(wait_s: u32, link: &Link) -> Result<Option<Box<Task>>, Error> {
    let (mut events, until) = (link.listen(), until(wait_s));
    loop {
        let task = link.call(task_next::Request::default()).await?.task;
        if task.is_some() || wait_s == 0 {
            return Ok(task);
        }
        loop {
            match timeout_at(until, events.recv()).await {
                Err(_) | Ok(Err(RecvError::Closed)) => return Ok(None),
                // A task, or who may take it, is another than before.
                Ok(Ok(Event::Task(_) | Event::Claim(_) | Event::Agent(_)) | Err(RecvError::Lagged(_))) => break,
                Ok(Ok(_)) => {}
            }
        }
    }
}

/// The task board. list: tasks that are not over; show: one; new: make one; report: say how far a task is that you hold
/// (state, note, result; submitted hands it back); cancel: one of yours.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tasks {
    action: Action,
    /// All but list; for new made from the title if absent
    task_id: Option<String>,
    /// new: one line
    title: Option<String>,
    /// new: at length
    text: Option<String>,
    /// new: agent, role:NAME or anyone
    to: Option<String>,
    /// new: tasks that come first
    #[serde(deserialize_with = "one_or_many")]
    #[schemars(with = "Vec<String>")]
    after: Vec<String>,
    /// new
    priority: Option<Priority>,
    /// report: working, input-required, completed, failed, rejected, submitted
    #[schemars(with = "Option<String>")]
    state: Option<State>,
    /// report, cancel: at most 1 KiB
    note: Option<String>,
    /// report: what came of it, at most 8 KiB
    result: Option<String>,
    /// list: only what you may take now
    ready: bool,
    /// list: only what you hold or may take
    mine: bool,
    /// list: what is over too
    all: bool,
    /// list: 1 to 100, default 30
    limit: Option<u32>,
    /// show: the byte to begin the text at
    offset: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Action {
    #[default]
    List,
    Show,
    New,
    Report,
    Cancel,
}

/// The tasks.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Board {
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    tasks: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<u64>,
}

impl Tasks {
    fn id(&self) -> Result<String, Error> {
        given(self.task_id.as_ref(), "task_id", "federation_tasks lists the tasks")
    }
}

impl Arguments for Tasks {
    const NAME: &'static str = "federation_tasks";
    const EFFECTS: Effects = Effects::Each;
    type Answer = Board;

    async fn run(self, link: &Link) -> Outcome<Board> {
        let (task, said) = match self.action {
            Action::List => return list(self, link).await,
            Action::Show => (link.call(task_show::Request { id: self.id()? }).await?, "Task"),
            Action::New => {
                let request = task_new::Request {
                    title: given(self.title.as_ref(), "title", "give title, in a line of at most 256 bytes")?,
                    id: self.task_id,
                    text: self.text,
                    to: self.to,
                    after: self.after,
                    priority: self.priority.unwrap_or_default(),
                    ..Default::default()
                };
                (link.call(request).await?, "Made task")
            }
            Action::Report => {
                let id = self.id()?;
                let request = task_update::Request { id, state: self.state, note: self.note, result: self.result };
                (link.call(request).await?, "Reported on task")
            }
            Action::Cancel => {
                (link.call(task_cancel::Request { id: self.id()?, reason: self.note }).await?, "Canceled task")
            }
        };
        let shown = Shown::of(*task, usize::try_from(self.offset).unwrap_or(usize::MAX));
        let said = format!("{said} {}: {}", shown.task_id, shown.state);
        Ok((Board { tasks: vec![shown], more: None }, said))
    }
}

async fn list(asked: Tasks, link: &Link) -> Outcome<Board> {
    let request = task_list::Request {
        all: asked.all,
        states: asked.state.into_iter().collect(),
        mine: asked.mine,
        ready: asked.ready,
        limit: Some(asked.limit.unwrap_or(30).clamp(1, 100)),
        after: None,
    };
    let reply = link.call(request).await?;
    let said = format!("{} tasks", reply.tasks.len());
    let tasks = reply.tasks.into_iter().map(|task| Shown::of(task, 0)).collect();
    Ok((Board { tasks, more: Some(reply.more).filter(|more| *more > 0) }, said))
}
