//! Proposals and ballots at the doors: what is asked, answered and closed. `ballots` shows how they stand.

use fedp2p_crdt::content::{BallotPlace, Entry, SeenPlace};
use fedp2p_crdt::standing::{Phase, Place, Standing, place, standing};
use fedp2p_protocols::api::{
    Caller, Error, ErrorCode, Reply, proposal, vote_ack, vote_cast, vote_close, vote_list, vote_new,
};
use fedp2p_protocols::limits::{
    MAX_ELECTORATE, MAX_OPEN_QUESTIONS, MAX_OPTIONS, MAX_POLL_TIME_S, MAX_PROPOSAL_ID_BYTES, MAX_QUESTION_BYTES,
    MAX_REASON_BYTES, MAX_SEEN, MAX_VOTERS, MAX_VOTERS_OF_NODE,
};
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_protocols::vote::{
    AgentId, Ballot, Cause, Count, Electorate, Mechanism, Proposal, ProposalKey, Rules, Seen,
};

use super::Finish;
use super::page::page;
use crate::Core;
use crate::author::Entries;
use crate::input::CallId;

/// Where questions are found, and where those that have left.
const LISTING: &str = "\"fedp2p vote list --all\" lists them; what was closed long ago is in the signed log only";
/// Most bytes of a question that a refusal quotes.
const MOST_QUOTED: usize = 200;

