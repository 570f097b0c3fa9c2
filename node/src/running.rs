//! The loop: one task owns the core, takes one input after the other and hands its effects to the workers.
//!
//! `select!` only picks the source; nothing here waits on a worker. What a worker cannot take comes back to the core
//! as the failure that it is.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::TrySendError;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fedp2p_core::input::{CallId, VerifyToken};
use fedp2p_core::{Core, Effect, Input, Now};
use fedp2p_protocols::api::{Answer, Caller, Reply, Request, join, status};
use fedp2p_protocols::op::{self, Op, Verified};
use fedp2p_protocols::pulse::AgentKind;
use rand_core::OsRng;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use crate::committing::Committing;
use crate::daemon::Report;
use crate::net::{self, Done, Net};
use crate::server::Incoming;
use crate::store::{self, Store};

/// Up to this many signatures are checked on the loop: handing them over would take longer.
const VERIFY_INLINE: usize = 2;
/// Most batches that wait for their signatures to be checked.
const VERIFY_QUEUE: usize = 1024;
/// How long the loop stays awake for a commit when there is nothing else to do: the time of a small one, twice.
const STAY: Duration = Duration::from_micros(200);
/// How long ago the commit before must be. Under load the loop had better collect what the store writes together.
const RESTED: Duration = Duration::from_millis(1);
/// For how many commits it does not, once one took longer.
const ASLEEP_FOR: u32 = 16;

/// Why the loop ended.
pub(crate) enum Exit {
    /// It was told to stop.
    Stop,
    /// The node is to join an organisation and start again.
    Join { request: join::Request, answer: mpsc::Sender<Answer> },
    /// A worker has ended by itself.
    Lost(&'static str),
}

/// Everything that the loop drives.
pub(crate) struct Loop<'a> {
    core: Core,
    net: Net,
    net_events: mpsc::Receiver<net::Event>,
    store: Store,
    store_events: mpsc::Receiver<store::Event>,
    committing: Committing,
    /// What tells the sender of the frame that is looked at now, and of those whose signatures are being checked.
    looked_at: Option<Done>,
    checked: HashMap<VerifyToken, Done>,
    /// The same of what is being written, by the number of the commit.
    writing: Vec<(u64, Done)>,
    /// When the store was last given a commit.
    committed_at: Option<Instant>,
    /// For how many commits the loop does not stay awake, because it did so in vain.
    asleep_for: u32,
    calls: &'a mut mpsc::Receiver<Incoming>,
    stop: &'a mut mpsc::Receiver<()>,
    verifier: Verifier,
    clients: HashMap<CallId, mpsc::Sender<Answer>>,
    /// Watching clients that have gone.
    gone: (mpsc::UnboundedSender<CallId>, mpsc::UnboundedReceiver<CallId>),
    next_call: u64,
    clock: Clock,
    /// Inputs that follow from effects; they come before anything new.
    inputs: VecDeque<Input>,
    report: &'a (dyn Fn(Report) + Send + Sync),
    listens: bool,
    exit: Option<Exit>,
}

/// The call by which the loop itself asks how the node is doing.
const OWN_CALL: CallId = CallId(u64::MAX);

/// The workers, as they were started.
pub(crate) struct Workers {
    pub(crate) net: Net,
    pub(crate) net_events: mpsc::Receiver<net::Event>,
    pub(crate) store: Store,
    pub(crate) store_events: mpsc::Receiver<store::Event>,
}

/// The ends of the loop that outlive it.
pub(crate) struct Outside<'a> {
    pub(crate) calls: &'a mut mpsc::Receiver<Incoming>,
    pub(crate) stop: &'a mut mpsc::Receiver<()>,
    pub(crate) report: &'a (dyn Fn(Report) + Send + Sync),
}

/// Reads both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Now { wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX), monotonic: self.start.elapsed() }
    }

    fn instant(&self, at: Duration) -> tokio::time::Instant {
        let day = Duration::from_secs(24 * 3600);
        tokio::time::Instant::from_std(self.start + at.min(self.start.elapsed() + day))
    }
}

