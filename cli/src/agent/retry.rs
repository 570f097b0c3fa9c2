//! When something is tried again: work that failed, and tasks that were handed back.

use std::collections::BTreeMap;
use std::time::Duration;

use fedp2p_protocols::limits::MAX_TASK_EXCEPT;
use tokio::time::Instant;

/// The longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(300);
/// How long a task is left to others that was handed back once; each time twice as long.
const LEAVE: Duration = Duration::from_secs(15);
/// How often one task is handed back before it is left to others for good.
const MOST_TIMES: u32 = 5;

/// How often failed work is tried again, and after how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retries {
    /// How often, after the first try.
    pub(crate) most: u32,
    /// How long after the first failure; twice as long after each further one.
    pub(crate) first: Duration,
}

impl Retries {
    /// How long to wait after so many failures before the next try; nothing if there is none.
    pub(crate) fn pause(&self, failures: u32) -> Option<Duration> {
        (failures <= self.most).then(|| doubled(self.first, failures.saturating_sub(1)))
    }
}

fn doubled(first: Duration, times: u32) -> Duration {
    let factor = 1_u32.checked_shl(times).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(LONGEST.max(first))
}

/// The tasks that were handed back, so that the same agent does not take them again at once.
#[derive(Debug, Default)]
pub(crate) struct Declined {
    tasks: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// The revision and the attempt of the task: one that its creator has changed since is another.
    version: (u32, u32),
    times: u32,
    /// Until when; nothing if for good.
    until: Option<Instant>,
}

impl Declined {
    /// A task was handed back in this version.
    pub(crate) fn add(&mut self, id: &str, version: (u32, u32), now: Instant) {
        let before = self.tasks.get(id).filter(|entry| entry.version == version).map_or(0, |entry| entry.times);
        let times = before + 1;
        let until = (times < MOST_TIMES).then(|| now + doubled(LEAVE, before));
        self.tasks.insert(id.to_owned(), Entry { version, times, until });
    }

    /// A task is in this version now, so that what was said of another counts no more.
    pub(crate) fn seen(&mut self, id: &str, version: (u32, u32)) {
        if self.tasks.get(id).is_some_and(|entry| entry.version != version) {
            self.tasks.remove(id);
        }
    }

    /// A task is over.
    pub(crate) fn forget(&mut self, id: &str) {
        self.tasks.remove(id);
    }

    /// The tasks to leave to others now, those first that are left longest.
    pub(crate) fn now(&self, now: Instant) -> Vec<String> {
        let left = self.tasks.iter().filter(|(_, entry)| entry.until.is_none_or(|until| until > now));
        let mut left: Vec<(&String, Option<Instant>)> = left.map(|(id, entry)| (id, entry.until)).collect();
        left.sort_by_key(|(_, until)| std::cmp::Reverse(until.map_or((1, None), |until| (0, Some(until)))));
        left.into_iter().take(MAX_TASK_EXCEPT).map(|(id, _)| id.clone()).collect()
    }

    /// When the next one may be taken again.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        self.tasks.values().filter_map(|entry| entry.until).filter(|until| *until > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_tries_end() {
        let retries = Retries { most: 12, first: Duration::from_secs(1) };
        let pauses: Vec<u64> = (1..=12).filter_map(|n| retries.pause(n)).map(|pause| pause.as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(retries.pause(13), None);
        assert_eq!(Retries { most: 0, first: LONGEST }.pause(1), None);
        let many = Retries { most: u32::MAX, first: Duration::from_secs(400) };
        assert_eq!(many.pause(u32::MAX), Some(Duration::from_secs(400)));
    }

    #[test]
    fn what_was_handed_back_is_left_to_others_for_longer_each_time() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut declined = Declined::default();
        declined.add("a", (1, 1), start);
        assert_eq!(declined.now(after(14)), ["a"]);
        assert_eq!(declined.next(start), Some(after(15)));
        assert!(declined.now(after(15)).is_empty());
        declined.add("a", (1, 1), after(15));
        assert_eq!(declined.next(after(15)), Some(after(45)));
        for _ in 0..3 {
            declined.add("a", (1, 1), after(45));
        }
        assert_eq!((declined.now(after(1_000_000)), declined.next(after(45))), (vec!["a".to_owned()], None));
    }

    #[test]
    fn a_task_that_was_changed_is_another() {
        let now = Instant::now();
        let mut declined = Declined::default();
        declined.add("a", (1, 1), now);
        declined.seen("a", (1, 1));
        assert_eq!(declined.now(now).len(), 1);
        declined.seen("a", (2, 1));
        assert!(declined.now(now).is_empty());
        declined.add("a", (2, 1), now);
        declined.forget("a");
        assert!(declined.now(now).is_empty());
    }
}
