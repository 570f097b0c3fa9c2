//! Claims in motion: what this node promises, when it confirms, renews and ends its own claims, and who is told.
//!
//! [`Core::tend_claims`] looks at all claims whenever one has changed or something about one is due, and writes what
//! follows into the own document. Whether a claim holds is a pure function of the documents; only whether a lease has run
//! out is judged by the time that this node has seen pass since the claim last changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fedp2p_crdt::claim::{Claims, Standing, State};
use fedp2p_crdt::content::{Edit, Entry, Place};
use fedp2p_protocols::api::Presence;
use fedp2p_protocols::api::claim as shown;
use fedp2p_protocols::claim::{Claim, Confirmation, End, Ended, Fence, Replaced};
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::limits::{MAX_COUNTER_LEAP, MAX_REPLACED};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::vote::AgentId;

use crate::Core;
use crate::author::Entries;
use crate::input::CallId;

mod promises;
mod telling;

use promises::keeps_down;

/// How long a claim waits for a competitor to show before a part that is cut off from most members confirms it.
pub(crate) const SETTLE: Duration = Duration::from_secs(2);
/// How long a call waits for its claim to be confirmed.
const WAIT: Duration = Duration::from_secs(5);
/// How long a call waits on while what it waits for is on its way to the store.
const WAIT_ON: Duration = Duration::from_millis(100);
/// Most promises, and most other decisions, in one change.
pub(crate) const MOST_AT_ONCE: usize = 24;
/// How often in a row claims are looked at, as long as something follows.
const MOST_ROUNDS: usize = 16;
/// How many claims are compared again at every change.
const FEW: usize = 64;
/// For how long others' changes are gathered before claims are compared again, for each claim beyond those.
const COMPARE: Duration = Duration::from_micros(200);
/// How long after a failure it is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How many ended claims of its own a node keeps, for people to look at and for others to go by.
const KEPT: usize = fedp2p_crdt::claim::MOST_HELD;

/// What this node knows of claims that stands in no document.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    /// The claims that have not ended, as this node has seen them.
    seen: BTreeMap<Fence, Seen>,
    /// When agents of this node that hold something gave a sign of life last.
    alive: BTreeMap<AgentName, Duration>,
    /// How each claim stood when that was told last.
    told: BTreeMap<Fence, shown::State>,
    /// The calls that wait for a claim of theirs.
    waiting: Vec<Waiting>,
    /// When the claims are to be looked at next.
    due: Option<Duration>,
}

/// A claim as this node has seen it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    first: Duration,
    renewals: u32,
    /// Since when it has not been renewed.
    since: Duration,
}

#[derive(Debug)]
struct Waiting {
    call: CallId,
    fence: Fence,
    until: Duration,
}

/// What is to be written about claims.
#[derive(Default)]
struct Decisions {
    edits: Vec<Edit>,
    /// Own claims that were confirmed, lost or ended, and what came instead.
    settled: Vec<(Fence, Option<Fence>)>,
    /// Agents that are told something.
    messages: Vec<(AgentName, String, serde_json::Value)>,
}

impl Leases {
    /// The claims are looked at no later than then.
    fn look_at(&mut self, when: Duration) {
        self.due = Some(self.due.map_or(when, |due| due.min(when)));
    }

    pub(crate) fn forget_call(&mut self, call: CallId) {
        self.waiting.retain(|waiting| waiting.call != call);
    }

    /// Since when a claim has not been renewed.
    fn since(&self, fence: &Fence) -> Option<Duration> {
        self.seen.get(fence).map(|seen| seen.since)
    }
}

fn ttl(claim: &Claim) -> Duration {
    Duration::from_secs(claim.ttl_s.into())
}

impl Core {
    /// Something about claims has changed, or who can be reached.
    pub(crate) fn claims_changed(&mut self) {
        self.leases.look_at(self.now.monotonic);
    }

    /// The same, as a node has said. Others are not let decide how often all claims are compared: the more there are, the
    /// more changes are looked at together.
    pub(crate) fn claims_changed_by(&mut self, node: NodeId) {
        let many = self.leases.seen.len().saturating_sub(FEW);
        let others = u32::try_from(many).unwrap_or(u32::MAX) * u32::from(node != self.me());
        self.leases.look_at(self.now.monotonic + COMPARE * others);
    }

