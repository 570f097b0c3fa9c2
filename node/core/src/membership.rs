//! Hellos, tickets, and certificates that renew themselves.

use std::time::Duration;

use fedp2p_protocols::api::{Error, ErrorCode, invite};
use fedp2p_protocols::certificate::{Certificate, Chain, Roles};
use fedp2p_protocols::hello::Welcome;
use fedp2p_protocols::id::{NodeId, OrganisationId, Serial, TicketId};
use fedp2p_protocols::joining::{Answer, Request, Turned};
use fedp2p_protocols::limits::MAX_ADDRESSES;
use fedp2p_protocols::name::NodeName;
use fedp2p_protocols::op::{Kind, NodeKey};
use fedp2p_protocols::payload::encode_certificate;
use fedp2p_protocols::sync::Frame;
use fedp2p_protocols::ticket::Ticket;

use crate::Core;
use crate::author::Entries;
use crate::commit::InFlight;
use crate::doors::Finish;
use crate::effect::Effect;
use crate::input::{CallId, Exchange, StoredTicket};
use crate::store::Write;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// How long a member's certificate is good.
pub const MEMBER_VALID_MS: u64 = 30 * DAY_MS;
/// How long the certificate of a node that may admit others is good.
pub const ADMIN_VALID_MS: u64 = 365 * DAY_MS;
/// Certificates are good from a little before they are made, because clocks differ.
const BACKDATED_MS: u64 = 2 * DAY_MS;
/// How often a node looks whether its certificate is to be renewed.
const RENEW_EVERY: Duration = Duration::from_secs(600);

/// Makes the first certificate of an organisation: its root certifies the node that founds it.
pub fn found(
    root: &NodeKey,
    node: NodeId,
    names: (fedp2p_protocols::name::OrganisationName, NodeName),
    serial: Serial,
    now_ms: u64,
) -> Chain {
    let (organisation_name, name) = names;
    let certificate = Certificate {
        organisation: OrganisationId::from_bytes(*root.id().as_bytes()),
        organisation_name,
        subject: node,
        name,
        roles: Roles::ADMIN,
        not_before: now_ms.saturating_sub(BACKDATED_MS),
        not_after: now_ms + ADMIN_VALID_MS,
        serial,
        issuer: [0; 32],
    };
    Chain::by_root(root, certificate)
}

/// Whether a node may leave its organisation for another: only one that founded it and never admitted anybody.
///
/// # Errors
/// If others would be left behind, or the organisation is not the node's own.
pub fn may_leave(
    organisation: &fedp2p_protocols::name::OrganisationName,
    founder: bool,
    others: usize,
) -> Result<(), Error> {
    if founder && others == 0 {
        return Ok(());
    }
    let message = format!("this node is a member of {organisation} together with others; nothing was changed");
    Err(Error::new(ErrorCode::Conflict, message).hint("join with another home folder: fedp2p --home DIR join TICKET"))
}

impl Core {
    pub(crate) fn hello(&mut self, exchange: Exchange, peer: NodeId, welcome: Welcome) {
        let current = welcome.chain.is_current(self.now.wall_ms);
        let encoded = welcome.chain.encode();
        let name = welcome.chain.certificate().name.clone();
        let known = self.members.get(&peer).is_some();
        match self.members.learn(peer, welcome.chain) {
            Ok(news) if current => {
                if news {
                    let write = Write::Member { node: peer, chain: encoded };
                    self.commit_entries(Entries { writes: vec![write], ..Entries::default() });
                }
                if !welcome.addresses.is_empty() {
                    let addresses = welcome.addresses.clone();
                    let write = Write::Peer { node: peer, addresses, last_seen: self.now.wall_ms };
                    self.commit_entries(Entries { writes: vec![write], ..Entries::default() });
                }
                self.effect(Effect::Admit { peer, addresses: welcome.addresses });
                self.effect(Effect::HelloAnswer(exchange, true));
            }
            // A certificate that was renewed meanwhile is on its way by sync; the one shown may be the older.
            Ok(_) if known && self.members.get(&peer).is_some_and(|chain| chain.is_current(self.now.wall_ms)) => {
                self.effect(Effect::Admit { peer, addresses: welcome.addresses });
                self.effect(Effect::HelloAnswer(exchange, true));
            }
            Ok(_) => {
                self.notice(format!("{name} showed a certificate that has expired or is not valid yet"));
                self.effect(Effect::HelloAnswer(exchange, false));
            }
            Err(error) => {
                self.notice(format!("turned a node away: {error}"));
                self.effect(Effect::HelloAnswer(exchange, false));
            }
        }
    }

