//! The simulator: nodes, a queue of what happens when, and the loop that plays it.
//!
//! A run is a pure function of scenario and seed. Nothing here waits; time jumps from event to event.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use fedp2p_core::input::{CallId, Exchange, VerifyToken};
use fedp2p_core::store::{Read, ReadToken};
use fedp2p_core::{Effect, Input};
use fedp2p_protocols::op::{Op, verify};

use crate::clients::Clients;
use crate::dice::Dice;
use crate::mesh::Mesh;
use crate::node::Node;
use crate::scenario::Scenario;
use crate::script::Act;

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// A core's deadline.
    Tick { node: usize, incarnation: u32 },
    /// A core is told something.
    Give { node: usize, incarnation: u32, input: Box<Input> },
    /// The disk writes the next commit.
    Write { node: usize, incarnation: u32 },
    /// The disk answers.
    Read { node: usize, incarnation: u32, token: ReadToken, read: Box<Read> },
    /// A sync frame arrives, if its connection still stands.
    Frame { from: usize, to: usize, link: u64, bytes: Vec<u8> },
    /// A gossip message arrives.
    Gossip { from: usize, to: usize, link: u64, data: Vec<u8> },
    /// The script goes on.
    Act(Act),
}

/// What an exchange of the network is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// `node` decides about `other`.
    Hello { node: usize, other: usize },
    /// `node` wants to join.
    Join { node: usize },
}

struct Queued {
    at: Duration,
    tie: u64,
    event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.tie) == (other.at, other.tie)
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.tie).cmp(&(other.at, other.tie))
    }
}

/// Counts of what happened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    pub(crate) frames: u64,
    pub(crate) frame_bytes: u64,
    pub(crate) gossip: u64,
    pub(crate) verified: u64,
}

pub(crate) struct Sim {
    pub(crate) scenario: Scenario,
    pub(crate) now: Duration,
    pub(crate) dice: Dice,
    pub(crate) nodes: Vec<Node>,
    pub(crate) mesh: Mesh,
    pub(crate) clients: Clients,
    pub(crate) exchanges: BTreeMap<Exchange, Purpose>,
    next_exchange: u64,
    queue: BinaryHeap<Reverse<Queued>>,
    ties: u64,
    pub(crate) counts: Counts,
    /// What must not have happened.
    pub(crate) faults: BTreeSet<String>,
    pub(crate) trace: Option<Vec<String>>,
}

/// More events than any honest run has.
const MAX_EVENTS: u64 = 3_000_000;

impl Sim {
    pub(crate) fn new(scenario: Scenario, seed: u64, trace: bool) -> Self {
        Self {
            scenario,
            now: Duration::from_secs(1),
            dice: Dice::new(seed),
            nodes: Vec::new(),
            mesh: Mesh::default(),
            clients: Clients::default(),
            exchanges: BTreeMap::new(),
            next_exchange: 0,
            queue: BinaryHeap::new(),
            ties: 0,
            counts: Counts::default(),
            faults: BTreeSet::new(),
            trace: trace.then(Vec::new),
        }
    }

