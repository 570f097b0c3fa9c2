//! The budgets against chatter: how much an AI agent says within an hour to one agent, in one thread and in all, before a
//! person or a result answers.
//!
//! What was said is counted here from the moment at which it is written, so that calls that come at once do not pass
//! together. It is forgotten when the node is started anew; the messages of a thread are counted in the store besides.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use fedp2p_protocols::api::{Caller, Error, ErrorCode};
use fedp2p_protocols::id::OpId;
use fedp2p_protocols::limits::{
    MAX_AGENT_APPROVALS, MAX_AGENT_MESSAGES, MAX_PEER_MESSAGES, MAX_THREAD_MESSAGES, THREAD_WINDOW,
};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::op::Verified;
use fedp2p_protocols::payload::{Message, MessageType};
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_protocols::vote::AgentId;

use super::resolve::agent_name;
use crate::Core;
use crate::store::Traced;

/// What an agent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// A message.
    Message,
    /// The result of some work, which others wait for: it counts in threads and in all, not among what is said to one agent.
    Result,
    /// A question for an approval.
    Approval,
    /// A note on a task.
    Note,
}

/// Something that an agent said.
#[derive(Debug)]
struct Said {
    at: Duration,
    what: What,
    /// To whom; empty means everybody.
    to: Vec<AgentId>,
    /// The message, if it is one, and the one that it answers.
    message: Option<OpId>,
    reply_to: Option<OpId>,
}

impl Said {
    fn is_chat(&self) -> bool {
        matches!(self.what, What::Message | What::Approval)
    }
}

/// What the AI agents of this node said lately, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    said: BTreeMap<AgentName, VecDeque<Said>>,
}

impl Budgets {
    fn lately(&self, agent: &AgentName, now: Duration) -> impl Iterator<Item = &Said> {
        let said = self.said.get(agent).into_iter().flatten();
        said.filter(move |said| said.at + THREAD_WINDOW > now)
    }

    /// How many of this agent's messages belong to a thread of which `known` was read, and are not in it yet.
    fn on_their_way(&self, agent: &AgentName, now: Duration, known: &BTreeSet<OpId>) -> usize {
        let mut thread = known.clone();
        let mut count = 0;
        for said in self.lately(agent, now) {
            let answers = said.reply_to.is_some_and(|reply_to| thread.contains(&reply_to));
            if answers && said.message.is_some_and(|message| thread.insert(message)) {
                count += 1;
            }
        }
        count
    }
}

impl Core {
    /// Checks that an AI agent may say something more.
    ///
    /// # Errors
    /// If it has said as much as it may until somebody answers.
    pub(crate) fn check_spending(&self, caller: &Caller, to: &[AgentId], what: What) -> Result<(), Error> {
        if caller.kind != AgentKind::Ai {
            return Ok(());
        }
        let now = self.now.monotonic;
        let lately = || self.budgets.lately(&caller.name, now);
        let approvals = || lately().filter(|said| said.what == What::Approval).count();
        if what == What::Approval && approvals() >= MAX_AGENT_APPROVALS {
            let spent = format!("asked for {MAX_AGENT_APPROVALS} approvals");
            return Err(spent_all(caller, &spent, "no person has said anything to it", MAX_AGENT_APPROVALS));
        }
        if lately().count() >= MAX_AGENT_MESSAGES {
            let spent = format!("said {MAX_AGENT_MESSAGES} things");
            return Err(spent_all(caller, &spent, "no person has said anything to it", MAX_AGENT_MESSAGES));
        }
        if matches!(what, What::Note | What::Result) {
            return Ok(());
        }
        let all = || lately().filter(|said| said.is_chat() && said.to.is_empty()).count();
        if to.is_empty() && all() >= MAX_PEER_MESSAGES {
            let spent = format!("written {MAX_PEER_MESSAGES} messages to everybody");
            return Err(spent_all(caller, &spent, "no person has said anything to it", MAX_PEER_MESSAGES));
        }
        for peer in to {
            if lately().filter(|said| said.is_chat() && said.to.contains(peer)).count() >= MAX_PEER_MESSAGES {
                let peer = self.address(peer);
                let spent = format!("written {MAX_PEER_MESSAGES} messages to {peer}");
                let unanswered = format!("neither a person nor a result of {peer} has answered");
                return Err(spent_all(caller, &spent, &unanswered, MAX_PEER_MESSAGES));
            }
        }
        Ok(())
    }