    /// An agent of this node calls: it is alive, and what it holds is renewed when it is time.
    pub(crate) fn sign_of_life(&mut self, agent: &AgentName) {
        let (me, now) = (self.me(), self.now.monotonic);
        let own = &self.documents.content(&self.lobby, &me).claims;
        let held = own.iter().filter(|(_, claim)| claim.by == *agent && claim.ended.is_none());
        let renewal = held.filter_map(|(&counter, claim)| {
            let since = self.leases.since(&Fence { counter, node: me })?;
            Some(since + ttl(claim) / 3)
        });
        if let Some(renewal) = renewal.min() {
            self.leases.alive.insert(agent.clone(), now);
            self.leases.look_at(renewal.max(now));
        }
    }

    /// Whether the lease of a claim has run out, as this node has seen time pass.
    pub(crate) fn has_run_out(&self, standing: &Standing<'_>) -> bool {
        let since = self.leases.since(&standing.fence).unwrap_or(self.now.monotonic);
        self.now.monotonic >= since + ttl(standing.claim)
    }

    /// How long the lease of a claim still lasts, as this node has seen time pass; negative if it has run out.
    pub(crate) fn lasts_ms(&self, standing: &Standing<'_>) -> i64 {
        let since = self.leases.since(&standing.fence).unwrap_or(self.now.monotonic);
        let end = since + ttl(standing.claim);
        let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        ms(end.saturating_sub(self.now.monotonic)) - ms(self.now.monotonic.saturating_sub(end))
    }

    /// The nodes whose acknowledgement there could be: all that ever were members. Whose certificate has run out a clock
    /// would say, and one that is wrong must not make this node a majority by itself.
    pub(crate) fn claim_members(&self) -> BTreeSet<NodeId> {
        self.members.iter().map(|(node, _)| *node).chain([self.me()]).collect()
    }

    /// The counter of the next claim of this node: more than any that it sees or has promised something about, as far as
    /// that does not leap.
    pub(crate) fn next_counter(&self, claims: &Claims<'_>) -> u64 {
        let promised = &self.documents.content(&self.lobby, &self.me()).acknowledged;
        let promised = promised.last_key_value().map_or(0, |(fence, _)| fence.counter);
        let next = claims.next_counter();
        next.max(promised.saturating_add(1).min((next - 1).saturating_add(MAX_COUNTER_LEAP)))
    }

    /// A call waits until its claim is confirmed or has lost.
    pub(crate) fn await_claim(&mut self, call: CallId, counter: u64) {
        let until = self.now.monotonic + WAIT;
        self.leases.waiting.push(Waiting { call, fence: Fence { counter, node: self.me() }, until });
        self.leases.look_at(until);
    }

    /// Looks at all claims if it is time, and goes on with the calls that wait for one, until nothing more follows.
    pub(crate) fn tend(&mut self) {
        let now = self.now.monotonic;
        for _ in 0..MOST_ROUNDS {
            self.tend_claims();
            self.tasks_won();
            // A call that goes on may claim something else, or give up what it claimed.
            if self.claims_due().is_none_or(|due| due > now) {
                break;
            }
        }
        self.put_off_claims();
        self.answer_late();
    }

    /// What is still due can wait until others have had their turn.
    fn put_off_claims(&mut self) {
        let now = self.now.monotonic;
        if self.leases.due.is_some_and(|due| due <= now) {
            self.leases.due = Some(now + WAIT_ON);
        }
    }

    /// Looks at all claims if it is time, and writes what follows.
    fn tend_claims(&mut self) {
        let (lobby, now) = (self.lobby, self.now.monotonic);
        // What is written may itself have consequences: a promise of this node can be the one that was missing.
        for round in 1..=MOST_ROUNDS {
            if self.claims_due().is_none_or(|due| due > now) {
                break;
            }
            self.leases.due = None;
            self.see_claims();
            let claims = self.documents.claims(&lobby);
            let mut decisions = Decisions::default();
            self.decide_on_own(&claims, &mut decisions);
            let next = self.next_look(&claims);
            if decisions.edits.is_empty() {
                self.promise(&claims, &mut decisions);
            }
            let again = !decisions.edits.is_empty();
            // That a lease has run out is written nowhere.
            let news = claims.iter().any(|standing| self.is_news(standing));
            let written = self.write_decisions(decisions);
            if news {
                self.tell_claims();
            }
            if let Some(next) = next {
                self.leases.look_at(next);
            }
            if again {
                self.leases.look_at(if written { now } else { now + TRY_AGAIN });
            }
            if round == MOST_ROUNDS {
                self.put_off_claims();
            }
        }
    }

