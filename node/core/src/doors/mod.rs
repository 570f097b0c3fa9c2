//! The operations of the API: each takes what a client asks, answers at once from memory, or goes by way of the
//! store and answers when that has answered.

mod approvals;
mod attention;
mod ballots;
pub(crate) mod budget;
pub(crate) mod claims;
mod digest;
mod messages;
pub(crate) mod notes;
mod page;
pub(crate) mod picture;
mod resolve;
mod roles;
pub(crate) mod shown;
mod status;
pub(crate) mod tasks;
mod votes;
mod watches;

use std::sync::Arc;

use fedp2p_crdt::content::{Agent, Edit, Entry};
use fedp2p_crdt::document::WriteError;
use fedp2p_protocols::api::{Access, Answer, Caller, Error, ErrorCode, Reply, Request, down, invite};
use fedp2p_protocols::id::{ConversationId, NodeId, OpId};
use fedp2p_protocols::limits::MAX_AGENTS;
use fedp2p_protocols::name::{AgentName, NoteName};
use fedp2p_protocols::op::Verified;
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_protocols::sync::LogKey;

use crate::Core;
use crate::author::Entries;
use crate::commit::Again;
use crate::effect::Effect;
use crate::input::{CallId, Introduction};
use crate::store::{Read, ReadOutcome, ReadToken, StoreError, Write};

pub(crate) use picture::Glance;
pub(crate) use watches::Watches;

/// What a read was for.
#[derive(Debug)]
pub(crate) enum Then {
    /// A call that goes on with what was found.
    Call(CallId, Continue),
    /// Serving a peer.
    Serve { peer: NodeId },
    /// Telling a duplicate from a fork.
    Compare { op: Box<Verified>, peer: NodeId },
    /// Finding out which dependencies are stored, of an entry that was asked for or not.
    Known { peer: NodeId, asked: Vec<OpId>, fetched: bool },
    /// Making an author's documents again.
    Remake { author: NodeId, conversation: ConversationId },
    /// Taking over what an earlier log of this node said.
    Recover { conversation: ConversationId },
    /// Putting a note together.
    Note(NoteName),
    /// Finding what a forked log must not take from notes.
    Void { key: LogKey, seq: u64 },
    /// Finding this node's entry before the place where a log forked.
    Common { key: LogKey, seq: u64 },
    /// Saying the proof of a fork again.
    Proof { key: LogKey, seq: u64 },
}

/// How a call goes on once the store has answered.
#[derive(Debug)]
pub(crate) enum Continue {
    /// Whether what is held comes too.
    Inbox(bool),
    Surfaced(AgentName, fedp2p_protocols::api::surfaced::Request),
    Reply(Caller, Box<fedp2p_protocols::api::send::Request>),
    Budget(Caller, Box<fedp2p_protocols::api::send::Request>, messages::References),
    Ack(Caller, Vec<String>),
    Held(Caller, attention::Wish),
    Urgent(Caller, u32),
    Unread(Caller, u32, digest::Urgent),
    Summaries(Caller, u32, digest::Unread),
    History(Box<fedp2p_protocols::api::history::Request>),
    Listing(u32),
    Notes(u32),
    NoNote(NoteName),
    Verify,
}

/// How a call ends once its entries are durable.
#[derive(Debug)]
pub(crate) enum Finish {
    Reply(Box<Reply>),
    /// A message was sent.
    Sent(Arc<Verified>),
    Invited(invite::Reply),
    /// An agent said what it wants to be handed.
    Attention(AgentName, fedp2p_protocols::api::attention_set::Reply),
    /// Some of what is held was judged; if there is a position, more comes after it.
    Judged(Caller, attention::Wish, Option<u64>),
    /// A claim was made: it is shown as it stands then.
    Claim(fedp2p_protocols::claim::Fence),
    /// A proposal was changed: it is shown as it stands then.
    Vote(fedp2p_protocols::vote::ProposalKey, fn(Box<fedp2p_protocols::api::proposal::Proposal>) -> Reply),
    /// A task was changed, or something was said of it: it is shown as it stands then.
    Task(fedp2p_protocols::task::TaskKey, fn(Box<fedp2p_protocols::api::task::Task>) -> Reply),
    /// The agent has the task that it asked for.
    NextTask(fedp2p_protocols::task::TaskKey),
}

