//! A client of the agents' door that says exactly what a test wants it to, over a pipe or HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::node::Node;
use crate::{PATIENCE, eventually};

/// A server that was started as tools start it, and its client.
#[derive(Debug)]
pub struct Mcp {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<Value>,
    /// What came while something else was waited for.
    kept: Vec<Value>,
    next: u64,
}

impl Mcp {
    /// Starts a server in a folder; nothing is said yet.
    pub fn start(node: &Node, folder: &Path, arguments: &[&str]) -> Self {
        let mut command = node.command(false);
        command.arg("mcp").args(arguments).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self { input: child.stdin.take(), child, lines, kept: Vec::new(), next: 0 }
    }

    /// Starts a server for a client that reads nothing of what it says.
    pub fn deaf(node: &Node, folder: &Path, arguments: &[&str]) -> Self {
        let mut command = node.command(false);
        command.arg("mcp").args(arguments).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        Self { input: child.stdin.take(), child, lines: channel().1, kept: Vec::new(), next: 0 }
    }

    /// Starts a server for a client of the era with sessions.
    pub fn open(node: &Node, folder: &Path, client: &str, arguments: &[&str]) -> Self {
        Self::open_able(node, folder, client, json!({}), arguments)
    }

    /// Starts a server for a client of the era with sessions that has these capabilities.
    pub fn open_able(node: &Node, folder: &Path, client: &str, capabilities: Value, arguments: &[&str]) -> Self {
        let mut mcp = Self::start(node, folder, arguments);
        let params = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": capabilities,
            "clientInfo": {"name": client, "version": "1"},
        });
        let answer = mcp.request("initialize", params);
        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25", "{answer}");
        mcp.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        mcp
    }

    /// Sends a line.
    pub fn send(&mut self, line: &Value) {
        self.send_bytes(format!("{line}\n").as_bytes());
    }

    /// Sends bytes as they are. A server that has ended takes none.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("the client is there");
        drop(input.write_all(bytes));
    }

    /// Sends a request and returns its number.
    pub fn ask(&mut self, method: &str, params: Value) -> u64 {
        self.next += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": self.next, "method": method, "params": params}));
        self.next
    }

    /// Waits for a line that `pick` takes.
    ///
    /// # Panics
    /// If none comes.
    #[track_caller]
    pub fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&Value) -> Option<T>) -> T {
        if let Some((at, found)) = self.kept.iter().enumerate().find_map(|(at, line)| Some((at, pick(line)?))) {
            self.kept.remove(at);
            return found;
        }
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{what}: {error}"));
            match pick(&line) {
                Some(found) => return found,
                None => self.kept.push(line),
            }
        }
    }

    /// Sends a request and returns the whole answer.
    #[track_caller]
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        self.wait(method, |line| (line["id"] == id).then(|| line.clone()))
    }

    /// Calls a tool and returns its result.
    #[track_caller]
    pub fn tool(&mut self, name: &str, arguments: Value) -> Value {
        let answer = self.request("tools/call", json!({"name": name, "arguments": arguments}));
        assert!(answer.get("error").is_none(), "{name}: {answer}");
        answer["result"].clone()
    }

    /// Calls a tool and returns the fields of its answer.
    #[track_caller]
    pub fn call(&mut self, name: &str, arguments: Value) -> Value {
        let result = self.tool(name, arguments);
        assert_ne!(result["isError"], true, "{name}: {result}");
        result["structuredContent"].clone()
    }

    /// Calls a tool that refuses, and returns what it says.
    #[track_caller]
    pub fn refused(&mut self, name: &str, arguments: Value) -> String {
        let result = self.tool(name, arguments);
        assert_eq!(result["isError"], true, "{name}: {result}");
        assert!(result.get("structuredContent").is_none(), "{name}: {result}");
        result["content"][0]["text"].as_str().unwrap().to_owned()
    }

    /// The address of the agent that the client speaks for.
    #[track_caller]
    pub fn address(&mut self) -> String {
        self.call("federation_pulse", json!({}))["you"].as_str().unwrap().to_owned()
    }

    /// Goes away without a word and waits for the server to end.
    pub fn leave(mut self) -> i32 {
        self.input = None;
        eventually("the server ends", || {
            let ended = self.child.try_wait().unwrap();
            ended.map(|status| status.code().unwrap_or(-1)).ok_or_else(|| "it runs".to_owned())
        })
    }
}

impl Drop for Mcp {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What comes with every request of the era without sessions, from a client of this name with these capabilities.
pub fn meta(client: &str, capabilities: Value) -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": client, "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    })
}

/// Sends a request over HTTP and returns the status, the headers and the body of the answer; 0 for the status if there is
/// none.
pub fn exchange(authority: &str, line: &str, headers: &[(String, String)], body: &[u8]) -> (u16, String, String) {
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!("{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses what is too long does not read it.
    drop(stream.write_all(body));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, head.to_owned(), body.to_owned())
}

/// Where a node serves AI tools over HTTP.
#[derive(Debug, Clone)]
pub struct Place {
    /// The whole address.
    pub url: String,
    /// The token.
    pub token: String,
    authority: String,
}

impl Place {
    /// Where this node does, as its status says.
    pub fn of(node: &Node) -> Self {
        let status = node.json(&["status"]);
        let url = status["mcp"]["url"].as_str().unwrap().to_owned();
        let token = std::fs::read_to_string(status["mcp"]["token_file"].as_str().unwrap()).unwrap();
        let authority = url.trim_start_matches("http://").trim_end_matches("/mcp").to_owned();
        Self { url, token: token.trim().to_owned(), authority }
    }

    /// The headers of an honest client of the era with sessions.
    pub fn headers(&self) -> Vec<(String, String)> {
        [
            ("Host", self.authority.as_str()),
            ("Authorization", &format!("Bearer {}", self.token)),
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// Sends a request and returns the status, the headers and the body of the answer; 0 for the status if there is none.
    pub fn send(&self, method: &str, headers: &[(String, String)], body: &[u8]) -> (u16, String, String) {
        exchange(&self.authority, &format!("{method} /mcp"), headers, body)
    }

    /// Opens a connection, sends bytes as they are, and keeps it.
    pub fn open(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.authority).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    }

    /// Calls a tool without a session, as an agent, and returns the status and the body of the answer.
    pub fn send_call(&self, agent: Option<&str>, name: &str, arguments: &Value) -> (u16, String) {
        let mut headers = self.headers();
        let revision = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/call"), ("Mcp-Name", name)];
        for (header, value) in revision.into_iter().chain(agent.map(|agent| ("Fedp2p-Agent", agent))) {
            headers.push((header.to_owned(), value.to_owned()));
        }
        let params = json!({"name": name, "arguments": arguments, "_meta": meta("test", json!({}))});
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let (status, _, body) = self.send("POST", &headers, request.to_string().as_bytes());
        (status, body)
    }

    /// As [`Place::send_call`], with the JSON of the answer.
    pub fn call(&self, agent: Option<&str>, name: &str, arguments: &Value) -> (u16, Value) {
        let (status, body) = self.send_call(agent, name, arguments);
        (status, answer(&body))
    }
}

/// The JSON-RPC answer in a body, which is JSON or a stream of events.
fn answer(body: &str) -> Value {
    let lines = body.lines().map(|line| line.strip_prefix("data:").unwrap_or(line).trim());
    let found = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(|value| value.is_object());
    found.unwrap_or_else(|| panic!("no JSON: {body}"))
}