impl Core {
    pub(crate) fn vote_new(&mut self, call: CallId, caller: &Caller, request: vote_new::Request) -> Result<(), Error> {
        if request.mechanism == Mechanism::Signoff {
            return Err(Error::new(ErrorCode::Invalid, "an approval is asked for in its own way")
                .hint("ask with \"fedp2p approve ask\""));
        }
        let (id, proposal) = self.draft_proposal(caller, request)?;
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, vec![Entry::Proposal(id.clone(), proposal).into()])?;
        self.commit_call(entries, call, Finish::Vote(ProposalKey { node: self.me(), id }, Reply::VoteNew));
        Ok(())
    }

    /// The proposal that a request asks for, with its id.
    pub(crate) fn draft_proposal(
        &self,
        caller: &Caller,
        request: vote_new::Request,
    ) -> Result<(String, Proposal), Error> {
        let rules = self.rules(caller, &request)?;
        let options = check_options(request.options)?;
        let question = request.question.trim().to_owned();
        if question.is_empty() || question.len() > MAX_QUESTION_BYTES {
            return Err(Error::new(ErrorCode::Invalid, format!("a question has 1 to {MAX_QUESTION_BYTES} bytes"))
                .hint("ask in one sentence, and explain in a note or a message"));
        }
        let id = match request.id {
            Some(id) => check_id(id)?,
            None => self.make_id(&question),
        };
        let me = self.me();
        let existing = self.documents.content(&self.lobby, &me).proposals.get(&id);
        let open = self.documents.content(&self.lobby, &me).proposals.values().filter(|other| other.closed.is_none());
        if existing.is_none() && open.count() >= MAX_OPEN_QUESTIONS {
            let message = format!("the agents of this node have {MAX_OPEN_QUESTIONS} questions that are not closed");
            return Err(Error::new(ErrorCode::TooLarge, message)
                .hint("close some of them with \"fedp2p vote close\", or give them a deadline"));
        }
        let revision = match existing {
            None => 1,
            Some(proposal)
                if proposal.by != caller.name
                    || proposal.closed.is_some()
                    || (proposal.rules.mechanism == Mechanism::Signoff) != (rules.mechanism == Mechanism::Signoff) =>
            {
                return Err(Error::new(
                    ErrorCode::Conflict,
                    format!("there is a proposal {id:?} on this node already"),
                )
                .hint("choose another id: --id ID"));
            }
            Some(proposal) => proposal.revision + 1,
        };
        let opened = self.now.wall_ms;
        let by = caller.name.clone();
        Ok((id, Proposal { by, question, options, rules, revision, opened, acknowledged: None, closed: None }))
    }

    fn rules(&self, caller: &Caller, request: &vote_new::Request) -> Result<Rules, Error> {
        let until = |what: &str, seconds: Option<u32>| match seconds {
            Some(seconds) if !(1..=MAX_POLL_TIME_S).contains(&seconds) => {
                Err(Error::new(ErrorCode::Invalid, format!("{what} is 1 to {MAX_POLL_TIME_S} seconds from now"))
                    .hint("choose a time within these, or none"))
            }
            seconds => Ok(seconds.map(|seconds| self.now.wall_ms + u64::from(seconds) * 1000)),
        };
        let rules = Rules {
            mechanism: request.mechanism,
            threshold: request.threshold,
            of: request.of,
            quorum: request.quorum,
            electorate: self.electorate(caller, &request.electorate)?,
            acknowledge_until: until("the time to acknowledge", request.acknowledge_s)?,
            deadline: until("a deadline", request.deadline_s)?,
            early: request.early,
        };
        if rules.deadline.is_some() && rules.acknowledge_until >= rules.deadline {
            return Err(Error::new(ErrorCode::Invalid, "nobody could vote before the deadline")
                .hint("leave more time between the time to acknowledge and the deadline"));
        }
        Ok(rules)
    }

    fn electorate(&self, caller: &Caller, texts: &[String]) -> Result<Electorate, Error> {
        match texts {
            [] => Ok(Electorate::All),
            [one] if one == "all" => Ok(Electorate::All),
            [one] if one == "people" => Ok(Electorate::People),
            [one] if one.starts_with("role:") => Ok(Electorate::Role(self.find_role(&one["role:".len()..])?)),
            texts if texts.len() > MAX_ELECTORATE => {
                Err(Error::new(ErrorCode::TooLarge, format!("an electorate has at most {MAX_ELECTORATE} agents"))
                    .hint("give them a role, and ask it: role:NAME"))
            }
            texts => {
                let found: std::collections::BTreeSet<AgentId> =
                    texts.iter().map(|text| self.resolve_by(caller, text)).collect::<Result<_, _>>()?;
                Ok(Electorate::Agents(found.into_iter().collect()))
            }
        }
    }

    /// An id from the words of the question that is free on this node.
    fn make_id(&self, question: &str) -> String {
        let picture = self.documents.picture(&self.lobby);
        super::resolve::free_id(question, "vote", |id| picture.proposals().any(|(key, _)| key.id == id))
    }

    pub(crate) fn find_proposal(&self, text: &str) -> Result<ProposalKey, Error> {
        let picture = self.documents.picture(&self.lobby);
        let proposals = picture.proposals().map(|(key, _)| (key.node, key.id));
        let (node, id) = self.find_on_node(text, proposals, "proposal", LISTING)?;
        Ok(ProposalKey { node, id })
    }

    /// Finds a proposal that the caller may still answer, and checks the revision that it saw.
    pub(crate) fn find_open(
        &self,
        caller: &Caller,
        id: &str,
        seen: Option<u32>,
    ) -> Result<(ProposalKey, Standing<'_>), Error> {
        let key = self.find_proposal(id)?;
        let picture = self.documents.picture(&self.lobby);
        let standing = standing(&picture, &key).expect("a proposal that was found is in the picture");
        let proposal = standing.proposal;
        if proposal.closed.is_some() {
            return Err(
                Error::new(ErrorCode::Conflict, format!("{id:?} is closed")).hint("see it with \"fedp2p vote show\"")
            );
        }
        let agent = AgentId { node: self.me(), name: caller.name.clone() };
        match place(&picture, &key, &agent, caller.kind) {
            Place::Free => {}
            Place::NotAsked => {
                return Err(Error::new(ErrorCode::Forbidden, format!("{} is not asked in {id:?}", caller.name))
                    .hint("\"fedp2p vote show\" names those who are"));
            }
            Place::Taken => {
                let message = format!(
                    "{id:?} takes the answers of {MAX_VOTERS_OF_NODE} agents of a node, and {MAX_VOTERS} in all, and others \
                     have given them"
                );
                return Err(Error::new(ErrorCode::Conflict, message)
                    .hint("whoever asks can name those who are asked: --electorate"));
            }
        }
        self.check_seen(&agent, &standing, seen)?;
        Ok((key, standing))
    }

    /// Checks that an agent knows what it answers: it says which revision it saw, it was shown this one or acknowledged it, or
    /// there was never another.
    fn check_seen(&self, agent: &AgentId, standing: &Standing<'_>, revision: Option<u32>) -> Result<(), Error> {
        let proposal = standing.proposal;
        let knows = match (revision, self.shown.get(&agent.name, &standing.key)) {
            (Some(revision), _) => revision == proposal.revision,
            (None, _) if standing.seen.contains(agent) => true,
            (None, Some(shown)) => *shown == standing.asked,
            (None, None) => proposal.revision == 1,
        };
        if knows {
            return Ok(());
        }
        let (id, number) = (&standing.key.id, proposal.revision);
        if revision.is_some_and(|revision| revision == 0 || revision > number) {
            let message = format!("{id:?} is at revision {number}");
            return Err(
                Error::new(ErrorCode::Invalid, message).hint(format!("answer what it asks now: --revision {number}"))
            );
        }
        let alike = self.documents.picture(&self.lobby).proposals().filter(|(key, _)| key.id == *id).count();
        let shown = if alike > 1 { format!("{id}@{}", self.members.display(&standing.key.node)) } else { id.clone() };
        let question = &proposal.question[..proposal.question.floor_char_boundary(MOST_QUOTED)];
        let saw = if revision.is_some() { "has changed" } else { "has changed, and this agent was not shown how" };
        let message = format!("{id:?} {saw}: revision {number} asks {question:?} ({})", proposal.options.join(" | "));
        Err(Error::new(ErrorCode::Conflict, message).hint(format!(
            "read it with \"fedp2p vote show {shown}\", and answer what it asks now: --revision {number}"
        )))
    }

    /// Shows a proposal to an agent, which may answer it from then on.
    pub(crate) fn vote_show(&mut self, caller: &Caller, id: &str) -> Result<proposal::Proposal, Error> {
        let key = self.find_proposal(id)?;
        let shown = self.show_proposal(&key).expect("a proposal that was found is in the picture");
        self.shown.note(&caller.name, &key, shown.asked);
        Ok(shown)
    }

    pub(crate) fn vote_ack(&mut self, call: CallId, caller: &Caller, request: &vote_ack::Request) -> Result<(), Error> {
        let (key, standing) = self.find_open(caller, &request.id, request.revision)?;
        let asked = standing.proposal;
        let seen = Seen { revision: asked.revision, asked: asked.hash(), at: self.now.wall_ms };
        let place = SeenPlace { proposal: key.clone(), agent: caller.name.clone() };
        let known = self.documents.content(&self.lobby, &self.me()).seen.get(&place);
        if known.is_none() && self.documents.content(&self.lobby, &self.me()).seen.len() >= MAX_SEEN {
            let message = format!("the agents of this node say of {MAX_SEEN} open questions that they have seen them");
            return Err(Error::new(ErrorCode::TooLarge, message).hint("wait until some of them are closed"));
        }
        // Seen once is seen.
        let edits = match known {
            Some(known) if known.asked == seen.asked => Vec::new(),
            Some(_) | None => vec![Entry::Seen(place, seen).into()],
        };
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, edits)?;
        self.commit_call(entries, call, Finish::Vote(key, Reply::VoteAck));
        Ok(())
    }

    pub(crate) fn vote_cast(
        &mut self,
        call: CallId,
        caller: &Caller,
        request: &vote_cast::Request,
    ) -> Result<(), Error> {
        let (key, standing) = self.find_open(caller, &request.id, request.revision)?;
        if standing.proposal.rules.mechanism == Mechanism::Signoff {
            return Err(Error::new(
                ErrorCode::Forbidden,
                format!("{:?} is answered by people, with their PIN", request.id),
            )
            .hint("answer with \"fedp2p approve\" or \"fedp2p deny\""));
        }
        check_deadline(&request.id, &standing, self.now.wall_ms)?;
        if let Phase::Acknowledging(until) = standing.phase(self.now.wall_ms) {
            let waiting: Vec<String> = standing.waiting().map(|agent| self.address(agent).to_string()).collect();
            let seconds = until.saturating_sub(self.now.wall_ms).div_ceil(1000);
            return Err(Error::new(
                ErrorCode::Conflict,
                format!("voting on {:?} opens when {} have seen it, or in {seconds} s", request.id, waiting.join(", ")),
            )
            .hint("say that you have seen it with \"fedp2p vote ack\", and vote then"));
        }
        let proposal = standing.proposal;
        let choices: Vec<String> = request
            .choices
            .iter()
            .map(|choice| choose(&request.id, &proposal.options, choice))
            .collect::<Result<_, _>>()?;
        check_choices(proposal, &choices)?;
        if request.reason.as_ref().is_some_and(|reason| reason.len() > MAX_REASON_BYTES) {
            return Err(Error::new(ErrorCode::TooLarge, format!("a reason has at most {MAX_REASON_BYTES} bytes"))
                .hint("say it in fewer words, and the rest in a message"));
        }
        let mut ballot = Ballot {
            revision: proposal.revision,
            asked: proposal.hash(),
            choices,
            reason: request.reason.clone(),
            proven: false,
            at: self.now.wall_ms,
        };
        let electorate = proposal.rules.electorate.clone();
        let number = self.next_ballot(&key, &caller.name, &ballot)?;
        ballot.proven = self.prove_voter(caller, &electorate, request.pin.as_deref())?;
        let place = BallotPlace { proposal: key.clone(), voter: caller.name.clone(), number };
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, vec![Entry::Ballot(place, ballot).into()])?;
        self.commit_call(entries, call, Finish::Vote(key, Reply::VoteCast));
        Ok(())
    }

    /// Finds out whether a person votes: whoever calls without naming an agent says so. Where every agent may vote, one more
    /// voice is no more than that of one more agent; where people alone may, it takes the PIN of the node, and elsewhere if
    /// there is one.
    fn prove_voter(&mut self, caller: &Caller, electorate: &Electorate, pin: Option<&str>) -> Result<bool, Error> {
        let needless = match electorate {
            Electorate::All => true,
            Electorate::People => false,
            Electorate::Role(_) | Electorate::Agents(_) => self.pin.is_none(),
        };
        if pin.is_some() {
            self.check_person(caller)?;
        } else if caller.kind == AgentKind::Ai || needless {
            return Ok(false);
        } else if self.pin.is_some() {
            let message = format!("the vote of {} takes the PIN of the node where not everybody may vote", caller.name);
            return Err(Error::new(ErrorCode::Forbidden, message).hint(
                "give it with --pin, which asks for it on the terminal; an AI agent votes as itself: --agent NAME",
            ));
        }
        self.check_pin(pin)?;
        Ok(true)
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
            return Err(Error::new(ErrorCode::Conflict, format!("{:?} is closed already", request.id))
                .hint("see its result with \"fedp2p vote show\""));
        }
        let cause = if request.withdraw { Cause::Withdrawn } else { Cause::Asker };
        let entry = self.closing(&key, cause).expect("an open proposal can be closed");
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, vec![entry.into()])?;
        self.commit_call(entries, call, Finish::Vote(key, Reply::VoteClose));
        Ok(())
    }

    /// An open proposal with the entry that closes it as it stands.
    pub(crate) fn closing(&self, key: &ProposalKey, cause: Cause) -> Option<Entry> {
        let picture = self.documents.picture(&self.lobby);
        let standing = standing(&picture, key).filter(Standing::is_open)?;
        let closed = Some(standing.close(self.now.wall_ms, cause));
        Some(Entry::Proposal(key.id.clone(), Proposal { closed, ..standing.proposal.clone() }))
    }

    /// Lists proposals. That is not to have been shown one: lists are read for other ends too.
    pub(crate) fn vote_list(&self, request: &vote_list::Request) -> Result<vote_list::Reply, Error> {
        let picture = self.documents.picture(&self.lobby);
        let place = |key: ProposalKey| {
            let opened = picture.proposal(&key).map_or(0, |proposal| proposal.opened);
            (opened, key)
        };
        let after = request.after.as_deref().map(|text| self.find_proposal(text)).transpose()?.map(place);
        let mut keys: Vec<(u64, ProposalKey)> = picture
            .proposals()
            .filter(|(_, proposal)| request.all || proposal.closed.is_none())
            .filter(|(_, proposal)| request.mechanism.is_none_or(|only| only == proposal.rules.mechanism))
            .map(|(key, _)| place(key))
            .filter(|place| after.as_ref().is_none_or(|after| place > after))
            .collect();
        keys.sort();
        let show = |(_, key): (u64, ProposalKey)| self.show_proposal(&key);
        let page = page(keys, request.limit, show, |shown| shown.id.clone())?;
        Ok(vote_list::Reply { proposals: page.rows, more: page.more, next: page.next })
    }
}

