//! The whole brain of a node, in the hands of an admitted member who lies, floods, forks and contradicts, while clients
//! call and the disk fails: the input is a program of what happens.

use std::collections::VecDeque;
use std::time::Duration;

use fedp2p_core::input::{CallId, Exchange, GossipId, Input as Event, Now, Start, Stored};
use fedp2p_core::{Core, Effect};
use fedp2p_crdt::content::{Agent, Entry};
use fedp2p_crdt::document::{Document, DocumentId};
use fedp2p_protocols::api::{self, Answer, Caller, Reply, Request};
use fedp2p_protocols::hello::Welcome;
use fedp2p_protocols::id::{ConversationId, LogEpochId, LogId, NodeId, OpId, TicketId};
use fedp2p_protocols::joining;
use fedp2p_protocols::limits::{MAX_FRAME_BYTES, MAX_PENDING_OPS};
use fedp2p_protocols::op::{Header, Kind, NO_BACKLINK, NodeKey, Verified, verify};
use fedp2p_protocols::payload::{Change, Checkpoint, ForkProof, LogStart};
use fedp2p_protocols::pulse::{AgentKind, Pulse};
use fedp2p_protocols::sync::{Frame, Head, LogKey, Want};

use super::wire::{WALL_MS, founder, key, member};
use crate::Input;
use crate::disk::Disk;

/// Most things that happen in one run.
const MOST_EVENTS: usize = 64;
/// Most that one event may lead to before the node comes to rest.
const MOST_STEPS: usize = 10_000;

struct World {
    core: Core,
    disk: Disk,
    now: Duration,
    skew_ms: i64,
    full: bool,
    queue: VecDeque<Event>,
    calls: u64,
    exchanges: u64,
    answered: Vec<(CallId, Answer)>,
    thrown_out: u32,
    hostile: Hostile,
}

/// The hostile member: it has a key, a certificate and no manners.
struct Hostile {
    key: NodeKey,
    ops: Vec<Verified>,
    document: Document,
}

impl Hostile {
    fn new() -> Self {
        let log = LogId::from_bytes([77; 16]);
        let conversation = ConversationId::lobby(&founder().network());
        let id = DocumentId { node: key(2).id(), log, conversation, epoch: 1 };
        Self { key: key(2), ops: Vec::new(), document: Document::new(id) }
    }

    fn header(&self, at: usize, kind: Kind) -> Header {
        let before = at.checked_sub(1).and_then(|before| self.ops.get(before));
        let network = founder().network();
        Header {
            network,
            author: self.key.id(),
            log: LogId::from_bytes([77; 16]),
            seq: at as u64 + 1,
            backlink: before.map_or(NO_BACKLINK, |op| op.id()),
            conversation: ConversationId::lobby(&network),
            deps: Vec::new(),
            hlc: before.map_or(fedp2p_protocols::hlc::Hlc::at(WALL_MS), |op| op.header().hlc.next(0)),
            kind,
            agent: (kind == Kind::Message).then(|| "ghost".parse().unwrap()),
            payload_hash: [0; 32],
            payload_len: 0,
            floor: None,
        }
    }

    /// Signs the next entry, a second one for an earlier place, or one with a strange header.
    fn write(&mut self, input: &mut Input<'_>) -> Verified {
        let shape = input.byte();
        let at = if shape & 0xc0 == 0xc0 { input.below(self.ops.len() + 3) } else { self.ops.len() };
        let (kind, payload) = self.payload(input, at);
        let mut header = self.header(at, kind);
        match shape & 0x1f {
            1 => header.hlc = fedp2p_protocols::hlc::Hlc::from_u64(input.number()),
            2 => header.seq = input.number().max(1),
            3 => header.deps = self.ops.iter().rev().take(input.below(16)).map(|op| op.id()).collect(),
            4 => header.deps = vec![OpId::from_bytes([input.byte(); 32])],
            5 => header.log = LogId::from_bytes([input.byte(); 16]),
            6 => header.backlink = OpId::from_bytes([input.byte(); 32]),
            7 => header.conversation = ConversationId::from_bytes([input.byte(); 16]),
            8 => header.floor = Some(input.number()),
            _ => {}
        }
        header.deps.sort_unstable();
        header.deps.dedup();
        let fallback = self.header(self.ops.len(), Kind::Message);
        let op = self.key.sign(header, &payload).or_else(|_| self.key.sign(fallback, b"\0{}")).unwrap();
        if at == self.ops.len() {
            self.ops.push(op.clone());
        }
        op
    }

