//! What was read from the database, kept in a server that speaks Redis's protocol. Without that server the planner is slower,
//! and never wrong.
//!
//! # What is promised
//!
//! Whoever begins to read after a change has succeeded does not get what was before it, in any process that uses the same
//! server, except as [`Origin::Stale`], which says so and is given only while the database is gone.
//!
//! # How it is kept
//!
//! Each group of values has a *token*, a random number in the server. A reader asks for the token and the value in one question,
//! before it makes anything. A value is kept with the token that its maker had found, and is good only while that is still the
//! token of its group: what was made from what was read before a change has another token than what is made after it.
//!
//! A writer, [`Cache::change`], *closes* its groups before the change: they have no token then, and every reader makes what it
//! wants, and keeps nothing. After the change it opens them, and the next reader gives them a new token. Several writers at once
//! have to have opened a group until it is open. One that is never heard of again, because its plug was pulled or the network
//! failed, lapses after a minute, and the group has a new token then, too. A change that was begun is finished, even if the one who
//! asked for it has gone meanwhile.
//!
//! Tokens are not numbers that are counted up, since a server may forget: one that is emptied, or has thrown the token away for
//! want of memory, gets a new one, which no value has. For a server that starts again with what it had saved earlier, they have
//! names that contain the number of its run, so that no run sees the tokens of another one. Ages are measured by the clock of
//! the server alone; wrong clocks of the planners' machines do not matter.
//!
//! # What happens if the server cannot be reached
//!
//! Values are made each time, and readers share what was begun after they came. A process that has lost its connection, or
//! could not tell of a change, takes the tokens of the groups away before it uses the cache again. It tries so at each read, and
//! every few seconds ([`Cache::check`]). Each process begins with that, for what it may have changed before it was killed.
//!
//! If a writer cannot reach the server before its change, it changes the database nevertheless. Only then, and only in processes
//! that reach the server all the time, can an old value be given: they do not know of the change. That ends as soon as
//! the writer reaches the server again (a few seconds after that at the latest), or starts again, or when the values are past
//! their time, which is at most an hour ([`Group::time`]). With the server on the same machine there is no such case.
//!
//! One server is meant, not a cluster. When a replica takes its place, its run has another number, and all is made anew.
//!
//! # Bounds
//!
//! A request waits for the server at most for three answers, each within its limit, and then a [`Breaker`] spares all other
//! readers the wait. Who changes something tells the server before and after in any case. Values above [`LARGEST`] are not kept. Here, in the process, there is only what is being made. In the server there is one
//! value for each thing that was asked for within a day; its policy has to be one that removes what was not used for long
//! (`allkeys-lru`). If it refuses for want of memory, the cache is not used.

mod breaker;
mod entries;
mod flight;
mod limiter;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kit::Secret;

use self::entries::{Found, Scripts, Token};
use self::flight::Flights;
use self::server::Server;
use crate::config::CacheSettings;

pub use self::breaker::{Breaker, Machine, Open, Outcome, Permit, Rules, State};
pub use self::limiter::{Limiter, Rate, Verdict};

/// The largest value that is kept, in bytes.
pub const LARGEST: usize = 1 << 20;

/// An error that may mean that the database is gone.
pub trait Outage {
    /// Whether the database could not be reached or did not answer, so that nothing is known of what was asked. What it refused is
    /// no outage.
    fn is_outage(&self) -> bool;
}

/// Values that become old at the same changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// What is in a rack, with its conflicts.
    Plan,
    /// The heat of a rack.
    Thermal,
    /// Proposals of better places.
    Optimise,
    /// What a search finds.
    Search,
    /// Kinds of devices.
    Kinds,
}

impl Group {
    /// All of them.
    pub const ALL: [Group; 5] = [
        Group::Plan,
        Group::Thermal,
        Group::Optimise,
        Group::Search,
        Group::Kinds,
    ];

    /// How long a value is good if nothing is changed.
    pub fn time(self) -> Duration {
        let minutes = match self {
            Group::Plan | Group::Thermal => 5,
            Group::Optimise => 10,
            Group::Search | Group::Kinds => 60,
        };
        Duration::from_secs(minutes * 60)
    }

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Group::Plan => "plan",
            Group::Thermal => "thermal",
            Group::Optimise => "optimise",
            Group::Search => "search",
            Group::Kinds => "kinds",
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was kept, and is as good as new.
    Cache,
    /// It was made for this reader, or for another one at the same time.
    Made,
    /// It was kept, and may be up to a day old: the database is gone.
    Stale,
}

