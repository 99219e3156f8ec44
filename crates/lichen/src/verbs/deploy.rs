//! `lichen deploy`: build, send what devices lack, switch, and confirm over a new connection; otherwise they roll back.

use super::key;
use crate::failure::{Reverted, hint_of};
use crate::remote::activate::activate;
use crate::remote::closure;
use crate::remote::pack::{Made, Pack};
use crate::remote::{Device, SshArgs};
use crate::sources;
use crate::store;
use crate::ui::{self, Live};
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use protocol::command::{Command, LONGEST_CONFIRMATION, Verb};
use protocol::transfer::{Missing, PathInfo, Received};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Deploy an appliance to devices: build, send what they lack, switch; roll back if unhealthy or unreachable
#[derive(Debug, clap::Args)]
pub struct DeployArgs {
    /// Devices, as ssh knows them, and last a file appliances/APPLIANCE.nix, or the store path of a toplevel
    #[arg(required = true, num_args = 2.., value_names = ["HOST", "APPLIANCE"])]
    names: Vec<String>,
    /// Only make it boot next
    #[arg(long, conflicts_with = "test")]
    boot: bool,
    /// Only run it until the next boot
    #[arg(long)]
    test: bool,
    /// Send it and print what a switch would do, but do not switch
    #[arg(long, conflicts_with_all = ["boot", "test"])]
    dry_run: bool,
    /// How many devices to update at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..))]
    parallel: u8,
    /// Roll back unless the device can be reached over a new connection within this many seconds after it is healthy
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=LONGEST_CONFIRMATION))]
    confirm_within: u64,
    /// Stay on the new generation even if the device cannot be reached
    #[arg(long, conflicts_with = "confirm_within")]
    no_confirm: bool,
    /// Fail if the mirror no longer has packages of the lock
    #[arg(long)]
    locked: bool,
    #[command(flatten)]
    ssh: SshArgs,
}

/// The toplevel for all devices, and how to activate it.
struct Deploy<'a> {
    args: &'a DeployArgs,
    toplevel: String,
    closure: Vec<PathInfo>,
    /// Whether it was signed: then the devices also get the signatures of paths that they already have.
    vouch: bool,
    made: Made,
    /// The directory with links to what devices run, which the next deltas are based on.
    roots: PathBuf,
    alone: bool,
}

/// Runs the verb.
pub fn run(workspace: &Workspace, args: &DeployArgs) -> Result<()> {
    let Some((appliance, hosts)) = args.names.split_last() else {
        anyhow::bail!("name at least one device, and an appliance");
    };
    let toplevel = toplevel(workspace, appliance, args.locked)?;
    let key = key::find();
    let deploy = Deploy {
        args,
        closure: match &key {
            Some(key) => closure::signed(&toplevel, key)?,
            None => closure::of(&toplevel)?,
        },
        vouch: key.is_some(),
        toplevel: toplevel.display().to_string(),
        made: Made::default(),
        roots: workspace.build("deployed")?,
        alone: hosts.len() == 1,
    };
    let failed = deploy.all(hosts)?;
    match failed.as_slice() {
        [] => Ok(()),
        _ if deploy.alone => Err(failed.into_iter().next().context("it failed")?),
        some => crate::fail!(
            hint: "the messages of each device are above; `lichen status HOST` shows its state",
            "{} of {} devices were not updated",
            some.len(),
            hosts.len()
        ),
    }
}

fn toplevel(workspace: &Workspace, appliance: &str, locked: bool) -> Result<PathBuf> {
    if appliance.starts_with("/nix/store/") {
        return Ok(PathBuf::from(appliance));
    }
    workspace.check_appliance(appliance)?;
    let output = format!("packages.x86_64-linux.{appliance}-toplevel");
    let nix = sources::sources(
        workspace,
        appliance,
        &sources::Wanted::Of(&[&output]),
        locked,
    )?;
    let link = workspace.build("")?.join(format!("{appliance}-toplevel"));
    Ok(nix.build(&output, Some(&link))?.output)
}

