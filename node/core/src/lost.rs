//! What a node does that has lost entries of its own, as when its home was put back from a backup: it says nothing of
//! itself, and promises nothing, before it has back what others hold of them.
//!
//! What it said last is what everybody else goes by: the claims that its agents hold, and its promises about those of
//! others. If it said anew what is left to it, in a log of its own that comes after, it would take all the rest back.
//! [`Core::lost_shown`] is called when another node shows that there was more. Whoever starts cannot know it, so it waits a
//! moment for others before it says anything, if there are any, unless an agent wants to say something: what it writes to
//! a log that others know more of would fork it, and what stands there would be lost.

use std::sync::Arc;
use std::time::Duration;

use fedp2p_crdt::content::{Agent, Content, Edit, Entry};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::op::Verified;
use fedp2p_protocols::pulse::AgentKind;

use crate::Core;
use crate::author::Entries;
use crate::doors::picture::missing_edits;

/// How long no entry must have come back until all are taken to be there.
const QUIET: Duration = Duration::from_millis(500);
/// How long a node that only suspects that it lost something waits for others.
const MEET: Duration = Duration::from_secs(2);
/// How long it waits at most, whatever comes.
const AT_MOST: Duration = Duration::from_secs(10);

/// Entries of this node that are, or may be, with others only.
#[derive(Debug)]
pub(crate) struct Lost {
    /// When it is taken for granted that no more come.
    due: Duration,
    until: Duration,
    /// What its logs say is being read.
    reading: bool,
    /// What it said when it learnt that it lost something.
    said: Option<Content>,
    /// The person that runs it, who is to be known.
    person: Option<AgentName>,
    /// Whether it goes on in a log that has begun, as it knows of nothing that it lost.
    goes_on: bool,
}

impl Lost {
    pub(crate) fn deadline(&self) -> Option<Duration> {
        (!self.reading).then_some(self.due)
    }

    /// Whether its document is not to be put together yet.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.reading
    }
}

impl Core {
    /// Whether this node must not write into its document by itself just now.
    pub(crate) fn is_silent(&self) -> bool {
        self.lost.is_some() || self.is_remaking()
    }

    /// Whether its document is being put together again.
    pub(crate) fn is_remaking(&self) -> bool {
        self.remaking.contains_key(&(self.lobby, self.me()))
    }

    /// Whether this node has said something before, and others may know what it said since.
    pub(crate) fn may_have_lost(&self) -> bool {
        let mut own = self.logs.of_author(&self.lobby, self.me());
        own.any(|(_, log)| log.accepted.is_some()) && self.members.iter().any(|(node, _)| *node != self.me())
    }

    /// Whether the log has begun in which this node says what it has to say.
    fn has_begun(&self) -> bool {
        self.logs.get(&self.own_log(&self.lobby)).is_some_and(|log| log.accepted.is_some())
    }

    /// Waits for others before anything is said, as entries may be lost.
    pub(crate) fn wait_for_lost(&mut self, person: Option<AgentName>) {
        let now = self.now.monotonic;
        let goes_on = self.has_begun();
        self.lost = Some(Lost { due: now + MEET, until: now + AT_MOST, reading: false, said: None, person, goes_on });
    }

    /// Another node holds more of the own log than this one: a new log is begun once the rest has come back.
    pub(crate) fn lost_shown(&mut self) {
        if self.lost.is_none() {
            self.wait_for_lost(None);
        }
        self.lost.as_mut().expect("it is waited for").goes_on = false;
        self.put_together();
        self.start_log_epoch("another node holds entries of the old one that are missing here");
    }

    /// An entry of this node's document came back. Returns whether that was waited for.
    pub(crate) fn lost_came(&mut self, op: &Arc<Verified>) -> bool {
        let (lobby, me) = (self.lobby, self.me());
        let said_anew = self.documents.log(&lobby, &me) == Some(self.own_log(&lobby).log);
        if said_anew {
            self.speak_again();
        }
        if self.lost.is_none() {
            return false;
        }
        self.put_together();
        self.change_stored(op);
        true
    }

    /// The document is put together again, once no more of it comes.
    fn put_together(&mut self) {
        let (lobby, me, now) = (self.lobby, self.me(), self.now.monotonic);
        self.remaking.entry((lobby, me)).or_default();
        let said = self.documents.content(&lobby, &me);
        if let Some(lost) = &mut self.lost {
            lost.due = (now + QUIET).min(lost.until);
            lost.said.get_or_insert_with(|| said.clone());
        }
    }

    /// Goes on once nothing more is to be waited for.
    pub(crate) fn lost_due(&mut self) {
        let (lobby, now) = (self.lobby, self.now.monotonic);
        let (remaking, fetching) = (self.is_remaking(), self.fetching.contains_key(&lobby));
        let Some(lost) = self.lost.as_mut().filter(|lost| !lost.reading && lost.due <= now) else { return };
        if fetching && now < lost.until {
            lost.due = (now + QUIET).min(lost.until);
        } else if remaking {
            lost.reading = true;
            self.read_changes(lobby, self.me());
        } else {
            self.speak_again();
        }
    }

    /// An agent has something to say: what was only suspected is not waited for any longer.
    pub(crate) fn speak_again(&mut self) {
        if self.is_remaking() {
            return;
        }
        let Some(lost) = self.lost.take() else { return };
        self.leave_future_log();
        let mut entries = Entries::default();
        let edits = self.words_after(lost);
        self.restate(&mut entries, self.lobby, &edits);
        self.commit_entries(entries);
        self.check_closings();
        self.claims_changed();
        self.release_all_over();
        self.tend();
    }

    /// The edits with which a document goes on that was put together again.
    pub(crate) fn what_was_lost(&mut self) -> Vec<Edit> {
        let Some(mut lost) = self.lost.take() else { return self.first_words(None) };
        let (lobby, me) = (self.lobby, self.me());
        let said = lost.said.take();
        let mut edits = self.words_after(lost);
        let mut own = self.logs.of_author(&lobby, me);
        let forked = own.any(|(_, log)| log.frozen.is_some_and(|frozen| frozen.seq <= log.accepted_height()));
        // Where a log forked, some of what this node remembers does not count there any more.
        if let Some(said) = said.filter(|_| forked) {
            edits.extend(missing_edits(&said, self.documents.content(&lobby, &me)));
        }
        edits
    }

    /// What a node says first that may have lost something.
    fn words_after(&self, lost: Lost) -> Vec<Edit> {
        let mut edits = self.first_words(lost.person);
        // The new log may have begun with something else meanwhile.
        if !lost.goes_on && self.has_begun() {
            edits.extend(self.reserving(&self.lobby));
        }
        edits
    }

    /// What a node says first: the person that runs it can be written to, and who was there before is there no more.
    pub(crate) fn first_words(&self, person: Option<AgentName>) -> Vec<Edit> {
        let own = &self.documents.content(&self.lobby, &self.me()).agents;
        // Whoever starts the daemon under another name is not a person for that, once a PIN tells who is.
        let person = person.filter(|agent| self.pin.is_none() && !own.contains_key(agent));
        let person = person.map(|agent| Entry::Agent(agent, Agent { kind: AgentKind::Person, said: None }).into());
        person.into_iter().chain(self.departures()).collect()
    }
}
