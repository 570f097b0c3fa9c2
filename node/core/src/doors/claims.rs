//! Claims at the doors: taken, renewed, released, listed. `leases` is what becomes of them.

use fedp2p_crdt::claim::{Claims, Standing, State};
use fedp2p_crdt::content::{Edit, Entry};
use fedp2p_protocols::api::claim as shown;
use fedp2p_protocols::api::{
    Caller, Error, ErrorCode, Reply, claim_check, claim_list, claim_release, claim_renew, claim_take,
};
use fedp2p_protocols::claim::{Claim, End, Ended, Fence, Glob, Mode, Replaced, Resource};
use fedp2p_protocols::limits::{
    MAX_CLAIM_TTL_S, MAX_CLAIM_WHY_BYTES, MAX_CLAIMED_GLOBS, MAX_CLAIMED_WILDCARDS, MAX_CLAIMS, MAX_GLOBS,
    MAX_GLOBS_BYTES, MAX_PAGE, MAX_REPLACED, MIN_CLAIM_TTL_S,
};
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_protocols::vote::AgentId;

use super::Finish;
use super::page::page;
use crate::Core;
use crate::author::Entries;
use crate::input::CallId;
use crate::leases::{MOST_AT_ONCE, replaced};

/// Most claims that a node keeps if it takes more tasks. With what is said under them they fill more than half of what fits
/// into its document.
const MOST_KEPT: usize = 1_200;

/// What somebody wants to claim.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) resource: Resource,
    pub(crate) mode: Mode,
    pub(crate) ttl_s: u32,
    pub(crate) why: Option<String>,
}

impl Core {
    pub(crate) fn claim_take(
        &mut self,
        call: CallId,
        caller: &Caller,
        request: claim_take::Request,
    ) -> Result<(), Error> {
        let globs = check_globs(&request.files, request.mode)?;
        let resource = Resource::Files { repository: request.repository, globs };
        let wish = Wish { resource, mode: request.mode, ttl_s: request.ttl_s, why: request.why };
        let mut entries = Entries::default();
        let counter = self.stake(&mut entries, caller, wish)?;
        let fence = Fence { counter, node: self.me() };
        if request.no_wait || self.is_confirmed(&fence) {
            self.commit_call(entries, call, Finish::Claim(fence));
        } else {
            self.await_claim(call, counter);
            self.commit_entries(entries);
        }
        Ok(())
    }

