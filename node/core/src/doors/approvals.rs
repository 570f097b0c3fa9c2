//! Approvals at the doors: what people are asked to sign off, and their answers.

use fedp2p_crdt::content::{BallotPlace, Entry};
use fedp2p_crdt::roles;
use fedp2p_crdt::standing::{Standing, standing};
use fedp2p_protocols::api::{Caller, Error, ErrorCode, Reply, approval_answer, approval_ask, vote_new};
use fedp2p_protocols::limits::{MAX_ANSWERS, MAX_BALLOTS, MAX_REASON_BYTES, MAX_RECIPIENTS};
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::payload::{Message, MessageType};
use fedp2p_protocols::vote::{APPROVE, AgentId, Ballot, Base, DENY, Electorate, Mechanism, Proposal, ProposalKey};

use super::Finish;
use super::budget::What;
use super::votes::check_deadline;
use crate::Core;
use crate::author::Entries;
use crate::input::CallId;

/// Words that the command line needs for itself.
const RESERVED: [&str; 2] = ["ask", "list"];
/// Why the messages of approvals can be appended.
const FITS: &str = "questions and reasons are bounded below the size of an entry";

impl Core {
    pub(crate) fn approval_ask(
        &mut self,
        call: CallId,
        caller: &Caller,
        request: approval_ask::Request,
    ) -> Result<(), Error> {
        if request.id.as_deref().is_some_and(|id| RESERVED.contains(&id)) {
            return Err(
                Error::new(ErrorCode::Invalid, "an approval cannot have this id").hint("choose another: --id ID")
            );
        }
        let asked = vote_new::Request {
            question: request.question,
            options: vec![APPROVE.to_owned(), DENY.to_owned()],
            id: request.id,
            mechanism: Mechanism::Signoff,
            // A share is always one of all who are asked.
            of: if request.needs.is_some() { Base::Electorate } else { Base::default() },
            threshold: request.needs,
            electorate: if request.of.is_empty() { vec!["people".to_owned()] } else { request.of },
            deadline_s: request.deadline_s,
            early: true,
            ..vote_new::Request::default()
        };
        let (id, proposal) = self.draft_proposal(caller, asked)?;
        let people = self.approvers(caller, &proposal)?;
        let message = Message {
            to: people.into_iter().take(MAX_RECIPIENTS).collect(),
            kind: MessageType::Task,
            text: format!("Please approve or deny {id:?}:\n{}", proposal.question),
            data: Some(serde_json::json!({ "approval": id, "revision": proposal.revision })),
            correlation: Some(correlation(&id)),
            urgent: true,
            ..Message::default()
        };
        self.check_spending(caller, &message.to, What::Approval)?;
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, vec![Entry::Proposal(id.clone(), proposal).into()])?;
        let op = self.append_message(&mut entries, &caller.name, &message).expect(FITS);
        self.spend(caller, &message.to, What::Approval, Some((op.id(), None)));
        self.commit_call(entries, call, Finish::Vote(ProposalKey { node: self.me(), id }, Reply::ApprovalAsk));
        Ok(())
    }

    /// The people who may answer, as far as they are known.
    fn approvers(&self, caller: &Caller, proposal: &Proposal) -> Result<Vec<AgentId>, Error> {
        let picture = self.documents.picture(&self.lobby);
        let me = AgentId { node: self.me(), name: caller.name.clone() };
        let is_person = |agent: &AgentId| picture.kind(agent) == Some(fedp2p_protocols::pulse::AgentKind::Person);
        let people: Vec<AgentId> = match &proposal.rules.electorate {
            Electorate::All | Electorate::People => self.all_agents().into_iter().filter(is_person).collect(),
            Electorate::Role(role) => roles::who_has(&picture, role).into_iter().filter(is_person).collect(),
            Electorate::Agents(agents) => {
                if let Some(machine) = agents.iter().find(|agent| !is_person(agent)) {
                    let message = format!("{} is no person, and only people approve", self.address(machine));
                    return Err(Error::new(ErrorCode::Invalid, message).hint("\"fedp2p agents\" names the people"));
                }
                agents.clone()
            }
        };
        let people: Vec<AgentId> = people.into_iter().filter(|agent| *agent != me).collect();
        let needed =
            proposal.rules.threshold().map_or(1, |share| share.needed(u32::try_from(people.len()).unwrap_or(u32::MAX)));
        if (people.len() as u64) < u64::from(needed) {
            let message = format!("{needed} people would have to approve, and {} could", people.len());
            return Err(Error::new(ErrorCode::Conflict, message).hint("nobody approves what they ask for themselves"));
        }
        Ok(people)
    }

    pub(crate) fn approval_answer(
        &mut self,
        call: CallId,
        caller: &Caller,
        request: &approval_answer::Request,
    ) -> Result<(), Error> {
        self.check_person(caller)?;
        self.registration(caller)?;
        if request.reason.as_ref().is_some_and(|reason| reason.len() > MAX_REASON_BYTES) {
            return Err(Error::new(ErrorCode::TooLarge, format!("a reason has at most {MAX_REASON_BYTES} bytes"))
                .hint("say it in fewer words, and the rest in a message"));
        }
        let (key, standing) = self.find_open(caller, &request.id, request.revision)?;
        let proposal = standing.proposal.clone();
        if proposal.rules.mechanism != Mechanism::Signoff {
            return Err(Error::new(ErrorCode::Conflict, format!("{:?} is no question of approval", request.id))
                .hint("answer it with \"fedp2p vote cast\""));
        }
        check_deadline(&request.id, &standing, self.now.wall_ms)?;
        if request.asked.is_some_and(|asked| asked != proposal.hash()) {
            return Err(Error::new(ErrorCode::Conflict, format!("{:?} asks something else by now", request.id))
                .hint("read it again and answer what it asks now"));
        }
        self.check_pin(request.pin.as_deref())?;
        let choice = if request.approve { APPROVE } else { DENY };
        let ballot = Ballot {
            revision: proposal.revision,
            asked: proposal.hash(),
            choices: vec![choice.to_owned()],
            reason: request.reason.clone(),
            proven: true,
            at: self.now.wall_ms,
        };
        let number = self.next_ballot(&key, &caller.name, &ballot)?;
        let place = BallotPlace { proposal: key.clone(), voter: caller.name.clone(), number };
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, vec![Entry::Ballot(place, ballot).into()])?;
        let message = answer(&key, &proposal, request);
        self.append_message(&mut entries, &caller.name, &message).expect(FITS);
        self.commit_call(entries, call, Finish::Vote(key, Reply::ApprovalAnswer));
        Ok(())
    }

    /// Tells the asker that its question closed without an answer, in the entries that close it.
    pub(crate) fn tell_unanswered(&mut self, entries: &mut Entries, key: &ProposalKey) {
        let picture = self.documents.picture(&self.lobby);
        let Some(standing) = standing(&picture, key) else { return };
        let Standing { proposal, tally, .. } = standing;
        if proposal.rules.mechanism != Mechanism::Signoff || tally.winner.is_some() {
            return;
        }
        let by = proposal.by.clone();
        let message = Message {
            to: vec![AgentId { node: key.node, name: by.clone() }],
            kind: MessageType::Result,
            text: format!("not approved by its deadline: {}", proposal.question),
            data: Some(serde_json::json!({ "approval": key.id, "answer": null })),
            correlation: Some(correlation(&key.id)),
            ..Message::default()
        };
        self.append_message(entries, &by, &message).expect(FITS);
    }

    /// The number of this voter's next ballot on a proposal.
    ///
    /// # Errors
    /// If it has changed its mind too often, or there are too many ballots; an answer can always be taken back, once.
    pub(crate) fn next_ballot(&self, key: &ProposalKey, voter: &AgentName, next: &Ballot) -> Result<u32, Error> {
        let own = self.documents.content(&self.lobby, &self.me());
        let of_voter = || own.ballots_on(key).filter(|(place, _)| place.voter == *voter);
        let takes_back = next.choices.is_empty();
        if takes_back && of_voter().last().is_none_or(|(_, last)| last.choices.is_empty()) {
            return Err(Error::new(ErrorCode::Conflict, format!("no vote of {voter} on {:?} stands", key.id))
                .hint("name an option to vote"));
        }
        if own.ballots.len() >= MAX_BALLOTS && !takes_back {
            let message = format!("the agents of this node have {MAX_BALLOTS} answers to questions that are not over");
            return Err(Error::new(ErrorCode::TooLarge, message).hint("wait until those who asked have closed some"));
        }
        if of_voter().filter(|(_, ballot)| ballot.asked == next.asked).count() >= MAX_ANSWERS as usize && !takes_back {
            let message = format!("{voter} has answered {:?} {MAX_ANSWERS} times", key.id);
            return Err(Error::new(ErrorCode::TooLarge, message).hint("what was answered last stands"));
        }
        Ok(of_voter().last().map_or(1, |(place, _)| place.number.saturating_add(1)))
    }
}

/// What ties the messages of one approval together.
fn correlation(id: &str) -> String {
    format!("approval:{id}")
}

fn answer(key: &ProposalKey, proposal: &Proposal, request: &approval_answer::Request) -> Message {
    let (word, choice) = if request.approve { ("approved", APPROVE) } else { ("denied", DENY) };
    let because = request.reason.as_ref().map(|reason| format!("\n{reason}")).unwrap_or_default();
    Message {
        to: vec![AgentId { node: key.node, name: proposal.by.clone() }],
        kind: MessageType::Result,
        text: format!("{word}: {}{because}", proposal.question),
        data: Some(serde_json::json!({
            "approval": key.id, "revision": proposal.revision, "answer": choice, "reason": request.reason,
        })),
        correlation: Some(correlation(&key.id)),
        urgent: true,
        ..Message::default()
    }
}
