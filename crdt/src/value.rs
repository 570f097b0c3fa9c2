//! Values as documents spell them, and the way between them and typed records.
//!
//! A record is any type with serde's two derives. It becomes maps within maps, with texts and unsigned numbers as
//! leaves: a struct is a map of its fields, an absent option no entry, a truth value 0 or 1, a list a map with
//! the keys `00`, `01` and so on, a unit variant its name, and any other variant a map from its name to its content.
//! The types must be told apart by their names alone: no `untagged`, no `flatten`.
//!
//! Reading is forgiving in one way: entries that a type does not know are left out, as later versions may add some.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};
use serde::{Deserializer, Serialize, forward_to_deserialize_any};

/// Most entries of a list.
pub(crate) const MAX_LIST: usize = 100;

/// What stands at one place of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Number(u64),
    Map(BTreeMap<String, Value>),
}

/// A record cannot be spelled: it has a negative number, a fraction, or a list that is too long. Or a value is no
/// record of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Mismatch(String);

impl de::Error for Mismatch {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl Value {
    /// Spells a record.
    ///
    /// # Errors
    /// When it holds what documents have no words for.
    pub(crate) fn of(record: &impl Serialize) -> Result<Self, Mismatch> {
        let json = serde_json::to_value(record).map_err(|error| Mismatch(error.to_string()))?;
        spell(json)?.ok_or_else(|| Mismatch("nothing".to_owned()))
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When the value is not one of this type.
    pub(crate) fn read<T: DeserializeOwned>(self) -> Result<T, Mismatch> {
        T::deserialize(self)
    }
}

/// The key of the list entry at `index`.
fn list_key(index: usize) -> String {
    format!("{index:02}")
}

fn spell(json: serde_json::Value) -> Result<Option<Value>, Mismatch> {
    let value = match json {
        serde_json::Value::Null => return Ok(None),
        serde_json::Value::Bool(truth) => Value::Number(u64::from(truth)),
        serde_json::Value::Number(number) => {
            Value::Number(number.as_u64().ok_or_else(|| Mismatch(format!("{number} is no unsigned number")))?)
        }
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Array(list) if list.len() > MAX_LIST => {
            return Err(Mismatch(format!("a list has at most {MAX_LIST} entries")));
        }
        serde_json::Value::Array(list) => {
            spell_entries(list.into_iter().enumerate().map(|(at, entry)| (list_key(at), entry)))?
        }
        serde_json::Value::Object(entries) => spell_entries(entries.into_iter())?,
    };
    Ok(Some(value))
}

fn spell_entries(entries: impl Iterator<Item = (String, serde_json::Value)>) -> Result<Value, Mismatch> {
    let mut map = BTreeMap::new();
    for (key, entry) in entries {
        if let Some(value) = spell(entry)? {
            map.insert(key, value);
        }
    }
    Ok(Value::Map(map))
}

impl<'de> IntoDeserializer<'de, Mismatch> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Value {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self {
            Self::Text(text) => visitor.visit_string(text),
            Self::Number(number) => visitor.visit_u64(number),
            Self::Map(entries) => visitor.visit_map(MapDeserializer::new(entries.into_iter())),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self {
            Self::Number(0) => visitor.visit_bool(false),
            Self::Number(1) => visitor.visit_bool(true),
            Self::Text(_) | Self::Number(_) | Self::Map(_) => Err(de::Error::custom("a truth value is 0 or 1")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        let Self::Map(entries) = self else {
            return Err(de::Error::custom("a list is a map"));
        };
        if entries.len() > MAX_LIST || !entries.keys().enumerate().all(|(at, key)| *key == list_key(at)) {
            return Err(de::Error::custom("the keys of a list count from 00"));
        }
        visitor.visit_seq(SeqDeserializer::new(entries.into_values()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        let Self::Map(mut entries) = self else {
            return Err(de::Error::custom("a record is a map"));
        };
        entries.retain(|key, _| fields.contains(&key.as_str()));
        visitor.visit_map(MapDeserializer::new(entries.into_iter()))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self {
            Self::Text(name) => visitor.visit_enum(name.into_deserializer()),
            Self::Map(entries) if entries.len() == 1 => visitor.visit_enum(Variant(entries.into_iter())),
            Self::Number(_) | Self::Map(_) => Err(de::Error::custom("a variant is a name, or a map with one entry")),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct tuple_struct map identifier ignored_any
    }
}

/// A variant with content: a map with one entry.
struct Variant(btree_map::IntoIter<String, Value>);

impl<'de> de::EnumAccess<'de> for Variant {
    type Error = Mismatch;
    type Variant = Value;

    fn variant_seed<V: DeserializeSeed<'de>>(mut self, seed: V) -> Result<(V::Value, Value), Mismatch> {
        let (name, content) = self.0.next().ok_or_else(|| <Mismatch as de::Error>::custom("a variant has a name"))?;
        let name = seed.deserialize(IntoDeserializer::<Mismatch>::into_deserializer(name))?;
        Ok((name, content))
    }
}

impl<'de> de::VariantAccess<'de> for Value {
    type Error = Mismatch;

    fn unit_variant(self) -> Result<(), Mismatch> {
        Err(de::Error::custom("a variant without content is a name"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Mismatch> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Way {
        Plain,
        Parts(u32),
        Named { part: u32, whole: bool },
    }

    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        text: String,
        maybe: Option<u64>,
        list: Vec<String>,
        ways: Vec<Way>,
        by_name: BTreeMap<String, u32>,
    }

    fn sample() -> Sample {
        Sample {
            text: "x".to_owned(),
            maybe: None,
            list: (0..12).map(|at| format!("entry {at}")).collect(),
            ways: vec![Way::Plain, Way::Parts(3), Way::Named { part: 1, whole: true }],
            by_name: [("a".to_owned(), 1)].into(),
        }
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        for maybe in [None, Some(u64::MAX)] {
            let record = Sample { maybe, ..sample() };
            assert_eq!(Value::of(&record).unwrap().read(), Ok(record));
        }
    }

    #[test]
    fn what_a_type_does_not_know_is_left_out() {
        let Value::Map(mut entries) = Value::of(&sample()).unwrap() else { panic!("a record is a map") };
        entries.insert("later".to_owned(), Value::Number(1));
        assert_eq!(Value::Map(entries).read(), Ok(sample()));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let spoil = |key: &str, value: Value| {
            let Value::Map(mut entries) = Value::of(&sample()).unwrap() else { panic!("a record is a map") };
            entries.insert(key.to_owned(), value);
            Value::Map(entries).read::<Sample>()
        };
        let map = |keys: &[&str]| Value::Map(keys.iter().map(|key| ((*key).to_owned(), Value::Number(1))).collect());
        assert!(spoil("text", Value::Number(1)).is_err());
        assert!(spoil("maybe", Value::Text("1".to_owned())).is_err());
        assert!(spoil("list", map(&["00", "02"])).is_err());
        assert!(spoil("ways", map(&["00"])).is_err());
        assert!(spoil("by_name", Value::Map([("a".to_owned(), Value::Number(1 << 32))].into())).is_err());
        assert!(Value::Number(1).read::<Sample>().is_err());
        assert!(Value::of(&-1).is_err() && Value::of(&0.5).is_err() && Value::of(&vec![1; 101]).is_err());
    }
}
