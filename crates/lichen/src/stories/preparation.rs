//! Builds what stories need: their inputs, and the program that contains them.

use super::inputs::Inputs;
use crate::cargo;
use crate::command::stdout_of;
use crate::store;
use crate::ui;
use crate::verbs::build::{self, Made};
use crate::vm;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;

/// The input that lists every image by its name.
pub const IMAGES: &str = "images";

/// Builds everything that any story may use.
pub fn built(workspace: &Workspace) -> Result<Inputs> {
    let mut inputs = Inputs::default();
    let mut made = None;
    for appliance in workspace.appliances() {
        made = Some(image(workspace, &appliance, &mut inputs)?);
    }
    let nix = made.context("there is no appliance to test")?.nix;
    // For stories that examine every image, whichever there are.
    let mut images = [workspace.appliances(), workspace.test_images()].concat();
    images.sort();
    let list = workspace.build("log")?.join("images.txt");
    fs::write(&list, images.join("\n"))
        .with_context(|| format!("cannot write {}", list.display()))?;
    inputs.file(IMAGES, &list)?;
    let tools = vm::tools::build(&nix)?;
    let checks = nix.keep("check-tools")?;
    inputs.trees(&[
        ("test tools", tools.root()),
        ("check tools", &checks.output),
    ])?;
    let hat = nix.keep("fake-hat")?;
    inputs.file("fake-hat", &hat.output.join("bin/fake-hat"))?;
    let generations = nix.keep("test-generations")?.output;
    for name in workspace.test_generations() {
        let file = |end: &str| generations.join(format!("{name}.{end}"));
        let files = ["toplevel", "tar.zst", "registration"].map(file);
        inputs.files(&format!("generation {name}"), &files[0], &files)?;
    }
    // Commands of the owner use this program, and the Nix of this machine.
    let lichen = std::env::current_exe().context("cannot tell where this program is")?;
    inputs.file("lichen", &lichen)?;
    let version = stdout_of(store::nix("nix").arg("--version"))?;
    let digest = format!(
        "{}, {}",
        inputs.digest("lichen").unwrap_or_default(),
        version.trim()
    );
    inputs.versioned("lichen", &digest);
    Ok(inputs)
}

/// Builds an image. Its derivation is an input, too: a build step can change without changing the image.
pub fn image<'w>(workspace: &'w Workspace, name: &str, inputs: &mut Inputs) -> Result<Made<'w>> {
    let made = build::image(workspace, name, false)?;
    inputs.file(&format!("image {name}"), &made.image)?;
    let steps = made.derivation.display().to_string();
    inputs.known(&format!("steps {name}"), Some(&made.derivation), &steps);
    Ok(made)
}

/// Compiles the program that contains the stories.
pub fn compiled(workspace: &Workspace) -> Result<PathBuf> {
    ui::say("compiling the stories");
    let log = workspace.build("log")?.join("stories-compiled.log");
    // Build only this program, but with the features of the whole workspace: otherwise its dependencies would have
    // fewer features than in the host's tests, and fifty crates would be compiled a second time.
    let arguments = ["--workspace", "--test", "stories"];
    let programs = cargo::test_programs(workspace, &arguments, &log)?;
    let stories = programs.into_iter().next();
    stories
        .map(|program| program.file)
        .context("cargo did not build the story program")
}
