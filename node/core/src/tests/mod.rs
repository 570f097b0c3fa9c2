//! Tests of the core as a whole: hosts that do what it wants at once, with a clock that stands still until told.

mod approvals;
mod attention;
mod behind;
mod bounds;
mod budget;
mod claims;
mod digest;
mod doors;
mod durability;
mod forks;
mod guard;
mod holds;
mod hostile;
mod hostile_votes;
mod ingest;
mod lost;
mod made;
mod notes;
mod pages;
mod polls;
mod roles;
mod sessions;
mod store;
mod tasks;
mod tickets;
mod voters;
mod work;
mod years;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use fedp2p_protocols::api::{self, Answer, Caller, ErrorCode, Operation, Reply, Request, watch};
use fedp2p_protocols::certificate::{Certificate, Chain, Roles};
use fedp2p_protocols::id::{ConversationId, LogEpochId, LogId, NodeId, OpId, OrganisationId, Serial};
use fedp2p_protocols::joining;
use fedp2p_protocols::op::{Header, Kind, NodeKey, Verified, verify};
use fedp2p_protocols::payload::{LogStart, Message, MessageType};
use fedp2p_protocols::pulse::{AgentKind, Pulse};
use fedp2p_protocols::sync::Frame;

use crate::effect::{Effect, Verdict};
use crate::input::{CallId, Exchange, GossipId, Input, Now, Start};
use crate::store::StoreError;
use crate::{Core, membership};
use store::Disk;

const WALL_MS: u64 = 1_800_000_000_000;

/// One node and what became of what it wanted.
struct Host {
    key: NodeKey,
    root: Option<NodeKey>,
    chain: Chain,
    person: String,
    core: Core,
    disk: Disk,
    replies: Vec<(CallId, Answer)>,
    events: Vec<watch::Event>,
    verdicts: Vec<Verdict>,
    thrown_out: Vec<String>,
    joined: Vec<joining::Answer>,
    secrets: Vec<Option<[u8; 32]>>,
    sent: Vec<(NodeId, Frame)>,
    published: usize,
}

/// Some nodes of one organisation.
struct World {
    now: Duration,
    skew_ms: i64,
    hosts: Vec<Host>,
    links: BTreeSet<(usize, usize)>,
    queue: VecDeque<(usize, Input)>,
    calls: u64,
}

fn key(seed: u8) -> NodeKey {
    NodeKey::from_seed([seed; 32])
}

fn certificate(subject: NodeId, name: &str) -> Certificate {
    Certificate {
        organisation: OrganisationId::from_bytes([0; 32]),
        organisation_name: "acme".parse().unwrap(),
        subject,
        name: name.parse().unwrap(),
        roles: Roles::MEMBER,
        not_before: WALL_MS - 1_000_000,
        not_after: WALL_MS + membership::MEMBER_VALID_MS,
        serial: Serial::from_bytes([1; 16]),
        issuer: [0; 32],
    }
}

/// The founder has the key 1; nodes have the keys 1, 2, 3 and so on.
fn chains(count: usize) -> Vec<Chain> {
    let names = ("acme".parse().unwrap(), "n0".parse().unwrap());
    let first = membership::found(&key(200), key(1).id(), names, Serial::from_bytes([9; 16]), WALL_MS);
    let mut chains = vec![first.clone()];
    for n in 1..count {
        let certificate = certificate(key(n as u8 + 1).id(), &format!("n{n}"));
        chains.push(Chain::by_admin(&key(1), &first, certificate).unwrap());
    }
    chains
}

impl Host {
    fn start(&mut self, now: Now, seed: u8) -> Vec<Effect> {
        let (core, effects) = Core::new(now, start(self, seed));
        self.core = core;
        effects
    }
}

fn start(host: &mut Host, seed: u8) -> Start {
    Start {
        key: host.key.clone(),
        root: host.root.clone(),
        chain: host.chain.clone(),
        epoch: *host.disk.epoch.get_or_insert(LogEpochId::from_bytes([seed; 16])),
        seed: [seed; 32],
        home: "/home".to_owned(),
        pid: 1,
        warnings: Vec::new(),
        person: Some(host.person.parse().unwrap()),
        inviter: None,
        stored: host.disk.load(),
    }
}

