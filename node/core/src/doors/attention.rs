//! What agents want to be handed, at the doors.
//!
//! Whether a message is held is decided when it arrives. When an agent's attention changes, what is held for it is judged
//! again before it reads the next time.

use fedp2p_crdt::content::Entry;
use fedp2p_protocols::api::{Caller, Error, ErrorCode, Reply, attention_set};
use fedp2p_protocols::attention::{Attention, MAX_THROUGH, Mode, Through};
use fedp2p_protocols::limits::MAX_PAGE;
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::op::Verified;
use fedp2p_protocols::payload::Message;
use fedp2p_protocols::vote::AgentId;

use super::resolve::agent_name;
use super::{Continue, Finish, Then};
use crate::Core;
use crate::author::Entries;
use crate::input::CallId;
use crate::store::{Placed, Read, Write};

/// What an agent reads once it is known what is held for it.
#[derive(Debug)]
pub(crate) enum Wish {
    /// Its inbox, at most so many messages; those that are held too.
    Inbox { limit: u32, held: bool },
    /// A digest of so many tokens.
    Digest { tokens: u32 },
}

impl Core {
    pub(crate) fn attention_set(
        &mut self,
        id: CallId,
        caller: &Caller,
        request: &attention_set::Request,
    ) -> Result<(), Error> {
        let urgent = self.through(&request.urgent)?;
        let agents = urgent.agents.iter().map(|agent| self.address(agent)).collect();
        let reply = attention_set::Reply { mode: request.mode, all: urgent.all, people: urgent.people, agents };
        let attention = Attention { mode: request.mode, urgent, at: self.now.wall_ms };
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, vec![Entry::Attention(caller.name.clone(), attention).into()])?;
        self.judged.remove(&caller.name);
        self.commit_call(entries, id, Finish::Attention(caller.name.clone(), reply));
        Ok(())
    }

    /// What an agent wants to be handed is durable, and so is all that was judged by what it wanted before.
    pub(crate) fn attention_kept(&mut self, id: CallId, agent: &AgentName, reply: attention_set::Reply) {
        self.judged.remove(agent);
        self.answer(id, Reply::AttentionSet(reply));
    }

    /// Reads for an agent, after what is held for it was judged by what it wants to be handed now.
    pub(crate) fn read_as(&mut self, id: CallId, caller: Caller, wish: Wish) {
        if self.is_open(&caller.name) || self.judged.contains(&caller.name) {
            match wish {
                Wish::Inbox { limit, held } => self.read_inbox(id, &caller, limit, held),
                Wish::Digest { tokens } => self.read_urgent(id, caller, tokens),
            }
            return;
        }
        self.read_held(id, caller, wish, 0);
    }

    fn read_held(&mut self, id: CallId, caller: Caller, wish: Wish, after: u64) {
        let read = Read::Held { agent: caller.name.clone(), after, limit: MAX_PAGE };
        self.read(read, Then::Call(id, Continue::Held(caller, wish)));
    }

    /// Judges a page of what is held.
    pub(crate) fn held_read(&mut self, id: CallId, caller: Caller, wish: Wish, rows: &[(Placed, bool)]) {
        let mut entries = Entries::default();
        for (placed, held) in rows {
            let Ok(message) = Message::decode(placed.op.payload()) else { continue };
            let now = self.is_held(&placed.op, &message, &caller.name);
            if now != *held {
                let (agent, position) = (caller.name.clone(), placed.position);
                entries.writes.push(Write::Judged { agent, position, held: now });
            }
        }
        let more = rows.last().filter(|_| rows.len() == MAX_PAGE as usize).map(|(placed, _)| placed.position);
        if entries.writes.is_empty() {
            return self.held_judged(id, caller, wish, more);
        }
        self.commit_call(entries, id, Finish::Judged(caller, wish, more));
    }

    /// A page of what is held was judged; more of it comes after `more`.
    pub(crate) fn held_judged(&mut self, id: CallId, caller: Caller, wish: Wish, more: Option<u64>) {
        match more {
            Some(after) => self.read_held(id, caller, wish, after),
            None => {
                self.judged.insert(caller.name.clone());
                self.read_as(id, caller, wish);
            }
        }
    }

    /// Who may break through, from what was typed.
    fn through(&self, texts: &[String]) -> Result<Through, Error> {
        let mut through = Through { people: texts.is_empty(), ..Through::default() };
        let mut agents = Vec::new();
        for text in texts {
            match text.as_str() {
                "all" => through.all = true,
                "people" => through.people = true,
                "nobody" if texts.len() == 1 => {}
                "nobody" => {
                    return Err(Error::new(ErrorCode::Invalid, "nobody and somebody cannot both break through")
                        .hint("name those who may, or nobody"));
                }
                _ => agents.push(text.clone()),
            }
        }
        through.agents = self.resolve_all(&agents)?;
        if through.agents.len() > MAX_THROUGH {
            return Err(Error::new(ErrorCode::TooLarge, format!("at most {MAX_THROUGH} agents may break through"))
                .hint("name fewer, or \"people\" or \"all\""));
        }
        Ok(through)
    }

    /// What an agent wants to be handed.
    pub(crate) fn mode(&self, agent: &AgentId) -> Mode {
        let content = self.documents.content(&self.lobby, &agent.node);
        content.attention.get(&agent.name).map_or(Mode::Open, |attention| attention.mode)
    }

    /// Whether an agent of this node wants to be handed everything.
    pub(crate) fn is_open(&self, agent: &AgentName) -> bool {
        self.mode(&AgentId { node: self.me(), name: agent.clone() }) == Mode::Open
    }

    /// Whether a message is held for an agent of this node, as things are now.
    pub(crate) fn is_held(&self, op: &Verified, message: &Message, agent: &AgentName) -> bool {
        self.holds(op, &AgentId { node: self.me(), name: agent.clone() }, message)
    }

    /// Whether a recipient's node holds a message, as far as is known here. What a node says itself to its own agents, of
    /// what they lost, it never holds.
    pub(crate) fn holds(&self, op: &Verified, recipient: &AgentId, message: &Message) -> bool {
        let author = &AgentId { node: op.header().author, name: agent_name(op.header().agent.as_ref()) };
        if op.header().agent.is_none() && author.node == recipient.node {
            return false;
        }
        let of = |node| self.documents.content(&self.lobby, node);
        let kind = of(&author.node).agents.get(&author.name).map(|agent| agent.kind);
        let attention = of(&recipient.node).attention.get(&recipient.name);
        attention.is_some_and(|attention| attention.holds(message, recipient, author, kind))
    }
}