fn check_options(options: Vec<String>) -> Result<Vec<String>, Error> {
    let options: Vec<String> = options.into_iter().map(|option| option.trim().to_owned()).collect();
    let mut folded: Vec<String> = options.iter().map(|option| option.to_lowercase()).collect();
    folded.sort();
    folded.dedup();
    if folded.len() != options.len() {
        return Err(Error::new(ErrorCode::Invalid, "two options are the same").hint("name each once"));
    }
    if !(2..=MAX_OPTIONS).contains(&options.len()) {
        return Err(Error::new(
            ErrorCode::Invalid,
            format!("a proposal has 2 to {MAX_OPTIONS} options, not {}", options.len()),
        )
        .hint("name what can be answered, or ask in several steps"));
    }
    Ok(options)
}

/// Checks that the mechanism takes these choices; none at all takes an answer back.
fn check_choices(proposal: &Proposal, choices: &[String]) -> Result<(), Error> {
    let place = |choice: &String| proposal.options.iter().position(|option| option == choice);
    let places: Vec<usize> = choices.iter().filter_map(place).collect();
    let count = Count { options: &proposal.options, rules: &proposal.rules, eligible: 0 };
    if choices.is_empty() || count.is_valid(&places) {
        return Ok(());
    }
    let message = match proposal.rules.mechanism {
        Mechanism::Poll | Mechanism::Vote | Mechanism::Signoff => "this question takes one choice",
        Mechanism::Approval | Mechanism::Ranked => "an option is named twice",
    };
    Err(Error::new(ErrorCode::Invalid, message).hint("\"fedp2p vote show\" says how it is decided"))
}

fn check_id(id: String) -> Result<String, Error> {
    let named = id.parse::<fedp2p_protocols::name::AgentName>();
    match named {
        Ok(_) if id.len() <= MAX_PROPOSAL_ID_BYTES => Ok(id),
        _ => Err(Error::new(ErrorCode::Invalid, format!("{id:?} cannot be the id of a proposal"))
            .hint("an id has a-z, 0-9, '-' and '_', and at most 64 of them")),
    }
}

/// Checks that there is still time to answer the question `id`. Its asker's node may be away and close it late.
pub(super) fn check_deadline(id: &str, standing: &Standing<'_>, now_ms: u64) -> Result<(), Error> {
    if standing.phase(now_ms) == Phase::Overdue {
        return Err(Error::new(ErrorCode::Conflict, format!("the time to answer {id:?} is over"))
            .hint("the node of its asker closes it; \"fedp2p vote show\" says with what result"));
    }
    Ok(())
}

/// Finds the option of the question `id` that a voter means.
fn choose(id: &str, options: &[String], choice: &str) -> Result<String, Error> {
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
        .hint(format!("\"fedp2p vote show {id}\" names the options"))
        .suggest(alike.map(|(_, option)| option.clone()).into_iter().collect()))
}