impl Origin {
    /// The word for the header `x-cache`.
    pub fn word(self) -> &'static str {
        match self {
            Origin::Cache => "hit",
            Origin::Made => "miss",
            Origin::Stale => "stale",
        }
    }
}

/// How often readers of a group got what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Values that were kept.
    pub hits: u64,
    /// Values that had to be made.
    pub misses: u64,
    /// Values of which it is not known whether they are old.
    pub stale: u64,
}

/// The cache; clones are the same one.
#[derive(Debug, Clone)]
pub struct Cache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// None if there is to be none.
    server: Option<Arc<Server>>,
    scripts: Scripts,
    flights: Flights,
    groups: [Tally; Group::ALL.len()],
    untold: AtomicU64,
}

/// What is known of a group here.
#[derive(Debug, Default)]
struct Tally {
    hits: AtomicU64,
    misses: AtomicU64,
    stale: AtomicU64,
    /// Changes that the server was not told of, ever.
    owed: AtomicU64,
    /// How many of them it was told of later.
    paid: AtomicU64,
    /// The number of the last connection by which the token was taken away.
    cleared: AtomicU64,
    /// Locked by who takes it away.
    clearing: tokio::sync::Mutex<()>,
}

impl Cache {
    /// Reads where the server is. Does not connect; an error is one of the settings.
    pub fn open(settings: &CacheSettings, password: Option<Secret>) -> anyhow::Result<Self> {
        let server = match settings.enabled {
            true => Some(Arc::new(Server::new(settings, password.as_ref())?)),
            false => None,
        };
        let (scripts, flights, groups, untold) = Default::default();
        Ok(Cache(Arc::new(Inner {
            server,
            scripts,
            flights,
            groups,
            untold,
        })))
    }

    /// Gives the value with this key, or makes it. Many readers of one that is missing make it once. If making it fails because
    /// the database is gone, and there is an old one, gives that.
    pub async fn get_or<E, F, Fut>(
        &self,
        group: Group,
        key: &str,
        make: F,
    ) -> Result<(Bytes, Origin), E>
    where
        E: Outage,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Bytes, E>>,
    {
        let tally = self.tally(group);
        let seat = self.0.flights.seat(format!("{}:{key}", group.word()));
        // Before it is looked for: a token that is taken away between the two would make what is old seem good.
        let is_settled = self.settle(group).await;
        let Found { token, entry, link } = self.look(group, key).await;
        let is_settled = is_settled && link == tally.cleared.load(Ordering::SeqCst);
        let token = token.filter(|_| is_settled);
        if let (Some(token), Some(entry)) = (&token, &entry)
            && entry.token == *token
            && entry.age < group.time()
        {
            tally.hits.fetch_add(1, Ordering::Relaxed);
            return Ok((entry.value.clone(), Origin::Cache));
        }
        let made = seat.once(token.as_ref(), async {
            let value = make().await?;
            if let Some(token) = &token {
                self.keep(group, key, token, &value).await;
            }
            Ok::<_, E>(value)
        });
        match (made.await, entry) {
            (Err(error), Some(entry)) if error.is_outage() => {
                tally.stale.fetch_add(1, Ordering::Relaxed);
                Ok((entry.value, Origin::Stale))
            }
            (made, _) => {
                tally.misses.fetch_add(1, Ordering::Relaxed);
                made.map(|value| (value, Origin::Made))
            }
        }
    }

