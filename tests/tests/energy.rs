//! What the energy appliance is for: a price on a wall, with the network or without.

use std::time::Duration;

use appliance::*;
use testbed::{Browser, Window};
use tests::*;

mod appliance;

const SETTLE: Duration = Duration::from_secs(5);
const UNITS: [&str; 2] = [
    "home-energy-dashboard.service",
    "home-energy-sync-cache.service",
];

#[test]
fn the_wall_shows_what_amber_says_and_goes_on_without_it() -> Result<()> {
    let machine = energy_appliance()?;
    let energy = Energy::of(&machine)?;
    // It was never online: it serves its page, which says that there are no prices yet.
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
    energy.is_without_amber()?;
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
        dom.contains("data-is=\"warn\">Cannot reach Amber; prices are from "),
        "{dom}"
    );
    ensure!(dom.contains("Expected until"), "{dom}");
    // The device is not at fault, so no update would be reverted because of it.
    energy_healthy(&machine)?;

    amber.up();
    energy.sync()?;
    energy.is("ok").map(drop)
}

/// How many days of usage it knows.
fn days(energy: &Energy<'_>) -> Result<usize> {
    let told = energy.web().get("/api/usage/days?days=60")?;
    let told = told.success()?.json()?;
    Ok(told["days"].as_array().map_or(0, Vec::len))
}

#[test]
fn a_new_card_gets_the_usage_back_from_a_backup() -> Result<()> {
    let (old, mut amber) = (energy_appliance()?, amber::FakeAmber::start());
    let owner = Deployer::of(&old)?;
    owner.make_backup_key()?;
    let [file, identity] = ["wall.backup", "lichen/backup-key"]
        .map(|name| owner.file(name).to_string_lossy().into_owned());
    let before = {
        let energy = Energy::of(&old)?;
        energy.ask(&amber)?;
        energy.catch_up()?;
        days(&energy)?
    };
    ensure!(before > 20, "{before} days");
    let made = owner.lichen(&["backup", "--to", &file], &[])?;
    ensure!(made.status == 0, "{made:?}");
    drop(old);

    let new = energy_appliance()?;
    let energy = Energy::of(&new)?;
    amber.down();
    energy.ask(&amber)?;
    let restored = Deployer::of(&new)?.lichen(&["restore", "--identity", &identity], &[&file])?;
    ensure!(restored.status == 0, "{restored:?}");
    energy_healthy(&new)?;
    let after = days(&energy)?;
    ensure!(after >= before, "{before} days before, {after} after");
    Ok(())
}

