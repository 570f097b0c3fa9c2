//! The server over a pipe, as tools start it: requests on stdin and answers on stdout, one JSON object on each line.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rmcp::ServiceExt;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::io::{AsyncBufRead, AsyncRead, BufReader, ReadBuf};

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
    let lines = Lines::new(tokio::io::stdin());
    let transport = Receipts::new(AsyncRwTransport::new(lines, tokio::io::stdout()));
    let running = server.serve(transport).await;
    let running = running.map_err(|error| {
        Error::usage(format!("the client does not speak the protocol: {error}"), "see \"fedp2p mcp --help\"")
    })?;
    let ended = running.waiting().await.map(drop);
    ended.map_err(|error| Error::system("serve the client")(io::Error::other(error)))
}

/// Leaves out lines that are too long, so that a client cannot fill the memory.
#[derive(Debug)]
struct Lines<R> {
    inner: BufReader<R>,
    /// How many bytes the present line has so far.
    line: usize,
}

impl<R: AsyncRead> Lines<R> {
    fn new(inner: R) -> Self {
        Self { inner: BufReader::new(inner), line: 0 }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Lines<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let bytes = ready!(Pin::new(&mut this.inner).poll_fill_buf(cx))?;
            if bytes.is_empty() || out.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let most = end.map_or(bytes.len(), |end| end + 1);
            if this.line >= MAX_LINE_BYTES {
                // What is left of a line that was cut: it is no JSON now, and only its end is handed on.
                let rest = if end.is_some() { &bytes[most - 1..most] } else { &[] };
                out.put_slice(rest);
                let cut = !rest.is_empty();
                Pin::new(&mut this.inner).consume(most);
                if cut {
                    this.line = 0;
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let take = most.min(out.remaining()).min(MAX_LINE_BYTES - this.line);
            out.put_slice(&bytes[..take]);
            let whole = end.is_some_and(|end| take > end);
            this.line = if whole { 0 } else { this.line + take };
            Pin::new(&mut this.inner).consume(take);
            return Poll::Ready(Ok(()));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_line_without_end_is_cut_and_the_next_one_is_read() {
        let mut text = b"{\"a\":1}\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', 3 * MAX_LINE_BYTES));
        text.extend(b"\n{\"b\":2}\n");
        let mut read = Vec::new();
        Lines::new(text.as_slice()).read_to_end(&mut read).await.unwrap();
        let lines: Vec<&[u8]> = read.split(|byte| *byte == b'\n').collect();
        assert_eq!((lines[0], lines[2]), (&b"{\"a\":1}"[..], &b"{\"b\":2}"[..]));
        assert_eq!(lines[1].len(), MAX_LINE_BYTES);
    }
}
