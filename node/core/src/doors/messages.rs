//! Messages: sending, the inbox, receipts, history.

use std::sync::Arc;

use fedp2p_protocols::api::message::{Delivery, DeliveryState};
use fedp2p_protocols::api::{Caller, Error, ErrorCode, Reply, ack, history, inbox, message, send, surfaced, watch};
use fedp2p_protocols::codec::DecodeError;
use fedp2p_protocols::id::{ConversationId, OpId};
use fedp2p_protocols::limits::{MAX_COVERS, MAX_EXPIRY_S};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::op::{Kind, Verified};
use fedp2p_protocols::payload::{Cover, MAX_RECEIPT_ENTRIES, Message, MessageType, Receipt, Surfaced};
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_protocols::sync::LogKey;
use fedp2p_protocols::vote::AgentId;

use super::attention::Wish;
use super::budget::What;
use super::page::{Room, check_limit};
use super::resolve::agent_name;
use super::{Continue, Finish, Then, id_prefix};
use crate::author::{Entries, check_size, log_key};
use crate::commit::Written;
use crate::input::CallId;
use crate::store::{HistoryFilter, Placed, Read, Traced, Write};
use crate::{Core, LOBBY};

/// How many messages of a thread are looked at for the budget.
const THREAD_ROWS: u32 = 256;

/// Where the ids of messages are found.
const IDS: &str = "ids stand in the first column of \"fedp2p inbox\"";

/// The messages that one refers to.
#[derive(Debug, Default)]
pub(crate) struct References {
    reply_to: Option<OpId>,
    covers: Vec<Cover>,
}

/// The ends of what a summary covers, as they are written: `ID` or `ID..ID`.
fn ends(cover: &str) -> impl Iterator<Item = &str> {
    let (from, to) = cover.split_once("..").map_or((cover, None), |(from, to)| (from, Some(to)));
    std::iter::once(from).chain(to)
}

/// Checks what a message of its type must have and must not.
fn check_kind(request: &send::Request) -> Result<(), Error> {
    let invalid = |message: String, hint: &str| Err(Error::new(ErrorCode::Invalid, message).hint(hint));
    if request.expires_s.is_some() && request.kind != MessageType::Status {
        return invalid("only a status expires".to_owned(), "send it as a status, or without an expiry");
    }
    if request.expires_s.is_some_and(|seconds| !(1..=MAX_EXPIRY_S).contains(&seconds)) {
        return invalid(format!("a status expires in 1 to {MAX_EXPIRY_S} seconds"), "choose a shorter time");
    }
    if request.kind == MessageType::Ack && request.reply_to.is_none() {
        return invalid("an acknowledgement answers a message".to_owned(), "name it with --reply-to");
    }
    if (request.kind == MessageType::Summary) == request.covers.is_empty() {
        return invalid("a summary says which messages it covers, and nothing else does".to_owned(), "see --covers");
    }
    if request.covers.len() > MAX_COVERS {
        return invalid(format!("a summary covers at most {MAX_COVERS} messages and ranges"), "name ranges: ID..ID");
    }
    Ok(())
}

/// The agent that wrote an op.
fn author_of(op: &Verified) -> AgentId {
    AgentId { node: op.header().author, name: agent_name(op.header().agent.as_ref()) }
}

impl Core {
    pub(crate) fn send_message(&mut self, id: CallId, caller: Caller, request: send::Request) -> Result<(), Error> {
        check_kind(&request)?;
        let named = request.reply_to.iter().map(String::as_str);
        let prefixes: Vec<String> = named
            .chain(request.covers.iter().flat_map(|cover| ends(cover)))
            .map(id_prefix)
            .collect::<Result<_, _>>()?;
        if prefixes.is_empty() {
            return self.send_with(id, &caller, &request, References::default());
        }
        self.read(Read::Find(prefixes), Then::Call(id, Continue::Reply(caller, Box::new(request))));
        Ok(())
    }