/// A thread that checks signatures in batches, in order.
struct Verifier {
    batches: std::sync::mpsc::SyncSender<(VerifyToken, Vec<Op>)>,
    results: mpsc::Receiver<(VerifyToken, Vec<Option<Verified>>)>,
    waiting: usize,
    /// Checks on the loop what is not worth handing over.
    inline: op::Verifier,
    /// Batches for which the queue has no room; the core's quotas bound how many there can be.
    backlog: VecDeque<(VerifyToken, Vec<Op>)>,
}

impl Verifier {
    fn start() -> std::io::Result<Self> {
        let (batches, to_check) = std::sync::mpsc::sync_channel::<(VerifyToken, Vec<Op>)>(VERIFY_QUEUE);
        let (checked, results) = mpsc::channel(VERIFY_QUEUE);
        std::thread::Builder::new().name("verify".to_owned()).spawn(move || {
            let mut verifier = op::Verifier::default();
            while let Ok((token, ops)) = to_check.recv() {
                if checked.blocking_send((token, check(&mut verifier, ops))).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { batches, results, waiting: 0, inline: op::Verifier::default(), backlog: VecDeque::new() })
    }

    /// Moves what waits into the queue, as far as it has room, in order.
    fn feed(&mut self) {
        while let Some(batch) = self.backlog.pop_front() {
            if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) = self.batches.try_send(batch) {
                self.backlog.push_front(batch);
                return;
            }
        }
    }
}

fn check(verifier: &mut op::Verifier, ops: Vec<Op>) -> Vec<Option<Verified>> {
    verifier.verify(ops, &mut OsRng).into_iter().map(Result::ok).collect()
}

impl<'a> Loop<'a> {
    /// Makes the loop; `effects` are what the core wants done first.
    ///
    /// # Errors
    /// If the thread that checks signatures cannot be started.
    pub(crate) fn new(
        core: Core,
        effects: Vec<Effect>,
        clock: Clock,
        workers: Workers,
        outside: Outside<'a>,
    ) -> std::io::Result<Self> {
        let mut this = Self {
            core,
            net: workers.net,
            net_events: workers.net_events,
            store: workers.store,
            store_events: workers.store_events,
            committing: Committing::default(),
            looked_at: None,
            checked: HashMap::new(),
            writing: Vec::new(),
            committed_at: None,
            asleep_for: 0,
            calls: outside.calls,
            stop: outside.stop,
            verifier: Verifier::start()?,
            clients: HashMap::new(),
            // Bounded by the number of clients.
            gone: mpsc::unbounded_channel(),
            next_call: 0,
            clock,
            inputs: VecDeque::new(),
            report: outside.report,
            listens: false,
            exit: None,
        };
        this.carry_out(effects);
        Ok(this)
    }

    /// Runs until something ends it; then closes the workers.
    pub(crate) async fn run(mut self) -> Exit {
        let exit = loop {
            while let Some(input) = self.inputs.pop_front() {
                self.take(input);
            }
            if let Some(exit) = self.exit.take() {
                break exit;
            }
            let due = self.clock.instant(self.core.deadline());
            let has_room = self.committing.has_room();
            // No source comes first: a peer that never pauses must not keep people and timers waiting.
            let input = tokio::select! {
                stop = self.stop.recv() => match stop {
                    Some(()) => break Exit::Stop,
                    None => break Exit::Lost("signals"),
                },
                event = self.store_events.recv() => match event {
                    Some(event) => self.told_by_store(event),
                    None => break Exit::Lost("the store"),
                },
                Some((token, ops)) = self.verifier.results.recv(), if has_room => {
                    self.verifier.waiting -= 1;
                    self.verifier.feed();
                    Input::Verified(token, ops)
                }
                event = self.net_events.recv(), if has_room => match event {
                    Some(net::Event::Notice(text)) => {
                        self.note(text);
                        continue;
                    }
                    Some(mut event) => {
                        self.looked_at = event.take_done();
                        from_net(event)
                    }
                    None => break Exit::Lost("the network"),
                },
                Some(incoming) = self.calls.recv(), if has_room => self.call(incoming),
                Some(id) = self.gone.1.recv() => match self.clients.remove(&id) {
                    Some(_) => Input::CallEnded(id),
                    None => continue,
                },
                () = tokio::time::sleep_until(due) => Input::Tick,
            };
            self.take(input);
        };
        self.close().await;
        exit
    }

