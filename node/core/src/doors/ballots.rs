//! How proposals stand: what the doors show of them, and those that this node closes by itself.

use std::time::Duration;

use fedp2p_crdt::content::Entry;
use fedp2p_crdt::standing::{BallotState, Phase, Standing, standing};
use fedp2p_protocols::api::proposal::{self, Asked, Counts};
use fedp2p_protocols::limits::MAX_IDLE_BALLOTS;
use fedp2p_protocols::vote::{AgentId, Cause, Electorate, Proposal, ProposalKey};

use crate::Core;
use crate::author::Entries;

/// How long after a deadline it is tried again to close what could not be closed, in milliseconds.
const RETRY_MS: u64 = 2_000;
/// From when on a closing is so late that this node must have slept.
const LATE_MS: u64 = 1_000;

impl Core {
    pub(crate) fn show_proposal(&self, key: &ProposalKey) -> Option<proposal::Proposal> {
        let picture = self.documents.picture(&self.lobby);
        let standing = standing(&picture, key)?;
        let asked = standing.proposal;
        let same_id = picture.proposals().filter(|(other, _)| other.id == key.id).count();
        let id = if same_id > 1 { format!("{}@{}", key.id, self.members.display(&key.node)) } else { key.id.clone() };
        let closed = asked.closed.as_ref();
        let waiting = asked.rules.acknowledge_until.map(|_| standing.waiting().map(|agent| self.address(agent)));
        let (ballots, more_ballots) = self.show_ballots(&standing);
        Some(proposal::Proposal {
            id,
            by: self.address(&AgentId { node: key.node, name: asked.by.clone() }),
            origin: self.members.origin(&key.node),
            question: asked.question.clone(),
            options: asked.options.clone(),
            revision: asked.revision,
            asked: standing.asked,
            rules: show_rules(&standing),
            open: standing.is_open(),
            phase: match standing.phase(self.now.wall_ms) {
                Phase::Acknowledging(_) => proposal::Phase::Acknowledging,
                Phase::Open => proposal::Phase::Open,
                Phase::Overdue => proposal::Phase::Overdue,
                Phase::Closed => proposal::Phase::Closed,
            },
            opened: asked.opened,
            closed: closed.map(|closing| closing.at),
            cause: closed.map(|closing| closing.cause),
            winner: standing.tally.winner.clone(),
            votes: standing.tally.votes.clone().into_iter().filter(|(_, votes)| *votes > 0).collect(),
            rounds: standing.tally.rounds.clone(),
            outcome: standing.tally.outcome.clone(),
            why: why(&standing),
            settled: !standing.is_open() || standing.is_settled(),
            ballots,
            more_ballots,
            silent: standing.silent().map(|agent| self.address(agent)).collect(),
            waiting: waiting.into_iter().flatten().collect(),
            unfounded: standing.missing.iter().map(|key| self.address(&key.voter)).collect(),
        })
    }

    /// The ballots that count, some of those that do not, and how many more there are of these.
    fn show_ballots(&self, standing: &Standing<'_>) -> (Vec<proposal::Ballot>, u64) {
        let (mut shown, mut idle, mut more) = (Vec::new(), 0, 0);
        for cast in &standing.ballots {
            let Some(counts) = counts(cast.state) else { continue };
            if counts != Counts::Yes {
                idle += 1;
                if idle > MAX_IDLE_BALLOTS {
                    more += 1;
                    continue;
                }
            }
            shown.push(proposal::Ballot {
                voter: self.address(&cast.key.voter),
                origin: self.members.origin(&cast.key.voter.node),
                choices: cast.ballot.choices.clone(),
                reason: cast.ballot.reason.clone(),
                revision: cast.ballot.revision,
                proven: cast.ballot.proven,
                at: cast.ballot.at,
                counts,
            });
        }
        (shown, more)
    }

    /// When the next proposal of this node reaches its deadline, on the monotonic clock.
    pub(crate) fn closing_due(&self) -> Option<Duration> {
        let wait = self.next_closing?.saturating_sub(self.now.wall_ms);
        Some(self.now.monotonic + Duration::from_millis(wait))
    }

    /// Looks up which proposal of this node may close next, as what this node says has changed: at its deadline, or when
    /// voting opens that was decided before.
    pub(crate) fn note_closings(&mut self) {
        let now = self.now.wall_ms;
        let own = &self.documents.content(&self.lobby, &self.me()).proposals;
        let open = own.values().filter(|proposal| proposal.closed.is_none());
        let times = open.flat_map(|Proposal { rules, .. }| {
            let opens = rules.acknowledge_until.filter(|until| rules.early && *until > now);
            rules.deadline.into_iter().chain(opens)
        });
        self.next_closing = times.min();
    }

    /// The proposals of this node are looked at soon: one that was decided may not have been closed.
    pub(crate) fn check_closings(&mut self) {
        self.next_closing = Some(self.now.wall_ms);
    }

