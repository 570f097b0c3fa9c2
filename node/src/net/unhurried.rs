//! A transport that takes connections in no faster than a node can afford.
//!
//! What a stranger's connection costs before it can be turned away is several times what it costs the stranger. Beyond
//! the allowance connections wait in the kernel, or are refused by it, and what is connected already is not slowed.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};
use tokio::time::{Instant, Sleep};

use super::conduct::{Bucket, Rate};

/// How many connections are taken in.
const ACCEPTED: Rate = Rate { burst: 100.0, per_second: 40.0 };
/// How long the listeners rest when that is used up.
const REST: Duration = Duration::from_millis(40);

/// See the module.
pub(super) struct Unhurried<T> {
    inner: T,
    accepted: Bucket,
    rest: Option<Pin<Box<Sleep>>>,
}

impl<T> Unhurried<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, accepted: Bucket::full(ACCEPTED, Instant::now()), rest: None }
    }
}

impl<T: Transport + Unpin> Transport for Unhurried<T> {
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, options: DialOpts) -> Result<Self::Dial, TransportError<Self::Error>> {
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(cx));
            self.rest = None;
        }
        let event = ready!(Pin::new(&mut self.inner).poll(cx));
        let came = matches!(event, TransportEvent::Incoming { .. });
        if came && !self.accepted.take(ACCEPTED, 1.0, Instant::now()) {
            self.rest = Some(Box::pin(tokio::time::sleep(REST)));
        }
        Poll::Ready(event)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Pending, pending};
    use std::io;

    use super::*;

    /// Somebody is always at the door.
    struct Crowd(ListenerId);

    impl Transport for Crowd {
        type Output = ();
        type Error = io::Error;
        type ListenerUpgrade = Pending<io::Result<()>>;
        type Dial = Pending<io::Result<()>>;

        fn listen_on(&mut self, _: ListenerId, _: Multiaddr) -> Result<(), TransportError<io::Error>> {
            Ok(())
        }

        fn remove_listener(&mut self, _: ListenerId) -> bool {
            true
        }

        fn dial(&mut self, _: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
            Ok(pending())
        }

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
            let (local_addr, send_back_addr) = (Multiaddr::empty(), Multiaddr::empty());
            Poll::Ready(TransportEvent::Incoming {
                listener_id: self.0,
                upgrade: pending(),
                local_addr,
                send_back_addr,
            })
        }
    }

    #[tokio::test]
    async fn a_crowd_waits_at_the_door_and_is_let_in_bit_by_bit() {
        let mut transport = Unhurried::new(Crowd(ListenerId::next()));
        let mut let_in = 0;
        while futures::poll!(std::future::poll_fn(|cx| Pin::new(&mut transport).poll(cx))).is_ready() {
            let_in += 1;
        }
        assert!((100..10_000).contains(&let_in), "{let_in}");
        std::future::poll_fn(|cx| Pin::new(&mut transport).poll(cx).map(drop)).await;
    }
}
