//! deploy-rs: its client calls `activate-rs` of the toplevel that it deploys, and expects what its own program of
//! that name does. This answers in its place, with Lichen's switch, and with the removal of deploy-rs's canary as
//! the confirmation.
//!
//! The command line is that of deploy-rs's `src/bin/activate.rs`, as `src/deploy.rs` there calls it. What differs:
//! a generation that is not healthy is left with or without `--auto-rollback`. Where only a soft-reboot or
//! a trial boot can bring the generation, the canary is waited for before it, as the client does not come back after
//! it; then health alone decides.

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
    /// More of its log; everything is in the journal anyhow
    #[arg(long)]
    debug_logs: bool,
    /// A folder for its log; everything is in the journal anyhow
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
        /// Its store path
        closure: String,
        /// The folder of the canary
        #[arg(long)]
        temp_path: PathBuf,
        /// How many seconds to wait
        #[arg(long, default_value_t = 240)]
        activation_timeout: u16,
    },
    /// Undo an activation that had succeeded
    Revoke(Profile),
}

#[derive(Debug, Args)]
struct Activate {
    /// Its store path
    closure: String,
    #[command(flatten)]
    profile: Profile,
    /// The folder of the canary
    #[arg(long)]
    temp_path: PathBuf,
    /// How many seconds the client has to remove the canary
    #[arg(long)]
    confirm_timeout: u16,
    /// Go back if the canary is not removed
    #[arg(long)]
    magic_rollback: bool,
    /// Go back if the activation fails, as is done anyhow
    #[arg(long)]
    auto_rollback: bool,
    /// Say what would happen
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
    /// The profile by its user …
    #[arg(long, requires = "profile_name")]
    profile_user: Option<String>,
    /// … and its name
    #[arg(long, requires = "profile_user")]
    profile_name: Option<String>,
}

impl ActivateRs {
    /// Whether it has to be carried to its end when the connection is lost.
    pub fn outlives_its_caller(&self) -> bool {
        !matches!(self.command, Command::Wait { .. })
    }

    /// Does what the client asks for.
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
    /// A device has one profile.
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

/// Where deploy-rs's client removes the file.
fn canary(folder: &Path, closure: &str) -> PathBuf {
    let name = closure.rsplit('/').next().unwrap_or(closure);
    let hash = name.split('-').next().unwrap_or(name);
    folder.join(format!("deploy-rs-canary-{hash}"))
}

fn wait(canary: &Path, seconds: u16) -> Result<()> {
    let there = crate::confirm::until(Duration::from_secs(seconds.into()), || canary.exists());
    ensure!(there, "not active after {seconds} s");
    Ok(())
}

#[cfg(test)]
#[path = "deploy_rs_tests.rs"]
mod tests;
