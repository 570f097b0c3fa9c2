//! The dialler: the one place that decides whom to dial, where and when.
//!
//! It is a pure machine: the worker tells it what it learnt and what became of its dials, asks [`Dialler::next`] until
//! that has nothing more, and comes back at [`Dialler::deadline`]. Time comes in as an argument.
//!
//! A member that is lost is tried twice a second for a day, then twice a minute, without waiting for one attempt to end
//! before the next: the first request that reaches it after a cut of any length connects. All attempts together keep to
//! [`PACE`]. A node whose own work is late dials fewer at a time and waits longer, or many nodes that share a processor
//! and start together would only make each other's answers late. When one member is back all others are due at once, for
//! what cut it off has ended. A member that answers and refuses is left alone for ever longer, up to eight seconds. What
//! was only heard of on the local network is dialled a few times a second at most and, when its hello fails, left alone
//! for up to ten minutes.
//!
//! Invariants: a peer whose connection is admitted and not in doubt is not dialled; at most [`MAX_DIALS`] dials are
//! under way, and at most [`MAX_OVERLAP`] to one peer.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use super::address;

/// Most dials at one time.
const MAX_DIALS: usize = 64;
/// How long a dial counts as new at least. One that is out for longer is probably not answered, and costs nothing.
const NEW: Duration = Duration::from_secs(2);
/// Up to which lag there may be as many new dials as there may be dials; beyond it fewer, in proportion.
const NO_LAG: Duration = Duration::from_millis(8);
/// More than this counts as this much.
const MOST_LAG: Duration = Duration::from_millis(100);
/// What is late by so much was not busy: the machine slept, or the process was stopped.
const SLEPT: Duration = Duration::from_secs(5);
/// Times the lag that an attempt waits for its answer before the next one; each end has several turns in making one.
const LAGS: u32 = 32;
/// How long an attempt waits at least for each dial under way; making a connection takes some milliseconds of work.
const BESIDE: Duration = Duration::from_millis(20);
/// How long it waits at most for them: those that nobody answers cost nothing.
const MOST_BESIDE: Duration = Duration::from_millis(700);
/// Most dials of one member at one time. Over TCP a dial that nobody answers ends after two seconds, over QUIC after
/// five, so this holds up none.
const MAX_OVERLAP: usize = 8;
/// How often a lost member is tried.
const PROBE: Duration = Duration::from_millis(500);
/// How often one is tried that has been lost for [`LONG_LOST`].
const PROBE_LONG_LOST: Duration = Duration::from_secs(30);
/// From when on a member counts as away rather than cut off.
const LONG_LOST: Duration = Duration::from_hours(24);
/// Time between two addresses that are tried again, over all members; at 0.1 ms of work each, a fifth of a percent.
const PACE: Duration = Duration::from_millis(50);
/// How far ahead of that pace a burst may be.
const BURST: Duration = Duration::from_secs(2);
/// Of so many attempts one is made over QUIC, for where TCP does not get through.
const QUIC_EVERY: u32 = 8;
/// How long a new connection may take for its hello before another is tried beside it.
const GREETING: Duration = Duration::from_secs(2);
/// Most addresses that are kept for one peer.
const MAX_ADDRESSES: usize = 16;
/// Most peers that are kept without being members.
const MAX_HINTS: usize = 256;
/// Least time between two dials of peers that are only heard of.
const HINT_SPACING: Duration = Duration::from_millis(250);
/// How long after a new address of a member was learnt it is tried at the latest.
const MOVED: Duration = Duration::from_secs(1);
/// A connection that was admitted and lasted so long was a good one: the next dial need not wait.
const GOOD: Duration = Duration::from_secs(5);
/// Most addresses that one dial tries again; the next one goes on with the rest.
const MAX_AT_ONCE: usize = 4;

/// How a peer was learnt of. A later variant is a better reason to dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Somebody on the local network says so.
    Hint,
    /// A live daemon of this user on this machine.
    Local,
    /// A member, or an address that a person gave.
    Member,
}

impl Standing {
    /// First and longest delay after a dial or a connection failed.
    fn delays(self) -> (Duration, Duration) {
        match self {
            Self::Hint => (Duration::from_secs(5), Duration::from_secs(600)),
            Self::Local => (Duration::from_millis(250), Duration::from_secs(60)),
            Self::Member => (Duration::from_millis(250), Duration::from_secs(8)),
        }
    }
}