    /// The messages that one refers to were looked up.
    pub(crate) fn send_found(
        &mut self,
        id: CallId,
        caller: Caller,
        request: send::Request,
        found: &[Vec<Placed>],
    ) -> Result<(), Error> {
        let mut found = found.iter();
        let mut next = |text: &str| self.one_found(text, found.next());
        let reply_to = request.reply_to.as_deref().map(&mut next).transpose()?;
        let mut references = References { reply_to: reply_to.map(|placed| placed.op.id()), covers: Vec::new() };
        for cover in &request.covers {
            let mut ends = ends(cover).map(|end| Ok(next(end)?.op.id()));
            let from = ends.next().transpose()?;
            let to = ends.next().transpose()?;
            references.covers.extend(from.map(|from| Cover { from, to }));
        }
        let answers = reply_to.and_then(|placed| Message::decode(placed.op.payload()).ok());
        if request.kind == MessageType::Ack && answers.is_some_and(|answers| answers.kind == MessageType::Ack) {
            return Err(Error::new(ErrorCode::Conflict, "an acknowledgement is not acknowledged")
                .hint("say nothing: the other side expects no answer"));
        }
        match references.reply_to {
            Some(message) if caller.kind == AgentKind::Ai => {
                let limit = THREAD_ROWS;
                self.read(
                    Read::Thread { message, limit },
                    Then::Call(id, Continue::Budget(caller, Box::new(request), references)),
                );
                Ok(())
            }
            _ => self.send_with(id, &caller, &request, references),
        }
    }

    pub(crate) fn send_with(
        &mut self,
        id: CallId,
        caller: &Caller,
        request: &send::Request,
        references: References,
    ) -> Result<(), Error> {
        let expires = request.expires_s.map(|seconds| self.now.wall_ms + u64::from(seconds) * 1000);
        let message = Message {
            to: self.resolve_all(&request.to)?,
            kind: request.kind,
            text: request.text.clone(),
            data: request.data.clone(),
            reply_to: references.reply_to,
            correlation: request.correlation.clone(),
            urgent: request.urgent,
            expires,
            covers: references.covers,
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
        let what = if message.kind == MessageType::Result { What::Result } else { What::Message };
        self.check_spending(caller, &message.to, what)?;
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, Vec::new())?;
        let op = self.append_message(&mut entries, &caller.name, &message).map_err(too_large)?;
        self.spend(caller, &message.to, what, Some((op.id(), message.reply_to)));
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
        send::Reply { id: op.id(), at: op.header().hlc.milliseconds(), deliveries: self.deliveries(op, &[], &[]) }
    }

    /// How far one of this node's messages has come at each recipient.
    fn deliveries(&self, op: &Verified, acknowledged: &[AgentId], handed: &[AgentId]) -> Vec<Delivery> {
        let Ok(message) = Message::decode(op.payload()) else { return Vec::new() };
        let author = author_of(op);
        let recipients = if message.to.is_empty() {
            self.all_agents().into_iter().filter(|agent| *agent != author).collect()
        } else {
            message.to.clone()
        };
        let key = log_key(op);
        let seq = op.header().seq;
        let state = |agent: &AgentId| {
            let surfaced = self.surfaced.level(agent, &key);
            let reach = self.reaches.get(&(agent.node, key)).copied().unwrap_or(0);
            if acknowledged.contains(agent) {
                DeliveryState::Acknowledged
            } else if (surfaced >= seq && message.expires.is_none()) || handed.contains(agent) {
                DeliveryState::Surfaced
            } else if message.expires.is_some_and(|expires| expires <= self.now.wall_ms) {
                DeliveryState::Expired
            } else if agent.node != self.me() && reach < seq {
                DeliveryState::Queued
            } else if self.holds(op, agent, &message) {
                DeliveryState::Held
            } else {
                DeliveryState::Stored
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
            from_kind: header.agent.as_ref().and_then(|name| content.agents.get(name)).map(|agent| agent.kind),
            verified: chain.is_some() && counts,
            to: said.to.iter().map(|agent| self.address(agent)).collect(),
            kind: said.kind,
            text: said.text,
            data: said.data,
            reply_to: said.reply_to,
            correlation: said.correlation,
            urgent: said.urgent,
            expires: said.expires,
            covers: said.covers,
            at: header.hlc.milliseconds(),
            position,
            deliveries: Vec::new(),
        })
    }