    fn payload(&mut self, input: &mut Input<'_>, at: usize) -> (Kind, Vec<u8>) {
        if at == 0 {
            return (Kind::LogStart, LogStart { chain: member(2), previous: None }.encode());
        }
        match input.below(9) {
            0 => (Kind::Checkpoint, Checkpoint { epoch: 1, changes: u32::from(input.byte() % 3) }.encode()),
            1 | 2 => {
                let name = format!("a{}", input.byte() % 5);
                let entry = Entry::Agent(name.parse().unwrap(), Agent { kind: AgentKind::Ai, said: None });
                let change = self.document.write(&[entry.into()], WALL_MS).ok().flatten();
                (Kind::Change, Change { epoch: 1, change: change.unwrap_or_default() }.encode())
            }
            3 => {
                let mut change = self.document.raw_changes().pop().unwrap_or_default();
                let place = input.below(change.len());
                if let Some(byte) = change.get_mut(place) {
                    *byte ^= input.byte();
                }
                (Kind::Change, Change { epoch: 1, change }.encode())
            }
            4 => (Kind::Message, [b"\0{\"to\":[],\"type\":\"chat\",\"text\":\"", &b"hello\"}"[..]].concat()),
            5 if self.ops.len() > 1 => {
                let side = |op: &Verified| (op.header_bytes().to_vec(), op.signature());
                let other = self.key.sign(self.header(0, Kind::LogStart), b"\0other").unwrap();
                let place = input.below(self.ops.len());
                (Kind::ForkProof, ForkProof { one: side(&self.ops[place]), other: side(&other) }.encode())
            }
            6 => (Kind::Receipt, [&[0], input.short()].concat()),
            7 => (Kind::from_code(u16::from(input.byte() % 10)), input.short().to_vec()),
            _ => (Kind::Message, [&[0], input.short()].concat()),
        }
    }

    fn head(&self, input: &mut Input<'_>) -> Head {
        let key = LogKey { author: self.key.id(), log: LogId::from_bytes([77; 16]) };
        let head = self.ops.last().map_or(NO_BACKLINK, |op| op.id());
        let lie = input.byte();
        Head {
            key: if lie & 1 == 1 { LogKey { author: key_of(input), ..key } } else { key },
            height: if lie & 2 == 2 { input.number() } else { self.ops.len() as u64 },
            head: if lie & 4 == 4 { OpId::from_bytes([input.byte(); 32]) } else { head },
            floor: if lie & 8 == 8 { input.number() } else { 1 },
        }
    }
}

fn key_of(input: &mut Input<'_>) -> NodeId {
    key(input.byte() % 3 + 1).id()
}

impl World {
    fn new() -> Self {
        let mut disk = Disk::default();
        disk.epoch = Some(LogEpochId::from_bytes([1; 16]));
        disk.reopen();
        let now = Duration::from_secs(1);
        let start = Start {
            key: key(1),
            root: Some(key(200)),
            chain: founder(),
            epoch: LogEpochId::from_bytes([1; 16]),
            seed: [1; 32],
            home: "/home".to_owned(),
            pid: 1,
            warnings: Vec::new(),
            person: Some("p0".parse().unwrap()),
            inviter: None,
            stored: Stored::default(),
        };
        let (core, effects) = Core::new(Now { wall_ms: WALL_MS, monotonic: now }, start);
        let mut world = Self {
            core,
            disk,
            now,
            skew_ms: 0,
            full: false,
            queue: VecDeque::new(),
            calls: 0,
            exchanges: 0,
            answered: Vec::new(),
            thrown_out: 0,
            hostile: Hostile::new(),
        };
        world.carry_out(effects);
        let peer = key(2).id();
        let welcome = Box::new(Welcome { chain: member(2), addresses: Vec::new() });
        world.give(Event::Hello { exchange: Exchange(0), peer, welcome });
        world.give(Event::Connected { peer, address: "/memory/1".to_owned() });
        world
    }

