//! Which of the messages that wait are handled now, and how far the inbox may move on.
//!
//! A message counts as handed over once it was handled, so the inbox moves on only past messages that all are. Of one
//! author's messages one is handled at a time, in their order.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_protocols::api::message::Message;
use fedp2p_protocols::name::Address;

/// The messages in hand.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// By their position.
    running: BTreeMap<u64, Address>,
    /// The positions of those that were handled although an earlier one was not.
    done: BTreeSet<u64>,
}

impl Inbox {
    /// How many messages are being handled.
    pub(crate) fn in_hand(&self) -> usize {
        self.running.len()
    }

    /// Notes that a message is being handled.
    pub(crate) fn begin(&mut self, message: &Message) {
        self.running.insert(message.position, message.from.clone());
    }

    /// Notes that a message was handled, or need not be.
    pub(crate) fn end(&mut self, position: u64) {
        self.running.remove(&position);
        self.done.insert(position);
    }

    /// Notes that a message was not handled after all.
    pub(crate) fn put_back(&mut self, position: u64) {
        self.running.remove(&position);
    }

    /// The next message of those that wait, oldest first, that can be handled now.
    pub(crate) fn next<'a>(&self, waiting: &'a [Message]) -> Option<&'a Message> {
        let mut busy: BTreeSet<&Address> = BTreeSet::new();
        for message in waiting.iter().filter(|message| !self.done.contains(&message.position)) {
            if !self.running.contains_key(&message.position) && !busy.contains(&message.from) {
                return Some(message);
            }
            busy.insert(&message.from);
        }
        None
    }

    /// How far the inbox may move on, if it may: to the last of the messages before the first that is not handled.
    pub(crate) fn cursor(&self, waiting: &[Message]) -> Option<u64> {
        let done = waiting.iter().map(|message| message.position).take_while(|position| self.done.contains(position));
        done.last()
    }

    /// The inbox has moved on so far.
    pub(crate) fn moved(&mut self, cursor: u64) {
        self.done = self.done.split_off(&(cursor + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::samples;

    fn waiting() -> Vec<Message> {
        let authors = ["ada@taichi", "bob@taichi", "ada@taichi", "eve@taichi"];
        authors.iter().zip(1..).map(|(author, number)| samples::message(number, author, "x")).collect()
    }

    fn next(inbox: &Inbox) -> Option<u64> {
        inbox.next(&waiting()).map(|message| message.position)
    }

    #[test]
    fn messages_of_one_author_are_handled_one_after_another() {
        let waiting = waiting();
        let mut inbox = Inbox::default();
        let mut begun = Vec::new();
        while let Some(message) = inbox.next(&waiting) {
            begun.push(message.position);
            inbox.begin(message);
        }
        assert_eq!((begun, inbox.in_hand()), (vec![1, 2, 4], 3));
        inbox.end(1);
        assert_eq!(next(&inbox), Some(3));
        inbox.put_back(2);
        assert_eq!(next(&inbox), Some(2));
    }

    #[test]
    fn the_inbox_moves_on_only_past_what_was_handled() {
        let waiting = waiting();
        let mut inbox = Inbox::default();
        waiting.iter().for_each(|message| inbox.begin(message));
        inbox.end(2);
        assert_eq!(inbox.cursor(&waiting), None);
        inbox.end(1);
        assert_eq!(inbox.cursor(&waiting), Some(2));
        inbox.moved(2);
        inbox.end(4);
        assert_eq!(inbox.cursor(&waiting[2..]), None);
        inbox.end(3);
        assert_eq!(inbox.cursor(&waiting[2..]), Some(4));
    }
}