#[derive(Debug)]
struct Target {
    addresses: Vec<Multiaddr>,
    standing: Standing,
    /// How often it was unreachable or refused us, one after the other.
    failures: u32,
    /// Dials since it was last well.
    attempts: u32,
    next: Instant,
    /// Left alone until then, whatever is learnt.
    quiet: Instant,
    /// Dials under way.
    dialling: usize,
    connected: bool,
    admitted: Option<Instant>,
    /// Its connection may be dead.
    doubted: bool,
    /// Since when it is not there.
    lost: Instant,
}

/// An address whose peer is not known until it answers.
#[derive(Debug)]
struct Blind {
    address: Multiaddr,
    peer: Option<PeerId>,
    next: Instant,
    dialling: bool,
}

#[derive(Debug)]
enum Dialled {
    Peer(PeerId),
    Blind(usize),
}

#[derive(Debug)]
struct Dial {
    to: Dialled,
    begun: Instant,
}

/// How late this node lately did what was due.
#[derive(Debug)]
struct Lag {
    late: Duration,
    at: Instant,
}

impl Lag {
    /// What is left of it: half after each second in which nothing was due.
    fn now(&self, now: Instant) -> Duration {
        self.late.mul_f64(self.weight(now))
    }

    /// How much of it still counts.
    fn weight(&self, now: Instant) -> f64 {
        0.5_f64.powf(now.saturating_duration_since(self.at).as_secs_f64())
    }

    /// A mean over about a second, and over some turns at least.
    fn with(&self, late: Duration, now: Instant) -> Self {
        let old = self.weight(now).min(0.875);
        Self { late: self.late.mul_f64(old) + late.mul_f64(1.0 - old), at: now }
    }
}

/// The machine.
#[derive(Debug)]
pub(super) struct Dialler {
    me: PeerId,
    targets: BTreeMap<PeerId, Target>,
    blind: Vec<Blind>,
    dials: BTreeMap<ConnectionId, Dial>,
    next_hint: Instant,
    /// How far the pace of repeated attempts is used up.
    paced: Instant,
    lag: Lag,
    /// When all lost members were made due last because one came back.
    retried: Option<Instant>,
    random: u64,
}

impl Dialler {
    /// Makes the dialler of `me`; `random` spreads the delays.
    pub(super) fn new(me: PeerId, random: u64, now: Instant) -> Self {
        let (targets, blind, dials) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        let lag = Lag { late: Duration::ZERO, at: now };
        Self { me, targets, blind, dials, next_hint: now, paced: now, lag, retried: None, random }
    }

    /// What was due was done so late. On a machine that does not keep up, further attempts would only add to what
    /// delays the answers to those under way, until none comes in time any more.
    pub(super) fn was_late(&mut self, late: Duration, now: Instant) {
        if late < SLEPT {
            self.lag = self.lag.with(late.min(MOST_LAG), now);
        }
    }

    /// How long an attempt gets before the next one.
    fn patience(&self, at_least: Duration, now: Instant) -> Duration {
        let beside = BESIDE * u32::try_from(self.dials.len()).unwrap_or(u32::MAX);
        at_least.max(self.lag.now(now) * LAGS).max(beside.min(MOST_BESIDE))
    }

    /// Until when each dial that is new counts as that.
    fn new_dials(&self, now: Instant) -> impl Iterator<Item = Instant> {
        let time = NEW.max(self.lag.now(now) * LAGS);
        self.dials.values().map(move |dial| dial.begun + time).filter(move |until| *until > now)
    }

    /// From when on there may be another dial; `None` if one has to end first.
    fn room(&self, now: Instant) -> Option<Instant> {
        if self.dials.len() >= MAX_DIALS {
            return None;
        }
        let share = NO_LAG.as_secs_f64() / self.lag.now(now).max(NO_LAG).as_secs_f64();
        let most = (MAX_DIALS as f64 * share) as usize;
        let mut new: Vec<Instant> = self.new_dials(now).collect();
        if new.len() < most {
            return Some(now);
        }
        new.sort_unstable();
        Some(new[new.len() - most])
    }

