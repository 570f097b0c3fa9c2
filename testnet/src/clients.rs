//! The clients of the simulated nodes: what they ask, and what they were promised.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fedp2p_core::Input;
use fedp2p_core::input::CallId;
use fedp2p_protocols::api::{self, Answer, Caller, ErrorCode, Reply, Request};
use fedp2p_protocols::claim::Mode;
use fedp2p_protocols::id::OpId;
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::payload::MessageType;
use fedp2p_protocols::pulse::{AgentKind, Pulse};
use fedp2p_protocols::vote::{Base, Mechanism};

use crate::check::Invariant;
use crate::dice::{Dice, Stream};
use crate::leases::LONG_S;
use crate::plan::What;
use crate::sim::Sim;

/// A call that was not answered yet.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    node: usize,
    incarnation: u32,
    agent: usize,
    pub(crate) request: &'static str,
    at: Duration,
}

/// A message that its sender was told is stored.
#[derive(Debug, Clone)]
pub(crate) struct Promise {
    pub(crate) node: usize,
    pub(crate) id: OpId,
    /// Whether it may be gone: the only disk that had it lost it.
    pub(crate) excused: bool,
}

/// All clients.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    next_call: u64,
    pub(crate) asked: BTreeMap<CallId, Asked>,
    pub(crate) promises: Vec<Promise>,
    /// Messages that an agent said it was handed, and was answered.
    surfaced: BTreeSet<(usize, usize, OpId)>,
    /// The same, of calls that were not answered yet.
    surfacing: BTreeMap<CallId, Vec<OpId>>,
    pub(crate) proposals: Vec<String>,
    /// What the proposals that were closed were said to have come to, by node.
    pub(crate) closed: Vec<(usize, api::proposal::Proposal)>,
    /// Who waits for a ticket.
    pub(crate) invites: BTreeMap<CallId, usize>,
}

impl Sim {
    pub(crate) fn caller(&self, node: usize, agent: usize) -> Caller {
        let name = self.nodes[node].agents[agent].clone();
        Caller { name, kind: if agent == 0 { AgentKind::Person } else { AgentKind::Ai } }
    }

    pub(crate) fn call(&mut self, node: usize, agent: usize, request: Request) -> CallId {
        self.clients.next_call += 1;
        let id = CallId(self.clients.next_call);
        let caller = self.caller(node, agent);
        let incarnation = self.nodes[node].incarnation;
        let asked = Asked { node, incarnation, agent, request: request.name(), at: self.now };
        self.clients.asked.insert(id, asked);
        self.give(node, Input::Call { id, caller, request });
        id
    }

    /// Whether a call was made at this very moment: nothing was stored since, as that takes time.
    pub(crate) fn asked_just_now(&self, call: &CallId) -> bool {
        self.clients.asked.get(call).is_some_and(|asked| asked.at == self.now)
    }

    /// A client calls, if its node is there.
    pub(crate) fn client_calls(&mut self, node: usize, agent: usize, what: What, dice: u64) {
        if self.nodes[node].core.is_none() {
            return;
        }
        let mut dice = Dice::new(dice, Stream::Step);
        let request = match what {
            What::Message => self.some_message(&mut dice),
            What::Pulse => some_pulse(&mut dice),
            What::Inbox => Request::Inbox(api::inbox::Request { limit: 20, held: false }),
            What::Proposal => self.some_proposal(&mut dice),
            What::Ballot => self.some_ballot(&mut dice),
            What::Closing => {
                let id = self.some_id(&mut dice);
                Request::VoteClose(api::vote_close::Request { id, withdraw: dice.percent(10) })
            }
            What::Claim => some_claim(&mut dice),
            What::Release => Request::ClaimRelease(api::claim_release::Request::default()),
            What::Renew => Request::ClaimRenew(api::claim_renew::Request::default()),
            What::Task => crate::tasks::some_task_call(&mut dice),
            What::History => Request::History(api::history::Request::default()),
            What::Agents => Request::Agents(api::agents::Request {}),
            What::Peers => Request::Peers(api::peers::Request {}),
        };
        self.call(node, agent, request);
    }

