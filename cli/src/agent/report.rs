//! What happens, for those who look on: words on stderr, or a line of JSON on stdout each.

use std::time::Duration;

use fedp2p_protocols::api::message::Message;
use fedp2p_protocols::api::task::Task;
use fedp2p_protocols::id::OpId;
use fedp2p_protocols::name::{Address, RoleName};
use fedp2p_protocols::payload::MessageType;
use serde::Serialize;

use super::document::full;
use crate::error::Error;
use crate::ui::time::measured;
use crate::ui::{Output, escape};

/// The name of these events in their envelope.
const NAME: &str = "agent_run";

/// What some work is called: `task ID` or `message ID`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Which {
    /// A task by its whole id.
    Task(String),
    /// A message.
    Message(OpId),
}

impl Which {
    fn words(&self) -> String {
        match self {
            Self::Task(id) => format!("task {id}"),
            Self::Message(id) => format!("message {}", id.short()),
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// The runner is ready.
    Started {
        /// Its agent.
        agent: &'a Address,
        /// Its role.
        #[serde(skip_serializing_if = "Option::is_none")]
        role: Option<&'a RoleName>,
        /// The program, or the model at its endpoint.
        worker: &'a str,
    },
    /// A task was taken, or taken up again that an earlier run left.
    Taken {
        /// The task.
        task: String,
        /// Its title.
        title: &'a str,
        /// Whether the agent held it already.
        resumed: bool,
    },
    /// A message came that is to be handled.
    Received {
        /// The message.
        message: OpId,
        /// Its author.
        from: &'a Address,
    },
    /// A message is not for this runner: it is marked as handed over, and nothing else.
    PassedOver {
        /// The message.
        message: OpId,
        /// Its author.
        from: &'a Address,
        /// Its type.
        #[serde(rename = "type")]
        kind: MessageType,
    },
    /// A message was answered already, by an earlier run.
    AnsweredBefore {
        /// The message.
        message: OpId,
    },
    /// A try failed.
    TryFailed {
        /// The work.
        work: &'a Which,
        /// Why.
        why: &'a str,
        /// In how many milliseconds it is tried again.
        again_ms: u64,
    },
    /// Work is done.
    Done {
        /// The work.
        work: &'a Which,
        /// How long it took, in milliseconds.
        took_ms: u64,
        /// Whether the result was too long and is cut.
        cut: bool,
    },
    /// Work has failed for good.
    Failed {
        /// The work.
        work: &'a Which,
        /// Why.
        why: &'a str,
    },
    /// Work was given up, so that others can take it; a message waits on.
    HandedBack {
        /// The work.
        work: &'a Which,
        /// Why.
        why: &'a str,
    },
    /// Work waits for an answer.
    Asks {
        /// The work.
        work: &'a Which,
        /// The question.
        question: &'a str,
    },
    /// A task is not this agent's any more.
    Lost {
        /// The work.
        work: &'a Which,
        /// Why.
        why: &'a str,
    },
    /// The oldest part of a thread was summed up.
    Summary {
        /// The summary.
        message: OpId,
        /// How many messages it covers.
        covers: usize,
    },
    /// Something went wrong that ends nothing.
    Trouble {
        /// What.
        what: &'a str,
    },
    /// There is no daemon; the runner waits for it.
    DaemonGone,
    /// The daemon is back.
    DaemonBack,
    /// The runner takes nothing more.
    Stopping {
        /// How much work it still has in hand.
        in_hand: usize,
    },
    /// The runner has ended.
    Stopped {
        /// How much work was done.
        done: u32,
        /// How much has failed.
        failed: u32,
        /// How much was handed back.
        handed_back: u32,
    },
}

impl<'a> Event<'a> {
    /// A task was taken.
    pub(crate) fn taken(task: &'a Task, resumed: bool) -> Self {
        Self::Taken { task: full(task), title: &task.title, resumed }
    }

    /// A message is passed over.
    pub(crate) fn passed_over(message: &'a Message) -> Self {
        Self::PassedOver { message: message.id, from: &message.from, kind: message.kind }
    }

    fn words(&self) -> String {
        let after = |ms: u64| measured(Duration::from_millis(ms));
        match self {
            Self::Started { agent, role, worker } => {
                let role = role.map(|role| format!(" as {role}")).unwrap_or_default();
                format!("{agent} works{role} by {worker}; Ctrl-C ends it")
            }
            Self::Taken { task, title, resumed } => {
                let again = if *resumed { "goes on with" } else { "takes" };
                format!("{again} task {task}: {title}")
            }
            Self::Received { message, from } => format!("message {} of {from}", message.short()),
            Self::PassedOver { message, from, kind } => {
                format!("passes over message {} of {from}: it is of type {}", message.short(), kind.as_str())
            }
            Self::AnsweredBefore { message } => format!("message {} was answered before", message.short()),
            Self::TryFailed { work, why, again_ms } => {
                format!("{} failed, next try in {}: {why}", work.words(), after(*again_ms))
            }
            Self::Done { work, took_ms, cut } => {
                let cut = if *cut { "; its result is cut" } else { "" };
                format!("{} is done after {}{cut}", work.words(), after(*took_ms))
            }
            Self::Failed { work, why } => format!("{} failed for good: {why}", work.words()),
            Self::HandedBack { work, why } => match work {
                Which::Task(_) => format!("hands {} back: {why}", work.words()),
                Which::Message(_) => format!("leaves {} unread: {why}", work.words()),
            },
            Self::Asks { work, question } => format!("{} needs input: {question}", work.words()),
            Self::Lost { work, why } => format!("{} is not ours any more: {why}", work.words()),
            Self::Summary { message, covers } => format!("summed up {covers} messages in {}", message.short()),
            Self::Trouble { what } => (*what).to_owned(),
            Self::DaemonGone => "the daemon is gone; waiting for it".to_owned(),
            Self::DaemonBack => "the daemon is back".to_owned(),
            Self::Stopping { in_hand: 0 } => "stopping".to_owned(),
            Self::Stopping { in_hand } => format!("stopping; {in_hand} in hand. Again ends them at once"),
            Self::Stopped { done, failed, handed_back } => {
                format!("stopped: {done} done, {failed} failed, {handed_back} handed back")
            }
        }
    }
}

/// Tells what happens.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    out: Output,
}

impl Report {
    /// Tells it there.
    pub(crate) fn new(out: Output) -> Self {
        Self { out }
    }

    /// Tells it. Nobody who looks on can stop the work by looking away.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        if self.out.json() {
            drop(self.out.envelope(NAME, event, None));
        } else {
            self.out.note(&escape::line(&event.words()));
        }
    }

    /// Tells of something that went wrong and ends nothing.
    pub(crate) fn trouble(&self, what: &str, error: &Error) {
        let what = format!("{what}: {}", error.report("fedp2p").message);
        self.tell(&Event::Trouble { what: &what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::samples;

    #[test]
    fn events_are_tagged_objects_and_one_line_of_words() {
        let task = samples::task("profile", "x");
        let event = Event::taken(&task, false);
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(
            json,
            serde_json::json!({ "event": "taken", "task": "profile@taichi", "title": "do profile", "resumed": false })
        );
        assert_eq!(event.words(), "takes task profile@taichi: do profile");
        let work = Which::Task("profile@taichi".to_owned());
        let event = Event::Done { work: &work, took_ms: 1500, cut: true };
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["work"], serde_json::json!({ "task": "profile@taichi" }));
        assert!(event.words().starts_with("task profile@taichi is done after 1.5"), "{}", event.words());
    }
}
