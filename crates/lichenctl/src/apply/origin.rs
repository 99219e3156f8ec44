//! The starting point of a change: the running and the booted toplevel, with their layers mounted.

use crate::generations::{self, Booted, Running};
use crate::plan::{Active, Before, DataChange, Plan};
use crate::profile;
use crate::root::Root;
use crate::service_data::{self, Declared};
use crate::systemd;
use crate::toplevel::Toplevel;
use anyhow::{Context, Result};
use assemble::Stack;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The starting point of a change.
pub(super) struct Origin {
    pub(super) current: Toplevel,
    pub(super) booted: Toplevel,
    /// The layers of the booted toplevel.
    pub(super) layers: Stack,
    /// The layers of the running toplevel.
    pub(super) stack: Stack,
    pub(super) active: Active,
    manager: BTreeSet<String>,
    pub(super) declared: Declared,
}

impl Origin {
    pub(super) fn read(root: &Root) -> Result<Self> {
        let load = |path: Option<String>, what: &str| -> Result<Toplevel> {
            let path =
                path.with_context(|| format!("cannot find out which toplevel was {what}"))?;
            Ok(Toplevel::load(root, Path::new(&path))?)
        };
        let current = load(Running::read(root).toplevel, "switched to")?;
        let booted = load(Booted::read(root).toplevel, "booted")?;
        let old = stack(root, &current, &booted)?;
        Ok(Self {
            declared: Declared::of(&old)?,
            stack: old,
            layers: stack(root, &booted, &booted)?,
            active: systemd::active()?,
            manager: systemd::manager(),
            current,
            booted,
        })
    }

    pub(super) fn plan(&self, root: &Root, to: &Toplevel) -> Result<(Plan, Stack)> {
        let new = stack(root, to, &self.booted)?;
        let before = Before {
            current: &self.current,
            booted: &self.booted,
            layers: &self.layers,
            active: &self.active,
            manager: &self.manager,
        };
        let mut plan = Plan::make(&before, &self.stack, to, &new, root);
        plan.generation = Some(crate::stage::number(
            &generations::on_boot(root)?,
            &profile::links(root),
            profile::used(root),
            &to.path,
        ));
        plan.data = service_data::differing(&self.declared, &Declared::of(&new)?)
            .map(|(name, service, version)| DataChange {
                service: name.to_owned(),
                from: service.version.clone(),
                to: version.to_owned(),
            })
            .collect();
        Ok((plan, new))
    }
}

/// The layers of `toplevel`, mounted, with the modules of the running kernel instead of its own.
fn stack(root: &Root, toplevel: &Toplevel, booted: &Toplevel) -> Result<Stack> {
    let data = root.at("run/data");
    Stack::mount(&data, Path::new(&toplevel.path))?;
    Stack::mount(&data, Path::new(&booted.path))?;
    let others = toplevel
        .layers
        .iter()
        .filter(|layer| layer.name != "kernel");
    let paths = others
        .map(|layer| layer.path.as_str())
        .chain(booted.layers_named("kernel"));
    Ok(Stack::of_folders(paths.map(|path| {
        let name = Path::new(path).file_name().unwrap_or_default();
        PathBuf::from(assemble::LAYERS).join(name)
    })))
}
