//! What stories have in common: an appliance as its owner gets it, what healthy means, and events that it survives.
//!
//! A file in `tests/` is a group of stories and is found by being there. `./lichen test` runs them all,
//! `./lichen test GROUP` and `./lichen test STORY` those whose name contains that.

mod aftermath;
mod climate;
mod deployer;
mod events;
mod generation;
mod published;
mod unattended;

use std::time::Duration;

pub use aftermath::{blessed, survives};
pub use climate::{Climate, Reading, TOKEN};
pub use deployer::{Deployer, Done};
pub use events::{Event, for_each_event};
pub use generation::{Generation, running, status};
pub use published::Published;
pub use testbed::{
    Browser, Console, Context, Disk, Hardware, Machine, Receiver, Recording, Relay, Result,
    Snapshot, Window, bail, ensure, wait_until,
};
pub use unattended::Unattended;

/// The time limit from power-on to healthy, on two emulated processors of a busy host; 206 s were measured.
pub const BOOT: Duration = Duration::from_secs(480);
/// The time limit for anything that a healthy appliance does within seconds.
pub const SOON: Duration = Duration::from_secs(120);

/// The host name in lichen.toml.
pub const HOSTNAME: &str = "rack7";
/// The time zone in lichen.toml.
pub const TIME_ZONE: &str = "Europe/Berlin";

const GIB: u64 = 1 << 30;
/// The size of the card that the image is written to.
pub const CARD: u64 = 4 * GIB;
/// Further kernel arguments, the same as for `lichen vm`.
pub const EXTRA: &str = testbed::EXTRA;

/// The image of an appliance.
pub fn image_of(appliance: &str) -> Result<std::path::PathBuf> {
    testbed::input(&format!("image {appliance}"))
}

/// The image of climate, which most stories use.
pub fn image() -> Result<std::path::PathBuf> {
    image_of("climate")
}

/// A freshly flashed card with the image of climate.
pub fn card() -> Result<Disk> {
    card_from(&image()?)
}

/// A card with this image on it.
pub fn card_from(image: &std::path::Path) -> Result<Disk> {
    Disk::from_image(image)?
        .grow(CARD)?
        .write_boot_file("extra.env", EXTRA)
}

/// What the owner writes onto the card before the first boot.
pub fn lichen_toml() -> Result<String> {
    lichen_toml_with(&[("climate.bearer-token", TOKEN)])
}

/// The same, with these secrets.
pub fn lichen_toml_with(secrets: &[(&str, &str)]) -> Result<String> {
    let key = testbed::public_key()?;
    let secrets: String = secrets
        .iter()
        .map(|(name, value)| format!("{name:?} = {value:?}\n"))
        .collect();
    Ok(format!(
        "hostname = \"{HOSTNAME}\"\ntimezone = \"{TIME_ZONE}\"\n\n[ssh]\nauthorized_keys = [\"{key}\"]\n\n\
         [secrets]\n{secrets}"
    ))
}

/// A climate appliance that has booted for the first time, with its owner's lichen.toml, and is healthy.
pub fn appliance() -> Result<Machine> {
    started(&snapshot()?)
}

/// A machine that continues from the snapshot.
pub fn started(snapshot: &Snapshot) -> Result<Machine> {
    let machine = snapshot.start()?;
    machine.wait_for_ssh(SOON)?;
    Ok(machine)
}

/// The snapshot that [`appliance`] starts from.
pub fn snapshot() -> Result<Snapshot> {
    snapshot_of("climate", &lichen_toml()?, healthy)
}

/// An appliance that has booted for the first time with this lichen.toml and that `healthy` finds healthy.
pub fn snapshot_of(
    appliance: &str,
    toml: &str,
    healthy: impl Fn(&Machine) -> Result<()>,
) -> Result<Snapshot> {
    let prepare = |disk: Disk| {
        disk.grow(CARD)?
            .write_boot_file("extra.env", EXTRA)?
            .write_boot_file("lichen.toml", toml)
    };
    Snapshot::take(
        appliance,
        &image_of(appliance)?,
        &[toml, EXTRA],
        prepare,
        |machine| {
            machine.wait_for_ssh(BOOT)?;
            healthy(machine)?;
            machine.sh("sync").map(drop)
        },
    )
}

/// Waits until the system is running without jobs or failed units, and climate reports that it is healthy.
pub fn healthy(machine: &Machine) -> Result<()> {
    machine.wait_until("a healthy appliance", BOOT, || {
        nothing_failed(machine)?;
        let health = Climate::of(machine)?.health()?;
        ensure!(
            health["sensor_thread_alive"] == true,
            "the service says {health}"
        );
        Ok(())
    })
}

/// Fails while there are jobs or failed units.
pub fn nothing_failed(machine: &Machine) -> Result<()> {
    let state = machine.try_sh("systemctl is-system-running")?.stdout;
    let failed = machine.sh("systemctl list-units --failed --plain --no-legend")?;
    ensure!(
        state.trim() == "running",
        "the system is {}; failed: {failed:?}; under way: {:?}",
        state.trim(),
        machine.sh("systemctl list-jobs --plain --no-legend")?
    );
    Ok(())
}