    /// Notes what an agent says, once it is written.
    pub(crate) fn spend(&mut self, caller: &Caller, to: &[AgentId], what: What, message: Option<(OpId, Option<OpId>)>) {
        if caller.kind != AgentKind::Ai {
            return;
        }
        let now = self.now.monotonic;
        let said = self.budgets.said.entry(caller.name.clone()).or_default();
        while said.front().is_some_and(|said| said.at + THREAD_WINDOW <= now) {
            said.pop_front();
        }
        let (message, reply_to) = message.map_or((None, None), |(message, reply_to)| (Some(message), reply_to));
        said.push_back(Said { at: now, what, to: to.to_vec(), message, reply_to });
    }

    /// A message came for agents of this node: the word of a person and a result give back what was spent.
    pub(crate) fn answered_by(&mut self, op: &Verified, message: &Message, recipients: &[AgentName]) {
        let author = AgentId { node: op.header().author, name: agent_name(op.header().agent.as_ref()) };
        let person = self.is_person(&author);
        if !person && message.kind != MessageType::Result {
            return;
        }
        for agent in recipients {
            if person {
                self.budgets.said.remove(agent);
            } else if let Some(said) = self.budgets.said.get_mut(agent) {
                // Two that answer each other with results would never run out of words.
                said.retain(|said| said.what == What::Result || !said.to.contains(&author));
            }
        }
    }

    fn is_person(&self, agent: &AgentId) -> bool {
        let content = self.documents.content(&self.lobby, &agent.node);
        content.agents.get(&agent.name).is_some_and(|known| known.kind == AgentKind::Person)
    }

    /// Checks that an AI agent leaves a thread to others after a while.
    ///
    /// # Errors
    /// If it has written as much into it as it may until somebody answers.
    pub(crate) fn check_thread(&self, caller: &Caller, thread: &[Traced]) -> Result<(), Error> {
        let me = AgentId { node: self.me(), name: caller.name.clone() };
        let window = u64::try_from(THREAD_WINDOW.as_millis()).unwrap_or(u64::MAX);
        let since = self.now.wall_ms.saturating_sub(window);
        let known: BTreeSet<OpId> = thread.iter().map(|traced| traced.placed.op.id()).collect();
        let answers = results_of_work(thread);
        let mut spent = self.budgets.on_their_way(&caller.name, self.now.monotonic, &known);
        for traced in thread.iter().rev() {
            let op = &traced.placed.op;
            let author = AgentId { node: op.header().author, name: agent_name(op.header().agent.as_ref()) };
            if author == me {
                spent += usize::from(op.header().hlc.milliseconds() >= since);
                continue;
            }
            if self.is_person(&author) || answers.contains(&op.id()) {
                break;
            }
        }
        if spent < MAX_THREAD_MESSAGES {
            return Ok(());
        }
        let spent = format!("written {spent} messages into this thread");
        Err(spent_all(caller, &spent, "neither a person nor a result has answered", MAX_THREAD_MESSAGES))
    }
}

/// The results in a thread that answer no result: two that answer each other with them do no work.
fn results_of_work(thread: &[Traced]) -> BTreeSet<OpId> {
    let result = |traced: &Traced| {
        let op = &traced.placed.op;
        let message = Message::decode(op.payload()).ok().filter(|message| message.kind == MessageType::Result)?;
        Some((op.id(), message.reply_to))
    };
    let results: BTreeMap<OpId, Option<OpId>> = thread.iter().filter_map(result).collect();
    let answers_none = |to: &Option<OpId>| to.is_none_or(|to| !results.contains_key(&to));
    results.iter().filter(|(_, to)| answers_none(to)).map(|(id, _)| *id).collect()
}

fn spent_all(caller: &Caller, spent: &str, unanswered: &str, limit: usize) -> Error {
    let minutes = THREAD_WINDOW.as_secs() / 60;
    let message =
        format!("{} has {spent} within {minutes} minutes, and {unanswered}; the limit is {limit}", caller.name);
    Error::new(ErrorCode::Conflict, message).hint("wait for an answer, ask a person, or do what was talked about")
}
