//! How each step of a plan is done.

use std::collections::BTreeSet;
use std::time::Duration;

use fedp2p_core::Input;
use fedp2p_core::input::Exchange;
use fedp2p_core::membership::found;
use fedp2p_protocols::api::{self, Request};
use fedp2p_protocols::certificate::{Certificate, Chain, Roles};
use fedp2p_protocols::id::{LogEpochId, OrganisationId, Serial};
use fedp2p_protocols::joining;
use fedp2p_protocols::name::NodeName;
use fedp2p_protocols::op::NodeKey;
use fedp2p_protocols::pulse::Pulse;
use fedp2p_protocols::ticket::Ticket;

use crate::adversary::Adversary;
use crate::check::Invariant;
use crate::dice::{Dice, Stream};
use crate::node::{EPOCH_MS, Node};
use crate::plan::{Act, Plan};
use crate::sim::{Event, Purpose, Sim};
use crate::tell;

pub(crate) const DAY_MS: u64 = 24 * 3600 * 1000;

fn name(node: usize) -> NodeName {
    format!("n{node}").parse().expect("a letter and digits are a name")
}

/// What a member's certificate says.
pub(crate) fn certificate(subject: fedp2p_protocols::id::NodeId, name: NodeName, serial: [u8; 16]) -> Certificate {
    Certificate {
        organisation: OrganisationId::from_bytes([0; 32]),
        organisation_name: "acme".parse().expect("letters are a name"),
        subject,
        name,
        roles: Roles::MEMBER,
        not_before: EPOCH_MS - 2 * DAY_MS,
        not_after: EPOCH_MS + 30 * DAY_MS,
        serial: Serial::from_bytes(serial),
        issuer: [0; 32],
    }
}

impl Sim {
    /// Makes the nodes, their keys and their certificates.
    pub(crate) fn set_up(&mut self, plan: &Plan) {
        let mut dice = Dice::new(plan.seed, Stream::Setup);
        let count = self.scenario.nodes;
        let has_part: BTreeSet<usize> = plan
            .steps
            .iter()
            .filter(|step| matches!(step.act, Act::Start { .. } | Act::Join { .. }))
            .filter_map(|step| step.act.node())
            .collect();
        for index in 0..count {
            let agents =
                ["p", "ai"].map(|kind| format!("{kind}{index}").parse().expect("letters and digits are a name"));
            let mut node = Node::new(dice.bytes(), agents.to_vec());
            node.gone = !has_part.contains(&index);
            self.nodes.push(node);
        }
        let root = NodeKey::from_seed(dice.bytes());
        let founder = self.nodes[0].key.clone();
        let names = ("acme".parse().expect("letters are a name"), name(0));
        let chain = found(&root, founder.id(), names, Serial::from_bytes(dice.bytes()), EPOCH_MS);
        let hostile = count - self.scenario.hostile.nodes..count;
        for index in 1..count {
            if !self.scenario.tickets || hostile.contains(&index) {
                let certificate = certificate(self.nodes[index].id(), name(index), dice.bytes());
                self.nodes[index].chain = Chain::by_admin(&founder, &chain, certificate).ok();
            }
        }
        for index in hostile {
            let key = self.nodes[index].key.clone();
            self.nodes[index].adversary =
                self.nodes[index].chain.clone().map(|own| Adversary::new(key, own, founder.clone(), chain.clone()));
        }
        self.nodes[0].root = Some(root);
        self.nodes[0].chain = Some(chain);
    }

    pub(crate) fn act(&mut self, act: Act) {
        if self.trace.is_some()
            && let Some(text) = tell::act(&act)
        {
            self.announce(|| text);
        }
        match act {
            Act::Start { node } => self.start(node),
            Act::Join { node } => self.join(node),
            Act::Introduce { node } => self.introduce(node),
            Act::Call { node, agent, what, dice } => self.client_calls(node, agent, what, dice),
            Act::Cut { side, ms } => {
                let until = self.now + Duration::from_millis(ms);
                self.part(side.into_iter().collect(), until);
            }
            Act::OneWay { from, ms } => {
                let until = self.now + Duration::from_millis(ms);
                self.mesh.block(from.into_iter().collect(), BTreeSet::new(), until);
            }
            Act::Stall { a, b, ms } => {
                let until = self.now + Duration::from_millis(ms);
                self.mesh.block(BTreeSet::from([a]), BTreeSet::from([b]), until);
                self.mesh.block(BTreeSet::from([b]), BTreeSet::from([a]), until);
            }
            Act::Crash { node, ms } => {
                if self.nodes[node].core.is_some() {
                    self.stop(node);
                    self.start_later(node, ms);
                }
            }
            Act::PowerCut { node, commits, ms } => self.power_cut(node, commits, ms),
            Act::Restore { node, percent, ms, alone } => self.restore(node, percent, ms, alone),
            Act::FullDisk { node, ms } => self.nodes[node].full_until = self.now + Duration::from_millis(ms),
            Act::Slow { node, each_ms, ms } => {
                let until = self.now + Duration::from_millis(ms);
                self.nodes[node].slow = (until, Duration::from_millis(each_ms));
            }
            Act::Freeze { node, asleep, ms } => self.freeze(node, asleep, Duration::from_millis(ms)),
            Act::SetClock { node, off_ms } => self.nodes[node].skew_ms = off_ms,
            Act::Leave { node } => self.leave(node),
            Act::CopyHome { node } => self.copy_home(node),
            Act::Lie { node } => self.nodes[node].lies = true,
            Act::Attack { node, attack, dice } => self.attack(node, attack, Dice::new(dice, Stream::Step)),
        }
    }