    fn some_agent(&self, dice: &mut Dice) -> AgentName {
        let agents = if self.scenario.nodes <= 32 { 2 } else { 1 };
        self.nodes[dice.index(self.scenario.nodes)].agents[dice.index(agents)].clone()
    }

    fn some_message(&mut self, dice: &mut Dice) -> Request {
        let recipients = if dice.percent(30) { 0 } else { 1 + dice.index(2) };
        let to = (0..recipients).map(|_| self.some_agent(dice).to_string()).collect();
        let size = if dice.percent(10) { 20_000 } else { 100 };
        let text = format!("message {} {}", self.clients.next_call, "x".repeat(dice.index(size)));
        Request::Send(api::send::Request { to, text, kind: MessageType::Task, ..api::send::Request::default() })
    }

    fn some_proposal(&mut self, dice: &mut Dice) -> Request {
        let id = format!("q{}", self.clients.proposals.len());
        self.clients.proposals.push(id.clone());
        let options = ["OAuth2", "JWT", "Custom"].map(str::to_owned).to_vec();
        let mechanisms = [Mechanism::Poll, Mechanism::Vote, Mechanism::Approval, Mechanism::Ranked];
        let shares = ["majority", "two-thirds", "1/5"];
        let share = |dice: &mut Dice| dice.percent(40).then(|| shares[dice.index(3)].parse().expect("a share"));
        let request = api::vote_new::Request {
            question: "Which?".to_owned(),
            options,
            id: Some(id),
            mechanism: mechanisms[dice.index(mechanisms.len())],
            threshold: share(dice),
            of: if dice.percent(50) { Base::Voting } else { Base::Electorate },
            quorum: share(dice),
            electorate: if dice.percent(20) { vec!["people".to_owned()] } else { Vec::new() },
            acknowledge_s: dice.percent(30).then(|| 1 + dice.below(5) as u32),
            deadline_s: dice.percent(40).then(|| 6 + dice.below(30) as u32),
            early: dice.percent(50),
        };
        Request::VoteNew(request)
    }

    fn some_id(&self, dice: &mut Dice) -> String {
        // The latest are voted on most.
        let known = self.clients.proposals.len();
        let index = known.saturating_sub(1 + dice.index(known.min(3)));
        self.clients.proposals.get(index).cloned().unwrap_or_else(|| "none".to_owned())
    }

    fn some_ballot(&self, dice: &mut Dice) -> Request {
        let id = self.some_id(dice);
        if dice.percent(30) {
            return Request::VoteAck(api::vote_ack::Request { id, revision: None });
        }
        let choices = ["oauth2", "jwt", "custom"];
        let first = dice.index(3);
        let how_many = if dice.percent(10) { 0 } else { 1 + dice.index(2) };
        let choices = (0..how_many).map(|at| choices[(first + at) % 3].to_owned()).collect();
        Request::VoteCast(api::vote_cast::Request { id, choices, ..Default::default() })
    }

    pub(crate) fn answered(&mut self, node: usize, call: CallId, answer: Answer) {
        let Some(asked) = self.clients.asked.remove(&call) else {
            self.fault(Invariant::Answers, format!("n{node} answered call {} twice, or one that nobody made", call.0));
            return;
        };
        let invite = self.clients.invites.remove(&call);
        let surfaced = self.clients.surfacing.remove(&call).unwrap_or_default();
        match answer {
            Answer::Ok(Reply::Surfaced(_)) => {
                self.clients.surfaced.extend(surfaced.into_iter().map(|id| (asked.node, asked.agent, id)));
            }
            Answer::Ok(reply) => self.replied(&asked, invite, reply),
            Answer::Error(error) => {
                if let Some(joiner) = invite {
                    self.join_later(joiner);
                }
                self.refused(&asked, &error);
            }
            Answer::Event(_) => {
                self.fault(Invariant::Answers, format!("n{node} sent an event to a client that does not watch"));
            }
        }
    }

