//! What a core holds of everything that others can make it hold, and how much that may be at most.

use fedp2p_protocols::limits::{MAX_PENDING_BYTES, MAX_PENDING_OPS, SYNC_WINDOW_BYTES};

use crate::Core;
use crate::documents::MAX_EPOCHS;
use crate::doors::MAX_DEFERRED;
use crate::doors::notes::{MAX_NOTES, MAX_WAITING};
use crate::ingest::MAX_CONTESTED;
use crate::recent::RECENT;
use crate::session::MAX_UNACKNOWLEDGED;
use crate::sync::{MAX_HEADS, MAX_SERVES};

/// One bounded queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// What is in it, in words that follow a number.
    pub what: &'static str,
    /// How much is in it.
    pub found: usize,
    /// How much may be in it.
    pub most: usize,
}

impl Core {
    /// Returns how full every bounded queue is. Of those that there are many of, the fullest is named.
    pub fn bounds(&self) -> [Bound; 13] {
        let (ops, bytes) = self.pending.largest_share();
        let fullest =
            |length: fn(&crate::session::Session) -> usize| self.sessions.values().map(length).max().unwrap_or(0);
        let bound = |what, found, most| Bound { what, found, most };
        [
            bound("waiting entries of one author", ops, MAX_PENDING_OPS),
            bound("bytes of waiting entries of one author", bytes, MAX_PENDING_BYTES),
            bound("entries that may contradict one on its way to the store", self.contested.len(), MAX_CONTESTED),
            bound("calls that wait for the own document", self.deferred.len(), MAX_DEFERRED),
            bound("document epochs of one author", self.documents.most_epochs(), MAX_EPOCHS),
            bound("notes at hand", self.notes.len(), MAX_NOTES),
            bound("calls that wait for one note", self.notes.waiting(), MAX_WAITING),
            bound("entries that were seen last", self.recent.len(), RECENT),
            bound("requests of one peer", fullest(|session| session.serves.len()), MAX_SERVES),
            bound(
                "bytes sent to one peer and not acknowledged",
                fullest(|session| session.serves.iter().map(crate::sync::Serve::outstanding).max().unwrap_or(0)),
                SYNC_WINDOW_BYTES,
            ),
            bound(
                "parts of one peer to be acknowledged",
                fullest(|session| session.unacknowledged.len()),
                MAX_UNACKNOWLEDGED,
            ),
            bound("heads of an incomplete list", fullest(|session| session.heads.len()), MAX_HEADS),
            bound("wants of an incomplete request", fullest(|session| session.wants.len()), MAX_HEADS),
        ]
    }
}
