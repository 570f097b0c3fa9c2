//! How peers behave, and what follows: how much of each is looked at, and for how long one that broke the rules is kept
//! out.
//!
//! Everybody has an allowance. What a member sends beyond it is not refused but read later, so it waits at its own
//! end and holds up nobody else; gossip beyond it is dropped, because sync mends that. Entries cost what their checks
//! cost, which differs from machine to machine and with what else there is to do: a member that sends many for long is
//! therefore held to a share of this node's time, by [`pause`]. Whoever breaks the rules is cut off, and for twice as
//! long each time. A pure machine: time comes in as an argument.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libp2p::PeerId;
use tokio::time::Instant;

/// How long a peer is kept out after its first offence.
const FIRST: Duration = Duration::from_secs(15);
/// The longest that a peer is kept out.
const LONGEST: Duration = Duration::from_secs(3600);
/// After how much good conduct one offence is forgotten.
const FORGIVEN: Duration = Duration::from_secs(3600);
/// Most peers that are remembered.
const MAX_PEERS: usize = 4096;

/// A rate with room for bursts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) burst: f64,
    pub(super) per_second: f64,
}

/// What a member may send unasked on its sync stream. One is about one entry.
const PUSHED: Rate = Rate { burst: 20_000.0, per_second: 1_200.0 };
/// What a member may send unasked before the time that it takes is looked at.
const LIGHT: Rate = Rate { burst: 10_000.0, per_second: 200.0 };
/// What a member may send of what it was asked for: enough for years of an ordinary mesh at full speed.
const ASKED: Rate = Rate { burst: 200_000.0, per_second: 5_000.0 };
/// Bytes that are sent to a member because it asked for entries: enough for years of an ordinary mesh at full speed.
const SERVED: Rate = Rate { burst: 64.0 * 1024.0 * 1024.0, per_second: 512.0 * 1024.0 };
/// How many times as long as its frames take a member waits that has pushed much: it gets one part in 50 of our time.
const PUSHED_PAUSE: u32 = 49;
/// The same of what it was asked for: one part in 5, so that who is new still gets a long history soon.
const ASKED_PAUSE: u32 = 4;
/// The longest pause at once: a peer that is asked has 5 s for the next part of its answer.
const AT_ONCE: Duration = Duration::from_secs(2);
/// The longest pause for one entry, so that a slow machine makes nobody wait for ever.
const LONGEST_PAUSE: Duration = Duration::from_millis(40);
/// Gossip of one peer, its own and what it passes on. One is about one entry.
const GOSSIP: Rate = Rate { burst: 20_000.0, per_second: 1_000.0 };
/// Words of one peer about what it subscribes to, one subscribes to one topic. More is an offence.
const SUBSCRIPTIONS: Rate = Rate { burst: 200.0, per_second: 1.0 };
/// Connections of one peer.
const CONNECTIONS: Rate = Rate { burst: 40.0, per_second: 1.0 };
/// Streams of one peer that have no use.
const NEEDLESS: Rate = Rate { burst: 32.0, per_second: 0.1 };

/// How much of a [`Rate`] is left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    at: Instant,
    left: f64,
}

impl Bucket {
    pub(super) fn full(rate: Rate, now: Instant) -> Self {
        Self { at: now, left: rate.burst }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * rate.per_second;
        self.left = (self.left + gained).min(rate.burst);
        self.at = now;
    }

    /// Takes `cost`, if there is as much.
    pub(super) fn take(&mut self, rate: Rate, cost: f64, now: Instant) -> bool {
        self.fill(rate, now);
        let enough = self.left >= cost;
        if enough {
            self.left -= cost;
        }
        enough
    }

    /// Takes `cost` in any case and returns how long to wait until that was no debt.
    fn charge(&mut self, rate: Rate, cost: f64, now: Instant) -> Duration {
        self.fill(rate, now);
        self.left -= cost;
        Duration::from_secs_f64((-self.left / rate.per_second).max(0.0))
    }

    /// Gives back `cost`.
    pub(super) fn give(&mut self, rate: Rate, cost: f64) {
        self.left = (self.left + cost).min(rate.burst);
    }
}

