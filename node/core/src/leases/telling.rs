//! Who is told of claims: the calls that wait for them, the agents that lose them, and those who watch.

use std::collections::BTreeMap;

use fedp2p_crdt::claim::Standing;
use fedp2p_protocols::api::claim as shown;
use fedp2p_protocols::api::{Answer, Reply, watch};
use fedp2p_protocols::claim::Fence;
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::op::Kind;
use fedp2p_protocols::payload::{Message, MessageType};
use fedp2p_protocols::vote::AgentId;

use super::{WAIT_ON, Waiting};
use crate::Core;
use crate::author::Entries;
use crate::effect::Effect;
use crate::input::CallId;

impl Core {
    /// Writes a message of this node itself to one of its agents.
    pub(crate) fn tell_agent(
        &mut self,
        entries: &mut Entries,
        agent: AgentName,
        text: String,
        data: serde_json::Value,
    ) {
        let message = Message {
            to: vec![AgentId { node: self.me(), name: agent }],
            kind: MessageType::Status,
            text,
            data: Some(data),
            reply_to: None,
            correlation: None,
            urgent: true,
            expires: None,
            covers: Vec::new(),
        };
        let lobby = self.lobby;
        let op = self
            .append(entries, lobby, Kind::Message, None, &message.encode())
            .expect("a message of a few lines fits into an entry");
        let position = entries.written.last().map_or(0, |written| written.position);
        self.write_inbox(&mut entries.writes, &op, position);
    }

    /// Answers the calls that have waited long enough.
    pub(super) fn answer_late(&mut self) {
        let now = self.now.monotonic;
        let (late, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.leases.waiting).into_iter().partition(|waiting| waiting.until <= now);
        self.leases.waiting = waiting;
        for late in late {
            if self.in_flight.is_empty() {
                self.finish(late.call, crate::doors::Finish::Claim(late.fence));
            } else {
                // What it waits for may be on its way to the store.
                self.leases.waiting.push(Waiting { until: now + WAIT_ON, ..late });
                self.leases.look_at(now + WAIT_ON);
            }
        }
    }

    /// The store failed: what the waiting calls asked for was perhaps not written.
    pub(crate) fn refuse_waiting(&mut self, error: &fedp2p_protocols::api::Error) {
        for waiting in std::mem::take(&mut self.leases.waiting) {
            self.effect(Effect::Reply(waiting.call, Answer::Error(error.clone())));
        }
    }

    /// Answers a call with its claim as it stands.
    pub(crate) fn finish_claim(&mut self, call: CallId, fence: &Fence) {
        let claims = self.documents.claims(&self.lobby);
        let answer = match claims.get(fence) {
            Some(standing) if standing.is_live() => {
                Answer::Ok(Reply::ClaimTake(Box::new(self.show_claim(&claims, standing))))
            }
            lost => Answer::Error(self.claim_refusal(&claims, fence, lost)),
        };
        self.effect(Effect::Reply(call, answer));
    }

    /// Whether a claim stands otherwise than when that was told last.
    pub(super) fn is_news(&self, standing: &Standing<'_>) -> bool {
        self.leases.told.get(&standing.fence) != Some(&self.claim_state(standing))
    }

    /// Tells those who watch which claims stand otherwise than when that was told last, once what makes them do so is stored.
    pub(crate) fn tell_claims(&mut self) {
        if self.is_silent() {
            // What this node itself said may be out of date.
            return;
        }
        let claims = self.documents.claims(&self.lobby);
        let mut told = BTreeMap::new();
        let mut news = Vec::new();
        for standing in claims.iter() {
            told.insert(standing.fence, self.claim_state(standing));
            if self.is_news(standing) {
                news.push(self.show_claim(&claims, standing));
            }
        }
        self.leases.told = told;
        if let Some(last) = self.in_flight.back_mut() {
            last.news.extend(news);
            return;
        }
        for claim in news {
            self.tell(watch::Event::Claim(Box::new(claim)));
        }
    }

    /// What was to be told of these claims was not stored.
    pub(crate) fn untold(&mut self, news: &[shown::Claim]) {
        for claim in news {
            self.leases.told.remove(&claim.fence);
        }
        if !news.is_empty() {
            self.claims_changed();
        }
    }
}