impl Deploy<'_> {
    /// Deploys to all devices, several at a time; prints a line for each and returns the errors.
    fn all(&self, hosts: &[String]) -> Result<Vec<anyhow::Error>> {
        let queue = Mutex::new(hosts.iter());
        let failed = Mutex::new(Vec::new());
        let work = || {
            while let Some(host) = next(&queue) {
                let live = Live::new();
                let result = self.one(host);
                let took = ui::duration(live.elapsed());
                match result {
                    // The plan is the result.
                    Ok(plan) if plan.contains('\n') => ui::result(format!("{host}: {plan}")),
                    Ok(words) => ui::result(format!("{host}: {words}, {took}")),
                    Err(error) => {
                        if !self.alone {
                            ui::result(failed_words(host, &took, &error));
                        }
                        failed
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(error);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..usize::from(self.args.parallel).min(hosts.len()) {
                scope.spawn(work);
            }
        });
        failed
            .into_inner()
            .map_err(|_| anyhow::anyhow!("a thread panicked"))
    }

    /// Deploys to one device; returns a short description of what it runs now.
    fn one(&self, host: &str) -> Result<String> {
        let device = Device::connect(host, &self.args.ssh)?;
        let sent = self.transfer(&device)?;
        if self.args.dry_run {
            let toplevel = &self.toplevel;
            let plan = device.order(&Command::DryRun { toplevel }, b"")?;
            return Ok(format!(
                "{} sent; a switch would be:\n{}",
                ui::bytes(sent),
                plan.trim_end()
            ));
        }
        let verb = match (self.args.boot, self.args.test) {
            (true, _) => Verb::Boot,
            (_, true) => Verb::Test,
            _ => Verb::Switch,
        };
        let confirm = (!self.args.no_confirm).then_some(self.args.confirm_within);
        let words = activate(&device, verb, &self.toplevel, confirm)?;
        store::keep(
            Path::new(&self.toplevel),
            &self.roots.join(host.replace('/', "_")),
        )?;
        Ok(format!("{words}, {} sent", ui::bytes(sent)))
    }

    /// Sends what the device lacks; returns how many bytes were sent.
    fn transfer(&self, device: &Device) -> Result<u64> {
        let paths: String = self
            .closure
            .iter()
            .map(|info| info.path.clone() + "\n")
            .collect();
        let missing = device.order(&Command::Missing, paths.as_bytes())?;
        let missing: Missing = serde_json::from_str(&missing)
            .with_context(|| format!("{}: cannot read what it lacks", device.host))?;
        // A device may be anybody's, and these names become arguments of Nix.
        for path in missing.missing.iter().chain(&missing.bases) {
            anyhow::ensure!(
                store::is_path(path),
                "{}: `{path}` is no path of a Nix store",
                device.host
            );
        }
        let mut whole = BTreeSet::new();
        let mut sent = 0;
        // At most one retry: after it, all paths are sent in full, so no delta can fail.
        loop {
            let mut pack = Pack::make(&self.closure, &missing, &whole, &self.made)?;
            if self.vouch {
                pack.vouch(&self.closure, &missing);
            }
            sent += pack.len();
            let again = self.send(device, &pack)?;
            if again.is_empty() {
                return Ok(sent);
            }
            for (path, why) in again {
                ui::warn(format!(
                    "{}: the delta for {path} could not be applied ({why}); sending the whole path",
                    device.host
                ));
                anyhow::ensure!(
                    whole.insert(path.clone()),
                    "{}: {path} could not be transferred",
                    device.host
                );
            }
        }
    }

    fn send(&self, device: &Device, pack: &Pack) -> Result<Vec<(String, String)>> {
        let (host, all) = (&device.host, pack.len());
        if pack.is_empty() {
            ui::say(format!("{host}: nothing to send"));
            return Ok(Vec::new());
        }
        ui::say(format!("{host}: {} to send", ui::bytes(all)));
        for line in pack.lines() {
            ui::say(format!("{host}:   {line}"));
        }
        let mut live = Live::new();
        let mut sent = |done| {
            if self.alone {
                live.update(&format!(
                    "{host}: {} of {} sent, {}",
                    ui::bytes(done),
                    ui::bytes(all),
                    ui::duration(live.elapsed())
                ));
            }
        };
        let ended = device.run(
            &Command::Receive.line(),
            &mut |to| pack.send(to, &mut sent),
            &mut |_| {},
        );
        live.clear();
        let received: Received = serde_json::from_str(&device.success(ended?)?.stdout)
            .with_context(|| format!("{host}: cannot read what it received"))?;
        Ok(received.again)
    }
}

/// The result line for one of several devices: the error and the hint.
fn failed_words(host: &str, took: &str, error: &anyhow::Error) -> String {
    let what = format!("{error:#}");
    // Most errors already begin with the device's name.
    let what = what.strip_prefix(&format!("{host}: ")).unwrap_or(&what);
    let hint = hint_of(error).map(|hint| format!("\n{host}: hint: {hint}"));
    let hint = hint.unwrap_or_default();
    format!("{host}: FAILED after {took}: {what}{hint}")
}

fn next<'a>(queue: &Mutex<std::slice::Iter<'a, String>>) -> Option<&'a String> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// Whether the device is healthy on its previous generation, which has an exit status of its own.
pub fn reverted(error: &anyhow::Error) -> bool {
    error.is::<Reverted>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    #[test]
    fn of_several_devices_each_says_what_went_wrong_and_the_way_out() {
        let failure = Failure {
            what: "one: no connection".into(),
            hint: "is it on?".into(),
        };
        assert_eq!(
            failed_words("one", "0.3s", &failure.into()),
            "one: FAILED after 0.3s: no connection\none: hint: is it on?"
        );
    }
}
