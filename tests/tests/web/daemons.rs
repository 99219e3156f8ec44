//! Debian's daemons on one device: who they are, how they are asked, and what they take.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::*;

/// A daemon, by its unit, the user that it runs as, and that user's id: /var outlives generations, so the id must never change.
pub struct Daemon {
    pub unit: &'static str,
    user: &'static str,
    id: u32,
}

const fn daemon(unit: &'static str, user: &'static str, id: u32) -> Daemon {
    Daemon { unit, user, id }
}

/// All that tests/generations/web.nix has.
pub const DAEMONS: [Daemon; 10] = [
    daemon("postgresql", "postgres", 970),
    daemon("redis", "redis", 971),
    daemon("redis-visits", "redis", 971),
    daemon("nginx", "nginx", 974),
    daemon("prometheus", "prometheus", 972),
    daemon("alertmanager", "alertmanager", 975),
    daemon("prometheus-node-exporter", "node-exporter", 973),
    daemon("prometheus-postgres-exporter", "postgres-exporter", 976),
    daemon("prometheus-redis-exporter", "redis-exporter", 968),
    daemon("prometheus-nginx-exporter", "nginx-exporter", 969),
];

impl Daemon {
    /// Checks that each of its processes is its user's, and that it has a limit of memory.
    pub fn is_confined(&self, machine: &Machine) -> Result<()> {
        let unit = self.unit;
        let said = machine.sh(&format!("systemctl show -P MemoryMax {unit}"))?;
        said.trim()
            .parse::<u64>()
            .with_context(|| format!("{unit}: MemoryMax is {said}"))?;
        let named = machine.sh(&format!("id -u {}", self.user))?;
        let processes = self.of_each_process("stat -c %u /proc/$pid");
        let owners = machine.sh(&processes)?;
        ensure!(
            owners.lines().count() > 0
                && owners
                    .lines()
                    .chain([named.trim()])
                    .all(|id| id == self.id.to_string()),
            "{unit}: its user has the id {}, its processes those of {owners:?}",
            named.trim()
        );
        Ok(())
    }

    /// What `systemd-analyze security` says of its unit: 0 is locked in, 10 is free.
    pub fn exposure(&self, machine: &Machine) -> Result<f64> {
        let unit = self.unit;
        let command = format!("systemd-analyze security --no-pager {unit}.service");
        let said = machine.sh(&command)?;
        let last = said.lines().next_back().unwrap_or_default();
        let level = last.rsplit(": ").next().unwrap_or_default();
        let level = level.split(' ').next().unwrap_or_default();
        level.parse().with_context(|| format!("{unit}: {last}"))
    }

    /// The memory of its processes in KiB, of what they share with others their part.
    pub fn memory(&self, machine: &Machine) -> Result<u64> {
        let each =
            self.of_each_process("sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' /proc/$pid/smaps_rollup");
        let said = machine.sh(&each)?;
        let parts = said.lines().map(str::parse::<u64>);
        parts
            .sum::<Result<_, _>>()
            .with_context(|| format!("{}: {said}", self.unit))
    }

    /// Its main process.
    pub fn process(&self, machine: &Machine) -> Result<String> {
        let said = machine.sh(&format!("systemctl show -P MainPID {}", self.unit))?;
        Ok(said.trim().to_owned())
    }

    /// Kills all of it; `health`, asked at once, has to see that. Then waits until another process of it is there, and all is well.
    pub fn comes_back(&self, machine: &Machine, health: &Health) -> Result<()> {
        let (unit, before) = (self.unit, self.process(machine)?);
        let check = health.check_of(unit)?;
        // On a slow machine it may be back before it is asked. Each time it takes longer to come back.
        let kill = format!(
            "for time in 1 2 3 4 5; do systemctl kill --signal KILL {unit}; ( {check} ) || exit 0; done; exit 1"
        );
        machine.sh(&kill).context("its health check saw nothing")?;
        machine.wait_until(&format!("another {unit}"), BOOT, || {
            let now = self.process(machine)?;
            ensure!(now != "0" && now != before, "its process is {now}");
            Ok(())
        })?;
        health.is_good(machine)
    }

    /// Some of its processes may have ended before it is their turn.
    fn of_each_process(&self, command: &str) -> String {
        let group = format!("/sys/fs/cgroup/system.slice/{}.service", self.unit);
        format!("for pid in $(cat {group}/cgroup.procs); do {command} 2> /dev/null || true; done")
    }
}

