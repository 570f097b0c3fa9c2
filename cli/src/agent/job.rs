//! One piece of work from its beginning to its end: tried, tried again, and what came of it told to the mesh.
//!
//! What was told is durable before the work counts as over. If a daemon dies with the answer to that, it is looked up
//! whether it was told, and told again if not.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fedp2p_protocols::api::message::Message;
use fedp2p_protocols::api::task::Task;
use fedp2p_protocols::api::{ErrorCode, ack, history, send, task_list, task_show, task_update};
use fedp2p_protocols::name::Address;
use fedp2p_protocols::payload::{Cover, MessageType};
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_protocols::task::State;
use tokio::time::sleep;

use super::document::{Document, Work, bare, full};
use super::mesh::{Calls, Door, is_lost, refusal};
use super::model::Model;
use super::outcome::{Answer, Outcome, note};
use super::report::{Event, Report, Which};
use super::retry::Retries;
use super::{Cancel, Why, Worker, cancelled};
use crate::error::Error;

/// How many messages of a thread are given to the worker, the newest.
const THREAD: u32 = 200;
/// How many if these are too long for one answer.
const SHORT_THREAD: u32 = 50;
/// How long to wait before something is told again that could not be written.
const TELL_AGAIN: Duration = Duration::from_secs(5);
/// Among how many of the last messages an answer is looked for that may have been sent.
const SENT: u32 = 50;

/// What all work of a runner has in common.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The way to the daemon.
    pub(crate) door: Door,
    /// The agent.
    pub(crate) me: Address,
    /// Who does the work.
    pub(crate) worker: Worker,
    /// How often it is tried.
    pub(crate) retries: Retries,
    /// Whether messages can answer a question about a task.
    pub(crate) tasks: bool,
    /// Where it is told what happens.
    pub(crate) report: Report,
}

/// How work ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It is done.
    Done,
    /// It failed, and that was told.
    Failed,
    /// It was given up, so that others can do it; of a message, that it waits on.
    HandedBack,
    /// It could not be tried now. A task was given up, a message waits on.
    Unavailable,
    /// It waits for an answer.
    Waits,
    /// The task is not ours any more.
    Lost,
    /// The message was the answer that this task waited for.
    Resumes(Box<Task>),
}

/// Works on a task that the agent holds.
pub(crate) async fn task(shared: &Shared, task: Box<Task>, mut cancel: Cancel) -> Ended {
    let mut job = Job::new(shared, Which::Task(full(&task)));
    let thread = history::Request { correlation: Some(bare(&task.id).to_owned()), limit: THREAD, ..Default::default() };
    let thread = job.thread(thread).await;
    let mut document = Document::new(shared.me.clone(), Work::Task { task: task.clone() }, thread);
    let outcome = job.attempt(&mut document, &mut cancel).await;
    match outcome {
        Outcome::Done(answer) => job.complete(&task, &answer).await,
        Outcome::Failed(why) => {
            let ended = job.say(State::Failed, Some(why.clone()), None).await;
            job.over(ended, Ended::Failed, &Event::Failed { work: &job.which, why: &why })
        }
        Outcome::HandsBack(why) => job.hand_back(&why, Ended::HandedBack).await,
        Outcome::Unavailable(why) => job.hand_back(&why, Ended::Unavailable).await,
        Outcome::Asks(question) => job.ask(&task, &question).await,
        Outcome::Stopped => {
            let lost = cancel.borrow().clone();
            match lost {
                Some(Why::Lost(why)) => job.lost(&why),
                Some(Why::Stopping) | None => job.hand_back("the runner was stopped", Ended::HandedBack).await,
            }
        }
    }
}

