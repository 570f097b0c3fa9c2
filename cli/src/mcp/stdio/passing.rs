//! What a line that is too long to keep says of itself, read while it passes by.

use rmcp::model::RequestId;

/// Most bytes of a name or a value that are looked at.
const MAX_TOKEN_BYTES: usize = 256;

/// Finds the id of a request. It looks at the outermost object alone: what arguments or texts in it hold is none of it.
#[derive(Debug, Default)]
pub(super) struct Passing {
    /// How many objects and lists are open.
    depth: usize,
    /// Whether this is within a text, and right behind a backslash.
    text: bool,
    escaped: bool,
    /// The name or value at hand, if it is short and simple.
    token: Vec<u8>,
    name: Vec<u8>,
    id: Option<RequestId>,
    is_request: bool,
}

impl Passing {
    /// Looks at the next part of the line.
    pub(super) fn see(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.step(*byte));
    }

    /// The id, if what passed by is a request that has one.
    pub(super) fn request_id(self) -> Option<RequestId> {
        self.id.filter(|_| self.is_request)
    }

    fn step(&mut self, byte: u8) {
        if self.text {
            self.keep(byte);
            self.text = self.escaped || byte != b'"';
            self.escaped = byte == b'\\' && !self.escaped;
            return;
        }
        match byte {
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                if self.depth == 1 {
                    self.end_value();
                }
                self.depth = self.depth.saturating_sub(1);
            }
            b':' if self.depth == 1 => self.name = std::mem::take(&mut self.token),
            b',' if self.depth == 1 => self.end_value(),
            _ => {
                self.text = byte == b'"';
                self.keep(byte);
            }
        }
    }

    /// Keeps a byte of a name or value of the outermost object.
    fn keep(&mut self, byte: u8) {
        let blank = byte.is_ascii_whitespace() && !self.text;
        if self.depth == 1 && !blank && self.token.len() <= MAX_TOKEN_BYTES {
            self.token.push(byte);
        }
    }

    fn end_value(&mut self) {
        let (name, value) = (std::mem::take(&mut self.name), std::mem::take(&mut self.token));
        match name.as_slice() {
            b"\"id\"" => self.id = serde_json::from_slice(&value).ok(),
            b"\"method\"" => self.is_request = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Option<RequestId> {
        // However it comes in parts.
        let mut passing = Passing::default();
        line.as_bytes().chunks(3).for_each(|part| passing.see(part));
        passing.request_id()
    }

    #[test]
    fn the_id_is_found_before_and_behind_everything_else() {
        let long = "y".repeat(5000);
        let number = |id| Some(RequestId::Number(id));
        assert_eq!(found(&format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{long}"}}"#)), number(7));
        assert_eq!(found(&format!(r#"{{"method":"x","params":{{"a":["{long}"]}}, "id" : 8 }}"#)), number(8));
        assert_eq!(
            found(&format!(r#"{{"method":"x","p":"{long}","id":"a,\"b}}"}}"#)),
            Some(RequestId::String(r#"a,"b}"#.into()))
        );
        assert_eq!(found(r#"{"id":-9,"p":{},"method":"x","q":[{"id":1},"\\"]}"#), number(-9));
    }

    #[test]
    fn an_id_within_something_else_is_none() {
        assert_eq!(found(r#"{"method":"x","params":{"id":1}}"#), None);
        assert_eq!(found(r#"{"method":"x","params":"\",\"id\":1,\""}"#), None);
        assert_eq!(found(r#"[{"method":"x","id":1}]"#), None);
        assert_eq!(found(r#"{"id":1,"result":{"method":"x"}}"#), None, "an answer is not answered");
        assert_eq!(found(&format!(r#"{{"method":"x","id":"{}"}}"#, "z".repeat(5000))), None);
        assert_eq!(found("}}]]{{{:,::,\"id\":"), None);
    }
}
