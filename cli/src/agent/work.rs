//! The loop of a runner: it hears of work by watching the daemon, has as much of it done at once as it may, and ends in
//! order.
//!
//! Nothing is polled: tasks are asked for when one may have become free, and the inbox is read when something came. Only
//! for what no event tells, such as a role that was given, it looks again once in a while.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use fedp2p_node::client::{CallError, Watch};
use fedp2p_protocols::api::task::Task;
use fedp2p_protocols::api::watch::{self, Hold, Topic};
use fedp2p_protocols::api::{self, ErrorCode, Operation, role_assign, role_list, state};
use fedp2p_protocols::name::RoleName;
use fedp2p_protocols::payload::MessageType;
use fedp2p_protocols::pulse::Pulse;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch as told;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::Why;
use super::document::full;
use super::inbox::Inbox;
use super::job::{Ended, Shared};
use super::mesh::{Calls, Pause, is_lost, may_pass, refusal};
use super::report::Event;
use super::retry::Declined;
use crate::error::Error;

mod intake;

/// How long to wait, at most, before looking for tasks without having heard of any.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// How long to take nothing more when what does the work cannot be had.
const UNAVAILABLE: Duration = Duration::from_secs(30);
/// How long handing back may take at the end, beside the grace of the programs.
const FAREWELL: Duration = Duration::from_secs(20);
/// How often to try to speak as the agent while an earlier run seems to do so: some seconds.
const HOLD_TRIES: u32 = 6;

/// What a runner does.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Its role, which it gives itself.
    pub(crate) role: Option<RoleName>,
    /// Whether it takes tasks.
    pub(crate) tasks: bool,
    /// Whether it handles messages.
    pub(crate) messages: bool,
    /// The types of messages that it handles.
    pub(crate) types: Vec<MessageType>,
    /// Whether it handles messages to everybody too.
    pub(crate) everybody: bool,
    /// How much it works on at once.
    pub(crate) concurrency: usize,
    /// How long its leases last, in seconds.
    pub(crate) lease_s: u32,
    /// How long work in hand has when the runner is to end.
    pub(crate) drain: Duration,
    /// How long a program has after SIGTERM.
    pub(crate) grace: Duration,
}

/// What a job of the loop came to.
enum Job {
    /// It was asked for a task.
    Took(Result<Option<Box<Task>>, Error>),
    /// A task was worked on.
    Task(Box<Task>, Ended),
    /// A message was handled.
    Message(u64, Ended),
}

/// How far the end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It is not.
    Running,
    /// Nothing more is taken; what is in hand has until then.
    Draining(Instant),
    /// What was in hand is being handed back, until then.
    Ending(Instant),
}

#[derive(Debug, Default)]
struct Counts {
    done: u32,
    failed: u32,
    handed_back: u32,
}

struct Runner {
    settings: Settings,
    shared: Arc<Shared>,
    calls: Calls,
    events: Option<Watch>,
    reconnect: (Instant, Pause),
    jobs: JoinSet<Job>,
    /// The tasks that are worked on, by their whole ids, and how that is ended.
    tasks: BTreeMap<String, told::Sender<Option<Why>>>,
    /// Tasks that the agent holds and nobody works on yet.
    queue: VecDeque<Box<Task>>,
    messages: BTreeMap<u64, told::Sender<Option<Why>>>,
    inbox: Inbox,
    declined: Declined,
    /// Tasks that may not be the agent's any more.
    suspects: BTreeSet<String>,
    taking: bool,
    /// There may be a task to take.
    look: bool,
    /// There may be a message to handle, or one that was.
    mail: bool,
    /// There may be tasks that the agent holds without knowing it.
    recover: bool,
    look_at: Instant,
    paused: Option<Instant>,
    phase: Phase,
    busy: Option<bool>,
    counts: Counts,
}