    pub(crate) fn start(&mut self, node: usize) {
        if self.nodes[node].core.is_some() || self.nodes[node].gone {
            return;
        }
        let (seed, epoch) = (self.dice.bytes(), self.dice.bytes());
        let now = self.now;
        if let Some(effects) = self.nodes[node].start(now, seed, epoch) {
            self.announce(|| format!("n{node} starts"));
            self.carry_out(node, effects);
            self.give(node, Input::Listening(vec![format!("/memory/{node}")]));
        }
    }

    fn introduce(&mut self, node: usize) {
        let pulse = Pulse { summary: Some("here".to_owned()), ..Pulse::default() };
        if self.nodes[node].core.is_some() {
            self.call(node, 1, Request::State(api::state::Request { pulse, clear: Vec::new() }));
        } else if !self.nodes[node].gone {
            self.after(Duration::from_secs(1), Event::Act(Act::Introduce { node }));
        }
    }

    fn join(&mut self, node: usize) {
        if self.nodes[node].chain.is_some() {
            self.start(node);
            return;
        }
        if self.nodes[0].core.is_none() {
            self.join_later(node);
            return;
        }
        let call = self.call(0, 0, Request::Invite(api::invite::Request::default()));
        self.clients.invites.insert(call, node);
    }

    pub(crate) fn join_later(&mut self, node: usize) {
        self.after(Duration::from_secs(2), Event::Act(Act::Join { node }));
    }

    pub(crate) fn ticket_in_hand(&mut self, node: usize, text: &str) {
        let Ok(ticket) = text.parse::<Ticket>() else {
            self.fault(Invariant::Answers, "the founder made a ticket that does not parse".to_owned());
            return;
        };
        let exchange = self.exchange(Purpose::Join { node });
        self.give_after(Duration::from_millis(5), 0, Input::TicketShown { exchange, ticket: ticket.id() });
        let request = joining::Request { name: name(node) };
        let input = Input::JoinRequested { exchange, peer: self.nodes[node].id(), ticket: ticket.id(), request };
        self.give_after(Duration::from_millis(25), 0, input);
        // If the founder dies over it, the joiner tries again.
        self.after(Duration::from_secs(4), Event::Act(Act::Join { node }));
    }

    pub(crate) fn ticket_answered(&mut self, exchange: Exchange, secret: Option<[u8; 32]>) {
        if secret.is_none() && self.exchanges.contains_key(&exchange) && !self.nodes[0].lost {
            self.fault(Invariant::Answers, "the founder does not know its own ticket".to_owned());
        }
    }

    pub(crate) fn join_answered(&mut self, exchange: Exchange, answer: joining::Answer) {
        let Some(Purpose::Join { node }) = self.exchanges.remove(&exchange) else { return };
        match answer {
            joining::Answer::Admitted { chain, inviter } if self.nodes[node].chain.is_none() => {
                self.nodes[node].chain = Some(chain);
                self.nodes[node].inviter = Some(inviter);
                self.after(Duration::from_millis(20), Event::Act(Act::Start { node }));
            }
            joining::Answer::Admitted { .. } | joining::Answer::Turned(joining::Turned::Unable) => {}
            joining::Answer::Turned(turned) => {
                self.fault(Invariant::Answers, format!("n{node} was turned away: {turned:?}"));
            }
        }
    }

    fn stop(&mut self, node: usize) {
        self.nodes[node].wake(self.now);
        self.nodes[node].kill();
        self.hang_up(node);
        self.cut_all(node);
    }

    fn start_later(&mut self, node: usize, ms: u64) {
        self.after(Duration::from_millis(ms), Event::Act(Act::Start { node }));
    }

