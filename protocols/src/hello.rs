//! The hello: two nodes prove to each other that they belong to one organisation, without telling a stranger which.
//!
//! It runs on its own stream, opened by the dialling node, on every new connection. Each message is one frame:
//!
//! 1. dialler: [`Knock`] — a nonce and a proof that it knows the organisation
//! 2. listener: [`Welcome`] — its certificate chain and addresses. A knock that proves nothing gets no answer.
//! 3. dialler: [`Welcome`] — the same of itself
//! 4. listener: one byte, 1, once it has admitted the dialler
//!
//! The proof is BLAKE3 keyed with a key derived from the organisation's public key, over the nonce and both node ids.
//! That public key is known to members and to whoever held a ticket. The knock hides the organisation from
//! everybody else; it is not what admits: the certificate is.

use crate::certificate::{Chain, ChainError};
use crate::codec::{DecodeError, Reader, Writer};
use crate::id::{NodeId, OrganisationId};
use crate::limits::MAX_JOIN_BYTES;
use crate::ticket::read_addresses;

/// Name of the stream protocol.
pub const PROTOCOL: &str = "/fedp2p/hello/1";

/// The first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knock {
    nonce: [u8; 16],
    proof: [u8; 32],
}

fn proof(organisation: &OrganisationId, nonce: &[u8; 16], from: &NodeId, to: &NodeId) -> blake3::Hash {
    let key = blake3::derive_key("fedp2p/1 knock", organisation.as_bytes());
    blake3::keyed_hash(&key, &[&nonce[..], from.as_bytes(), to.as_bytes()].concat())
}

impl Knock {
    /// Makes the knock of `from` at the door of `to`.
    pub fn new(organisation: &OrganisationId, nonce: [u8; 16], from: &NodeId, to: &NodeId) -> Self {
        Self { nonce, proof: *proof(organisation, &nonce, from, to).as_bytes() }
    }

    /// Whether the knocker knows `organisation`.
    pub fn is_for(&self, organisation: &OrganisationId, from: &NodeId, to: &NodeId) -> bool {
        // Comparing two `Hash` values takes the same time wherever they differ.
        proof(organisation, &self.nonce, from, to) == blake3::Hash::from_bytes(self.proof)
    }

    /// The wire form.
    pub fn encode(&self) -> Vec<u8> {
        [&self.nonce[..], &self.proof].concat()
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// If the length is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let knock = Self { nonce: r.array("nonce")?, proof: r.array("proof")? };
        r.finish()?;
        Ok(knock)
    }
}

/// What a node says of itself to another of its organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// Its certificate chain, checked to be well formed and signed.
    pub chain: Chain,
    /// Where it listens, as multiaddrs.
    pub addresses: Vec<String>,
}

impl Welcome {
    /// The wire form.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.bytes(&self.chain.encode()).count(self.addresses.len());
        for address in &self.addresses {
            w.text(address);
        }
        w.into_bytes()
    }

    /// Reads the wire form and checks the chain's signatures.
    ///
    /// # Errors
    /// If the format or the chain is not valid.
    pub fn decode(bytes: &[u8]) -> Result<Self, ChainError> {
        let mut r = Reader::new(bytes);
        let chain = Chain::decode(r.bytes(MAX_JOIN_BYTES, "certificate chain")?)?;
        let addresses = read_addresses(&mut r)?;
        r.finish()?;
        Ok(Self { chain, addresses })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_knock_opens_one_door_only() {
        let ours = OrganisationId::from_bytes([1; 32]);
        let theirs = OrganisationId::from_bytes([2; 32]);
        let (a, b) = (NodeId::from_bytes([3; 32]), NodeId::from_bytes([4; 32]));
        let knock = Knock::decode(&Knock::new(&ours, [5; 16], &a, &b).encode()).unwrap();
        assert!(knock.is_for(&ours, &a, &b));
        assert!(!knock.is_for(&theirs, &a, &b));
        assert!(!knock.is_for(&ours, &b, &a));
    }
}
