//! Certificates: who belongs to an organisation, and on whose word.
//!
//! The organisation is a root key that can be kept offline. The root certifies nodes; a node whose certificate
//! says that it may admit others certifies further ones. A [`Chain`] is at most two certificates long, the
//! root's word first, and proves itself: it needs nothing but the organisation's public key.
//!
//! Times in a certificate decide whether a *session* is opened. They never decide whether an op counts.

use crate::codec::{DecodeError, Reader, Writer};
use crate::id::{NetworkId, NodeId, OrganisationId, Serial};
use crate::name::{NodeName, OrganisationName};
use crate::op::{NodeKey, verify_bytes};

const VERSION: u8 = 1;
const DOMAIN: &[u8] = b"fedp2p/certificate/v1";

/// Most certificates in a chain.
pub const MAX_CHAIN: usize = 2;

/// What a node may do in its organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Roles(u16);

impl Roles {
    /// Takes part.
    pub const MEMBER: Self = Self(1);
    /// Takes part and admits others.
    pub const ADMIN: Self = Self(1 | 2);

    /// Whether the node may admit others.
    pub fn may_admit(self) -> bool {
        self.0 & 2 != 0
    }
}

/// One signed statement: this key is a node of this organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The organisation.
    pub organisation: OrganisationId,
    /// The organisation's name, for people.
    pub organisation_name: OrganisationName,
    /// The node that is certified.
    pub subject: NodeId,
    /// The node's name, unique in the organisation.
    pub name: NodeName,
    /// What it may do.
    pub roles: Roles,
    /// First millisecond since 1970 at which sessions are opened on it.
    pub not_before: u64,
    /// First millisecond since 1970 at which they no longer are.
    pub not_after: u64,
    /// Names this certificate.
    pub serial: Serial,
    /// Who says so: the organisation's key, or a node that may admit.
    pub issuer: [u8; 32],
}

impl Certificate {
    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION)
            .organisation_id(&self.organisation)
            .text(self.organisation_name.as_str())
            .node_id(&self.subject)
            .text(self.name.as_str())
            .u16(self.roles.0)
            .u64(self.not_before)
            .u64(self.not_after)
            .serial(&self.serial)
            .raw(&self.issuer);
        w.into_bytes()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let version = r.u8("certificate version")?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let certificate = Self {
            organisation: r.organisation_id()?,
            organisation_name: r.name("organisation name")?,
            subject: r.node_id()?,
            name: r.name("node name")?,
            roles: Roles(r.u16("roles")?),
            not_before: r.u64("not before")?,
            not_after: r.u64("not after")?,
            serial: r.serial()?,
            issuer: r.array("issuer")?,
        };
        r.finish()?;
        Ok(certificate)
    }
}

/// A certificate chain is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The bytes are not a chain.
    #[error("not a certificate chain")]
    Decode(#[from] DecodeError),
    /// A signature is not its issuer's.
    #[error("a certificate is not signed by its issuer")]
    Signature,
    /// The chain does not lead from the organisation's key to the node, or its issuer may not admit others.
    #[error("the certificate does not come from its organisation")]
    Broken,
    /// The node belongs to another organisation.
    #[error("the node belongs to another organisation, {0}")]
    Foreign(OrganisationName),
    /// The certificate is of another node.
    #[error("the certificate is of another node")]
    Subject,
    /// Outside the time for which it was issued.
    #[error("the certificate has expired or is not valid yet; check both clocks")]
    Expired,
}

/// A verified chain of certificates; the last one is the node's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    certificates: Vec<(Certificate, [u8; 64])>,
}

impl Chain {
    /// Issues the organisation's own certificate for a node, signed by its root key.
    pub fn by_root(root: &NodeKey, mut certificate: Certificate) -> Self {
        certificate.issuer = *root.id().as_bytes();
        certificate.organisation = OrganisationId::from_bytes(*root.id().as_bytes());
        let signature = root.sign_bytes(DOMAIN, &certificate.encode());
        Self { certificates: vec![(certificate, signature)] }
    }

    /// Issues a certificate on the word of a node that the root itself allowed to admit others.
    ///
    /// Organisation, its name and the issuer are taken from the admitting chain.
    ///
    /// # Errors
    /// If `admin` is not the key of a chain that may admit.
    pub fn by_admin(admin: &NodeKey, chain: &Self, mut certificate: Certificate) -> Result<Self, ChainError> {
        let own = chain.certificate();
        if chain.certificates.len() != 1 || !own.roles.may_admit() || own.subject != admin.id() {
            return Err(ChainError::Broken);
        }
        certificate.organisation = own.organisation;
        certificate.organisation_name = own.organisation_name.clone();
        certificate.issuer = *admin.id().as_bytes();
        let signature = admin.sign_bytes(DOMAIN, &certificate.encode());
        let mut certificates = chain.certificates.clone();
        certificates.push((certificate, signature));
        Ok(Self { certificates })
    }