/// What follows from a frame that was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Charge {
    /// How long the next frame is left unread.
    pub(super) wait: Duration,
    /// For how many times as long as its entries take its sender is to [`pause`].
    pub(super) paced: Option<u32>,
}

/// How long a member waits whose frame of about so many entries took us this long.
pub(super) fn pause(took: Duration, times: u32, entries: f64) -> Duration {
    took.saturating_mul(times).min(LONGEST_PAUSE.mul_f64(entries)).min(AT_ONCE)
}

/// About how many entries a frame of so many bytes holds.
pub(super) fn entries(bytes: usize) -> f64 {
    (bytes as f64 / 400.0).max(1.0)
}

#[derive(Debug)]
struct Buckets {
    pushed: Bucket,
    light: Bucket,
    asked: Bucket,
    served: Bucket,
}

/// What a member may send and ask for on its sync streams. All its sessions share one, so a new one gives it nothing.
#[derive(Debug, Clone)]
pub(super) struct Allowance(Arc<Mutex<Buckets>>);

impl Allowance {
    fn new(now: Instant) -> Self {
        let [pushed, light, asked, served] = [PUSHED, LIGHT, ASKED, SERVED].map(|rate| Bucket::full(rate, now));
        Self(Arc::new(Mutex::new(Buckets { pushed, light, asked, served })))
    }

    fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Charges for a frame that was read.
    pub(super) fn charge(&self, frame: &[u8], now: Instant) -> Charge {
        let mut buckets = self.lock();
        let Buckets { pushed, light, asked, served } = &mut *buckets;
        let entries = entries(frame.len());
        let (wait, paced) = match frame.first() {
            Some(&fedp2p_protocols::sync::OPS) => {
                let wait = asked.charge(ASKED, entries, now);
                (wait, (!wait.is_zero()).then_some(ASKED_PAUSE))
            }
            // A digest is answered with all heads that we hold, a request with a read from the disk.
            Some(&fedp2p_protocols::sync::DIGEST) => (pushed.charge(PUSHED, 2.0, now), None),
            Some(&fedp2p_protocols::sync::WANT) => (pushed.charge(PUSHED, 10.0 + entries, now), None),
            Some(&fedp2p_protocols::sync::PUSH) => {
                let heavy = !light.charge(LIGHT, entries, now).is_zero();
                (pushed.charge(PUSHED, entries, now), heavy.then_some(PUSHED_PAUSE))
            }
            Some(_) | None => (pushed.charge(PUSHED, entries, now), None),
        };
        let wait = wait.max(served.charge(SERVED, 0.0, now));
        Charge { wait, paced }
    }

    /// Charges for a frame that goes to the member: what it asked for costs us to read and to send, and if that was too
    /// much it is not listened to for a while.
    pub(super) fn serve(&self, frame: &[u8], now: Instant) {
        if matches!(frame.first(), Some(&fedp2p_protocols::sync::OPS | &fedp2p_protocols::sync::HAVE)) {
            self.lock().served.charge(SERVED, frame.len() as f64, now);
        }
    }
}

#[derive(Debug)]
struct Record {
    offences: u32,
    until: Instant,
    allowance: Allowance,
    gossip: Bucket,
    subscriptions: Bucket,
    connections: Bucket,
    needless: Bucket,
}

impl Record {
    fn new(now: Instant) -> Self {
        Self {
            offences: 0,
            until: now,
            allowance: Allowance::new(now),
            gossip: Bucket::full(GOSSIP, now),
            subscriptions: Bucket::full(SUBSCRIPTIONS, now),
            connections: Bucket::full(CONNECTIONS, now),
            needless: Bucket::full(NEEDLESS, now),
        }
    }
}

/// The records of all peers.
#[derive(Debug, Default)]
pub(super) struct Conduct {
    peers: BTreeMap<PeerId, Record>,
}

impl Conduct {
    fn record(&mut self, peer: &PeerId, now: Instant) -> &mut Record {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(peer) {
            // Whoever comes back with a new key gains nothing by pushing out one that is kept out the longest.
            let gone =
                self.peers.iter().min_by_key(|(_, record)| (record.until, record.gossip.at)).map(|(peer, _)| *peer);
            gone.and_then(|gone| self.peers.remove(&gone));
        }
        self.peers.entry(*peer).or_insert_with(|| Record::new(now))
    }

