//! What comes in: tasks that are taken, messages that are read, and news of both.

use std::sync::Arc;

use fedp2p_protocols::api::claim::Claim;
use fedp2p_protocols::api::message::Message;
use fedp2p_protocols::api::task::Task;
use fedp2p_protocols::api::{inbox, surfaced, task_list, task_next, task_show, watch};
use fedp2p_protocols::claim::Resource;
use fedp2p_protocols::task::State;
use tokio::sync::watch as told;
use tokio::time::Instant;

use super::{Job, Phase, Runner, version};
use crate::agent::document::{bare, full};
use crate::agent::report::Event;
use crate::agent::{Why, job};

/// How many messages are read at once: so few that their texts fit into one answer whatever they are.
const PAGE: u32 = 50;

impl Runner {
    /// Begins with as much as there is room for.
    pub(super) async fn fill(&mut self) {
        if self.recover && !self.taking && self.phase == Phase::Running {
            self.recover().await;
        }
        while self.is_free() {
            let Some(task) = self.queue.pop_front() else { break };
            self.begin_task(task, true);
        }
        if self.mail {
            self.read_inbox().await;
        }
        if self.look && self.is_free() && !self.taking && self.queue.is_empty() {
            // What is heard from now on may come after the daemon has looked.
            (self.taking, self.look) = (true, false);
            let mut calls = self.shared.door.calls();
            let request = task_next::Request {
                ttl_s: Some(self.settings.lease_s),
                another: true,
                except: self.declined.now(Instant::now()),
            };
            self.jobs.spawn(async move { Job::Took(calls.call(request).await.map(|reply| reply.task)) });
        }
    }

    /// Finds the tasks that the agent holds and nobody works on: an earlier run was killed, or an answer got lost.
    async fn recover(&mut self) {
        let states = vec![State::Submitted, State::Working];
        let request = task_list::Request { mine: true, states, ..task_list::Request::default() };
        let Some(listed) = self.call(&request).await else { return };
        self.recover = false;
        let holds = |task: &Task| {
            let holder = task.holder.as_ref();
            holder.is_some_and(|holder| holder.confirmed && holder.agent == self.shared.me)
        };
        let held: Vec<String> = listed.tasks.iter().filter(|task| holds(task)).map(full).collect();
        for id in held {
            if self.tasks.contains_key(&id) || self.queue.iter().any(|task| full(task) == id) {
                continue;
            }
            // With all that lists leave out.
            if let Some(task) = self.call(&task_show::Request { id }).await {
                self.queue.push_back(task);
            }
        }
    }

    pub(super) fn begin_task(&mut self, task: Box<Task>, resumed: bool) {
        self.shared.report.tell(&Event::taken(&task, resumed));
        let end = (self.phase != Phase::Running).then_some(Why::Stopping);
        let (sender, cancel) = told::channel(end);
        self.tasks.insert(full(&task), sender);
        let shared = Arc::clone(&self.shared);
        self.jobs.spawn(async move {
            let ended = job::task(&shared, task.clone(), cancel).await;
            Job::Task(task, ended)
        });
    }

    fn begin_message(&mut self, message: Message) {
        self.shared.report.tell(&Event::Received { message: message.id, from: &message.from });
        self.inbox.begin(&message);
        let (sender, cancel) = told::channel(None);
        let position = message.position;
        self.messages.insert(position, sender);
        let shared = Arc::clone(&self.shared);
        self.jobs.spawn(async move { Job::Message(position, job::message(&shared, message, cancel).await) });
    }

    /// Reads what waits, begins with what there is room for, and moves the inbox on past what was handled.
    pub(super) async fn read_inbox(&mut self) {
        let Some(reply) = self.call(&inbox::Request { limit: PAGE, held: false }).await else { return };
        self.mail = false;
        let waiting = reply.messages;
        while self.phase == Phase::Running {
            let Some(message) = self.inbox.next(&waiting) else { break };
            if self.is_for_us(message) {
                if !self.is_free() {
                    break;
                }
                self.begin_message(message.clone());
            } else {
                self.shared.report.tell(&Event::passed_over(message));
                self.inbox.end(message.position);
            }
        }
        if let Some(cursor) = self.inbox.cursor(&waiting) {
            let moved = surfaced::Request { cursor, held: reply.with_held };
            if self.call(&moved).await.is_some() {
                self.inbox.moved(cursor);
                self.mail = reply.more > 0;
            }
        }
    }

    fn is_for_us(&self, message: &Message) -> bool {
        let addressed = message.to.contains(&self.shared.me) || (message.to.is_empty() && self.settings.everybody);
        addressed && message.from != self.shared.me && self.settings.types.contains(&message.kind)
    }

    /// Something happened.
    pub(super) fn hear(&mut self, event: &watch::Event) {
        match event {
            watch::Event::Message(_) | watch::Event::Attention { .. } => self.mail = self.settings.messages,
            watch::Event::Task(task) => self.hear_of_task(task),
            watch::Event::Claim(claim) => self.hear_of_claim(claim),
            watch::Event::Pulse(_)
            | watch::Event::Vote(_)
            | watch::Event::Note { .. }
            | watch::Event::Peer { .. }
            | watch::Event::Agent(_)
            | watch::Event::Notice { .. } => {}
        }
    }

    fn hear_of_task(&mut self, task: &Task) {
        if !self.settings.tasks {
            return;
        }
        let id = full(task);
        let over = task.state.is_terminal();
        if over {
            self.declined.forget(&id);
        } else {
            self.declined.seen(&id, version(task));
        }
        // What is over can be what another task waited for.
        self.look |= task.ready || over;
        let by_us = task.statements.last().is_some_and(|said| said.by == self.shared.me);
        if self.tasks.contains_key(&id) && !by_us && (over || !self.holds(task)) {
            self.suspects.insert(id);
        }
    }

    fn hear_of_claim(&mut self, claim: &Claim) {
        let Resource::Task(key) = &claim.resource else { return };
        if claim.state.is_live() {
            return;
        }
        self.look |= self.settings.tasks;
        if claim.by == self.shared.me {
            let meant = self.tasks.keys().filter(|id| bare(id) == key.id.as_str());
            self.suspects.extend(meant.cloned());
        }
    }

    fn holds(&self, task: &Task) -> bool {
        task.holder.as_ref().is_some_and(|holder| holder.agent == self.shared.me)
    }

    /// Ends the work on tasks that are not the agent's any more. Events may be older than what was done since.
    pub(super) async fn check_suspects(&mut self) {
        while let Some(id) = self.suspects.pop_first() {
            let Some(cancel) = self.tasks.get(&id).cloned() else { continue };
            let Some(task) = self.call(&task_show::Request { id }).await else { continue };
            let by = task.holder.as_ref().map(|holder| holder.agent.to_string());
            let why = match by {
                _ if task.state.is_terminal() => format!("it is {}", task.state),
                _ if self.holds(&task) => continue,
                Some(by) => format!("{by} holds it"),
                None => "its lease has run out".to_owned(),
            };
            cancel.send_replace(Some(Why::Lost(why)));
        }
    }
}