    /// Claims something for the caller, and returns the number of the claim; the same again renews what it has. The
    /// claim is tentative: [`Core::tend_claims`] goes on with it.
    ///
    /// # Errors
    /// If another holds some of it, or the wish is over a limit.
    pub(crate) fn stake(&mut self, entries: &mut Entries, caller: &Caller, wish: Wish) -> Result<u64, Error> {
        check_wish(&wish)?;
        let salt = u64::from_le_bytes(self.random());
        let (me, at) = (self.me(), self.now.wall_ms);
        let claims = self.documents.claims(&self.lobby);
        let open = |own: &&Standing<'_>| own.fence.node == me && own.claim.ended.is_none();
        let own: Vec<&Standing<'_>> = claims.iter().filter(open).collect();
        let same = |own: &&Standing<'_>| {
            let theirs = (&own.claim.by, &own.claim.resource, own.claim.mode, own.claim.ttl_s);
            own.is_live() && theirs == (&caller.name, &wish.resource, wish.mode, wish.ttl_s)
        };
        let mut edits = Vec::new();
        let counter = match own.iter().copied().find(same) {
            Some(own) => {
                edits.push(Entry::Claim(own.fence.counter, self.renewal_of(own.claim)).into());
                own.fence.counter
            }
            None => {
                self.check_claims_fit(&own, &wish.resource)?;
                let claim = Claim {
                    resource: wish.resource,
                    by: caller.name.clone(),
                    mode: wish.mode,
                    ttl_s: wish.ttl_s,
                    why: wish.why,
                    salt,
                    replaces: Vec::new(),
                    taken: at,
                    renewals: 0,
                    renewed: at,
                    confirmed: None,
                    ended: None,
                };
                let replaces = self.replaceable(&claims, &claim)?;
                edits.extend(self.forget_claims(&claims));
                let counter = self.next_counter(&claims);
                edits.push(Entry::Claim(counter, Claim { replaces, ..claim }).into());
                counter
            }
        };
        self.edit_as(entries, caller, edits)?;
        self.claims_changed();
        Ok(counter)
    }

    /// Whether one more claim of this node counts and has room in its document, beside those that have not ended.
    fn check_claims_fit(&self, own: &[&Standing<'_>], wanted: &Resource) -> Result<(), Error> {
        let too_large = |message, hint| Err(Error::new(ErrorCode::TooLarge, message).hint(hint));
        if own.len() >= MAX_CLAIMS {
            let message = format!("the agents of this node hold {MAX_CLAIMS} claims, and no more fit");
            return too_large(message, "release some of them");
        }
        let resources = own.iter().map(|own| &own.claim.resource).chain([wanted]);
        let count = |(globs, wildcards), resource: &Resource| {
            let (more, wild) = resource.count_globs();
            (globs + more, wildcards + wild)
        };
        let (globs, wildcards) = resources.fold((0, 0), count);
        if globs > MAX_CLAIMED_GLOBS {
            let message = format!(
                "the agents of this node would hold {globs} files, folders and patterns; at most {MAX_CLAIMED_GLOBS} fit"
            );
            return too_large(message, "claim the folder that they are in, or release some claims");
        }
        if wildcards > MAX_CLAIMED_WILDCARDS {
            let message = format!(
                "the agents of this node would hold {wildcards} patterns with * or ?; at most {MAX_CLAIMED_WILDCARDS} fit"
            );
            return too_large(message, "claim files or folders by their names, or release some claims");
        }
        // What was said of a task counts as long as the claim is there under which it was said.
        let kept = self.documents.content(&self.lobby, &self.me()).claims.len();
        if kept >= MOST_KEPT && matches!(wanted, Resource::Task(_)) {
            let message = format!("the agents of this node have worked on {MOST_KEPT} tasks, and no more fit");
            return too_large(message, "let an agent of another node take it");
        }
        Ok(())
    }

    /// The claims that a new one would take over, as their leases have run out.
    fn replaceable(&self, claims: &Claims<'_>, claim: &Claim) -> Result<Vec<Replaced>, Error> {
        let mut replaces = Vec::new();
        for other in claims.in_the_way(self.me(), claim) {
            if self.has_run_out(other) {
                replaces.push(replaced(other));
            } else if other.is_live() {
                return Err(self.held(&claim.resource, claims, other));
            }
        }
        if replaces.len() > MAX_REPLACED {
            let message = format!("{} would take over {} claims that have run out", claim.resource, replaces.len());
            return Err(Error::new(ErrorCode::TooLarge, message).hint("claim less at once"));
        }
        Ok(replaces)
    }

    /// Says that something is held, by whom, since when and until when.
    fn held(&self, wanted: &Resource, claims: &Claims<'_>, by: &Standing<'_>) -> Error {
        let shown = self.show_claim(claims, by);
        let since = self.now.wall_ms.saturating_sub(shown.since) / 1000;
        let until = u64::try_from(self.lasts_ms(by)).unwrap_or(0).div_ceil(1000);
        let holds = if shown.state == shown::State::Tentative { "is about to hold" } else { "holds" };
        let message = format!(
            "{} {holds} {:?} since {since} s, and for {until} s more unless it renews that: {wanted} overlaps it (claim {})",
            shown.by, shown.what, shown.id
        );
        Error::new(ErrorCode::Conflict, message)
            .hint(format!("ask {} to release it, or wait: \"fedp2p claim list\" shows until when", shown.by))
    }

    /// Why a call gets no claim.
    pub(crate) fn claim_refusal(&self, claims: &Claims<'_>, fence: &Fence, lost: Option<&Standing<'_>>) -> Error {
        let winner = lost.and_then(|lost| match lost.state {
            State::Lost { to } => Some((lost, claims.get(&claims.ahead(&to))?)),
            State::Tentative | State::Confirmed | State::Ended(_) => None,
        });
        match winner {
            Some((lost, winner)) if winner.is_live() => self.held(&lost.claim.resource, claims, winner),
            Some((lost, _)) => {
                let message = format!("{} was lost to another, who gave it up by now", lost.claim.resource);
                Error::new(ErrorCode::Conflict, message).hint("claim it again")
            }
            None => has_ended(&fence.counter.to_string()),
        }
    }

    fn is_confirmed(&self, fence: &Fence) -> bool {
        self.documents.claims(&self.lobby).get(fence).is_some_and(|standing| standing.state == State::Confirmed)
    }

    pub(crate) fn claim_renew(
        &mut self,
        call: CallId,
        caller: &Caller,
        request: &claim_renew::Request,
    ) -> Result<(), Error> {
        let wrap = |claims| Reply::ClaimRenew(claim_renew::Reply { claims });
        self.change_claims(call, caller, &request.claims, wrap, |core, claim| core.renewal_of(claim))
    }

    pub(crate) fn claim_release(
        &mut self,
        call: CallId,
        caller: &Caller,
        request: &claim_release::Request,
    ) -> Result<(), Error> {
        let wrap = |claims| Reply::ClaimRelease(claim_release::Reply { claims });
        self.change_claims(call, caller, &request.claims, wrap, |core, claim| core.released(claim))
    }

    pub(crate) fn released(&self, claim: &Claim) -> Claim {
        let ended = Some(Ended { cause: End::Released, to: None, at: self.now.wall_ms });
        Claim { ended, ..claim.clone() }
    }

    /// Changes claims of the caller, and answers with them.
    fn change_claims(
        &mut self,
        call: CallId,
        caller: &Caller,
        ids: &[String],
        wrap: fn(Vec<shown::Claim>) -> Reply,
        change: impl Fn(&Self, &Claim) -> Claim,
    ) -> Result<(), Error> {
        let claims = self.documents.claims(&self.lobby);
        let mut fences = Vec::new();
        if ids.is_empty() {
            let own = |own: &&Standing<'_>| own.fence.node == self.me() && own.claim.by == caller.name;
            fences.extend(claims.iter().filter(own).filter(|own| own.claim.ended.is_none()).map(|own| own.fence));
        }
        for id in ids {
            fences.push(self.own_claim(caller, &claims, id)?);
        }
        let mut edits: Vec<Edit> = Vec::new();
        for fence in &fences {
            let claim = claims.get(fence).map(|own| change(self, own.claim)).expect("it was found just now");
            edits.push(Entry::Claim(fence.counter, claim).into());
        }
        let mut entries = Entries::default();
        self.edit_as(&mut entries, caller, Vec::new())?;
        for edits in edits.chunks(MOST_AT_ONCE) {
            self.edit_as(&mut entries, caller, edits.to_vec())?;
        }
        self.claims_changed();
        let shown = self.show_claims(|standing| fences.contains(&standing.fence));
        self.commit_call(entries, call, Finish::Reply(Box::new(wrap(shown))));
        Ok(())
    }

    /// Finds a claim that the caller may change.
    fn own_claim(&self, caller: &Caller, claims: &Claims<'_>, id: &str) -> Result<Fence, Error> {
        let standing = self.find_claim(claims, id)?;
        let by = AgentId { node: standing.fence.node, name: standing.claim.by.clone() };
        let person_here = caller.kind == AgentKind::Person && by.node == self.me();
        if !person_here && by != (AgentId { node: self.me(), name: caller.name.clone() }) {
            let by = self.address(&by);
            return Err(Error::new(ErrorCode::Forbidden, format!("claim {id} is one of {by}"))
                .hint(format!("ask {by}, or a person on its node")));
        }
        if standing.claim.ended.is_some() {
            return Err(has_ended(id));
        }
        Ok(standing.fence)
    }

    /// Finds a claim by its number, or `number@node`.
    fn find_claim<'a, 'b>(&self, claims: &'b Claims<'a>, id: &str) -> Result<&'b Standing<'a>, Error> {
        let (number, node) = id.split_once('@').map_or((id, None), |(number, node)| (number, Some(node)));
        let on_node =
            |standing: &&Standing<'a>| node.is_none_or(|node| self.members.display(&standing.fence.node) == node);
        let alike = number.parse().ok().map(|counter| claims.alike(counter));
        let found: Vec<&Standing<'a>> = alike.into_iter().flatten().filter(on_node).collect();
        match found.as_slice() {
            [one] => Ok(one),
            [] => Err(Error::new(ErrorCode::NotFound, format!("there is no claim {id:?}"))
                .hint("a claim is named by its number: \"fedp2p claim list\" shows it")),
            several => Err(Error::new(ErrorCode::Ambiguous, format!("more than one node has a claim {number}"))
                .hint("write number@node")
                .suggest(several.iter().map(|standing| self.claim_id(claims, &standing.fence)).collect())),
        }
    }

    pub(crate) fn claim_list(&self, request: &claim_list::Request) -> Result<claim_list::Reply, Error> {
        let claims = self.documents.claims(&self.lobby);
        if let Some(id) = &request.id {
            let one = self.find_claim(&claims, id)?;
            return Ok(claim_list::Reply { claims: vec![self.show_claim(&claims, one)], more: 0, next: None });
        }
        let by = request.by.as_deref().map(|text| self.resolve(text)).transpose()?;
        let after = request.after.as_deref().map(|text| self.find_claim(&claims, text)).transpose()?;
        let wanted = |standing: &&Standing<'_>| {
            let theirs = by.as_ref().is_none_or(|by| (by.node, &by.name) == (standing.fence.node, &standing.claim.by));
            let later = after.is_none_or(|after| standing.fence > after.fence);
            theirs && later && (request.all || standing.is_live())
        };
        let show = |standing: &Standing<'_>| Some(self.show_claim(&claims, standing));
        let page = page(claims.iter().filter(wanted), request.limit, show, |claim| claim.id.clone())?;
        Ok(claim_list::Reply { claims: page.rows, more: page.more, next: page.next })
    }

    pub(crate) fn claim_check(
        &self,
        caller: &Caller,
        request: &claim_check::Request,
    ) -> Result<claim_check::Reply, Error> {
        if request.paths.len() > MAX_PAGE as usize {
            return Err(Error::new(ErrorCode::TooLarge, format!("at most {MAX_PAGE} paths can be checked at once"))
                .hint("check them in parts"));
        }
        let me = AgentId { node: self.me(), name: caller.name.clone() };
        let claims = self.documents.claims(&self.lobby);
        let by_me = |standing: &Standing<'_>| (me.node, &me.name) == (standing.fence.node, &standing.claim.by);
        let foreign = |standing: &&Standing<'_>| standing.is_live() && !by_me(standing) && !self.has_run_out(standing);
        let foreign: Vec<&Standing<'_>> = claims.iter().filter(foreign).collect();
        let own: Vec<&Standing<'_>> = claims.iter().filter(|standing| by_me(standing)).collect();
        let covers = |standing: &&Standing<'_>, path| standing.claim.resource.covers(&request.repository, path);
        // Those who share a file keep out whoever wanted it alone and does not share it by now.
        let wants_alone = |path| {
            let wanted = |own: &&Standing<'_>| own.is_live() || matches!(own.state, State::Lost { .. });
            let of = |mode| move |own: &&&Standing<'_>| own.claim.mode == mode;
            let alone = own.iter().filter(of(Mode::Exclusive)).any(|own| wanted(own) && covers(own, path));
            let shares = own.iter().filter(of(Mode::Shared)).any(|own| own.is_live() && covers(own, path));
            alone && !shares
        };
        let held = request.paths.iter().filter_map(|path| {
            let keeps_out = |standing: &&&Standing<'_>| standing.claim.mode == Mode::Exclusive || wants_alone(path);
            let holder = foreign.iter().filter(keeps_out).find(|standing| covers(standing, path))?;
            Some(claim_check::Held { path: path.clone(), claim: self.show_claim(&claims, holder) })
        });
        Ok(claim_check::Reply { held: held.collect() })
    }

    pub(crate) fn show_claims(&self, wanted: impl Fn(&Standing<'_>) -> bool) -> Vec<shown::Claim> {
        let claims = self.documents.claims(&self.lobby);
        claims.iter().filter(|standing| wanted(standing)).map(|standing| self.show_claim(&claims, standing)).collect()
    }

    /// How people name a claim.
    fn claim_id(&self, claims: &Claims<'_>, fence: &Fence) -> String {
        let counter = fence.counter;
        if claims.alike(counter).nth(1).is_some() {
            format!("{counter}@{}", self.members.display(&fence.node))
        } else {
            counter.to_string()
        }
    }

    pub(crate) fn claim_state(&self, standing: &Standing<'_>) -> shown::State {
        match standing.state {
            State::Tentative | State::Confirmed if self.has_run_out(standing) => shown::State::Overdue,
            State::Tentative => shown::State::Tentative,
            State::Confirmed => shown::State::Confirmed,
            State::Ended(End::Renumbered) => shown::State::Renumbered,
            State::Lost { .. } if standing.claim.ended.is_some_and(|ended| ended.cause == End::Renumbered) => {
                shown::State::Renumbered
            }
            State::Lost { .. } | State::Ended(End::Lost) => shown::State::Lost,
            State::Ended(End::Released) => shown::State::Released,
            State::Ended(End::Expired) => shown::State::Expired,
        }
    }

    /// A claim as every door shows it.
    pub(crate) fn show_claim(&self, claims: &Claims<'_>, standing: &Standing<'_>) -> shown::Claim {
        let (claim, fence) = (standing.claim, standing.fence);
        let address = |standing: &Standing<'_>| {
            self.address(&AgentId { node: standing.fence.node, name: standing.claim.by.clone() })
        };
        let lost_to = match standing.state {
            State::Lost { to } => {
                let ahead = claims.ahead(&to);
                Some(shown::Winner {
                    id: self.claim_id(claims, &ahead),
                    by: claims.get(&ahead).map(address),
                    node: self.members.name(&ahead.node).cloned(),
                })
            }
            State::Tentative | State::Confirmed | State::Ended(_) => None,
        };
        let members = u32::try_from(self.claim_members().len()).unwrap_or(u32::MAX);
        shown::Claim {
            id: self.claim_id(claims, &fence),
            fence,
            resource: claim.resource.clone(),
            what: claim.resource.to_string(),
            by: address(standing),
            mode: claim.mode,
            why: claim.why.clone(),
            state: self.claim_state(standing),
            lost_to,
            acknowledged: standing.acknowledged.iter().map(|node| self.members.display(node)).collect(),
            members: standing.confirmation().map_or(members, |by| by.members),
            majority: standing.is_majority(),
            since: claim.taken,
            until: self.now.wall_ms.saturating_add_signed(self.lasts_ms(standing)),
            ttl_s: claim.ttl_s,
        }
    }
}

