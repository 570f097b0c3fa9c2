//! Tasks: work that one agent describes and another does.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::NodeId;
use crate::name::TaskId;

/// The identity of a task everywhere: ids are chosen by people, so two nodes may choose the same. Its text form is
/// `NODE/ID`, with the whole node id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct TaskKey {
    /// The node in whose document the task stands.
    pub node: NodeId,
    /// The id that it was given there.
    pub id: TaskId,
}

/// The key of a task was not written as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key of a task is a node id, a slash and the name of the task there")]
pub struct ParseTaskKeyError;

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.id)
    }
}

impl FromStr for TaskKey {
    type Err = ParseTaskKeyError;

    fn from_str(text: &str) -> Result<Self, ParseTaskKeyError> {
        let (node, id) = text.split_once('/').ok_or(ParseTaskKeyError)?;
        let key =
            Self { node: node.parse().map_err(|_| ParseTaskKeyError)?, id: id.parse().map_err(|_| ParseTaskKeyError)? };
        if key.to_string() == text { Ok(key) } else { Err(ParseTaskKeyError) }
    }
}

impl Serialize for TaskKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TaskKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_print_as_they_parse() {
        let key = TaskKey { node: NodeId::from_bytes([7; 32]), id: "memory-profile".parse().unwrap() };
        assert_eq!(key.to_string().parse(), Ok(key.clone()));
        for text in ["", "memory-profile", "x/y", &format!("{key}/z"), &key.to_string().to_uppercase()] {
            assert_eq!(text.parse::<TaskKey>(), Err(ParseTaskKeyError), "{text}");
        }
    }
}
