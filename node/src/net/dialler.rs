//! The dialler: the one place that decides whom to dial, where and when.
//!
//! It is a pure machine: the worker tells it what it learnt and what became of its dials, asks [`Dialler::next`] until
//! that has nothing more, and comes back at [`Dialler::deadline`]. Time comes in as an argument.
//!
//! Members are dialled for ever, with delays from a quarter of a second to half a minute; what was only heard of on the
//! local network is dialled a few times a second at most and, when its hello fails, left alone for up to ten minutes.
//! Invariants: a peer that is connected is not dialled; at most [`MAX_DIALS`] dials are under way.

use std::collections::BTreeMap;
use std::time::Duration;

use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use super::address;

/// Most dials at one time.
const MAX_DIALS: usize = 8;
/// Most addresses that are kept for one peer.
const MAX_ADDRESSES: usize = 16;
/// Most peers that are kept without being members.
const MAX_HINTS: usize = 256;
/// Least time between two dials of peers that are only heard of.
const HINT_SPACING: Duration = Duration::from_millis(250);
/// How long a peer is left alone after [`Dialler::banish`].
const BANISHED: Duration = Duration::from_secs(15);
/// How long after a new address of a member was learnt it is tried at the latest.
const MOVED: Duration = Duration::from_secs(1);
/// A connection that lasted so long was a good one: the next dial need not wait.
const GOOD: Duration = Duration::from_secs(5);

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
    failures: u32,
    next: Instant,
    /// Left alone until then, whatever is learnt.
    quiet: Instant,
    dialling: bool,
    connected: bool,
    admitted: Option<Instant>,
}

/// An address whose peer is not known until it answers.
#[derive(Debug)]
struct Blind {
    address: Multiaddr,
    peer: Option<PeerId>,
    failures: u32,
    next: Instant,
    dialling: bool,
}

#[derive(Debug)]
enum Dial {
    Peer(PeerId),
    Blind(usize),
}

/// The machine.
#[derive(Debug)]
pub(super) struct Dialler {
    me: PeerId,
    targets: BTreeMap<PeerId, Target>,
    blind: Vec<Blind>,
    dials: BTreeMap<ConnectionId, Dial>,
    next_hint: Instant,
    random: u64,
}

