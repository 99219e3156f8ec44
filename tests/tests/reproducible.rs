//! Images as anybody can make them again.

use std::fs;
use std::process::{Command, Stdio};
use tests::*;

/// What `lichen build` asks for, and room for what other stories write meanwhile.
const ROOM: u64 = 4_500_000_000;

/// Not only the images: what a step leaves for the next one could differ, and an image be the same by luck.
#[test]
#[ignore = "slow, 30 min: every image is built a second time; ./lichen test --slow"]
fn every_step_of_every_image_gives_the_same_bytes_again() -> Result<()> {
    testbed::needs_room(ROOM)?;
    let list = fs::read_to_string(testbed::input("images")?)?;
    let images: Vec<&str> = list.lines().collect();
    ensure!(!images.is_empty(), "there is no image to build");
    for image in &images {
        image_of(image)?;
        testbed::input(&format!("steps {image}"))?;
    }
    let mut check = Command::new(testbed::input("lichen")?);
    check.arg("build").args(&images).arg("--check");
    let done = check.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{said}");
    let proof = said.lines().find(|line| line.contains("steps built twice"));
    println!("figures: {}", proof.context("no step was built twice")?);
    Ok(())
}
