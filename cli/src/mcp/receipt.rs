//! Messages count as handed to an agent once the answer with them was written to its client, and not before: what a
//! client that has vanished did not get, the next call hands out again.
//!
//! A door puts a [`Receipt`] to each request, a tool leaves there what its answer hands out, and the door says when the
//! answer was written. Calls of one agent hand out one after another.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use fedp2p_protocols::api::surfaced;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::http::request::Parts;
use rmcp::RoleServer;
use rmcp::model::{ClientNotification, Extensions, GetExtensions, JsonRpcMessage, RequestId};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::link::Link;

/// How long the daemon has to note that messages were handed out.
const NOTE_LIMIT: Duration = Duration::from_secs(5);

/// What an answer hands to a model.
#[derive(Debug)]
pub(crate) struct Handed {
    /// What the daemon is told once the client has it.
    pub(crate) request: surfaced::Request,
    /// How many messages these are.
    pub(crate) messages: u64,
    /// While this is there, no other call of the agent hands anything out.
    pub(crate) turn: Option<OwnedMutexGuard<()>>,
}

impl Handed {
    /// Tells the daemon. What it cannot be told is handed out again.
    pub(super) async fn tell(self, link: &Link) {
        drop(timeout(NOTE_LIMIT, link.call(self.request)).await);
        drop(self.turn);
    }
}

/// What is to be done once the answer to a request was written.
#[derive(Debug, Clone, Default)]
pub(super) struct Receipt(Arc<Mutex<Option<Kept>>>);

/// What an answer hands out, and for whom.
type Kept = (Arc<Link>, Handed);

impl Receipt {
    /// The one that the door has put to a request.
    pub(super) fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get::<Self>().or_else(|| extensions.get::<Parts>()?.extensions.get::<Self>())
    }

    /// Leaves here what an answer hands out.
    pub(super) fn keep(&self, link: &Arc<Link>, handed: Handed) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Arc::clone(link), handed));
    }

    /// Says that the answer was written.
    async fn written(self) {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((link, handed)) = kept {
            handed.tell(&link).await;
        }
    }
}

/// A transport that puts a receipt to each request.
#[derive(Debug)]
pub(super) struct Receipts<T> {
    inner: T,
    open: HashMap<RequestId, Receipt>,
}

impl<T> Receipts<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, open: HashMap::new() }
    }
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for Receipts<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), T::Error>> + Send + 'static {
        let receipt = match &item {
            JsonRpcMessage::Response(response) => self.open.remove(&response.id),
            JsonRpcMessage::Error(error) => {
                drop(error.id.as_ref().and_then(|id| self.open.remove(id)));
                None
            }
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
        };
        let sent = self.inner.send(item);
        async move {
            let sent = sent.await;
            if let (Ok(()), Some(receipt)) = (&sent, receipt) {
                receipt.written().await;
            }
            sent
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        let mut item = self.inner.receive().await?;
        match &mut item {
            JsonRpcMessage::Request(request) => {
                let receipt = Receipt::default();
                self.open.insert(request.id.clone(), receipt.clone());
                request.request.extensions_mut().insert(receipt);
            }
            // There will be no answer.
            JsonRpcMessage::Notification(told) => {
                if let ClientNotification::CancelledNotification(canceled) = &told.notification {
                    drop(canceled.params.request_id.as_ref().and_then(|id| self.open.remove(id)));
                }
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {}
        }
        Some(item)
    }

    fn close(&mut self) -> impl Future<Output = Result<(), T::Error>> + Send {
        self.inner.close()
    }
}

/// The body of an answer over HTTP, which knows when all of it was taken by the connection.
#[derive(Debug)]
pub(super) struct Taken {
    inner: BoxBody<Bytes, Infallible>,
    receipt: Option<Receipt>,
}

impl Taken {
    pub(super) fn new(inner: BoxBody<Bytes, Infallible>, receipt: Receipt) -> Self {
        Self { inner, receipt: Some(receipt) }
    }
}

impl Body for Taken {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        // A body that says that it is over is not asked for more.
        if (frame.is_none() || self.inner.is_end_stream())
            && let Some(receipt) = self.receipt.take()
        {
            drop(tokio::spawn(receipt.written()));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http_body_util::Full;

    use super::*;

    /// Whether a body still keeps what is to be done.
    fn keeps(body: &Taken) -> bool {
        body.receipt.is_some()
    }

    #[tokio::test]
    async fn an_answer_over_http_counts_once_the_connection_has_taken_all_of_it() {
        let body = |text: &'static str| Taken::new(BoxBody::new(Full::from(text)), Receipt::default());
        let mut context = Context::from_waker(Waker::noop());
        let mut taken = body("answer");
        assert!(keeps(&taken) && !taken.is_end_stream());
        let frame = Pin::new(&mut taken).poll_frame(&mut context);
        assert!(matches!(frame, Poll::Ready(Some(Ok(_)))));
        assert!(!keeps(&taken) && taken.is_end_stream());
        assert!(keeps(&body("nobody asks")));
    }
}
