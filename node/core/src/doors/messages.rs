//! Messages: sending, the inbox, receipts, history.

use std::sync::Arc;

use fedp2p_protocols::api::message::{Delivery, DeliveryState};
use fedp2p_protocols::api::{Caller, Error, ErrorCode, Reply, ack, history, inbox, message, send, surfaced, watch};
use fedp2p_protocols::codec::DecodeError;
use fedp2p_protocols::id::{ConversationId, OpId};
use fedp2p_protocols::limits::MAX_PAGE;
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::op::{Kind, Verified};
use fedp2p_protocols::payload::{MAX_RECEIPT_ENTRIES, Message, Receipt, Surfaced};
use fedp2p_protocols::sync::LogKey;
use fedp2p_protocols::vote::AgentId;

use super::resolve::agent_name;
use super::{Continue, Finish, Then, id_prefix};
use crate::author::{Entries, check_size, log_key};
use crate::commit::Written;
use crate::input::CallId;
use crate::store::{HistoryFilter, Placed, Read, Write};
use crate::{Core, LOBBY};

fn check_limit(limit: u32) -> Result<u32, Error> {
    if (1..=MAX_PAGE).contains(&limit) {
        return Ok(limit);
    }
    Err(Error::new(ErrorCode::Invalid, format!("a limit is 1 to {MAX_PAGE}, not {limit}")))
}

impl Core {
    pub(crate) fn send_message(&mut self, id: CallId, caller: Caller, request: send::Request) -> Result<(), Error> {
        match &request.reply_to {
            None => self.send_reply(id, &caller, &request, None),
            Some(text) => {
                let prefix = id_prefix(text)?;
                self.read(Read::Find(vec![prefix]), Then::Call(id, Continue::Reply(caller, request)));
                Ok(())
            }
        }
    }