/// Most calls that wait until the own document has been put together again.
pub(crate) const MAX_DEFERRED: usize = 64;

impl Core {
    /// What a node does first: the person that runs it can be written to, and its log has begun.
    pub(crate) fn begin(&mut self, person: Option<AgentName>, inviter: Option<Introduction>) {
        let lobby = self.lobby;
        self.effect(Effect::Subscribe { conversation: lobby, topic: crate::author::topic(&self.network, &lobby) });
        let peers: Vec<NodeId> = self.members.iter().map(|(node, _)| *node).filter(|node| *node != self.me()).collect();
        for peer in peers {
            if self.members.get(&peer).is_some_and(|chain| chain.is_current(self.now.wall_ms)) {
                self.effect(Effect::Admit { peer, addresses: Vec::new() });
            }
        }
        let mut entries = Entries::default();
        if let Some(Introduction { chain, addresses }) = inviter {
            let peer = chain.subject();
            let encoded = chain.encode();
            if self.members.learn(peer, chain).is_ok() {
                entries.writes.push(Write::Member { node: peer, chain: encoded });
                entries.writes.push(Write::Peer {
                    node: peer,
                    addresses: addresses.clone(),
                    last_seen: self.now.wall_ms,
                });
                self.effect(Effect::Admit { peer, addresses });
            }
        }
        let own = self.own_log(&lobby);
        if self.logs.get(&own).is_some_and(|log| log.frozen.is_some()) {
            self.start_log_epoch("what this node's key writes to the old one no longer counts");
        }
        if self.may_have_lost() {
            self.wait_for_lost(person);
        } else {
            let edits = self.first_words(person);
            self.restate(&mut entries, lobby, &edits);
        }
        self.commit_entries(entries);
    }

    pub(crate) fn call_ended(&mut self, id: CallId) {
        self.watch_ended(id);
        self.leases.forget_call(id);
        self.task_call_ended(id);
        self.deferred.retain(|(deferred, ..)| *deferred != id);
    }

    pub(crate) fn call(&mut self, id: CallId, caller: Caller, request: Request) {
        let speaks = if let Request::Watch(watch) = &request {
            self.comes(&caller, watch)
        } else {
            request.access() != Access::Read
        };
        if speaks {
            self.speak_again();
        }
        if self.is_remaking() && self.deferred.len() < MAX_DEFERRED {
            self.deferred.push((id, caller, request));
            return;
        }
        if let Err(error) = self.dispatch(id, caller, request) {
            self.effect(Effect::Reply(id, Answer::Error(error)));
        }
    }

