//! How claims stand: which of them hold, which have lost and to what, and what a node may acknowledge.
//!
//! Of claims that exclude each other and have not ended, the one of the highest rank holds. What most members have
//! acknowledged comes first, the newer before the older; then what was confirmed in a part that was cut off, by how many
//! acknowledged it; then what is tentative; and then the lower number. The rank of a claim only rises, so two claims
//! never both give way to each other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fedp2p_protocols::claim::{Claim, Confirmation, End, Fence, Mode, Replaced, Resource};
use fedp2p_protocols::id::{ClaimHash, NodeId};
use fedp2p_protocols::limits::{MAX_CLAIMED_GLOBS, MAX_CLAIMED_WILDCARDS, MAX_CLAIMS, MAX_COUNTER_LEAP};
use fedp2p_protocols::name::AgentName;

use crate::picture::Picture;

mod near;

use near::Near;

/// How many of the claims of a node that have ended are looked at, to tell whether another came too late.
pub const MOST_HELD: usize = 32;

/// How a claim stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for acknowledgements.
    Tentative,
    /// Its agent holds what it claims.
    Confirmed,
    /// It gave way to another, or has to.
    Lost {
        /// To which.
        to: Fence,
    },
    /// It has ended otherwise.
    Ended(End),
}

/// One claim and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    /// Its number.
    pub fence: Fence,
    /// What it says.
    pub claim: &'a Claim,
    /// How it stands.
    pub state: State,
    /// The nodes that acknowledge it.
    pub acknowledged: Arc<BTreeSet<NodeId>>,
    /// How many nodes say anything in this conversation: there are at least so many members, whatever the claim says.
    pub members: u32,
    /// The newest of the claims of its agent on the same, itself if it is that, as it stands. Who takes over that one takes
    /// over all of them.
    newest: Replaced,
    /// A claim that most members had acknowledged has taken it over, so it never comes back.
    buried: bool,
}

impl Standing<'_> {
    /// Whether it keeps others out: it is tentative or confirmed.
    pub fn is_live(&self) -> bool {
        matches!(self.state, State::Tentative | State::Confirmed)
    }

    /// On what ground it was confirmed, as far as that is borne out.
    pub fn confirmation(&self) -> Option<Confirmation> {
        let borne_out = |by: &Confirmation| by.acknowledged as usize <= self.acknowledged.len();
        let by = self.claim.confirmed.filter(borne_out)?;
        Some(Confirmation { members: by.members.max(self.members), ..by })
    }

    /// Whether most members had acknowledged it when it was confirmed.
    pub fn is_majority(&self) -> bool {
        self.confirmation().is_some_and(|by| by.is_majority())
    }

    /// The lower, the higher its rank.
    fn rank(&self) -> (u8, Reverse<u64>, Fence) {
        match self.confirmation() {
            Some(by) if by.is_majority() => (0, Reverse(self.fence.counter), self.fence),
            Some(by) => (1, Reverse(u64::from(by.acknowledged)), self.fence),
            None => (2, Reverse(0), self.fence),
        }
    }

    /// Whether it and `other` cannot both be held. Those of one agent can.
    pub fn excludes(&self, other: &Standing<'_>) -> bool {
        let one_agent = self.fence.node == other.fence.node && self.claim.by == other.claim.by;
        !one_agent && self.claim.excludes(other.claim)
    }

    /// Whether it is still to be reckoned with, although it may have to give way: its node has not ended it, most members
    /// have not taken it over, and it did not lose to another of its own node, which is to be reckoned with instead.
    pub fn is_open(&self) -> bool {
        let among_themselves = matches!(self.state, State::Lost { to } if to.node == self.fence.node);
        self.claim.ended.is_none() && !self.buried && !among_themselves
    }

    /// Whether it takes `other` over, as it names it, or the newest that the same agent has on the same, with exactly as many
    /// renewals as that has.
    pub fn takes_over(&self, other: &Standing<'_>) -> bool {
        self.claim.replaces.contains(&other.newest)
    }

    fn is_newest(&self) -> bool {
        self.newest.fence == self.fence
    }
}

/// All claims of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims<'a> {
    standings: BTreeMap<Fence, Standing<'a>>,
    /// Those that their nodes have not ended, by number.
    open: Vec<Fence>,
    near: Near<'a>,
    /// Those that most members had acknowledged, as their nodes say, and that have ended, in no order.
    held: Vec<Fence>,
    near_held: Near<'a>,
    /// Up to which counters there may have been others, in ascending order.
    reserved: Vec<u64>,
}

/// How all claims of a picture stand, without what they say: it can be kept as long as nothing in the picture changes.
#[derive(Clone, Debug)]
pub struct Outcome {
    standings: BTreeMap<Fence, Settled>,
    reserved: Vec<u64>,
}

