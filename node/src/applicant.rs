//! How a node comes to its membership: it founds an organisation of its own, or joins another's with a ticket.
//!
//! Called by [`crate::daemon`] before anything runs. Whatever step is the last one before a crash, the next start goes
//! on from there: the key is there before the database names it, and the inviter's addresses before the membership.

use fedp2p_core::input::Introduction;
use fedp2p_core::membership;
use fedp2p_protocols::api::{ErrorCode, join};
use fedp2p_protocols::certificate::Chain;
use fedp2p_protocols::id::{LogEpochId, Serial};
use fedp2p_protocols::name::{NodeName, normalise};
use fedp2p_protocols::op::NodeKey;
use fedp2p_protocols::ticket::Ticket;

use crate::daemon::{Error, Options, Report, now_ms, random, refused, storage};
use crate::home::Home;
use crate::keys;
use crate::net::{self, JoinFailure};
use crate::store::{Database, Founding, Opened};

/// A node on its way to a membership.
pub(crate) struct Applicant<'a> {
    pub(crate) home: &'a Home,
    pub(crate) options: &'a Options,
    pub(crate) database: &'a Database,
    pub(crate) opened: &'a Opened,
    pub(crate) key: &'a NodeKey,
    pub(crate) report: &'a (dyn Fn(Report) + Send + Sync),
}

/// What a node is.
pub(crate) struct Member {
    pub(crate) chain: Chain,
    pub(crate) root: Option<NodeKey>,
    pub(crate) epoch: LogEpochId,
    pub(crate) inviter: Option<Introduction>,
}