/// The checks that the running generation is judged by, each as a shell command.
pub struct Health(BTreeMap<String, String>);

impl Health {
    /// What the running generation declares.
    pub fn of(machine: &Machine) -> Result<Self> {
        let declared: Value = serde_json::from_str(&machine.sh("cat /etc/lichen/health.json")?)?;
        let checks = declared["checks"].as_object().context("no checks")?;
        let command = |(name, check): (&String, &Value)| {
            let text = |kind: &str| check[kind].as_str();
            let command = match (text("http"), text("command")) {
                (Some(url), _) => format!("curl -fsS -o /dev/null -m 10 {url}"),
                (None, Some(command)) => command.to_owned(),
                (None, None) => bail!("{name}: {check}"),
            };
            Ok((name.clone(), command))
        };
        checks.iter().map(command).collect::<Result<_>>().map(Self)
    }

    fn check_of(&self, unit: &str) -> Result<&str> {
        let name = match unit {
            "prometheus-node-exporter" => "node-exporter",
            unit => unit,
        };
        let check = self.0.get(name);
        check
            .map(String::as_str)
            .with_context(|| format!("{unit} has no health check"))
    }

    /// Waits until nothing has failed and every check passes.
    pub fn is_good(&self, machine: &Machine) -> Result<()> {
        machine.wait_until("a healthy appliance", BOOT, || {
            nothing_failed(machine)?;
            for (name, check) in &self.0 {
                machine.sh(check).with_context(|| name.clone())?;
            }
            Ok(())
        })
    }
}

/// What the units of this appliance have said in the present boot that are errors.
pub fn errors(machine: &Machine) -> Result<String> {
    said(machine, "-p err")
}

/// What they have said at last.
pub fn last_words(machine: &Machine) -> Result<String> {
    said(machine, "-n 60")
}

fn said(machine: &Machine, which: &str) -> Result<String> {
    let units: String = DAEMONS
        .iter()
        .map(|daemon| format!(" -u {}", daemon.unit))
        .collect();
    machine.sh(&format!(
        "journalctl -b -q {which} -u postgresql-setup -u 'visits@*' -u 'self-signed-*'{units}"
    ))
}

/// What a copy of each daemon's data has to become, below the folder that it is restored into.
const RESTORED: [(&str, &str); 5] = [
    ("alertmanager", ""),
    ("postgresql", "17/PG_VERSION"),
    ("prometheus", "data/wal"),
    ("redis", "dump.rdb"),
    ("redis-visits", "appendonlydir/appendonly.aof.manifest"),
];

/// Copies the data of every daemon that keeps some, and restores the copies elsewhere, as an update would that does not stay.
pub fn data_are_protected(machine: &Machine) -> Result<()> {
    let declared: Value = serde_json::from_str(&machine.sh("cat /etc/lichen/state.json")?)?;
    let declared = declared.as_object().context("no state")?;
    let names: Vec<&str> = declared.keys().map(String::as_str).collect();
    assert_eq!(names, RESTORED.map(|(name, _)| name));
    for (name, file) in RESTORED {
        let text = |key: &str| {
            let value = declared[name][key].as_str();
            value.with_context(|| format!("{name} has no {key}"))
        };
        let (user, copy, folder) = (text("user")?, "/run/copy", "/var/tmp/restored");
        let run = |command: &str, about: &str| {
            machine.write_file("/run/command", command.as_bytes())?;
            let command = as_user(user, &format!("env DIRECTORY={folder} sh /run/command"));
            let command = format!("{command} {about}");
            machine.ssh().run(&command, b"", BOOT)?.success(&command)
        };
        run(text("backup")?, &format!("> {copy}"))?;
        machine.sh(&format!(
            "rm -rf {folder} && install -d -o {user} -g {user} -m 700 {folder}"
        ))?;
        run(text("restore")?, &format!("< {copy}"))?;
        machine
            .sh(&format!("test -e {folder}/{file}"))
            .with_context(|| format!("{name} has no {file}"))?;
    }
    machine
        .sh("rm -rf /run/copy /run/command /var/tmp/restored")
        .map(drop)
}

/// `command` as one of the device's users.
pub fn as_user(user: &str, command: &str) -> String {
    format!("setpriv --reuid {user} --regid $(id -g {user}) --init-groups -- {command}")
}