    fn give(&mut self, event: Event) {
        self.queue.push_back(event);
        let mut steps = 0;
        while let Some(event) = self.queue.pop_front() {
            steps += 1;
            assert!(steps < MOST_STEPS, "it does not come to rest");
            let wall_ms = (WALL_MS + self.now.as_millis() as u64).saturating_add_signed(self.skew_ms);
            let effects = self.core.handle(Now { wall_ms, monotonic: self.now }, event);
            self.carry_out(effects);
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all other effects need no answer")]
    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Commit(commit) => {
                    let token = commit.token;
                    self.queue.push_back(match self.disk.commit(commit, self.full) {
                        Ok(()) => Event::Committed(token),
                        Err(error) => Event::CommitFailed(token, error),
                    });
                }
                Effect::Read(token, read) => {
                    let outcome = self.disk.read(&read);
                    self.queue.push_back(Event::Read(token, outcome));
                }
                Effect::Verify(token, ops) => {
                    let ops = ops.into_iter().map(|op| verify(op).ok()).collect();
                    self.queue.push_back(Event::Verified(token, ops));
                }
                Effect::Reply(call, answer) => self.answered.push((call, answer)),
                Effect::Send { frame, .. } => {
                    assert!(frame.len() <= MAX_FRAME_BYTES);
                    Frame::decode(&frame).unwrap();
                }
                Effect::Disconnect { .. } => self.thrown_out += 1,
                _ => {}
            }
        }
    }

    fn call(&mut self, request: Request) -> Option<Answer> {
        self.calls += 1;
        let id = CallId(self.calls);
        self.give(Event::Call { id, caller: Caller { name: "p0".parse().unwrap(), kind: AgentKind::Person }, request });
        let at = self.answered.iter().position(|(call, _)| *call == id)?;
        Some(self.answered.swap_remove(at).1)
    }

    fn frame(&mut self, frame: Vec<u8>) {
        self.give(Event::Frame { peer: key(2).id(), frame });
    }

    /// One thing that happens.
    fn event(&mut self, input: &mut Input<'_>) {
        let conversation = ConversationId::lobby(&founder().network());
        let peer = key(2).id();
        match input.below(16) {
            0 => {
                self.now += Duration::from_millis(input.number().min(400_000));
                self.give(Event::Tick);
            }
            1 => {
                self.now = self.now.max(self.core.deadline().min(self.now + Duration::from_secs(400)));
                self.give(Event::Tick);
            }
            2 => self.frame(input.short().to_vec()),
            3 | 4 => {
                let ops = (0..=input.below(4)).map(|_| self.hostile.write(input).bytes().to_vec()).collect();
                self.frame(Frame::Push { ops }.encode());
            }
            5 => {
                let data = self.hostile.write(input).bytes().to_vec();
                self.give(Event::Gossip { id: GossipId { id: [input.byte(); 20], from: peer }, data });
            }
            6 => {
                let heads = (0..input.below(4)).map(|_| self.hostile.head(input)).collect();
                self.frame(Frame::Have { conversation, more: input.byte() & 1 == 1, heads }.encode());
            }
            7 => {
                let wants = (0..input.below(4))
                    .map(|_| Want { key: self.hostile.head(input).key, from: input.number() })
                    .collect();
                self.frame(Frame::Want { conversation, more: input.byte() & 1 == 1, wants }.encode());
            }
            8 => {
                let ops: Vec<Vec<u8>> =
                    self.hostile.ops.iter().skip(input.below(4)).map(|op| op.bytes().to_vec()).collect();
                self.frame(Frame::Ops { conversation, last: input.byte() & 1 == 1, ops }.encode());
            }
            9 => {
                let frame = match input.below(5) {
                    0 => Frame::Ack { bytes: input.number() as u32 },
                    1 => Frame::Stored { conversation, heads: vec![self.hostile.head(input)] },
                    2 => Frame::Digest(vec![(conversation, [input.byte(); 32])]),
                    3 => Frame::Pong(input.number()),
                    _ => Frame::Renew,
                };
                self.frame(frame.encode());
            }
            10 => drop(self.call(menu(input))),
            11 => self.give(Event::Disconnected { peer }),
            12 => self.give(Event::Connected { peer, address: String::new() }),
            13 => self.full = input.byte() & 1 == 1,
            14 => self.skew_ms = input.number() as i64 % 100_000_000_000,
            _ => self.knock(input),
        }
    }

    fn knock(&mut self, input: &mut Input<'_>) {
        self.exchanges += 1;
        let (exchange, peer) = (Exchange(self.exchanges), key_of(input));
        let ticket = TicketId::from_bytes([input.byte(); 16]);
        match input.below(3) {
            0 => {
                let chain = if input.byte() & 1 == 1 { member(3) } else { member(2) };
                let welcome = Box::new(Welcome { chain, addresses: vec!["x".to_owned(); input.below(17)] });
                self.give(Event::Hello { exchange, peer, welcome });
            }
            1 => self.give(Event::TicketShown { exchange, ticket }),
            _ => {
                let request = joining::Request { name: "n1".parse().unwrap() };
                self.give(Event::JoinRequested { exchange, peer, ticket, request });
            }
        }
    }
}