/// Handles a message that the agent was sent.
pub(crate) async fn message(shared: &Shared, message: Message, mut cancel: Cancel) -> Ended {
    let mut job = Job::new(shared, Which::Message(message.id));
    let thread =
        history::Request { thread: Some(message.id.to_string()), limit: THREAD, ..history::Request::default() };
    let thread = job.thread(thread).await;
    if thread.iter().any(|other| is_answer(other, &message, &shared.me)) {
        shared.report.tell(&Event::AnsweredBefore { message: message.id });
        return Ended::Done;
    }
    if let Some(task) = job.awaited(&message, &thread).await {
        return job.resume(task, &message).await;
    }
    let work = Work::Message { message: Box::new(message.clone()) };
    let mut document = Document::new(shared.me.clone(), work, thread);
    match job.attempt(&mut document, &mut cancel).await {
        Outcome::Done(answer) => job.answer(&message, &answer).await,
        Outcome::Failed(why) | Outcome::HandsBack(why) => {
            let told = job.reply(&message, MessageType::Error, why.clone(), None).await;
            shared.report.tell(&Event::Failed { work: &job.which, why: &why });
            told.err().unwrap_or(Ended::Failed)
        }
        Outcome::Asks(question) => {
            let told = job.reply(&message, MessageType::Chat, question.clone(), None).await;
            shared.report.tell(&Event::Asks { work: &job.which, question: &question });
            told.err().unwrap_or(Ended::Waits)
        }
        Outcome::Unavailable(why) => {
            shared.report.tell(&Event::HandedBack { work: &job.which, why: &why });
            Ended::Unavailable
        }
        Outcome::Stopped => {
            shared.report.tell(&Event::HandedBack { work: &job.which, why: "the runner was stopped" });
            Ended::HandedBack
        }
    }
}

/// Whether a message is this agent's answer to another.
fn is_answer(answer: &Message, to: &Message, me: &Address) -> bool {
    let kinds = [MessageType::Result, MessageType::Error, MessageType::Chat];
    answer.reply_to == Some(to.id) && answer.from == *me && answer.verified && kinds.contains(&answer.kind)
}

struct Job<'a> {
    shared: &'a Shared,
    calls: Calls,
    which: Which,
    began: Instant,
}

impl<'a> Job<'a> {
    fn new(shared: &'a Shared, which: Which) -> Self {
        Self { shared, calls: shared.door.calls(), which, began: Instant::now() }
    }

    /// What was said before. Work goes on without it, if that cannot be read.
    async fn thread(&mut self, request: history::Request) -> Vec<Message> {
        let mut read = self.calls.call(request.clone()).await;
        let too_large = |error: &Error| refusal(error).is_some_and(|refusal| refusal.code == ErrorCode::TooLarge);
        if read.as_ref().is_err_and(too_large) {
            read = self.calls.call(history::Request { limit: SHORT_THREAD, ..request }).await;
        }
        match read {
            Ok(reply) => reply.messages,
            Err(error) => {
                self.shared.report.trouble("what was said before cannot be read", &error);
                Vec::new()
            }
        }
    }

    /// Tries until it is done, has failed often enough, or nobody wants it any more.
    async fn attempt(&mut self, document: &mut Document, cancel: &mut Cancel) -> Outcome {
        loop {
            if cancel.borrow().is_some() {
                return Outcome::Stopped;
            }
            if let Worker::Model(model) = &self.shared.worker {
                self.summarise(model, document, cancel).await;
            }
            let outcome = self.shared.worker.work(document, cancel).await;
            let (Outcome::Failed(why) | Outcome::Unavailable(why)) = &outcome else { return outcome };
            let Some(pause) = self.shared.retries.pause(document.attempt) else { return outcome };
            let again_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            self.shared.report.tell(&Event::TryFailed { work: &self.which, why, again_ms });
            tokio::select! {
                () = sleep(pause) => {}
                () = cancelled(cancel) => return Outcome::Stopped,
            }
            document.attempt += 1;
        }
    }

    /// Writes a summary of the thread's oldest part, if it has grown long.
    async fn summarise(&mut self, model: &Model, document: &mut Document, cancel: &mut Cancel) {
        let me = &self.shared.me;
        let (text, covered) = match model.summary(&document.thread, me, cancel).await {
            Ok(Some(summary)) => summary,
            Ok(None) => return,
            Err(why) => {
                let what = format!("the thread is not summed up: {why}");
                return self.shared.report.tell(&Event::Trouble { what: &what });
            }
        };
        let Some(last) = covered.last().copied() else { return };
        let others: BTreeSet<String> =
            covered.iter().filter(|message| message.from != *me).map(|message| message.from.to_string()).collect();
        let request = send::Request {
            to: others.into_iter().collect(),
            kind: MessageType::Summary,
            text: text.clone(),
            reply_to: Some(last.id.to_string()),
            correlation: last.correlation.clone(),
            covers: covered.iter().map(|message| message.id.to_string()).collect(),
            ..send::Request::default()
        };
        let covers: Vec<Cover> = covered.iter().map(|message| Cover { from: message.id, to: None }).collect();
        let template = last.clone();
        match self.calls.call(request).await {
            Ok(sent) => {
                self.shared.report.tell(&Event::Summary { message: sent.id, covers: covers.len() });
                document.thread.push(Message {
                    id: sent.id,
                    from: me.clone(),
                    from_kind: Some(AgentKind::Ai),
                    verified: true,
                    kind: MessageType::Summary,
                    text,
                    data: None,
                    covers,
                    ..template
                });
            }
            Err(error) => self.shared.report.trouble("the summary was not sent", &error),
        }
    }

