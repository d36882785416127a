//! A value whose newest state is read and watched, as with `tokio::sync::watch`.
//!
//! Tokio's own spreads those who wait over several lists at random, so that they are woken in another order in each
//! run: a simulated run would not be a function of its seed. Here they are woken in the order in which they waited.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The one who sets the value is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody will change the value any more")]
pub struct Closed;

/// Sets the value. Dropping it ends all waiting.
#[derive(Debug)]
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// Sees the value.
#[derive(Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Notify,
    /// Nobody sees the value any more.
    unseen: Notify,
}

#[derive(Debug)]
struct State<T> {
    value: T,
    version: u64,
    closed: bool,
    receivers: usize,
}

impl<T: Clone> Sender<T> {
    /// Begins with this value.
    pub fn new(value: T) -> Sender<T> {
        let state = State {
            value,
            version: 0,
            closed: false,
            receivers: 0,
        };
        Sender {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                changed: Notify::new(),
                unseen: Notify::new(),
            }),
        }
    }

    /// Changes the value; those who wait hear of it if `change` says that it has.
    pub fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) {
        let mut state = self.shared.state.lock();
        if change(&mut state.value) {
            state.version += 1;
            drop(state);
            self.shared.changed.notify_waiters();
        }
    }

    /// One that has seen the present value.
    pub fn subscribe(&self) -> Receiver<T> {
        let mut state = self.shared.state.lock();
        state.receivers += 1;
        Receiver {
            shared: self.shared.clone(),
            seen: state.version,
        }
    }

    /// Waits until all who see the value are gone.
    pub async fn closed(&self) {
        loop {
            let unseen = self.shared.unseen.notified();
            tokio::pin!(unseen);
            unseen.as_mut().enable();
            if self.shared.state.lock().receivers == 0 {
                return;
            }
            unseen.await;
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.changed.notify_waiters();
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.shared.state.lock().receivers += 1;
        Receiver {
            shared: self.shared.clone(),
            seen: self.seen,
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.receivers -= 1;
        if state.receivers == 0 {
            drop(state);
            self.shared.unseen.notify_waiters();
        }
    }
}

impl<T: Clone> Receiver<T> {
    /// The newest value, which counts as seen then.
    pub fn latest(&mut self) -> T {
        let state = self.shared.state.lock();
        self.seen = state.version;
        state.value.clone()
    }

    /// The present value counts as seen.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.state.lock().version;
    }

    /// Waits for a value that was not seen yet, which counts as seen then. Cancel-safe.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            {
                let state = self.shared.state.lock();
                if state.version != self.seen {
                    self.seen = state.version;
                    return Ok(());
                }
                if state.closed {
                    return Err(Closed);
                }
            }
            changed.await;
        }
    }

    /// Waits for a value that satisfies `condition`, which the present one may do already. Cancel-safe.
    pub async fn wait_for(&mut self, mut condition: impl FnMut(&T) -> bool) -> Result<T, Closed> {
        loop {
            let value = self.latest();
            if condition(&value) {
                return Ok(value);
            }
            self.changed().await?;
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test is the outside
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_change_is_seen_once_by_everybody_and_the_end_too() {
        let sender = Sender::new(1);
        let (mut one, mut other) = (sender.subscribe(), sender.subscribe());
        assert!(one.changed().now_or_never().is_none());
        sender.send_if_modified(|value| {
            *value = 2;
            true
        });
        assert_eq!(one.changed().now_or_never(), Some(Ok(())));
        assert!(one.changed().now_or_never().is_none());
        assert_eq!(other.wait_for(|v| *v == 2).now_or_never(), Some(Ok(2)));
        sender.send_if_modified(|_| false);
        assert!(one.changed().now_or_never().is_none());
        drop(sender);
        assert_eq!(one.changed().now_or_never(), Some(Err(Closed)));
        assert_eq!(other.wait_for(|v| *v == 3).await, Err(Closed));
    }

    #[tokio::test]
    async fn the_sender_knows_when_nobody_sees_the_value_any_more() {
        let sender = Sender::new(1);
        let one = sender.subscribe();
        let other = one.clone();
        let mut closed = std::pin::pin!(sender.closed());
        assert!(closed.as_mut().now_or_never().is_none());
        drop(one);
        assert!(closed.as_mut().now_or_never().is_none());
        drop(other);
        assert_eq!(closed.now_or_never(), Some(()));
        assert_eq!(sender.closed().now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn who_waited_first_is_woken_first() {
        let sender = Sender::new(0);
        let order = Arc::new(Mutex::new(Vec::new()));
        let waiting: Vec<_> = (0..50)
            .map(|i| {
                let (mut receiver, order) = (sender.subscribe(), order.clone());
                tokio::spawn(async move {
                    let changed = receiver.changed().await;
                    order.lock().push(i);
                    changed
                })
            })
            .collect();
        // All of them wait now: the runtime has one thread and takes its tasks in turn.
        tokio::task::yield_now().await;
        sender.send_if_modified(|value| {
            *value = 1;
            true
        });
        for one in waiting {
            assert_eq!(one.await.expect("it ends"), Ok(()));
        }
        assert_eq!(*order.lock(), (0..50).collect::<Vec<_>>());
    }
}
