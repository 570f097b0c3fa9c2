//! The canonical encoding of what one node says that its digest is taken over.
//!
//! It is written once and never read, so it only has to be unambiguous: numbers are 8 bytes in little endian; texts
//! are their length as a number and their bytes; ids are their bytes. A content is the number of its records, then of
//! each the name of its section, its keys and what it says as a document spells it: the number 0 and a text, 1 and a
//! number, or 2, the number of entries, and the entries in order, keys before values. A section without records leaves
//! no trace, so the digest of what is known today stays as it is when later versions know more.

use crate::content::Content;
use crate::value::Value;

/// Returns BLAKE3 over the canonical encoding of a content.
pub(crate) fn digest(content: &Content) -> [u8; 32] {
    let mut digest = Digest(blake3::Hasher::new_derive_key("fedp2p/1 content"));
    digest.content(content);
    *digest.0.finalize().as_bytes()
}

/// Takes in a content piece by piece.
struct Digest(blake3::Hasher);

impl Digest {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    fn content(&mut self, content: &Content) {
        self.number(content.count() as u64);
        for entry in content.entries() {
            let (section, keys) = entry.path();
            self.text(section);
            keys.iter().for_each(|key| self.text(key));
            self.value(&entry.value().expect("what was read can be spelled"));
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Text(text) => {
                self.number(0);
                self.text(text);
            }
            Value::Number(number) => {
                self.number(1);
                self.number(*number);
            }
            Value::Map(entries) => {
                self.number(2);
                self.number(entries.len() as u64);
                for (key, value) in entries {
                    self.text(key);
                    self.value(value);
                }
            }
        }
    }
}