/// Runs an agent until it is told to end.
///
/// # Errors
/// If it cannot begin, or the daemon cannot be talked to any more.
pub(crate) async fn run(settings: Settings, shared: Arc<Shared>) -> Result<(), Error> {
    let caught = |kind| signal(kind).map_err(Error::system("listen for signals"));
    let (mut interrupt, mut terminate) = (caught(SignalKind::interrupt())?, caught(SignalKind::terminate())?);
    let mut runner = Runner::start(settings, shared).await?;
    let result = runner.work(&mut interrupt, &mut terminate).await;
    let Counts { done, failed, handed_back } = runner.counts;
    runner.shared.report.tell(&Event::Stopped { done, failed, handed_back });
    result
}

impl Runner {
    async fn start(settings: Settings, shared: Arc<Shared>) -> Result<Self, Error> {
        let mut calls = shared.door.calls();
        let now = Instant::now();
        let mut runner = Self {
            events: None,
            reconnect: (now, Pause::default()),
            jobs: JoinSet::new(),
            tasks: BTreeMap::new(),
            queue: VecDeque::new(),
            messages: BTreeMap::new(),
            inbox: Inbox::default(),
            declined: Declined::default(),
            suspects: BTreeSet::new(),
            taking: false,
            look: settings.tasks,
            mail: settings.messages,
            recover: settings.tasks,
            look_at: now + LOOK_AGAIN,
            paused: None,
            phase: Phase::Running,
            busy: None,
            counts: Counts::default(),
            calls: shared.door.calls(),
            settings,
            shared,
        };
        runner.events = Some(runner.hold().await?);
        if let Some(role) = &runner.settings.role {
            let agent = runner.shared.me.to_string();
            let has =
                calls.attempt(&role_list::Request { role: Some(role.clone()), ..Default::default() }).await?.roles;
            if !has.iter().any(|has| has.agent == runner.shared.me) {
                let role = role.clone();
                let assign = role_assign::Request { agent, role, subtask: None, subtask_id: None, conversation: None };
                calls.attempt(&assign).await?;
            }
        }
        runner.say("IDLE").await;
        runner.busy = Some(false);
        let worker = runner.shared.worker.name();
        let started = Event::Started { agent: &runner.shared.me, role: runner.settings.role.as_ref(), worker: &worker };
        runner.shared.report.tell(&started);
        Ok(runner)
    }

    async fn watch(&self) -> Result<Watch, Error> {
        let topics = vec![Topic::Inbox, Topic::Tasks, Topic::Claims];
        let request = watch::Request { topics, hold: Some(Hold::default()) };
        Ok(self.shared.door.connect().await?.watch(request).await?)
    }

    /// Watches for the first time. An earlier run of the agent that was killed just now may not be forgotten yet.
    async fn hold(&self) -> Result<Watch, Error> {
        let mut pause = Pause::default();
        for _ in 0..HOLD_TRIES {
            match self.watch().await {
                Err(error) if is_held(&error) => sleep(pause.next()).await,
                result => return result,
            }
        }
        let name = &self.shared.me.agent;
        let message = format!("another program speaks as {name} already");
        let hint = "stop it, or give this one another name: --name NAME";
        Err(Error::Refused(api::Error::new(ErrorCode::Conflict, message).hint(hint)))
    }

    async fn work(&mut self, interrupt: &mut Signal, terminate: &mut Signal) -> Result<(), Error> {
        loop {
            self.reconnect().await?;
            if self.events.is_some() {
                self.check_suspects().await;
                self.fill().await;
                self.pulse().await;
            }
            if self.phase != Phase::Running && self.jobs.is_empty() {
                self.say_goodbye().await;
                return Ok(());
            }
            let wake = self.wake();
            tokio::select! {
                event = next(&mut self.events) => match event {
                    Ok(Some(event)) => self.hear(&event),
                    Ok(None) | Err(_) => self.lose(),
                },
                Some(ended) = self.jobs.join_next() => self.ended(ended),
                () = sleep_until(wake) => self.tick()?,
                _ = interrupt.recv() => self.stop(),
                _ = terminate.recv() => self.stop(),
            }
        }
    }