impl World {
    /// Nodes n0, n1 and so on, each with the person p0, p1 and so on; nobody is connected.
    fn new(count: usize) -> Self {
        let now = Duration::from_secs(1);
        let mut world =
            Self { now, skew_ms: 0, hosts: Vec::new(), links: BTreeSet::new(), queue: VecDeque::new(), calls: 0 };
        for (n, chain) in chains(count).into_iter().enumerate() {
            let key = key(n as u8 + 1);
            let none = Start {
                key: key.clone(),
                root: None,
                chain: chain.clone(),
                epoch: LogEpochId::from_bytes([0; 16]),
                seed: [0; 32],
                home: String::new(),
                pid: 0,
                warnings: Vec::new(),
                person: None,
                inviter: None,
                stored: crate::input::Stored::default(),
            };
            let (core, _) = Core::new(world.clock(), none);
            let host = Host {
                key,
                root: (n == 0).then(|| self::key(200)),
                chain,
                person: format!("p{n}"),
                core,
                disk: Disk::default(),
                replies: Vec::new(),
                events: Vec::new(),
                verdicts: Vec::new(),
                thrown_out: Vec::new(),
                joined: Vec::new(),
                secrets: Vec::new(),
                sent: Vec::new(),
                published: 0,
            };
            world.hosts.push(host);
            world.restart(n);
        }
        world
    }

    /// As [`World::new`], all connected with all.
    fn connected(count: usize) -> Self {
        let mut world = Self::new(count);
        for b in 0..count {
            for a in 0..b {
                world.connect(a, b);
            }
        }
        world
    }

    fn clock(&self) -> Now {
        let wall_ms = (WALL_MS + self.now.as_millis() as u64).saturating_add_signed(self.skew_ms);
        Now { wall_ms, monotonic: self.now }
    }

    /// Starts the process of a node again on what it stored.
    fn restart(&mut self, n: usize) {
        self.links.retain(|(a, b)| *a != n && *b != n);
        let clock = self.clock();
        let effects = self.hosts[n].start(clock, n as u8 + 1);
        self.carry_out(n, effects);
        self.settle();
    }

    fn id(&self, n: usize) -> NodeId {
        self.hosts[n].key.id()
    }

    fn connect(&mut self, a: usize, b: usize) {
        self.links.extend([(a, b), (b, a)]);
        for (n, other) in [(a, b), (b, a)] {
            let peer = self.id(other);
            let chain = chains(self.hosts.len()).remove(other);
            drop(self.hosts[n].core.members.learn(peer, chain));
            self.queue.push_back((n, Input::Connected { peer, address: String::new() }));
        }
        self.settle();
    }

    fn disconnect(&mut self, a: usize, b: usize) {
        for (n, other) in [(a, b), (b, a)] {
            self.links.remove(&(n, other));
            let peer = self.id(other);
            self.queue.push_back((n, Input::Disconnected { peer }));
        }
        self.settle();
    }

    /// Does everything that is to be done now.
    fn settle(&mut self) {
        let mut steps = 0;
        while let Some((n, input)) = self.queue.pop_front() {
            steps += 1;
            assert!(steps < 200_000, "it does not come to rest");
            self.handle(n, input);
        }
    }

    fn handle(&mut self, n: usize, input: Input) {
        let clock = self.clock();
        let effects = self.hosts[n].core.handle(clock, input);
        self.carry_out(n, effects);
    }

    /// Gives one input and does what follows, but does not tell the node what its store has written: returns that.
    fn give_untold(&mut self, n: usize, input: Input) -> Vec<Input> {
        self.queue.push_back((n, input));
        let mut untold = Vec::new();
        while let Some((to, input)) = self.queue.pop_front() {
            if to == n && matches!(input, Input::Committed(_)) {
                untold.push(input);
            } else {
                self.handle(to, input);
            }
        }
        untold
    }

    fn give(&mut self, n: usize, input: Input) {
        self.queue.push_back((n, input));
        self.settle();
    }

