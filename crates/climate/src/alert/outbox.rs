//! Messages that have not been delivered yet, oldest first.
//!
//! This is the truth while the service runs; the history keeps a copy that survives a restart. A card that
//! cannot be written therefore delays no alert.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, OnceLock};

use super::message::Message;

/// More than this is not news any more; the oldest are dropped and counted.
const CAPACITY: usize = 500;

/// Undelivered messages.
#[derive(Default)]
pub struct Outbox {
    state: Mutex<State>,
    bell: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.lock().fmt(f)
    }
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Message>,
    dropped: u64,
    sent: u64,
    /// Counts the reasons to try again at once, such as new settings.
    nudges: u64,
}

impl Outbox {
    /// Calls `bell`, which must not wait, whenever there may be something to do for whoever delivers.
    pub fn ring(&self, bell: impl Fn() + Send + Sync + 'static) {
        let _ = self.bell.set(Box::new(bell));
    }

    /// Puts what was stored before what waits already.
    pub fn restore(&self, stored: Vec<Message>) {
        self.change(|state| {
            let known = |message: &Message| stored.iter().any(|other| other.key == message.key);
            let newer: Vec<Message> = state
                .waiting
                .drain(..)
                .filter(|message| !known(message))
                .collect();
            state.waiting = stored.into_iter().chain(newer).collect();
        });
    }

    /// Adds a message; returns what it pushed out.
    pub fn push(&self, message: Message) -> Option<Message> {
        self.change(|state| {
            let oldest = (state.waiting.len() >= CAPACITY)
                .then(|| state.waiting.pop_front())
                .flatten();
            state.dropped += u64::from(oldest.is_some());
            state.waiting.push_back(message);
            oldest
        })
    }

    /// A message has arrived.
    pub fn delivered(&self, key: &str) {
        let mut state = self.lock();
        state.waiting.retain(|message| message.key != key);
        state.sent += 1;
    }

    /// How many have arrived.
    pub fn sent(&self) -> u64 {
        self.lock().sent
    }

    /// The oldest message.
    pub fn front(&self) -> Option<Message> {
        self.lock().waiting.front().cloned()
    }

    /// All of them, oldest first.
    pub fn all(&self) -> Vec<Message> {
        self.lock().waiting.iter().cloned().collect()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many were dropped because too many waited.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Ends a pause: something is different, try again.
    pub fn nudge(&self) {
        self.change(|state| state.nudges += 1);
    }

    /// How often that was so.
    pub fn nudges(&self) -> u64 {
        self.lock().nudges
    }

    fn change<V>(&self, act: impl FnOnce(&mut State) -> V) -> V {
        let value = act(&mut self.lock());
        if let Some(bell) = self.bell.get() {
            bell();
        }
        value
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }
}
