//! What the ticker appliance is for: what a market says, kept in a bucket, whatever fails in between.

use fake_exchange::kept;
use fake_s3::Bucket;
use testbed::figures;
use tests::*;

mod appliance;

use appliance::{Ticker, exchange_feed, ticker_appliance, ticker_is_healthy};

const MIB: u64 = 1 << 20;
/// What its owners were promised.
const MOST_MEMORY: u64 = 40 * MIB;

#[test]
fn ticker_boots_as_its_page_says_and_is_locked_in() -> Result<()> {
    let machine = ticker_appliance()?;
    ticker_is_healthy(&machine)?;
    for unit in ["ticker.service", "ticker-sync.service"] {
        machine.sh(&format!("systemd-analyze security --no-pager --threshold=20 {unit} > /run/security || {{ cat /run/security; false; }}"))?;
    }
    let settings = machine.sh("sysctl -n vm.swappiness fs.file-max")?;
    assert_eq!(
        settings.split_whitespace().collect::<Vec<_>>(),
        ["10", "65535"]
    );
    let swap = machine.sh("swapon --show=SIZE --bytes --noheadings /var/swapfile || swapon --show=NAME,SIZE --bytes --noheadings")?;
    ensure!(
        swap.contains(&(2048 * MIB - 4096).to_string()),
        "the swap is {swap}"
    );
    let limits = machine.sh("systemctl show ticker -P MemoryHigh -P MemoryMax")?;
    assert_eq!(
        limits.split_whitespace().collect::<Vec<_>>(),
        [(1500 * MIB).to_string(), (2048 * MIB).to_string()]
    );
    Ok(())
}

/// One machine for all of it, as each would have to wait for its share of records.
#[test]
fn ticker_brings_each_record_into_the_bucket_once_whatever_fails() -> Result<()> {
    let machine = ticker_appliance()?;
    let (feed, bucket) = (exchange_feed(600.0)?, Bucket::start()?);
    let ticker = Ticker::of(&machine)?;
    ticker.trades_with(&feed, &bucket)?;
    ticker.flushes(2000)?;
    let early = ticker.resident()?;
    let mut durable = ticker.flushes(12_000)?;
    let late = ticker.resident()?;
    ensure!(
        late <= MOST_MEMORY && late <= early + 4 * MIB,
        "{early} bytes of memory became {late}"
    );

    // Killed, it is back, and what it had flushed is completed.
    machine.sh("systemctl kill --signal KILL ticker")?;
    let after_kill = ticker.flushes(1000)?;
    ensure!(
        ticker.status()?["salvaged"]["records"].as_u64() > Some(0),
        "nothing was salvaged"
    );

    // No storage for a while: files wait, and only the service's health report says so.
    bucket.down();
    assert_eq!(ticker.syncs()?, 75);
    machine.wait_until("the service to say that nothing is synced", SOON, || {
        let health = ticker.web().get("/health")?.success()?.json()?;
        ensure!(
            health["components"]["sync"]["status"] == "degraded",
            "{health}"
        );
        Ok(())
    })?;
    nothing_failed(&machine)?;
    bucket.up();
    bucket.refuse(1);
    ticker.puts_down_its_files()?;
    durable += after_kill;
    assert_eq!(ticker.syncs()?, 0);

    // The plug is pulled while it writes.
    let before_cut = ticker.flushes(2000)?;
    machine.pull_plug()?;
    machine.power_on()?;
    machine.wait_for_ssh(BOOT)?;
    ticker_is_healthy(&machine)?;
    durable += before_cut;
    ticker.trades_with(&feed, &bucket)?;

    // A full disk: synced files go first; then it stops, says so, and goes on when there is room again.
    durable += ticker.flushes(1000)?;
    machine.sh(
        "fallocate -l $(( $(df --output=avail -B1 /var | tail -1) - 100 * 1024 * 1024 )) /var/full",
    )?;
    machine.wait_until("ticker to stop ingesting", SOON, || {
        let status = ticker.web().get("/health")?.status;
        ensure!(status == 503, "its health is {status}");
        ensure!(ticker.status()?["stopped"] == true, "it goes on");
        Ok(())
    })?;
    machine.sh("rm /var/full")?;
    let stopped_at = ticker.flushed()?;
    machine.wait_until("ticker to go on", SOON, || {
        ensure!(ticker.flushed()? > stopped_at + 500, "it does not");
        Ok(())
    })?;

    feed.pause();
    machine.wait_until("ticker to have written all", SOON, || {
        let status = ticker.status()?;
        ensure!(status["flushed"] == status["received"], "{status}");
        Ok(())
    })?;
    ticker.puts_down_its_files()?;
    assert_eq!(ticker.syncs()?, 0);
    let (kept, sent) = (kept(&bucket.folder(), "trade_id")?, feed.sent());
    figures(format!(
        "ticker: {} sent, at least {durable} durable, {} in the bucket in {} objects; {:.1} MiB of memory",
        sent.messages,
        kept.records(),
        kept.files,
        late as f64 / MIB as f64,
    ));
    assert_eq!(kept.repeated(), 0, "records that are there twice");
    ensure!(
        kept.records() >= durable,
        "{} of {durable} durable records are there",
        kept.records()
    );
    let last = machine.sh("ls /var/lib/ticker/raw/active | wc -l")?;
    assert_eq!(last.trim(), "0");
    ticker_is_healthy(&machine)
}
