//! The plan of a run: who joins when, what breaks, when clients call.

use std::time::Duration;

use fedp2p_core::Input;
use fedp2p_core::input::Exchange;
use fedp2p_core::membership::found;
use fedp2p_protocols::api::{self, Request};
use fedp2p_protocols::certificate::{Certificate, Chain, Roles};
use fedp2p_protocols::id::{OrganisationId, Serial};
use fedp2p_protocols::joining;
use fedp2p_protocols::name::NodeName;
use fedp2p_protocols::op::NodeKey;
use fedp2p_protocols::pulse::Pulse;
use fedp2p_protocols::ticket::Ticket;

use crate::node::{EPOCH_MS, Node};
use crate::sim::{Event, Purpose, Sim};

/// One step of the plan.
#[derive(Debug)]
pub(crate) enum Act {
    /// Those that can connect do.
    Connect,
    HelloTimeout {
        a: usize,
        b: usize,
    },
    Start {
        node: usize,
    },
    Join {
        node: usize,
    },
    /// Its second agent says something, so that it is known.
    Introduce {
        node: usize,
    },
    Call,
    Cut,
    Heal,
    Crash {
        node: usize,
    },
    PowerCut {
        node: usize,
    },
    FullDisk {
        node: usize,
    },
    Backup {
        node: usize,
    },
    Twin {
        node: usize,
    },
}

const DAY_MS: u64 = 24 * 3600 * 1000;

fn name(node: usize) -> NodeName {
    format!("n{node}").parse().expect("a letter and digits are a name")
}

impl Sim {
    /// Makes the nodes and lays down what happens.
    pub(crate) fn plan(&mut self) {
        let skew = self.scenario.faults.skew_ms;
        for index in 0..self.scenario.nodes {
            let agents =
                ["p", "ai"].map(|kind| format!("{kind}{index}").parse().expect("letters and digits are a name"));
            let mut node = Node::new(self.dice.bytes(), agents.to_vec());
            let off = i64::try_from(self.dice.below(2 * skew + 1)).unwrap_or(0);
            node.skew_ms = off - i64::try_from(skew).unwrap_or(0);
            self.nodes.push(node);
        }
        self.found_organisation();
        let mut ready = Duration::from_secs(3);
        for node in 0..self.scenario.nodes {
            let act = if node > 0 && self.scenario.tickets { Act::Join { node } } else { Act::Start { node } };
            let step = if self.scenario.tickets { 2000 } else { 20 };
            let at = Duration::from_millis(1000 + step * node as u64);
            self.at(at, Event::Act(act));
            self.at(at + Duration::from_secs(2), Event::Act(Act::Introduce { node }));
            ready = ready.max(at + Duration::from_secs(4));
        }
        self.after(Duration::from_millis(1), Event::Act(Act::Connect));
        let chaos = Duration::from_secs(self.scenario.seconds);
        for _ in 0..self.scenario.calls {
            let at = Duration::from_secs(2) + self.within(ready + chaos - Duration::from_secs(2));
            self.at(at, Event::Act(Act::Call));
        }
        self.plan_faults(ready, chaos);
    }

    fn within(&mut self, span: Duration) -> Duration {
        self.dice.micros(0, span.as_micros() as u64)
    }

    fn plan_faults(&mut self, ready: Duration, chaos: Duration) {
        let faults = self.scenario.faults;
        for _ in 0..faults.partitions {
            let at = ready + self.within(chaos);
            self.at(at, Event::Act(Act::Cut));
            let long = self.dice.micros(2_000_000, 20_000_000);
            self.at(at + long, Event::Act(Act::Heal));
        }
        let total = faults.crashes + faults.power_cuts + faults.full_disks;
        for number in 0..total {
            let node = self.dice.index(self.scenario.nodes);
            let at = ready + self.within(chaos);
            let act = if number < faults.crashes {
                Act::Crash { node }
            } else if number < faults.crashes + faults.power_cuts {
                Act::PowerCut { node }
            } else {
                Act::FullDisk { node }
            };
            self.at(at, Event::Act(act));
        }
        let node = self.dice.index(self.scenario.nodes);
        if faults.backup {
            self.at(ready + chaos / 2, Event::Act(Act::Backup { node }));
        }
        if faults.twin {
            self.at(ready + chaos / 3, Event::Act(Act::Twin { node }));
        }
        if faults.liar {
            let liar = (node + 1) % self.scenario.nodes;
            self.nodes[liar].lies = true;
        }
    }

    fn found_organisation(&mut self) {
        let root = NodeKey::from_seed(self.dice.bytes());
        let founder = self.nodes[0].key.clone();
        let names = ("acme".parse().expect("letters are a name"), name(0));
        let chain = found(&root, founder.id(), names, Serial::from_bytes(self.dice.bytes()), EPOCH_MS);
        if !self.scenario.tickets {
            for index in 1..self.nodes.len() {
                let certificate = Certificate {
                    organisation: OrganisationId::from_bytes([0; 32]),
                    organisation_name: "acme".parse().expect("letters are a name"),
                    subject: self.nodes[index].id(),
                    name: name(index),
                    roles: Roles::MEMBER,
                    not_before: EPOCH_MS - DAY_MS,
                    not_after: EPOCH_MS + 30 * DAY_MS,
                    serial: Serial::from_bytes(self.dice.bytes()),
                    issuer: [0; 32],
                };
                let chain = Chain::by_admin(&founder, &chain, certificate);
                self.nodes[index].chain = chain.ok();
            }
        }
        self.nodes[0].root = Some(root);
        self.nodes[0].chain = Some(chain);
    }

