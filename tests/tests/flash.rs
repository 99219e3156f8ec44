//! Cards as `lichen flash` leaves them.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use tests::*;

/// On a used card: what the image has as zeros, this card had as something else.
#[test]
#[ignore = "slow: a first boot of its own; ./lichen test --slow"]
fn a_flashed_card_boots_as_the_device_that_it_was_told_to_be() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("lichen-flash-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let result = flashed_card(&folder);
    fs::remove_dir_all(&folder)?;
    let machine = Machine::boot(result?, Hardware::default())?;
    machine.wait_for_ssh(BOOT)?;
    healthy(&machine)?;
    assert_eq!(machine.sh("hostname")?.trim(), "rack9");
    assert_eq!(machine.sh("cat /etc/timezone")?.trim(), TIME_ZONE);
    assert_eq!(
        machine
            .sh("cat /var/lib/lichen/credentials/climate.bearer-token")?
            .trim(),
        TOKEN
    );
    let check = machine.sh("dumpe2fs -h /dev/disk/by-partlabel/DATA 2>/dev/null | grep state:")?;
    ensure!(check.trim_end().ends_with(" clean"), "DATA: {check}");
    let size: u64 = machine
        .sh("findmnt --bytes --noheadings --output SIZE /var")?
        .trim()
        .parse()?;
    ensure!(size > CARD * 8 / 10, "DATA has {size} bytes");
    Ok(())
}

fn flashed_card(folder: &std::path::Path) -> Result<Disk> {
    let (card, key, token) = (
        folder.join("card"),
        folder.join("key"),
        folder.join("token"),
    );
    let mut file = File::create(&card)?;
    let old = vec![0xa5; 1 << 20];
    for _ in 0..fs::metadata(image()?)?.len().div_ceil(1 << 20) + 64 {
        file.write_all(&old)?;
    }
    file.set_len(CARD)?;
    fs::write(&key, testbed::public_key()?)?;
    fs::write(&token, TOKEN)?;
    let mut flash = Command::new(testbed::input("lichen")?);
    flash
        .arg("flash")
        .arg(image()?)
        .arg(&card)
        .args(["--file", "--yes"]);
    flash.args(["--hostname", "rack9", "--timezone", TIME_ZONE, "--ssh-key"]);
    flash.arg(&key).arg("--secret");
    flash.arg(format!("climate.bearer-token={}", token.display()));
    let output = flash.output()?;
    ensure!(
        output.status.success(),
        "{flash:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    card_from(&card)
}
