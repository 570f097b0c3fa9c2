//! The peers of one node, packed: in a full mesh of thousands there are millions of them.

/// A node of the model.
pub(super) type NodeIndex = u32;

const OUTBOUND: u32 = 1;
const SUBSCRIBED: u32 = 2;
const FLAGS: u32 = 2;

/// Connected peers in order, with whether this node dialled and whether the peer takes part in the topic.
#[derive(Debug, Default)]
pub(super) struct Peers {
    packed: Vec<u32>,
    subscribed: usize,
}

impl Peers {
    fn find(&self, peer: NodeIndex) -> Result<usize, usize> {
        self.packed.binary_search_by_key(&peer, |packed| packed >> FLAGS)
    }

    pub(super) fn insert(&mut self, peer: NodeIndex, outbound: bool) {
        if let Err(at) = self.find(peer) {
            self.packed.insert(at, peer << FLAGS | if outbound { OUTBOUND } else { 0 });
        }
    }

    pub(super) fn remove(&mut self, peer: NodeIndex) {
        if let Ok(at) = self.find(peer) {
            self.subscribed -= usize::from(self.packed.remove(at) & SUBSCRIBED != 0);
        }
    }

    /// The peer takes part from now on.
    pub(super) fn subscribe(&mut self, peer: NodeIndex) {
        if let Ok(at) = self.find(peer)
            && self.packed[at] & SUBSCRIBED == 0
        {
            self.packed[at] |= SUBSCRIBED;
            self.subscribed += 1;
        }
    }

    pub(super) fn is_connected(&self, peer: NodeIndex) -> bool {
        self.find(peer).is_ok()
    }

    pub(super) fn is_subscribed(&self, peer: NodeIndex) -> bool {
        self.find(peer).is_ok_and(|at| self.packed[at] & SUBSCRIBED != 0)
    }

    pub(super) fn is_outbound(&self, peer: NodeIndex) -> bool {
        self.find(peer).is_ok_and(|at| self.packed[at] & OUTBOUND != 0)
    }

    /// How many are connected.
    pub(super) fn len(&self) -> usize {
        self.packed.len()
    }

    /// The connected peer at a place in the order.
    pub(super) fn at(&self, place: usize) -> NodeIndex {
        self.packed[place] >> FLAGS
    }

    /// How many take part in the topic.
    pub(super) fn subscribed_len(&self) -> usize {
        self.subscribed
    }

    pub(super) fn subscribed(&self) -> impl Iterator<Item = NodeIndex> {
        self.packed.iter().filter(|packed| **packed & SUBSCRIBED != 0).map(|packed| packed >> FLAGS)
    }

    pub(super) fn connected(&self) -> impl Iterator<Item = NodeIndex> {
        self.packed.iter().map(|packed| packed >> FLAGS)
    }
}

/// Which messages a node has, by number.
#[derive(Debug, Default)]
pub(super) struct Seen {
    words: Vec<u64>,
    /// All below are there.
    complete: u32,
}

impl Seen {
    /// Adds a message; false if it was there.
    pub(super) fn insert(&mut self, message: u32) -> bool {
        let (word, bit) = (message as usize / 64, 1 << (message % 64));
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        while self.contains(self.complete) {
            self.complete += 1;
        }
        new
    }

    pub(super) fn contains(&self, message: u32) -> bool {
        self.words.get(message as usize / 64).is_some_and(|word| word & 1 << (message % 64) != 0)
    }

    /// Whether all of these are there; `most` is the highest of them.
    pub(super) fn contains_all(&self, messages: &[u32], most: u32) -> bool {
        most < self.complete || messages.iter().all(|message| self.contains(*message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_found_with_what_is_known_of_them() {
        let mut peers = Peers::default();
        for (peer, outbound) in [(7, true), (3, false), (900_000, true), (7, false)] {
            peers.insert(peer, outbound);
        }
        peers.subscribe(7);
        peers.subscribe(7);
        peers.subscribe(8);
        assert_eq!(peers.connected().collect::<Vec<_>>(), [3, 7, 900_000]);
        assert_eq!(peers.subscribed().collect::<Vec<_>>(), [7]);
        assert!(peers.is_outbound(7) && !peers.is_outbound(3) && !peers.is_connected(8));
        peers.remove(7);
        peers.remove(7);
        assert_eq!((peers.len(), peers.subscribed_len()), (2, 0));
    }

    #[test]
    fn messages_are_seen_once() {
        let mut seen = Seen::default();
        assert!(seen.insert(0) && seen.insert(2) && seen.insert(100) && !seen.insert(2));
        assert!(!seen.contains_all(&[0, 1], 1) && seen.contains_all(&[0, 2, 100], 100));
        assert!(seen.insert(1) && seen.contains_all(&[0, 1, 2], 2) && !seen.contains(3));
    }
}