/// What clients ask.
fn menu(input: &mut Input<'_>) -> Request {
    let text = String::from_utf8_lossy(input.short()).into_owned();
    match input.below(6) {
        0 => Request::Send(api::send::Request { to: Vec::new(), text, ..Default::default() }),
        1 => {
            let pulse = Pulse { summary: Some(text), ..Pulse::default() };
            Request::State(api::state::Request { pulse, clear: Vec::new() })
        }
        2 => Request::Inbox(api::inbox::Request { limit: input.number() as u32, held: input.byte() & 1 == 1 }),
        3 => Request::Pulse(api::pulse::Request::default()),
        4 => Request::History(api::history::Request::default()),
        _ => Request::Peers(api::peers::Request {}),
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let write = |kind: u8| [3, 0, 0, kind, 1];
    let honest = [[3, 0, 0, 0, 0], write(0), write(1), write(2), write(4), write(3), write(1)].concat();
    let mut seeds = vec![honest.clone()];
    for event in 0..16 {
        seeds.push([&honest[..], &[event, 3, 7, 0x41, 1, 2, 3, 4], &honest].concat());
    }
    // A second entry at an earlier place, and a flood of what waits.
    seeds.push([&honest[..], &[3, 0, 0xc0, 2, 4, 3, 0, 0xc0, 1, 4, 1]].concat());
    seeds.push([&honest[..], &[3, 3, 4, 4, 9, 4, 4, 9, 4, 4, 9, 4, 4, 9, 0, 0x90]].concat());
    seeds
}

/// Whatever a member sends and whatever fails, the node does not panic, comes to rest, keeps its bounds, and answers.
pub(super) fn run(bytes: &[u8]) -> String {
    let mut input = Input::new(bytes);
    let mut world = World::new();
    for _ in 0..MOST_EVENTS {
        if input.is_empty() {
            break;
        }
        world.event(&mut input);
    }
    world.full = false;
    let status = world.call(Request::Status(api::status::Request {}));
    let Some(Answer::Ok(Reply::Status(status))) = status else { panic!("no status but {status:?}") };
    let lobby = &status.conversations[0];
    assert!(lobby.pending as usize <= 3 * MAX_PENDING_OPS);
    assert!(world.disk.complaints.is_empty(), "{:?}", world.disk.complaints);
    let documents = world.hostile.document.changes() > 0;
    if !status.forks.is_empty() {
        "forked".to_owned()
    } else if world.thrown_out > 0 {
        "thrown out".to_owned()
    } else if documents && world.disk.ops.len() > 3 {
        "documents".to_owned()
    } else if !world.hostile.ops.is_empty() && world.disk.ops.len() > 3 {
        "stored".to_owned()
    } else {
        "quiet".to_owned()
    }
}
