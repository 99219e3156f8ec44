//! `lichen build`: builds images from sources, and checks that the same sources give the same bytes.

use crate::nix::{self, Nix};
use crate::sources;
use crate::ui::{self, Live};
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Build the SD-card images of appliances; prints their paths
#[derive(Debug, clap::Args)]
pub struct BuildArgs {
    /// A file appliances/APPLIANCE.nix
    #[arg(required = true, value_name = "APPLIANCE")]
    pub appliances: Vec<String>,
    /// Fail if the mirror no longer has packages of the lock, instead of using newer ones
    #[arg(long)]
    pub locked: bool,
    /// Build every step a second time and compare the results, bit for bit
    #[arg(long)]
    pub check: bool,
}

/// Runs the verb.
pub fn run(workspace: &Workspace, args: &BuildArgs) -> Result<()> {
    for appliance in &args.appliances {
        workspace.check_appliance(appliance)?;
    }
    let mut made = Vec::new();
    for appliance in &args.appliances {
        made.push(image(workspace, appliance, args.locked)?);
    }
    if args.check {
        same_twice(made.iter().map(|made| made.derivation.as_path()))?;
    }
    for made in made {
        println!("{}", made.image.display());
    }
    Ok(())
}

/// An image, and the Nix that built it: everything that goes with the image must use the same lock.
#[derive(Debug)]
pub struct Made<'a> {
    /// The image's file.
    pub image: PathBuf,
    /// Its last derivation, which identifies all earlier ones.
    pub derivation: PathBuf,
    /// Nix with the lock that the image was built from.
    pub nix: Nix<'a>,
}

/// Builds an appliance's image and returns its path.
pub fn image<'a>(workspace: &'a Workspace, appliance: &str, locked: bool) -> Result<Made<'a>> {
    let live = Live::new();
    let nix = sources::image_sources(workspace, appliance, locked)?;
    let link = workspace.build("")?.join(appliance);
    let derivation = nix
        .build(&sources::image_output(workspace, appliance), Some(&link))?
        .derivation;
    let image = link.join(format!("{appliance}.img"));
    let size = std::fs::metadata(&image)
        .with_context(|| format!("{} is missing", image.display()))?
        .len();
    ui::say(format!(
        "{appliance}: image of {} after {}",
        ui::bytes(size),
        ui::duration(live.elapsed())
    ));
    Ok(Made {
        image,
        derivation,
        nix,
    })
}

/// How many of the differing files in a step are named.
const SHOWN: usize = 10;

/// Builds all of the project's own steps a second time; steps shared by several images only once more.
fn same_twice<'d>(images: impl Iterator<Item = &'d Path>) -> Result<()> {
    let mut own: Vec<PathBuf> = Vec::new();
    for derivation in images {
        for step in nix::own_derivations(derivation)? {
            if !own.contains(&step) {
                own.push(step);
            }
        }
    }
    let mut live = Live::new();
    let mut differing = Vec::new();
    for (n, step) in own.iter().enumerate() {
        let name = nix::step_name(step);
        live.update(&format!(
            "building again, {} of {}: {name}, {}",
            n + 1,
            own.len(),
            ui::duration(live.elapsed())
        ));
        let found = nix::same_again(step)?;
        for difference in found.iter().take(SHOWN) {
            live.line(&format!("differs: {difference}"));
        }
        if found.len() > SHOWN {
            live.line(&format!("differs: {name}, {} more", found.len() - SHOWN));
        }
        if !found.is_empty() {
            differing.push(name);
        }
    }
    live.clear();
    if !differing.is_empty() {
        crate::fail!(
            hint: "the files above depend on something that differs between builds, such as the time, or the order of files or threads",
            "{} of {} steps gave different bytes when they were built again: {}",
            differing.len(),
            own.len(),
            differing.join(", ")
        );
    }
    ui::say(format!(
        "{} steps built twice in {}, all bytes equal",
        own.len(),
        ui::duration(live.elapsed())
    ));
    Ok(())
}
