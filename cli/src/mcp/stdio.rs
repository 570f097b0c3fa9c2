//! The server over a pipe, as tools start it: requests on stdin and answers on stdout, one JSON object on each line.
//!
//! A line that is no request is answered too, with an error: whoever sent it would wait for ever otherwise. So is one that is
//! longer than what is kept of it.

mod passing;

use std::io;
use std::pin::Pin;

use rmcp::model::{ClientJsonRpcMessage, ErrorData, RequestId, ServerJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::{RoleServer, ServiceExt};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader, Empty};

use self::passing::Passing;
use super::Server;
use super::receipt::Receipts;
use crate::error::Error;

/// The longest line that is read. The largest request of the API has a quarter of it.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// Serves the client at stdin and stdout until it goes away.
///
/// # Errors
/// If the client does not speak the protocol.
pub(crate) async fn serve(server: Server) -> Result<(), Error> {
    let transport = Receipts::new(Pipe::new(tokio::io::stdin(), tokio::io::stdout()));
    let running = server.serve(transport).await;
    let running = running.map_err(|error| {
        Error::usage(format!("the client does not speak the protocol: {error}"), "see \"fedp2p mcp --help\"")
    })?;
    let ended = running.waiting().await.map(drop);
    ended.map_err(|error| Error::system("serve the client")(io::Error::other(error)))
}

type Sending = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// The way to the client.
struct Pipe<R, W: AsyncWrite> {
    lines: Lines<R>,
    /// Only its writing half is used.
    out: AsyncRwTransport<RoleServer, Empty, W>,
    /// An answer of ours to a line that is no request. Nothing more is read until it is written.
    answer: Option<Sending>,
}

impl<R, W> Pipe<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    fn new(read: R, write: W) -> Self {
        let out = AsyncRwTransport::new_server(tokio::io::empty(), write);
        Self { lines: Lines::new(read), out, answer: None }
    }
}

impl<R, W> Transport<RoleServer> for Pipe<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = io::Error;

    fn send(&mut self, message: ServerJsonRpcMessage) -> impl Future<Output = io::Result<()>> + Send + 'static {
        self.out.send(message)
    }

    /// # Cancel safety
    /// Nothing is lost: what was begun is kept for the next call.
    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            if let Some(answer) = &mut self.answer {
                let written = answer.await;
                self.answer = None;
                written.ok()?;
            }
            let (error, id) = match self.lines.next().await.ok()?? {
                Line::Whole(line) => match message(&line) {
                    Ok(Some(message)) => return Some(message),
                    Ok(None) => continue,
                    Err(refused) => refused,
                },
                Line::TooLong(id) => {
                    let text = format!("the request has more than {MAX_LINE_BYTES} bytes");
                    (ErrorData::invalid_request(text, None), id)
                }
            };
            self.answer = Some(Box::pin(self.out.send(ServerJsonRpcMessage::error(error, id))));
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        self.out.close().await
    }
}

/// Returns what a line says; nothing if it needs no answer.
///
/// # Errors
/// What to answer if it says nothing that is known, and to which request.
fn message(line: &[u8]) -> Result<Option<ClientJsonRpcMessage>, (ErrorData, Option<RequestId>)> {
    let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line).trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    if let Ok(message) = serde_json::from_slice(line) {
        return Ok(Some(message));
    }
    let value: Value = serde_json::from_slice(line)
        .map_err(|error| (ErrorData::parse_error(format!("a line is no JSON: {error}"), None), None))?;
    let id = value.get("id").and_then(|id| serde_json::from_value(id.clone()).ok());
    match value.get("method") {
        // Nobody waits for the answer to a notification.
        Some(_) if value.get("id").is_none() => Ok(None),
        Some(_) => Err((ErrorData::invalid_request("the request is not valid", None), id)),
        None => Err((ErrorData::invalid_request("a line is no message of the protocol", None), None)),
    }
}

/// One line, or what is known of one that was too long.
#[derive(Debug, PartialEq)]
enum Line {
    Whole(Vec<u8>),
    TooLong(Option<RequestId>),
}

/// Reads lines and keeps none that are too long, so that a client cannot fill the memory.
#[derive(Debug)]
struct Lines<R> {
    inner: BufReader<R>,
    /// The present line so far.
    line: Vec<u8>,
    /// What is seen of it once it is too long.
    passing: Option<Passing>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(inner: R) -> Self {
        Self { inner: BufReader::new(inner), line: Vec::new(), passing: None }
    }

    /// Returns the next line; nothing at the end, where a line without an end counts for nothing.
    ///
    /// # Cancel safety
    /// What was read of a line is kept for the next call.
    async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let bytes = self.inner.fill_buf().await?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let taken = part.len() + usize::from(end.is_some());
            match &mut self.passing {
                Some(passing) => passing.see(part),
                None if self.line.len() + part.len() > MAX_LINE_BYTES => {
                    let mut passing = Passing::default();
                    passing.see(&std::mem::take(&mut self.line));
                    passing.see(part);
                    self.passing = Some(passing);
                }
                None => self.line.extend_from_slice(part),
            }
            self.inner.consume(taken);
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                let passed = self.passing.take();
                return Ok(Some(passed.map_or(Line::Whole(line), |passed| Line::TooLong(passed.request_id()))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_that_is_too_long_is_not_kept_and_the_next_one_is_read() {
        let whole = format!("{{\"id\":1,\"method\":\"{}\"}}", "x".repeat(MAX_LINE_BYTES - 20));
        let long = format!("{{\"id\":2,\"method\":\"{}\"}}", "x".repeat(3 * MAX_LINE_BYTES));
        let text = format!("{whole}\n{long}\n\n{long}");
        let mut lines = Lines::new(text.as_bytes());
        assert_eq!(whole.len(), MAX_LINE_BYTES);
        assert_eq!(lines.next().await.unwrap(), Some(Line::Whole(whole.into_bytes())));
        assert_eq!(lines.next().await.unwrap(), Some(Line::TooLong(Some(RequestId::Number(2)))));
        assert_eq!(lines.next().await.unwrap(), Some(Line::Whole(Vec::new())));
        assert_eq!(lines.next().await.unwrap(), None);
    }

    #[test]
    fn what_is_no_message_is_answered_and_a_notification_never_is() {
        let refused = |line: &[u8]| message(line).map_err(|(error, id)| (error.code.0, id)).unwrap_err();
        assert_eq!(refused(b"this is no JSON"), (-32700, None));
        assert_eq!(refused(b"\xff\xfe"), (-32700, None));
        assert_eq!(refused(b"[]"), (-32600, None));
        assert_eq!(
            refused(b"{\"jsonrpc\":\"1.0\",\"id\":3,\"method\":\"ping\"}"),
            (-32600, Some(RequestId::Number(3)))
        );
        assert_eq!(refused(b"{\"id\":{},\"method\":\"ping\"}"), (-32600, None));
        assert!(matches!(message(b"{\"jsonrpc\":\"1.0\",\"method\":\"x\"}"), Ok(None)));
        assert!(matches!(message(b" \r"), Ok(None)));
        assert!(message(b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\"}\r").unwrap().is_some());
    }
}