    pub(crate) fn act(&mut self, act: Act) {
        if self.trace.is_some() && !matches!(act, Act::Connect | Act::HelloTimeout { .. } | Act::Call) {
            self.note(999, || format!("{act:?}"));
        }
        match act {
            Act::Connect => {
                self.connect_all();
                self.after(Duration::from_millis(500), Event::Act(Act::Connect));
            }
            Act::HelloTimeout { a, b } => self.hello_timeout(a, b),
            Act::Start { node } => self.start(node),
            Act::Join { node } => self.join(node),
            Act::Introduce { node } => {
                let pulse = Pulse { summary: Some("here".to_owned()), ..Pulse::default() };
                if self.nodes[node].core.is_some() {
                    self.call(node, 1, Request::State(api::state::Request { pulse, clear: Vec::new() }));
                } else {
                    self.after(Duration::from_secs(1), Event::Act(Act::Introduce { node }));
                }
            }
            Act::Call => self.random_call(),
            Act::Cut => self.cut_in_two(),
            Act::Heal => self.mesh.sides.clear(),
            Act::Crash { node } => self.crash(node),
            Act::PowerCut { node } => self.power_cut(node),
            Act::FullDisk { node } => {
                self.nodes[node].full_until = self.now + self.dice.micros(100_000, 5_000_000);
            }
            Act::Backup { node } => self.backup(node),
            Act::Twin { node } => self.copy_home(node),
        }
    }

    pub(crate) fn start(&mut self, node: usize) {
        if self.nodes[node].core.is_some() {
            return;
        }
        let (seed, epoch) = (self.dice.bytes(), self.dice.bytes());
        let now = self.now;
        if let Some(effects) = self.nodes[node].start(now, seed, epoch) {
            self.carry_out(node, effects);
            self.give(node, Input::Listening(vec![format!("/memory/{node}")]));
        }
    }

    fn join(&mut self, node: usize) {
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
            self.fault("the founder made a ticket that does not parse".to_owned());
            return;
        };
        self.nodes[node].gossip.clear();
        let exchange = self.exchange(Purpose::Join { node });
        self.give_after(Duration::from_millis(5), 0, Input::TicketShown { exchange, ticket: ticket.id() });
        let request = joining::Request { name: name(node) };
        let input = Input::JoinRequested { exchange, peer: self.nodes[node].id(), ticket: ticket.id(), request };
        self.give_after(Duration::from_millis(25), 0, input);
        // If the founder dies over it, the joiner tries again.
        self.after(Duration::from_secs(4), Event::Act(Act::Join { node }));
    }

    pub(crate) fn ticket_answered(&mut self, exchange: Exchange, secret: Option<[u8; 32]>) {
        if secret.is_none() && self.exchanges.contains_key(&exchange) {
            self.fault("the founder does not know its own ticket".to_owned());
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
            joining::Answer::Turned(turned) => self.fault(format!("n{node} was turned away: {turned:?}")),
        }
    }

    fn cut_in_two(&mut self) {
        for node in 0..self.nodes.len() {
            let side = u8::from(self.dice.percent(50));
            self.mesh.sides.insert(node, side);
        }
        for b in 0..self.nodes.len() {
            for a in 0..b {
                if self.mesh.sides[&a] != self.mesh.sides[&b] {
                    self.cut(a, b);
                }
            }
        }
    }

    fn stop(&mut self, node: usize) {
        self.nodes[node].kill();
        self.hang_up(node);
        self.cut_all(node);
    }

    fn restart_later(&mut self, node: usize) {
        let delay = self.dice.micros(50_000, 8_000_000);
        self.after(delay, Event::Act(Act::Start { node }));
    }

    fn crash(&mut self, node: usize) {
        if self.nodes[node].core.is_some() {
            self.stop(node);
            self.restart_later(node);
        }
    }

    fn power_cut(&mut self, node: usize) {
        if self.nodes[node].core.is_none() || self.nodes[node].disk.commits() < 12 {
            return;
        }
        self.stop(node);
        let lost = self.dice.index(10);
        let commits = self.nodes[node].disk.commits() - lost;
        self.lose(node, commits);
        // The daemon sees another boot id, and starts a new log epoch.
        let epoch = fedp2p_protocols::id::LogEpochId::from_bytes(self.dice.bytes());
        self.nodes[node].disk.epoch = Some(epoch);
        self.restart_later(node);
    }

    fn backup(&mut self, node: usize) {
        if self.nodes[node].core.is_none() {
            return;
        }
        self.stop(node);
        let commits = self.nodes[node].disk.commits() * 2 / 3;
        self.lose(node, commits);
        self.restart_later(node);
    }

    /// Takes a disk back to an earlier state. A promise is excused if no other disk has what was promised.
    fn lose(&mut self, node: usize, commits: usize) {
        let before = std::mem::take(&mut self.nodes[node].disk);
        self.nodes[node].disk = before.back_to(commits);
        self.nodes[node].lost = true;
        let nodes = &self.nodes;
        for promise in &mut self.clients.promises {
            let held = nodes.iter().any(|other| other.disk.by_id.contains_key(&promise.id));
            promise.excused |= !held;
        }
    }

    fn copy_home(&mut self, node: usize) {
        let Some(()) = self.nodes[node].core.as_ref().map(|_| ()) else { return };
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
        self.cut_all(node);
        self.mesh.halls.insert(node, 0);
        self.mesh.halls.insert(index, 1);
        // By then the others have noticed that the original is gone, where it is.
        self.after(Duration::from_secs(3), Event::Act(Act::Start { node: index }));
    }

    /// Ends everything that was broken on purpose.
    pub(crate) fn heal(&mut self) {
        self.mesh.sides.clear();
        for node in 0..self.nodes.len() {
            self.nodes[node].full_until = Duration::ZERO;
            self.start(node);
        }
    }
}
