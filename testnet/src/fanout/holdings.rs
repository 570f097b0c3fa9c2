//! What one node's application has: of each author the entries in order, and what waits for an earlier one.

use std::collections::BTreeSet;
use std::rc::Rc;

/// Which entry a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// The number of its author among those who publish.
    pub(super) author: u16,
    /// Its place in the author's log, from 1.
    pub(super) seq: u16,
}

/// How many entries of each author a node has without a gap.
pub(super) type Heights = Rc<[u16]>;

/// The machine.
#[derive(Debug)]
pub(super) struct Holdings {
    heights: Vec<u16>,
    waiting: BTreeSet<Entry>,
}

/// What became of an entry that was offered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// It and what waited for it are taken.
    Taken(Vec<Entry>),
    /// Something before it is missing.
    Gap,
    /// It was there.
    Known,
}

impl Holdings {
    pub(super) fn new(authors: usize) -> Self {
        Self { heights: vec![0; authors], waiting: BTreeSet::new() }
    }

    pub(super) fn heights(&self) -> Heights {
        self.heights.as_slice().into()
    }

    pub(super) fn is_at(&self, heights: &[u16]) -> bool {
        self.heights == heights
    }

    pub(super) fn equals(&self, other: &Self) -> bool {
        self.heights == other.heights
    }

    /// Whether these heights show something that is missing here.
    pub(super) fn lacks(&self, heights: &[u16]) -> bool {
        self.heights.iter().zip(heights).any(|(ours, theirs)| ours < theirs)
    }

    /// How many entries are missing up to these heights.
    pub(super) fn behind(&self, heights: &[u16]) -> u64 {
        let authors = self.heights.iter().zip(heights);
        authors.map(|(ours, theirs)| u64::from(theirs.saturating_sub(*ours))).sum()
    }

    /// What a node at these heights lacks of what is here.
    pub(super) fn beyond(&self, heights: &[u16]) -> Vec<Entry> {
        let authors = self.heights.iter().zip(heights).enumerate();
        authors
            .flat_map(|(author, (ours, theirs))| {
                (theirs + 1..=*ours).map(move |seq| Entry { author: author as u16, seq })
            })
            .collect()
    }

    pub(super) fn offer(&mut self, entry: Entry) -> Offer {
        let height = &mut self.heights[usize::from(entry.author)];
        if entry.seq <= *height {
            return Offer::Known;
        }
        if entry.seq > *height + 1 {
            return if self.waiting.insert(entry) { Offer::Gap } else { Offer::Known };
        }
        let mut taken = vec![entry];
        *height = entry.seq;
        self.waiting.remove(&entry);
        while self.waiting.remove(&Entry { author: entry.author, seq: *height + 1 }) {
            *height += 1;
            taken.push(Entry { author: entry.author, seq: *height });
        }
        Offer::Taken(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_taken_in_their_author_s_order() {
        let entry = |seq| Entry { author: 1, seq };
        let mut holdings = Holdings::new(2);
        assert_eq!(holdings.offer(entry(3)), Offer::Gap);
        assert_eq!(holdings.offer(entry(3)), Offer::Known);
        assert_eq!(holdings.offer(entry(1)), Offer::Taken(vec![entry(1)]));
        assert_eq!(holdings.offer(entry(2)), Offer::Taken(vec![entry(2), entry(3)]));
        assert_eq!(holdings.offer(entry(2)), Offer::Known);
        assert!(holdings.is_at(&[0, 3]) && holdings.lacks(&[1, 0]) && !holdings.lacks(&[0, 2]));
        assert_eq!(holdings.behind(&[4, 1]), 4);
        assert_eq!(holdings.beyond(&[0, 1]), [entry(2), entry(3)]);
    }
}
