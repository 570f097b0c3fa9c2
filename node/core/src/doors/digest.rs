//! The digest: what an agent must know now, within a number of tokens.
//!
//! A token is taken to have four bytes. The text never has more bytes than that. Each part takes at most half of the room
//! that is left, or as much as its first line, those first that matter most: a flood of messages does not hide what is
//! urgent, decisions or summaries. A line that does not fit whole is cut. What has no room is counted in the last line,
//! with where to read on.

mod text;

use std::collections::BTreeSet;

use fedp2p_crdt::claim::State as ClaimState;
use fedp2p_crdt::standing::{Phase, standing};
use fedp2p_crdt::task::{Counts, Standing};
use fedp2p_protocols::api::claim::{self as shown, Claim};
use fedp2p_protocols::api::message::Message;
use fedp2p_protocols::api::{Caller, Error, ErrorCode, Reply, digest};
use fedp2p_protocols::claim::Resource;
use fedp2p_protocols::payload::MessageType;
use fedp2p_protocols::task::{Assignee, Priority, State, Task};
use fedp2p_protocols::vote::{AgentId, Cause, Mechanism};

use super::attention::Wish;
use super::tasks::may_take;
use super::{Continue, Then};
use crate::Core;
use crate::input::CallId;
use crate::store::{HistoryFilter, Placed, Read, Traced};
use text::{Part, lay_out, plain};

/// How many bytes a token is taken to have.
const TOKEN_BYTES: usize = 4;
/// How short and how long a digest may be, in tokens.
const TOKENS: std::ops::RangeInclusive<u32> = 50..=32_000;
/// How many urgent messages, how many others and how many summaries are looked at.
const ROWS: u32 = 200;
/// For how long it is news that a task or a question is over or a claim was lost, by the clock of who said so.
const NEWS_MS: u64 = 24 * 3600 * 1000;

/// What is urgent of what waits for an agent.
#[derive(Debug)]
pub(crate) struct Urgent {
    pub(crate) messages: Vec<Placed>,
    pub(crate) more: u64,
}

/// What waits for an agent.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) urgent: Urgent,
    /// The first of all that waits, urgent or not.
    pub(crate) messages: Vec<Placed>,
    pub(crate) more: u64,
    pub(crate) held: u64,
}

impl Core {
    pub(crate) fn digest(&mut self, id: CallId, caller: Caller, request: &digest::Request) -> Result<(), Error> {
        if !TOKENS.contains(&request.tokens) {
            let message = format!("a digest has {} to {} tokens, not {}", TOKENS.start(), TOKENS.end(), request.tokens);
            return Err(Error::new(ErrorCode::Invalid, message).hint("1000 is a good length"));
        }
        self.ensure_registered(&caller)?;
        self.read_as(id, caller, Wish::Digest { tokens: request.tokens });
        Ok(())
    }

    pub(crate) fn read_urgent(&mut self, id: CallId, caller: Caller, tokens: u32) {
        let read = self.unread(&caller, true);
        self.read(read, Then::Call(id, Continue::Urgent(caller, tokens)));
    }

    pub(crate) fn urgent_read(&mut self, id: CallId, caller: Caller, tokens: u32, urgent: Urgent) {
        let read = self.unread(&caller, false);
        self.read(read, Then::Call(id, Continue::Unread(caller, tokens, urgent)));
    }

    fn unread(&self, caller: &Caller, urgent: bool) -> Read {
        let agent = caller.name.clone();
        let held = self.is_open(&agent);
        Read::Inbox { agent, limit: ROWS, held, urgent, now_ms: self.now.wall_ms }
    }

    pub(crate) fn unread_read(&mut self, id: CallId, caller: Caller, tokens: u32, unread: Unread) {
        let filter = HistoryFilter { kind: Some(MessageType::Summary), limit: ROWS, ..HistoryFilter::default() };
        self.read(Read::History(filter), Then::Call(id, Continue::Summaries(caller, tokens, unread)));
    }

