//! `lichen publish`: publishes appliances on a channel that devices follow, in a directory or a bucket.

use super::build;
use crate::failure::Hint;
use crate::nix::Nix;
use crate::publish::{Place, cache, channel, images};
use crate::workspace::Workspace;
use crate::{text, ui};
use anyhow::{Context, Result};
use protocol::channel::{Channel, FORMAT, SecretKey};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Publish appliances on a channel that devices follow; prints the channels' files
#[derive(Debug, clap::Args)]
pub struct PublishArgs {
    /// Files appliances/APPLIANCE.nix
    #[arg(required = true)]
    appliances: Vec<String>,
    /// Where to publish: a directory for any web server, or s3://BUCKET[/PREFIX], optionally with
    /// ?endpoint=HOST&region=REGION
    #[arg(long, value_name = "FOLDER|BUCKET")]
    to: String,
    /// The channel
    #[arg(long, default_value = "stable")]
    channel: String,
    /// The file with the fleet's secret key [default: the key of `lichen key`]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Release notes, for people
    #[arg(long, default_value = "", value_name = "TEXT")]
    description: String,
    /// The public address; if given, Raspberry Pi Imager can offer the images through os_list.json
    #[arg(long)]
    url: Option<String>,
    /// Publish this existing toplevel, without an image
    #[arg(long, value_name = "PATH")]
    toplevel: Option<PathBuf>,
    /// Fail if the mirror no longer has packages of the lock, instead of using newer ones
    #[arg(long)]
    locked: bool,
}

/// Runs the verb.
pub fn run(workspace: &Workspace, args: &PublishArgs) -> Result<()> {
    let key_file = args.key.clone().unwrap_or_else(super::key::path);
    let key = read_key(&key_file)?;
    channel::check_name(&args.channel)?;
    if args.toplevel.is_some() && args.appliances.len() > 1 {
        crate::fail!(hint: "name exactly one appliance together with --toplevel", "--toplevel can be used with one appliance only");
    }
    let place = Place::open(&args.to, &workspace.build("")?.join("publish"))?;
    let mut releases = Vec::new();
    for appliance in &args.appliances {
        releases.push(match &args.toplevel {
            Some(toplevel) => Release::built_before(workspace, appliance, toplevel)?,
            None => Release::build(workspace, appliance, args.locked)?,
        });
    }
    for release in &releases {
        cache::copy(&place, &release.toplevel, &key_file)?;
    }
    let (mut channels, mut offered) = (Vec::new(), Vec::new());
    for release in &releases {
        let channel = Channel {
            format: FORMAT,
            appliance: release.appliance.clone(),
            channel: args.channel.clone(),
            sequence: 0,
            toplevel: release.toplevel.display().to_string(),
            published: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            description: args.description.clone(),
        };
        let channel = channel::next_at(&place, channel)?;
        if let Some(image) = &release.image {
            let name = images::add(&place, &channel, image)?;
            if let Some(url) = &args.url {
                offered.push(images::entry(url, &channel, image, &name)?);
            }
        }
        channels.push(channel);
    }
    if !offered.is_empty() {
        images::offer(&place, &offered)?;
    }
    place.settle()?;
    for channel in channels {
        ui::say(format!(
            "{} of {}: sequence {}, {}",
            channel.channel, channel.appliance, channel.sequence, channel.toplevel
        ));
        let path = Channel::path(&channel.appliance, &channel.channel);
        let address = place.announce(&path, channel.sign(&key).as_bytes())?;
        println!("{address}");
    }
    Ok(())
}

/// The published parts of an appliance.
struct Release {
    appliance: String,
    toplevel: PathBuf,
    /// The SD-card image, compressed.
    image: Option<PathBuf>,
}

impl Release {
    fn build(workspace: &Workspace, appliance: &str, locked: bool) -> Result<Self> {
        let made = build::image(workspace, appliance, locked)?;
        let toplevel = toplevel(&made.nix, appliance)?;
        Ok(Self {
            appliance: appliance.to_owned(),
            toplevel,
            image: Some(made.image.with_extension("img.zst")),
        })
    }

    fn built_before(workspace: &Workspace, appliance: &str, toplevel: &Path) -> Result<Self> {
        workspace.check_appliance(appliance)?;
        let toplevel = fs::canonicalize(toplevel)
            .with_context(|| format!("cannot find {}", toplevel.display()))?;
        let manifest = fs::read(toplevel.join("manifest.json")).unwrap_or_default();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap_or_default();
        if manifest["appliance"] != appliance {
            crate::fail!(
                hint: format!("nix build .#{appliance}-toplevel"),
                "{} is not a toplevel of {appliance}", toplevel.display()
            );
        }
        Ok(Self {
            appliance: appliance.to_owned(),
            toplevel,
            image: None,
        })
    }
}

fn toplevel(nix: &Nix<'_>, appliance: &str) -> Result<PathBuf> {
    let output = format!("packages.x86_64-linux.{appliance}-toplevel");
    Ok(nix.build(&output, None)?.output)
}

fn read_key(file: &Path) -> Result<SecretKey> {
    let text = text::read(file)
        .with_context(|| format!("cannot read the fleet's key {}", file.display()))
        .hint("`./lichen key generate` creates one; --key FILE uses an existing one")?;
    SecretKey::parse(&text)
        .with_context(|| file.display().to_string())
        .hint("`./lichen key generate` creates one; --key FILE uses an existing one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_and_a_wrong_one_name_the_way_to_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key.sec");
        let hint = |error: anyhow::Error| {
            let failure = error.downcast::<crate::failure::Failure>().unwrap();
            assert!(failure.what.contains("key.sec"), "{failure}");
            failure.hint
        };
        let missing = hint(read_key(&file).map(|_| ()).unwrap_err());
        fs::write(&file, "fleet-1:c2VjcmV0").unwrap();
        let wrong = hint(read_key(&file).map(|_| ()).unwrap_err());
        assert!(missing.contains("lichen key generate") && missing == wrong);
    }
}