    /// Closes the proposals of this node whose deadline has come.
    pub(crate) fn close_due(&mut self) {
        let now = self.now.wall_ms;
        let Some(next) = self.next_closing.filter(|next| *next <= now) else { return };
        if now - next > LATE_MS {
            // Who slept over a deadline has yet to hear what others said before it.
            self.next_closing = Some(now + RETRY_MS);
            return;
        }
        let own = &self.documents.content(&self.lobby, &self.me()).proposals;
        let due = own.iter().filter(|(_, proposal)| {
            proposal.closed.is_none() && proposal.rules.deadline.is_some_and(|deadline| deadline <= now)
        });
        let due: Vec<String> = due.map(|(id, _)| id.clone()).collect();
        for id in due {
            self.close_own(&ProposalKey { node: self.me(), id }, Cause::Deadline);
        }
        let own = &self.documents.content(&self.lobby, &self.me()).proposals;
        let open: Vec<String> =
            own.iter().filter(|(_, proposal)| proposal.closed.is_none()).map(|(id, _)| id.clone()).collect();
        for id in open {
            self.close_if_settled(&ProposalKey { node: self.me(), id });
        }
        self.note_closings();
        // What could not be closed now is tried again in a while.
        self.next_closing = self.next_closing.map(|next| next.max(now + RETRY_MS));
    }

    /// Notes that all who are asked by a proposal of this node have acknowledged it, so that voting on it stays open. Where
    /// nobody but the asker is known yet, nobody has.
    pub(crate) fn note_acknowledged(&mut self, key: &ProposalKey) {
        let (lobby, me) = (self.lobby, self.me());
        if key.node != me || self.is_silent() {
            return;
        }
        let picture = self.documents.picture(&lobby);
        let Some(standing) = standing(&picture, key) else { return };
        let proposal = standing.proposal;
        let gathers = standing.is_open() && proposal.rules.acknowledge_until.is_some();
        let asker = AgentId { node: me, name: proposal.by.clone() };
        let others = standing.electorate.iter().any(|agent| *agent != asker);
        if !gathers || proposal.acknowledged.is_some() || !others || standing.waiting().next().is_some() {
            return;
        }
        let by = proposal.by.clone();
        let noted = Proposal { acknowledged: Some(self.now.wall_ms), ..proposal.clone() };
        let mut entries = Entries { before: Some(self.glance(&lobby, &me)), ..Entries::default() };
        match self.edit(&mut entries, lobby, Some(&by), &[Entry::Proposal(key.id.clone(), noted).into()]) {
            Ok(()) => self.commit_entries(entries),
            Err(error) => self.notice(format!("could not note that all have seen {:?}: {error}", key.id)),
        }
    }

    /// Closes a proposal of this node if it wants to be closed early and its result can no longer change.
    pub(crate) fn close_if_settled(&mut self, key: &ProposalKey) {
        if key.node != self.me() {
            return;
        }
        let picture = self.documents.picture(&self.lobby);
        let settled = standing(&picture, key).is_some_and(|standing| {
            let voting = standing.phase(self.now.wall_ms) == Phase::Open && !standing.counted.is_empty();
            voting && standing.proposal.rules.early && standing.is_settled()
        });
        if settled {
            self.close_own(key, Cause::Settled);
        }
    }

    fn close_own(&mut self, key: &ProposalKey, cause: Cause) {
        let (lobby, me) = (self.lobby, self.me());
        if self.is_silent() {
            return;
        }
        let Some(entry) = self.closing(key, cause) else { return };
        let by = self.documents.content(&lobby, &me).proposals.get(&key.id).map(|proposal| proposal.by.clone());
        let mut entries = Entries { before: Some(self.glance(&lobby, &me)), ..Entries::default() };
        match self.edit(&mut entries, lobby, by.as_ref(), &[entry.into()]) {
            Ok(()) => {
                self.tell_unanswered(&mut entries, key);
                self.commit_entries(entries);
            }
            Err(error) => self.notice(format!("could not close the question {:?}: {error}", key.id)),
        }
    }
}

fn show_rules(standing: &Standing<'_>) -> proposal::Rules {
    let rules = &standing.proposal.rules;
    let now = u32::try_from(standing.electorate.len()).unwrap_or(u32::MAX);
    proposal::Rules {
        mechanism: rules.mechanism,
        threshold: rules.threshold(),
        of: rules.of,
        quorum: rules.quorum,
        electorate: match rules.electorate {
            Electorate::All => Asked::All,
            Electorate::People => Asked::People,
            Electorate::Role(_) => Asked::Role,
            Electorate::Agents(_) => Asked::Agents,
        },
        role: match &rules.electorate {
            Electorate::Role(role) => Some(role.clone()),
            Electorate::All | Electorate::People | Electorate::Agents(_) => None,
        },
        eligible: standing.proposal.closed.as_ref().map_or(now, |closing| closing.eligible),
        acknowledge_until: rules.acknowledge_until,
        deadline: rules.deadline,
        early: rules.early,
    }
}

/// Why the result is what it is, in words.
fn why(standing: &Standing<'_>) -> String {
    let outcome = &standing.tally.outcome;
    match (&standing.tally.winner, standing.is_open()) {
        (Some(winner), true) => format!("{winner} leads"),
        (Some(winner), false) => format!("{winner} has won"),
        (None, true) => format!("not decided: {outcome}"),
        (None, false) => format!("undecided: {outcome}"),
    }
}

/// How a ballot is shown; one that its voter replaced is not.
#[expect(clippy::wildcard_enum_match_arm, reason = "states of a later version are not shown")]
fn counts(state: BallotState) -> Option<Counts> {
    match state {
        BallotState::Counts => Some(Counts::Yes),
        BallotState::OtherRevision => Some(Counts::Outdated),
        BallotState::NotAnOption => Some(Counts::Unknown),
        BallotState::Withdrawn => Some(Counts::Withdrawn),
        BallotState::NotAsked => Some(Counts::NotAsked),
        BallotState::Late => Some(Counts::Late),
        BallotState::Disputed => Some(Counts::Disputed),
        _ => None,
    }
}