    /// How much is in hand.
    fn in_hand(&self) -> usize {
        self.tasks.len() + self.inbox.in_hand() + usize::from(self.taking)
    }

    fn is_free(&self) -> bool {
        let paused = self.paused.is_some_and(|until| until > Instant::now());
        self.phase == Phase::Running && !paused && self.in_hand() < self.settings.concurrency
    }

    /// When something is due that no event tells.
    fn wake(&self) -> Instant {
        let now = Instant::now();
        let reconnect = self.events.is_none().then_some(self.reconnect.0);
        let end = match self.phase {
            Phase::Running => None,
            Phase::Draining(until) | Phase::Ending(until) => Some(until),
        };
        let due = [reconnect, end, self.paused, self.declined.next(now)];
        due.into_iter().flatten().chain([self.look_at]).min().unwrap_or(self.look_at)
    }

    /// Something is due.
    fn tick(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        if self.paused.is_some_and(|until| until <= now) {
            self.paused = None;
        }
        (self.look, self.mail) = (self.settings.tasks, self.settings.messages);
        if self.look_at <= now {
            self.look_at = now + LOOK_AGAIN;
        }
        match self.phase {
            Phase::Draining(until) if until <= now => self.end(),
            Phase::Ending(until) if until <= now => {
                self.jobs.abort_all();
                return Err(Error::NotYet {
                    message: "not everything could be handed back".to_owned(),
                    hint: "others can take it once the leases have run out".to_owned(),
                });
            }
            Phase::Running | Phase::Draining(_) | Phase::Ending(_) => {}
        }
        Ok(())
    }

    /// The daemon is gone.
    fn lose(&mut self) {
        if self.events.take().is_some() {
            self.shared.report.tell(&Event::DaemonGone);
            self.reconnect = (Instant::now(), Pause::default());
        }
    }