    pub(crate) fn send_reply(
        &mut self,
        id: CallId,
        caller: &Caller,
        request: &send::Request,
        reply_to: Option<OpId>,
    ) -> Result<(), Error> {
        let message = Message {
            to: self.resolve_all(&request.to)?,
            kind: request.kind,
            text: request.text.clone(),
            data: request.data.clone(),
            reply_to,
            correlation: request.correlation.clone(),
        };
        if message.text.is_empty() && message.data.is_none() {
            return Err(Error::new(ErrorCode::Invalid, "the message is empty").hint("give a text or data"));
        }
        message.check().map_err(|error| {
            Error::new(ErrorCode::TooLarge, error.to_string()).hint("send a shorter message, or several")
        })?;
        let too_large =
            |error: DecodeError| Error::new(ErrorCode::TooLarge, error.to_string()).hint("send a shorter message");
        check_size(&message.encode()).map_err(too_large)?;
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, Vec::new())?;
        let op = self.append_message(&mut entries, &caller.name, &message).map_err(too_large)?;
        self.commit_call(entries, id, Finish::Sent(op));
        Ok(())
    }

    /// Appends a message of an agent of this node.
    ///
    /// # Errors
    /// If it is over the limit of an entry; then nothing has changed.
    pub(crate) fn append_message(
        &mut self,
        entries: &mut Entries,
        from: &AgentName,
        message: &Message,
    ) -> Result<Arc<Verified>, DecodeError> {
        let lobby = self.lobby;
        let op = self.append(entries, lobby, Kind::Message, Some(from), &message.encode())?;
        let position = entries.written.last().map_or(0, |written| written.position);
        self.write_inbox(&mut entries.writes, &op, position);
        Ok(op)
    }

    pub(crate) fn sent(&self, op: &Verified) -> send::Reply {
        send::Reply { id: op.id(), at: op.header().hlc.milliseconds(), deliveries: self.deliveries(op, &[]) }
    }

    /// How far one of this node's messages has come at each recipient.
    fn deliveries(&self, op: &Verified, acknowledged: &[AgentId]) -> Vec<Delivery> {
        let Ok(message) = Message::decode(op.payload()) else { return Vec::new() };
        let recipients = if message.to.is_empty() {
            let author = AgentId { node: op.header().author, name: agent_name(op.header().agent.as_ref()) };
            self.all_agents().into_iter().filter(|agent| *agent != author).collect()
        } else {
            message.to
        };
        let key = log_key(op);
        let seq = op.header().seq;
        let state = |agent: &AgentId| {
            let surfaced = self.surfaced.get(agent).and_then(|levels| levels.get(&key)).copied().unwrap_or(0);
            let reach = self.reaches.get(&(agent.node, key)).copied().unwrap_or(0);
            if acknowledged.contains(agent) {
                DeliveryState::Acknowledged
            } else if surfaced >= seq {
                DeliveryState::Surfaced
            } else if agent.node == self.me() || reach >= seq {
                DeliveryState::Stored
            } else {
                DeliveryState::Queued
            }
        };
        recipients.iter().map(|agent| Delivery { to: self.address(agent), state: state(agent) }).collect()
    }

    /// A message as every door shows it.
    pub(crate) fn show_message(&self, op: &Verified, position: u64) -> Option<message::Message> {
        let header = op.header();
        let said = Message::decode(op.payload()).ok()?;
        let agent = AgentId { node: header.author, name: agent_name(header.agent.as_ref()) };
        let chain = self.members.get(&header.author);
        let content = self.documents.content(&header.conversation, &header.author);
        let counts = self.logs.get(&log_key(op)).is_none_or(|log| log.counts(header.seq));
        Some(message::Message {
            id: op.id(),
            conversation: header.conversation,
            from: self.address(&agent),
            from_node: header.author,
            organisation: chain.map(|chain| chain.certificate().organisation_name.clone()),
            from_kind: content.agents.get(&agent.name).map(|agent| agent.kind),
            verified: chain.is_some() && counts,
            to: said.to.iter().map(|agent| self.address(agent)).collect(),
            kind: said.kind,
            text: said.text,
            data: said.data,
            reply_to: said.reply_to,
            correlation: said.correlation,
            at: header.hlc.milliseconds(),
            position,
            deliveries: Vec::new(),
        })
    }

    pub(crate) fn message_stored(&mut self, written: &Written) {
        let Some(shown) = self.show_message(&written.op, written.position) else { return };
        let Ok(message) = Message::decode(written.op.payload()) else { return };
        let inboxes = self.local_recipients(&written.op, &message);
        self.tell_inboxes(watch::Event::Message(shown), &inboxes);
    }

    pub(crate) fn inbox(&mut self, id: CallId, caller: &Caller, request: &inbox::Request) -> Result<(), Error> {
        let limit = check_limit(request.limit)?;
        self.ensure_registered(caller)?;
        let agent = caller.name.clone();
        self.read(Read::Inbox { agent, limit }, Then::Call(id, Continue::Inbox));
        Ok(())
    }

    pub(crate) fn inbox_read(&mut self, id: CallId, rows: &[Placed], more: u64) {
        let messages = rows.iter().filter_map(|placed| self.show_message(&placed.op, placed.position)).collect();
        let cursor = rows.last().map_or(0, |placed| placed.position);
        self.answer(id, Reply::Inbox(inbox::Reply { messages, cursor, more }));
    }

    pub(crate) fn surfaced(&mut self, id: CallId, caller: &Caller, request: &surfaced::Request) -> Result<(), Error> {
        if request.cursor > self.position {
            return Err(Error::new(ErrorCode::Invalid, "the cursor is ahead of everything that is stored")
                .hint("give the cursor that came with the messages"));
        }
        self.registration(caller)?;
        let agent = caller.name.clone();
        let read = Read::InboxUpTo { agent: agent.clone(), position: request.cursor };
        self.read(read, Then::Call(id, Continue::Surfaced(agent, request.cursor)));
        Ok(())
    }

    pub(crate) fn surfaced_read(
        &mut self,
        id: CallId,
        agent: &AgentName,
        to: u64,
        rows: Vec<(LogKey, u64)>,
        cursor: u64,
    ) {
        if to <= cursor {
            self.answer(id, Reply::Surfaced(surfaced::Reply { cursor }));
            return;
        }
        let mut entries = Entries::default();
        entries.writes.push(Write::Cursor { agent: agent.clone(), position: to });
        for chunk in rows.chunks(MAX_RECEIPT_ENTRIES) {
            let surfaced =
                chunk.iter().map(|(key, seq)| Surfaced { author: key.author, log: key.log, seq: *seq }).collect();
            self.append_receipt(&mut entries, agent, &Receipt { surfaced, acknowledged: Vec::new() });
        }
        let reply = Reply::Surfaced(surfaced::Reply { cursor: to });
        self.commit_call(entries, id, Finish::Reply(Box::new(reply)));
    }

    fn append_receipt(&mut self, entries: &mut Entries, agent: &AgentName, receipt: &Receipt) {
        let lobby = self.lobby;
        let op = self
            .append(entries, lobby, Kind::Receipt, Some(agent), &receipt.encode())
            .expect("a receipt's lists are bounded below the size of an op");
        crate::ingest::write_receipt(&mut entries.writes, &op);
    }

    pub(crate) fn ack(&mut self, id: CallId, caller: Caller, request: ack::Request) -> Result<(), Error> {
        if request.ids.is_empty() || request.ids.len() > MAX_RECEIPT_ENTRIES {
            return Err(Error::new(ErrorCode::Invalid, format!("give 1 to {MAX_RECEIPT_ENTRIES} ids")));
        }
        let prefixes = request.ids.iter().map(|text| id_prefix(text)).collect::<Result<Vec<_>, _>>()?;
        self.read(Read::Find(prefixes), Then::Call(id, Continue::Ack(caller, request.ids)));
        Ok(())
    }

    pub(crate) fn ack_found(
        &mut self,
        id: CallId,
        caller: &Caller,
        texts: &[String],
        found: &[Vec<Placed>],
    ) -> Result<(), Error> {
        let me = AgentId { node: self.me(), name: caller.name.clone() };
        let mut acknowledged = Vec::new();
        for (text, matches) in texts.iter().zip(found) {
            let placed = self.one_found(text, Some(matches))?;
            let message = Message::decode(placed.op.payload())
                .map_err(|_| Error::new(ErrorCode::NotFound, format!("{text:?} is not a message")))?;
            let header = placed.op.header();
            let author = AgentId { node: header.author, name: agent_name(header.agent.as_ref()) };
            if !message.is_for(&me, Some(&author)) {
                return Err(Error::new(
                    ErrorCode::Forbidden,
                    format!("the message {text:?} is not for {}", caller.name),
                )
                .hint("acknowledge as its recipient: --agent NAME"));
            }
            acknowledged.push(placed.op.id());
        }
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, Vec::new())?;
        let receipt = Receipt { surfaced: Vec::new(), acknowledged: acknowledged.clone() };
        self.append_receipt(&mut entries, &caller.name, &receipt);
        let reply = Reply::Ack(ack::Reply { acknowledged });
        self.commit_call(entries, id, Finish::Reply(Box::new(reply)));
        Ok(())
    }

    pub(crate) fn history(&mut self, id: CallId, request: history::Request) -> Result<(), Error> {
        check_limit(request.limit)?;
        match &request.id {
            None => self.history_of(id, &request, None),
            Some(text) => {
                let prefix = id_prefix(text)?;
                self.read(Read::Find(vec![prefix]), Then::Call(id, Continue::History(request)));
                Ok(())
            }
        }
    }

    pub(crate) fn history_of(
        &mut self,
        id: CallId,
        request: &history::Request,
        only: Option<OpId>,
    ) -> Result<(), Error> {
        let resolve = |text: &Option<String>| text.as_deref().map(|text| self.resolve(text)).transpose();
        let filter = HistoryFilter {
            from: resolve(&request.from)?,
            to: resolve(&request.to)?,
            kind: request.kind,
            conversation: request.conversation.as_deref().map(|text| self.find_conversation(text)).transpose()?,
            correlation: request.correlation.clone(),
            id: only,
            since_ms: request.since,
            until_ms: request.until,
            before: request.before,
            limit: request.limit,
        };
        self.read(Read::History(filter), Then::Call(id, Continue::Listing(request.limit)));
        Ok(())
    }

    pub(crate) fn find_conversation(&self, text: &str) -> Result<ConversationId, Error> {
        if text == LOBBY {
            return Ok(self.lobby);
        }
        let known = |id: &ConversationId| *id == self.lobby || self.ops.contains_key(id);
        text.parse().ok().filter(known).ok_or_else(|| {
            Error::new(ErrorCode::NotFound, format!("no conversation is called {text:?}"))
                .hint("\"fedp2p status\" lists them")
                .suggest(vec![LOBBY.to_owned()])
        })
    }

    pub(crate) fn history_read(&mut self, id: CallId, rows: &[(Placed, Vec<AgentId>)], limit: u32) {
        let me = self.me();
        let messages: Vec<message::Message> = rows
            .iter()
            .filter_map(|(placed, acknowledged)| {
                let mut shown = self.show_message(&placed.op, placed.position)?;
                if placed.op.header().author == me {
                    shown.deliveries = self.deliveries(&placed.op, acknowledged);
                }
                Some(shown)
            })
            .collect();
        let before = rows.first().map(|(placed, _)| placed.position).filter(|_| rows.len() == limit as usize);
        self.answer(id, Reply::History(history::Reply { messages, before }));
    }
}