#[test]
fn the_cache_outlives_a_power_cut_and_is_shown_by_a_device_that_boots_without_network() -> Result<()>
{
    let mut machine = energy_appliance()?;
    let amber = amber::FakeAmber::start();
    let before = {
        let energy = Energy::of(&machine)?;
        energy.ask(&amber)?;
        energy.catch_up()?;
        energy.is("ok")?;
        days(&energy)?
    };
    ensure!(before > 20, "{before} days");
    // While it is asking Amber again.
    machine.sh("systemctl start --no-block home-energy-sync-cache.service")?;
    machine.pull_plug()?;
    machine.cut_off()?;
    machine.power_on()?;
    machine.wait_for_ssh(BOOT)?;
    energy_healthy(&machine)?;
    let energy = Energy::of(&machine)?;
    let after = days(&energy)?;
    ensure!(after >= before, "{before} days before, {after} after");
    energy.sync()?;
    let health = energy.is_without_amber()?;
    ensure!(health["cache_age"].is_number(), "{health}");
    energy.price().context("a price of a while ago")?;
    let window = Window {
        width: 1024,
        height: 600,
        dark: false,
    };
    let page = Browser::from_env()?.open(&energy.web().url("/"), window, SETTLE, "cut-off")?;
    // How much of yesterday Amber has told depends on the hour: its day is another zone's.
    let used = page.dom.split_once("id=\"used\">").map(|(_, rest)| rest);
    let used = used.and_then(|rest| rest.split_once(" kWh")?.0.parse::<f64>().ok());
    ensure!(
        used.is_some_and(|used| used > 1.0),
        "no usage in {}",
        page.dom
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

const KIOSK: &str = "cage-tty1.service";
/// From the start of the browser until its page is drawn: emulated, it takes a minute and a half.
const DRAWN: Duration = Duration::from_secs(360);
/// Longer than a page may go without asking for data.
const STANDS: Duration = Duration::from_secs(240);

#[test]
#[ignore = "slow: a browser under emulation; ./lichen test --slow"]
fn the_screen_waits_for_the_page_and_shows_it_again_when_it_has_died() -> Result<()> {
    let machine = energy_kiosk(Some((1024, 600)))?;
    let energy = Energy::of(&machine)?;
    let number = |unit: &str, property: &str| -> Result<u64> {
        let value = machine.sh(&format!("systemctl show --value -p {property} {unit}"))?;
        let number = value.trim().parse();
        number.with_context(|| format!("{property} of {unit} is {value}"))
    };
    // Microseconds since power-on. A page answers some before systemd has been told that it is ready.
    let waited = || -> Result<()> {
        let [shown, begun] =
            [KIOSK, UNITS[0]].map(|unit| number(unit, "ExecMainStartTimestampMonotonic"));
        let (shown, begun) = (shown?, begun?);
        ensure!(shown > begun, "the page at {begun}, the screen at {shown}");
        Ok(())
    };
    waited()?;

    // As long as there is no page, the browser has nothing to show.
    machine.sh(&format!("systemctl stop {} {KIOSK}", UNITS[0]))?;
    machine.sh(&format!("systemctl start --no-block {KIOSK}"))?;
    machine.wait_until("a screen that has waited for 10 s", SOON, || {
        let state = machine.sh(&format!("systemctl show --value -p SubState {KIOSK}"))?;
        ensure!(state.trim() == "start-pre", "it is {state}");
        let since = number(KIOSK, "InactiveExitTimestampMonotonic")?;
        let uptime: f64 = machine.sh("cut -d' ' -f1 /proc/uptime")?.trim().parse()?;
        ensure!(uptime * 1e6 > (since + 10_000_000) as f64, "since {since}");
        Ok(())
    })?;
    let cage = machine.try_sh("pgrep -x cage")?;
    ensure!(cage.status == 1, "there is a compositor: {cage:?}");

    let amber = amber::FakeAmber::start();
    energy.ask(&amber)?;
    let begun = std::time::Instant::now();
    energy.catch_up()?;
    let drawn = |name: &str| {
        machine.wait_until("the price's colour on the screen", DRAWN, || {
            let now = energy.web().get("/api/now")?.success()?.json()?;
            let level = now["prices"]["general"]["level"].as_str();
            let colour = colour_of(level.context("a price without a level")?)?;
            let picture = machine.screen(name)?;
            let (page, price) = (picture.share([0xf1, 0xf0, 0xec]), picture.share(colour));
            ensure!(
                page > 0.05 && price > 0.1,
                "page {page:.2}, {level:?} {price:.2}"
            );
            Ok(())
        })
    };
    drawn("wall")?;
    println!(
        "figures: kiosk, emulated: page drawn after {} s",
        begun.elapsed().as_secs()
    );
    waited()?;
    let used = number(KIOSK, "MemoryCurrent")? >> 20;
    println!("figures: kiosk: {used} MiB, of which files {}", machine.sh(&format!(
        "awk '/^file /{{print int($2 / 1048576) \" MiB\"}}' /sys/fs/cgroup/system.slice/{KIOSK}/memory.stat"))?.trim());
    machine.sh(&format!("systemd-analyze security --no-pager --threshold=25 {KIOSK} > /run/security || {{ cat /run/security; false; }}"))?;

    let dashboard = number(UNITS[0], "MainPID")?;
    machine.sh(&format!("systemctl kill --signal=KILL {KIOSK}"))?;
    machine.wait_until("a screen that has begun anew", SOON, || {
        ensure!(number(KIOSK, "NRestarts")? > 0, "not yet");
        let cage = machine.sh("pgrep -x cage");
        cage.map(drop)
    })?;
    let lost = machine.screen("wall-lost")?;
    ensure!(
        lost.share([0xf1, 0xf0, 0xec]) < 0.01,
        "what is seen is the old picture"
    );
    drawn("wall-again")?;

    // A page that hangs no longer asks for data.
    let restarts = number(KIOSK, "NRestarts")?;
    machine.sh("pkill -STOP -f type=renderer")?;
    machine.wait_until("a screen that has begun anew by itself", STANDS, || {
        ensure!(number(KIOSK, "NRestarts")? > restarts, "not yet");
        Ok(())
    })?;
    drawn("wall-after-it-stood")?;
    ensure!(
        number(UNITS[0], "MainPID")? == dashboard,
        "the dashboard was restarted"
    );
    energy_healthy(&machine)
}

#[test]
#[ignore = "slow: a first boot of its own; ./lichen test --slow"]
fn without_a_screen_the_kiosk_is_not_missed() -> Result<()> {
    let machine = energy_kiosk(None)?;
    let state = machine.sh(&format!(
        "systemctl show -p ActiveState,ConditionResult {KIOSK}"
    ))?;
    for wanted in ["ActiveState=inactive", "ConditionResult=no"] {
        ensure!(state.contains(wanted), "{wanted} in {state}");
    }
    machine.sh("lichenctl status").map(drop)
}

/// What energy.css has for a level, by day.
fn colour_of(level: &str) -> Result<[u8; 3]> {
    let css = include_str!("../../crates/energy/src/page/energy.css");
    let (_, rest) = (css.split_once(&format!("--{level}: #"))).context("no such level")?;
    let value = u32::from_str_radix(&rest[..6], 16)?;
    let [_, red, green, blue] = value.to_be_bytes();
    Ok([red, green, blue])
}
