//! An OpenAI-compatible endpoint that says what a test wants it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use fedp2p_tests::PATIENCE;
use serde_json::{Value, json};

/// What it answers.
pub(crate) enum Reply {
    /// This, as the model.
    Say(String),
    /// This status and body, with these lines in the head.
    Status(u16, String, &'static str),
    /// Nothing: the connection is closed.
    HangUp,
    /// Nothing, for as long as the other side waits.
    Hang,
}

/// The endpoint. It ends with the process.
pub(crate) struct Stub {
    /// Where it is.
    pub(crate) url: String,
    asked: Arc<(Mutex<Vec<Value>>, Condvar)>,
    connections: Arc<AtomicUsize>,
}

impl Stub {
    /// Starts an endpoint that answers each completion as `answer` says, from the question and how many came before.
    pub(crate) fn start(answer: impl Fn(&Value, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<(Mutex<Vec<Value>>, Condvar)> = Arc::default();
        let connections: Arc<AtomicUsize> = Arc::default();
        let stub = Self { url, asked: Arc::clone(&asked), connections: Arc::clone(&connections) };
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                connections.fetch_add(1, Ordering::Relaxed);
                let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream.unwrap(), &asked, &*answer));
            }
        });
        stub
    }

    /// The completions that it was asked for so far.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.asked.0.lock().unwrap().clone()
    }

    /// Waits until it was asked so often.
    pub(crate) fn wait_for(&self, count: usize) {
        let asked = self.asked.0.lock().unwrap();
        let (asked, late) = self.asked.1.wait_timeout_while(asked, PATIENCE, |asked| asked.len() < count).unwrap();
        assert!(!late.timed_out(), "it was asked {} times", asked.len());
    }

    /// How often anybody has connected.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// The texts of a question's messages, by role.
pub(crate) fn texts<'v>(question: &'v Value, role: &str) -> Vec<&'v str> {
    let messages = question["messages"].as_array().unwrap().iter().filter(|message| message["role"] == role);
    messages.map(|message| message["content"].as_str().unwrap()).collect()
}

/// The last thing that a question says, as data.
pub(crate) fn work(question: &Value) -> Value {
    serde_json::from_str(texts(question, "user").last().unwrap()).unwrap()
}

fn serve(stream: TcpStream, asked: &(Mutex<Vec<Value>>, Condvar), answer: &dyn Fn(&Value, usize) -> Reply) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let Some((line, body)) = read(&mut reader) else { return };
    let reply = if line.starts_with("GET /v1/models ") {
        Reply::Status(200, json!({ "data": [{ "id": "stub-1" }, { "id": "stub-2" }] }).to_string(), "")
    } else {
        assert!(line.starts_with("POST /v1/chat/completions "), "{line}");
        let question: Value = serde_json::from_slice(&body).unwrap();
        let before = {
            let mut asked = asked.0.lock().unwrap();
            asked.push(question.clone());
            asked.len() - 1
        };
        asked.1.notify_all();
        answer(&question, before)
    };
    let bytes = body.len();
    match reply {
        Reply::Say(text) => {
            let message = json!({ "role": "assistant", "content": text });
            let usage = json!({ "prompt_tokens": bytes / 4, "completion_tokens": 1, "total_tokens": bytes / 4 + 1 });
            let choices = json!([{ "index": 0, "message": message, "finish_reason": "stop" }]);
            write(stream, 200, &json!({ "choices": choices, "usage": usage }).to_string(), "");
        }
        Reply::Status(status, body, head) => write(stream, status, &body, head),
        Reply::HangUp => drop(stream.shutdown(Shutdown::Both)),
        Reply::Hang => {
            // Until the other side closes.
            drop(reader.read(&mut [0]));
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, body))
}

fn write(mut stream: TcpStream, status: u16, body: &str, head: &str) {
    let length = body.len();
    let answer = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {length}\r\n{head}\r\n{body}");
    drop(stream.write_all(answer.as_bytes()));
}