    pub(crate) fn summaries_read(
        &mut self,
        id: CallId,
        caller: &Caller,
        tokens: u32,
        unread: &Unread,
        rows: &[Traced],
    ) {
        let parts = self.parts(caller, unread, rows);
        let laid_out = lay_out(parts, tokens as usize * TOKEN_BYTES);
        let tokens = u32::try_from(laid_out.text.len().div_ceil(TOKEN_BYTES)).unwrap_or(u32::MAX);
        let left_out = u32::try_from(laid_out.left_out).unwrap_or(u32::MAX);
        self.answer(id, Reply::Digest(digest::Reply { text: laid_out.text, tokens, left_out }));
    }

    /// The parts of a digest, in their order, each with how much it matters.
    fn parts(&self, caller: &Caller, unread: &Unread, rows: &[Traced]) -> Vec<Part> {
        let me = AgentId { node: self.me(), name: caller.name.clone() };
        let shown = |placed: &Placed| self.show_message(&placed.op, placed.position);
        let urgent: Vec<Message> = unread.urgent.messages.iter().filter_map(shown).collect();
        let all = unread.messages.len() as u64 + unread.more;
        let all_urgent = unread.urgent.messages.len() as u64 + unread.urgent.more;
        let others: Vec<Message> = unread.messages.iter().filter_map(shown).filter(|message| !message.urgent).collect();
        let not_looked_at = all.saturating_sub(all_urgent).saturating_sub(others.len() as u64);
        let lines = |messages: &[Message]| messages.iter().map(line).collect::<Vec<_>>();
        let mut summaries = self.newest_summaries(rows);
        let older = summaries.split_off(summaries.len().min(1));
        // Whoever comes new starts from what was summed up.
        let newcomer = !self.surfaced.has_read(&me.name);
        let all_summaries = "history --type summary";
        let held = match unread.held {
            0 => Vec::new(),
            held => vec![format!("{held} messages, which \"fedp2p inbox --held\" shows")],
        };
        vec![
            Part::new(1, "Newest summary:", summaries, "summaries", all_summaries),
            Part::new(
                if newcomer { 2 } else { 7 },
                "Older summaries, newest first:",
                older,
                "summaries",
                all_summaries,
            ),
            Part::new(0, "Urgent and unread:", lines(&urgent), "urgent", "inbox").and_more(unread.urgent.more),
            Part::new(3, "To decide:", self.to_decide(&me), "to decide", "vote list"),
            Part::new(4, "News of what is yours:", self.news(&me), "news", "task list --all"),
            Part::new(5, "To do:", self.to_do(&me), "to do", "task list --mine"),
            Part::new(6, "Unread:", lines(&others), "unread", "inbox").and_more(not_looked_at),
            Part::new(8, "Held:", held, "held", "inbox --held"),
            Part::new(9, "Files claimed:", self.claimed_files(&me), "claims", "claim list"),
            Part::new(10, "Agents:", self.what_agents_do(&me), "agents", "pulse"),
        ]
    }

    /// What became of what the agent made, asked and claimed: tasks that wait for it or are over, questions that are
    /// closed, claims that were lost.
    fn news(&self, me: &AgentId) -> Vec<String> {
        let mut news = self.lost_claims(me);
        news.extend(self.own_tasks(me));
        news.extend(self.own_questions(me));
        // What waits for the agent, then the newest.
        news.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        news.into_iter().map(|(_, line)| plain(&line)).collect()
    }

    fn is_recent(&self, at: u64) -> bool {
        at.saturating_add(NEWS_MS) > self.now.wall_ms
    }

