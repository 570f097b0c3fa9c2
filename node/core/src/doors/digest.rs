//! The digest: what an agent must know now, within a number of tokens.
//!
//! A token is taken to have four bytes. The text never has more bytes than that; what has no room is counted. Each part
//! takes at most half of the room that is left, so that a flood of messages does not hide decisions or summaries.

use std::collections::BTreeSet;

use fedp2p_crdt::standing::{Phase, standing};
use fedp2p_crdt::task::Standing;
use fedp2p_protocols::api::claim::Claim;
use fedp2p_protocols::api::message::Message;
use fedp2p_protocols::api::{Caller, Error, ErrorCode, Reply, digest};
use fedp2p_protocols::claim::Resource;
use fedp2p_protocols::payload::MessageType;
use fedp2p_protocols::task::Assignee;
use fedp2p_protocols::vote::{AgentId, Mechanism};

use super::tasks::may_take;
use super::{Continue, Then};
use crate::Core;
use crate::input::CallId;
use crate::store::{HistoryFilter, Placed, Read, Traced};

/// How many bytes a token is taken to have.
const TOKEN_BYTES: usize = 4;
/// How short and how long a digest may be, in tokens.
const TOKENS: std::ops::RangeInclusive<u32> = 50..=32_000;
/// Most bytes of one line.
const LINE_BYTES: usize = 240;
/// How many messages are looked at.
const ROWS: u32 = 200;

/// What waits for an agent.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) messages: Vec<Placed>,
    pub(crate) more: u64,
    pub(crate) held: u64,
}

/// A text that grows up to a limit.
#[derive(Debug)]
struct Text {
    text: String,
    limit: usize,
    left_out: u64,
}

impl Text {
    /// Adds a part: its head, and as many of its lines as fit into `room`.
    fn part(&mut self, head: &str, lines: Vec<String>, room: usize) {
        let end = (self.text.len() + room).min(self.limit);
        let mut begun = false;
        for line in lines {
            let head = if begun { "" } else { head };
            let more = head.len() + usize::from(!begun) + line.len() + 3;
            if self.text.len() + more > end {
                self.left_out += 1;
                continue;
            }
            if !begun {
                self.text.push_str(head);
                self.text.push('\n');
                begun = true;
            }
            self.text.push_str("- ");
            self.text.push_str(&line);
            self.text.push('\n');
        }
    }

    fn room(&self) -> usize {
        self.limit - self.text.len()
    }
}

impl Core {
    pub(crate) fn digest(&mut self, id: CallId, caller: Caller, request: &digest::Request) -> Result<(), Error> {
        if !TOKENS.contains(&request.tokens) {
            let message = format!("a digest has {} to {} tokens, not {}", TOKENS.start(), TOKENS.end(), request.tokens);
            return Err(Error::new(ErrorCode::Invalid, message));
        }
        self.ensure_registered(&caller)?;
        let agent = caller.name.clone();
        let held = self.is_open(&agent);
        let read = Read::Inbox { agent, limit: ROWS, held, now_ms: self.now.wall_ms };
        self.read(read, Then::Call(id, Continue::Unread(caller, request.tokens)));
        Ok(())
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
        let me = AgentId { node: self.me(), name: caller.name.clone() };
        let limit = tokens as usize * TOKEN_BYTES;
        let mut text = Text { text: String::new(), limit, left_out: unread.more };
        let messages: Vec<Message> =
            unread.messages.iter().filter_map(|placed| self.show_message(&placed.op, placed.position)).collect();
        let (urgent, others): (Vec<&Message>, Vec<&Message>) = messages.iter().partition(|message| message.urgent);
        let unread_lines = |messages: &[&Message]| messages.iter().map(|message| line(message)).collect::<Vec<_>>();
        let summaries = self.newest_summaries(rows);
        let newcomer = !self.surfaced.contains_key(&me);
        let mut parts = vec![
            ("Urgent and unread:", unread_lines(&urgent)),
            ("To decide:", self.to_decide(&me)),
            ("To do:", self.to_do(&me)),
            ("Unread:", unread_lines(&others)),
        ];
        // Whoever comes new starts from what was summed up.
        parts.insert(if newcomer { 0 } else { parts.len() }, ("Summaries, newest first:", summaries));
        if unread.held > 0 {
            parts.push(("Held:", vec![format!("{} messages, which \"inbox --held\" shows", unread.held)]));
        }
        parts.push(("Files claimed:", self.claimed_files(&me)));
        parts.push(("Agents:", self.what_agents_do(&me)));
        let last = parts.len() - 1;
        for (number, (head, lines)) in parts.into_iter().enumerate() {
            let room = if number == last { text.room() } else { text.room() / 2 };
            text.part(head, lines, room);
        }
        let tokens = u32::try_from(text.text.len().div_ceil(TOKEN_BYTES)).unwrap_or(u32::MAX);
        let left_out = u32::try_from(text.left_out).unwrap_or(u32::MAX);
        self.answer(id, Reply::Digest(digest::Reply { text: text.text, tokens, left_out }));
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
            plain(&format!("{what}: {} ({})", self.task_id(&task.key, &ambiguous), task.task.title))
        };
        found.into_iter().map(line).collect()
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
        let mine = self.address(me);
        let rows = self.pulse().agents.into_iter().filter(|row| row.address != mine);
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
    plain(&format!("[{} {}] {}: {}", message.id.short(), message.kind.as_str(), message.from, message.text))
}

/// A text on one line, without what acts on a screen, and cut where it is long.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().filter(|c| !hides(*c)));
        if out.len() > LINE_BYTES {
            break;
        }
    }
    if out.len() > LINE_BYTES {
        let end = (0..=LINE_BYTES - 3).rev().find(|end| out.is_char_boundary(*end)).unwrap_or(0);
        out.truncate(end);
        out.push('…');
    }
    out
}

/// Whether a character turns the direction of reading around, or cannot be seen.
fn hides(c: char) -> bool {
    matches!(c, '\u{00ad}' | '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_short_and_does_nothing_to_a_screen() {
        assert_eq!(plain("one\n two\u{1b}[2J \u{202e}three"), "one two [2J three");
        let long = plain(&"ü".repeat(500));
        assert!(long.len() <= LINE_BYTES && long.ends_with('…'));
    }

    #[test]
    fn a_text_is_never_longer_than_it_may_be() {
        for limit in 0..400 {
            let mut text = Text { text: String::new(), limit, left_out: 0 };
            text.part("Head:", vec!["x".repeat(90); 3], limit / 2);
            text.part("Other:", vec!["y".repeat(20); 3], text.room());
            assert!(text.text.len() <= limit);
            let lines = text.text.lines().filter(|line| line.starts_with('-')).count() as u64;
            assert_eq!(lines + text.left_out, 6);
        }
    }
}
