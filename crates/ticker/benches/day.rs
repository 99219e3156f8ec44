//! A day of feed in less than a day: messages are decoded, put through the queue and written as they would be, at
//! 10,000 a second of a clock that runs as fast as this machine can follow, hours ending as they do.
//!
//! `cargo bench -p ticker --bench day -- HOURS`; prints the resident memory at every ten minutes of that clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kit::ProcessUsage;
use serde_json::json;
use ticker::config::Config;
use ticker::queue::Queue;
use ticker::stats::Stats;
use ticker::store::{Place, Store};

const RATE: u64 = 10_000;
const SYMBOLS: usize = 20;
const BEGIN: i64 = 1_795_564_800_000_000;
const STEP: i64 = 1_000_000 / RATE as i64;

fn main() -> anyhow::Result<()> {
    let hours: f64 = std::env::args()
        .filter_map(|a| a.parse().ok())
        .next_back()
        .unwrap_or(1.0);
    let symbols: Vec<String> = (0..SYMBOLS).map(|n| format!("S{n:02}USD")).collect();
    let config: Config = serde_json::from_value(json!({
        "sources": [{ "name": "exchange", "kind": "binance", "channels": ["trade"], "symbols": symbols }],
    }))?;
    let streams: Arc<[_]> = config.streams().into();
    let stats = Arc::new(Stats::new(&streams));
    let decode = config.sources[0].decoder(0);
    let directory = tempfile::tempdir()?;
    let (mut store, _) = Store::open(
        directory.path(),
        streams,
        config.flush.clone(),
        config.segment.clone(),
        stats.clone(),
    )?;
    let queue = Queue::new(config.queue.clone(), stats.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;

    let messages = (hours * 3600.0 * RATE as f64) as u64;
    let (mut records, mut batch, mut text) = (Vec::new(), VecDeque::new(), String::new());
    let (began, mut highest, mut bytes) = (Instant::now(), 0, 0);
    println!("hours,resident_mib,flushed");
    for number in 0..messages {
        use std::fmt::Write;
        let now = BEGIN + number as i64 * STEP;
        let symbol = fastrand::usize(..SYMBOLS);
        text.clear();
        // Prices that wander, and sizes of all kinds: what does not compress to nothing.
        write!(
            text,
            r#"{{"stream":"s{symbol:02}usd@trade","data":{{"e":"trade","E":{ms},"s":"S{symbol:02}USD","t":{number},"p":"{price}.{cents:02}","q":"0.{size:05}","T":{ms},"m":{m},"M":true}}}}"#,
            ms = now / 1000 - i64::from(fastrand::u8(..20)),
            price = 40_000 + (number / 100_000) % 500,
            cents = fastrand::u8(..100),
            size = fastrand::u32(..100_000),
            m = fastrand::bool(),
        )?;
        decode(text.as_bytes(), now, &mut records)?;
        if number % 1000 == 999 {
            runtime.block_on(queue.put(&mut records));
            queue.take(&mut batch, Duration::ZERO);
            for record in batch.drain(..) {
                store.take(&record)?;
            }
            store.tick(now)?;
        }
        if number % (RATE * 600) == RATE * 600 - 1 {
            let resident = ProcessUsage::now().resident_bytes;
            highest = highest.max(resident);
            println!(
                "{:.3},{:.1},{}",
                (number + 1) as f64 / RATE as f64 / 3600.0,
                resident as f64 / 1048576.0,
                stats.total_flushed()
            );
            // A sync would have brought them away.
            let ready = store.place().ready();
            for name in Place::files(&ready)? {
                bytes += ready.join(&name).metadata()?.len();
                std::fs::remove_file(ready.join(name))?;
            }
        }
    }
    store.finish(BEGIN + messages as i64 * STEP)?;
    for name in Place::files(&store.place().ready())? {
        bytes += store.place().ready().join(name).metadata()?.len();
    }
    anyhow::ensure!(stats.total_flushed() == messages, "not all was written");
    eprintln!(
        "{hours} hours, {messages} messages in {:.0} s; at most {:.1} MiB; {:.1} bytes a record in files",
        began.elapsed().as_secs_f64(),
        highest as f64 / 1048576.0,
        bytes as f64 / messages as f64,
    );
    Ok(())
}