impl Dialler {
    /// Makes the dialler of `me`; `random` spreads the delays.
    pub(super) fn new(me: PeerId, random: u64, now: Instant) -> Self {
        Self { me, targets: BTreeMap::new(), blind: Vec::new(), dials: BTreeMap::new(), next_hint: now, random }
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
            next: now,
            quiet: now,
            dialling: false,
            connected: false,
            admitted: None,
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
            None => self.blind.push(Blind { address: bare, peer: None, failures: 0, next: now, dialling: false }),
        }
    }

    /// The peer is up again: dial it soon.
    pub(super) fn renew(&mut self, peer: &PeerId, now: Instant) {
        if let Some(target) = self.targets.get_mut(peer).filter(|target| target.failures > 0) {
            target.failures = 0;
            target.next = target.next.min(now + target.standing.delays().0);
        }
    }

    /// What was heard of this peer no longer holds.
    pub(super) fn forget_hint(&mut self, peer: &PeerId) {
        let is_hint = |target: &Target| target.standing != Standing::Member && !target.connected && !target.dialling;
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
            .filter(|(_, target)| !target.connected && !target.dialling && target.failures > 0)
            .max_by_key(|(_, target)| target.failures)
            .map(|(peer, _)| *peer);
        worst.is_some_and(|worst| self.targets.remove(&worst).is_some())
    }

    /// Returns the next dial that is due. The caller starts it and reports its outcome under its connection id.
    pub(super) fn next(&mut self, now: Instant) -> Option<DialOpts> {
        if self.dials.len() >= MAX_DIALS {
            return None;
        }
        self.next_peer(now).or_else(|| self.next_blind(now))
    }

    fn next_peer(&mut self, now: Instant) -> Option<DialOpts> {
        let hints_due = self.next_hint <= now;
        let (peer, target) = self
            .targets
            .iter_mut()
            .filter(|(_, target)| target.is_idle() && target.due() <= now)
            .filter(|(_, target)| hints_due || target.standing != Standing::Hint)
            .max_by_key(|(_, target)| target.standing)?;
        if target.standing == Standing::Hint {
            self.next_hint = now + HINT_SPACING;
        }
        target.dialling = true;
        // With a new port for each dial two nodes that dial each other at once make two connections. Dialling from the
        // port that we listen on would make one broken one of them: TCP's simultaneous open.
        let options = DialOpts::peer_id(*peer)
            .condition(PeerCondition::Always)
            .addresses(target.choose())
            .allocate_new_port()
            .build();
        self.dials.insert(options.connection_id(), Dial::Peer(*peer));
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
        self.dials.insert(options.connection_id(), Dial::Blind(at));
        Some(options)
    }

    /// When [`Dialler::next`] may have something again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.dials.len() >= MAX_DIALS {
            return None;
        }
        let peers = self.targets.values().filter(|target| target.is_idle()).map(|target| match target.standing {
            Standing::Hint => target.due().max(self.next_hint),
            Standing::Local | Standing::Member => target.due(),
        });
        let is_connected = |peer: &PeerId| self.targets.get(peer).is_some_and(|target| target.connected);
        let blind = self
            .blind
            .iter()
            .filter(|blind| !blind.dialling && !blind.peer.as_ref().is_some_and(is_connected))
            .map(|blind| blind.next);
        peers.chain(blind).min()
    }

    /// Somebody else answers at this address. It would win every race against the right one, so it goes.
    pub(super) fn forget_address(&mut self, connection: ConnectionId, address: &Multiaddr) {
        let (bare, _) = address::split_peer(address.clone());
        if let Some(Dial::Peer(peer)) = self.dials.get(&connection)
            && let Some(target) = self.targets.get_mut(peer)
        {
            target.addresses.retain(|known| *known != bare);
        }
    }

    /// A dial failed.
    pub(super) fn failed(&mut self, connection: ConnectionId, now: Instant) {
        match self.dials.remove(&connection) {
            Some(Dial::Peer(peer)) => {
                if let Some(target) = self.targets.get_mut(&peer) {
                    target.dialling = false;
                    target.postpone(now, &mut self.random);
                }
            }
            Some(Dial::Blind(at)) => {
                let blind = &mut self.blind[at];
                blind.dialling = false;
                blind.failures = blind.failures.saturating_add(1);
                blind.next = now + delay(Standing::Member, blind.failures, &mut self.random);
            }
            None => {}
        }
    }

    /// A connection came to be, dialled by either end.
    pub(super) fn connected(&mut self, connection: ConnectionId, peer: PeerId, remote: &Multiaddr, now: Instant) {
        match self.dials.remove(&connection) {
            Some(Dial::Peer(dialled)) => {
                if let Some(target) = self.targets.get_mut(&dialled) {
                    target.dialling = false;
                }
            }
            Some(Dial::Blind(at)) => {
                self.blind[at].dialling = false;
                self.blind[at].peer = Some(peer);
                self.learn(peer, vec![address::split_peer(remote.clone()).0], Standing::Member, now);
            }
            None => {}
        }
        if let Some(target) = self.targets.get_mut(&peer) {
            target.connected = true;
        }
    }

    /// The hello with this peer succeeded.
    pub(super) fn admitted(&mut self, peer: &PeerId, now: Instant) {
        if let Some(target) = self.targets.get_mut(peer) {
            target.connected = true;
            target.standing = Standing::Member;
            target.admitted.get_or_insert(now);
        }
    }

    /// The last connection to this peer closed.
    pub(super) fn disconnected(&mut self, peer: &PeerId, now: Instant) {
        let later = *peer < self.me;
        let Some(target) = self.targets.get_mut(peer) else {
            return;
        };
        target.connected = false;
        if target.admitted.take().is_some_and(|since| now - since >= GOOD) {
            target.failures = 0;
            // Both ends notice at once. When they do not dial at the same moment, one connection comes of it.
            let wait = if later { Duration::from_millis(200) } else { Duration::ZERO };
            target.next = now + wait;
        } else {
            target.postpone(now, &mut self.random);
        }
    }

    /// How often dials and connections failed since this peer was last well.
    pub(super) fn failures(&self, peer: &PeerId) -> u32 {
        self.targets.get(peer).map_or(0, |target| target.failures)
    }

    /// Leaves a peer alone for a while.
    pub(super) fn banish(&mut self, peer: &PeerId, now: Instant) {
        if let Some(target) = self.targets.get_mut(peer) {
            target.admitted = None;
            target.quiet = now + BANISHED;
        }
    }
}

impl Target {
    fn is_idle(&self) -> bool {
        !self.connected && !self.dialling && !self.addresses.is_empty()
    }

    fn due(&self) -> Instant {
        self.next.max(self.quiet)
    }

    /// Postpones the next dial after a failure.
    fn postpone(&mut self, now: Instant, random: &mut u64) {
        self.failures = self.failures.saturating_add(1);
        self.next = now + delay(self.standing, self.failures, random);
    }

