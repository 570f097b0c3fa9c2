//! The clients of the simulated nodes: what they ask, and what they were promised.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fedp2p_core::Input;
use fedp2p_core::input::CallId;
use fedp2p_protocols::api::{self, Answer, Caller, ErrorCode, Reply, Request};
use fedp2p_protocols::id::OpId;
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::payload::MessageType;
use fedp2p_protocols::pulse::{AgentKind, Pulse};

use crate::sim::Sim;

/// A call that was not answered yet.
#[derive(Debug, Clone)]
struct Asked {
    node: usize,
    incarnation: u32,
    agent: usize,
    request: &'static str,
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
    asked: BTreeMap<CallId, Asked>,
    pub(crate) promises: Vec<Promise>,
    /// Messages that an agent said it was handed.
    surfaced: BTreeSet<(usize, usize, OpId)>,
    pub(crate) proposals: Vec<String>,
    /// Who waits for a ticket.
    pub(crate) invites: BTreeMap<CallId, usize>,
    pub(crate) refused: BTreeMap<String, u32>,
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
        self.note(node, || format!("call {} {request:?}", id.0));
        self.clients.asked.insert(id, asked);
        self.give(node, Input::Call { id, caller, request });
        id
    }

    /// One call of some client.
    pub(crate) fn random_call(&mut self) {
        let up: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].core.is_some()).collect();
        let Some(node) = up.get(self.dice.index(up.len())).copied() else { return };
        let agent = self.dice.index(2);
        let request = match self.dice.below(100) {
            0..=44 => self.some_message(),
            45..=64 => self.some_pulse(),
            65..=71 => Request::Inbox(api::inbox::Request { limit: 20 }),
            72..=76 => self.some_proposal(),
            77..=88 => self.some_ballot(),
            89..=91 => self.some_closing(),
            92..=95 => Request::History(api::history::Request::default()),
            96..=97 => Request::Agents(api::agents::Request {}),
            _ => Request::Peers(api::peers::Request {}),
        };
        self.call(node, agent, request);
    }

    fn some_agent(&mut self) -> AgentName {
        let node = self.dice.index(self.scenario.nodes);
        let agent = self.dice.index(2);
        self.nodes[node].agents[agent].clone()
    }

    fn some_message(&mut self) -> Request {
        let recipients = if self.dice.percent(30) { 0 } else { 1 + self.dice.index(2) };
        let to = (0..recipients).map(|_| self.some_agent().to_string()).collect();
        let size = if self.dice.percent(10) { 20_000 } else { 100 };
        let text = format!("message {}{}", self.clients.next_call, "x".repeat(self.dice.index(size)));
        Request::Send(api::send::Request { to, text, kind: MessageType::Task, ..api::send::Request::default() })
    }

    fn some_pulse(&mut self) -> Request {
        let pulse = Pulse { summary: Some(format!("at {}", self.now.as_millis())), ..Pulse::default() };
        Request::State(api::state::Request { pulse, clear: Vec::new() })
    }

    fn some_proposal(&mut self) -> Request {
        let id = format!("q{}", self.clients.proposals.len());
        self.clients.proposals.push(id.clone());
        let options = ["OAuth2", "JWT", "Custom"].map(str::to_owned).to_vec();
        Request::VoteNew(api::vote_new::Request {
            question: "Which?".to_owned(),
            options,
            id: Some(id),
            ..Default::default()
        })
    }

    fn some_id(&mut self) -> String {
        let index = self.dice.index(self.clients.proposals.len());
        self.clients.proposals.get(index).cloned().unwrap_or_else(|| "none".to_owned())
    }

    fn some_ballot(&mut self) -> Request {
        let choice = ["oauth2", "jwt", "custom"][self.dice.index(3)].to_owned();
        Request::VoteCast(api::vote_cast::Request { id: self.some_id(), choice, ..Default::default() })
    }

    fn some_closing(&mut self) -> Request {
        Request::VoteClose(api::vote_close::Request { id: self.some_id() })
    }

    pub(crate) fn answered(&mut self, node: usize, call: CallId, answer: Answer) {
        let Some(asked) = self.clients.asked.remove(&call) else {
            self.fault(format!("n{node} answered call {} twice, or one that nobody made", call.0));
            return;
        };
        self.note(node, || format!("answer {} {}", call.0, short(&answer)));
        let invite = self.clients.invites.remove(&call);
        match answer {
            Answer::Ok(reply) => self.replied(&asked, invite, reply),
            Answer::Error(error) => {
                if let Some(joiner) = invite {
                    self.join_later(joiner);
                }
                self.refused(&asked, &error);
            }
            Answer::Event(_) => self.fault(format!("n{node} sent an event to a client that does not watch")),
        }
    }

    fn refused(&mut self, asked: &Asked, error: &api::Error) {
        if asked.request == "surfaced" {
            self.clients.surfaced.retain(|(node, agent, _)| (*node, *agent) != (asked.node, asked.agent));
        }
        *self.clients.refused.entry(format!("{} {:?}", asked.request, error.code)).or_default() += 1;
        let honest = [ErrorCode::Conflict, ErrorCode::NotFound, ErrorCode::Forbidden, ErrorCode::Ambiguous];
        let full = [ErrorCode::Storage, ErrorCode::Busy].contains(&error.code) && self.scenario.faults.full_disks > 0;
        let expected = full || honest.contains(&error.code);
        if !expected {
            self.fault(format!("n{} refused {}: {error:?}", asked.node, asked.request));
        }
    }

    fn replied(&mut self, asked: &Asked, invite: Option<usize>, reply: Reply) {
        if let Reply::Send(sent) = reply {
            self.clients.promises.push(Promise { node: asked.node, id: sent.id, excused: false });
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
                self.fault(format!("n{node} handed out a message again that was surfaced: {}", message.id.short()));
            }
        }
        if inbox.messages.is_empty() || self.dice.percent(20) {
            return;
        }
        let ids: Vec<OpId> = inbox.messages.iter().map(|message| message.id).collect();
        self.clients.surfaced.extend(ids.iter().map(|id| (node, agent, *id)));
        self.call(node, agent, Request::Surfaced(api::surfaced::Request { cursor: inbox.cursor }));
        if self.dice.percent(50) {
            let ids = ids.iter().take(3).map(ToString::to_string).collect();
            self.call(node, agent, Request::Ack(api::ack::Request { ids }));
        }
    }

    /// The calls to a process end with it.
    pub(crate) fn hang_up(&mut self, node: usize) {
        // Whether what was asked had been done is not known then.
        self.clients.surfaced.retain(|(other, ..)| *other != node);
        let ended: Vec<CallId> =
            self.clients.asked.iter().filter(|(_, asked)| asked.node == node).map(|(id, _)| *id).collect();
        for id in ended {
            self.clients.asked.remove(&id);
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
            self.fault(text);
        }
    }
}

fn short(answer: &Answer) -> String {
    format!("{answer:?}").chars().take(120).collect()
}
