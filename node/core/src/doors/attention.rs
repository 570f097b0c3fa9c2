//! What agents want to be handed, at the doors.

use fedp2p_crdt::content::Entry;
use fedp2p_protocols::api::{Caller, Error, ErrorCode, Reply, attention_set};
use fedp2p_protocols::attention::{Attention, MAX_THROUGH, Mode, Through};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::op::Verified;
use fedp2p_protocols::payload::Message;
use fedp2p_protocols::vote::AgentId;

use super::Finish;
use super::resolve::agent_name;
use crate::Core;
use crate::author::Entries;
use crate::input::CallId;

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
        self.commit_call(entries, id, Finish::Reply(Box::new(Reply::AttentionSet(reply))));
        Ok(())
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
            return Err(Error::new(ErrorCode::TooLarge, format!("at most {MAX_THROUGH} agents may break through")));
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
        let author = AgentId { node: op.header().author, name: agent_name(op.header().agent.as_ref()) };
        self.holds(&AgentId { node: self.me(), name: agent.clone() }, &author, message)
    }

    /// Whether a recipient's node holds a message, as far as is known here.
    pub(crate) fn holds(&self, recipient: &AgentId, author: &AgentId, message: &Message) -> bool {
        let of = |node| self.documents.content(&self.lobby, node);
        let kind = of(&author.node).agents.get(&author.name).map(|agent| agent.kind);
        let attention = of(&recipient.node).attention.get(&recipient.name);
        attention.is_some_and(|attention| attention.holds(message, recipient, author, kind))
    }
}