impl Applicant<'_> {
    /// Returns the membership that the node has, having joined or founded an organisation if need be.
    ///
    /// # Errors
    /// If the ticket or the home folder cannot be used; the membership is what it was then.
    pub(crate) async fn member(&self, ticket: Option<join::Request>) -> Result<Member, Error> {
        let root = keys::load(&self.home.organisation_key())
            .map_err(|error| storage("the organisation's key cannot be used", &error))?;
        let present = match (&self.opened.meta.chain, self.opened.meta.epoch) {
            (Some(chain), Some(epoch)) => {
                let chain =
                    Chain::decode(chain).map_err(|error| storage("the stored certificate cannot be used", &error))?;
                let organisation = chain.certificate().organisation;
                let root = root.filter(|root| root.id().as_bytes() == organisation.as_bytes());
                Some(Member { chain, root, epoch, inviter: None })
            }
            _ => None,
        };
        match (present, ticket) {
            (Some(member), None) => Ok(member),
            (None, None) => self.found(),
            (present, Some(request)) => self.join(present, request).await,
        }
    }

    /// Founds an organisation of its own.
    fn found(&self) -> Result<Member, Error> {
        // A root key without a founded database is one of a start that was interrupted.
        let path = self.home.organisation_key();
        let fail = |error: keys::KeyError| storage("the organisation's key cannot be made", &error);
        let root = match keys::load(&path).map_err(fail)? {
            Some(root) => root,
            None => keys::create(&path).map_err(fail)?,
        };
        let user = self.options.person.as_ref().map(|person| person.as_str().to_owned());
        let organisation = self.options.organisation.clone();
        let organisation = organisation
            .or_else(|| user.and_then(|user| user.parse().ok()))
            .unwrap_or_else(|| "mesh".parse().expect("a valid name"));
        let name = self.name();
        let serial = Serial::from_bytes(random());
        let chain = membership::found(&root, self.key.id(), (organisation, name.clone()), serial, now_ms());
        let epoch = self.enter(&chain, &name)?;
        Ok(Member { chain, root: Some(root), epoch, inviter: None })
    }

    fn name(&self) -> NodeName {
        let given = self.options.name.clone();
        let host = || normalise(&rustix::system::uname().nodename().to_string_lossy())?.parse().ok();
        given.or_else(host).unwrap_or_else(|| "node".parse().expect("a valid name"))
    }

    /// Writes the first membership of a database.
    fn enter(&self, chain: &Chain, name: &NodeName) -> Result<LogEpochId, Error> {
        let epoch = LogEpochId::from_bytes(random());
        let founding = Founding { node: self.key.id(), chain: &chain.encode(), epoch, name };
        self.database.found(&founding).map_err(|error| storage("the home folder cannot be written", &error))?;
        Ok(epoch)
    }

    async fn join(&self, present: Option<Member>, request: join::Request) -> Result<Member, Error> {
        let ticket: Ticket = request.ticket.parse().map_err(|error: fedp2p_protocols::ticket::ParseTicketError| {
            refused(ErrorCode::Invalid, error.to_string(), "ask for a new one: fedp2p invite")
        })?;
        let others = self.opened.stored.members.iter().filter_map(|chain| Chain::decode(chain).ok());
        if let Some(member) = present.as_ref() {
            let own = member.chain.certificate();
            if own.organisation == ticket.organisation {
                // A start that was cut off after it had joined may not know yet where the others are.
                self.remember_inviter(&ticket, &ticket.addresses)?;
                return Ok(Member {
                    chain: member.chain.clone(),
                    root: member.root.clone(),
                    epoch: member.epoch,
                    inviter: None,
                });
            }
            let others = others
                .filter(|other| {
                    other.certificate().organisation == own.organisation && other.subject() != self.key.id()
                })
                .count();
            membership::may_leave(&own.organisation_name, member.root.is_some(), others).map_err(Error::Refused)?;
        }
        let wanted =
            request.name.clone().or_else(|| present.as_ref().map(|member| member.chain.certificate().name.clone()));
        let joined = self.shake_hands(&ticket, wanted.unwrap_or_else(|| self.name()), request.name.is_none()).await?;
        let name = joined.chain.certificate().name.clone();
        let mut addresses = vec![joined.address.to_string()];
        addresses
            .extend(ticket.addresses.iter().filter(|address| **address != addresses[0]).cloned().collect::<Vec<_>>());
        // Before the membership: a member that does not know where anybody is would be alone.
        self.remember_inviter(&ticket, &addresses)?;
        let epoch = match &present {
            None => self.enter(&joined.chain, &name)?,
            Some(member) => {
                self.database
                    .set_membership(&joined.chain.encode())
                    .map_err(|error| storage("the membership cannot be written", &error))?;
                self.put_root_aside(member);
                member.epoch
            }
        };
        Ok(Member {
            chain: joined.chain,
            root: None,
            epoch,
            inviter: Some(Introduction { chain: joined.inviter, addresses }),
        })
    }

    /// Runs the handshake, with another name if the wanted one is taken and was not asked for.
    async fn shake_hands(&self, ticket: &Ticket, name: NodeName, may_rename: bool) -> Result<net::Joined, Error> {
        let first = net::join(self.key.seed(), ticket, name).await;
        match first {
            Err(JoinFailure::NameTaken { free }) if may_rename => {
                net::join(self.key.seed(), ticket, free).await.map_err(|error| join_refused(&error))
            }
            outcome => outcome.map_err(|error| join_refused(&error)),
        }
    }

    fn remember_inviter(&self, ticket: &Ticket, addresses: &[String]) -> Result<(), Error> {
        self.database
            .remember_peer(&ticket.issuer, addresses, now_ms())
            .map_err(|error| storage("the inviting node cannot be remembered", &error))
    }

    /// Keeps the key of the organisation that was left, under another name. The node has joined by then: a key that
    /// stays where it is does no harm, for it is not that of the node's organisation.
    fn put_root_aside(&self, left: &Member) {
        let path = self.home.organisation_key();
        let aside =
            self.home.root().join(format!("organisation-{}.key", left.chain.certificate().organisation.short()));
        match std::fs::rename(&path, aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => (self.report)(Report::Log(format!(
                "the key of the organisation that was left cannot be moved: {error}"
            ))),
            _ => {}
        }
    }
}

fn join_refused(error: &JoinFailure) -> Error {
    let (code, hint) = match error {
        JoinFailure::Expired | JoinFailure::Used | JoinFailure::Unknown => {
            (ErrorCode::Conflict, "ask for a new ticket: fedp2p invite")
        }
        JoinFailure::NameTaken { .. } => (ErrorCode::Conflict, "join with another name: --name NAME"),
        JoinFailure::Unreachable { .. } | JoinFailure::Timeout => {
            (ErrorCode::NotFound, "check that the inviting node runs and that its port can be reached from here")
        }
        JoinFailure::Unable | JoinFailure::Protocol(_) | JoinFailure::Network(_) => {
            (ErrorCode::Conflict, "try again, or ask for a new ticket")
        }
    };
    refused(code, error.to_string(), hint)
}
