//! `lichen key`: the key that signs closures, so that devices can verify their origin.

use crate::command;
use crate::store::nix;
use crate::ui;
use anyhow::{Context, Result};
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;

/// The key that deployed closures are signed with
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Create the key; from then on `lichen deploy` signs
    Generate {
        /// The name under which devices know the key
        #[arg(default_value = "fleet-1")]
        name: String,
    },
    /// Print the public key, and the line of configuration that makes devices require it
    Show,
}

/// Runs the verb.
pub fn run(args: &KeyArgs) -> Result<()> {
    match &args.verb {
        Verb::Generate { name } => generate(name)?,
        Verb::Show => {}
    }
    let Some(file) = find() else {
        crate::fail!(hint: "lichen key generate", "there is no key in {}", path().display());
    };
    let mut nix = nix("nix");
    nix.args(["key", "convert-secret-to-public"])
        .stdin(fs::File::open(&file).with_context(|| format!("cannot read {}", file.display()))?);
    let public = command::stdout_of(&mut nix)
        .with_context(|| format!("{} is not a signing key", file.display()))?;
    let public = public.trim();
    println!("{public}");
    println!("nix.settings.trusted-public-keys = [ \"{public}\" ];");
    Ok(())
}

/// The key's file, if it exists.
pub fn find() -> Option<PathBuf> {
    Some(path()).filter(|path| path.is_file())
}

/// The path of the key: outside any checkout, because it belongs to the person, and no build may read it.
pub fn path() -> PathBuf {
    let config = std::env::var_os("XDG_CONFIG_HOME")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from);
    let config = config.unwrap_or_else(|| {
        PathBuf::from(std::env::var_os("HOME").unwrap_or("/root".into())).join(".config")
    });
    config.join("lichen/signing-key")
}

fn generate(name: &str) -> Result<()> {
    let file = path();
    if file.exists() {
        crate::fail!(
            hint: "lichen key show; devices that demand this key would refuse what another one signs, so move it away only if you mean to",
            "there is a key already: {}",
            file.display()
        );
    }
    if name.is_empty() || name.contains([':', ' ']) {
        crate::fail!(hint: "lichen key generate fleet-1", "a key can't be called '{name}'");
    }
    let folder = file.parent().context("the key has no folder")?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    // Never readable by others: it stays in a private directory until its mode is set.
    let aside = tempfile::Builder::new()
        .prefix(".key-")
        .tempdir_in(folder)
        .context("cannot make a temporary folder")?;
    let (secret, public) = (aside.path().join("secret"), aside.path().join("public"));
    command::stdout_of(
        nix("nix-store")
            .args(["--generate-binary-cache-key", name])
            .args([&secret, &public]),
    )?;
    fs::set_permissions(&secret, Permissions::from_mode(0o600))
        .and_then(|()| fs::rename(&secret, &file))
        .with_context(|| format!("cannot write {}", file.display()))?;
    ui::say(format!(
        "{} is the key: keep a copy where it is safe, and give it to nobody",
        file.display()
    ));
    Ok(())
}