    /// When the claims are to be looked at next. Nothing can be written, and nothing must be promised,
    /// while the own document is put together again.
    pub(crate) fn claims_due(&self) -> Option<Duration> {
        self.leases.due.filter(|_| !self.is_silent())
    }

    /// Notes which claims there are, and which were renewed.
    fn see_claims(&mut self) {
        let now = self.now.monotonic;
        let picture = self.documents.picture(&self.lobby);
        let mut seen = BTreeMap::new();
        for (node, content) in picture.nodes() {
            for (&counter, claim) in content.claims.iter().filter(|(_, claim)| claim.ended.is_none()) {
                let fence = Fence { counter, node };
                let fresh = Seen { first: now, renewals: claim.renewals, since: now };
                let known = self.leases.seen.get(&fence).copied().unwrap_or(fresh);
                let same = known.renewals == claim.renewals;
                seen.insert(fence, if same { known } else { Seen { first: known.first, ..fresh } });
            }
        }
        self.leases.seen = seen;
        let me = self.me();
        let own = &self.documents.content(&self.lobby, &me).claims;
        let holders: BTreeSet<&AgentName> =
            own.values().filter(|claim| claim.ended.is_none()).map(|claim| &claim.by).collect();
        self.leases.alive.retain(|agent, _| holders.contains(agent));
    }

    fn decide_on_own(&self, claims: &Claims<'_>, decisions: &mut Decisions) {
        let own = claims.iter().filter(|own| own.fence.node == self.me() && own.claim.ended.is_none());
        for own in own {
            if decisions.edits.len() >= MOST_AT_ONCE {
                break;
            }
            let now = self.now.wall_ms;
            if let State::Lost { to } = own.state {
                let only_cut_off =
                    claims.get(&to).is_some_and(|winner| winner.takes_over(own) && !winner.is_majority());
                if only_cut_off && !self.has_run_out(own) {
                    if self.may_insist(own) <= self.now.monotonic {
                        decisions.put(own, self.renewal_of(own.claim));
                    }
                } else {
                    self.lose_to(claims, own, to, decisions);
                }
            } else if self.has_run_out(own) {
                let ended = Some(Ended { cause: End::Expired, to: None, at: now });
                decisions.put(own, Claim { ended, ..own.claim.clone() });
                decisions.settled.push((own.fence, None));
                let text = format!(
                    "your claim {} on {} has ended, as you gave no sign of life for {} s",
                    own.fence.counter, own.claim.resource, own.claim.ttl_s
                );
                decisions.tell(own, text, None);
            } else if let Some(winner) = claims.overtaken_by(own) {
                self.give_way(claims, own, winner, decisions);
            } else if self.renewal_due(own) <= self.now.monotonic && self.is_alive(own, ttl(own.claim)) {
                decisions.put(own, self.renewal_of(own.claim));
            } else if let Some(confirmed) = self.confirmation(own) {
                decisions.put(own, Claim { confirmed: Some(confirmed), ..own.claim.clone() });
                decisions.settled.push((own.fence, None));
            } else if own.state == State::Tentative {
                self.renumber(claims, own, decisions);
            }
        }
    }

    /// The confirmation that a claim of this node has earned, if it has a better one than it says.
    fn confirmation(&self, own: &Standing<'_>) -> Option<Confirmation> {
        let members = self.claim_members();
        let acknowledged = own.acknowledged.iter().filter(|node| members.contains(node)).count();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let at = self.now.wall_ms;
        let earned =
            Confirmation { acknowledged: count(acknowledged), members: count(members.len()).max(own.members), at };
        if own.claim.confirmed.is_some() {
            return Some(earned).filter(|earned| {
                earned.is_majority() && !own.is_majority() && Some(earned.acknowledged) >= known(own.claim)
            });
        }
        if earned.is_majority() {
            return Some(earned);
        }
        // Most members cannot be reached: those that can decide, once a competitor has had time to show itself.
        let first = self.leases.seen.get(&own.fence).map(|seen| seen.first)?;
        let reached = |node: &&NodeId| self.presence(node) == Presence::Reachable || own.acknowledged.contains(node);
        let reached = members.iter().filter(reached).count();
        let settled = self.now.monotonic >= first + SETTLE;
        let cut_off = reached * 2 <= members.len();
        (settled && cut_off && acknowledged * 2 > reached).then_some(earned)
    }

