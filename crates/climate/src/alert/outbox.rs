//! Messages that have not been delivered yet, oldest first.
//!
//! This is the truth while the service runs; the history keeps a copy that survives a restart. A card that
//! cannot be written therefore delays no alert.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::message::Message;

/// More than this is not news any more; the oldest are dropped and counted.
const CAPACITY: usize = 500;

/// Undelivered messages.
#[derive(Debug, Default)]
pub struct Outbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Message>,
    dropped: u64,
    closed: bool,
    /// Counts the reasons to try again at once, such as new settings.
    nudges: u64,
}

impl Outbox {
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

    /// Removes a delivered message.
    pub fn remove(&self, key: &str) {
        self.change(|state| state.waiting.retain(|message| message.key != key));
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

    /// No more deliveries: the service ends.
    pub fn close(&self) {
        self.change(|state| state.closed = true);
    }

    /// Whether the service ends.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits for a message, but not longer than `at_most`.
    pub fn wait_for_message(&self, at_most: Duration) -> Option<Message> {
        let nothing = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), at_most, nothing);
        waited
            .expect("no panic while held")
            .0
            .waiting
            .front()
            .cloned()
    }

    /// Pauses for as long, unless nudged or closed; whether the pause was cut short.
    pub fn pause(&self, length: Duration) -> bool {
        let state = self.lock();
        let before = state.nudges;
        let unchanged = |state: &mut State| state.nudges == before && !state.closed;
        let waited = self.changed.wait_timeout_while(state, length, unchanged);
        !waited.expect("no panic while held").1.timed_out()
    }

    fn change<V>(&self, act: impl FnOnce(&mut State) -> V) -> V {
        let value = act(&mut self.lock());
        self.changed.notify_all();
        value
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }
}