    /// The task that waits for this message, if one does.
    async fn awaited(&mut self, message: &Message, thread: &[Message]) -> Option<Box<Task>> {
        let asked = message.reply_to.and_then(|id| thread.iter().find(|other| other.id == id));
        let asked = asked.filter(|asked| asked.from == self.shared.me).and_then(|asked| asked.correlation.clone());
        let about = [message.correlation.clone(), asked];
        if !self.shared.tasks || about.iter().all(Option::is_none) {
            return None;
        }
        let request = task_list::Request { mine: true, states: vec![State::InputRequired], ..Default::default() };
        let waiting = self.calls.call(request).await.ok()?.tasks;
        let holds = |task: &Task| task.holder.as_ref().is_some_and(|holder| holder.agent == self.shared.me);
        let is_meant =
            |task: &Task| about.iter().flatten().any(|about| about == bare(&task.id) || *about == full(task));
        waiting.into_iter().find(|task| holds(task) && is_meant(task)).map(Box::new)
    }

    /// Goes on with a task that waited for a message.
    async fn resume(&mut self, task: Box<Task>, message: &Message) -> Ended {
        self.which = Which::Task(full(&task));
        let note = format!("goes on with the answer of {} ({})", message.from, message.id.short());
        match self.say(State::Working, Some(note), None).await {
            Ok(()) => Ended::Resumes(task),
            // The answer came too late.
            Err(Untold::Lost(why)) => self.lost(&why),
            Err(Untold::Stopped | Untold::TooLarge(_)) => Ended::HandedBack,
        }
    }

    /// Completes the task. A result that is too long for the board goes to the task's creator as a message.
    async fn complete(&mut self, task: &Task, answer: &Answer) -> Ended {
        let (result, whole) = answer.result();
        let mut cut = !whole;
        if cut {
            self.send_result(task, answer).await;
        }
        let mut told = self.say(State::Completed, None, result).await;
        if let Err(Untold::TooLarge(why)) = &told {
            let note = note(&format!("its result has no room here: {why}"));
            if !cut {
                self.send_result(task, answer).await;
            }
            cut = true;
            told = self.say(State::Completed, Some(note), None).await;
        }
        let took_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.over(told, Ended::Done, &Event::Done { work: &self.which, took_ms, cut })
    }

    async fn send_result(&mut self, task: &Task, answer: &Answer) {
        let (text, data) = answer.message();
        self.tell_creator(task, MessageType::Result, text, data).await;
    }

    /// Says that the task waits for an answer, and asks its creator.
    async fn ask(&mut self, task: &Task, question: &str) -> Ended {
        let told = self.say(State::InputRequired, Some(question.to_owned()), None).await;
        if told.is_ok() {
            self.tell_creator(task, MessageType::Chat, question.to_owned(), None).await;
        }
        self.over(told, Ended::Waits, &Event::Asks { work: &self.which, question })
    }

    async fn tell_creator(&mut self, task: &Task, kind: MessageType, text: String, data: Option<serde_json::Value>) {
        if task.by == self.shared.me {
            return;
        }
        let correlation = Some(bare(&task.id).to_owned());
        let to = vec![task.by.to_string()];
        let request = send::Request { to, kind, text, data, correlation, ..send::Request::default() };
        if let Err(error) = self.send(request).await {
            self.shared.report.trouble(&format!("{} was not told", task.by), &error);
        }
    }

    async fn hand_back(&mut self, why: &str, ended: Ended) -> Ended {
        let told = self.say(State::Submitted, Some(note(why)), None).await;
        self.over(told, ended, &Event::HandedBack { work: &self.which, why })
    }

    fn lost(&self, why: &str) -> Ended {
        self.shared.report.tell(&Event::Lost { work: &self.which, why });
        Ended::Lost
    }

    /// Tells how it ended, unless it could not be told to the mesh.
    fn over(&self, told: Result<(), Untold>, ended: Ended, event: &Event<'_>) -> Ended {
        match told {
            Ok(()) => {
                self.shared.report.tell(event);
                ended
            }
            Err(Untold::Lost(why)) => self.lost(&why),
            Err(Untold::TooLarge(why)) => self.lost(&why),
            Err(Untold::Stopped) => Ended::HandedBack,
        }
    }