    fn dispatch(&mut self, id: CallId, caller: Caller, request: Request) -> Result<(), Error> {
        self.sign_of_life(&caller.name);
        self.note_deed(&caller.name, &request);
        self.heard_of(&caller.name);
        match request {
            Request::Status(_) => {
                let status = self.status();
                self.answer(id, Reply::Status(status));
            }
            Request::Peers(_) => self.answer(id, Reply::Peers(self.peers())),
            Request::Agents(request) => {
                let agents = self.agents(&request)?;
                self.answer(id, Reply::Agents(agents));
            }
            Request::Invite(request) => self.invite(id, &request)?,
            Request::Join(request) => self.join(id, request)?,
            Request::Send(request) => self.send_message(id, caller, request)?,
            Request::Inbox(request) => self.inbox(id, caller, &request)?,
            Request::Surfaced(request) => self.surfaced(id, &caller, &request)?,
            Request::Ack(request) => self.ack(id, caller, request)?,
            Request::History(request) => self.history(id, request)?,
            Request::State(request) => self.update_state(id, &caller, &request)?,
            Request::AttentionSet(request) => self.attention_set(id, &caller, &request)?,
            Request::Digest(request) => self.digest(id, caller, &request)?,
            Request::Pulse(request) => {
                let pulse = self.pulse(&request)?;
                self.answer(id, Reply::Pulse(pulse));
            }
            Request::VoteNew(request) => self.vote_new(id, &caller, request)?,
            Request::VoteAck(request) => self.vote_ack(id, &caller, &request)?,
            Request::VoteCast(request) => self.vote_cast(id, &caller, &request)?,
            Request::VoteShow(request) => {
                let shown = self.vote_show(&caller, &request.id)?;
                self.answer(id, Reply::VoteShow(Box::new(shown)));
            }
            Request::VoteList(request) => {
                let list = self.vote_list(&request)?;
                self.answer(id, Reply::VoteList(list));
            }
            Request::VoteClose(request) => self.vote_close(id, &caller, &request)?,
            Request::RoleAssign(request) => self.role_assign(id, &caller, &request)?,
            Request::RoleRemove(request) => self.role_remove(id, &caller, &request)?,
            Request::RoleList(request) => {
                let list = self.role_list(&request)?;
                self.answer(id, Reply::RoleList(list));
            }
            Request::ApprovalAsk(request) => self.approval_ask(id, &caller, request)?,
            Request::ApprovalAnswer(request) => self.approval_answer(id, &caller, &request)?,
            Request::PinSet(request) => self.pin_set(id, &caller, &request)?,
            Request::NoteAppend(_)
            | Request::NoteEdit(_)
            | Request::NoteRestore(_)
            | Request::NoteShow(_)
            | Request::NoteHistory(_) => self.note_call(id, caller, request)?,
            Request::NoteList(request) => self.note_list(id, request)?,
            Request::ClaimTake(request) => self.claim_take(id, &caller, request)?,
            Request::ClaimRenew(request) => self.claim_renew(id, &caller, &request)?,
            Request::ClaimRelease(request) => self.claim_release(id, &caller, &request)?,
            Request::ClaimList(request) => {
                let reply = self.claim_list(&request)?;
                self.answer(id, Reply::ClaimList(reply));
            }
            Request::ClaimCheck(request) => {
                let reply = self.claim_check(&caller, &request)?;
                self.answer(id, Reply::ClaimCheck(reply));
            }
            Request::TaskNew(request) => self.task_new(id, &caller, request)?,
            Request::TaskEdit(request) => self.task_edit(id, &caller, request)?,
            Request::TaskCancel(request) => self.task_cancel(id, &caller, request)?,
            Request::TaskShow(request) => {
                let (key, _) = self.find_task(&request.id)?;
                let shown = self.show_task(&key).expect("a task that was found is on the board");
                self.answer(id, Reply::TaskShow(Box::new(shown)));
            }
            Request::TaskList(request) => {
                let list = self.task_list(&caller, &request)?;
                self.answer(id, Reply::TaskList(list));
            }
            Request::TaskClaim(request) => self.task_claim(id, &caller, request)?,
            Request::TaskNext(request) => self.task_next(id, &caller, &request)?,
            Request::TaskUpdate(request) => self.task_update(id, &caller, request)?,
            Request::TaskBid(request) => self.task_bid(id, &caller, request)?,
            Request::TaskAward(request) => self.task_award(id, &caller, request)?,
            Request::LogVerify(_) => {
                self.read(Read::Verify, Then::Call(id, Continue::Verify));
            }
            Request::Watch(request) => self.watch(id, &caller, request)?,
            Request::Down(_) => {
                self.answer(id, Reply::Down(down::Reply { pid: self.pid }));
                self.effect(Effect::Stop);
            }
        }
        Ok(())
    }

    pub(crate) fn answer(&mut self, id: CallId, reply: Reply) {
        self.effect(Effect::Reply(id, Answer::Ok(reply)));
    }