    pub(crate) fn note(&mut self, node: usize, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>12.6} n{node} {}", self.now.as_secs_f64(), text()));
        }
    }

    pub(crate) fn fault(&mut self, text: String) {
        self.note(999, || format!("FAULT {text}"));
        if self.faults.len() < 20 {
            self.faults.insert(text);
        }
    }

    pub(crate) fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    pub(crate) fn at(&mut self, at: Duration, event: Event) {
        self.ties += 1;
        self.queue.push(Reverse(Queued { at, tie: self.ties, event }));
    }

    pub(crate) fn exchange(&mut self, purpose: Purpose) -> Exchange {
        self.next_exchange += 1;
        let exchange = Exchange(self.next_exchange);
        self.exchanges.insert(exchange, purpose);
        exchange
    }

    /// Plays until this moment.
    pub(crate) fn play_until(&mut self, end: Duration) {
        while self.queue.peek().is_some_and(|Reverse(next)| next.at <= end) {
            let Some(Reverse(next)) = self.queue.pop() else { break };
            self.now = self.now.max(next.at);
            self.counts.events += 1;
            if self.counts.events > MAX_EVENTS {
                self.fault("it does not come to rest: too many events".to_owned());
                return;
            }
            self.happen(next.event);
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick { node, incarnation } => self.tick(node, incarnation),
            Event::Give { node, incarnation, input } => {
                if self.nodes[node].incarnation == incarnation {
                    self.give(node, *input);
                }
            }
            Event::Write { node, incarnation } => self.write(node, incarnation),
            Event::Read { node, incarnation, token, read } => {
                if self.nodes[node].incarnation == incarnation {
                    let outcome = self.nodes[node].disk.read(&read);
                    self.give(node, Input::Read(token, outcome));
                }
            }
            Event::Frame { from, to, link, bytes } => self.frame_arrives(from, to, link, bytes),
            Event::Gossip { from, to, link, data } => self.gossip_arrives(from, to, link, data),
            Event::Act(act) => self.act(act),
        }
    }

    fn tick(&mut self, node: usize, incarnation: u32) {
        let now = self.now;
        if self.nodes[node].incarnation != incarnation || self.nodes[node].tick_at != Some(now) {
            return;
        }
        self.nodes[node].tick_at = None;
        self.give(node, Input::Tick);
        let deadline = self.nodes[node].core.as_ref().map(fedp2p_core::Core::deadline);
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.fault(format!("n{node} is due again at once after a tick"));
        }
    }

    /// Tells a core something and does what it wants done.
    pub(crate) fn give(&mut self, node: usize, input: Input) {
        let clock = self.nodes[node].clock(self.now);
        let Some(core) = &mut self.nodes[node].core else { return };
        let effects = core.handle(clock, input);
        self.carry_out(node, effects);
    }

    /// As [`Sim::give`], later, unless the process ends before.
    pub(crate) fn give_after(&mut self, delay: Duration, node: usize, input: Input) {
        let incarnation = self.nodes[node].incarnation;
        self.after(delay, Event::Give { node, incarnation, input: Box::new(input) });
    }

    pub(crate) fn carry_out(&mut self, node: usize, effects: Vec<Effect>) {
        for effect in effects {
            self.effect(node, effect);
        }
        let deadline = self.nodes[node].core.as_ref().map(fedp2p_core::Core::deadline);
        if let Some(deadline) = deadline.filter(|deadline| *deadline < Duration::from_secs(1 << 40)) {
            let at = deadline.max(self.now + Duration::from_micros(1));
            if self.nodes[node].tick_at != Some(at) {
                self.nodes[node].tick_at = Some(at);
                let incarnation = self.nodes[node].incarnation;
                self.at(at, Event::Tick { node, incarnation });
            }
        }
    }

    fn effect(&mut self, node: usize, effect: Effect) {
        let incarnation = self.nodes[node].incarnation;
        match effect {
            Effect::Commit(commit) => {
                self.nodes[node].queue.push_back(commit);
                if self.nodes[node].queue.len() == 1 {
                    let delay = self.dice.micros(100, 3000);
                    self.after(delay, Event::Write { node, incarnation });
                }
            }
            Effect::Read(token, read) => {
                let delay = self.dice.micros(50, 2000);
                self.after(delay, Event::Read { node, incarnation, token, read: Box::new(read) });
            }
            Effect::Verify(token, ops) => self.verify(node, token, ops),
            Effect::Reply(call, answer) => self.answered(node, call, answer),
            Effect::Event(event) => self.note(node, || format!("event {event:?}")),
            Effect::Publish { data, .. } => self.publish(node, &data),
            Effect::Judge(id, verdict) => self.judged(node, &id, verdict),
            Effect::Send { peer, frame } => self.send(node, &peer, frame),
            Effect::HelloAnswer(exchange, admitted) => self.hello_answered(exchange, admitted),
            Effect::Disconnect { peer, reason } => self.thrown_out(node, &peer, &reason),
            Effect::TicketSecret(exchange, secret) => self.ticket_answered(exchange, secret),
            Effect::JoinAnswer(exchange, answer) => self.join_answered(exchange, *answer),
            Effect::OwnChain(chain) => self.nodes[node].chain = Some(*chain),
            Effect::Subscribe { .. } | Effect::Admit { .. } | Effect::Join { .. } | Effect::Stop => {}
        }
    }

    fn verify(&mut self, node: usize, token: VerifyToken, ops: Vec<Op>) {
        self.counts.verified += ops.len() as u64;
        let verified = ops.into_iter().map(|op| verify(op).ok()).collect();
        let delay = self.dice.micros(20, 1500);
        self.give_after(delay, node, Input::Verified(token, verified));
    }

    fn write(&mut self, node: usize, incarnation: u32) {
        if self.nodes[node].incarnation != incarnation {
            return;
        }
        let full = self.nodes[node].full_until > self.now;
        let Some(commit) = self.nodes[node].queue.pop_front() else { return };
        let token = commit.token;
        let input = match self.nodes[node].disk.commit(commit, full) {
            Ok(()) => Input::Committed(token),
            Err(error) => Input::CommitFailed(token, error),
        };
        // A process can be killed after the commit and before it hears of it.
        let told = self.dice.micros(1, 300);
        self.give_after(told, node, input);
        if !self.nodes[node].queue.is_empty() {
            let delay = told + self.dice.micros(100, 3000);
            self.after(delay, Event::Write { node, incarnation });
        }
    }

    /// Asks a core something and returns the answer that it has at once.
    pub(crate) fn ask(
        &mut self,
        node: usize,
        request: fedp2p_protocols::api::Request,
    ) -> Option<fedp2p_protocols::api::Reply> {
        let caller = self.caller(node, 0);
        let clock = self.nodes[node].clock(self.now);
        let id = CallId(u64::MAX);
        let effects = self.nodes[node].core.as_mut()?.handle(clock, Input::Call { id, caller, request });
        let mut found = None;
        for effect in effects {
            if let Effect::Reply(_, fedp2p_protocols::api::Answer::Ok(reply)) = effect {
                found = Some(reply);
            } else {
                self.effect(node, effect);
            }
        }
        found
    }
}