    /// Changes the database such that values of these groups become old. When this returns, no reader that begins later gets
    /// them. The change is finished even if this is dropped.
    ///
    /// After an error that is an outage, nobody knows whether the change was made: the groups stay closed until it is certain that
    /// it either was or will not be, for a minute.
    pub async fn change<T, E, W>(&self, groups: &'static [Group], write: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: Outage + Send + 'static,
        W: Future<Output = Result<T, E>> + Send + 'static,
    {
        let cache = self.clone();
        let task = tokio::spawn(async move { cache.change_here(groups, write).await });
        match task.await.map_err(|ended| ended.try_into_panic()) {
            Ok(result) => result,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime ends, and this with it.
            Err(Err(_)) => std::future::pending().await,
        }
    }

    async fn change_here<T, E: Outage>(
        &self,
        groups: &[Group],
        write: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let Some(server) = &self.0.server else {
            return write.await;
        };
        let (scripts, writer) = (&self.0.scripts, Token::new());
        // If this fails, the change is made nevertheless; the head of this file says what that means.
        let _ = scripts.close(server, groups, &writer).await;
        let result = write.await;
        let in_doubt = matches!(&result, Err(error) if error.is_outage());
        let told = if in_doubt {
            scripts.close(server, groups, &writer).await
        } else {
            scripts.open(server, groups, &writer).await
        };
        if let Err(trouble) = told {
            tracing::debug!("a change is not told to the cache yet: {trouble}");
            self.0.untold.fetch_add(1, Ordering::Relaxed);
            for group in groups {
                self.tally(*group).owed.fetch_add(1, Ordering::SeqCst);
            }
        }
        result
    }

    /// Asks the server for a sign of life, and tells it of changes that it was not told of. Says how long the answer took, or why
    /// there is none. `None` if there is to be no server.
    pub async fn check(&self) -> Option<Result<Duration, String>> {
        let server = self.0.server.as_ref()?;
        let answered = server.ping().await;
        if answered.is_ok() {
            for group in Group::ALL {
                self.settle(group).await;
            }
        }
        Some(answered.map_err(|trouble| trouble.to_string()))
    }

    /// Whether there is to be a server.
    pub fn is_enabled(&self) -> bool {
        self.0.server.is_some()
    }

    /// The breaker of the server, if there is to be one.
    pub fn breaker(&self) -> Option<Breaker> {
        Some(self.0.server.as_ref()?.breaker().clone())
    }

    /// Counts requests in the same server.
    pub fn limiter(&self) -> Limiter {
        Limiter::new(self.0.server.clone())
    }

    /// How often readers of each group got what.
    pub fn counts(&self) -> [(Group, Counts); Group::ALL.len()] {
        Group::ALL.map(|group| {
            let tally = self.tally(group);
            let counts = Counts {
                hits: tally.hits.load(Ordering::Relaxed),
                misses: tally.misses.load(Ordering::Relaxed),
                stale: tally.stale.load(Ordering::Relaxed),
            };
            (group, counts)
        })
    }

    /// Changes that the server could not be told of at once.
    pub fn untold(&self) -> u64 {
        self.0.untold.load(Ordering::Relaxed)
    }

    fn tally(&self, group: Group) -> &Tally {
        &self.0.groups[group as usize]
    }

    /// Takes the token of a group away if there were changes that the server may not know of. False if there may still be some.
    async fn settle(&self, group: Group) -> bool {
        let Some(server) = &self.0.server else {
            return false;
        };
        let tally = self.tally(group);
        let (owed, cleared) = (
            tally.owed.load(Ordering::SeqCst),
            tally.cleared.load(Ordering::SeqCst),
        );
        let is_paid = tally.paid.load(Ordering::SeqCst) >= owed;
        if is_paid && cleared > 0 && cleared == server.links() {
            return true;
        }
        // While another one does it, nobody waits.
        let Ok(_clearing) = tally.clearing.try_lock() else {
            return false;
        };
        match self.0.scripts.clear(server, group).await {
            Ok(link) => {
                tally.paid.fetch_max(owed, Ordering::SeqCst);
                tally.cleared.fetch_max(link, Ordering::SeqCst);
                true
            }
            Err(_) => false,
        }
    }

    async fn look(&self, group: Group, key: &str) -> Found {
        let Some(server) = &self.0.server else {
            return Found::default();
        };
        let found = entries::look(server, group, key).await;
        found.unwrap_or_else(|trouble| {
            tracing::debug!("not looked for {}: {trouble}", group.word());
            Found::default()
        })
    }

    async fn keep(&self, group: Group, key: &str, token: &Token, value: &Bytes) {
        let Some(server) = self.0.server.as_ref().filter(|_| value.len() <= LARGEST) else {
            return;
        };
        let kept = entries::keep(server, group, key, token, value).await;
        if let Err(trouble) = kept {
            tracing::debug!("not kept for {}: {trouble}", group.word());
        }
    }
}