    /// Ends a call whose entries are durable.
    pub(crate) fn finish(&mut self, id: CallId, finish: Finish) {
        match finish {
            Finish::Reply(reply) => self.answer(id, *reply),
            Finish::Sent(op) => {
                let reply = self.sent(&op);
                self.answer(id, Reply::Send(reply));
            }
            Finish::Invited(reply) => self.answer(id, Reply::Invite(reply)),
            Finish::Attention(agent, reply) => self.attention_kept(id, &agent, reply),
            Finish::Judged(caller, wish, more) => self.held_judged(id, caller, wish, more),
            Finish::Claim(fence) => self.finish_claim(id, &fence),
            Finish::Task(key, wrap) => {
                let shown = self.show_task(&key).map(|shown| wrap(Box::new(shown)));
                self.answer_if_there(id, shown, key.id.as_str());
            }
            Finish::NextTask(key) => self.next_taken(id, &key),
            Finish::Vote(key, wrap) => {
                let shown = self.show_proposal(&key).map(|shown| wrap(Box::new(shown)));
                self.answer_if_there(id, shown, key.id.as_str());
            }
        }
    }

    /// Answers a call whose entry is stored with what it changed, unless whoever made that has taken it away meanwhile.
    fn answer_if_there(&mut self, id: CallId, shown: Option<Reply>, name: &str) {
        if let Some(reply) = shown {
            self.answer(id, reply);
            return;
        }
        let error = Error::new(ErrorCode::NotFound, format!("{name:?} is not there any more; what you said is stored"))
            .hint("its creator has taken it away, or its log has forked: \"fedp2p status\" names forks");
        self.effect(Effect::Reply(id, Answer::Error(error)));
    }

    /// Goes on with what a read was for.
    pub(crate) fn read_back(&mut self, token: ReadToken, outcome: ReadOutcome) {
        let Some(then) = self.reads.remove(&token) else { return };
        match (then, outcome) {
            (Then::Call(id, _), ReadOutcome::Failed(error)) => {
                let error = crate::commit::storage_refusal(&error);
                self.effect(Effect::Reply(id, Answer::Error(error)));
            }
            (Then::Call(id, goes_on), outcome) => {
                if let Err(error) = self.go_on(id, goes_on, outcome) {
                    self.effect(Effect::Reply(id, Answer::Error(error)));
                }
            }
            (Then::Serve { peer }, ReadOutcome::Range { ops, complete }) => {
                self.range_read(peer, token, Some((&ops, complete)));
            }
            (Then::Compare { op, peer }, ReadOutcome::At(Some(ours))) => self.compare_read(&op, &ours.op, peer),
            (Then::Common { key, seq }, ReadOutcome::At(Some(ours))) => self.common_read(key, seq, ours.op.id()),
            (Then::Proof { key, seq }, ReadOutcome::Proof(Some(proof))) => self.proof_read(key, seq, &proof),
            (Then::Known { peer, asked, fetched }, ReadOutcome::Known(known)) => {
                self.known_read(known, &asked, peer);
                if fetched {
                    self.looked_up(peer);
                }
            }
            (Then::Remake { author, conversation }, ReadOutcome::Changes(changes)) => {
                self.documents_read(conversation, author, &changes);
            }
            (Then::Recover { conversation }, ReadOutcome::Changes(changes)) => {
                self.recover_read(conversation, Some(&changes));
            }
            (Then::Note(name), ReadOutcome::Note(ops)) => self.note_read(&name, &ops),
            (Then::Void { key, seq }, ReadOutcome::Range { ops, complete }) => {
                self.void_read(key, seq, &ops, complete);
            }
            (then, ReadOutcome::Failed(error)) => self.read_failed(token, then, &error),
            // Nothing was found that could be gone on with.
            (
                Then::Serve { .. }
                | Then::Compare { .. }
                | Then::Known { .. }
                | Then::Remake { .. }
                | Then::Recover { .. }
                | Then::Note(_)
                | Then::Void { .. }
                | Then::Common { .. }
                | Then::Proof { .. },
                _,
            ) => {}
        }
    }