    pub(crate) fn message_stored(&mut self, written: &Written) {
        let Some(shown) = self.show_message(&written.op, written.position) else { return };
        let Ok(message) = Message::decode(written.op.payload()) else { return };
        let mut inboxes = self.local_recipients(&written.op, &message);
        self.answered_by(&written.op, &message, &inboxes);
        inboxes.retain(|agent| !self.is_held(&written.op, &message, agent));
        self.tell_inboxes(watch::Event::Message(shown), &inboxes);
    }

    pub(crate) fn inbox(&mut self, id: CallId, caller: Caller, request: &inbox::Request) -> Result<(), Error> {
        let limit = check_limit(request.limit)?;
        self.ensure_registered(&caller)?;
        self.read_as(id, caller, Wish::Inbox { limit, held: request.held });
        Ok(())
    }

    pub(crate) fn read_inbox(&mut self, id: CallId, caller: &Caller, limit: u32, held: bool) {
        let agent = caller.name.clone();
        let held = held || self.is_open(&agent);
        let read = Read::Inbox { agent, limit, held, urgent: false, now_ms: self.now.wall_ms };
        self.read(read, Then::Call(id, Continue::Inbox(held)));
    }

    pub(crate) fn inbox_read(&mut self, id: CallId, rows: &[Placed], more: u64, (held, with_held): (u64, bool)) {
        let mut room = Room::default();
        let (mut messages, mut cursor, mut looked_at) = (Vec::new(), 0, 0);
        for placed in rows {
            let shown = self.show_message(&placed.op, placed.position);
            if shown.as_ref().is_some_and(|shown| !room.takes(shown)) {
                break;
            }
            messages.extend(shown);
            (cursor, looked_at) = (placed.position, looked_at + 1);
        }
        let more = more + (rows.len() - looked_at) as u64;
        self.answer(id, Reply::Inbox(inbox::Reply { messages, cursor, more, held, with_held }));
    }

    pub(crate) fn surfaced(&mut self, id: CallId, caller: &Caller, request: &surfaced::Request) -> Result<(), Error> {
        if request.cursor > self.position {
            return Err(Error::new(ErrorCode::Invalid, "the cursor is ahead of everything that is stored")
                .hint("give the cursor that came with the messages"));
        }
        self.registration(caller)?;
        let agent = caller.name.clone();
        let (position, held, now_ms) = (request.cursor, request.held, self.now.wall_ms);
        let read = Read::InboxUpTo { agent: agent.clone(), position, held, now_ms };
        self.read(read, Then::Call(id, Continue::Surfaced(agent, request.clone())));
        Ok(())
    }

    pub(crate) fn surfaced_read(
        &mut self,
        id: CallId,
        agent: &AgentName,
        request: surfaced::Request,
        (rows, exact): (Vec<(LogKey, u64)>, Vec<OpId>),
        cursor: u64,
    ) {
        let surfaced::Request { cursor: to, held } = request;
        if to <= cursor && rows.is_empty() && exact.is_empty() {
            self.answer(id, Reply::Surfaced(surfaced::Reply { cursor }));
            return;
        }
        let mut entries = Entries::default();
        entries.writes.push(Write::Cursor { agent: agent.clone(), position: to, held });
        for chunk in rows.chunks(MAX_RECEIPT_ENTRIES) {
            let surfaced =
                chunk.iter().map(|(key, seq)| Surfaced { author: key.author, log: key.log, seq: *seq }).collect();
            self.append_receipt(&mut entries, agent, &Receipt { surfaced, ..Receipt::default() });
        }
        for chunk in exact.chunks(MAX_RECEIPT_ENTRIES) {
            self.append_receipt(&mut entries, agent, &Receipt { handed: chunk.to_vec(), ..Receipt::default() });
        }
        let reply = Reply::Surfaced(surfaced::Reply { cursor: to.max(cursor) });
        self.commit_call(entries, id, Finish::Reply(Box::new(reply)));
    }

