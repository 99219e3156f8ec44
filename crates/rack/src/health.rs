//! What `/health` tells of the database, the cache, the disk and the memory, and the metrics of the same.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kit::{Condition, Kit, Table};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cache::{Breaker, Cache, Counts, State};

/// How often the database and the cache are asked for a sign of life.
const PERIOD: Duration = Duration::from_secs(5);
/// How long that may take. It is less than the limit of the kit, for which what is late is only degraded.
const LIMIT: Duration = Duration::from_secs(3);
/// From this part on that is used, there is a warning.
const WARNING: f64 = 0.8;
/// From this part on that is used, something has to be done.
const CRITICAL: f64 = 0.9;

/// The connections with the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// How many there are.
    pub size: usize,
    /// How many of them nobody uses.
    pub available: usize,
    /// How many requests wait for one.
    pub waiting: usize,
    /// How many there may be.
    pub max: usize,
}

/// What is looked at.
pub struct Watched<P, S> {
    /// Asks the database for a sign of life: how long it took, or why there is none.
    pub ping: P,
    /// Tells of the connections with the database.
    pub pool: S,
    /// The cache.
    pub cache: Cache,
    /// Breakers other than the cache's.
    pub breakers: Vec<Breaker>,
    /// A folder on the disk that is looked at.
    pub disk: PathBuf,
    /// What people may know of the configuration: nothing secret.
    pub configuration: Value,
}

/// How long the last answer took, in microseconds; [`u64::MAX`] if there was none.
#[derive(Debug, Clone)]
struct Latency(Arc<AtomicU64>);

impl Latency {
    fn set(&self, took: Option<Duration>) {
        let micros = took.map_or(u64::MAX, |took| took.as_micros() as u64);
        self.0.store(micros, Ordering::Relaxed);
    }

    fn seconds(&self) -> Option<f64> {
        let micros = self.0.load(Ordering::Relaxed);
        (micros != u64::MAX).then_some(micros as f64 / 1e6)
    }

    fn millis(&self) -> Option<f64> {
        self.seconds().map(|seconds| seconds * 1e3)
    }
}