    fn read_failed(&mut self, token: ReadToken, then: Then, error: &StoreError) {
        self.notice(format!("a read failed: {error}"));
        match then {
            Then::Serve { peer } => self.range_read(peer, token, None),
            Then::Remake { author, conversation } => self.try_again(Again::Remake { conversation, author }),
            Then::Recover { conversation } => self.recover_read(conversation, None),
            Then::Note(name) => self.note_unread(&name, error),
            Then::Void { key, seq } => self.try_again(Again::Void { key, seq }),
            Then::Common { key, seq } => self.try_again(Again::Common { key, seq }),
            Then::Known { peer, fetched: true, .. } => self.looked_up(peer),
            // What waits is fetched again, and who lacks a proof shows so again.
            Then::Call(..) | Then::Compare { .. } | Then::Known { .. } | Then::Proof { .. } => {}
        }
    }

    fn go_on(&mut self, id: CallId, goes_on: Continue, outcome: ReadOutcome) -> Result<(), Error> {
        match (goes_on, outcome) {
            (Continue::Inbox(with), ReadOutcome::Inbox { messages, more, held }) => {
                self.inbox_read(id, &messages, more, (held, with));
            }
            (Continue::Held(caller, wish), ReadOutcome::Held(rows)) => self.held_read(id, caller, wish, &rows),
            (Continue::Urgent(caller, tokens), ReadOutcome::Inbox { messages, more, .. }) => {
                self.urgent_read(id, caller, tokens, digest::Urgent { messages, more });
            }
            (Continue::Unread(caller, tokens, urgent), ReadOutcome::Inbox { messages, more, held }) => {
                self.unread_read(id, caller, tokens, digest::Unread { urgent, messages, more, held });
            }
            (Continue::Summaries(caller, tokens, unread), ReadOutcome::History(rows)) => {
                self.summaries_read(id, &caller, tokens, &unread, &rows);
            }
            (Continue::Surfaced(agent, request), ReadOutcome::InboxUpTo { surfaced, exact, cursor }) => {
                self.surfaced_read(id, &agent, request, (surfaced, exact), cursor);
            }
            (Continue::Reply(caller, request), ReadOutcome::Find(found)) => {
                self.send_found(id, caller, *request, &found)?;
            }
            (Continue::Budget(caller, request, references), ReadOutcome::History(thread)) => {
                self.check_thread(&caller, &thread)?;
                self.send_with(id, &caller, &request, references)?;
            }
            (Continue::Ack(caller, ids), ReadOutcome::Find(found)) => self.ack_found(id, &caller, &ids, &found)?,
            (Continue::History(request), ReadOutcome::Find(found)) => {
                self.history_found(id, &request, found.first())?;
            }
            (Continue::Listing(limit), ReadOutcome::History(rows)) => self.history_read(id, &rows, limit),
            (Continue::Notes(limit), ReadOutcome::Notes(rows)) => self.notes_read(id, &rows, limit),
            (Continue::NoNote(name), ReadOutcome::Notes(rows)) => return Err(notes::no_note(&name, &rows)),
            (Continue::Verify, ReadOutcome::Verify(reply)) => self.answer(id, Reply::LogVerify(reply)),
            _ => return Err(Error::new(ErrorCode::Internal, "the store answered something else than was asked")),
        }
        Ok(())
    }

    fn join(&mut self, id: CallId, request: fedp2p_protocols::api::join::Request) -> Result<(), Error> {
        request
            .ticket
            .parse::<fedp2p_protocols::ticket::Ticket>()
            .map_err(|error| {
                Error::new(ErrorCode::Invalid, error.to_string()).hint("copy the whole ticket, or ask for another")
            })
            .and_then(|ticket| {
                let own = self.chain.certificate();
                if ticket.organisation == own.organisation {
                    return Err(Error::new(
                        ErrorCode::Conflict,
                        format!("this node belongs to {} already", own.organisation_name),
                    )
                    .hint("there is nothing to do"));
                }
                let others = self.members.iter().filter(|(node, _)| **node != self.me()).count();
                crate::membership::may_leave(&own.organisation_name, self.root.is_some(), others)
            })?;
        self.effect(Effect::Join { call: id, request });
        Ok(())
    }