    /// Learns where a peer may be. A better reason than the one known makes it due at once.
    pub(super) fn learn(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, standing: Standing, now: Instant) {
        if peer == self.me || (standing == Standing::Hint && !self.has_room_for(&peer)) {
            return;
        }
        let target = self.targets.entry(peer).or_insert_with(|| Target {
            addresses: Vec::new(),
            standing,
            failures: 0,
            attempts: 0,
            next: now,
            quiet: now,
            dialling: 0,
            connected: false,
            admitted: None,
            doubted: false,
            lost: now,
        });
        if standing > target.standing {
            target.standing = standing;
            target.failures = 0;
            target.next = now;
        }
        if target.standing == Standing::Member && addresses.iter().any(|address| !target.addresses.contains(address)) {
            // It may have moved.
            target.next = target.next.min(now + MOVED);
        }
        if target.standing == Standing::Member && target.is_long_lost(now) {
            target.lost = now;
            target.next = now;
        }
        let mut known = std::mem::take(&mut target.addresses);
        // What is new comes first, but hearsay about a peer that is known better must not push out where it was found.
        let kept = if standing < target.standing { known.len().min(MAX_ADDRESSES / 2) } else { 0 };
        let rest = known.split_off(kept);
        for address in known.into_iter().chain(addresses).chain(rest) {
            if target.addresses.len() < MAX_ADDRESSES && !target.addresses.contains(&address) {
                target.addresses.push(address);
            }
        }
    }

    /// Learns an address that a person gave.
    pub(super) fn learn_blind(&mut self, address: Multiaddr, now: Instant) {
        let (bare, peer) = address::split_peer(address);
        match peer {
            Some(peer) => self.learn(peer, vec![bare], Standing::Member, now),
            None => self.blind.push(Blind { address: bare, peer: None, next: now, dialling: false }),
        }
    }

    /// The peer is up again: dial it soon.
    pub(super) fn renew(&mut self, peer: &PeerId, now: Instant) {
        if let Some(target) = self.targets.get_mut(peer).filter(|target| target.failures > 0) {
            target.failures = 0;
            target.next = target.next.min(now + target.standing.delays().0);
        }
    }

    /// Makes every member that is lost due at once: the way to them may be open again.
    pub(super) fn retry(&mut self, now: Instant) {
        for target in self.targets.values_mut().filter(|target| target.standing == Standing::Member) {
            // What refuses us goes on to.
            if !target.connected && target.failures == 0 {
                target.attempts = 0;
                target.lost = now;
                target.next = now;
            }
        }
    }

    /// Says whether the connection of a member may be dead; if so another is tried beside it.
    pub(super) fn set_doubt(&mut self, peer: &PeerId, doubted: bool, now: Instant) {
        if let Some(target) = self.targets.get_mut(peer).filter(|target| target.doubted != doubted) {
            target.doubted = doubted;
            target.next = now;
        }
    }

    /// What was heard of this peer no longer holds.
    pub(super) fn forget_hint(&mut self, peer: &PeerId) {
        let is_hint =
            |target: &Target| target.standing != Standing::Member && !target.connected && target.dialling == 0;
        if self.targets.get(peer).is_some_and(is_hint) {
            self.targets.remove(peer);
        }
    }

    fn has_room_for(&mut self, peer: &PeerId) -> bool {
        if self.targets.contains_key(peer) {
            return true;
        }
        let hints = self.targets.iter().filter(|(_, target)| target.standing == Standing::Hint);
        if hints.clone().count() < MAX_HINTS {
            return true;
        }
        let worst = hints
            .filter(|(_, target)| !target.connected && target.dialling == 0 && target.failures > 0)
            .max_by_key(|(_, target)| target.failures)
            .map(|(peer, _)| *peer);
        worst.is_some_and(|worst| self.targets.remove(&worst).is_some())
    }

    /// Returns the next dial that is due. The caller starts it and reports its outcome under its connection id.
    pub(super) fn next(&mut self, now: Instant) -> Option<DialOpts> {
        if self.room(now).is_none_or(|from| from > now) {
            return None;
        }
        self.next_peer(now).or_else(|| self.next_blind(now))
    }

    fn next_peer(&mut self, now: Instant) -> Option<DialOpts> {
        let (hints_due, paced) = (self.next_hint <= now, self.paced.saturating_duration_since(now) < BURST);
        let probe = self.patience(PROBE, now);
        let (peer, target) = self
            .targets
            .iter_mut()
            .filter(|(_, target)| target.is_wanted() && target.due() <= now)
            .filter(|(_, target)| hints_due || target.standing != Standing::Hint)
            .filter(|(_, target)| paced || !target.is_paced())
            .max_by_key(|(_, target)| (target.standing, Reverse(target.due())))?;
        let addresses = target.choose();
        match target.standing {
            Standing::Hint => self.next_hint = now + HINT_SPACING,
            Standing::Local => {}
            Standing::Member => {
                if target.is_paced() {
                    self.paced = self.paced.max(now) + PACE * u32::try_from(addresses.len()).unwrap_or(u32::MAX);
                }
                target.next = now + target.interval(probe, now, &mut self.random);
            }
        }
        target.attempts = target.attempts.wrapping_add(1);
        target.dialling += 1;
        // With a new port for each dial two nodes that dial each other at once make two connections. Dialling from the
        // port that we listen on would make one broken one of them: TCP's simultaneous open.
        let options =
            DialOpts::peer_id(*peer).condition(PeerCondition::Always).addresses(addresses).allocate_new_port().build();
        self.dials.insert(options.connection_id(), Dial { to: Dialled::Peer(*peer), begun: now });
        Some(options)
    }