/// How one claim stands, without what it says.
#[derive(Clone, Debug)]
struct Settled {
    state: State,
    acknowledged: Arc<BTreeSet<NodeId>>,
    members: u32,
    newest: Replaced,
    buried: bool,
}

impl Outcome {
    /// The claims of the picture that this is the outcome of, as [`claims`] returns them; nothing is decided again.
    pub fn of<'a>(&self, picture: &Picture<'a>) -> Claims<'a> {
        let standing = |(&fence, settled): (&Fence, &Settled)| {
            let claim = picture.node(&fence.node)?.claims.get(&fence.counter)?;
            let Settled { state, acknowledged, members, newest, buried } = settled.clone();
            Some((fence, Standing { fence, claim, state, acknowledged, members, newest, buried }))
        };
        let standings = self.standings.iter().filter_map(standing).collect();
        let mut claims = Claims { standings, reserved: self.reserved.clone(), ..Claims::default() };
        claims.find_open();
        claims
    }
}

/// Returns how all claims stand. It is a pure function of the picture.
pub fn claims<'a>(picture: &Picture<'a>) -> Claims<'a> {
    let mut claims = gather(picture);
    claims.acknowledge(picture);
    claims.leave_out_leaps();
    let older = claims.find_newest();
    claims.bury(&older);
    claims.settle(|held, claim| held.excludes(claim));
    claims.find_open();
    claims
}

/// How much of what one node claims counts, as each claim may be compared with all others.
#[derive(Default)]
struct Room {
    claims: usize,
    globs: usize,
    wildcards: usize,
}

impl Room {
    /// Whether there is room for one more, which takes it up.
    fn has(&mut self, claim: &Claim) -> bool {
        let (globs, wildcards) = claim.resource.count_globs();
        self.claims += 1;
        self.globs += globs;
        self.wildcards += wildcards;
        self.claims <= MAX_CLAIMS && self.globs <= MAX_CLAIMED_GLOBS && self.wildcards <= MAX_CLAIMED_WILDCARDS
    }
}

/// All claims that count.
fn gather<'a>(picture: &Picture<'a>) -> Claims<'a> {
    let mut standings = BTreeMap::new();
    let members = u32::try_from(picture.nodes().count()).unwrap_or(u32::MAX);
    for (node, content) in picture.nodes() {
        let (mut room, mut full) = (Room::default(), false);
        for (&counter, claim) in &content.claims {
            full = full || (claim.ended.is_none() && !room.has(claim));
            if full && claim.ended.is_none() {
                continue;
            }
            let fence = Fence { counter, node };
            let state = match claim.ended {
                None => State::Tentative,
                Some(ended) => ended.to.map_or(State::Ended(ended.cause), |to| State::Lost { to }),
            };
            let newest = Replaced { fence, renewals: claim.renewals };
            let acknowledged = Arc::default();
            standings.insert(fence, Standing { fence, claim, state, acknowledged, members, newest, buried: false });
        }
    }
    let reserved = picture.nodes().filter_map(|(_, content)| content.reserved.keys().next_back().copied());
    let mut reserved: Vec<u64> = reserved.collect();
    reserved.sort_unstable();
    Claims { standings, reserved, ..Claims::default() }
}

