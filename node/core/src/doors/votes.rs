//! Proposals and ballots at the doors.

use fedp2p_crdt::content::Edit;
use fedp2p_crdt::standing::{self, BallotState, Standing};
use fedp2p_protocols::api::proposal::{self, Counts};
use fedp2p_protocols::api::{Caller, Error, ErrorCode, Reply, vote_cast, vote_close, vote_list, vote_new};
use fedp2p_protocols::limits::{MAX_OPTIONS, MAX_PROPOSAL_ID_BYTES, MAX_QUESTION_BYTES, MAX_REASON_BYTES};
use fedp2p_protocols::name::normalise;
use fedp2p_protocols::vote::{AgentId, Ballot, Closing, Proposal, ProposalKey};

use super::Finish;
use crate::Core;
use crate::author::Entries;
use crate::input::CallId;

impl Core {
    pub(crate) fn vote_new(&mut self, call: CallId, caller: &Caller, request: vote_new::Request) -> Result<(), Error> {
        let options = check_options(request.options)?;
        let question = request.question.trim().to_owned();
        if question.is_empty() || question.len() > MAX_QUESTION_BYTES {
            return Err(Error::new(ErrorCode::Invalid, format!("a question has 1 to {MAX_QUESTION_BYTES} bytes")));
        }
        let id = match request.id {
            Some(id) => check_id(id)?,
            None => self.make_id(&question),
        };
        let me = self.me();
        let existing = self.documents.content(&self.lobby, &me).proposals.get(&id);
        let revision = match existing {
            None => 1,
            Some(proposal) if proposal.by != caller.name || proposal.closed.is_some() => {
                return Err(Error::new(
                    ErrorCode::Conflict,
                    format!("there is a proposal {id:?} on this node already"),
                )
                .hint("choose another id: --id ID"));
            }
            Some(proposal) => proposal.revision + 1,
        };
        let proposal = Proposal {
            by: caller.name.clone(),
            question,
            options,
            mechanism: request.mechanism,
            revision,
            opened: self.now.wall_ms,
            closed: None,
        };
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, vec![Edit::Propose { id: id.clone(), proposal }])?;
        self.commit_call(entries, call, Finish::Vote(ProposalKey { node: me, id }, Reply::VoteNew));
        Ok(())
    }

    /// An id from the words of the question that is free on this node.
    fn make_id(&self, question: &str) -> String {
        let words = normalise(question).unwrap_or_else(|| "vote".to_owned());
        let base: String = words.chars().take(40).collect();
        let base = base.trim_end_matches('-').to_owned();
        let taken = |id: &str| self.documents.picture(&self.lobby).proposals().any(|(key, _)| key.id == id);
        if !taken(&base) {
            return base;
        }
        (2..)
            .map(|number| format!("{base}-{number}"))
            .find(|id| !taken(id))
            .expect("there are more numbers than proposals")
    }

    pub(crate) fn find_proposal(&self, text: &str) -> Result<ProposalKey, Error> {
        let (id, node) = text.split_once('@').map_or((text, None), |(id, node)| (id, Some(node)));
        let picture = self.documents.picture(&self.lobby);
        let on_node = |key: &ProposalKey| {
            node.is_none_or(|node| self.members.name(&key.node).is_some_and(|name| name.as_str() == node))
        };
        let found: Vec<ProposalKey> =
            picture.proposals().map(|(key, _)| key).filter(|key| key.id == id && on_node(key)).collect();
        match found.as_slice() {
            [one] => Ok(one.clone()),
            [] => {
                let mut alike: Vec<(f64, String)> = picture
                    .proposals()
                    .map(|(key, _)| (strsim::jaro_winkler(id, &key.id), key.id))
                    .filter(|(alike, _)| *alike > 0.75)
                    .collect();
                alike.sort_by(|(a, left), (b, right)| b.total_cmp(a).then_with(|| left.cmp(right)));
                Err(Error::new(ErrorCode::NotFound, format!("there is no proposal {text:?}"))
                    .hint("\"fedp2p vote list --all\" lists them")
                    .suggest(alike.into_iter().take(3).map(|(_, id)| id).collect()))
            }
            several => {
                let names =
                    several.iter().map(|key| format!("{}@{}", key.id, self.members.display(&key.node))).collect();
                Err(Error::new(ErrorCode::Ambiguous, format!("more than one node has a proposal {id:?}"))
                    .hint("write id@node")
                    .suggest(names))
            }
        }
    }

    pub(crate) fn vote_cast(
        &mut self,
        call: CallId,
        caller: &Caller,
        request: &vote_cast::Request,
    ) -> Result<(), Error> {
        let key = self.find_proposal(&request.id)?;
        let picture = self.documents.picture(&self.lobby);
        let proposal = picture.proposal(&key).expect("a proposal that was found is in the picture");
        if proposal.closed.is_some() {
            return Err(Error::new(ErrorCode::Conflict, format!("{:?} is closed", request.id))
                .hint("see it with \"fedp2p vote show\""));
        }
        if request.revision.is_some_and(|revision| revision != proposal.revision) {
            return Err(Error::new(
                ErrorCode::Conflict,
                format!("{:?} has changed; its revision is {}", request.id, proposal.revision),
            )
            .hint("read it again and cast a ballot for what it asks now"));
        }
        let choice = choose(&proposal.options, &request.choice)?;
        if request.reason.as_ref().is_some_and(|reason| reason.len() > MAX_REASON_BYTES) {
            return Err(Error::new(ErrorCode::TooLarge, format!("a reason has at most {MAX_REASON_BYTES} bytes")));
        }
        let ballot =
            Ballot { revision: proposal.revision, choice, reason: request.reason.clone(), at: self.now.wall_ms };
        let cast = &self.documents.content(&self.lobby, &self.me()).ballots;
        let mine = cast.get(&key).and_then(|voters| voters.get(&caller.name));
        let number = mine.and_then(|ballots| ballots.last_key_value()).map_or(1, |(number, _)| number + 1);
        let edit = Edit::Cast { proposal: key.clone(), voter: caller.name.clone(), number, ballot };
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, vec![edit])?;
        self.commit_call(entries, call, Finish::Vote(key, Reply::VoteCast));
        Ok(())
    }

    pub(crate) fn vote_close(
        &mut self,
        call: CallId,
        caller: &Caller,
        request: &vote_close::Request,
    ) -> Result<(), Error> {
        let key = self.find_proposal(&request.id)?;
        let picture = self.documents.picture(&self.lobby);
        let proposal = picture.proposal(&key).expect("a proposal that was found is in the picture");
        if key.node != self.me() || proposal.by != caller.name {
            let by = self.address(&AgentId { node: key.node, name: proposal.by.clone() });
            return Err(Error::new(ErrorCode::Forbidden, format!("only {by} can close {:?}", request.id))
                .hint(format!("ask {by} to close it")));
        }
        if proposal.closed.is_some() {
            return Err(Error::new(ErrorCode::Conflict, format!("{:?} is closed already", request.id)));
        }
        let closing = Closing { at: self.now.wall_ms, counted: standing::countable(&picture, &key) };
        let edit = Edit::Close { id: key.id.clone(), closing };
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, vec![edit])?;
        self.commit_call(entries, call, Finish::Vote(key, Reply::VoteClose));
        Ok(())
    }

    pub(crate) fn vote_list(&self, request: &vote_list::Request) -> vote_list::Reply {
        let picture = self.documents.picture(&self.lobby);
        let mut keys: Vec<(u64, ProposalKey)> = picture
            .proposals()
            .filter(|(_, proposal)| request.all || proposal.closed.is_none())
            .map(|(key, proposal)| (proposal.opened, key))
            .collect();
        keys.sort();
        vote_list::Reply { proposals: keys.iter().filter_map(|(_, key)| self.show_proposal(key)).collect() }
    }

    pub(crate) fn show_proposal(&self, key: &ProposalKey) -> Option<proposal::Proposal> {
        let picture = self.documents.picture(&self.lobby);
        let standing = standing::standing(&picture, key)?;
        let asked = standing.proposal;
        let same_id = picture.proposals().filter(|(other, _)| other.id == key.id).count();
        let id = if same_id > 1 { format!("{}@{}", key.id, self.members.display(&key.node)) } else { key.id.clone() };
        Some(proposal::Proposal {
            id,
            by: self.address(&AgentId { node: key.node, name: asked.by.clone() }),
            question: asked.question.clone(),
            options: asked.options.clone(),
            mechanism: asked.mechanism,
            revision: asked.revision,
            open: standing.is_open(),
            opened: asked.opened,
            closed: asked.closed.as_ref().map(|closing| closing.at),
            winner: standing.tally.winner.clone(),
            votes: standing.tally.votes.clone(),
            ballots: self.show_ballots(&standing),
        })
    }

    fn show_ballots(&self, standing: &Standing<'_>) -> Vec<proposal::Ballot> {
        let shown = standing.ballots.iter().filter_map(|cast| {
            let counts = counts(cast.state)?;
            Some(proposal::Ballot {
                voter: self.address(&cast.key.voter),
                choice: cast.ballot.choice.clone(),
                reason: cast.ballot.reason.clone(),
                revision: cast.ballot.revision,
                at: cast.ballot.at,
                counts,
            })
        });
        shown.collect()
    }
}

