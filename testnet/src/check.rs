//! What must hold once everything is healed and all nodes agree: DESIGN section 10. What is checked at every step
//! stands in `watch`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use fedp2p_protocols::api::{self, Answer, Reply, Request, message::DeliveryState};
use fedp2p_protocols::id::OpId;
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::op::Kind;
use fedp2p_protocols::payload::Message;
use fedp2p_protocols::sync::LogKey;
use fedp2p_protocols::vote::AgentId;

use crate::sim::Sim;

/// What must hold.
///
/// That nothing of a revoked author counts after the cut is not among them: there is no revocation yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Invariant {
    /// Nothing that was acknowledged is lost, and nothing is acknowledged before it is stored.
    Durable,
    /// All nodes come to hold the same and to show the same.
    Converge,
    /// Nodes that hold the same show the same.
    SamePicture,
    /// No op is stored or shown before what it depends on.
    Causal,
    /// An author's entries keep their order.
    AuthorOrder,
    /// Every tally is the same everywhere, and one that is closed stays as it is.
    Tally,
    /// No ballot counts whose voter had not read what is asked now.
    Ballots,
    /// What one agent holds alone nobody else holds, but for parts that are cut off, and all agree who does.
    Holders,
    /// The number of a claim is given once.
    Fences,
    /// Whoever lost a claim is told.
    Losers,
    /// Every task is the same everywhere and ends once, and what was done stays done.
    Tasks,
    /// Nothing that can be done is left.
    Forgotten,
    /// Every note is the same everywhere, and no edit that was acknowledged is lost.
    Notes,
    /// Nothing is stored, shown or handed out twice.
    Once,
    /// Nothing is told to other nodes before it is stored.
    Published,
    /// No queue holds more than it may.
    Bounded,
    /// Nodes that agree are quiet.
    Quiet,
    /// What happens comes to an end.
    Rest,
    /// Every call is answered, once, and as it should be.
    Answers,
    /// Messages lie in the inboxes of those that they are for, and in no other.
    Inboxes,
    /// A sender sees what has become of a message.
    Deliveries,
    /// Nobody that keeps the rules is thrown out.
    Honest,
    /// Nobody gets in who is no member.
    Strangers,
    /// A process that starts again shows what it showed before.
    Restart,
    /// Nothing panics.
    Panic,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Durable => "nothing acknowledged is lost",
            Self::Converge => "all come to hold and show the same",
            Self::SamePicture => "the same entries give the same picture",
            Self::Causal => "nothing before what it depends on",
            Self::AuthorOrder => "an author's entries keep their order",
            Self::Tally => "tallies are the same everywhere",
            Self::Ballots => "no ballot counts that answers another question",
            Self::Holders => "one holder",
            Self::Fences => "numbers of claims are given once",
            Self::Losers => "losers are told",
            Self::Tasks => "tasks are the same everywhere, and end once and for all",
            Self::Forgotten => "no task is forgotten",
            Self::Notes => "notes are the same everywhere and lose nothing",
            Self::Once => "nothing twice",
            Self::Published => "nothing is told before it is stored",
            Self::Bounded => "queues keep to their bounds",
            Self::Quiet => "nodes that agree are quiet",
            Self::Rest => "it comes to rest",
            Self::Answers => "every call is answered rightly",
            Self::Inboxes => "messages reach their inboxes",
            Self::Deliveries => "senders see deliveries",
            Self::Honest => "whoever keeps the rules stays",
            Self::Strangers => "strangers stay out",
            Self::Restart => "a restart shows the same",
            Self::Panic => "nothing panics",
        })
    }
}

/// Something that did not hold.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Fault {
    /// What did not hold.
    pub invariant: Invariant,
    /// How it did not.
    pub text: String,
    /// When, since the start.
    pub at: Duration,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:.3} s, {}: {}", self.at.as_secs_f64(), self.invariant, self.text)
    }
}

impl Sim {
    /// The digests that a node shows, and how many entries wait.
    pub(crate) fn digests(&mut self, node: usize) -> Option<(String, String, u32)> {
        let Some(Reply::Status(status)) = self.ask(node, Request::Status(api::status::Request {})) else { return None };
        let lobby = status.conversations.into_iter().next()?;
        Some((lobby.ops_digest, lobby.picture_digest, lobby.pending))
    }