impl<'a> Claims<'a> {
    /// Every claim, by number.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Standing<'a>> {
        self.standings.values()
    }

    /// What is to be kept of this, to have it again without deciding anything.
    pub fn outcome(&self) -> Outcome {
        let settled = |(&fence, standing): (&Fence, &Standing<'_>)| {
            let Standing { state, acknowledged, members, newest, buried, .. } = standing.clone();
            (fence, Settled { state, acknowledged, members, newest, buried })
        };
        Outcome { standings: self.standings.iter().map(settled).collect(), reserved: self.reserved.clone() }
    }

    /// The claims whose number has this counter, by node.
    pub fn alike(&self, counter: u64) -> impl DoubleEndedIterator<Item = &Standing<'a>> {
        let bound = |byte| Fence { counter, node: NodeId::from_bytes([byte; 32]) };
        self.standings.range(bound(0)..=bound(u8::MAX)).map(|(_, standing)| standing)
    }

    /// One claim.
    pub fn get(&self, fence: &Fence) -> Option<&Standing<'a>> {
        self.standings.get(fence)
    }

    /// Who has it in the end, of a claim that another gave way to: that one may have given way to a third, or got another
    /// number.
    pub fn ahead(&self, of: &Fence) -> Fence {
        let mut seen = BTreeSet::from([*of]);
        let mut at = *of;
        while let Some(standing) = self.get(&at) {
            let next = match standing.state {
                State::Lost { to } => Some(to),
                State::Tentative | State::Confirmed | State::Ended(_) => None,
            };
            let renumbered = standing.claim.ended.filter(|ended| ended.cause == End::Renumbered);
            // What others say of themselves may go round in a circle.
            match renumbered.and_then(|ended| ended.to).or(next).filter(|next| seen.insert(*next)) {
                Some(next) => at = next,
                None => break,
            }
        }
        at
    }

    /// The counter of the next claim of any node that has seen these: above all of them, and above what there may have been.
    pub fn next_counter(&self) -> u64 {
        let known = self.standings.last_key_value().map_or(1, |(last, _)| last.counter.saturating_add(1));
        // Whoever goes on above one must not leap by that.
        let leaps = |next: u64, reserved: u64| reserved.saturating_sub(next - 1) > MAX_COUNTER_LEAP / 2;
        self.reserved.iter().fold(known, |next, &reserved| {
            if leaps(next, reserved) { next } else { next.max(reserved.saturating_add(1)) }
        })
    }

    /// The claims that have not ended and may be on something that is in `resource`, by number.
    fn beside<'b>(&'b self, resource: &'b Resource) -> impl Iterator<Item = &'b Standing<'a>> + use<'a, 'b> {
        self.near.find(resource).into_iter().map(|at| &self.standings[&self.open[at as usize]])
    }

    /// The claims that keep others out of something that is in `resource`, the highest rank first.
    pub fn live_on<'b>(&'b self, resource: &'b Resource) -> Vec<&'b Standing<'a>> {
        let on = |standing: &&Standing<'a>| standing.is_live() && standing.claim.resource.overlaps(resource);
        let mut live: Vec<_> = self.beside(resource).filter(on).collect();
        live.sort_by_key(|standing| standing.rank());
        live
    }

    /// The claim that holds `resource`, or is about to; of several that share it or hold parts of it, the one of the
    /// highest rank.
    pub fn holder<'b>(&'b self, resource: &'b Resource) -> Option<&'b Standing<'a>> {
        self.live_on(resource).into_iter().next()
    }

    /// The claims in the way of one that an agent of `node` would make: those that exclude it and may still hold. Of those
    /// of one agent on the same only the newest, with which all are taken over.
    pub fn in_the_way<'b>(&'b self, node: NodeId, claim: &'b Claim) -> impl Iterator<Item = &'b Standing<'a>> {
        let own = move |standing: &Standing<'a>| standing.fence.node == node && standing.claim.by == claim.by;
        let open = self.beside(&claim.resource).filter(|other| other.is_open() && other.is_newest());
        open.filter(move |other| !own(other) && other.claim.excludes(claim))
    }

    /// Whether node `me` may promise to acknowledge nothing that stands against this claim. `has_run_out` says whether
    /// the lease of another has run out, as far as this node has seen time pass.
    pub fn may_acknowledge(&self, me: &NodeId, fence: &Fence, has_run_out: impl Fn(&Standing<'a>) -> bool) -> bool {
        let Some(claim) = self.get(fence).filter(|claim| claim.is_live()) else { return false };
        if self.overtaken_by(claim).is_some() {
            return false;
        }
        let stands_against = |other: &&Standing<'a>| other.fence != *fence && other.is_open() && other.excludes(claim);
        self.beside(&claim.claim.resource).filter(stands_against).all(|other| {
            let promised = other.acknowledged.contains(me) || other.confirmation().is_some();
            let out = claim.takes_over(other) && other.fence.counter < fence.counter && has_run_out(other);
            out || (!promised && claim.rank() < other.rank())
        })
    }

    /// The claim that was held, and has ended, while this one waited or was confirmed in a part that was cut off: it excludes
    /// it and does not have a lesser number. Nobody may acknowledge this one any more, as of two that are held one after the
    /// other the later has the greater number.
    pub fn overtaken_by(&self, claim: &Standing<'a>) -> Option<&Standing<'a>> {
        if claim.is_majority() {
            return None;
        }
        let held =
            self.near_held.find(&claim.claim.resource).into_iter().map(|at| &self.standings[&self.held[at as usize]]);
        held.filter(|held| held.fence.counter >= claim.fence.counter && held.excludes(claim))
            .max_by_key(|held| held.fence)
    }

    /// Notes who acknowledges what.
    fn acknowledge(&mut self, picture: &Picture<'a>) {
        let mut hashes: BTreeMap<Fence, ClaimHash> = BTreeMap::new();
        for (node, content) in picture.nodes() {
            for (fence, acknowledgement) in &content.acknowledged {
                let Some(standing) = self.standings.get_mut(fence) else { continue };
                if *hashes.entry(*fence).or_insert_with(|| standing.claim.hash()) == acknowledgement.claim {
                    Arc::make_mut(&mut standing.acknowledged).insert(node);
                }
            }
        }
    }

    /// Leaves out claims whose counter leaps, with all above them. What most members acknowledge did not leap when they did
    /// so, even if the numbers below it were taken away since.
    fn leave_out_leaps(&mut self) {
        let seen = |standing: &&Standing<'_>| standing.acknowledged.len() * 2 > standing.members as usize;
        let mut below = self.standings.values().rev().find(seen).map_or(0, |standing| standing.fence.counter);
        let leaps = |fence: &&Fence| {
            let leap = fence.counter.saturating_sub(below);
            below = below.max(fence.counter);
            leap > MAX_COUNTER_LEAP
        };
        if let Some(from) = self.standings.keys().find(leaps).copied() {
            self.standings.split_off(&from);
        }
    }

    /// Finds which claims have not ended, and which of the last ones of each node have and were held, and where they are.
    fn find_open(&mut self) {
        let mut of_node: BTreeMap<NodeId, usize> = BTreeMap::new();
        for standing in self.standings.values().rev().filter(|standing| standing.claim.ended.is_some()) {
            let by =
                standing.claim.confirmed.map(|by| Confirmation { members: by.members.max(standing.members), ..by });
            let of_node = of_node.entry(standing.fence.node).or_default();
            *of_node += 1;
            if *of_node <= MOST_HELD && by.is_some_and(|by| by.is_majority()) {
                self.near_held.add(&standing.claim.resource);
                self.held.push(standing.fence);
            }
        }
        for standing in self.standings.values().filter(|standing| standing.claim.ended.is_none()) {
            self.near.add(&standing.claim.resource);
            self.open.push(standing.fence);
        }
    }

    /// Finds which of the claims that one agent has on the same and that have not ended is the newest. Returns the others,
    /// by that one.
    fn find_newest(&mut self) -> BTreeMap<Fence, Vec<Fence>> {
        let mut alike: BTreeMap<(NodeId, &'a AgentName, &'a Resource, Mode), Vec<Fence>> = BTreeMap::new();
        for open in self.standings.values().filter(|standing| standing.claim.ended.is_none()) {
            let claim = open.claim;
            alike.entry((open.fence.node, &claim.by, &claim.resource, claim.mode)).or_default().push(open.fence);
        }
        let mut older = BTreeMap::new();
        for mut alike in alike.into_values().filter(|alike| alike.len() > 1) {
            let last = alike.pop().expect("there are at least two");
            let newest = self.standings[&last].newest;
            for fence in &alike {
                self.standings.get_mut(fence).expect("it was found just now").newest = newest;
            }
            older.insert(last, alike);
        }
        older
    }

    /// Marks what was taken over by a claim that most members had acknowledged, and lets go of what was taken over in a
    /// part that was cut off.
    fn bury(&mut self, others: &BTreeMap<Fence, Vec<Fence>>) {
        let mut taken_over = Vec::new();
        for newer in self.standings.values().filter(|newer| newer.confirmation().is_some()) {
            let named = newer.claim.replaces.iter().map(|replaced| &replaced.fence);
            for fence in named.flat_map(|named| others.get(named).into_iter().flatten().chain([named])) {
                let Some(older) = self.standings.get(fence) else { continue };
                let holds = newer.is_majority()
                    || (newer.takes_over(older) && newer.claim.ended.is_none_or(|ended| ended.cause != End::Lost));
                if holds && older.fence.counter < newer.fence.counter && older.excludes(newer) {
                    taken_over.push((*fence, newer.fence, newer.is_majority()));
                }
            }
        }
        for (older, newer, majority) in taken_over {
            let older = self.standings.get_mut(&older).expect("it was found just now");
            older.buried |= majority;
            if older.claim.ended.is_none() {
                older.state = State::Lost { to: newer };
            }
        }
    }

    /// Decides between those that have not ended: by rank, each holds unless one before it excludes it.
    fn settle(&mut self, mut excludes: impl FnMut(&Standing<'a>, &Standing<'a>) -> bool) {
        let mut open: Vec<&Standing<'a>> = self.iter().filter(|open| open.is_live()).collect();
        open.sort_by_cached_key(|standing| standing.rank());
        let mut hold: Vec<&Standing<'a>> = Vec::new();
        let (mut near, mut decided) = (Near::default(), Vec::new());
        for claim in open {
            let winner = near.find(&claim.claim.resource).into_iter().map(|at| hold[at as usize]).find(|held| {
                // One that challenges a lease that has run out waits for what most members say.
                excludes(held, claim) && !(claim.confirmation().is_none() && claim.takes_over(held))
            });
            let state = match winner {
                Some(&Standing { fence: to, .. }) => State::Lost { to },
                None if claim.confirmation().is_some() => State::Confirmed,
                None => State::Tentative,
            };
            if winner.is_none() {
                near.add(&claim.claim.resource);
                hold.push(claim);
            }
            decided.push((claim.fence, state));
        }
        for (fence, state) in decided {
            self.standings.get_mut(&fence).expect("it was found just now").state = state;
        }
    }
}

#[cfg(test)]
mod tests;