    fn next_blind(&mut self, now: Instant) -> Option<DialOpts> {
        let Self { blind, targets, .. } = self;
        let is_connected = |peer: &PeerId| targets.get(peer).is_some_and(|target| target.connected);
        let (at, blind) = blind.iter_mut().enumerate().find(|(_, blind)| {
            !blind.dialling && blind.next <= now && !blind.peer.as_ref().is_some_and(is_connected)
        })?;
        blind.dialling = true;
        let options = DialOpts::unknown_peer_id().address(blind.address.clone()).allocate_new_port().build();
        self.dials.insert(options.connection_id(), Dial { to: Dialled::Blind(at), begun: now });
        Some(options)
    }

    /// When [`Dialler::next`] may have something again; `None` also if that is after a dial has ended.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let room = self.room(now)?;
        let peers = self.targets.values().filter(|target| target.is_wanted()).map(|target| match target.standing {
            Standing::Hint => target.due().max(self.next_hint),
            // The pace is kept in steps, so that many lost members do not wake us for each.
            Standing::Member if target.is_paced() => {
                target.due().max(self.paced.checked_sub(BURST / 2).unwrap_or(self.paced))
            }
            Standing::Local | Standing::Member => target.due(),
        });
        let is_connected = |peer: &PeerId| self.targets.get(peer).is_some_and(|target| target.connected);
        let blind = self
            .blind
            .iter()
            .filter(|blind| !blind.dialling && !blind.peer.as_ref().is_some_and(is_connected))
            .map(|blind| blind.next);
        peers.chain(blind).min().map(|due| due.max(room))
    }

    /// Somebody else answers at this address. It would win every race against the right one, so it goes.
    pub(super) fn forget_address(&mut self, connection: ConnectionId, address: &Multiaddr) {
        let (bare, _) = address::split_peer(address.clone());
        if let Some(Dial { to: Dialled::Peer(peer), .. }) = self.dials.get(&connection)
            && let Some(target) = self.targets.get_mut(peer)
        {
            target.addresses.retain(|known| *known != bare);
        }
    }

    /// A dial failed.
    pub(super) fn failed(&mut self, connection: ConnectionId, now: Instant) {
        let probe = self.patience(PROBE, now);
        match self.dials.remove(&connection).map(|dial| dial.to) {
            Some(Dialled::Peer(peer)) => {
                if let Some(target) = self.targets.get_mut(&peer) {
                    target.dialling -= 1;
                    if target.standing != Standing::Member {
                        target.postpone(now, &mut self.random);
                    }
                }
            }
            Some(Dialled::Blind(at)) => {
                let blind = &mut self.blind[at];
                blind.dialling = false;
                blind.next = now + spread(probe, &mut self.random);
            }
            None => {}
        }
    }

    /// A connection came to be, dialled by either end.
    pub(super) fn connected(&mut self, connection: ConnectionId, peer: PeerId, remote: &Multiaddr, now: Instant) {
        match self.dials.remove(&connection).map(|dial| dial.to) {
            Some(Dialled::Peer(dialled)) => {
                if let Some(target) = self.targets.get_mut(&dialled) {
                    target.dialling -= 1;
                }
            }
            Some(Dialled::Blind(at)) => {
                self.blind[at].dialling = false;
                self.blind[at].peer = Some(peer);
                self.learn(peer, vec![address::split_peer(remote.clone()).0], Standing::Member, now);
            }
            None => {}
        }
        let greeting = self.patience(GREETING, now);
        if let Some(target) = self.targets.get_mut(&peer) {
            target.connected = true;
            target.next = now + greeting;
        }
    }

    /// The hello with this peer succeeded.
    pub(super) fn admitted(&mut self, peer: &PeerId, now: Instant) {
        let probe = self.patience(PROBE, now);
        let Some(target) = self.targets.get_mut(peer) else {
            return;
        };
        target.connected = true;
        target.standing = Standing::Member;
        target.failures = 0;
        target.next = now + GREETING;
        if target.admitted.is_none() {
            target.admitted = Some(now);
            // Only once a connection: it must not be worth a peer's while to come again and again. And of many that come
            // back together not for each.
            let is_first = self.retried.is_none_or(|retried| retried + probe <= now);
            if std::mem::take(&mut target.attempts) > 1 && is_first {
                self.retried = Some(now);
                self.retry(now);
            }
        }
    }

    /// The last connection to this peer closed.
    pub(super) fn disconnected(&mut self, peer: &PeerId, now: Instant) {
        let later = *peer < self.me;
        let Some(target) = self.targets.get_mut(peer) else {
            return;
        };
        target.connected = false;
        target.doubted = false;
        match target.admitted.take() {
            Some(since) => {
                target.failures = 0;
                target.attempts = 0;
                target.lost = now;
                // Both ends notice at once. When they do not dial at the same moment, one connection comes of it.
                let wait = if later { Duration::from_millis(200) } else { Duration::ZERO };
                target.next = now + if now - since >= GOOD { wait } else { spread(PROBE, &mut self.random) + wait };
            }
            None => target.postpone(now, &mut self.random),
        }
    }

    /// How often dials and connections failed since this peer was last well.
    pub(super) fn failures(&self, peer: &PeerId) -> u32 {
        self.targets.get(peer).map_or(0, |target| target.failures)
    }

    /// Leaves a peer alone until then.
    pub(super) fn banish(&mut self, peer: &PeerId, until: Instant) {
        if let Some(target) = self.targets.get_mut(peer) {
            target.admitted = None;
            target.quiet = until;
        }
    }
}