    /// The agent's own tasks that wait for an answer, and those that others have ended.
    fn own_tasks(&self, me: &AgentId) -> Vec<(u64, String)> {
        let ambiguous = self.ambiguous_tasks();
        let board = self.board();
        let own = board.tasks().into_iter().filter(|task| task.key.node == me.node && task.task.by == me.name);
        let line = |task: Standing<'_>| {
            let (by, said_at, said) = match &task.task.closed {
                Some(closed) => {
                    let by = AgentId { node: closed.fence.node, name: closed.by.clone() };
                    (by, closed.at, closed.result.as_ref().or(closed.note.as_ref()))
                }
                None => {
                    let last = task.said.iter().rev().find(|said| said.counts == Counts::Yes)?;
                    let statement = last.statement;
                    (last.by.clone(), statement.at, statement.result.as_ref().or(statement.note.as_ref()))
                }
            };
            let (at, what) = match task.state {
                State::InputRequired => (u64::MAX, "waits for your answer"),
                State::Completed | State::Failed | State::Rejected => (said_at, task.state.as_str()),
                State::Submitted | State::Working | State::Canceled => return None,
            };
            if by == *me || !self.is_recent(at) {
                return None;
            }
            let said = said.map(|said| format!(": {said}")).unwrap_or_default();
            let (id, by) = (self.task_id(&task.key, &ambiguous), self.address(&by));
            Some((at, format!("your task {id} {what} ({by}){said}")))
        };
        own.filter_map(line).collect()
    }

    /// The agent's own questions that were closed, but by itself.
    fn own_questions(&self, me: &AgentId) -> Vec<(u64, String)> {
        let picture = self.documents.picture(&self.lobby);
        let own = picture.proposals().filter(|(key, proposal)| key.node == me.node && proposal.by == me.name);
        let line = |(key, proposal): (fedp2p_protocols::vote::ProposalKey, &fedp2p_protocols::vote::Proposal)| {
            let closing = proposal.closed.as_ref()?;
            let own = matches!(closing.cause, Cause::Asker | Cause::Withdrawn);
            if own || !self.is_recent(closing.at) {
                return None;
            }
            let standing = standing(&picture, &key)?;
            let outcome = match &standing.tally.winner {
                Some(winner) => winner.clone(),
                None => format!("undecided, {}", standing.tally.outcome),
            };
            Some((closing.at, format!("your question {} was answered: {outcome} ({})", key.id, proposal.question)))
        };
        own.filter_map(line).collect()
    }

    /// The agent's claims that gave way to another.
    fn lost_claims(&self, me: &AgentId) -> Vec<(u64, String)> {
        let lost = |standing: &fedp2p_crdt::claim::Standing<'_>| {
            let own = (standing.fence.node, &standing.claim.by) == (me.node, &me.name);
            let at = standing.claim.ended.map_or(u64::MAX, |ended| ended.at);
            own && matches!(standing.state, ClaimState::Lost { .. }) && self.is_recent(at)
        };
        let mine = self.address(me);
        let line = |claim: Claim| {
            let winner = claim.lost_to.and_then(|winner| winner.by);
            if claim.state != shown::State::Lost || winner.as_ref() == Some(&mine) {
                return None;
            }
            let to = winner.map(|by| format!(" to {by}")).unwrap_or_default();
            Some((u64::MAX, format!("your claim {} on {} was lost{to}", claim.id, claim.what)))
        };
        self.show_claims(lost).into_iter().filter_map(line).collect()
    }

    /// The newest summary of each thread, newest first.
    fn newest_summaries(&self, rows: &[Traced]) -> Vec<String> {
        let mut threads = BTreeSet::new();
        let newest = rows.iter().rev().filter_map(|row| self.show_message(&row.placed.op, row.placed.position));
        newest
            .filter(|summary| {
                let alone = summary.correlation.is_none() && summary.reply_to.is_none();
                alone || threads.insert((summary.correlation.clone(), summary.reply_to))
            })
            .map(|summary| line(&summary))
            .collect()
    }

    /// The open questions that an agent is asked and has not answered.
    fn to_decide(&self, me: &AgentId) -> Vec<String> {
        let picture = self.documents.picture(&self.lobby);
        let mut lines = Vec::new();
        for (key, proposal) in picture.proposals().filter(|(_, proposal)| proposal.closed.is_none()) {
            let Some(standing) = standing(&picture, &key) else { continue };
            if !standing.electorate.contains(me) || standing.counted.contains_key(me) {
                continue;
            }
            let by = self.address(&AgentId { node: key.node, name: proposal.by.clone() });
            let what = match standing.phase(self.now.wall_ms) {
                Phase::Acknowledging(_) if standing.seen.contains(me) => continue,
                Phase::Acknowledging(_) => "say that you have seen it",
                Phase::Open if proposal.rules.mechanism == Mechanism::Signoff => "approve or deny",
                Phase::Open => "vote",
                Phase::Overdue | Phase::Closed => continue,
            };
            let options = proposal.options.join(" | ");
            lines.push(plain(&format!("{what}: {} ({}; {options}), asked by {by}", key.id, proposal.question)));
        }
        lines
    }

    /// The tasks that an agent holds, then those it may bid for, then those it can begin: first what is for it or for a
    /// role of it, then what is for anybody.
    fn to_do(&self, me: &AgentId) -> Vec<String> {
        let roles = self.roles_of(me);
        let picture = self.documents.picture(&self.lobby);
        let mut found: Vec<(u8, Standing<'_>)> = Vec::new();
        for task in self.board().tasks() {
            let held = task.holder.as_ref().is_some_and(|holder| holder.agent == *me);
            let may_take = may_take(task.task, me, &roles);
            let has_bid = || picture.bids(&task.key).any(|(by, bid)| by == *me && bid.attempt == task.task.attempt);
            let rank = match task.state.is_terminal() {
                true => continue,
                false if held => 0,
                false if may_take && task.task.is_announced() && !has_bid() => 1,
                false if may_take && self.is_free(&task) => 2 + u8::from(task.task.to == Assignee::Anyone),
                false => continue,
            };
            found.push((rank, task));
        }
        found.sort_by(|(rank, task), (other_rank, other)| (rank, task.order()).cmp(&(other_rank, other.order())));
        let ambiguous = self.ambiguous_tasks();
        let line = |(rank, task): (u8, Standing<'_>)| {
            let lapsed = task.holder.as_ref().is_some_and(|holder| self.has_run_out(&holder.claim));
            let what = match rank {
                0 if lapsed => "yours, but its lease has run out".to_owned(),
                0 => format!("yours, {}", task.state),
                1 => "bid".to_owned(),
                2 => "begin, it is for you".to_owned(),
                _ => "free".to_owned(),
            };
            let (id, rest) = (self.task_id(&task.key, &ambiguous), self.pressing(task.task));
            plain(&format!("{what}: {id} ({}){rest}", task.task.title))
        };
        found.into_iter().map(line).collect()
    }

    /// What presses with a task: its priority, unless it is like most, and when it is due.
    fn pressing(&self, task: &Task) -> String {
        let priority = match task.priority {
            Priority::Normal => "",
            Priority::Low => ", low priority",
            Priority::High => ", high priority",
            Priority::Urgent => ", urgent",
        };
        let due = task.due.map(|due| match due.checked_sub(self.now.wall_ms) {
            Some(left) => format!(", due in {}", span(left)),
            None => format!(", due {} ago", span(self.now.wall_ms - due)),
        });
        format!("{priority}{}", due.unwrap_or_default())
    }

    /// The files that are claimed, those of the agent itself first.
    fn claimed_files(&self, me: &AgentId) -> Vec<String> {
        let address = self.address(me);
        let files = |standing: &fedp2p_crdt::claim::Standing<'_>| {
            standing.is_live() && matches!(standing.claim.resource, Resource::Files { .. })
        };
        let (own, others): (Vec<_>, Vec<_>) =
            self.show_claims(files).into_iter().partition(|claim| claim.by == address);
        let line = |claim: Claim| {
            let seconds = claim.until.saturating_sub(self.now.wall_ms) / 1000;
            let why = claim.why.map(|why| format!(", {why}")).unwrap_or_default();
            let (id, state) = (&claim.id, claim.state.as_str());
            plain(&format!("{} by {} (claim {id}, {state}, {seconds} s left{why})", claim.what, claim.by))
        };
        own.into_iter().chain(others).map(line).collect()
    }

    /// What the other agents say of themselves.
    fn what_agents_do(&self, me: &AgentId) -> Vec<String> {
        let rows = self.pulses_of_others(me).into_iter();
        rows.map(|row| {
            let said: Vec<String> =
                row.pulse.fields().into_iter().filter_map(|(name, said)| Some(format!("{name}: {}", said?))).collect();
            plain(&format!("{} {}", row.address, said.join("; ")))
        })
        .collect()
    }
}

/// A message in one line.
fn line(message: &Message) -> String {
    let doubt = if message.verified { "" } else { " (not verified)" };
    plain(&format!("[{} {}] {}{doubt}: {}", message.id.short(), message.kind.as_str(), message.from, message.text))
}

/// A span of time in words, about.
fn span(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