    /// A peer broke the rules. Returns until when it is kept out.
    pub(super) fn offend(&mut self, peer: &PeerId, now: Instant) -> Instant {
        let record = self.record(peer, now);
        let good = now.saturating_duration_since(record.until).as_secs() / FORGIVEN.as_secs();
        record.offences = record.offences.saturating_sub(u32::try_from(good).unwrap_or(u32::MAX)).saturating_add(1);
        let out = FIRST.saturating_mul(1 << (record.offences - 1).min(16)).min(LONGEST);
        record.until = record.until.max(now + out);
        record.until
    }

    /// Whether a peer is kept out.
    pub(super) fn is_out(&self, peer: &PeerId, now: Instant) -> bool {
        self.peers.get(peer).is_some_and(|record| now < record.until)
    }

    /// Whether a peer may make another connection now.
    pub(super) fn may_connect(&mut self, peer: &PeerId, now: Instant) -> bool {
        !self.is_out(peer, now) && self.record(peer, now).connections.take(CONNECTIONS, 1.0, now)
    }

    /// What a peer may send on its sync streams.
    pub(super) fn allowance(&mut self, peer: &PeerId, now: Instant) -> Allowance {
        self.record(peer, now).allowance.clone()
    }

    /// Whether a gossip message of so many bytes is looked at. Else it is dropped, and no more: it may be others' that this
    /// peer passes on.
    pub(super) fn gossip(&mut self, peer: &PeerId, bytes: usize, now: Instant) -> bool {
        self.record(peer, now).gossip.take(GOSSIP, entries(bytes), now)
    }

    /// A peer says what it subscribes to. Returns whether that was one word too many.
    pub(super) fn subscription(&mut self, peer: &PeerId, now: Instant) -> bool {
        !self.record(peer, now).subscriptions.take(SUBSCRIPTIONS, 1.0, now)
    }