impl Target {
    fn is_wanted(&self) -> bool {
        let is_member = self.standing == Standing::Member;
        let is_settled = self.connected && !(is_member && (self.doubted || self.admitted.is_none()));
        let overlap = if is_member { MAX_OVERLAP } else { 1 };
        !is_settled && self.dialling < overlap && !self.addresses.is_empty()
    }

    /// Whether another attempt has to keep to the pace.
    fn is_paced(&self) -> bool {
        self.standing == Standing::Member && self.attempts > 0
    }

    fn is_long_lost(&self, now: Instant) -> bool {
        !self.connected && now.saturating_duration_since(self.lost) >= LONG_LOST
    }

    /// How long after this attempt of a member the next one follows.
    fn interval(&self, probe: Duration, now: Instant, random: &mut u64) -> Duration {
        if self.is_quic() {
            // It takes no turn of TCP's.
            return Duration::ZERO;
        }
        spread(if self.is_long_lost(now) { PROBE_LONG_LOST } else { probe }, random)
    }

    fn is_quic(&self) -> bool {
        self.attempts % QUIC_EVERY == 1 && self.addresses.iter().any(|address| !address::is_tcp(address))
    }

    fn due(&self) -> Instant {
        self.next.max(self.quiet)
    }

    /// Postpones the next dial after a failure.
    fn postpone(&mut self, now: Instant, random: &mut u64) {
        self.failures = self.failures.saturating_add(1);
        self.next = now + delay(self.standing, self.failures, random);
    }

    /// TCP, for it is three times as fast here, and QUIC now and then; everything first, then a few addresses at a time.
    fn choose(&self) -> Vec<Multiaddr> {
        let tcp = !self.is_quic();
        let mut chosen: Vec<Multiaddr> =
            self.addresses.iter().filter(|address| address::is_tcp(address) == tcp).cloned().collect();
        if chosen.is_empty() {
            chosen.clone_from(&self.addresses);
        }
        if self.attempts > 0 {
            let turn = self.attempts as usize % chosen.len().div_ceil(MAX_AT_ONCE);
            chosen = chosen.into_iter().skip(turn * MAX_AT_ONCE).take(MAX_AT_ONCE).collect();
        }
        chosen
    }
}

/// Doubles from the first delay to the longest.
fn delay(standing: Standing, failures: u32, random: &mut u64) -> Duration {
    let (first, longest) = standing.delays();
    spread(first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest), random)
}

/// Gives or takes a fifth, so that nodes do not stay in step.
fn spread(delay: Duration, random: &mut u64) -> Duration {
    // Steele, Lea, Flood: Fast splittable pseudorandom number generators (SplitMix64).
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *random;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    delay.mul_f64(0.8 + 0.4 * f64::from((mixed >> 32) as u32) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