    /// Lets time pass, with every deadline kept.
    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let due = self.hosts.iter().map(|host| host.core.deadline()).min().unwrap();
            if due > end {
                break;
            }
            self.now = self.now.max(due);
            for n in 0..self.hosts.len() {
                if self.hosts[n].core.deadline() <= self.now {
                    self.give(n, Input::Tick);
                }
            }
        }
        self.now = end;
    }

    fn carry_out(&mut self, n: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Commit(commit) => {
                    let token = commit.token;
                    let input = match self.hosts[n].disk.commit(commit) {
                        Ok(()) => Input::Committed(token),
                        Err(error) => Input::CommitFailed(token, error),
                    };
                    self.queue.push_back((n, input));
                }
                Effect::Read(token, read) => {
                    let outcome = self.hosts[n].disk.read(&read);
                    self.queue.push_back((n, Input::Read(token, outcome)));
                }
                Effect::Verify(token, ops) => {
                    let ops = ops.into_iter().map(|op| verify(op).ok()).collect();
                    self.queue.push_back((n, Input::Verified(token, ops)));
                }
                Effect::Reply(call, answer) => self.hosts[n].replies.push((call, answer)),
                Effect::Event(event) => self.hosts[n].events.push(*event),
                Effect::Judge(_, verdict) => self.hosts[n].verdicts.push(verdict),
                Effect::Publish { .. } => self.hosts[n].published += 1,
                Effect::Send { peer, frame } => {
                    self.hosts[n].sent.push((peer, Frame::decode(&frame).unwrap()));
                    let from = self.id(n);
                    let to = (0..self.hosts.len()).find(|to| self.links.contains(&(n, *to)) && self.id(*to) == peer);
                    self.queue.extend(to.map(|to| (to, Input::Frame { peer: from, frame })));
                }
                Effect::Disconnect { reason, .. } => self.hosts[n].thrown_out.push(reason),
                Effect::TicketSecret(_, secret) => self.hosts[n].secrets.push(secret),
                Effect::JoinAnswer(_, answer) => self.hosts[n].joined.push(*answer),
                Effect::OwnChain(chain) => self.hosts[n].chain = *chain,
                Effect::Subscribe { .. }
                | Effect::Admit { .. }
                | Effect::HelloAnswer(..)
                | Effect::Join { .. }
                | Effect::Stop => {}
            }
        }
    }

    /// Calls as the person of the node, or as the AI agent of this name.
    fn call_as(&mut self, n: usize, agent: &str, request: Request) -> Result<Reply, api::Error> {
        self.calls += 1;
        let id = CallId(self.calls);
        let kind = if agent.starts_with('p') { AgentKind::Person } else { AgentKind::Ai };
        let caller = Caller { name: agent.parse().unwrap(), kind };
        self.give(n, Input::Call { id, caller, request });
        let answers: Vec<_> = self.hosts[n].replies.iter().filter(|(call, _)| *call == id).collect();
        match answers.as_slice() {
            [(_, Answer::Ok(reply)), ..] => Ok(reply.clone()),
            [(_, Answer::Error(error))] => Err(error.clone()),
            other => panic!("answers: {other:?}"),
        }
    }

    fn call(&mut self, n: usize, request: Request) -> Result<Reply, api::Error> {
        self.call_as(n, &format!("p{n}"), request)
    }

    /// As [`World::call`], for what is answered with a reply.
    fn ask<R: Operation>(&mut self, n: usize, request: R) -> R::Reply {
        let reply = self.call(n, request.into_request()).unwrap();
        R::reply(reply).expect("the reply is that of the request")
    }

    fn send(&mut self, n: usize, to: &[&str], text: &str) -> Result<api::send::Reply, api::Error> {
        let to = to.iter().map(ToString::to_string).collect();
        let request = api::send::Request { to, text: text.to_owned(), ..Default::default() };
        let reply = self.call(n, Request::Send(request))?;
        Ok(<api::send::Request as Operation>::reply(reply).unwrap())
    }

    fn say(&mut self, n: usize, summary: &str) {
        let pulse = Pulse { summary: Some(summary.to_owned()), ..Pulse::default() };
        self.call(n, Request::State(api::state::Request { pulse, clear: Vec::new() })).unwrap();
    }

    fn inbox(&mut self, n: usize) -> api::inbox::Reply {
        self.ask(n, api::inbox::Request::default())
    }

    fn texts(&mut self, n: usize) -> Vec<String> {
        self.inbox(n).messages.into_iter().map(|message| message.text).collect()
    }

    fn history(&mut self, n: usize) -> Vec<api::message::Message> {
        self.ask(n, api::history::Request::default()).messages
    }

    fn status(&mut self, n: usize) -> api::status::Reply {
        self.ask(n, api::status::Request {})
    }

    /// The digests of ops and picture.
    fn digests(&mut self, n: usize) -> (String, String) {
        let lobby = self.status(n).conversations.remove(0);
        (lobby.ops_digest, lobby.picture_digest)
    }

    fn assert_agreed(&mut self) {
        let first = self.digests(0);
        for n in 1..self.hosts.len() {
            assert_eq!(self.digests(n), first, "n{n} differs from n0");
        }
        for (n, host) in self.hosts.iter().enumerate() {
            let decided = fedp2p_crdt::claim::claims(&host.core.documents.picture(&host.core.lobby));
            assert_eq!(host.core.documents.claims(&host.core.lobby), decided, "what n{n} keeps is not what is so");
        }
    }

    fn notices(&self, n: usize) -> Vec<String> {
        let text = |event: &watch::Event| match event {
            watch::Event::Notice { text } => Some(text.clone()),
            watch::Event::Message(_)
            | watch::Event::Pulse(_)
            | watch::Event::Vote(_)
            | watch::Event::Attention { .. }
            | watch::Event::Note { .. }
            | watch::Event::Claim(_)
            | watch::Event::Task(_)
            | watch::Event::Peer { .. }
            | watch::Event::Agent(_) => None,
        };
        self.hosts[n].events.iter().filter_map(text).collect()
    }

    /// Pushes ops to a node as if its neighbour had sent them.
    fn push(&mut self, from: usize, to: usize, ops: &[&Verified]) {
        let ops = ops.iter().map(|op| op.bytes().to_vec()).collect();
        self.push_bytes(from, to, ops);
    }

    fn push_bytes(&mut self, from: usize, to: usize, ops: Vec<Vec<u8>>) {
        let frame = Frame::Push { ops }.encode();
        let peer = self.id(from);
        self.give(to, Input::Frame { peer, frame });
    }

    fn gossip(&mut self, from: usize, to: usize, data: &[u8]) -> Verdict {
        let id = GossipId { id: [7; 20], from: self.id(from) };
        self.give(to, Input::Gossip { id, data: data.to_vec() });
        self.hosts[to].verdicts.pop().expect("every gossip message gets its verdict")
    }

    fn ops(&self, n: usize) -> usize {
        self.hosts[n].disk.ops.len()
    }

    fn holds(&self, n: usize, op: &Verified) -> bool {
        self.hosts[n].disk.by_id.contains_key(&op.id())
    }
}

