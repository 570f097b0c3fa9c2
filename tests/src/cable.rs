//! What a cable does to frames: a pure machine with a seed, so that the same frames have the same fate each time.
//!
//! Called by [`switch`](crate::switch), once for each frame and direction. Time comes in as an argument, in
//! nanoseconds since any moment. Frames of one direction never overtake each other.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// How long a frame may wait for its turn on a narrow cable before there is no room for it, as in a switch's queue.
const LONGEST_QUEUE: Duration = Duration::from_secs(1);

/// How one direction of a cable is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Conditions {
    /// Nothing passes.
    pub cut: bool,
    /// Share of frames that are lost, 0 to 1.
    pub loss: f64,
    /// Share of frames that arrive twice, 0 to 1.
    pub duplication: f64,
    /// How long each frame takes at least.
    pub delay: Duration,
    /// How much longer it may take, evenly spread.
    pub jitter: Duration,
    /// How much passes; everything if absent.
    pub bits_per_second: Option<u64>,
}

impl Conditions {
    /// A cable that loses this share of frames.
    pub fn loss(share: f64) -> Self {
        Self { loss: share, ..Self::default() }
    }

    /// A cable on which each frame takes this long, and up to `jitter` longer.
    pub fn delay(delay: Duration, jitter: Duration) -> Self {
        Self { delay, jitter, ..Self::default() }
    }

    /// A cable of this width.
    pub fn bandwidth(bits_per_second: u64) -> Self {
        Self { bits_per_second: Some(bits_per_second), ..Self::default() }
    }

    /// A cable through which nothing comes.
    pub fn cut() -> Self {
        Self { cut: true, ..Self::default() }
    }
}

/// What became of the frames of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Frames that went in.
    pub sent: u64,
    /// Frames that were lost: by chance, in a cut, or because the queue was full.
    pub lost: u64,
    /// Frames that arrived twice.
    pub doubled: u64,
}

/// One direction of a cable.
#[derive(Debug)]
pub struct Way {
    conditions: Conditions,
    random: ChaCha8Rng,
    /// When the last frame has left the narrow end.
    free_at: u64,
    /// When the last frame arrives.
    last: u64,
    counts: Counts,
}

impl Way {
    /// Makes a direction without any fault.
    pub fn new(seed: u64) -> Self {
        let random = ChaCha8Rng::seed_from_u64(seed);
        Self { conditions: Conditions::default(), random, free_at: 0, last: 0, counts: Counts::default() }
    }

    /// Changes how it is from now on.
    pub fn set(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// How it is.
    pub fn conditions(&self) -> Conditions {
        self.conditions
    }

    /// What became of the frames so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes a frame of so many bytes and returns when it arrives, as often as it does.
    pub fn pass(&mut self, bytes: usize, now: u64) -> impl Iterator<Item = u64> + use<> {
        let conditions = self.conditions;
        // Always as many, so that the fate of a frame depends on nothing but its number.
        let [loss, doubling, jitter] = [0; 3].map(|_| self.random.next_u32());
        let chance = |drawn: u32, share: f64| f64::from(drawn) < share * (f64::from(u32::MAX) + 1.0);
        self.counts.sent += 1;
        let begins = self.free_at.max(now);
        if conditions.cut || chance(loss, conditions.loss) || begins - now > nanoseconds(LONGEST_QUEUE) {
            self.counts.lost += 1;
            return std::iter::repeat_n(0, 0);
        }
        let takes = conditions.bits_per_second.map_or(0, |rate| bytes as u64 * 8_000_000_000 / rate.max(1));
        self.free_at = begins + takes;
        let more = conditions.jitter.mul_f64(f64::from(jitter) / f64::from(u32::MAX));
        self.last = self.last.max(self.free_at + nanoseconds(conditions.delay + more));
        let doubled = chance(doubling, conditions.duplication);
        self.counts.doubled += u64::from(doubled);
        std::iter::repeat_n(self.last, if doubled { 2 } else { 1 })
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1_000_000;

    fn fates(seed: u64, conditions: Conditions) -> (Vec<Vec<u64>>, Counts) {
        let mut way = Way::new(seed);
        way.set(conditions);
        let fates = (0..1_000).map(|number| way.pass(1_000, number * MILLISECOND).collect()).collect();
        (fates, way.counts())
    }

    #[test]
    fn a_good_cable_passes_every_frame_at_once() {
        let (fates, counts) = fates(1, Conditions::default());
        assert!(fates.iter().enumerate().all(|(number, fate)| *fate == [number as u64 * MILLISECOND]));
        assert_eq!(counts, Counts { sent: 1_000, lost: 0, doubled: 0 });
    }

    #[test]
    fn loss_and_doubling_follow_from_the_seed_and_are_as_frequent_as_asked() {
        let conditions = Conditions { loss: 0.2, duplication: 0.1, ..Conditions::default() };
        let (first, counts) = fates(7, conditions);
        assert_eq!(first, fates(7, conditions).0);
        assert_ne!(first, fates(8, conditions).0);
        assert!((170..230).contains(&counts.lost) && (60..100).contains(&counts.doubled), "{counts:?}");
        assert_eq!(first.iter().map(Vec::len).sum::<usize>() as u64, counts.sent - counts.lost + counts.doubled);
    }

    #[test]
    fn frames_keep_their_order_whatever_the_jitter() {
        let conditions = Conditions::delay(Duration::from_millis(100), Duration::from_millis(50));
        let (fates, _) = fates(3, conditions);
        let arrivals: Vec<u64> = fates.concat();
        assert!(arrivals.is_sorted());
        let taken = arrivals.iter().enumerate().map(|(number, at)| at - number as u64 * MILLISECOND);
        assert!(taken.clone().all(|taken| (100 * MILLISECOND..=150 * MILLISECOND).contains(&taken)));
        assert!(taken.clone().max() > taken.min());
    }

    #[test]
    fn a_narrow_cable_spaces_frames_out_and_drops_what_does_not_fit() {
        // A frame of 1,000 bytes takes 8 ms on it, and one comes every ms.
        let (fates, counts) = fates(1, Conditions::bandwidth(1_000_000));
        let arrivals: Vec<u64> = fates.concat();
        assert!(arrivals.windows(2).all(|pair| pair[1] - pair[0] == 8 * MILLISECOND));
        assert!(counts.lost > 500, "{counts:?}");
    }

    #[test]
    fn nothing_passes_a_cut_and_what_comes_after_it_has_the_fate_it_would_have_had() {
        let lossy = Conditions::loss(0.3);
        let (whole, _) = fates(5, lossy);
        let mut way = Way::new(5);
        for (number, fate) in whole.iter().enumerate() {
            way.set(if number < 500 { Conditions::cut() } else { lossy });
            let here: Vec<u64> = way.pass(1_000, number as u64 * MILLISECOND).collect();
            assert_eq!(here, if number < 500 { vec![] } else { fate.clone() });
        }
    }
}
