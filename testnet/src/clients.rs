//! The clients of the simulated nodes: what they ask, and what they were promised.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fedp2p_core::Input;
use fedp2p_core::input::CallId;
use fedp2p_protocols::api::{self, Answer, Caller, ErrorCode, Reply, Request};
use fedp2p_protocols::attention::Mode;
use fedp2p_protocols::claim;
use fedp2p_protocols::id::OpId;
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::payload::MessageType;
use fedp2p_protocols::pulse::{AgentKind, Pulse};

use crate::check::Invariant;
use crate::dice::{Dice, Stream};
use crate::leases::LONG_S;
use crate::plan::What;
use crate::polls::Polls;
use crate::sim::Sim;
use crate::tasks::{ROLE, Work};

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
    pub(crate) polls: Polls,
    pub(crate) work: Work,
    /// Who waits for a ticket.
    pub(crate) invites: BTreeMap<CallId, usize>,
}

impl Sim {
    pub(crate) fn caller(&self, node: usize, agent: usize) -> Caller {
        let name = self.nodes[node].agents[agent].clone();
        Caller { name, kind: if agent == 0 { AgentKind::Person } else { AgentKind::Ai } }
    }

    /// What the next call will be known by.
    pub(crate) fn next_call(&self) -> CallId {
        CallId(self.clients.next_call + 1)
    }

    pub(crate) fn call(&mut self, node: usize, agent: usize, request: Request) -> CallId {
        let id = self.next_call();
        self.clients.next_call = id.0;
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
            What::Proposal | What::Revision | What::Ballot | What::Closing | What::Approval | What::Answer => {
                match self.some_vote_call(node, agent, what, &mut dice) {
                    Some(request) => request,
                    None => return,
                }
            }
            What::Claim => some_claim(&mut dice),
            What::Release => Request::ClaimRelease(api::claim_release::Request::default()),
            What::Renew => Request::ClaimRenew(api::claim_renew::Request::default()),
            What::Task => self.some_task_call(node, agent, &mut dice),
            What::Role => Request::RoleAssign(api::role_assign::Request {
                agent: self.some_agent(&mut dice).to_string(),
                role: ROLE.parse().expect("letters are a role"),
                subtask: None,
                subtask_id: None,
                conversation: None,
            }),
            What::Attention => {
                let modes = [Mode::Open, Mode::Open, Mode::Focus, Mode::Dnd];
                let mode = modes[dice.index(modes.len())];
                Request::AttentionSet(api::attention_set::Request { mode, urgent: Vec::new() })
            }
            What::Note => return self.edit_some_note(node, agent, &mut dice),
            What::History => Request::History(api::history::Request::default()),
            What::Agents => Request::Agents(api::agents::Request::default()),
            What::Peers => Request::Peers(api::peers::Request {}),
        };
        self.call(node, agent, request);
    }

    pub(crate) fn some_agent(&self, dice: &mut Dice) -> AgentName {
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

    pub(crate) fn answered(&mut self, node: usize, call: CallId, answer: Answer) {
        let Some(asked) = self.clients.asked.remove(&call) else {
            self.fault(Invariant::Answers, format!("n{node} answered call {} twice, or one that nobody made", call.0));
            return;
        };
        let invite = self.clients.invites.remove(&call);
        let surfaced = self.clients.surfacing.remove(&call).unwrap_or_default();
        self.note_answered(node, call, &answer);
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
        // Who tries a PIN that was lost with a disk has to wait.
        let wrong_pin = error.code == ErrorCode::Busy && asked.request == "approval_answer";
        let full = [ErrorCode::Storage, ErrorCode::Busy].contains(&error.code) && self.scenario.faults.full_disks > 0;
        let expected = full || too_many || wrong_pin || honest.contains(&error.code);
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
            self.clients.polls.closed.push((node, *closed));
        } else if let Reply::PinSet(_) = reply {
            self.clients.polls.pin_is_set(node);
        } else if let Reply::TaskUpdate(task) | Reply::TaskClaim(task) = reply {
            self.worked(node, asked.agent, &task, asked.at);
        } else if let Reply::TaskNext(api::task_next::Reply { task: Some(task), .. }) = reply {
            self.worked(node, asked.agent, &task, asked.at);
            self.clients.work.begun.push((node, asked.agent, task.id));
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
        mode: if dice.percent(20) { claim::Mode::Shared } else { claim::Mode::Exclusive },
        ttl_s: if dice.percent(50) { LONG_S } else { 5 + dice.below(10) as u32 },
        why: None,
        no_wait: dice.percent(50),
    })
}

fn some_pulse(dice: &mut Dice) -> Request {
    let pulse = Pulse { summary: Some(format!("doing {}", dice.below(1_000_000))), ..Pulse::default() };
    Request::State(api::state::Request { pulse, clear: Vec::new() })
}
