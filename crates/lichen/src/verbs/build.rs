//! `lichen build`: sources, image, and a check that the same sources give the same bytes.

use super::{fetch, vm};
use crate::bootstrap;
use crate::debian::download;
use crate::debian::heal;
use crate::debian::intent::Intent;
use crate::debian::lock::Lock;
use crate::debian::mirror::Mirrors;
use crate::nix::{self, Nix};
use crate::ui::{self, Live};
use crate::workspace::{Workspace, check_space};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// What a build from nothing takes in the Nix store, beyond the packages.
const STORE_SPACE: u64 = 4_000_000_000;

/// Build the SD-card images of appliances; prints their paths
#[derive(Debug, clap::Args)]
pub struct BuildArgs {
    /// A file appliances/APPLIANCE.nix
    #[arg(required = true, value_name = "APPLIANCE")]
    pub appliances: Vec<String>,
    /// Refuse to build when packages of the lock have left the mirror, instead of moving on to newer ones
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

/// An image, and the Nix that made it: other things that go with it have to come from the same lock.
#[derive(Debug)]
pub struct Made<'a> {
    /// The image's file.
    pub image: PathBuf,
    /// Its last step, by which all before it are known.
    pub derivation: PathBuf,
    /// On the lock it was made from.
    pub nix: Nix<'a>,
}

/// Builds an appliance's image and tells where it is.
pub fn image<'a>(workspace: &'a Workspace, appliance: &str, locked: bool) -> Result<Made<'a>> {
    let live = Live::new();
    let nix = image_sources(workspace, appliance, locked)?;
    let link = workspace.build("")?.join(appliance);
    let derivation = nix
        .build(&output(workspace, appliance), Some(&link))?
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

/// Gets what an appliance's image is made of into the store, and what it is switched on in.
pub fn image_sources<'w>(
    workspace: &'w Workspace,
    appliance: &str,
    locked: bool,
) -> Result<Nix<'w>> {
    workspace.check_appliance(appliance)?;
    let wanted = Wanted::Of(&[&output(workspace, appliance), vm::TOOLS]);
    sources(workspace, appliance, &wanted, locked)
}

/// What the flake calls an image.
fn output(workspace: &Workspace, name: &str) -> String {
    let of_stories = workspace.test_images().iter().any(|image| image == name);
    if of_stories {
        format!("packages.x86_64-linux.test-image-{name}")
    } else {
        format!("packages.x86_64-linux.{name}-image")
    }
}

/// Whose sources are to be there.
#[derive(Debug)]
pub enum Wanted<'o> {
    /// Of everything there is.
    Everything,
    /// Of these outputs of the flake: a browser is for appliances with a screen, and is not small.
    Of(&'o [&'o str]),
}

/// Gets sources into the store, and gives the Nix to build them with: on a healed lock when the pinned one has aged.
pub fn sources<'w>(
    workspace: &'w Workspace,
    name: &str,
    wanted: &Wanted<'_>,
    locked: bool,
) -> Result<Nix<'w>> {
    let pinned = Lock::load(&workspace.lock())?;
    let intent = Intent::load(&workspace.intent())?;
    if let Err(error) = super::lock::check(&pinned, &intent) {
        if locked {
            return Err(error);
        }
        ui::warn(
            "image/debian/packages.toml was edited since image/debian/lock.json was made: ./lichen lock",
        );
    }
    check_space(Path::new("/nix/store"), STORE_SPACE, "the build")?;
    let file = workspace.build("")?.join(format!("{name}.lock.json"));
    // What was healed once need not be asked for again.
    let earlier = Lock::load(&file)
        .ok()
        .filter(|l| l.heals.as_ref() == Some(&pinned.digest()));
    let mut lock = match earlier {
        Some(healed) if !locked => healed,
        _ => pinned.clone(),
    };
    for _ in 0..3 {
        let nix = Nix::new(workspace, (lock != pinned).then(|| file.clone()));
        let vanished = match wanted {
            Wanted::Everything => fetch::fetch(workspace, &lock, |_| true)?,
            Wanted::Of(outputs) => {
                let needed = nix.store_paths_for(outputs)?;
                fetch::fetch(workspace, &lock, |path| needed.contains(path))?
            }
        };
        if vanished.is_empty() {
            finish(&pinned, &lock, &file);
            return Ok(nix);
        }
        if locked {
            return Err(fetch::gone(&lock, &vanished));
        }
        ui::say(format!(
            "{} locked packages have left the mirror, asking apt for what there is now",
            vanished.len()
        ));
        lock = healed(workspace, &lock, &vanished, &intent)?;
        lock.save(&file)?;
    }
    crate::fail!(hint: "try again in an hour; or ./lichen lock", "the mirror keeps changing while it is read")
}

fn finish(pinned: &Lock, lock: &Lock, file: &Path) {
    if lock == pinned {
        let _ = std::fs::remove_file(file);
    } else {
        heal::announce(pinned, lock, file);
    }
}

fn healed(
    workspace: &Workspace,
    lock: &Lock,
    vanished: &[String],
    intent: &Intent,
) -> Result<Lock> {
    let _exclusive = workspace.exclusive()?;
    let (mirrors, cache) = (Mirrors::find()?, workspace.cache("apt")?);
    let mut healed = match heal::heal(lock, vanished, intent, &mirrors, &cache) {
        Ok(healed) => healed,
        Err(error) => {
            ui::warn(format!("{error:#}; resolving everything anew"));
            let mut all = crate::debian::resolve::resolve(intent, &mirrors, &cache)?;
            all.bootstrap.busybox.clone_from(&lock.bootstrap.busybox);
            all.heals = Some(lock.heals.clone().unwrap_or_else(|| lock.digest()));
            all
        }
    };
    let key = healed.bootstrap.deb.clone();
    if healed.packages[&key] != lock.packages[&key] {
        let got = download::download(&healed, &[key], &mirrors, &workspace.cache("debs")?)?;
        healed.bootstrap.busybox = bootstrap::hash_of(
            got.files
                .first()
                .context("the mirror has no busybox-static")?,
        )?;
    }
    Ok(healed)
}

/// So many files of a step that differ are named.
const SHOWN: usize = 10;

/// Builds every step that is ours a second time; what several images are made of, only once more.
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
            hint: "the files above are made from something that changes: the time, or the order of files or of threads",
            "{} of {} steps give other bytes when built again: {}",
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
