//! `lichen key`: the key that signs closures, so that devices can verify their origin, and the one that backups are
//! encrypted to.

use crate::command;
use crate::failure::Hint;
use crate::store::nix;
use crate::ui;
use anyhow::{Context, Result};
use backup::Identity;
use std::fs::{self, DirBuilder, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The key that deployed closures are signed with, and the one that backups are encrypted to
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
    /// Create the key that opens backups, unless there is one; print its public half and the line of configuration for it
    Backup,
}

/// Runs the verb.
pub fn run(args: &KeyArgs) -> Result<()> {
    match &args.verb {
        Verb::Generate { name } => generate(name)?,
        Verb::Show => {}
        Verb::Backup => return backup_key(),
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
    folder().join("signing-key")
}

/// The path of the key that opens backups, for the same reasons.
pub fn path_of_backup_key() -> PathBuf {
    folder().join("backup-key")
}

fn folder() -> PathBuf {
    let config = std::env::var_os("XDG_CONFIG_HOME")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from);
    let config = config.unwrap_or_else(|| {
        PathBuf::from(std::env::var_os("HOME").unwrap_or("/root".into())).join(".config")
    });
    config.join("lichen")
}

/// The keys in a file of the user's.
pub fn keys_in(file: &Path) -> Result<Vec<Identity>> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read {}", file.display()))
        .hint("`lichen key backup` makes the key that backups are encrypted to; --identity names another one")?;
    Identity::all_in(&text).with_context(|| file.display().to_string())
}

fn backup_key() -> Result<()> {
    let file = path_of_backup_key();
    if !file.exists() {
        let text = Identity::generate().file();
        make_folder(&file)?;
        // Its mode is 0600 from the beginning.
        let mut aside =
            tempfile::NamedTempFile::new_in(file.parent().context("the key has no folder")?)
                .context("cannot make a temporary file")?;
        let cannot = || format!("cannot write {}", file.display());
        aside.write_all(text.as_bytes()).with_context(cannot)?;
        aside.as_file().sync_all().with_context(cannot)?;
        aside.persist_noclobber(&file).with_context(cannot)?;
        ui::say(format!(
            "{} opens backups: keep a copy where it is safe, because nothing else opens them",
            file.display()
        ));
    }
    print!("{}", public_halves(&keys_in(&file)?));
    Ok(())
}

/// The public halves of keys, and one line of configuration for all of them.
fn public_halves(keys: &[Identity]) -> String {
    let public: Vec<_> = keys.iter().map(|key| key.recipient().to_string()).collect();
    let quoted: Vec<_> = public.iter().map(|key| format!("\"{key}\"")).collect();
    format!(
        "{}\nlichen.backup.recipients = [ {} ];\n",
        public.join("\n"),
        quoted.join(" ")
    )
}

/// Makes the private directory of keys.
fn make_folder(of: &Path) -> Result<()> {
    let folder = of.parent().context("the key has no folder")?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make {}", folder.display()))
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
    make_folder(&file)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_configuration_names_all_keys() {
        let keys = [Identity::generate(), Identity::generate()];
        let [one, two] = keys.each_ref().map(|key| key.recipient().to_string());
        assert_eq!(
            public_halves(&keys),
            format!("{one}\n{two}\nlichen.backup.recipients = [ \"{one}\" \"{two}\" ];\n")
        );
    }
}