    fn power_cut(&mut self, node: usize, commits: usize, ms: u64) {
        if self.nodes[node].core.is_none() || self.nodes[node].disk.commits() < 12 {
            return;
        }
        self.stop(node);
        let disk = &self.nodes[node].disk;
        let left = disk.left_of(disk.commits() - commits.min(11));
        self.lose(node, left);
        // The daemon sees another boot id, and starts a new log epoch.
        let epoch = LogEpochId::from_bytes(self.dice.bytes());
        self.nodes[node].disk.epoch = Some(epoch);
        self.start_later(node, ms);
    }

    fn restore(&mut self, node: usize, percent: u64, ms: u64, alone: bool) {
        if self.nodes[node].core.is_none() {
            return;
        }
        self.stop(node);
        let commits = self.nodes[node].disk.commits() * percent as usize / 100;
        self.lose(node, commits.max(4));
        self.nodes[node].forgot = true;
        // The daemon sees that its home is a copy; where the whole machine was put back, it does not.
        if alone || self.dice.percent(50) {
            self.nodes[node].repeats = true;
        } else {
            let epoch = LogEpochId::from_bytes(self.dice.bytes());
            self.nodes[node].disk.epoch = Some(epoch);
        }
        if alone {
            // Long enough to write before it meets anybody.
            self.part(BTreeSet::from([node]), self.now + Duration::from_secs(8));
        }
        self.start_later(node, ms);
    }

    /// Takes a disk back to an earlier state. A promise is excused if no other disk has what was promised.
    fn lose(&mut self, node: usize, commits: usize) {
        let before = std::mem::take(&mut self.nodes[node].disk);
        self.nodes[node].disk = before.back_to(commits);
        self.nodes[node].lost = true;
        self.excuse();
    }

    /// Excuses the promises that no disk has any more.
    fn excuse(&mut self) {
        let nodes = &self.nodes;
        for promise in &mut self.clients.promises {
            let held = |node: &Node| node.counts() && node.disk.by_id.contains_key(&promise.id);
            promise.excused |= !nodes.iter().any(held);
        }
        for written in &mut self.notebook.written {
            let held = |node: &Node| node.counts() && node.disk.by_id.contains_key(&written.op);
            written.excused |= !nodes.iter().any(held);
        }
    }

    fn freeze(&mut self, node: usize, asleep: bool, span: Duration) {
        if self.nodes[node].core.is_none() || self.nodes[node].frozen_until > self.now {
            return;
        }
        self.nodes[node].freeze(self.now, span, asleep);
    }

    fn leave(&mut self, node: usize) {
        self.stop(node);
        self.nodes[node].gone = true;
        self.excuse();
    }

    fn copy_home(&mut self, node: usize) {
        if self.nodes[node].core.is_none() {
            return;
        }
        // From now on it is not looked at what either of them says of its claims, nor whether they end.
        self.claims_forgotten(node);
        let original = &mut self.nodes[node];
        original.twin = true;
        let mut copy = Node::new(original.key.seed(), original.agents.clone());
        copy.root.clone_from(&original.root);
        copy.chain.clone_from(&original.chain);
        copy.disk = original.disk.clone();
        copy.skew_ms = original.skew_ms;
        copy.twin = true;
        let index = self.nodes.len();
        self.nodes.push(copy);
        self.mesh.add();
        self.cut_all(node);
        self.mesh.halls.insert(node, 0);
        self.mesh.halls.insert(index, 1);
        // By then the others have noticed that the original is gone, where it is.
        self.after(Duration::from_secs(3), Event::Act(Act::Start { node: index }));
    }

    /// Ends everything that was broken on purpose.
    pub(crate) fn heal(&mut self) {
        self.announce(|| "everything is healed".to_owned());
        self.mesh.heal();
        let now = self.now;
        // Time passes until the clock that was furthest ahead was right.
        let ahead = self.nodes.iter().map(|node| node.disk.latest_ms()).max().unwrap_or(0);
        let late = i64::try_from(ahead.saturating_sub(EPOCH_MS + now.as_millis() as u64)).unwrap_or(0);
        let wait = if late > 120_000 { late } else { 0 };
        for node in 0..self.nodes.len() {
            let this = &mut self.nodes[node];
            this.full_until = Duration::ZERO;
            this.slow = (Duration::ZERO, Duration::ZERO);
            if wait > 0 || this.skew_ms.unsigned_abs() > 110_000 {
                this.skew_ms = wait;
            }
            this.wake(now);
            let incarnation = this.incarnation;
            self.after(Duration::from_micros(1), Event::Resume { node, incarnation });
            self.start(node);
        }
    }
}