/// How a ballot is shown; one that its voter replaced is not.
#[expect(clippy::wildcard_enum_match_arm, reason = "states of a later version are not shown")]
fn counts(state: BallotState) -> Option<Counts> {
    match state {
        BallotState::Counts => Some(Counts::Yes),
        BallotState::OtherRevision => Some(Counts::Outdated),
        BallotState::NotAnOption => Some(Counts::Unknown),
        BallotState::Late => Some(Counts::Late),
        _ => None,
    }
}

fn check_options(options: Vec<String>) -> Result<Vec<String>, Error> {
    let options: Vec<String> = options.into_iter().map(|option| option.trim().to_owned()).collect();
    let mut folded: Vec<String> = options.iter().map(|option| option.to_lowercase()).collect();
    folded.sort();
    folded.dedup();
    if folded.len() != options.len() {
        return Err(Error::new(ErrorCode::Invalid, "two options are the same"));
    }
    if !(2..=MAX_OPTIONS).contains(&options.len()) {
        return Err(Error::new(
            ErrorCode::Invalid,
            format!("a proposal has 2 to {MAX_OPTIONS} options, not {}", options.len()),
        ));
    }
    Ok(options)
}

fn check_id(id: String) -> Result<String, Error> {
    let named = id.parse::<fedp2p_protocols::name::AgentName>();
    match named {
        Ok(_) if id.len() <= MAX_PROPOSAL_ID_BYTES => Ok(id),
        _ => Err(Error::new(ErrorCode::Invalid, format!("{id:?} cannot be the id of a proposal"))
            .hint("an id has a-z, 0-9, '-' and '_', and at most 64 of them")),
    }
}

/// Finds the option that a voter means.
fn choose(options: &[String], choice: &str) -> Result<String, Error> {
    let choice = choice.trim();
    let folded = choice.to_lowercase();
    if let Some(option) = options.iter().find(|option| option.to_lowercase() == folded) {
        return Ok(option.clone());
    }
    let alike = options
        .iter()
        .map(|option| (strsim::jaro_winkler(&folded, &option.to_lowercase()), option))
        .filter(|(alike, _)| *alike > 0.75)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    Err(Error::new(ErrorCode::Invalid, format!("{choice:?} is not an option"))
        .hint(format!("the options are {}", options.join(", ")))
        .suggest(alike.map(|(_, option)| option.clone()).into_iter().collect()))
}
