//! What the energy appliance is for: a price on a wall, with the network or without.

use std::time::Duration;

use testbed::{Browser, Window};
use tests::energy::*;
use tests::*;

const SETTLE: Duration = Duration::from_secs(5);
const UNITS: [&str; 2] = [
    "home-energy-dashboard.service",
    "home-energy-sync-cache.service",
];

#[test]
fn the_wall_shows_what_amber_says_and_goes_on_without_it() -> Result<()> {
    let machine = energy_appliance()?;
    let energy = Energy::of(&machine)?;
    // It was never online: it serves its page and says that it knows nothing.
    let health = energy.is("unknown")?;
    ensure!(
        health["cache_age"].is_null() && health["source"] == "cache",
        "{health}"
    );
    ensure!(energy.web().get("/")?.success()?.body.contains("energy.js"));

    let mut amber = amber::FakeAmber::start();
    energy.ask(&amber)?;
    energy.catch_up()?;
    let health = energy.is("ok")?;
    ensure!(health["source"] == "live", "{health}");
    let (cents, from) = energy.price()?;
    ensure!(
        (cents - amber::cents(from)).abs() < 1e-9,
        "{cents} at {from}"
    );

    let browser = Browser::from_env()?;
    let see = |name: &str, (width, height, dark): (u32, u32, bool)| {
        let window = Window {
            width,
            height,
            dark,
        };
        let page = browser.open(&energy.web().url("/"), window, SETTLE, name)?;
        ensure!(page.complaints.is_empty(), "{:?}", page.complaints);
        Ok(page.dom)
    };
    for (name, window) in [
        ("wall", (1024, 600, false)),
        ("wall-at-night", (1024, 600, true)),
        ("phone", (390, 844, false)),
        ("phone-at-night", (390, 844, true)),
    ] {
        let (before, _) = energy.price()?;
        let dom = see(name, window)?;
        let (after, _) = energy.price()?;
        // It may have become another one meanwhile.
        let told = [before, after]
            .iter()
            .any(|cents| dom.contains(&format!(">{cents:.0}</span>")));
        ensure!(told, "no {before} or {after} in {dom}");
        ensure!(dom.contains("data-is=\"good\">Updated"), "no age in {dom}");
        ensure!(dom.contains("28.8 kWh"), "no usage of yesterday in {dom}");
    }

    // The network is gone, and two hours pass.
    amber.down();
    machine.sh("date -s '+2 hours'")?;
    energy.sync()?;
    let health = energy.is("stale")?;
    ensure!(health["source"] == "cache", "{health}");
    ensure!(
        health["cache_age"].as_i64().is_some_and(|age| age >= 7200),
        "{health}"
    );
    energy
        .price()
        .context("what was expected of now two hours ago")?;
    let dom = see("without-network", (1024, 600, false))?;
    ensure!(
        dom.contains("data-is=\"warn\">Prices from 2 h ago"),
        "{dom}"
    );
    ensure!(dom.contains("Expected until"), "{dom}");
    // It is no failure of the device: no update would be taken back for it.
    energy_healthy(&machine)?;

    amber.up();
    energy.sync()?;
    energy.is("ok").map(drop)
}

#[test]
fn the_cache_outlives_a_power_cut() -> Result<()> {
    let machine = energy_appliance()?;
    let energy = Energy::of(&machine)?;
    let amber = amber::FakeAmber::start();
    energy.ask(&amber)?;
    energy.catch_up()?;
    energy.is("ok")?;
    let days = || -> Result<usize> {
        let told = energy
            .web()
            .get("/api/usage/days?days=60")?
            .success()?
            .json()?;
        Ok(told["days"].as_array().map_or(0, Vec::len))
    };
    let before = days()?;
    ensure!(before > 20, "{before} days");
    // In the middle of another look at Amber.
    machine.sh("systemctl start --no-block home-energy-sync-cache.service")?;
    Event::PowerCut.happen(&machine)?;
    energy_healthy(&machine)?;
    let after = days()?;
    ensure!(after >= before, "{before} days before, {after} after");
    ensure!(
        energy.health()?["cache_age"].is_number(),
        "{}",
        energy.health()?
    );
    Ok(())
}

#[test]
fn the_timer_looks_at_amber_by_itself_and_neither_program_may_do_much() -> Result<()> {
    let machine = energy_appliance()?;
    let energy = Energy::of(&machine)?;
    let amber = amber::FakeAmber::start();
    energy.ask(&amber)?;
    let timer = machine.sh("systemctl show home-energy-sync-cache.timer -p RandomizedDelayUSec,FixedRandomDelay,Persistent,ActiveState")?;
    for wanted in [
        "RandomizedDelayUSec=45s",
        "FixedRandomDelay=yes",
        "Persistent=yes",
        "ActiveState=active",
    ] {
        ensure!(timer.contains(wanted), "{wanted} in {timer}");
    }
    // Almost the next five minutes: whatever comes of it comes from the timer.
    machine.sh("date -s @$(( ($(date +%s) / 300 + 1) * 300 - 2 ))")?;
    energy.is("ok")?;
    ensure!(!amber.asked().is_empty());
    for unit in UNITS {
        machine.sh(&format!("systemd-analyze security --no-pager --threshold=20 {unit} > /run/security || {{ cat /run/security; false; }}"))?;
    }
    let resident =
        machine.sh("ps -o rss= -p $(systemctl show -P MainPID home-energy-dashboard)")?;
    let kibibytes: u64 = resident.trim().parse()?;
    println!("figures: RSS of energy's dashboard on the device: {kibibytes} KiB");
    Ok(())
}