    pub(crate) fn invite(&mut self, call: CallId, request: &invite::Request) -> Result<(), Error> {
        if !self.chain.may_admit() {
            return Err(Error::new(ErrorCode::Forbidden, "this node may not admit others")
                .hint("ask for a ticket on the node that founded the organisation"));
        }
        if !(60..=30 * 24 * 3600).contains(&request.valid_s) {
            return Err(Error::new(ErrorCode::Invalid, "a ticket is valid for 1 minute to 30 days")
                .hint("an hour is enough for most"));
        }
        let mut addresses = self.listening.clone();
        addresses.truncate(MAX_ADDRESSES);
        if addresses.is_empty() {
            return Err(Error::new(ErrorCode::Conflict, "this node listens nowhere yet").hint("try again in a moment"));
        }
        let own = self.chain.certificate();
        let (organisation, organisation_name) = (own.organisation, own.organisation_name.clone());
        let secret = self.random();
        let expires = self.now.wall_ms + request.valid_s * 1000;
        let ticket = Ticket { organisation, organisation_name, issuer: self.me(), secret, expires, addresses };
        let id = ticket.id();
        self.tickets.insert(id, StoredTicket { secret, expires, used_by: None });
        let reply = invite::Reply { ticket: ticket.to_string(), id, expires };
        let write = Write::Ticket { id, secret, expires, used_by: None };
        self.commit_call(Entries { writes: vec![write], ..Entries::default() }, call, Finish::Invited(reply));
        Ok(())
    }

    pub(crate) fn ticket_shown(&mut self, exchange: Exchange, ticket: TicketId) {
        // An expired or used ticket still opens the handshake, so that its holder is told what is wrong with it.
        let secret = self.tickets.get(&ticket).map(|ticket| ticket.secret);
        self.effect(Effect::TicketSecret(exchange, secret));
    }

    pub(crate) fn join_requested(&mut self, exchange: Exchange, peer: NodeId, ticket: TicketId, request: &Request) {
        match self.admit(peer, ticket, request) {
            Ok((writes, answer)) => {
                let joiner = Some((exchange, peer, Box::new(answer)));
                self.commit(writes, InFlight { joiner, ..InFlight::default() });
            }
            Err(turned) => self.effect(Effect::JoinAnswer(exchange, Box::new(Answer::Turned(turned)))),
        }
    }

    fn admit(&mut self, peer: NodeId, id: TicketId, request: &Request) -> Result<(Vec<Write>, Answer), Turned> {
        let now_ms = self.now.wall_ms;
        let serial = Serial::from_bytes(self.random());
        let ticket = self.tickets.get(&id).cloned().ok_or(Turned::Unable)?;
        match ticket.used_by {
            Some(user) if user != peer => return Err(Turned::Used),
            _ if ticket.expires <= now_ms => return Err(Turned::Expired),
            // The answer may have been lost on the way: the same node may ask again, as long as the ticket is good.
            Some(_) | None => {}
        }
        if self.members.name_taken(&request.name, &peer) {
            return Err(Turned::NameTaken { free: self.members.free_name(&request.name, &peer) });
        }
        let chain = self.issue(peer, request.name.clone(), serial).ok_or(Turned::Unable)?;
        let encoded = chain.encode();
        self.members.learn(peer, chain.clone()).map_err(|_| Turned::Unable)?;
        let used = StoredTicket { used_by: Some(peer), ..ticket };
        self.tickets.insert(id, used.clone());
        let writes = vec![
            Write::Ticket { id, secret: used.secret, expires: used.expires, used_by: Some(peer) },
            Write::Member { node: peer, chain: encoded },
        ];
        let name = request.name.clone();
        self.notice(format!("{name} joined"));
        Ok((writes, Answer::Admitted { chain, inviter: self.chain.clone() }))
    }

