//! Names of things: keys, hashes and random ids, one type per meaning.
//!
//! Every id prints as lower-case base32 without padding and parses from it, so that an id survives being
//! read aloud, pasted into a URL or typed in capitals. Bytes go on the wire as they are.
//!
//! Mixing two meanings does not compile:
//!
//! ```compile_fail
//! use fedp2p_protocols::id::{NetworkId, LogId};
//! let log: LogId = NetworkId::from_bytes([0; 16]);
//! ```

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An id was not what its type needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}: expected {expected} base32 characters")]
#[non_exhaustive]
pub struct ParseIdError {
    /// What was being parsed.
    pub kind: &'static str,
    /// How many characters its text form has.
    pub expected: usize,
}

/// Returns the text form of `bytes`: lower-case base32 without padding.
pub fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

/// Returns the bytes whose [`base32`] form is `text` in either case, or nothing.
pub fn from_base32(text: &str) -> Option<Vec<u8>> {
    BASE32_NOPAD_NOCASE.decode(text.as_bytes()).ok()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $length:literal, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $length]);

        impl $name {
            /// Length of the id in bytes.
            pub const BYTES: usize = $length;

            /// Wraps raw bytes.
            pub const fn from_bytes(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }

            /// The first eight characters of the text form, for people.
            pub fn short(&self) -> String {
                self.to_string()[..8].to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&base32(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                from_base32(text)
                    .and_then(|bytes| <[u8; $length]>::try_from(bytes).ok())
                    .map(Self)
                    .ok_or(ParseIdError {
                        kind: $kind,
                        expected: ($length * 8usize).div_ceil(5),
                    })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $kind })
            }
        }
    )*};
}

ids! {
    /// A node: its Ed25519 public key, which is also its libp2p identity.
    NodeId, 32, "node id";
    /// The public root key of an organisation.
    OrganisationId, 32, "organisation id";
    /// The network that an op belongs to: a hash of the home organisation's root key.
    NetworkId, 16, "network id";
    /// One append-only log: one node, one log epoch, one conversation.
    LogId, 16, "log id";
    /// A random number made with a database; all logs written from that database derive from it.
    LogEpochId, 16, "log epoch id";
    /// A conversation: the unit of membership, encryption and replication.
    ConversationId, 16, "conversation id";
    /// BLAKE3 of an op's header bytes.
    OpId, 32, "op id";
    /// The public name of a ticket: a hash of its secret.
    TicketId, 16, "ticket id";
    /// The serial number of a certificate.
    Serial, 16, "serial number";
    /// What a claim says that never changes: a hash of it.
    ClaimHash, 16, "claim hash";
    /// What a proposal asks: a hash of it.
    ProposalHash, 16, "proposal hash";
}

impl NetworkId {
    /// Returns the network whose home is `organisation`.
    pub fn of(organisation: &OrganisationId) -> Self {
        Self(derive("fedp2p/1 network", &[organisation.as_bytes()]))
    }
}

impl ConversationId {
    /// Returns the lobby of `network`, the conversation that all its nodes belong to.
    pub fn lobby(network: &NetworkId) -> Self {
        Self(derive("fedp2p/1 lobby", &[network.as_bytes()]))
    }
}

impl LogId {
    /// Returns the log that log epoch `epoch` writes in `conversation`.
    ///
    /// One log holds one conversation, so a member of one conversation can check a whole chain without
    /// learning that others exist.
    pub fn of(epoch: &LogEpochId, conversation: &ConversationId) -> Self {
        Self(derive("fedp2p/1 log", &[epoch.as_bytes(), conversation.as_bytes()]))
    }
}

impl TicketId {
    /// Returns the public name of the ticket with this secret.
    pub fn of(secret: &[u8; 32]) -> Self {
        Self(derive("fedp2p/1 ticket", &[secret]))
    }
}

impl ClaimHash {
    /// Returns the hash of a claim that says this.
    pub fn of(said: &[u8]) -> Self {
        Self(derive("fedp2p/1 claim", &[said]))
    }
}

impl ProposalHash {
    /// Returns the hash of a proposal that asks this.
    pub fn of(asked: &[u8]) -> Self {
        Self(derive("fedp2p/1 proposal", &[asked]))
    }
}

/// Returns the first 16 bytes of BLAKE3 in key derivation mode over the concatenated parts.
fn derive(context: &str, parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    let mut out = [0; 16];
    out.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_reads_back_in_either_case() {
        let id = OpId::from_bytes([7; 32]);
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
    }

    #[test]
    fn wrong_length_names_the_kind() {
        let error = "abc".parse::<LogId>().unwrap_err();
        assert_eq!(error.to_string(), "not a valid log id: expected 26 base32 characters");
    }

    #[test]
    fn logs_of_two_conversations_differ() {
        let epoch = LogEpochId::from_bytes([1; 16]);
        let a = LogId::of(&epoch, &ConversationId::from_bytes([1; 16]));
        let b = LogId::of(&epoch, &ConversationId::from_bytes([2; 16]));
        assert_ne!(a, b);
    }
}
