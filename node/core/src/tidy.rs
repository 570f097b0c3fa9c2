//! Clearing away what is over, so that this node's document says only what somebody still needs and never fills up.
//!
//! [`Core::tidy`] looks at the own document some time after something has changed, or at once when much has. What came of
//! a task is recorded by the node that it was made on, and a question is closed by its own; from then on what others said
//! of it decides nothing, so they clear it away, all but the last that people may want to look at. In the end the closed
//! task or question leaves as well. All of it stays in the signed logs.
//!
//! What an agent said of something that is not there is cleared away after a while: its node may be about to say it
//! again. Nobody else's clock decides anything here, and whatever is cleared away changes no result.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fedp2p_crdt::claim::Claims;
use fedp2p_crdt::content::{Edit, Place};
use fedp2p_crdt::load::FULL;
use fedp2p_crdt::picture::Picture;
use fedp2p_crdt::task::Board;
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::task::TaskKey;
use fedp2p_protocols::vote::ProposalKey;

use crate::Core;
use crate::author::Entries;

mod agents;
mod questions;
mod work;

use agents::{IDLE, KEPT_AGENTS};

/// How long after a change it is looked what is over.
const TIDY_AFTER: Duration = Duration::from_secs(2);
/// After how long it goes on with the rest: others have their turn first.
const GO_ON: Duration = Duration::from_millis(10);
/// Most records that are cleared away in one change; after as many changes it is looked at once.
const AT_ONCE: usize = 48;
/// Most results of tasks in one change, and most bytes of texts in them and in what is beside each.
const RESULTS_AT_ONCE: usize = 24;
const RESULT_BYTES_AT_ONCE: usize = 36 * 1024;
const BESIDE_A_RESULT: usize = 512;
/// How long something has to be gone until what was said of it goes, and how long a result has to stand that most members
/// had no part in until it is recorded.
const SETTLED: Duration = Duration::from_secs(600);
/// How long after a look there is another one, even if nothing has changed.
const SOMETIMES: Duration = Duration::from_secs(3600);
/// How long after a failure it is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// What this node knows of what may be cleared away.
#[derive(Debug, Default)]
pub(crate) struct Tidy {
    due: Option<Duration>,
    /// How many things have changed since it was looked.
    changed: usize,
    /// Since when something is gone, or over in a way that may change.
    since: BTreeMap<Thing, Duration>,
    /// When agents of this node called last.
    heard: BTreeMap<AgentName, Duration>,
}

/// What something was said of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Question(ProposalKey),
    Task(TaskKey),
    /// A task that is over by the word of a part that was cut off.
    Over(TaskKey),
}

/// What is found in one look.
struct Look<'a> {
    picture: Picture<'a>,
    claims: Claims<'a>,
    board: Board<'a>,
    /// How much less than usual is kept for people to look at.
    scarce: usize,
    /// What is gone or over now.
    things: BTreeSet<Thing>,
    /// With how many bytes of texts there are in each.
    results: Vec<(usize, Edit)>,
    gone: Vec<Place>,
}

impl Core {
    /// So many things have changed that may be over now.
    pub(crate) fn may_be_over(&mut self, changes: usize) {
        if changes == 0 {
            return;
        }
        self.tidy.changed += changes;
        let wait = if self.tidy.changed >= AT_ONCE { Duration::ZERO } else { TIDY_AFTER };
        self.tidy_at(self.now.monotonic + wait);
    }

    fn tidy_at(&mut self, when: Duration) {
        self.tidy.due = Some(self.tidy.due.map_or(when, |due| due.min(when)));
    }

    /// When it is looked next what is over. Nothing can be written while the own document is put together again.
    pub(crate) fn tidy_due(&self) -> Option<Duration> {
        self.tidy.due.filter(|_| !self.is_silent())
    }

