//! The outbox: undelivered messages, oldest first.
//!
//! This is the authoritative copy while the service runs; the history stores another one for restarts. An unwritable
//! card therefore delays no alert.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, OnceLock};

use super::message::Message;

/// The largest number of messages; beyond it, the oldest are dropped and counted.
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
    /// Counts the reasons to retry at once, such as new settings.
    nudges: u64,
}

impl Outbox {
    /// Calls `bell`, which must not block, whenever there may be something to deliver.
    pub fn ring(&self, bell: impl Fn() + Send + Sync + 'static) {
        let _ = self.bell.set(Box::new(bell));
    }

    /// Inserts stored messages before those that are already waiting.
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

    /// Adds a message; returns the messages that were dropped for it.
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

    /// Removes a message that was delivered.
    pub fn delivered(&self, key: &str) {
        let mut state = self.lock();
        state.waiting.retain(|message| message.key != key);
        state.sent += 1;
    }

    /// The number of delivered messages.
    pub fn sent(&self) -> u64 {
        self.lock().sent
    }

    /// The oldest message.
    pub fn front(&self) -> Option<Message> {
        self.lock().waiting.front().cloned()
    }

    /// All messages, oldest first.
    pub fn all(&self) -> Vec<Message> {
        self.lock().waiting.iter().cloned().collect()
    }

    /// The number of messages.
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of messages that were dropped because too many were waiting.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Ends a pause: something has changed, so retry now.
    pub fn nudge(&self) {
        self.change(|state| state.nudges += 1);
    }

    /// The number of nudges.
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