impl Default for Latency {
    fn default() -> Self {
        Latency(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

/// Adds to `/health` and `/metrics`, and asks the database and the cache for a sign of life every few seconds. Without the database
/// the service is failed, and not ready; without the cache it is degraded.
pub fn extend<P, F, S>(kit: &Kit, watched: Watched<P, S>)
where
    P: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<Duration, String>> + Send,
    S: Fn() -> Pool + Send + Sync + 'static,
{
    let Watched {
        ping,
        pool,
        cache,
        mut breakers,
        disk,
        configuration,
    } = watched;
    breakers.extend(cache.breaker());
    let (database_took, cache_took) = (Latency::default(), Latency::default());

    let ping = Arc::new(ping);
    let took = database_took.clone();
    kit.check("database", PERIOD, LIMIT + PERIOD, move || {
        let (ping, took) = (ping.clone(), took.clone());
        async move {
            let answer = tokio::time::timeout(LIMIT, ping()).await;
            let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")));
            took.set(answer.as_ref().ok().copied());
            answer.map_or_else(Condition::Failed, |_| Condition::Ok)
        }
    });
    if cache.is_enabled() {
        let (cache, took) = (cache.clone(), cache_took.clone());
        kit.check("cache", PERIOD, LIMIT, move || {
            let (cache, took) = (cache.clone(), took.clone());
            async move {
                let answer = cache.check().await.unwrap_or(Ok(Duration::ZERO));
                took.set(answer.as_ref().ok().copied());
                answer.map_or_else(Condition::Degraded, |_| Condition::Ok)
            }
        });
    }

    let told = Told {
        pool: Arc::new(pool),
        cache,
        breakers,
        disk,
        database_took,
        cache_took,
    };
    let metrics = told.clone();
    kit.register_metrics(move |table| metrics.measure(table));
    kit.extend_health(move |fields| {
        fields.extend(told.fields());
        fields.insert("configuration".into(), configuration.clone());
    });
}

/// What is told at each request.
#[derive(Clone)]
struct Told {
    pool: Arc<dyn Fn() -> Pool + Send + Sync>,
    cache: Cache,
    breakers: Vec<Breaker>,
    disk: PathBuf,
    database_took: Latency,
    cache_took: Latency,
}

impl Told {
    fn fields(&self) -> serde_json::Map<String, Value> {
        let all = self.cache.counts().into_iter().map(|(_, counts)| counts);
        let counts = all.fold(Counts::default(), |sum, counts| Counts {
            hits: sum.hits + counts.hits,
            misses: sum.misses + counts.misses,
            stale: sum.stale + counts.stale,
        });
        let breaker = |breaker: &Breaker| {
            let told = json!({ "state": breaker.state(), "opened": breaker.opened() });
            (breaker.name().to_owned(), told)
        };
        let breakers: serde_json::Map<_, _> = self.breakers.iter().map(breaker).collect();
        let disk = disk_used(&self.disk);
        let body = json!({
            "database": { "latency_ms": self.database_took.millis(), "pool": (self.pool)() },
            "cache": {
                "enabled": self.cache.is_enabled(),
                "hits": counts.hits,
                "misses": counts.misses,
                "stale": counts.stale,
                "hit_ratio": ratio(counts.hits, counts.hits + counts.misses + counts.stale),
                "latency_ms": self.cache_took.millis(),
                "untold_changes": self.cache.untold(),
            },
            "disk": { "used_ratio": disk, "status": disk.map(status) },
            "memory": memory(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default()),
            "breakers": breakers,
        });
        match body {
            Value::Object(fields) => fields,
            _ => unreachable!("it is written as an object"),
        }
    }

    fn measure(&self, table: &mut Table) {
        let counts = self.cache.counts();
        let of = |count: fn(&Counts) -> u64| {
            counts
                .each_ref()
                .map(|(group, counts)| ([("group", group.word())], count(counts)))
        };
        let opened = self
            .breakers
            .iter()
            .map(|b| ([("breaker", b.name())], b.opened()));
        let states = self.breakers.iter().map(|b| {
            let state = match b.state() {
                State::Closed => 0.0,
                State::HalfOpen => 1.0,
                State::Open => 2.0,
            };
            ([("breaker", b.name())], state)
        });
        let pool = (self.pool)();
        let connections = [
            (
                [("state", "used")],
                pool.size.saturating_sub(pool.available) as f64,
            ),
            ([("state", "idle")], pool.available as f64),
        ];
        kit::metrics! { table;
            counters "rack_cache_hits", "Values that were in the cache" => of(|counts| counts.hits);
            counters "rack_cache_misses", "Values that had to be made" => of(|counts| counts.misses);
            counters "rack_cache_stale", "Old values given while the database was gone" => of(|counts| counts.stale);
            counter "rack_cache_untold_changes", "Changes that the cache could not be told of at once" => self.cache.untold();
            gauge "rack_cache_latency_seconds", "How long the cache's last answer took" => self.cache_took.seconds();
            gauge "rack_database_latency_seconds", "How long the database's last answer took" => self.database_took.seconds();
            gauges "rack_database_connections", "Connections with the database" => connections;
            gauge "rack_database_connections_limit", "How many there may be" => pool.max as f64;
            gauge "rack_database_waiting", "Requests that wait for a connection" => pool.waiting as f64;
            gauges "rack_breaker_state", "What a breaker does with calls: 0 permits them, 1 tries one, 2 refuses them" => states;
            counters "rack_breaker_opened", "How often a breaker opened" => opened;
            gauge "rack_disk_used_ratio", "The part of the disk that is used" => disk_used(&self.disk);
        }
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn status(used: f64) -> &'static str {
    match used {
        used if used >= CRITICAL => "critical",
        used if used >= WARNING => "warning",
        _ => "ok",
    }
}

/// The part of the file system that services cannot use any more.
fn disk_used(folder: &std::path::Path) -> Option<f64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    ratio(stat.f_blocks.saturating_sub(stat.f_bavail), stat.f_blocks)
}

/// The memory of the machine, as `/proc/meminfo` tells it.
fn memory(meminfo: &str) -> Value {
    let bytes = |name: &str| -> Option<u64> {
        let mut lines = meminfo.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(found, _)| *found == name)?;
        Some(
            value
                .trim()
                .strip_suffix(" kB")?
                .trim()
                .parse::<u64>()
                .ok()?
                * 1024,
        )
    };
    let (Some(total), Some(available)) = (bytes("MemTotal"), bytes("MemAvailable")) else {
        return Value::Null;
    };
    let used = ratio(total.saturating_sub(available), total);
    json!({
        "total_bytes": total,
        "available_bytes": available,
        "used_ratio": used,
        "status": used.map(status),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_are_at_four_fifths_and_nine_tenths() {
        for (used, expected) in [
            (0.0, "ok"),
            (0.799, "ok"),
            (0.8, "warning"),
            (0.9, "critical"),
            (1.0, "critical"),
        ] {
            assert_eq!(status(used), expected, "{used}");
        }
    }

    #[test]
    fn memory_is_what_can_be_had_without_swapping() {
        let told = memory("MemTotal:        2000 kB\nMemFree:  10 kB\nMemAvailable:    500 kB\n");
        assert_eq!(told["total_bytes"], 2_048_000);
        assert_eq!(
            (&told["used_ratio"], &told["status"]),
            (&json!(0.75), &json!("ok"))
        );
        assert_eq!(memory("no such file"), Value::Null);
    }
}