    fn told_by_store(&mut self, event: store::Event) -> Input {
        let input = match event {
            store::Event::Committed(token) => Input::Committed(token),
            store::Event::CommitFailed(token, error) => Input::CommitFailed(token, error),
            store::Event::Read(token, outcome) => return Input::Read(token, outcome),
        };
        self.committing.ended();
        // After this input and before anything new.
        self.inputs.extend(self.committing.failure());
        input
    }

    fn note(&self, text: String) {
        (self.report)(Report::Log(text));
    }

    fn take(&mut self, input: Input) {
        if matches!(input, Input::Listening(_)) && !std::mem::replace(&mut self.listens, true) {
            let caller = Caller { name: "node".parse().expect("a valid name"), kind: AgentKind::Ai };
            let request = Request::Status(status::Request {});
            self.inputs.push_back(Input::Call { id: OWN_CALL, caller, request });
        }
        let checked = if let Input::Verified(token, _) = &input { self.checked.remove(token) } else { None };
        // A failure takes everything with it that is on its way.
        let failed = matches!(input, Input::CommitFailed(..));
        let upto = if let Input::Committed(token) = &input { token.number } else { 0 };
        let effects = self.core.handle(self.clock.now(), input);
        let number =
            |effect: &Effect| if let Effect::Commit(commit) = effect { Some(commit.token.number) } else { None };
        let last = effects.iter().rev().find_map(number);
        self.carry_out(effects);
        self.writing.retain(|(number, _)| !failed && *number > upto);
        // What a frame brought has been dealt with once it is stored and everything has followed from it.
        let done = checked.or_else(|| self.looked_at.take());
        if let (Some(done), Some(last)) = (done, last) {
            self.writing.push((last, done));
        }
    }

    fn call(&mut self, incoming: Incoming) -> Input {
        let id = CallId(self.next_call);
        self.next_call += 1;
        self.clients.insert(id, incoming.answers);
        if matches!(incoming.call.request, Request::Watch(_)) {
            let told = self.gone.0.clone();
            drop(tokio::spawn(async move {
                // It ends by an error, as nobody sends anything.
                let _gone = incoming.gone.await;
                // A loop that has ended has no clients.
                let _told = told.send(id);
            }));
        }
        Input::Call { id, caller: incoming.call.caller, request: incoming.call.request }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        let before = self.committing.under_way();
        for effect in effects {
            self.dispatch(effect);
        }
        if self.committing.under_way() > before {
            let rested = self.committed_at.replace(Instant::now()).is_none_or(|at| at.elapsed() > RESTED);
            if rested && self.is_idle() {
                self.stay_for_store();
            }
        }
    }

    /// Stays awake while the store writes a commit.
    ///
    /// To fall asleep and be woken takes longer than most commits do. What takes longer than [`STAY`], because the
    /// disk is slow or the processor busy, is waited for like everything else.
    fn stay_for_store(&mut self) {
        if self.asleep_for > 0 {
            self.asleep_for -= 1;
            return;
        }
        let until = Instant::now() + STAY;
        while Instant::now() < until {
            match self.store_events.try_recv() {
                Ok(event) => {
                    let input = self.told_by_store(event);
                    // Before what follows from it.
                    self.inputs.push_front(input);
                    return;
                }
                // The store may need this very processor.
                Err(TryRecvError::Empty) => std::thread::yield_now(),
                Err(TryRecvError::Disconnected) => return,
            }
        }
        self.asleep_for = ASLEEP_FOR;
    }

    /// Whether nothing waits but what the store was told to do.
    fn is_idle(&self) -> bool {
        self.verifier.waiting == 0
            && self.inputs.is_empty()
            && self.exit.is_none()
            && self.calls.is_empty()
            && self.net_events.is_empty()
    }

