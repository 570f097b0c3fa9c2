//! Whether a session is alive: judged by how long an answer is out.
//!
//! After a cut of some seconds a TCP connection may take as long again until it sends anew, for it asks ever more
//! seldom. A session in doubt is therefore not ended: a second connection is dialled beside it, and whichever speaks
//! first goes on. Doubt costs little when it was wrong, and each time it was wrong it comes later.
//!
//! A pure machine, called by [`super::sessions`]: it is told when an answer was asked for and when anything came. Time
//! comes in as an argument.

use std::time::Duration;

use tokio::time::Instant;

/// How long an answer may be out at least before the session is in doubt.
const SHORTEST: Duration = Duration::from_millis(700);
/// How long at most. Far below the silence after which a session is ended.
const LONGEST: Duration = Duration::from_secs(10);

/// The machine.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    /// Since when an answer is out.
    asked: Option<Instant>,
    doubted: bool,
    /// How long answers take, and how much that varies; as TCP reckons it (RFC 6298).
    usual: Option<(Duration, Duration)>,
    /// How often doubt was wrong.
    mistakes: u32,
}

impl Liveness {
    /// An answer is awaited from now on, if none is.
    pub(super) fn asked(&mut self, now: Instant) {
        self.asked.get_or_insert(now);
    }

    /// Something came, at `at` the last time.
    pub(super) fn heard(&mut self, at: Instant) {
        let Some(asked) = self.asked.take_if(|asked| *asked < at) else { return };
        let took = at - asked;
        self.usual = Some(match self.usual {
            None => (took, took / 2),
            Some((mean, deviation)) => ((mean * 7 + took) / 8, (deviation * 3 + mean.abs_diff(took)) / 4),
        });
        if std::mem::take(&mut self.doubted) {
            self.mistakes += 1;
        }
    }

    /// Whether an answer is out for so long that another connection should be tried.
    pub(super) fn is_in_doubt(&mut self, now: Instant) -> bool {
        self.doubted = self.asked.is_some_and(|asked| asked + self.limit() <= now);
        self.doubted
    }

    /// When it will be in doubt if nothing comes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.asked.filter(|_| !self.doubted).map(|asked| asked + self.limit())
    }

    fn limit(&self) -> Duration {
        let (mean, deviation) = self.usual.unwrap_or_default();
        let usual = SHORTEST.max(mean + deviation * 4);
        usual.saturating_mul(1 << self.mistakes.min(4)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Asks and answers so many times.
    fn answered(liveness: &mut Liveness, mut now: Instant, times: u32, took: Duration) -> Instant {
        for _ in 0..times {
            liveness.asked(now);
            now += took;
            liveness.heard(now);
            now += Duration::from_secs(5);
        }
        now
    }

    #[test]
    fn an_answer_that_is_out_for_long_is_reason_to_doubt_and_silence_alone_is_none() {
        let (mut liveness, now) = (Liveness::default(), Instant::now());
        assert!(!liveness.is_in_doubt(now + Duration::from_secs(3600)));
        assert_eq!(liveness.deadline(), None);
        liveness.asked(now);
        liveness.asked(now + 500 * MS);
        assert_eq!(liveness.deadline(), Some(now + SHORTEST));
        assert!(!liveness.is_in_doubt(now + 699 * MS));
        assert!(liveness.is_in_doubt(now + 700 * MS));
        assert_eq!(liveness.deadline(), None);
        liveness.heard(now + 800 * MS);
        assert!(!liveness.is_in_doubt(now + Duration::from_secs(3600)));
    }

    #[test]
    fn what_came_before_the_question_is_no_answer() {
        let (mut liveness, now) = (Liveness::default(), Instant::now());
        liveness.asked(now);
        liveness.heard(now);
        assert!(liveness.is_in_doubt(now + SHORTEST));
    }

    #[test]
    fn a_slow_peer_is_given_the_time_that_it_takes() {
        let (mut liveness, now) = (Liveness::default(), Instant::now());
        let now = answered(&mut liveness, now, 50, Duration::from_millis(1500));
        liveness.asked(now);
        assert!(!liveness.is_in_doubt(now + 1400 * MS));
        assert!(liveness.is_in_doubt(now + Duration::from_secs(3)));
    }

    #[test]
    fn wrong_doubt_comes_ever_later_but_always_in_time() {
        let (mut liveness, mut now) = (Liveness::default(), Instant::now());
        let mut limits = Vec::new();
        for _ in 0..10 {
            now = answered(&mut liveness, now, 50, MS);
            liveness.asked(now);
            let limit = liveness.deadline().unwrap() - now;
            now += limit;
            assert!(liveness.is_in_doubt(now));
            limits.push(limit);
            now += MS;
            liveness.heard(now);
        }
        assert!(limits.is_sorted() && limits[0] < Duration::from_secs(1), "{limits:?}");
        assert_eq!(limits[9], LONGEST);
    }
}