    /// TCP first, for it is three times as fast here; QUIC every other time, for where TCP does not get through.
    fn choose(&self) -> Vec<Multiaddr> {
        let wants_tcp = self.failures.is_multiple_of(2);
        let chosen: Vec<Multiaddr> =
            self.addresses.iter().filter(|address| address::is_tcp(address) == wants_tcp).cloned().collect();
        if chosen.is_empty() { self.addresses.clone() } else { chosen }
    }
}

/// Doubles from the first delay to the longest, give or take a fifth so that nodes do not stay in step.
fn delay(standing: Standing, failures: u32, random: &mut u64) -> Duration {
    let (first, longest) = standing.delays();
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
    // Steele, Lea, Flood: Fast splittable pseudorandom number generators (SplitMix64).
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *random;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    doubled.mul_f64(0.8 + 0.4 * f64::from((mixed >> 32) as u32) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
    }

    fn dialler() -> (Dialler, Instant) {
        let now = Instant::now();
        (Dialler::new(PeerId::random(), 1, now), now)
    }

    #[test]
    fn a_failing_member_is_dialled_ever_more_seldom_but_for_ever() {
        let (mut dialler, mut now) = dialler();
        dialler.learn(PeerId::random(), vec![address(1)], Standing::Member, now);
        let mut waits = Vec::new();
        for _ in 0..20 {
            let dial = dialler.next(now).unwrap();
            assert!(dialler.next(now).is_none());
            dialler.failed(dial.connection_id(), now);
            let due = dialler.deadline().unwrap();
            waits.push(due - now);
            now = due;
        }
        assert!(waits[0] <= Duration::from_millis(300) && waits[0] >= Duration::from_millis(200));
        assert!(waits[19] <= Duration::from_secs(10) && waits[19] >= Duration::from_secs(6));
    }

    #[test]
    fn a_connected_peer_is_not_dialled_and_a_lost_one_is_at_once() {
        let (mut dialler, now) = dialler();
        let peer = PeerId::random();
        dialler.learn(peer, vec![address(1)], Standing::Member, now);
        dialler.connected(ConnectionId::new_unchecked(9), peer, &address(1), now);
        dialler.admitted(&peer, now);
        assert!(dialler.next(now).is_none() && dialler.deadline().is_none());
        let later = now + Duration::from_secs(60);
        dialler.disconnected(&peer, later);
        assert!(dialler.deadline().unwrap() <= later + Duration::from_millis(200));
    }

    #[test]
    fn strangers_on_the_network_are_dialled_slowly_and_members_are_not_held_up_by_them() {
        let (mut dialler, now) = dialler();
        for port in 1..1000 {
            dialler.learn(PeerId::random(), vec![address(port)], Standing::Hint, now);
        }
        assert_eq!(dialler.targets.len(), MAX_HINTS);
        assert!(dialler.next(now).is_some());
        assert!(dialler.next(now).is_none());
        dialler.learn(PeerId::random(), vec![address(1)], Standing::Member, now);
        assert!(dialler.next(now).is_some());
        assert_eq!(dialler.deadline(), Some(now + HINT_SPACING));
    }

    #[test]
    fn at_most_eight_dials_are_under_way() {
        let (mut dialler, now) = dialler();
        for port in 1..20 {
            dialler.learn(PeerId::random(), vec![address(port)], Standing::Member, now);
        }
        assert_eq!(std::iter::from_fn(|| dialler.next(now)).count(), MAX_DIALS);
        assert_eq!(dialler.deadline(), None);
    }

    #[test]
    fn hearsay_does_not_push_out_where_a_member_was_found() {
        let (mut dialler, now) = dialler();
        let peer = PeerId::random();
        dialler.learn(peer, vec![address(1)], Standing::Member, now);
        let false_ones = |from: u16| (from..from + 20).map(address).collect();
        dialler.learn(peer, false_ones(100), Standing::Hint, now);
        dialler.learn(peer, false_ones(200), Standing::Hint, now);
        let known = &dialler.targets[&peer].addresses;
        assert!(known.contains(&address(1)) && known.contains(&address(200)));
        assert_eq!(known.len(), MAX_ADDRESSES);
        dialler.learn(peer, vec![address(2)], Standing::Member, now);
        assert_eq!(dialler.targets[&peer].addresses[0], address(2));
    }

    #[test]
    fn a_banished_peer_is_left_alone_even_if_heard_of_again() {
        let (mut dialler, now) = dialler();
        let peer = PeerId::random();
        dialler.learn(peer, vec![address(1)], Standing::Member, now);
        dialler.banish(&peer, now);
        dialler.disconnected(&peer, now);
        dialler.learn(peer, vec![address(2)], Standing::Local, now);
        assert_eq!(dialler.deadline(), Some(now + BANISHED));
    }
}