    fn refused(&mut self, asked: &Asked, error: &api::Error) {
        let honest = [ErrorCode::Conflict, ErrorCode::NotFound, ErrorCode::Forbidden, ErrorCode::Ambiguous];
        // Two choices where one is taken.
        let too_many = error.code == ErrorCode::Invalid && asked.request == "vote_cast";
        let full = [ErrorCode::Storage, ErrorCode::Busy].contains(&error.code) && self.scenario.faults.full_disks > 0;
        let expected = full || too_many || honest.contains(&error.code);
        if !expected {
            self.fault(Invariant::Answers, format!("n{} refused {}: {error:?}", asked.node, asked.request));
        }
    }

    fn replied(&mut self, asked: &Asked, invite: Option<usize>, reply: Reply) {
        let node = asked.node;
        if let Reply::Send(sent) = reply {
            if !self.nodes[node].disk.by_id.contains_key(&sent.id) {
                self.fault(
                    Invariant::Durable,
                    format!("n{node} acknowledged {} before it was stored", sent.id.short()),
                );
            }
            if self.nodes[node].counts() {
                self.clients.promises.push(Promise { node, id: sent.id, excused: false });
            }
        } else if let Reply::VoteClose(closed) = reply {
            self.clients.closed.push((node, *closed));
        } else if let Reply::Inbox(inbox) = reply {
            self.handed(asked, inbox);
        } else if let (Reply::Invite(invited), Some(joiner)) = (reply, invite) {
            self.ticket_in_hand(joiner, &invited.ticket);
        }
    }

    /// An agent was handed messages: most of the time it says so, and acknowledges some.
    fn handed(&mut self, asked: &Asked, inbox: api::inbox::Reply) {
        let (node, agent) = (asked.node, asked.agent);
        for message in &inbox.messages {
            if self.clients.surfaced.contains(&(node, agent, message.id)) && !self.nodes[node].lost {
                let text = format!("n{node} handed out {} again, which was surfaced", message.id.short());
                self.fault(Invariant::Once, text);
            }
        }
        if inbox.messages.is_empty() || self.dice.percent(20) {
            return;
        }
        let ids: Vec<OpId> = inbox.messages.iter().map(|message| message.id).collect();
        let call = self.call(
            node,
            agent,
            Request::Surfaced(api::surfaced::Request { cursor: inbox.cursor, held: inbox.with_held }),
        );
        self.clients.surfacing.insert(call, ids.clone());
        if self.dice.percent(50) {
            let ids = ids.iter().take(3).map(ToString::to_string).collect();
            self.call(node, agent, Request::Ack(api::ack::Request { ids }));
        }
    }

    /// The calls to a process end with it.
    pub(crate) fn hang_up(&mut self, node: usize) {
        let ended: Vec<CallId> =
            self.clients.asked.iter().filter(|(_, asked)| asked.node == node).map(|(id, _)| *id).collect();
        for id in ended {
            self.clients.asked.remove(&id);
            self.clients.surfacing.remove(&id);
            if let Some(joiner) = self.clients.invites.remove(&id) {
                self.join_later(joiner);
            }
        }
    }

    pub(crate) fn check_unanswered(&mut self) {
        let late: Vec<String> = self
            .clients
            .asked
            .values()
            .filter(|asked| self.nodes[asked.node].incarnation == asked.incarnation)
            .map(|asked| format!("n{} never answered {} of {:?}", asked.node, asked.request, asked.at))
            .collect();
        for text in late {
            self.fault(Invariant::Answers, text);
        }
    }
}

fn some_claim(dice: &mut Dice) -> Request {
    let files = [&["src"][..], &["src/*.rs", "docs"], &["src/a.rs"], &["docs/**/*.md"], &["tests"]];
    Request::ClaimTake(api::claim_take::Request {
        repository: "fedp2p".parse().expect("a name"),
        files: files[dice.index(files.len())].iter().map(ToString::to_string).collect(),
        mode: if dice.percent(20) { Mode::Shared } else { Mode::Exclusive },
        ttl_s: if dice.percent(50) { LONG_S } else { 5 + dice.below(10) as u32 },
        why: None,
        no_wait: dice.percent(50),
    })
}

fn some_pulse(dice: &mut Dice) -> Request {
    let pulse = Pulse { summary: Some(format!("doing {}", dice.below(1_000_000))), ..Pulse::default() };
    Request::State(api::state::Request { pulse, clear: Vec::new() })
}
