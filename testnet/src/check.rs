//! What must hold: DESIGN section 10.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_protocols::api::{self, Reply, Request, message::DeliveryState};
use fedp2p_protocols::id::OpId;
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::op::Kind;
use fedp2p_protocols::payload::Message;
use fedp2p_protocols::sync::LogKey;
use fedp2p_protocols::vote::AgentId;

use crate::disk::Complaint;
use crate::sim::Sim;

impl Sim {
    /// The digests that a node shows, and how many entries wait.
    fn digests(&mut self, node: usize) -> Option<(String, String, u32)> {
        let Some(Reply::Status(status)) = self.ask(node, Request::Status(api::status::Request {})) else { return None };
        let lobby = status.conversations.first()?;
        Some((lobby.ops_digest.clone(), lobby.picture_digest.clone(), lobby.pending))
    }

    /// Whether all nodes hold and show the same.
    pub(crate) fn agree(&mut self) -> bool {
        let mut all = BTreeSet::new();
        for node in 0..self.nodes.len() {
            all.insert(self.digests(node));
        }
        all.len() == 1 && all.iter().all(|digests| digests.as_ref().is_some_and(|(_, _, pending)| *pending == 0))
    }

    pub(crate) fn explain_disagreement(&mut self) {
        for node in 0..self.nodes.len() {
            let digests = self.digests(node);
            let short = |text: &str| text.chars().take(8).collect::<String>();
            let said = digests.map(|(ops, picture, pending)| {
                format!("ops {} picture {} pending {pending}", short(&ops), short(&picture))
            });
            let logs: Vec<String> = self.nodes[node]
                .disk
                .logs
                .values()
                .map(|log| {
                    let frozen = self.nodes[node].disk.forks.range((log.key, 0)..=(log.key, u64::MAX)).next();
                    let frozen = frozen.map_or(String::new(), |((_, seq), _)| format!("!{seq}"));
                    format!("{}/{}:{}{frozen}", log.key.author.short(), log.key.log.short(), log.height)
                })
                .collect();
            self.fault(format!(
                "n{node} ({}): {}; {}",
                self.nodes[node].id().short(),
                said.unwrap_or_default(),
                logs.join(" ")
            ));
        }
    }

    /// Everything that must hold once all nodes agree.
    pub(crate) fn check_all(&mut self) {
        self.check_disks();
        self.check_promises();
        self.check_inboxes();
        self.check_votes();
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
    fn void(&self) -> BTreeSet<OpId> {
        let frozen = self.frozen();
        let mut void = BTreeSet::new();
        for write in self.nodes.iter().flat_map(|node| node.disk.ops.values()) {
            let header = write.op.header();
            let key = LogKey { author: header.author, log: header.log };
            if frozen.get(&key).is_some_and(|seq| header.seq >= *seq) {
                void.insert(write.op.id());
            }
        }
        void
    }

    fn check_disks(&mut self) {
        let void = self.void();
        let mut found = Vec::new();
        for (node, complaint) in
            self.nodes.iter().enumerate().flat_map(|(n, node)| node.disk.complaints.iter().map(move |c| (n, c)))
        {
            match complaint {
                Complaint::Dep { dep, .. } if void.contains(dep) => {}
                Complaint::Dep { op, dep } => {
                    found.push(format!("n{node} stored {} before {}, on which it depends", op.short(), dep.short()));
                }
                Complaint::Other(text) => found.push(format!("n{node}: {text}")),
            }
        }
        for (index, node) in self.nodes.iter().enumerate() {
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
            self.fault(text);
        }
    }

    /// How many promises could not be kept, for reasons that are known and stated.
    pub(crate) fn excused(&self) -> usize {
        let void = self.void();
        self.clients.promises.iter().filter(|promise| promise.excused || void.contains(&promise.id)).count()
    }

    fn check_promises(&mut self) {
        let void = self.void();
        let mut found = Vec::new();
        for promise in self.clients.promises.iter().filter(|promise| !promise.excused && !void.contains(&promise.id)) {
            for (index, node) in self.nodes.iter().enumerate() {
                if !node.disk.by_id.contains_key(&promise.id) {
                    found.push(format!(
                        "n{index} lacks {}, which n{} acknowledged to its sender",
                        promise.id.short(),
                        promise.node
                    ));
                }
            }
        }
        for text in found {
            self.fault(text);
        }
    }

    /// Every message is in the inboxes that it should be in and in no other.
    fn check_inboxes(&mut self) {
        let void = self.void();
        let mut found = Vec::new();
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| !node.twin && !node.lost) {
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
            self.fault(text);
        }
    }

    /// Every tally is the same everywhere.
    fn check_votes(&mut self) {
        let mut seen = BTreeSet::new();
        for node in 0..self.nodes.len() {
            let list = Request::VoteList(api::vote_list::Request { all: true });
            if let Some(Reply::VoteList(list)) = self.ask(node, list) {
                seen.insert(format!("{:?}", list.proposals));
            }
        }
        if seen.len() > 1 {
            self.fault(format!("{} different lists of proposals and tallies", seen.len()));
        }
    }

    /// Senders see that their messages are stored at those whom they are connected with.
    fn check_deliveries(&mut self) {
        for node in 0..self.nodes.len() {
            let own = self.nodes[node].id();
            let neighbours = self.mesh.neighbours(node);
            let filter = fedp2p_core::store::HistoryFilter { limit: 1000, ..Default::default() };
            let fedp2p_core::store::ReadOutcome::History(rows) =
                self.nodes[node].disk.read(&fedp2p_core::store::Read::History(filter))
            else {
                continue;
            };
            let void = self.void();
            let mine: BTreeSet<OpId> = rows
                .iter()
                .filter(|(placed, _)| placed.op.header().author == own && !void.contains(&placed.op.id()))
                .map(|(placed, _)| placed.op.id())
                .collect();
            let reachable: BTreeSet<String> =
                neighbours.iter().filter(|other| !self.nodes[**other].lies).map(|other| format!("n{other}")).collect();
            for shown in self.history(node).iter().filter(|shown| mine.contains(&shown.id)) {
                for delivery in &shown.deliveries {
                    if delivery.state == DeliveryState::Queued && reachable.contains(delivery.to.node.as_str()) {
                        self.fault(format!("n{node} still shows {} as queued for {}", shown.id.short(), delivery.to));
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
                    if let fedp2p_core::Effect::Reply(_, api::Answer::Ok(Reply::History(history))) = effect {
                        return history.messages;
                    }
                }
            }
        }
        Vec::new()
    }

    /// A process that starts again shows what it showed before.
    fn check_restart(&mut self) {
        for node in 0..self.nodes.len() {
            let before = self.digests(node);
            // Everything that was committed is what counts, so nothing may be on its way.
            if !self.nodes[node].queue.is_empty() {
                continue;
            }
            self.nodes[node].kill();
            let (seed, epoch) = (self.dice.bytes(), self.dice.bytes());
            let now = self.now;
            drop(self.nodes[node].start(now, seed, epoch));
            let after = self.digests(node);
            if before != after {
                self.fault(format!("n{node} shows something else after a restart: {before:?}, then {after:?}"));
            }
        }
    }
}