    /// Clears away some of what is over, if it is time.
    pub(crate) fn tidy(&mut self) {
        let now = self.now.monotonic;
        if self.tidy_due().is_none_or(|due| due > now) {
            return;
        }
        self.tidy.due = None;
        self.tidy.changed = 0;
        let (results, gone) = self.what_is_over();
        let mut room = RESULT_BYTES_AT_ONCE;
        let fits = |(bytes, _): &&(usize, Edit)| {
            let left = room.checked_sub(bytes + BESIDE_A_RESULT);
            left.inspect(|left| room = *left).is_some()
        };
        let mut edits: Vec<Edit> =
            results.iter().take(RESULTS_AT_ONCE).take_while(fits).map(|(_, edit)| edit.clone()).collect();
        let more = results.len() > edits.len() || gone.len() > AT_ONCE;
        edits.extend(gone.into_iter().take(AT_ONCE).map(Edit::Remove));
        if !edits.is_empty() && !self.write_tidied(&edits) {
            self.tidy_at(now + TRY_AGAIN);
        } else if more {
            self.tidy_at(now + GO_ON);
        } else if let Some(since) = self.tidy.since.values().min() {
            self.tidy_at((*since + SETTLED).max(now + TIDY_AFTER));
        }
        let agents = self.documents.content(&self.lobby, &self.me()).agents.len();
        self.tidy_at(now + if agents > KEPT_AGENTS { IDLE } else { SOMETIMES });
    }

    /// Finds the results that are to be recorded, and what may go.
    fn what_is_over(&mut self) -> (Vec<(usize, Edit)>, Vec<Place>) {
        let (lobby, me) = (self.lobby, self.me());
        let load = self.documents.load(&lobby, &me);
        let scarce =
            if load.ops > FULL.ops / 2 || load.maps > FULL.maps / 2 || load.bytes > FULL.bytes / 2 { 4 } else { 1 };
        let picture = self.documents.picture(&lobby);
        let claims = self.documents.claims(&lobby);
        let board = Board::of(&picture, &claims);
        let (things, results, gone) = (BTreeSet::new(), Vec::new(), Vec::new());
        let mut look = Look { picture, claims, board, scarce, things, results, gone };
        self.look_at_results(&mut look);
        self.look_at_tasks(&mut look);
        self.look_at_statements(&mut look);
        self.look_at_questions(&mut look);
        self.look_at_answers(&mut look);
        self.look_at_roles(&mut look);
        self.look_at_agents(&mut look);
        let Look { claims, things, results, mut gone, .. } = look;
        gone.extend(self.forgotten_claims(&claims));
        let now = self.now.monotonic;
        let known = std::mem::take(&mut self.tidy.since);
        let since = |thing: Thing| {
            let since = known.get(&thing).copied().unwrap_or(now);
            (thing, since)
        };
        self.tidy.since = things.into_iter().map(since).collect();
        (results, gone)
    }

    /// Whether something has been gone or over for long.
    fn is_settled(&self, look: &mut Look<'_>, thing: Thing) -> bool {
        let settled = self.tidy.since.get(&thing).is_some_and(|since| self.now.monotonic >= *since + SETTLED);
        look.things.insert(thing);
        settled
    }

    fn write_tidied(&mut self, edits: &[Edit]) -> bool {
        let (lobby, me) = (self.lobby, self.me());
        let mut entries = Entries { before: Some(self.glance(&lobby, &me)), ..Entries::default() };
        match self.edit(&mut entries, lobby, None, edits) {
            Ok(()) => {
                self.commit_entries(entries);
                true
            }
            Err(error) => {
                self.notice(format!("what is over could not be cleared away: {error}"));
                false
            }
        }
    }
}

/// Those of some records that are too many: all but the newest `most`, by when they were written.
fn too_many(mut records: Vec<(u64, Place)>, most: usize) -> impl Iterator<Item = Place> {
    records.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    records.into_iter().skip(most).map(|(_, place)| place)
}
