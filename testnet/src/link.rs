//! One connection between two simulated nodes: how fast it is and what is in it.

use std::time::Duration;

use crate::dice::Dice;
use crate::scenario::{Delay, Spread};

/// How long a gossip message may wait for its turn.
const GOSSIP_WAITS: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Link {
    /// Which of all connections it is.
    pub(crate) number: u64,
    /// When it was made.
    pub(crate) since: Duration,
    /// When the last frame each way arrives: a stream keeps its order.
    arrival: [Duration; 2],
    /// When each way has sent what it has to.
    free: [Duration; 2],
    /// When something came each way.
    pub(crate) heard: [Duration; 2],
}

impl Link {
    pub(crate) fn new(number: u64, now: Duration) -> Self {
        Self { number, since: now, arrival: [Duration::ZERO; 2], free: [Duration::ZERO; 2], heard: [now; 2] }
    }

    /// When the last bit of so many bytes has left, if they are sent now.
    fn sent(&mut self, way: usize, bytes: usize, rate_kbit: u64, now: Duration) -> Duration {
        if rate_kbit == 0 {
            return now;
        }
        let takes = Duration::from_micros(bytes as u64 * 8 * 1000 / rate_kbit);
        self.free[way] = self.free[way].max(now) + takes;
        self.free[way]
    }

    /// When a frame arrives that is sent now: after it has had its turn, in order, and once nothing blocks the way.
    pub(crate) fn carry(
        &mut self,
        way: usize,
        bytes: usize,
        rate_kbit: u64,
        now: Duration,
        delay: Duration,
        blocked: Duration,
    ) -> Duration {
        let at = self.sent(way, bytes, rate_kbit, now) + delay;
        let at = at.max(blocked).max(self.arrival[way] + Duration::from_micros(1));
        self.arrival[way] = at;
        at
    }

    /// As [`Link::carry`] for a gossip message, which keeps no order and is dropped if it must wait for too long.
    pub(crate) fn squeeze(
        &mut self,
        way: usize,
        bytes: usize,
        rate_kbit: u64,
        now: Duration,
        delay: Duration,
        blocked: Duration,
    ) -> Option<Duration> {
        if self.free[way] > now + GOSSIP_WAITS || blocked > now + GOSSIP_WAITS {
            return None;
        }
        Some((self.sent(way, bytes, rate_kbit, now) + delay).max(blocked))
    }
}

/// How long something is under way.
pub(crate) fn under_way(delay: &Delay, dice: &mut Dice) -> Duration {
    let span = delay.most_ms - delay.least_ms;
    let over = match delay.spread {
        Spread::Even => dice.fraction() * span,
        Spread::Exponential => -dice.fraction().ln() * span / 4.0,
        Spread::LongTail => (dice.fraction().powf(-1.0 / 1.5) - 1.0) * span / 10.0,
    };
    Duration::from_secs_f64((delay.least_ms + over).min(20.0 * delay.most_ms) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Stream;

    const NOW: Duration = Duration::from_secs(5);

    #[test]
    fn frames_wait_for_their_turn_and_keep_their_order() {
        let mut link = Link::new(1, NOW);
        let delay = Duration::from_millis(10);
        let carry = |link: &mut Link, delay| link.carry(0, 1000, 8, NOW, delay, Duration::ZERO);
        assert_eq!(carry(&mut link, delay), NOW + Duration::from_millis(1010));
        assert_eq!(carry(&mut link, delay), NOW + Duration::from_millis(2010));
        let free = link.carry(1, 1000, 0, NOW, Duration::from_millis(500), Duration::ZERO);
        let next = link.carry(1, 1000, 0, NOW, delay, Duration::ZERO);
        assert!(next > free);
        assert_eq!(link.carry(1, 1, 0, NOW, delay, NOW + GOSSIP_WAITS), NOW + GOSSIP_WAITS);
    }

    #[test]
    fn gossip_that_would_wait_too_long_is_dropped() {
        let mut link = Link::new(1, NOW);
        let squeeze = |link: &mut Link| link.squeeze(0, 6000, 8, NOW, Duration::ZERO, Duration::ZERO);
        assert_eq!(squeeze(&mut link), Some(NOW + Duration::from_secs(6)));
        assert_eq!(squeeze(&mut link), Some(NOW + Duration::from_secs(12)));
        assert_eq!(squeeze(&mut link), None);
    }

    #[test]
    fn delays_keep_to_their_limits() {
        let mut dice = Dice::new(1, Stream::Run);
        for spread in [Spread::Even, Spread::Exponential, Spread::LongTail] {
            let delay = Delay { least_ms: 2.0, most_ms: 10.0, spread };
            let all: Vec<Duration> = (0..10_000).map(|_| under_way(&delay, &mut dice)).collect();
            assert!(all.iter().all(|way| *way >= Duration::from_millis(2) && *way <= Duration::from_millis(200)));
            let beyond = all.iter().filter(|way| **way > Duration::from_millis(10)).count();
            assert_eq!(beyond > 0, spread != Spread::Even, "{spread:?}: {beyond}");
        }
    }
}