    /// Makes sure that the caller is an agent of this node, of the kind that it says.
    ///
    /// # Errors
    /// If it is known as one of another kind.
    pub(crate) fn registration(&self, caller: &Caller) -> Result<Option<Edit>, Error> {
        let content = self.documents.content(&self.lobby, &self.me());
        match content.agents.get(&caller.name) {
            Some(agent) if agent.kind == caller.kind => Ok(None),
            Some(agent) => {
                let (known, hint) = match agent.kind {
                    AgentKind::Person => ("a person", "choose another name for the agent: --agent NAME"),
                    AgentKind::Ai => ("an AI agent", "speak as it with --agent, or as yourself without"),
                };
                let error = Error::new(ErrorCode::Forbidden, format!("{} is {known} on this node", caller.name));
                Err(error.hint(hint))
            }
            None if caller.kind == AgentKind::Person && self.pin.is_some() => {
                let message = format!("{} is no person of this node, and its PIN lets nobody new be one", caller.name);
                Err(Error::new(ErrorCode::Forbidden, message).hint("speak as an agent: --agent NAME"))
            }
            None if content.agents.len() >= MAX_AGENTS => {
                let message = format!("this node has {MAX_AGENTS} agents, and {} is none of them", caller.name);
                Err(Error::new(ErrorCode::TooLarge, message)
                    .hint("call as one of them, or wait: who does not call for 10 min makes room"))
            }
            None => {
                let agent = Agent { kind: caller.kind, said: None };
                Ok(Some(Entry::Agent(caller.name.clone(), agent).into()))
            }
        }
    }

    /// Registers the caller if it is new. It can wait while this node says nothing of itself.
    fn ensure_registered(&mut self, caller: &Caller) -> Result<(), Error> {
        if self.is_silent() {
            return Ok(());
        }
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, Vec::new())?;
        self.commit_entries(entries);
        Ok(())
    }

    /// Registers the caller if it is new, and edits the own document in its name.
    pub(crate) fn edit_as(
        &mut self,
        entries: &mut Entries,
        caller: &Caller,
        mut edits: Vec<Edit>,
    ) -> Result<(), Error> {
        if let Some(register) = self.registration(caller)? {
            edits.insert(0, register);
        }
        if edits.is_empty() {
            return Ok(());
        }
        let lobby = self.lobby;
        if self.is_remaking() {
            return Err(
                Error::new(ErrorCode::Busy, "the node is putting its own document together again").hint("try again")
            );
        }
        let before = self.glance(&lobby, &self.me());
        self.edit(entries, lobby, Some(&caller.name), &edits).map_err(|error| self.unwritten(&error))?;
        entries.before.get_or_insert(before);
        Ok(())
    }

    /// Why the own document could not be edited.
    fn unwritten(&mut self, error: &WriteError) -> Error {
        if !matches!(error, WriteError::Full) {
            return Error::new(ErrorCode::Invalid, error.to_string());
        }
        // What is over makes room.
        self.may_be_over(1);
        Error::new(ErrorCode::TooLarge, "this node's agents say as much as one node can keep").hint(
            "end what nobody needs: cancel tasks, close questions, release claims; or use an agent of another node",
        )
    }

    pub(crate) fn one_found<'a>(
        &self,
        text: &str,
        found: Option<&'a Vec<crate::store::Placed>>,
    ) -> Result<&'a crate::store::Placed, Error> {
        match found.map_or(&[][..], Vec::as_slice) {
            [one] => Ok(one),
            [] => Err(Error::new(ErrorCode::NotFound, format!("no message has an id that starts with {text:?}"))
                .hint("ids stand in the first column of \"fedp2p history\"")),
            [..] => Err(Error::new(
                ErrorCode::Ambiguous,
                format!("more than one message has an id that starts with {text:?}"),
            )
            .hint("give more characters of the id")),
        }
    }
}

/// Checks that a text can be the start of an id.
pub(crate) fn id_prefix(text: &str) -> Result<String, Error> {
    let full = (OpId::BYTES * 8usize).div_ceil(5);
    let text = text.to_ascii_lowercase();
    let fits =
        (4..=full).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b));
    if fits {
        return Ok(text);
    }
    Err(Error::new(ErrorCode::Invalid, format!("{text:?} is not the id of a message"))
        .hint(format!("give at least 4 of its {full} characters")))
}
