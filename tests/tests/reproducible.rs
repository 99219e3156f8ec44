//! Images as anybody can make them again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tests::*;

/// The images that only slow stories use.
const OF_STORIES: [&str; 1] = ["energy-kiosk"];

/// Not only the images: what a step leaves for the next one could differ, and an image be the same by luck.
#[test]
#[ignore = "slow: every image is built a second time; ./lichen test --slow"]
fn every_step_of_every_image_gives_the_same_bytes_again() -> Result<()> {
    let (appliances, of_stories) = (modules("../appliances")?, modules("images")?);
    assert_eq!(of_stories, BTreeSet::from(OF_STORIES.map(str::to_owned)));
    let images: Vec<String> = appliances.into_iter().chain(of_stories).collect();
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

/// The names of the modules in a folder: one for each image.
fn modules(folder: &str) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "nix") {
            let name = path.file_stem().context("a module without a name")?;
            names.insert(name.to_string_lossy().into_owned());
        }
    }
    Ok(names)
}