/// Writes a log by hand, in the name of one of the nodes.
struct Scribe {
    key: NodeKey,
    chain: Chain,
    log: LogId,
    last: Option<Verified>,
}

impl Scribe {
    /// The hand of node `n` of `count`.
    fn new(n: usize, count: usize) -> Self {
        Self { key: key(n as u8 + 1), chain: chains(count)[n].clone(), log: LogId::from_bytes([77; 16]), last: None }
    }

    fn header(&self, kind: Kind) -> Header {
        let network = self.chain.network();
        let last = self.last.as_ref();
        let clock = last.map_or(fedp2p_protocols::hlc::Hlc::at(WALL_MS), |last| last.header().hlc.next(0));
        Header {
            network,
            author: self.key.id(),
            log: self.log,
            seq: last.map_or(1, |last| last.header().seq + 1),
            backlink: last.map_or(fedp2p_protocols::op::NO_BACKLINK, |last| last.id()),
            conversation: ConversationId::lobby(&network),
            deps: Vec::new(),
            hlc: clock,
            kind,
            agent: (kind == Kind::Message).then(|| "ghost".parse().unwrap()),
            payload_hash: [0; 32],
            payload_len: 0,
            floor: None,
        }
    }

    fn sign(&mut self, header: Header, payload: &[u8]) -> Verified {
        let op = self.key.sign(header, payload).unwrap();
        self.last = Some(op.clone());
        op
    }

    fn start(&mut self) -> Verified {
        let payload = LogStart { chain: self.chain.clone(), previous: None }.encode();
        self.sign(self.header(Kind::LogStart), &payload)
    }

    fn message(&mut self, text: &str) -> Verified {
        self.sign(self.header(Kind::Message), &message(text))
    }

    /// A log start and this many messages.
    fn log(n: usize, count: usize, messages: usize) -> (Self, Vec<Verified>) {
        let mut scribe = Self::new(n, count);
        let mut ops = vec![scribe.start()];
        ops.extend((0..messages).map(|number| scribe.message(&format!("message {number}"))));
        (scribe, ops)
    }
}

fn message(text: &str) -> Vec<u8> {
    let message = Message { text: text.to_owned(), ..Message::default() };
    message.encode()
}

fn refusal<T: std::fmt::Debug>(result: Result<T, api::Error>, code: ErrorCode) -> api::Error {
    let error = result.unwrap_err();
    assert_eq!(error.code, code, "{error:?}");
    error
}
