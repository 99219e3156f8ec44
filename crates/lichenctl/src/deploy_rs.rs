//! Compatibility with deploy-rs: its client calls `activate-rs` from the toplevel that it deploys and expects the
//! behaviour of its own program of that name. This module answers instead, using Lichen's switch; removing deploy-rs's
//! canary file is the confirmation.
//!
//! The command line is that of deploy-rs's `src/bin/activate.rs`, as called by `src/deploy.rs`. The differences: an
//! unhealthy generation is always rolled back, with or without `--auto-rollback`. If the change needs a soft-reboot or
//! a trial boot, the canary is awaited before the reboot, because the client does not reconnect; afterwards only the
//! health decides.

use crate::apply::{self, Verb};
use crate::confirm::Confirmation;
use crate::generations::TRIES;
use crate::root::Root;
use anyhow::{Result, bail, ensure};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SYSTEM: &str = "/nix/var/nix/profiles/system";

/// Arguments of activate-rs.
#[derive(Debug, Args)]
pub struct ActivateRs {
    /// Log more (ignored: the journal has everything)
    #[arg(long)]
    debug_logs: bool,
    /// The directory for its log (ignored: the journal has everything)
    #[arg(long)]
    log_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Activate a toplevel
    Activate(Activate),
    /// Wait until the toplevel is active and can be confirmed
    Wait {
        /// The store path of the toplevel
        closure: String,
        /// The directory of the canary
        #[arg(long)]
        temp_path: PathBuf,
        /// How many seconds to wait
        #[arg(long, default_value_t = 240)]
        activation_timeout: u16,
    },
    /// Undo an activation that succeeded
    Revoke(Profile),
}

#[derive(Debug, Args)]
struct Activate {
    /// The store path of the toplevel
    closure: String,
    #[command(flatten)]
    profile: Profile,
    /// The directory of the canary
    #[arg(long)]
    temp_path: PathBuf,
    /// How many seconds the client has to remove the canary
    #[arg(long)]
    confirm_timeout: u16,
    /// Roll back if the canary is not removed
    #[arg(long)]
    magic_rollback: bool,
    /// Roll back if the activation fails (always done)
    #[arg(long)]
    auto_rollback: bool,
    /// Print what would happen
    #[arg(long)]
    dry_activate: bool,
    /// Activate it at the next boot
    #[arg(long)]
    boot: bool,
}

#[derive(Debug, Args)]
struct Profile {
    /// The profile by its path
    #[arg(long, required_unless_present = "profile_user")]
    profile_path: Option<String>,
    /// The user who owns the profile
    #[arg(long, requires = "profile_name")]
    profile_user: Option<String>,
    /// The name of the profile
    #[arg(long, requires = "profile_user")]
    profile_name: Option<String>,
}

impl ActivateRs {
    /// Whether the command must run to its end even if the connection is lost.
    pub fn outlives_its_caller(&self) -> bool {
        !matches!(self.command, Command::Wait { .. })
    }

    /// Runs the client's command.
    pub fn run(&self, root: &Root) -> Result<()> {
        match &self.command {
            Command::Activate(activate) => activate.run(root),
            Command::Wait {
                closure,
                temp_path,
                activation_timeout,
            } => wait(&canary(temp_path, closure), *activation_timeout),
            Command::Revoke(profile) => {
                profile.check()?;
                apply::rollback(root, None, false, None)
            }
        }
    }
}

impl Activate {
    fn run(&self, root: &Root) -> Result<()> {
        self.profile.check()?;
        let toplevel = Path::new(&self.closure);
        if self.dry_activate {
            print!("{}", apply::dry_run(root, toplevel)?);
            return Ok(());
        }
        if self.boot {
            return apply::apply(root, toplevel, Verb::Boot, TRIES, None);
        }
        let confirmation = self.magic_rollback.then(|| Confirmation {
            within: self.confirm_timeout.into(),
            canary: Some(canary(&self.temp_path, &self.closure)),
        });
        apply::apply(root, toplevel, Verb::Switch, TRIES, confirmation.as_ref())
    }
}

impl Profile {
    /// Checks that the profile is the system profile, the only one that a device has.
    fn check(&self) -> Result<()> {
        let user_and_name = (self.profile_user.as_deref(), self.profile_name.as_deref());
        match (self.profile_path.as_deref(), user_and_name) {
            (Some(SYSTEM), _) | (None, (Some("root"), Some("system"))) => Ok(()),
            _ => {
                bail!("only {SYSTEM} can be deployed to: `profiles.system` with `user = \"root\"`")
            }
        }
    }
}

/// The canary file that deploy-rs's client removes.
fn canary(folder: &Path, closure: &str) -> PathBuf {
    let name = closure.rsplit('/').next().unwrap_or(closure);
    let hash = name.split('-').next().unwrap_or(name);
    folder.join(format!("deploy-rs-canary-{hash}"))
}

fn wait(canary: &Path, seconds: u16) -> Result<()> {
    let there = crate::confirm::until(Duration::from_secs(seconds.into()), || canary.exists());
    ensure!(
        there,
        "the toplevel did not become active within {seconds} s"
    );
    Ok(())
}

#[cfg(test)]
#[path = "deploy_rs_tests.rs"]
mod tests;
