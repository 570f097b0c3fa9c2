//! Places for connections. There are so many and no more; who has shown no token, or says nothing, gives way to who comes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

/// What a connection does; those that do the least give way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Doing {
    /// It has shown no token.
    Unknown,
    /// It has, and has asked for nothing that is not answered.
    Waiting,
    /// It is being answered, and stays.
    Answered,
}

#[derive(Debug)]
struct Row {
    doing: Doing,
    /// Counts up with every change of any row.
    since: u64,
    /// Dropped to close the connection.
    _open: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    rows: BTreeMap<u64, Row>,
}

impl Table {
    fn count(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// The places of a server.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    table: Mutex<Table>,
    changed: Notify,
}

impl Places {
    /// So many places.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, table: Mutex::default(), changed: Notify::new() })
    }

    /// Gives a connection a place, and what ends when it has to leave. Waits while all others are being answered.
    pub(super) async fn enter(self: &Arc<Self>) -> (Arc<Place>, oneshot::Receiver<()>) {
        loop {
            if let Some(entered) = self.try_enter() {
                return entered;
            }
            // One that changed meanwhile is remembered; only one waits here.
            self.changed.notified().await;
        }
    }

    fn try_enter(self: &Arc<Self>) -> Option<(Arc<Place>, oneshot::Receiver<()>)> {
        let mut table = self.table();
        if table.rows.len() >= self.most {
            let idle = table.rows.iter().filter(|(_, row)| row.doing != Doing::Answered);
            let (leaves, _) = idle.min_by_key(|(_, row)| (row.doing, row.since))?;
            let leaves = *leaves;
            table.rows.remove(&leaves);
        }
        let (open, left) = oneshot::channel();
        let id = table.count();
        table.rows.insert(id, Row { doing: Doing::Unknown, since: id, _open: open });
        Some((Arc::new(Place { id, places: Arc::clone(self) }), left))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection, which is free once this is dropped.
#[derive(Debug)]
pub(in crate::mcp) struct Place {
    id: u64,
    places: Arc<Places>,
}

impl Place {
    /// Says that the connection has shown the token, and asks for something.
    pub(super) fn knows_token(&self) {
        self.set(Doing::Waiting);
    }

    /// Keeps the place while the connection is answered: until what is returned is dropped.
    pub(super) fn answer(self: &Arc<Self>) -> Answering {
        self.set(Doing::Answered);
        Answering(Arc::clone(self))
    }

    fn set(&self, doing: Doing) {
        let mut table = self.places.table();
        let since = table.count();
        if let Some(row) = table.rows.get_mut(&self.id) {
            (row.doing, row.since) = (doing, since);
        }
        drop(table);
        self.places.changed.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.table().rows.remove(&self.id);
        self.places.changed.notify_one();
    }
}

/// An answer that is being given.
#[derive(Debug)]
pub(super) struct Answering(Arc<Place>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.set(Doing::Waiting);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    type Entered = (Arc<Place>, oneshot::Receiver<()>);

    #[track_caller]
    fn enter(places: &Arc<Places>) -> Entered {
        places.try_enter().expect("there is room")
    }

    fn stays(entered: &mut Entered) -> bool {
        entered.1.try_recv() == Err(TryRecvError::Empty)
    }

    #[test]
    fn who_has_shown_no_token_gives_way_first_and_then_who_was_silent_for_longest() {
        let places = Places::new(3);
        let (mut known, mut stranger, mut busy) = (enter(&places), enter(&places), enter(&places));
        known.0.knows_token();
        busy.0.knows_token();
        let answering = busy.0.answer();
        let mut fourth = enter(&places);
        assert!(stays(&mut known) && !stays(&mut stranger) && stays(&mut busy) && stays(&mut fourth));
        fourth.0.knows_token();
        let mut fifth = enter(&places);
        assert!(!stays(&mut known) && stays(&mut busy) && stays(&mut fourth) && stays(&mut fifth));
        fifth.0.knows_token();
        drop(answering);
        fourth.0.knows_token();
        let mut sixth = enter(&places);
        assert!(stays(&mut busy) && stays(&mut fourth) && !stays(&mut fifth) && stays(&mut sixth));
    }

    #[tokio::test]
    async fn whoever_comes_while_all_are_answered_waits_for_the_first_that_is_not() {
        let places = Places::new(2);
        let (first, second) = (enter(&places), enter(&places));
        let answers = [first.0.answer(), second.0.answer()];
        assert!(places.try_enter().is_none());
        let waits = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.enter().await }
        });
        tokio::task::yield_now().await;
        drop(answers);
        let mut third = waits.await.unwrap();
        assert!(stays(&mut third));
        assert_eq!(places.table().rows.len(), 2);
        drop((first, second, third));
        assert!(places.table().rows.is_empty());
    }
}