    /// Connects again, if it is time to try.
    async fn reconnect(&mut self) -> Result<(), Error> {
        if self.events.is_some() || self.reconnect.0 > Instant::now() {
            return Ok(());
        }
        match self.watch().await {
            Ok(events) => {
                self.events = Some(events);
                self.shared.report.tell(&Event::DaemonBack);
                // What happened meanwhile was not heard.
                (self.look, self.mail) = (self.settings.tasks, self.settings.messages);
                self.recover = self.settings.tasks;
                self.suspects.extend(self.tasks.keys().cloned());
                self.busy = None;
            }
            Err(Error::Connect(error)) if may_pass(&error) => self.wait_for_daemon(),
            Err(Error::Call(CallError::Lost { .. } | CallError::NotSent(_))) => self.wait_for_daemon(),
            Err(error) if is_held(&error) => self.wait_for_daemon(),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn wait_for_daemon(&mut self) {
        self.reconnect.0 = Instant::now() + self.reconnect.1.next();
    }

    /// Makes a call. A daemon that is gone is noticed.
    async fn call<O: Operation + Clone>(&mut self, operation: &O) -> Option<O::Reply> {
        match self.calls.attempt(operation).await {
            Ok(reply) => Some(reply),
            Err(error) if refusal(&error).is_some() => {
                self.shared.report.trouble(O::NAME, &error);
                None
            }
            Err(_) => {
                self.lose();
                None
            }
        }
    }

    /// A job has ended.
    fn ended(&mut self, ended: Result<Job, tokio::task::JoinError>) {
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => return,
        };
        // There is room again, or a message was handled.
        self.mail = self.settings.messages;
        match ended {
            Job::Took(taken) => self.took(taken),
            Job::Task(task, ended) => {
                self.tasks.remove(&full(&task));
                // What ended can be what another task waited for, and there is room for one more.
                self.look = self.settings.tasks;
                if matches!(ended, Ended::HandedBack | Ended::Unavailable) {
                    self.declined.add(&full(&task), version(&task), Instant::now());
                }
                self.count(ended);
            }
            Job::Message(position, ended) => {
                self.messages.remove(&position);
                match &ended {
                    Ended::HandedBack | Ended::Unavailable => self.inbox.put_back(position),
                    Ended::Done | Ended::Failed | Ended::Waits | Ended::Lost | Ended::Resumes(_) => {
                        self.inbox.end(position);
                    }
                }
                self.count(ended);
            }
        }
    }

    fn took(&mut self, taken: Result<Option<Box<Task>>, Error>) {
        self.taking = false;
        match taken {
            Ok(Some(task)) => {
                // There may be more.
                self.look = true;
                self.begin_task(task, false);
            }
            Ok(None) => {}
            // Whether a task was taken is not known.
            Err(error) if is_lost(&error) => (self.recover, self.look) = (true, true),
            Err(error) => {
                self.paused = Some(Instant::now() + UNAVAILABLE);
                self.shared.report.trouble("no task could be taken", &error);
            }
        }
    }

    fn count(&mut self, ended: Ended) {
        match ended {
            Ended::Done => self.counts.done += 1,
            Ended::Failed => self.counts.failed += 1,
            Ended::HandedBack => self.counts.handed_back += 1,
            Ended::Unavailable => {
                self.counts.handed_back += 1;
                self.paused = Some(Instant::now() + UNAVAILABLE);
            }
            Ended::Waits | Ended::Lost => {}
            Ended::Resumes(task) => self.begin_task(task, true),
        }
    }

    /// The runner was told to end: it takes nothing more. Told again, it ends what it has in hand.
    fn stop(&mut self) {
        if self.phase != Phase::Running {
            return self.end();
        }
        self.phase = Phase::Draining(Instant::now() + self.settings.drain);
        self.shared.report.tell(&Event::Stopping { in_hand: self.in_hand() + self.queue.len() });
        // Nobody has begun with these: they are handed back at once.
        while let Some(task) = self.queue.pop_front() {
            self.begin_task(task, true);
        }
    }

    /// Ends what is in hand.
    fn end(&mut self) {
        for cancel in self.tasks.values().chain(self.messages.values()) {
            cancel.send_replace(Some(Why::Stopping));
        }
        if !matches!(self.phase, Phase::Ending(_)) {
            self.phase = Phase::Ending(Instant::now() + self.settings.grace + FAREWELL);
        }
    }

    /// Says in the agent's pulse whether it works.
    async fn pulse(&mut self) {
        let busy = self.in_hand() > usize::from(self.taking);
        if self.busy == Some(busy) || (!busy && self.taking) {
            return;
        }
        self.busy = Some(busy);
        let status = if busy { "EXECUTING" } else { "IDLE" };
        self.say(status).await;
    }

    async fn say(&mut self, status: &str) {
        let role = self.settings.role.as_ref().map(|role| format!(" as {role}")).unwrap_or_default();
        let what = match (self.settings.tasks, self.settings.messages) {
            (true, false) => "tasks",
            (false, true) => "messages",
            (true, true) | (false, false) => "tasks and messages",
        };
        let pulse = Pulse {
            summary: Some(format!("Works on {what}{role}")),
            status: Some(status.to_owned()),
            ..Pulse::default()
        };
        self.call(&state::Request { pulse, clear: Vec::new() }).await;
    }

    async fn say_goodbye(&mut self) {
        if self.settings.messages && self.events.is_some() {
            // What was handled last is not handed out again.
            self.read_inbox().await;
        }
        if self.events.is_some() {
            self.say("STOPPED").await;
        }
    }
}

/// Whether somebody else speaks as the agent.
fn is_held(error: &Error) -> bool {
    refusal(error).is_some_and(|refusal| refusal.code == ErrorCode::Conflict)
}

/// What a task is as its creator wrote it.
fn version(task: &Task) -> (u32, u32) {
    (task.revision, task.attempt)
}

/// The next event; none ever while there is no daemon.
async fn next(events: &mut Option<Watch>) -> Result<Option<watch::Event>, CallError> {
    match events {
        Some(events) => events.next().await,
        None => pending().await,
    }
}