    fn append_receipt(&mut self, entries: &mut Entries, agent: &AgentName, receipt: &Receipt) {
        let lobby = self.lobby;
        let op = self
            .append(entries, lobby, Kind::Receipt, Some(agent), &receipt.encode())
            .expect("a receipt's lists are bounded below the size of an op");
        crate::ingest::write_receipt(&mut entries.writes, &op, &self.me());
    }

    pub(crate) fn ack(&mut self, id: CallId, caller: Caller, request: ack::Request) -> Result<(), Error> {
        if request.ids.is_empty() || request.ids.len() > MAX_RECEIPT_ENTRIES {
            return Err(Error::new(ErrorCode::Invalid, format!("give 1 to {MAX_RECEIPT_ENTRIES} ids")).hint(IDS));
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
                .map_err(|_| Error::new(ErrorCode::NotFound, format!("{text:?} is not a message")).hint(IDS))?;
            let header = placed.op.header();
            let author = AgentId { node: header.author, name: agent_name(header.agent.as_ref()) };
            if !message.is_for(&me, Some(&author)) {
                return Err(Error::new(
                    ErrorCode::Forbidden,
                    format!("the message {text:?} is not for {}", caller.name),
                )
                .hint("acknowledge as its recipient: --agent NAME"));
            }
            if message.kind == MessageType::Ack {
                return Err(Error::new(ErrorCode::Conflict, format!("{text:?} is an acknowledgement itself"))
                    .hint("say nothing: the other side expects no answer"));
            }
            acknowledged.push(placed.op.id());
        }
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, Vec::new())?;
        let receipt = Receipt { acknowledged: acknowledged.clone(), ..Receipt::default() };
        self.append_receipt(&mut entries, &caller.name, &receipt);
        let reply = Reply::Ack(ack::Reply { acknowledged });
        self.commit_call(entries, id, Finish::Reply(Box::new(reply)));
        Ok(())
    }

    pub(crate) fn history(&mut self, id: CallId, request: history::Request) -> Result<(), Error> {
        check_limit(request.limit)?;
        match request.thread.as_ref().or(request.id.as_ref()) {
            None => self.history_of(id, &request, None),
            Some(text) => {
                let prefix = id_prefix(text)?;
                self.read(Read::Find(vec![prefix]), Then::Call(id, Continue::History(Box::new(request))));
                Ok(())
            }
        }
    }

    /// The message that a history is of was found.
    pub(crate) fn history_found(
        &mut self,
        id: CallId,
        request: &history::Request,
        found: Option<&Vec<Placed>>,
    ) -> Result<(), Error> {
        let text = request.thread.as_ref().or(request.id.as_ref());
        let message = self.one_found(text.map_or("", String::as_str), found)?.op.id();
        if request.thread.is_none() {
            return self.history_of(id, request, Some(message));
        }
        // A thread is shown whole, as far as the limit goes.
        let limit = request.limit;
        self.read(Read::Thread { message, limit }, Then::Call(id, Continue::Listing(u32::MAX)));
        Ok(())
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

    pub(crate) fn history_read(&mut self, id: CallId, rows: &[Traced], limit: u32) {
        let me = self.me();
        let mut room = Room::default();
        let (mut messages, mut first, mut full) = (Vec::new(), None, rows.len() == limit as usize);
        for Traced { placed, acknowledged, handed } in rows.iter().rev() {
            let mut shown = self.show_message(&placed.op, placed.position);
            if let Some(shown) = shown.as_mut().filter(|_| placed.op.header().author == me) {
                shown.deliveries = self.deliveries(&placed.op, acknowledged, handed);
            }
            if shown.as_ref().is_some_and(|shown| !room.takes(shown)) {
                full = true;
                break;
            }
            messages.extend(shown);
            first = Some(placed.position);
        }
        messages.reverse();
        let before = first.filter(|_| full);
        self.answer(id, Reply::History(history::Reply { messages, before }));
    }
}