    /// A peer opened a stream that has no use. Returns whether it was one too many.
    pub(super) fn needless(&mut self, peer: &PeerId, now: Instant) -> bool {
        !self.record(peer, now).needless.take(NEEDLESS, 1.0, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conduct() -> (Conduct, PeerId, Instant) {
        (Conduct::default(), PeerId::random(), Instant::now())
    }

    /// How many such frames are read before one has to wait.
    fn free(allowance: &Allowance, frame: &[u8], now: Instant) -> usize {
        std::iter::repeat_with(|| allowance.charge(frame, now)).take_while(|charge| charge.wait.is_zero()).count()
    }

    #[test]
    fn each_offence_keeps_a_peer_out_for_twice_as_long_up_to_an_hour() {
        let (mut conduct, peer, mut now) = conduct();
        let mut out = Vec::new();
        for _ in 0..12 {
            let until = conduct.offend(&peer, now);
            assert!(conduct.is_out(&peer, now) && !conduct.may_connect(&peer, until - Duration::from_millis(1)));
            assert!(!conduct.is_out(&peer, until) && conduct.may_connect(&peer, until));
            out.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(out[..4], [15, 30, 60, 120]);
        assert_eq!(out[11], 3600);
        assert!(!conduct.is_out(&PeerId::random(), now));
    }

    #[test]
    fn good_conduct_is_rewarded_hour_by_hour() {
        let (mut conduct, peer, now) = conduct();
        conduct.offend(&peer, now);
        let until = conduct.offend(&peer, now);
        let later = until + FORGIVEN * 3;
        assert_eq!(conduct.offend(&peer, later) - later, FIRST);
    }

    #[test]
    fn what_is_pushed_beyond_the_allowance_waits_and_a_new_session_gives_no_more() {
        let (mut conduct, peer, now) = conduct();
        let frame = [&[fedp2p_protocols::sync::PUSH][..], &[0; 300]].concat();
        let allowance = conduct.allowance(&peer, now);
        assert_eq!(free(&allowance, &frame, now), 20_000);
        let again = conduct.allowance(&peer, now);
        assert!(again.charge(&frame, now).wait > Duration::ZERO);
        // It goes on at its rate, and others are not held up.
        let count = free(&again, &frame, now + Duration::from_secs(1));
        assert!((1190..=1200).contains(&count), "{count}");
        assert_eq!(conduct.allowance(&PeerId::random(), now).charge(&frame, now).wait, Duration::ZERO);
    }

    #[test]
    fn what_was_asked_for_comes_at_full_speed_when_others_are_throttled() {
        let (mut conduct, peer, now) = conduct();
        let allowance = conduct.allowance(&peer, now);
        let frame = vec![fedp2p_protocols::sync::OPS; 60_000];
        let count = free(&allowance, &frame, now);
        assert!(count > 1000, "{count} frames of 60,000 bytes");
    }

    #[test]
    fn who_pushes_many_for_long_gets_a_part_of_the_time_and_who_pushes_few_is_not_slowed() {
        let (mut conduct, peer, now) = conduct();
        let frame = [&[fedp2p_protocols::sync::PUSH][..], &[0; 300]].concat();
        let allowance = conduct.allowance(&peer, now);
        let unpaced =
            std::iter::repeat_with(|| allowance.charge(&frame, now)).take_while(|charge| charge.paced.is_none());
        assert_eq!(unpaced.count(), 10_000);
        let other = conduct.allowance(&PeerId::random(), now);
        for step in 0..10_000 {
            let charge = other.charge(&frame, now + Duration::from_millis(2) * step);
            assert_eq!(charge, Charge { wait: Duration::ZERO, paced: None });
        }
        assert_eq!(pause(Duration::from_micros(100), 49, 2.0), Duration::from_micros(4900));
        assert_eq!(pause(Duration::from_secs(1), 49, 2.0), Duration::from_millis(80));
    }

    #[test]
    fn who_asks_for_too_much_is_not_listened_to_for_a_while() {
        let (mut conduct, peer, now) = conduct();
        let allowance = conduct.allowance(&peer, now);
        let (window, want) = (vec![fedp2p_protocols::sync::OPS; 1024 * 1024], [fedp2p_protocols::sync::WANT, 0]);
        for _ in 0..64 {
            allowance.serve(&window, now);
        }
        assert_eq!(allowance.charge(&want, now).wait, Duration::ZERO);
        allowance.serve(&window[..512 * 1024], now);
        assert_eq!(allowance.charge(&want, now).wait, Duration::from_secs(1));
        assert_eq!(allowance.charge(&want, now + Duration::from_secs(1)).wait, Duration::ZERO);
    }

    #[test]
    fn a_flood_of_gossip_is_dropped_by_its_size_and_one_of_subscriptions_is_an_offence() {
        let (mut conduct, peer, now) = conduct();
        assert!((0..20_000).all(|_| conduct.gossip(&peer, 300, now)));
        assert!(!conduct.gossip(&peer, 300, now));
        assert!(conduct.gossip(&PeerId::random(), 300, now));
        let other = PeerId::random();
        assert_eq!((0..1000).filter(|_| conduct.gossip(&other, 40_000, now)).count(), 200);
        assert_eq!((0..1000).filter(|_| !conduct.subscription(&peer, now)).count(), 200);
    }

    #[test]
    fn connections_and_needless_streams_are_counted_per_peer() {
        let (mut conduct, peer, now) = conduct();
        assert_eq!((0..100).filter(|_| conduct.may_connect(&peer, now)).count(), 40);
        assert!(conduct.may_connect(&peer, now + Duration::from_secs(2)));
        assert!(conduct.may_connect(&PeerId::random(), now));
        assert_eq!((0..100).filter(|_| !conduct.needless(&peer, now)).count(), 32);
    }

    #[test]
    fn new_keys_do_not_make_a_node_forget_whom_it_keeps_out() {
        let (mut conduct, peer, now) = conduct();
        conduct.offend(&peer, now);
        for _ in 0..MAX_PEERS + 10 {
            conduct.may_connect(&PeerId::random(), now);
        }
        assert!(conduct.is_out(&peer, now));
        assert!(conduct.peers.len() <= MAX_PEERS);
    }
}
