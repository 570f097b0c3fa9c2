//! The simulator: nodes, a queue of what happens when, and the loop that plays it.
//!
//! A run is a pure function of its plan. Nothing here waits; time jumps from event to event.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use fedp2p_core::input::{CallId, Exchange, VerifyToken};
use fedp2p_core::store::{Read, ReadToken, Write};
use fedp2p_core::{Effect, Input};
use fedp2p_protocols::api::{Answer, Caller, Reply, Request};
use fedp2p_protocols::id::{NodeId, OpId};
use fedp2p_protocols::op::{Op, Verified, verify};
use fedp2p_protocols::pulse::AgentKind;

use crate::adversary::Attack;
use crate::check::{Fault, Invariant};
use crate::clients::Clients;
use crate::dice::{Dice, Stream};
use crate::leases::Leases;
use crate::mesh::Mesh;
use crate::node::Node;
use crate::notes::Notebook;
use crate::plan::{Act, Plan};
use crate::scenario::Scenario;
use crate::tell;

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// A core's deadline.
    Tick { node: usize, incarnation: u32 },
    /// A core is told something.
    Give { node: usize, incarnation: u32, input: Box<Input> },
    /// A node gets to what it was told meanwhile.
    Resume { node: usize, incarnation: u32 },
    /// The disk writes the next commit.
    Write { node: usize, incarnation: u32 },
    /// The disk answers.
    Read { node: usize, incarnation: u32, token: ReadToken, read: Box<Read> },
    /// A sync frame arrives, if its connection still stands.
    Frame { from: usize, to: usize, link: u64, bytes: Vec<u8> },
    /// A gossip message arrives.
    Gossip { from: usize, to: usize, link: u64, id: [u8; 20], data: Arc<[u8]> },
    /// The plan goes on.
    Act(Act),
    /// Those that can connect do.
    Connect,
    /// Two that said hello have not agreed.
    HelloTimeout { a: usize, b: usize },
    /// What can be compared while things go on is.
    Probe,
}

/// What an exchange of the network is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// `node` decides about `other`.
    Hello { node: usize, other: usize },
    /// `node` decides about somebody who must not get in.
    Stranger { node: usize },
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
    pub(crate) checks: u64,
    pub(crate) thrown_out: u64,
}

pub(crate) struct Sim {
    pub(crate) scenario: Scenario,
    pub(crate) now: Duration,
    pub(crate) dice: Dice,
    pub(crate) nodes: Vec<Node>,
    pub(crate) mesh: Mesh,
    pub(crate) clients: Clients,
    pub(crate) leases: Leases,
    pub(crate) notebook: Notebook,
    pub(crate) exchanges: BTreeMap<Exchange, Purpose>,
    next_exchange: u64,
    queue: BinaryHeap<Reverse<Queued>>,
    ties: u64,
    pub(crate) counts: Counts,
    /// What must not have happened.
    pub(crate) faults: Vec<Fault>,
    pub(crate) trace: Option<Vec<String>>,
    /// Signatures that were checked: the same bytes have the same answer on every node.
    signatures: HashMap<(OpId, [u8; 64]), bool>,
    /// Whether nodes may hold different entries of those that break the rules.
    pub(crate) lenient: bool,
    /// Of what the last comparison was, so that the same is not compared again.
    pub(crate) compared: Option<(String, String)>,
}

/// More events than any honest run has, for each node.
const MAX_EVENTS: u64 = 1_000_000;

impl Sim {
    pub(crate) fn new(plan: &Plan, trace: bool) -> Self {
        let mut sim = Self {
            scenario: plan.scenario.clone(),
            now: Duration::from_secs(1),
            dice: Dice::new(plan.seed, Stream::Run),
            nodes: Vec::new(),
            mesh: Mesh::new(&plan.scenario, plan.seed),
            clients: Clients::default(),
            leases: Leases::default(),
            notebook: Notebook::default(),
            exchanges: BTreeMap::new(),
            next_exchange: 0,
            queue: BinaryHeap::new(),
            ties: 0,
            counts: Counts::default(),
            faults: Vec::new(),
            trace: trace.then(Vec::new),
            signatures: HashMap::new(),
            lenient: plan.steps.iter().any(|step| matches!(step.act, Act::Attack { attack: Attack::ManyLogs, .. })),
            compared: None,
        };
        sim.set_up(plan);
        for step in &plan.steps {
            sim.at(Duration::from_micros(step.at_us), Event::Act(step.act.clone()));
        }
        sim.after(Duration::from_millis(1), Event::Connect);
        sim.after(Duration::from_secs(1), Event::Probe);
        sim
    }