    /// Makes a claim anew if something that it does not take over is in its way and has run out: its node is gone.
    fn renumber(&self, claims: &Claims<'_>, own: &Standing<'_>, decisions: &mut Decisions) {
        let in_the_way: Vec<&Standing<'_>> = claims.in_the_way(own.fence.node, own.claim).collect();
        let gone = |other: &&&Standing<'_>| self.has_run_out(other) && other.fence.node != self.me();
        let replaces: Vec<Replaced> = in_the_way.iter().filter(gone).map(|other| replaced(other)).collect();
        if replaces.len() > MAX_REPLACED
            || replaces.iter().all(|new| own.claim.replaces.contains(new))
            || !decisions.edits.is_empty()
        {
            return;
        }
        self.make_anew(claims, own, replaces, decisions);
    }

    /// Makes a claim anew under the next number.
    fn make_anew(&self, claims: &Claims<'_>, own: &Standing<'_>, replaces: Vec<Replaced>, decisions: &mut Decisions) {
        let (counter, at) = (self.next_counter(claims), self.now.wall_ms);
        let to = Fence { counter, node: self.me() };
        let ended = Some(Ended { cause: End::Renumbered, to: Some(to), at });
        decisions.put(own, Claim { ended, ..own.claim.clone() });
        let anew = Claim { replaces, taken: at, renewed: at, ..own.claim.clone() };
        decisions.edits.push(Entry::Claim(counter, anew).into());
        decisions.settled.push((own.fence, Some(to)));
    }

    /// Most members had acknowledged another claim with a greater number, which has ended since. One that still waits gets a
    /// greater number; what was held in a part that was cut off is lost, as another agent worked on the same.
    fn give_way(&self, claims: &Claims<'_>, own: &Standing<'_>, winner: &Standing<'_>, decisions: &mut Decisions) {
        if own.claim.confirmed.is_some() {
            self.lose_to(claims, own, winner.fence, decisions);
        } else if decisions.edits.is_empty() {
            self.make_anew(claims, own, own.claim.replaces.clone(), decisions);
        }
    }

    /// Ends a claim that another has won, and tells its agent.
    fn lose_to(&self, claims: &Claims<'_>, own: &Standing<'_>, to: Fence, decisions: &mut Decisions) {
        let ended = Some(Ended { cause: End::Lost, to: Some(to), at: self.now.wall_ms });
        decisions.put(own, Claim { ended, ..own.claim.clone() });
        decisions.settled.push((own.fence, None));
        let ahead = claims.ahead(&to);
        decisions.tell(own, self.lost_text(claims, own, &ahead), Some(ahead));
    }

    /// When a claim of this node that others took over, although its lease had not run out, may be renewed against them.
    fn may_insist(&self, own: &Standing<'_>) -> Duration {
        self.leases.since(&own.fence).unwrap_or(self.now.monotonic) + TRY_AGAIN
    }

    /// When a claim of this node is to be renewed.
    fn renewal_due(&self, own: &Standing<'_>) -> Duration {
        self.leases.since(&own.fence).unwrap_or(self.now.monotonic) + ttl(own.claim) / 3
    }

    /// Whether the agent of a claim has given a sign of life since the last renewal, or within this time, or watches.
    fn is_alive(&self, own: &Standing<'_>, within: Duration) -> bool {
        let agent = &own.claim.by;
        let since = self.leases.since(&own.fence).unwrap_or_default();
        let last = self.leases.alive.get(agent).copied();
        let lately = last.is_some_and(|last| last >= since && self.now.monotonic <= last + within);
        lately || self.watches.has(agent)
    }

    pub(crate) fn renewal_of(&self, claim: &Claim) -> Claim {
        Claim { renewals: claim.renewals.saturating_add(1), renewed: self.now.wall_ms, ..claim.clone() }
    }

