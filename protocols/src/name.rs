//! Names that people choose, and addresses made of them.
//!
//! A name is 1 to 64 characters out of `a-z`, `0-9`, `-` and `_`, and starts with a letter or a digit. The rule is
//! narrow on purpose: two names that look alike on a screen are the same name, and `@`, `.` and `/` stay free.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::MAX_NAME_BYTES;

/// A name or an address was not well formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseNameError {
    /// Nothing was given.
    #[error("a name cannot be empty")]
    Empty,
    /// Longer than [`MAX_NAME_BYTES`].
    #[error("a name has at most {MAX_NAME_BYTES} characters")]
    TooLong,
    /// A character that names do not have, or one that they do not start with.
    #[error("a name has only a-z, 0-9, '-' and '_' and starts with a letter or digit, not {0:?}")]
    Character(char),
    /// An address without a node, such as `coder@`.
    #[error("an address is written agent@node or agent@node.organisation")]
    Address,
}

fn check(text: &str) -> Result<(), ParseNameError> {
    let mut characters = text.chars();
    let first = characters.next().ok_or(ParseNameError::Empty)?;
    if text.len() > MAX_NAME_BYTES {
        return Err(ParseNameError::TooLong);
    }
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !word(first) {
        return Err(ParseNameError::Character(first));
    }
    match characters.find(|&c| !word(c) && c != '-' && c != '_') {
        Some(c) => Err(ParseNameError::Character(c)),
        None => Ok(()),
    }
}

/// Returns the closest valid name to `text`, or nothing if no character of it can be kept.
///
/// For names that the system gives us (user and host names), never for what a person typed.
pub fn normalise(text: &str) -> Option<String> {
    let mut name = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        let keep = c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() && !c.is_ascii_alphanumeric() {
            continue;
        }
        if keep {
            name.push(c);
        } else if !name.ends_with('-') {
            name.push('-');
        }
        if name.len() == MAX_NAME_BYTES {
            break;
        }
    }
    let name = name.trim_end_matches('-').to_owned();
    (!name.is_empty()).then_some(name)
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseNameError;

            fn from_str(text: &str) -> Result<Self, ParseNameError> {
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
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
                schemars::json_schema!({
                    "type": "string",
                    "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$",
                })
            }
        }
    )*};
}

names! {
    /// The name of an agent on its node: `coder` in `coder@taichi`.
    AgentName;
    /// The name of a node in its organisation: `taichi` in `coder@taichi`.
    NodeName;
    /// The name of a note in its conversation: `plan`.
    NoteName;
    /// The name of an organisation: `acme` in `coder@taichi.acme`.
    OrganisationName;
    /// What an agent is in a team, such as `analyst`.
    RoleName;
    /// The name of a task on the node of its creator.
    TaskId;
    /// What all who work on a repository call it.
    RepositoryName;
}

/// Where a message goes: `coder@taichi`, or `coder@taichi.acme` in another organisation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The agent on that node.
    pub agent: AgentName,
    /// The node.
    pub node: NodeName,
    /// The organisation, if it is not the speaker's own.
    pub organisation: Option<OrganisationName>,
}

impl Address {
    /// Returns the address of `agent` on `node` in the speaker's own organisation.
    pub fn local(agent: AgentName, node: NodeName) -> Self {
        Self { agent, node, organisation: None }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match &self.organisation {
            None => format!("{}@{}", self.agent, self.node),
            Some(organisation) => format!("{}@{}.{organisation}", self.agent, self.node),
        };
        f.pad(&text)
    }
}

impl FromStr for Address {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, ParseNameError> {
        let (agent, place) = text.split_once('@').ok_or(ParseNameError::Address)?;
        let (node, organisation) = match place.split_once('.') {
            None => (place, None),
            Some((node, organisation)) => (node, Some(organisation.parse()?)),
        };
        Ok(Self { agent: agent.parse()?, node: node.parse()?, organisation })
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Address {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "agent@node, or agent@node.organisation",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_reads_back_with_and_without_organisation() {
        for text in ["coder@taichi", "coder@taichi.acme"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn look_alikes_and_separators_are_refused() {
        for text in ["", "Coder", "кодер", "a b", "-a", "a.b", "a@b", "a/b", "a\u{202e}b"] {
            assert!(text.parse::<AgentName>().is_err(), "{text:?}");
        }
        assert!("a".repeat(65).parse::<AgentName>().is_err());
    }

    #[test]
    fn system_names_become_valid_names() {
        assert_eq!(normalise("Taichi's MacBook.local").as_deref(), Some("taichi-s-macbook-local"));
        assert_eq!(normalise("…"), None);
        for text in ["__x", "Ünïcode host", "a..b", &"x".repeat(99)] {
            let name = normalise(text).unwrap();
            assert!(name.parse::<NodeName>().is_ok(), "{text:?} gave {name:?}");
        }
    }
}