fn has_ended(id: &str) -> Error {
    let error = Error::new(ErrorCode::Conflict, format!("claim {id} has ended"));
    error.hint("\"fedp2p claim list --all\" shows why")
}

fn check_globs(files: &[String], mode: Mode) -> Result<Vec<Glob>, Error> {
    if !(1..=MAX_GLOBS).contains(&files.len()) {
        let message = format!("a claim is on 1 to {MAX_GLOBS} files, folders or patterns, not {}", files.len());
        return Err(Error::new(ErrorCode::Invalid, message).hint("name what you will change"));
    }
    let mut globs = Vec::new();
    for text in files {
        let glob: Glob = text.parse().map_err(|error| {
            Error::new(ErrorCode::Invalid, format!("{text:?} cannot be claimed: {error}"))
                .hint("write paths from the root of the repository, such as src/parser or docs/*.md")
        })?;
        if glob.is_everything() && mode == Mode::Exclusive {
            return Err(Error::new(ErrorCode::Invalid, format!("{text:?} is everything there is"))
                .hint("name the folders that you will change, or share it: --shared"));
        }
        globs.push(glob);
    }
    globs.sort();
    globs.dedup();
    let bytes: usize = globs.iter().map(|glob| glob.as_str().len()).sum();
    if bytes > MAX_GLOBS_BYTES {
        let message = format!("what is claimed at once is named with at most {MAX_GLOBS_BYTES} bytes, not {bytes}");
        return Err(Error::new(ErrorCode::TooLarge, message).hint("claim the folder, or in several claims"));
    }
    Ok(globs)
}

fn check_wish(wish: &Wish) -> Result<(), Error> {
    if !(MIN_CLAIM_TTL_S..=MAX_CLAIM_TTL_S).contains(&wish.ttl_s) {
        let message = format!("a lease is {MIN_CLAIM_TTL_S} to {MAX_CLAIM_TTL_S} seconds, not {}", wish.ttl_s);
        return Err(Error::new(ErrorCode::Invalid, message)
            .hint("a lease is renewed while its agent works: 900 is a good start"));
    }
    if wish.why.as_ref().is_some_and(|why| why.len() > MAX_CLAIM_WHY_BYTES) {
        let message = format!("what a claim is for has at most {MAX_CLAIM_WHY_BYTES} bytes");
        return Err(Error::new(ErrorCode::TooLarge, message).hint("say it in fewer words"));
    }
    Ok(())
}