    fn lost_text(&self, claims: &Claims<'_>, own: &Standing<'_>, to: &Fence) -> String {
        let winner = claims.get(to).map(|winner| AgentId { node: to.node, name: winner.claim.by.clone() });
        let by = winner.map_or_else(|| self.members.display(&to.node), |winner| self.address(&winner).to_string());
        let (counter, what) = (own.fence.counter, &own.claim.resource);
        let tentative = claims.get(to).is_some_and(|winner| winner.state == State::Tentative);
        let so_far = if tentative { ", which is ahead of it and not confirmed yet" } else { "" };
        format!("your claim {counter} on {what} was lost to claim {} of {by}{so_far}; stop working on it", to.counter)
    }

    /// When something about a claim will be due.
    fn next_look(&self, claims: &Claims<'_>) -> Option<Duration> {
        let now = self.now.monotonic;
        let mut due: Vec<Duration> = self.leases.waiting.iter().map(|waiting| waiting.until).collect();
        for standing in claims.iter().filter(|standing| standing.is_open()) {
            let Some(seen) = self.leases.seen.get(&standing.fence) else { continue };
            due.push(seen.since + ttl(standing.claim));
            if standing.fence.node == self.me() {
                due.push(seen.first + SETTLE);
                if matches!(standing.state, State::Lost { .. }) {
                    due.push(self.may_insist(standing));
                }
                if self.is_alive(standing, ttl(standing.claim)) {
                    due.push(self.renewal_due(standing));
                }
            }
        }
        due.into_iter().filter(|due| *due > now).min()
    }

    /// Writes what was decided and returns whether that could be done.
    fn write_decisions(&mut self, decisions: Decisions) -> bool {
        if decisions.edits.is_empty() {
            return true;
        }
        let (lobby, me) = (self.lobby, self.me());
        let mut entries = Entries { before: Some(self.glance(&lobby, &me)), ..Entries::default() };
        if let Err(error) = self.edit(&mut entries, lobby, None, &decisions.edits) {
            self.notice(format!("could not write what is decided on claims: {error}"));
            return false;
        }
        for (agent, text, data) in decisions.messages {
            self.tell_agent(&mut entries, agent, text, data);
        }
        self.commit_entries(entries);
        for (fence, instead) in decisions.settled {
            let (done, waiting): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.leases.waiting).into_iter().partition(|waiting| waiting.fence == fence);
            self.leases.waiting = waiting;
            for waiting in done {
                match instead {
                    Some(fence) => self.leases.waiting.push(Waiting { fence, ..waiting }),
                    // What was written before is durable when this is.
                    None => self.commit_call(Entries::default(), waiting.call, crate::doors::Finish::Claim(fence)),
                }
            }
        }
        true
    }

    /// Starts with the claims that there are: nobody is told of those.
    pub(crate) fn restore_claims(&mut self) {
        self.see_claims();
        let claims = self.documents.claims(&self.lobby);
        let told = claims.iter().map(|standing| (standing.fence, self.claim_state(standing))).collect();
        self.leases.told = told;
        self.claims_changed();
    }

    /// The edits that forget ended claims of this node that nobody needs any more.
    pub(crate) fn forget_claims(&self, claims: &Claims<'_>) -> Vec<Edit> {
        let own = claims.iter().filter(|own| own.fence.node == self.me() && own.claim.ended.is_some());
        let needed = |own: &Standing<'_>| keeps_down(claims, own.claim) || self.has_spoken(claims, own);
        // The last ones are for people to look at, and the number of the very last must not be given again.
        let old = own.rev().skip(KEPT).filter(|own| !needed(own));
        old.take(MOST_AT_ONCE).map(|own| Edit::Remove(Place::Claim(own.fence.counter))).collect()
    }
}

impl Decisions {
    fn put(&mut self, own: &Standing<'_>, claim: Claim) {
        self.edits.push(Entry::Claim(own.fence.counter, claim).into());
    }

    fn tell(&mut self, own: &Standing<'_>, text: String, to: Option<Fence>) {
        let data = serde_json::json!({ "claim": own.fence, "lost_to": to });
        self.messages.push((own.claim.by.clone(), text, data));
    }
}

/// How many acknowledgements a claim says to have.
fn known(claim: &Claim) -> Option<u32> {
    claim.confirmed.map(|by| by.acknowledged)
}

/// The entry by which a claim is taken over as it stands.
pub(crate) fn replaced(standing: &Standing<'_>) -> Replaced {
    Replaced { fence: standing.fence, renewals: standing.claim.renewals }
}