    fn dispatch(&mut self, effect: Effect) {
        match effect {
            Effect::Commit(commit) => {
                let token = commit.token;
                match self.store.commit(commit) {
                    Ok(()) => self.committing.taken(),
                    Err(refused) => {
                        self.committing.refused(token, refused.into());
                        self.inputs.extend(self.committing.failure());
                    }
                }
            }
            Effect::Read(token, read) => {
                if let Err(refused) = self.store.read(token, read) {
                    let outcome = fedp2p_core::store::ReadOutcome::Failed(refused.into());
                    self.inputs.push_back(Input::Read(token, outcome));
                }
            }
            Effect::Verify(token, ops) => self.verify(token, ops),
            Effect::Reply(id, answer) => self.reply(id, answer),
            Effect::Event(event) => (self.report)(Report::Event(event)),
            Effect::Join { call, request } => {
                if let Some(answer) = self.clients.remove(&call) {
                    self.exit = Some(Exit::Join { request, answer });
                }
            }
            Effect::Stop => self.exit = Some(Exit::Stop),
            Effect::Subscribe { topic, .. } => self.tell_net(net::Command::Subscribe { topic }),
            Effect::Publish { topic, data } => self.tell_net(net::Command::Publish { topic, data }),
            Effect::Judge(id, verdict) => self.tell_net(net::Command::Judge(id, verdict)),
            Effect::Send { peer, frame } => self.tell_net(net::Command::Send { peer, frame }),
            Effect::Admit { peer, addresses } => self.tell_net(net::Command::Admit { peer, addresses }),
            Effect::HelloAnswer(exchange, yes) => self.tell_net(net::Command::HelloAnswer(exchange, yes)),
            Effect::Disconnect { peer, reason } => self.tell_net(net::Command::Disconnect { peer, reason }),
            Effect::TicketSecret(exchange, secret) => self.tell_net(net::Command::TicketSecret(exchange, secret)),
            Effect::JoinAnswer(exchange, answer) => self.tell_net(net::Command::JoinAnswer(exchange, answer)),
            Effect::OwnChain(chain) => self.tell_net(net::Command::OwnChain(chain)),
        }
    }

    fn tell_net(&self, command: net::Command) {
        if let Err(error) = self.net.send(command) {
            // A lost frame or answer ends in a time-out at the other end, and sync starts over.
            self.note(error.to_string());
        }
    }

    fn verify(&mut self, token: VerifyToken, ops: Vec<Op>) {
        if let Some(done) = self.looked_at.take() {
            self.checked.insert(token, done);
        }
        // Only with nothing before it: batches keep their order.
        if self.verifier.waiting == 0 && ops.len() <= VERIFY_INLINE {
            self.inputs.push_back(Input::Verified(token, check(&mut self.verifier.inline, ops)));
            return;
        }
        self.verifier.waiting += 1;
        self.verifier.backlog.push_back((token, ops));
        self.verifier.feed();
    }

    fn reply(&mut self, id: CallId, answer: Answer) {
        if id == OWN_CALL {
            if let Answer::Ok(Reply::Status(status)) = answer {
                (self.report)(Report::Ready(Box::new(status)));
            }
            return;
        }
        let Some(client) = self.clients.get(&id) else { return };
        let goes_on = matches!(answer, Answer::Event(_) | Answer::Ok(Reply::Watch(_)));
        let sent = client.try_send(answer);
        if sent.is_err() || !goes_on {
            self.clients.remove(&id);
        }
        if sent.is_err() {
            self.inputs.push_back(Input::CallEnded(id));
        }
    }

    async fn close(self) {
        let (done, closed) = oneshot::channel();
        if self.net.send(net::Command::Shutdown(done)).is_ok() {
            // The worker answers or is gone; either way the network is closed.
            let _closed = tokio::time::timeout(Duration::from_secs(2), closed).await;
        }
        let store = self.store;
        let closed = tokio::task::spawn_blocking(move || store.close()).await;
        if let Ok(Err(error)) = closed {
            (self.report)(Report::Log(format!("the store did not close cleanly: {error}")));
        }
    }
}

fn from_net(event: net::Event) -> Input {
    match event {
        net::Event::Listening(addresses) => Input::Listening(addresses),
        net::Event::Hello { exchange, peer, welcome } => Input::Hello { exchange, peer, welcome },
        net::Event::Connected { peer, address } => Input::Connected { peer, address },
        net::Event::Disconnected { peer } => Input::Disconnected { peer },
        net::Event::Gossip { id, data } => Input::Gossip { id, data },
        net::Event::Frame { peer, frame, done: _ } => Input::Frame { peer, frame },
        net::Event::TicketShown { exchange, ticket } => Input::TicketShown { exchange, ticket },
        net::Event::JoinRequested { exchange, peer, ticket, request } => {
            Input::JoinRequested { exchange, peer, ticket, request }
        }
        net::Event::Notice(_) => Input::Tick,
    }
}
