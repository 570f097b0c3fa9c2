//! The ticket: a one-time, expiring invitation that one person hands to another.
//!
//! A ticket says where the inviting node is, who it is and to which organisation it belongs, and carries the secret
//! that both ends mix into the joining handshake. Whoever holds the text can join once, so it is handed over like a
//! password.

use std::fmt;
use std::str::FromStr;

use crate::codec::{DecodeError, Reader, Writer};
use crate::id::{NodeId, OrganisationId, TicketId, base32, from_base32};
use crate::limits::{MAX_ADDRESS_BYTES, MAX_ADDRESSES, MAX_TICKET_BYTES};
use crate::name::OrganisationName;

const PREFIX: &str = "fedp2p1";
const CHECKSUM_BYTES: usize = 4;

/// An invitation to one organisation.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The organisation that is joined.
    pub organisation: OrganisationId,
    /// Its name.
    pub organisation_name: OrganisationName,
    /// The node that invites.
    pub issuer: NodeId,
    /// Mixed into the handshake; proves that the joiner holds the ticket.
    pub secret: [u8; 32],
    /// First millisecond since 1970 at which the ticket is no longer accepted.
    pub expires: u64,
    /// Where the inviting node listens, as multiaddrs.
    pub addresses: Vec<String>,
}

/// A text is not a usable ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseTicketError {
    /// It does not start like a ticket.
    #[error("this is not a ticket: a ticket starts with \"{PREFIX}\"")]
    Prefix,
    /// A character was lost or changed on the way.
    #[error("the ticket is damaged or incomplete; copy it again as one line")]
    Damaged,
    /// The content is not what a ticket has.
    #[error("the ticket cannot be read")]
    Decode(#[from] DecodeError),
}

impl Ticket {
    /// The public name of the ticket.
    pub fn id(&self) -> TicketId {
        TicketId::of(&self.secret)
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({} to {})", self.id().short(), self.organisation_name)
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut w = Writer::new();
        w.organisation_id(&self.organisation)
            .text(self.organisation_name.as_str())
            .node_id(&self.issuer)
            .raw(&self.secret)
            .u64(self.expires)
            .count(self.addresses.len());
        for address in &self.addresses {
            w.text(address);
        }
        let mut bytes = w.into_bytes();
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(&checksum.as_bytes()[..CHECKSUM_BYTES]);
        write!(f, "{PREFIX}{}", base32(&bytes))
    }
}

impl FromStr for Ticket {
    type Err = ParseTicketError;

    fn from_str(text: &str) -> Result<Self, ParseTicketError> {
        let text = text.trim();
        let body = text
            .get(..PREFIX.len())
            .filter(|start| start.eq_ignore_ascii_case(PREFIX))
            .map(|_| &text[PREFIX.len()..])
            .ok_or(ParseTicketError::Prefix)?;
        if body.len() > MAX_TICKET_BYTES {
            return Err(ParseTicketError::Damaged);
        }
        let bytes = from_base32(body).ok_or(ParseTicketError::Damaged)?;
        let (content, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(ParseTicketError::Damaged)?;
        if blake3::hash(content).as_bytes()[..CHECKSUM_BYTES] != *checksum {
            return Err(ParseTicketError::Damaged);
        }
        let mut r = Reader::new(content);
        let ticket = Self {
            organisation: r.organisation_id()?,
            organisation_name: r.name("organisation name")?,
            issuer: r.node_id()?,
            secret: r.array("secret")?,
            expires: r.u64("expiry")?,
            addresses: read_addresses(&mut r)?,
        };
        r.finish()?;
        Ok(ticket)
    }
}

/// Reads a list of addresses within its limits.
pub(crate) fn read_addresses(r: &mut Reader<'_>) -> Result<Vec<String>, DecodeError> {
    let count = r.count(MAX_ADDRESSES, "number of addresses")?;
    (0..count).map(|_| r.text(MAX_ADDRESS_BYTES, "address").map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            organisation: OrganisationId::from_bytes([1; 32]),
            organisation_name: "acme".parse().unwrap(),
            issuer: NodeId::from_bytes([2; 32]),
            secret: [3; 32],
            expires: 99,
            addresses: vec!["/ip4/127.0.0.1/tcp/4801".to_owned()],
        }
    }

    #[test]
    fn it_reads_back_whatever_the_case_and_the_spaces_around() {
        let text = ticket().to_string();
        assert_eq!(format!("  {}\n", text.to_uppercase()).parse(), Ok(ticket()));
    }

    #[test]
    fn a_lost_or_changed_character_is_named_as_damage() {
        let text = ticket().to_string();
        assert_eq!(text[..text.len() - 1].parse::<Ticket>(), Err(ParseTicketError::Damaged));
        let swapped = text.replacen('a', "b", 1);
        assert_eq!(swapped.parse::<Ticket>(), Err(ParseTicketError::Damaged));
        assert_eq!("hello".parse::<Ticket>(), Err(ParseTicketError::Prefix));
        assert_eq!("ф".parse::<Ticket>(), Err(ParseTicketError::Prefix));
    }

    #[test]
    fn the_secret_is_not_in_the_debug_form() {
        assert!(!format!("{:?}", ticket()).contains(&base32(&[3; 32])));
    }
}