    /// The node's own certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificates.last().expect("a chain is made with at least one certificate").0
    }

    /// The node that is certified.
    pub fn subject(&self) -> NodeId {
        self.certificate().subject
    }

    /// The network whose home is the certifying organisation.
    pub fn network(&self) -> NetworkId {
        NetworkId::of(&self.certificate().organisation)
    }

    /// Whether the node may admit others, by the root's own word.
    pub fn may_admit(&self) -> bool {
        self.certificates.len() == 1 && self.certificate().roles.may_admit()
    }

    /// Whether sessions are opened on this chain at `now`, in milliseconds since 1970.
    pub fn is_current(&self, now: u64) -> bool {
        self.certificates.iter().all(|(c, _)| c.not_before <= now && now < c.not_after)
    }

    /// The first millisecond since 1970 at which the chain is no longer current.
    pub fn not_after(&self) -> u64 {
        self.certificates.iter().map(|(c, _)| c.not_after).min().unwrap_or(0)
    }

    /// The wire form.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.count(self.certificates.len());
        for (certificate, signature) in &self.certificates {
            w.bytes(&certificate.encode()).raw(signature);
        }
        w.into_bytes()
    }

    /// Reads a chain and checks that it leads from its organisation's key to its subject.
    ///
    /// Times are not looked at: see [`Chain::is_current`].
    ///
    /// # Errors
    /// Any fault of format, signature or issuer.
    pub fn decode(bytes: &[u8]) -> Result<Self, ChainError> {
        let mut r = Reader::new(bytes);
        let count = r.count(MAX_CHAIN, "certificates in a chain")?;
        let mut certificates = Vec::with_capacity(count);
        let mut issuer: Option<Certificate> = None;
        for _ in 0..count {
            let encoded = r.bytes(1024, "certificate")?;
            let signature: [u8; 64] = r.array("signature of a certificate")?;
            let certificate = Certificate::decode(encoded)?;
            let allowed = match &issuer {
                None => certificate.issuer == *certificate.organisation.as_bytes(),
                Some(admin) => {
                    admin.roles.may_admit()
                        && certificate.issuer == *admin.subject.as_bytes()
                        && certificate.organisation == admin.organisation
                        && certificate.organisation_name == admin.organisation_name
                        && !certificate.roles.may_admit()
                }
            };
            if !allowed {
                return Err(ChainError::Broken);
            }
            verify_bytes(&certificate.issuer, DOMAIN, encoded, &signature).map_err(|_| ChainError::Signature)?;
            issuer = Some(certificate.clone());
            certificates.push((certificate, signature));
        }
        r.finish()?;
        if certificates.is_empty() {
            return Err(ChainError::Broken);
        }
        Ok(Self { certificates })
    }

    /// Checks that this chain certifies `subject` in `organisation`.
    ///
    /// # Errors
    /// If it is of another node or another organisation.
    pub fn check(&self, subject: &NodeId, organisation: &OrganisationId) -> Result<(), ChainError> {
        let own = self.certificate();
        if own.organisation != *organisation {
            return Err(ChainError::Foreign(own.organisation_name.clone()));
        }
        if own.subject != *subject {
            return Err(ChainError::Subject);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(subject: NodeId, roles: Roles) -> Certificate {
        Certificate {
            organisation: OrganisationId::from_bytes([0; 32]),
            organisation_name: "acme".parse().unwrap(),
            subject,
            name: "taichi".parse().unwrap(),
            roles,
            not_before: 10,
            not_after: 20,
            serial: Serial::from_bytes([1; 16]),
            issuer: [0; 32],
        }
    }

    fn key(seed: u8) -> NodeKey {
        NodeKey::from_seed([seed; 32])
    }

    #[test]
    fn a_chain_of_two_proves_itself() {
        let (root, admin, member) = (key(1), key(2), key(3));
        let first = Chain::by_root(&root, draft(admin.id(), Roles::ADMIN));
        let chain = Chain::by_admin(&admin, &first, draft(member.id(), Roles::MEMBER)).unwrap();
        let read = Chain::decode(&chain.encode()).unwrap();
        assert_eq!(read, chain);
        let organisation = OrganisationId::from_bytes(*root.id().as_bytes());
        read.check(&member.id(), &organisation).unwrap();
        assert_eq!(read.check(&admin.id(), &organisation), Err(ChainError::Subject));
        assert!(read.is_current(10) && !read.is_current(20) && !read.is_current(9));
    }

    #[test]
    fn a_member_cannot_admit_and_an_admin_cannot_make_admins() {
        let (root, admin, other) = (key(1), key(2), key(3));
        let member = Chain::by_root(&root, draft(admin.id(), Roles::MEMBER));
        assert!(Chain::by_admin(&admin, &member, draft(other.id(), Roles::MEMBER)).is_err());
        let first = Chain::by_root(&root, draft(admin.id(), Roles::ADMIN));
        let forged = Chain::by_admin(&admin, &first, draft(other.id(), Roles::ADMIN)).unwrap();
        assert_eq!(Chain::decode(&forged.encode()), Err(ChainError::Broken));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let chain = Chain::by_root(&key(1), draft(key(2).id(), Roles::ADMIN));
        let good = chain.encode();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(Chain::decode(&bad).is_err(), "byte {at}");
            assert!(Chain::decode(&good[..at]).is_err(), "cut at {at}");
        }
    }
}