    /// The nodes that must agree.
    pub(crate) fn honest(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].counts()).collect()
    }

    /// Whether all nodes hold and show the same.
    pub(crate) fn agree(&mut self) -> bool {
        let mut first = None;
        for node in self.honest() {
            let digests = if self.lenient { self.shown_of_honest(node) } else { self.digests(node) };
            if digests.as_ref().is_none_or(|(_, _, pending)| *pending > 0) {
                return false;
            }
            if *first.get_or_insert_with(|| digests.clone()) != digests {
                return false;
            }
        }
        true
    }

    /// What a node holds and shows of those that keep the rules, in the place of its digests.
    ///
    /// Which logs of a member are one too many depends on which came first, so of such a member nodes hold different ones.
    fn shown_of_honest(&mut self, node: usize) -> Option<(String, String, u32)> {
        let honest: BTreeSet<_> = self.honest().into_iter().map(|node| self.nodes[node].id()).collect();
        let frozen = self.frozen();
        let disk = &self.nodes[node].disk;
        let logs = disk.logs.values().filter(|log| honest.contains(&log.key.author));
        let head = |log: &fedp2p_core::input::StoredLog| {
            let height = frozen.get(&log.key).map_or(log.height, |seq| log.height.min(seq - 1));
            let head = disk.at(log.key, height).map(|id| id.short().to_string());
            (height > 0).then(|| format!("{}:{height}:{}", log.key.log.short(), head.unwrap_or_default()))
        };
        let held = logs.filter_map(head).collect::<Vec<_>>().join(" ");
        let names: BTreeSet<String> = self.honest().into_iter().map(|node| format!("n{node}")).collect();
        let Some(Reply::Pulse(pulse)) = self.ask(node, Request::Pulse(api::pulse::Request::default())) else {
            return None;
        };
        let rows = pulse.agents.iter().filter(|row| names.contains(row.address.node.as_str()));
        let said: Vec<String> = rows.map(|row| format!("{} {:?} {}", row.address, row.pulse, row.at)).collect();
        let votes = Request::VoteList(api::vote_list::Request { all: true, ..Default::default() });
        let Some(Reply::VoteList(votes)) = self.ask(node, votes) else { return None };
        let shown = format!("{} {:?}", said.join(" "), votes.proposals);
        let digest = |text: &str| blake3::hash(text.as_bytes()).to_hex().to_string();
        Some((digest(&held), digest(&shown), 0))
    }

    pub(crate) fn explain_disagreement(&mut self) {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for node in self.honest() {
            let digests = if self.lenient { self.shown_of_honest(node) } else { self.digests(node) };
            let short = |text: &str| text.chars().take(8).collect::<String>();
            let said = digests.map_or_else(
                || "is not there".to_owned(),
                |(ops, picture, pending)| format!("ops {} picture {} waiting {pending}", short(&ops), short(&picture)),
            );
            let logs = if self.nodes.len() > 20 { String::new() } else { self.logs_of(node) };
            groups.entry(format!("{said}; {logs}")).or_default().push(format!("n{node}"));
        }
        for (said, who) in groups {
            self.fault(Invariant::Converge, format!("{}: {said}", who.join(" ")));
        }
    }

    fn logs_of(&self, node: usize) -> String {
        let disk = &self.nodes[node].disk;
        let log = |log: &fedp2p_core::input::StoredLog| {
            let frozen = disk.forks.range((log.key, 0)..=(log.key, u64::MAX)).next();
            let frozen = frozen.map_or(String::new(), |((_, seq), _)| format!("!{seq}"));
            let author = self.number_of(&log.key.author).map_or("?".to_owned(), |number| format!("n{number}"));
            format!("{author}/{}:{}{frozen}", log.key.log.short(), log.height)
        };
        disk.logs.values().map(log).collect::<Vec<_>>().join(" ")
    }

    /// Everything that must hold once all nodes agree.
    pub(crate) fn check_all(&mut self) {
        self.check_disks();
        self.check_promises();
        self.check_inboxes();
        self.check_votes();
        self.check_claims(Duration::ZERO);
        self.check_tasks();
        self.check_notes();
        self.check_deliveries();
        self.check_unanswered();
        self.check_restart();
    }

    /// Where each forked log stops counting.
    fn frozen(&self) -> BTreeMap<LogKey, u64> {
        let mut frozen: BTreeMap<LogKey, u64> = BTreeMap::new();
        for (key, seq) in self.nodes.iter().flat_map(|node| node.disk.forks.keys()) {
            let at = frozen.entry(*key).or_insert(*seq);
            *at = (*at).min(*seq);
        }
        frozen
    }

    /// Entries that stand in a part of a log that does not count.
    pub(crate) fn void(&self) -> BTreeSet<OpId> {
        let frozen = self.frozen();
        let mut void = BTreeSet::new();
        if frozen.is_empty() {
            return void;
        }
        for write in self.nodes.iter().flat_map(|node| node.disk.ops.values()) {
            let header = write.op.header();
            let key = LogKey { author: header.author, log: header.log };
            if frozen.get(&key).is_some_and(|seq| header.seq >= *seq) {
                void.insert(write.op.id());
            }
        }
        void
    }

    /// What each disk holds, in its order of arrival, once more from the beginning.
    fn check_disks(&mut self) {
        let mut found = Vec::new();
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.counts()) {
            let mut heights: BTreeMap<LogKey, u64> = BTreeMap::new();
            for write in node.disk.ops.values() {
                let header = write.op.header();
                let height = heights.entry(LogKey { author: header.author, log: header.log }).or_default();
                if header.seq != *height + 1 {
                    found.push(format!("n{index} holds entry {} of a log right after {height}", header.seq));
                }
                *height = header.seq;
            }
        }
        for text in found {
            self.fault(Invariant::AuthorOrder, text);
        }
    }

    /// How many promises could not be kept, for reasons that are known and stated.
    pub(crate) fn excused(&self) -> usize {
        let void = self.void();
        self.clients.promises.iter().filter(|promise| promise.excused || void.contains(&promise.id)).count()
    }

    /// Every message that was acknowledged is held by all and counts, unless it stands where its log forked.
    fn check_promises(&mut self) {
        let void = self.void();
        let mut found = Vec::new();
        let held = |promise: &&crate::clients::Promise| !promise.excused && !void.contains(&promise.id);
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.counts()) {
            for promise in self.clients.promises.iter().filter(held) {
                if !node.disk.by_id.contains_key(&promise.id) {
                    let (id, by) = (promise.id.short(), promise.node);
                    found.push(format!("n{index} lacks {id}, which n{by} acknowledged to its sender"));
                }
            }
        }
        for text in found {
            self.fault(Invariant::Durable, text);
        }
    }

    /// Every message is in the inboxes that it should be in and in no other.
    fn check_inboxes(&mut self) {
        let void = self.void();
        let mut found = Vec::new();
        let whole = |(_, node): &(usize, &crate::node::Node)| node.counts() && !node.twin && !node.lost;
        for (index, node) in self.nodes.iter().enumerate().filter(whole) {
            for (position, write) in node.disk.ops.iter().filter(|(_, write)| !void.contains(&write.op.id())) {
                let header = write.op.header();
                let Ok(message) = Message::decode(write.op.payload()) else { continue };
                if header.kind != Kind::Message {
                    continue;
                }
                let author = header.agent.clone().map(|name| AgentId { node: header.author, name });
                for (number, agent) in node.agents.iter().enumerate() {
                    let is_for = message.is_for(&AgentId { node: node.id(), name: agent.clone() }, author.as_ref());
                    let has = node.disk.inbox.contains(&(agent.clone(), *position));
                    // Messages to all from before the second agent was known are not for it.
                    let early = message.to.is_empty() && number > 0;
                    if has != is_for && (has || !early) {
                        found.push(format!(
                            "n{index}: message {} in the inbox of {agent}: {has}, should be {is_for}",
                            write.op.id().short()
                        ));
                    }
                }
            }
            let strangers = node.disk.inbox.iter().filter(|(agent, at): &&(AgentName, u64)| {
                !node.agents.contains(agent) || !node.disk.ops.contains_key(at)
            });
            found.extend(
                strangers.map(|(agent, at)| format!("n{index}: an inbox entry {at} of {agent} without a message")),
            );
        }
        for text in found {
            self.fault(Invariant::Inboxes, text);
        }
    }

    /// Senders see that their messages are stored at those whom they are connected with.
    fn check_deliveries(&mut self) {
        let void = self.void();
        for node in self.honest() {
            let own = self.nodes[node].id();
            let mine: BTreeSet<OpId> = self.nodes[node]
                .disk
                .ops
                .values()
                .filter(|write| write.op.header().author == own && !void.contains(&write.op.id()))
                .map(|write| write.op.id())
                .collect();
            let keeps_rules = |other: &usize| !self.nodes[*other].lies && self.nodes[*other].adversary.is_none();
            let neighbours = self.mesh.neighbours(node).into_iter().filter(keeps_rules);
            let reachable: BTreeSet<String> = neighbours.map(|other| format!("n{other}")).collect();
            for shown in self.history(node).iter().filter(|shown| mine.contains(&shown.id)) {
                for delivery in &shown.deliveries {
                    if delivery.state == DeliveryState::Queued && reachable.contains(delivery.to.node.as_str()) {
                        let text = format!("n{node} still shows {} as queued for {}", shown.id.short(), delivery.to);
                        self.fault(Invariant::Deliveries, text);
                    }
                }
            }
        }
    }

    fn history(&mut self, node: usize) -> Vec<api::message::Message> {
        let caller = self.caller(node, 0);
        let clock = self.nodes[node].clock(self.now);
        let id = fedp2p_core::input::CallId(u64::MAX);
        let request = Request::History(api::history::Request { limit: 1000, ..Default::default() });
        let Some(core) = &mut self.nodes[node].core else { return Vec::new() };
        let effects = core.handle(clock, fedp2p_core::Input::Call { id, caller, request });
        for effect in effects {
            if let fedp2p_core::Effect::Read(token, read) = effect {
                let outcome = self.nodes[node].disk.read(&read);
                let Some(core) = &mut self.nodes[node].core else { return Vec::new() };
                for effect in core.handle(clock, fedp2p_core::Input::Read(token, outcome)) {
                    if let fedp2p_core::Effect::Reply(_, Answer::Ok(Reply::History(history))) = effect {
                        return history.messages;
                    }
                }
            }
        }
        Vec::new()
    }

    /// A process that starts again shows what it showed before, receipts included.
    fn check_restart(&mut self) {
        for node in self.honest() {
            let before = (self.digests(node).map(|(ops, picture, _)| (ops, picture)), self.receipts(node));
            // Everything that was committed is what counts, so nothing may be on its way.
            if !self.nodes[node].queue.is_empty() {
                continue;
            }
            self.nodes[node].kill();
            let (seed, epoch) = (self.dice.bytes(), self.dice.bytes());
            let now = self.now;
            drop(self.nodes[node].start(now, seed, epoch));
            let after = (self.digests(node).map(|(ops, picture, _)| (ops, picture)), self.receipts(node));
            if before != after {
                let text = format!("n{node} shows something else after a restart: {before:?}, then {after:?}");
                self.fault(Invariant::Restart, text);
            }
        }
    }

    /// Which messages were shown and acknowledged, and to whom. How far others have them is learnt anew.
    fn receipts(&mut self, node: usize) -> BTreeSet<(OpId, String, bool)> {
        if self.scenario.large {
            return BTreeSet::new();
        }
        let mut receipts = BTreeSet::new();
        for shown in self.history(node) {
            for delivery in shown.deliveries {
                let acknowledged = delivery.state == DeliveryState::Acknowledged;
                if acknowledged || delivery.state == DeliveryState::Surfaced {
                    receipts.insert((shown.id, delivery.to.to_string(), acknowledged));
                }
            }
        }
        receipts
    }
}