    fn issue(&self, subject: NodeId, name: NodeName, serial: Serial) -> Option<Chain> {
        let own = self.chain.certificate();
        let certificate = Certificate {
            organisation: own.organisation,
            organisation_name: own.organisation_name.clone(),
            subject,
            name,
            roles: Roles::MEMBER,
            not_before: self.now.wall_ms.saturating_sub(BACKDATED_MS),
            not_after: self.now.wall_ms + MEMBER_VALID_MS,
            serial,
            issuer: [0; 32],
        };
        Chain::by_admin(&self.key, &self.chain, certificate).ok()
    }

    /// Renews this node's certificate when less than a third of its time is left.
    pub(crate) fn renew_if_due(&mut self) {
        if self.renewal_due > self.now.monotonic {
            return;
        }
        self.renewal_due = self.now.monotonic + RENEW_EVERY;
        let own = self.chain.certificate();
        let whole = self.chain.not_after().saturating_sub(own.not_before);
        if self.chain.not_after().saturating_sub(self.now.wall_ms) > whole / 3 {
            return;
        }
        if let Some(root) = self.root.clone() {
            let serial = Serial::from_bytes(self.random());
            let own = self.chain.certificate();
            let names = (own.organisation_name.clone(), own.name.clone());
            let chain = found(&root, self.me(), names, serial, self.now.wall_ms);
            self.renewed(chain);
            return;
        }
        let admin = self.sessions.keys().copied().find(|peer| self.members.get(peer).is_some_and(Chain::may_admit));
        match admin {
            Some(peer) => self.send(peer, &Frame::Renew),
            None => self.notice(
                "the certificate of this node expires soon and no node that can renew it is reachable".to_owned(),
            ),
        }
    }

    pub(crate) fn renewal_asked(&mut self, peer: NodeId) {
        let now = self.now.monotonic;
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        if session.renewed.is_some_and(|renewed| now < renewed + RENEW_EVERY / 2) {
            return;
        }
        session.renewed = Some(now);
        // Who has expired needs a ticket again.
        let current = self.members.get(&peer).filter(|chain| chain.is_current(self.now.wall_ms));
        let Some(name) = current.map(|chain| chain.certificate().name.clone()) else { return };
        let serial = Serial::from_bytes(self.random());
        if let Some(chain) = self.issue(peer, name, serial) {
            self.send(peer, &Frame::Renewed(Box::new(chain)));
        }
    }

    /// Takes a renewed certificate, if it is one, and tells everybody.
    pub(crate) fn renewed(&mut self, chain: Chain) {
        let organisation = self.chain.certificate().organisation;
        let later = chain.not_after() > self.chain.not_after();
        if chain.check(&self.me(), &organisation).is_err() || !later {
            return;
        }
        self.chain = chain.clone();
        drop(self.members.learn(self.me(), chain.clone()));
        let mut entries = Entries { writes: vec![Write::OwnChain(chain.encode())], ..Entries::default() };
        let lobby = self.lobby;
        self.append(&mut entries, lobby, Kind::Certificate, None, &encode_certificate(&chain))
            .expect("a certificate chain is far below the size of an op");
        self.commit_entries(entries);
        self.effect(Effect::OwnChain(Box::new(chain)));
    }
}
