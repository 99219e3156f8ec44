//! What the how-to of a web application promises: its page answers over TLS, and its daemons are confined, small, and come back.

use testbed::figures;
use tests::*;

mod daemons;
mod visits;

use daemons::{DAEMONS, Health, data_are_protected, errors, last_words};
use visits::{CACHE, Visits};

/// The limit for the exposure of a daemon's unit.
const EXPOSED: f64 = 3.5;
/// The limit for the memory of the whole device, with every daemon there is a module for.
const DEVICE: u64 = 500_000_000;

/// The first boot of a card with the very page.
#[test]
#[ignore = "slow, 5 min: an image of its own and its first boot; ./lichen test --slow"]
fn the_page_of_the_how_to_is_an_image_whose_first_boot_answers_over_tls() -> Result<()> {
    let card =
        card_from(&image_of("visits")?)?.write_boot_file("lichen.toml", &lichen_toml_with(&[])?)?;
    let machine = Machine::boot(card, Hardware::default())?;
    machine.wait_for_ssh(BOOT)?;
    Health::of(&machine)?.is_good(&machine)?;
    let visits = Visits::of(&machine)?;
    assert_eq!(visits.number()?, 1);
    assert_eq!(visits.number()?, 2);
    assert_eq!(errors(&machine)?, "");
    Ok(())
}

/// The same page comes onto a device of climate, with all other daemons. All that a device has to be on for is one story, as
/// nothing of it needs another boot.
#[test]
fn a_web_application_answers_over_tls_and_its_daemons_outlive_kills_and_a_power_cut() -> Result<()>
{
    let machine = appliance()?;
    machine.write_file(CACHE.password_file, CACHE.password.as_bytes())?;
    let web = Generation::named("web")?;
    web.copy_to(&machine)?;
    let switch = format!("{}/bin/switch-to-configuration switch", web.toplevel);
    // It makes a cluster of PostgreSQL.
    let done = machine.ssh().run(&switch, b"", BOOT)?;
    ensure!(
        done.status == 0,
        "{}\n{}",
        done.stderr,
        last_words(&machine)?
    );
    web.runs_on(&machine)?;
    let health = Health::of(&machine)?;
    health.is_good(&machine)?;

    // The page, from outside of the device, with a certificate that is verified.
    let visits = Visits::of(&machine)?;
    assert_eq!(visits.number()?, 1);
    assert_eq!(visits.number()?, 2);
    assert_eq!(visits.rows()?, 2);
    visits.is_refused_without_its_certificate()?;
    visits.nobody_else_reads_them()?;
    CACHE.answers_its_own(&machine)?;
    CACHE.answers_nobody_else(&machine)?;
    visits::is_scraped(&machine)?;

    let mut sum = 0;
    for daemon in &DAEMONS {
        daemon.is_confined(&machine)?;
        let (unit, exposure) = (daemon.unit, daemon.exposure(&machine)?);
        let memory = daemon.memory(&machine)?;
        sum += memory;
        figures(format!(
            "web: {unit}: exposure {exposure}, idle {memory} KiB"
        ));
        ensure!(exposure <= EXPOSED, "{unit}: {exposure}");
    }
    let used: u64 = machine
        .sh("free -b | awk '/^Mem:/ { print $3 }'")?
        .trim()
        .parse()?;
    figures(format!(
        "web: all daemons {sum} KiB; RAM in use on the whole device {} MB",
        used / 1_000_000
    ));
    ensure!(used <= DEVICE, "{used} bytes of RAM are in use");
    assert_eq!(errors(&machine)?, "");

    data_are_protected(&machine)?;
    for daemon in &DAEMONS {
        daemon
            .comes_back(&machine, &health)
            .with_context(|| format!("{} is killed", daemon.unit))?;
    }
    assert_eq!(visits.number()?, 3);

    // What was acknowledged is there after a power cut, and so is the certificate.
    CACHE.keeps(&machine, "before the cut")?;
    machine.pull_plug()?;
    machine.power_on()?;
    machine.wait_for_ssh(BOOT)?;
    blessed(&machine, 2)?;
    web.runs_on(&machine)?;
    health.is_good(&machine)?;
    visits.is_told()?;
    assert_eq!(visits.number()?, 4);
    assert_eq!(visits.rows()?, 4);
    assert_eq!(CACHE.kept(&machine)?, "before the cut");
    visits::is_scraped(&machine)?;
    assert_eq!(errors(&machine)?, "");
    Ok(())
}
