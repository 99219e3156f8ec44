//! What the rack appliance is for: a planner that answers, is watched, and keeps what it acknowledged, whatever fails.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use testbed::figures;
use tests::*;

mod appliance;
mod watched;

use appliance::{Planner, rack_appliance, rack_is_healthy};

const MIB: u64 = 1 << 20;
/// What its owner was promised.
const MOST_MEMORY: u64 = 40 * MIB;
const IDLE_DEVICE: u64 = 700 * MIB;
/// Beside a database that is away, and until it is asked again.
const AWAY: Duration = Duration::from_secs(240);

#[test]
fn rack_boots_as_its_page_says_and_is_locked_in() -> Result<()> {
    let machine = rack_appliance()?;
    rack_is_healthy(&machine)?;
    let planner = Planner::of(&machine)?;
    // From outside, over TLS, with a certificate that is verified.
    let page = planner.https("/")?;
    ensure!(
        page.status == 200 && page.body.contains("<html"),
        "{page:?}"
    );
    for (name, value) in [
        ("x-frame-options", "deny"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("server", "nginx"),
    ] {
        ensure!(page.header(name) == Some(value), "{name}: {page:?}");
    }
    let policy = page
        .header("content-security-policy")
        .context("no policy")?;
    ensure!(policy.contains("script-src 'self'"), "{policy}");
    ensure!(page.header("permissions-policy").is_some(), "{page:?}");
    // Nobody vouches for that certificate.
    ensure!(
        page.header("strict-transport-security").is_none(),
        "{page:?}"
    );
    let detailed = planner.https("/api/health/detailed")?.json(200)?;
    for part in [
        "database",
        "cache",
        "disk",
        "memory",
        "breakers",
        "configuration",
    ] {
        ensure!(!detailed[part].is_null(), "no {part} in {detailed}");
    }
    let described = planner.https("/api/openapi.json")?.json(200)?;
    ensure!(described["paths"]["/api/racks"].is_object(), "{described}");
    // Over HTTP, in the local network; figures are the device's own, and strangers see nothing.
    let web = machine.web(80)?;
    assert_eq!(web.get("/")?.status, 200);
    assert_eq!(web.get("/metrics")?.status, 404);
    assert_eq!(web.get("/api/racks")?.status, 401);
    planner.adds("from outside")?;
    assert_eq!(planner.names()?, ["from outside"]);

    machine.sh("systemd-analyze security --no-pager --threshold=20 rack.service > /run/security || { cat /run/security; false; }")?;
    let number = |command: &str| -> Result<u64> { Ok(machine.sh(command)?.trim().parse()?) };
    let resident = number("ps -o rss= -p $(systemctl show -P MainPID rack)")?;
    let used = number("free -b | awk '/^Mem:/ { print $3 }'")?;
    let image = std::fs::metadata(image_of("rack")?)?.len();
    figures(format!(
        "rack: RSS on the idle device {resident} KiB; RAM in use on the whole device {} MiB; image {} MB, not compressed",
        used / MIB,
        image / 1_000_000
    ));
    ensure!(resident * 1024 <= MOST_MEMORY, "{resident} KiB");
    ensure!(used <= IDLE_DEVICE, "{used} bytes of RAM are in use");
    Ok(())
}

#[test]
fn every_rule_and_panel_finds_what_it_looks_for() -> Result<()> {
    let machine = rack_appliance()?;
    let planner = Planner::of(&machine)?;
    let rack = planner.adds("watched")?;
    planner
        .http("GET", &format!("/api/racks/{}/plan", rack["id"]), "", None)?
        .json(200)?;
    watched::all_is_found(&machine)
}

/// One machine for all of it: each failure ends with a planner that is ready, and with all that it acknowledged.
#[test]
fn without_its_database_its_cache_or_room_it_says_so_and_loses_nothing() -> Result<()> {
    let machine = rack_appliance()?;
    let planner = Planner::of(&machine)?;
    let mut rack = planner.adds("kept")?;
    let plan = format!("/api/racks/{}/plan", rack["id"]);
    let see = || planner.http("GET", &plan, "", None);
    see()?.json(200)?;

    // Killed, PostgreSQL comes back by itself.
    machine.sh("systemctl kill --signal KILL postgresql")?;
    planner.is_ready(true)?;
    machine.wait_until("a write after the kill", AWAY, || {
        // What was not acknowledged may have arrived all the same.
        rack = planner.notes(&planner.rack(&rack["id"])?, "after the kill")?;
        Ok(())
    })?;
    see()?.json(200)?;
    // Gone, it is missed: what was read may be old and says so, and nothing is taken.
    machine.sh("systemctl stop postgresql")?;
    planner.is_ready(false)?;
    let refused = planner.notes(&rack, "to nobody");
    ensure!(refused.is_err(), "{refused:?} without a database");
    let old = see()?;
    ensure!(
        old.status == 503
            || old.header("x-cache") == Some("stale")
            || old.header("x-cache") == Some("hit"),
        "{old:?}"
    );
    machine.sh("systemctl start postgresql.target")?;
    planner.is_ready(true)?;
    assert_eq!(planner.rack(&rack["id"])?["notes"], "after the kill");

    // The cache is killed, and is gone: it is slower, and never wrong.
    machine.sh("systemctl kill --signal KILL redis-rack")?;
    rack = planner.notes(&rack, "beside a killed cache")?;
    machine.sh("systemctl stop redis-rack")?;
    for number in 1..=3 {
        let note = format!("without a cache {number}");
        rack = planner.notes(&rack, &note)?;
        let seen = see()?.json(200)?;
        ensure!(seen["rack"]["notes"] == note.as_str(), "{seen}");
    }
    machine.wait_until("a planner that misses its cache", SOON, || {
        let health = machine.web(80)?.get("/api/health/detailed")?.success()?;
        ensure!(health.json()?["status"] == "degraded", "{health:?}");
        Ok(())
    })?;
    machine.sh("systemctl start redis-rack")?;
    rack_is_healthy(&machine)?;
    let seen = see()?.json(200)?;
    ensure!(seen["rack"]["notes"] == "without a cache 3", "{seen}");

    // The disk is full: what is acknowledged counts, and reading goes on.
    machine.sh(
        "fallocate -l $(df --output=avail -B1 /var | tail -1) /var/full; \
         dd if=/dev/zero of=/var/fuller bs=4k status=none; test -e /var/fuller",
    )?;
    let mut taken = 0;
    for number in 0..30 {
        // The version stays that of the last one that was taken.
        if let Ok(changed) = planner.notes(&rack, &format!("full {number}")) {
            rack = changed;
            taken += 1;
        }
    }
    planner.is_ready(true)?;
    let seen = planner.rack(&rack["id"])?;
    ensure!(
        seen["version"].as_i64() >= rack["version"].as_i64(),
        "{seen}, not {rack}"
    );
    machine.sh("rm /var/full /var/fuller")?;
    rack = seen;
    machine.wait_until("writes to be taken again", AWAY, || {
        rack = planner.notes(&planner.rack(&rack["id"])?, "room again")?;
        Ok(())
    })?;
    figures(format!(
        "rack: {taken} of 30 writes were taken while the disk was full"
    ));
    rack_is_healthy(&machine)
}

#[test]
fn a_plug_pulled_and_another_schema_cost_no_acknowledged_write() -> Result<()> {
    let machine = rack_appliance()?;
    let planner = Planner::of(&machine)?;
    let rack = planner.adds("written to")?;
    let id = rack["id"].clone();
    let last = Mutex::new(rack);
    let over = AtomicBool::new(false);
    let acknowledged = || last.lock().expect("no panic while held").clone();
    std::thread::scope(|scope| -> Result<()> {
        scope.spawn(|| {
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                number += 1;
                // A refusal, of too many requests for example, is no acknowledgement.
                if let Ok(changed) = planner.notes(&acknowledged(), &number.to_string()) {
                    *last.lock().expect("no panic while held") = changed;
                }
            }
        });
        let pulled = wait_until("writes", SOON, || {
            let now = acknowledged();
            ensure!(now["version"].as_i64() >= Some(40), "{now}");
            Ok(())
        })
        .and_then(|()| machine.pull_plug());
        over.store(true, Ordering::Relaxed);
        pulled
    })?;
    let told = acknowledged();
    machine.power_on()?;
    machine.wait_for_ssh(BOOT)?;
    rack_is_healthy(&machine)?;
    let kept = planner.rack(&id)?;
    // The write that was on its way may have arrived.
    let beyond = kept["version"].as_i64().context("no version")?
        - told["version"].as_i64().context("no version")?;
    ensure!(
        (0..=1).contains(&beyond),
        "{told} was acknowledged, {kept} is kept"
    );
    ensure!(
        beyond == 1 || kept["notes"] == told["notes"],
        "{told} became {kept}"
    );
    figures(format!(
        "rack: {} writes acknowledged when the plug was pulled, all kept",
        told["version"]
    ));

    // A generation that makes other tables, and fails, costs none of them.
    let another = Generation::named("rack-another-schema")?;
    another.copy_to(&machine)?;
    let before = planner.names()?;
    let done = machine.ssh().run(
        &format!("{}/bin/switch-to-configuration switch", another.toplevel),
        b"",
        BOOT,
    )?;
    ensure!(done.status == 4, "{done:?}");
    ensure!(
        done.stderr.contains("a copy of version 17.1 is kept"),
        "{done:?}"
    );
    rack_is_healthy(&machine)?;
    assert_eq!(planner.names()?, before);
    assert_eq!(planner.rack(&id)?["version"], kept["version"]);
    planner.notes(&kept, "after the other schema").map(drop)
}

