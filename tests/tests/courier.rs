//! What the courier is for: metrics and logs of a device arrive, whatever happens to the device, its network and its power.

use std::collections::BTreeSet;

use fake_receiver::{Loki, Prometheus, Takes, Target};
use testbed::figures;
use tests::*;

mod appliance;

use appliance::{Carried, LINES, carried_appliance, is_back};

/// Scrapes in three hours, if there are four a minute.
const SCRAPES: u64 = 3 * 60 * 4;
const CUTS: u64 = 3;
/// What its owners were promised.
const MOST_MEMORY_KIB: u64 = 10 << 10;

/// Three hours at 15 s are 720 scrapes. Here they are a quarter of a second apart, so that the outage takes some minutes; the
/// journal is written every 15 s, as on every device whose logs are carried away. The cuts divide the outage into four parts.
/// The device knows the time before the outage and, after the first cut, not again until the end of the outage.
///
/// What was scraped is known from the target, a counter on the host: of that, only the scrape that a cut interrupts may be
/// missing. What was logged is known from the journal at the end and, so that the journal is not its own witness, from what
/// had been in it for more than 15 s before each cut. Doubles of a sample have the same series and time, those of a line the
/// same stream, time and text; the receivers know them by that, and count them.
#[test]
fn three_hours_of_outage_and_three_power_cuts_cost_no_sample_and_no_line() -> Result<()> {
    let machine = carried_appliance()?;
    let target = Target::start("");
    let (mut metrics, mut logs) = (Prometheus::start(Takes::Anything), Loki::start());
    let carried = Carried::of(&machine, &target, &metrics, &logs);
    carried.is_told()?;
    carried.knows_the_time()?;
    target.is_scraped(10);
    let early = target.scrapes() as f64;
    wait_until("the first samples and lines to arrive", SOON, || {
        let values = metrics.values("scrapes_total");
        ensure!(values.contains(&early), "of {early}: {values:?}");
        ensure!(!logs.lines(LINES).is_empty(), "no lines");
        Ok(())
    })?;

    metrics.server.down();
    logs.server.down();
    let half_a_part = SCRAPES / (CUTS + 1) / 2;
    let (mut interrupted, mut written) = (Vec::new(), BTreeSet::new());
    for _ in 0..CUTS {
        target.is_scraped(half_a_part);
        written.extend(carried.logged()?.pop());
        target.is_scraped(half_a_part);
        machine.pull_plug()?;
        interrupted.push(target.scrapes_in_the_end() as f64);
        is_back(&machine)?;
        carried.is_told()?;
    }
    target.is_scraped(2 * half_a_part);
    let waiting = carried.count("courier_queue_samples")?;
    metrics.server.up();
    logs.server.up();
    carried.knows_the_time()?;

    machine.sh("systemctl stop chatter && journalctl --sync")?;
    let (last, logged) = (target.scrapes(), carried.logged()?);
    let missing_scrapes = || -> Vec<u64> {
        let arrived = metrics.values("scrapes_total");
        let has_arrived = |number: &u64| arrived.contains(&(*number as f64));
        (1..=last).filter(|number| !has_arrived(number)).collect()
    };
    machine.wait_until("every sample to arrive", BOOT, || {
        let mut missing = missing_scrapes();
        missing.retain(|number| !interrupted.contains(&(*number as f64)));
        ensure!(missing.is_empty(), "{missing:?} of {last}");
        Ok(())
    })?;
    machine.wait_until("every line to arrive", BOOT, || {
        let arrived: BTreeSet<String> = logs.lines(LINES).into_iter().collect();
        let due = logged.iter().chain(&written);
        let missing: Vec<_> = due.filter(|line| !arrived.contains(*line)).collect();
        ensure!(missing.is_empty(), "{missing:?} of {}", logged.len());
        Ok(())
    })?;
    assert_eq!(written.len() as u64, CUTS, "{written:?}");
    // A round is kept as a whole: where there is something of one target, there is of another.
    let of_climate: BTreeSet<i64> = times(&metrics, "up{job=climate}").collect();
    let without: Vec<i64> = times(&metrics, "scrapes_total")
        .filter(|at| !of_climate.contains(at))
        .collect();
    ensure!(without.is_empty(), "nothing of climate at {without:?}");
    for reason in ["queue_full", "not_written", "damaged", "refused"] {
        let lost = format!("courier_lost_samples_total{{reason=\"{reason}\"}}");
        assert_eq!(carried.count(&lost)?, 0.0, "{lost}");
    }

    let resident = carried.resident()?;
    figures(format!(
        "courier: {last} scrapes, {} missing after {CUTS} cuts, {waiting} samples waiting at the end of the outage, {} sent \
         twice; {} lines, {} sent twice; RSS {resident} KiB",
        missing_scrapes().len(),
        metrics.doubles(),
        logged.len(),
        logs.doubles(),
    ));
    ensure!(resident <= MOST_MEMORY_KIB, "{resident} KiB");
    machine.sh("systemd-analyze security --no-pager --threshold=20 courier.service > /run/security || { cat /run/security; false; }")?;
    healthy(&machine)
}

fn times(metrics: &Prometheus, series: &str) -> impl Iterator<Item = i64> {
    metrics.samples(series).into_iter().map(|(at, _)| at)
}