    /// Writes a line of the trace: what a node does or what happens to it.
    pub(crate) fn note(&mut self, node: usize, depth: usize, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let indent = "  ".repeat(depth);
            trace.push(format!("{:>11.6}  {:<5}{indent}{}", self.now.as_secs_f64(), format!("n{node}"), text()));
        }
    }

    /// Writes a line of the trace about all nodes.
    pub(crate) fn announce(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>11.6}  == {}", self.now.as_secs_f64(), text()));
        }
    }

    pub(crate) fn fault(&mut self, invariant: Invariant, text: String) {
        self.announce(|| format!("BROKEN: {invariant}: {text}"));
        if self.faults.len() < 20 {
            let fault = Fault { invariant, text, at: self.now };
            if !self.faults.iter().any(|known| known.text == fault.text) {
                self.faults.push(fault);
            }
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

    /// The number of the node with this id, and of its copy if it has one, as a neighbour of another.
    pub(crate) fn number_of(&self, id: &NodeId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id() == *id)
    }

    /// Plays until this moment, or until something does not hold.
    pub(crate) fn play_until(&mut self, end: Duration) {
        let most = MAX_EVENTS * self.nodes.len() as u64;
        while self.queue.peek().is_some_and(|Reverse(next)| next.at <= end) {
            let Some(Reverse(next)) = self.queue.pop() else { break };
            self.now = self.now.max(next.at);
            self.counts.events += 1;
            if self.counts.events > most {
                self.fault(Invariant::Rest, "there is no end of events".to_owned());
            }
            if !self.faults.is_empty() {
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
            Event::Resume { node, incarnation } => {
                if self.nodes[node].incarnation == incarnation {
                    self.resume(node);
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
            Event::Gossip { from, to, link, id, data } => self.gossip_arrives(from, to, link, id, &data),
            Event::Act(act) => self.act(act),
            Event::Connect => {
                self.connect_all();
                self.after(Duration::from_millis(500), Event::Connect);
            }
            Event::HelloTimeout { a, b } => self.hello_timeout(a, b),
            Event::Probe => {
                self.probe();
                let pause = if self.scenario.large { 10 } else { 2 };
                self.after(Duration::from_secs(pause), Event::Probe);
            }
        }
    }

    fn tick(&mut self, node: usize, incarnation: u32) {
        let now = self.now;
        if self.nodes[node].incarnation != incarnation || self.nodes[node].tick_at != Some(now) {
            return;
        }
        let free = self.nodes[node].held_until();
        if free > now {
            self.nodes[node].tick_at = Some(free);
            self.at(free, Event::Tick { node, incarnation });
            return;
        }
        self.nodes[node].tick_at = None;
        self.hand(node, Input::Tick);
        let own = self.nodes[node].clock(now).monotonic;
        let deadline = self.nodes[node].core.as_ref().map(fedp2p_core::Core::deadline);
        if deadline.is_some_and(|deadline| deadline <= own) {
            self.fault(Invariant::Rest, format!("n{node} is due again at once after a tick"));
        }
    }

    /// Tells a core something, as soon as it gets to it.
    pub(crate) fn give(&mut self, node: usize, input: Input) {
        let this = &mut self.nodes[node];
        if this.core.is_none() {
            return;
        }
        let free = this.held_until();
        if free <= self.now && this.backlog.is_empty() {
            self.hand(node, input);
            return;
        }
        this.backlog.push_back(input);
        if this.backlog.len() == 1 {
            let incarnation = this.incarnation;
            self.at(free, Event::Resume { node, incarnation });
        }
    }

    fn resume(&mut self, node: usize) {
        loop {
            let free = self.nodes[node].held_until();
            if self.nodes[node].backlog.is_empty() {
                return;
            }
            if free > self.now {
                let incarnation = self.nodes[node].incarnation;
                self.at(free, Event::Resume { node, incarnation });
                return;
            }
            let Some(input) = self.nodes[node].backlog.pop_front() else { return };
            self.hand(node, input);
        }
    }

    /// Tells a core something and does what it wants done.
    fn hand(&mut self, node: usize, input: Input) {
        let now = self.now;
        let this = &mut self.nodes[node];
        let clock = this.clock(now);
        let (until, each) = this.slow;
        if until > now {
            this.busy_until = now + each;
        }
        if matches!(input, Input::Read(..)) {
            this.seen.reads = this.seen.reads.saturating_sub(1);
        }
        if matches!(input, Input::Committed(_) | Input::CommitFailed(..)) {
            this.seen.commits = this.seen.commits.saturating_sub(1);
        }
        if self.trace.is_some()
            && let Some(text) = tell::input(self, &input)
        {
            self.note(node, 1, || text);
        }
        let Some(core) = &mut self.nodes[node].core else { return };
        let effects = core.handle(clock, input);
        self.observe(node, &effects);
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
        let slept = self.nodes[node].slept;
        let deadline = self.nodes[node].core.as_ref().map(fedp2p_core::Core::deadline);
        if let Some(deadline) = deadline.filter(|deadline| *deadline < Duration::from_secs(1 << 40)) {
            let at = (deadline + slept).max(self.now + Duration::from_micros(1));
            if self.nodes[node].tick_at != Some(at) {
                self.nodes[node].tick_at = Some(at);
                let incarnation = self.nodes[node].incarnation;
                self.at(at, Event::Tick { node, incarnation });
            }
        }
    }

    pub(crate) fn effect(&mut self, node: usize, effect: Effect) {
        let incarnation = self.nodes[node].incarnation;
        if self.trace.is_some()
            && let Some(text) = tell::effect(self, &effect)
        {
            self.note(node, 2, || text);
        }
        match effect {
            Effect::Commit(commit) => {
                self.nodes[node].seen.commits += 1;
                self.nodes[node].queue.push_back(commit);
                if self.nodes[node].queue.len() == 1 {
                    let delay = self.dice.micros(100, 3000);
                    self.after(delay, Event::Write { node, incarnation });
                }
            }
            Effect::Read(token, read) => {
                self.nodes[node].seen.reads += 1;
                let delay = self.dice.micros(50, 2000);
                self.after(delay, Event::Read { node, incarnation, token, read: Box::new(read) });
            }
            Effect::Verify(token, ops) => self.verify(node, token, ops),
            Effect::Reply(call, answer) => self.answered(node, call, answer),
            Effect::Publish { data, .. } => self.publish(node, &data),
            Effect::Judge(id, verdict) => self.judged(node, &id, verdict),
            Effect::Send { peer, frame } => self.send(node, &peer, frame),
            Effect::HelloAnswer(exchange, admitted) => self.hello_answered(exchange, admitted),
            Effect::Disconnect { peer, reason } => self.thrown_out(node, &peer, &reason),
            Effect::TicketSecret(exchange, secret) => self.ticket_answered(exchange, secret),
            Effect::JoinAnswer(exchange, answer) => self.join_answered(exchange, *answer),
            Effect::OwnChain(chain) => self.nodes[node].chain = Some(*chain),
            Effect::Event(_) | Effect::Subscribe { .. } | Effect::Admit { .. } | Effect::Join { .. } | Effect::Stop => {
            }
        }
    }

    fn verify(&mut self, node: usize, token: VerifyToken, ops: Vec<Op>) {
        self.counts.verified += ops.len() as u64;
        let mut check = |op: Op| {
            let key = (op.id(), op.signature());
            match self.signatures.get(&key) {
                Some(true) => Some(Verified::from_store(op)),
                Some(false) => None,
                None => {
                    let verified = verify(op).ok();
                    self.signatures.insert(key, verified.is_some());
                    verified
                }
            }
        };
        let verified = ops.into_iter().map(&mut check).collect();
        let delay = self.dice.micros(20, 1500);
        self.give_after(delay, node, Input::Verified(token, verified));
    }

    fn write(&mut self, node: usize, incarnation: u32) {
        if self.nodes[node].incarnation != incarnation {
            return;
        }
        let frozen = self.nodes[node].frozen_until;
        if frozen > self.now {
            self.at(frozen, Event::Write { node, incarnation });
            return;
        }
        let full = self.nodes[node].full_until > self.now;
        let Some(commit) = self.nodes[node].queue.pop_front() else { return };
        let token = commit.token;
        let forked = |write: &Write| {
            let Write::Fork { key, .. } = write else { return None };
            self.number_of(&key.author).filter(|node| self.nodes[*node].forgot)
        };
        let forked: Vec<usize> = commit.writes.iter().filter_map(forked).collect();
        let input = match self.nodes[node].disk.commit(commit, full) {
            Ok(()) => {
                forked.into_iter().for_each(|node| self.claims_forgotten(node));
                Input::Committed(token)
            }
            Err(error) => Input::CommitFailed(token, error),
        };
        self.check_writes(node);
        // A process can be killed after the commit and before it hears of it.
        let told = self.dice.micros(1, 300);
        self.give_after(told, node, input);
        if !self.nodes[node].queue.is_empty() {
            let delay = told + self.dice.micros(100, 3000);
            self.after(delay, Event::Write { node, incarnation });
        }
    }

    /// Asks a core something and returns the answer that it has at once. It asks in nobody's name that holds anything, as
    /// that would be a sign of life.
    pub(crate) fn ask(&mut self, node: usize, request: Request) -> Option<Reply> {
        let caller = Caller { name: "looker".parse().expect("a name"), kind: AgentKind::Ai };
        let clock = self.nodes[node].clock(self.now);
        let id = CallId(u64::MAX);
        let effects = self.nodes[node].core.as_mut()?.handle(clock, Input::Call { id, caller, request });
        let mut found = None;
        for effect in effects {
            let Effect::Reply(CallId(u64::MAX), answer) = effect else {
                self.effect(node, effect);
                continue;
            };
            // What there is not cannot be looked at.
            if let Answer::Ok(reply) = answer {
                found = Some(reply);
            }
        }
        if found.is_none()
            && let Some(core) = &mut self.nodes[node].core
        {
            // It is not waited for: the node may be putting its document together.
            let effects = core.handle(clock, Input::CallEnded(id));
            self.carry_out(node, effects);
        }
        found
    }
}