#[test]
fn a_new_card_gets_the_racks_back_from_a_backup() -> Result<()> {
    let old = rack_appliance()?;
    let owner = Deployer::of(&old)?;
    owner.make_backup_key()?;
    let planner = Planner::of(&old)?;
    planner.adds("in the cellar")?;
    planner.adds("under the roof")?;
    let (before, token) = (planner.names()?, planner.token().to_owned());
    let file = owner.file("rack.backup").to_string_lossy().into_owned();
    let made = owner.lichen(&["backup", "--to", &file], &[])?;
    ensure!(
        made.status == 0 && made.stderr.contains("postgresql"),
        "{made:?}"
    );
    let end: Value = old.sh("date +%s")?.trim().parse::<u64>()?.into();
    drop(old);

    // Another card, flashed from the same image, and later: a machine goes on with the clock of its snapshot.
    let new = rack_appliance()?;
    new.sh(&format!("date --set=@{end}"))?;
    let fresh = Planner::of(&new)?;
    ensure!(fresh.names()?.is_empty(), "a new card knows racks");
    let identity = owner
        .file("lichen/backup-key")
        .to_string_lossy()
        .into_owned();
    let owner_of_new = Deployer::of(&new)?;
    let restored = owner_of_new.lichen(&["restore", "--identity", &identity], &[&file])?;
    ensure!(restored.status == 0, "{restored:?}");
    rack_is_healthy(&new)?;
    // The tokens came with the racks.
    let planner = Planner::knowing(&new, &token);
    assert_eq!(planner.names()?, before);
    planner.adds("afterwards").map(drop)
}