    /// Says how far the task is.
    async fn say(&mut self, state: State, note: Option<String>, result: Option<String>) -> Result<(), Untold> {
        let Which::Task(id) = self.which.clone() else { return Err(Untold::Stopped) };
        let request = task_update::Request { id: id.clone(), state: Some(state), note, result };
        loop {
            let error = match self.calls.call(request.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if is_lost(&error) {
                let shown = self.calls.call(task_show::Request { id: id.clone() }).await;
                let said = shown.ok().and_then(|task| {
                    task.statements.into_iter().rev().find(|said| said.by == self.shared.me).map(|said| said.state)
                });
                if said == Some(state) {
                    return Ok(());
                }
                continue;
            }
            match refusal(&error).map(|refusal| (refusal.code, refusal.message.clone())) {
                Some((ErrorCode::Conflict | ErrorCode::NotFound | ErrorCode::Forbidden, why)) => {
                    return Err(Untold::Lost(why));
                }
                Some((ErrorCode::TooLarge | ErrorCode::Invalid, why)) => return Err(Untold::TooLarge(why)),
                Some(_) => {
                    self.shared.report.trouble("what came of it could not be written; trying on", &error);
                    sleep(TELL_AGAIN).await;
                }
                None => {
                    self.shared.report.trouble("what came of it could not be told", &error);
                    return Err(Untold::Stopped);
                }
            }
        }
    }

    /// Answers a message with what came of it. Without anything to say it is acknowledged.
    async fn answer(&mut self, message: &Message, answer: &Answer) -> Ended {
        let told = if answer.is_empty() {
            let acknowledged = self.calls.call(ack::Request { ids: vec![message.id.to_string()] }).await;
            // What was perhaps acknowledged is acknowledged again another time, which does no harm.
            acknowledged.map(drop).or_else(|error| if is_lost(&error) { Ok(()) } else { Err(error) })
        } else {
            let (text, data) = answer.message();
            match self.reply(message, MessageType::Result, text, data).await {
                Ok(()) => Ok(()),
                Err(ended) => return ended,
            }
        };
        if let Err(error) = told {
            self.shared.report.trouble("the message is not acknowledged", &error);
        }
        let took_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let cut = answer.data.is_none() && !answer.text.fits(fedp2p_protocols::limits::MAX_TEXT_BYTES);
        self.shared.report.tell(&Event::Done { work: &self.which, took_ms, cut });
        Ended::Done
    }

    /// Replies to a message.
    ///
    /// # Errors
    /// With how the work ends if that is not possible: what is refused now is refused the next time too.
    async fn reply(
        &mut self,
        message: &Message,
        kind: MessageType,
        text: String,
        data: Option<serde_json::Value>,
    ) -> Result<(), Ended> {
        let request = send::Request {
            to: vec![message.from.to_string()],
            kind,
            text,
            data,
            reply_to: Some(message.id.to_string()),
            correlation: message.correlation.clone(),
            ..send::Request::default()
        };
        self.send(request).await.map_err(|error| {
            self.shared.report.trouble(&format!("the answer to {} was not sent", message.from), &error);
            if refusal(&error).is_some() { Ended::Failed } else { Ended::HandedBack }
        })
    }

    /// Sends a message, once if that can be told.
    async fn send(&mut self, request: send::Request) -> Result<(), Error> {
        loop {
            match self.calls.call(request.clone()).await {
                Err(error) if is_lost(&error) => {
                    let from = Some(self.shared.me.to_string());
                    let last = history::Request { from, limit: SENT, ..history::Request::default() };
                    let sent = self.calls.call(last).await?.messages;
                    if sent.iter().any(|sent| is_same(sent, &request)) {
                        return Ok(());
                    }
                }
                result => return result.map(drop),
            }
        }
    }
}

/// Whether a message is the one that was to be sent.
fn is_same(sent: &Message, request: &send::Request) -> bool {
    let reply_to = sent.reply_to.map(|id| id.to_string());
    sent.kind == request.kind
        && sent.text == request.text
        && sent.data == request.data
        && reply_to == request.reply_to
        && sent.correlation == request.correlation
}

/// Why something could not be said of a task.
#[derive(Debug)]
enum Untold {
    /// It is not the agent's any more.
    Lost(String),
    /// There is no room for it.
    TooLarge(String),
    /// The daemon cannot be talked to.
    Stopped,
}
