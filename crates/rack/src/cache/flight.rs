//! Flights: many readers of one thing that is missing make it once.
//!
//! A reader takes a [`Seat`] before it looks for the thing, and shares what another one makes only if that cannot be older than
//! what it would make itself: it was made for the same token, which was current after the reader began; or the making began
//! after the reader did. Who makes does so with its own function. If that fails, the error is only its own, and those who waited
//! make the thing themselves, all at once, so that none waits for the failure of another one again. If it is cancelled, the next
//! reader takes its place.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::entries::Token;

/// What is being made, by the names of the things. It is as large as the requests at a time are many.
#[derive(Debug, Clone, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<String, Arc<Flight>>>>);

#[derive(Debug, Default)]
struct Flight {
    /// Numbers the beginnings of readers and of makings in their order.
    clock: AtomicU64,
    failures: AtomicU64,
    /// Locked by who makes.
    made: tokio::sync::Mutex<Option<Made>>,
}

#[derive(Debug)]
struct Made {
    began: u64,
    token: Option<Token>,
    value: Bytes,
}

/// A reader's part in a flight.
#[derive(Debug)]
pub(super) struct Seat {
    flights: Flights,
    name: String,
    flight: Arc<Flight>,
    began: u64,
    failures: u64,
}

impl Flights {
    /// Begins to read the thing with this name.
    pub(super) fn seat(&self, name: String) -> Seat {
        let flight = self.lock().entry(name.clone()).or_default().clone();
        let began = flight.clock.fetch_add(1, Ordering::SeqCst);
        let failures = flight.failures.load(Ordering::SeqCst);
        Seat {
            flights: self.clone(),
            name,
            flight,
            began,
            failures,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Shares what another reader has made or makes, or makes it. The token is the one that the reader found.
    pub(super) async fn once<E>(
        &self,
        token: Option<&Token>,
        make: impl Future<Output = Result<Bytes, E>>,
    ) -> Result<Bytes, E> {
        let mut made = self.flight.made.lock().await;
        if let Some(made) = &*made {
            let same = token.is_some() && made.token.as_ref() == token;
            if same || made.began > self.began {
                return Ok(made.value.clone());
            }
        }
        if self.flight.failures.load(Ordering::SeqCst) != self.failures {
            drop(made);
            return make.await;
        }
        let began = self.flight.clock.fetch_add(1, Ordering::SeqCst);
        let result = make.await;
        match &result {
            Ok(value) => {
                *made = Some(Made {
                    began,
                    token: token.cloned(),
                    value: value.clone(),
                });
            }
            Err(_) => {
                self.flight.failures.fetch_add(1, Ordering::SeqCst);
            }
        }
        result
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.flights.lock();
        // The map's and this one.
        if Arc::strong_count(&self.flight) == 2 {
            all.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;
    use std::pin::Pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Context, Waker};

    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    /// Goes on with it as far as that is possible now; whether something is left to wait for.
    fn waits<F: Future>(future: &mut Pin<Box<F>>) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        future.as_mut().poll(&mut nobody).is_pending()
    }

    fn token() -> Option<Token> {
        Some(Token::new())
    }

    #[tokio::test]
    async fn a_hundred_readers_make_it_once_and_nothing_is_left() {
        let (flights, token, made) = (Flights::default(), token(), AtomicUsize::new(0));
        let go = Notify::new();
        let readers = (0..100).map(|_| async {
            let seat = flights.seat("rack 1".into());
            let make = async {
                go.notified().await;
                made.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Infallible>(bytes("plan"))
            };
            seat.once(token.as_ref(), make).await
        });
        let all_wait = async { go.notify_one() };
        for value in tokio::join!(join_all(readers), all_wait).0 {
            assert_eq!(value, Ok(bytes("plan")));
        }
        assert_eq!(made.into_inner(), 1);
        assert!(flights.lock().is_empty());
    }

    #[tokio::test]
    async fn without_a_token_what_was_begun_before_is_not_shared() {
        let (flights, go) = (Flights::default(), Notify::new());
        let first = flights.seat("rack 1".into());
        let mut first = Box::pin(first.once(None, async {
            go.notified().await;
            Ok::<_, Infallible>(bytes("old"))
        }));
        assert!(waits(&mut first));
        // A write is done here. Two readers begin after it, and share what one of them makes.
        let seats = [flights.seat("rack 1".into()), flights.seat("rack 1".into())];
        let second = seats[0].once(None, async { Ok::<_, Infallible>(bytes("new")) });
        let third = seats[1].once(None, async { Ok::<_, Infallible>(bytes("also new")) });
        go.notify_one();
        let all = tokio::join!(first, second, third);
        assert_eq!(all, (Ok(bytes("old")), Ok(bytes("new")), Ok(bytes("new"))));
    }

    #[tokio::test]
    async fn another_token_is_not_shared() {
        let (flights, go) = (Flights::default(), Notify::new());
        let (old, new) = (token(), token());
        let early = flights.seat("rack 1".into());
        let mut first = Box::pin(early.once(old.as_ref(), async {
            go.notified().await;
            Ok::<_, Infallible>(bytes("old"))
        }));
        assert!(waits(&mut first));
        let late = flights.seat("rack 1".into());
        let second = late.once(new.as_ref(), async { Ok::<_, Infallible>(bytes("new")) });
        go.notify_one();
        let both = tokio::join!(first, second);
        assert_eq!(both, (Ok(bytes("old")), Ok(bytes("new"))));
    }

    #[tokio::test]
    async fn who_fails_or_is_cancelled_does_not_poison_the_others() {
        let (flights, token) = (Flights::default(), token());
        let seat = || flights.seat("rack 1".into());
        // One is cancelled while it makes: the next one makes it.
        let (first, second) = (seat(), seat());
        let mut making = Box::pin(first.once(token.as_ref(), pending::<Result<Bytes, &str>>()));
        assert!(waits(&mut making));
        let mut waiting =
            Box::pin(second.once(token.as_ref(), async { Ok::<_, &str>(bytes("it")) }));
        assert!(waits(&mut waiting));
        drop(making);
        assert_eq!(waiting.await, Ok(bytes("it")));
        drop((first, second));

        // One fails while three wait: each of them makes it itself, and none waits for another one.
        let go = Notify::new();
        let (first, others) = (seat(), [seat(), seat(), seat()]);
        let mut failing = Box::pin(first.once(token.as_ref(), async {
            go.notified().await;
            Err::<Bytes, _>("no database")
        }));
        assert!(waits(&mut failing));
        let made = AtomicUsize::new(0);
        let mut others: Vec<_> = others
            .iter()
            .map(|seat| {
                Box::pin(seat.once(token.as_ref(), async {
                    made.fetch_add(1, Ordering::SeqCst);
                    pending::<Result<Bytes, &str>>().await
                }))
            })
            .collect();
        for other in &mut others {
            assert!(waits(other));
        }
        go.notify_one();
        assert_eq!(failing.await, Err("no database"));
        for other in &mut others {
            assert!(waits(other));
        }
        assert_eq!(made.load(Ordering::SeqCst), 3);
        drop(others);
    }
}
