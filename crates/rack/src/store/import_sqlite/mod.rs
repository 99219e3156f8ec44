//! The import of another planner's SQLite file: HomeRack's, or one like it.
//!
//! The file is only read. All that is understood is taken over in one transaction; what is not is in the report, with the reason. What is
//! there already, by name, stays as it is, so that a second import of the same file changes nothing.

mod file;
mod found;
mod names;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::audit::{self, Note};
use super::error::{Attempt, Error, Failure};
use super::places::lock;
use super::pool::Tx;
use super::{Store, Who, again, devices, filled, kinds, racks};
use crate::library::limits;
use crate::plan::check::check;
use crate::plan::model::{DeviceFields, Id, Kind, Place};
use found::{Found, FoundDevice};

/// How long a file may take to be read.
const LONGEST_READ: Duration = Duration::from_secs(60);
/// How much of what was not taken is told; of the rest, how much it is.
const MOST_TOLD: usize = 500;

/// What an import took, and what not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing was changed, because it was only to be told what would be.
    pub dry_run: bool,
    /// Racks.
    pub racks: Counts,
    /// Kinds of devices.
    pub kinds: Counts,
    /// Devices.
    pub devices: Counts,
    /// New devices that have a place.
    pub placed: u64,
    /// What was not taken.
    pub untaken: Vec<Untaken>,
    /// How what was not clear was understood.
    pub notes: Vec<String>,
}

/// How many of something were taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// New ones.
    pub new: u64,
    /// Those that were there.
    pub there: u64,
}

/// What was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Untaken {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verb = if self.dry_run { "would be" } else { "were" };
        for (what, counts) in [
            ("racks", self.racks),
            ("kinds of devices", self.kinds),
            ("devices", self.devices),
        ] {
            let Counts { new, there } = counts;
            writeln!(f, "{what}: {new} {verb} added, {there} are there already")?;
        }
        writeln!(f, "new devices with a place: {}", self.placed)?;
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for Untaken { what, why } in self.untaken.iter().take(MOST_TOLD) {
            writeln!(f, "not taken: {what}: {why}")?;
        }
        if let more @ 1.. = self.untaken.len().saturating_sub(MOST_TOLD) {
            writeln!(f, "not taken: {more} others")?;
        }
        if self.dry_run {
            writeln!(f, "nothing was changed")?;
        }
        Ok(())
    }
}

impl Store {
    /// Takes over what another planner's SQLite file has; with `dry_run`, it is only told what would be.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the file cannot be read, is damaged or has nothing that is known, and those of every change.
    pub async fn import_sqlite(&self, path: &Path, dry_run: bool) -> Result<Report, Error> {
        let found = read(path).await?;
        let who = Who {
            user: "import-sqlite".into(),
            request: path.display().to_string(),
        };
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let mut report = Report {
                dry_run,
                untaken: found.untaken.clone(),
                notes: found.notes.clone(),
                ..Report::default()
            };
            take(&tx, &who, &found, &mut report).await?;
            if !dry_run {
                tx.commit().await?;
            }
            Ok(report)
        })
        .await
    }
}

/// Reads a file on a thread of its own, and gives up after a while.
async fn read(path: &Path) -> Result<Found, Error> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::invalid(
            path.display().to_string(),
            format!("cannot be read: {error}"),
        )
    };
    let owned = path.to_owned();
    let file = tokio::task::spawn_blocking(move || file::open(&owned)).await;
    let file = file.map_err(|error| failed(&error))??;
    let interrupt = file.get_interrupt_handle();
    let owned = path.to_owned();
    let reading =
        tokio::task::spawn_blocking(move || file::read(&owned, &file).map(|it| found::found(&it)));
    tokio::pin!(reading);
    let read = match tokio::time::timeout(LONGEST_READ, &mut reading).await {
        Ok(read) => read,
        Err(_) => {
            interrupt.interrupt();
            reading.await
        }
    };
    read.map_err(|error| failed(&error))?
}

async fn take(tx: &Tx<'_>, who: &Who, found: &Found, report: &mut Report) -> Attempt<()> {
    let mut notes = Vec::new();
    let racks = take_racks(tx, found, report, &mut notes).await?;
    let kinds = take_kinds(tx, found, report, &mut notes).await?;
    let mut there = known_devices(tx, &kinds).await?;
    for device in &found.devices {
        let Some(kind) = kinds.get(device.kind) else {
            continue;
        };
        let known = there.get_mut(&(kind.id, device.name.clone()));
        if let Some(count @ 1..) = known {
            *count -= 1;
            report.devices.there += 1;
            continue;
        }
        take_device(tx, device, kind, &racks, report, &mut notes).await?;
    }
    let summary =
        json!({ "racks": report.racks, "kinds": report.kinds, "devices": report.devices });
    if !notes.is_empty() {
        notes.push(Note {
            action: "import",
            what: "sqlite",
            id: None,
            before: None,
            after: Some(summary),
        });
    }
    audit::write(tx, who, &notes).await
}

/// The numbers of the racks of a file, which are locked.
async fn take_racks(
    tx: &Tx<'_>,
    found: &Found,
    report: &mut Report,
    notes: &mut Vec<Note>,
) -> Attempt<Vec<Id>> {
    let names: Vec<&str> = found.racks.iter().map(|rack| rack.name.as_str()).collect();
    let sql = "SELECT name, id FROM racks WHERE name = ANY($1)";
    let mut there = HashMap::<String, Id>::new();
    for row in &tx.rows(sql, &[&names]).await? {
        there.insert(row.try_get(0)?, row.try_get(1)?);
    }
    let mut known: Vec<Id> = there.values().copied().collect();
    known.sort_unstable();
    lock(tx, &known).await?;
    let mut ids = Vec::with_capacity(found.racks.len());
    for fields in &found.racks {
        if let Some(id) = there.get(&fields.name) {
            report.racks.there += 1;
            ids.push(*id);
            continue;
        }
        let rack = racks::insert(tx, fields).await?;
        report.racks.new += 1;
        notes.push(Note::created("rack", rack.id, &rack));
        ids.push(rack.id);
    }
    Ok(ids)
}

/// The kinds of a file, as they are in the database.
async fn take_kinds(
    tx: &Tx<'_>,
    found: &Found,
    report: &mut Report,
    notes: &mut Vec<Note>,
) -> Attempt<Vec<Kind>> {
    let all: Vec<_> = found.kinds.iter().collect();
    let there = kinds::known(tx, &all, true).await?;
    let is_new = |fields: &&_| !there.contains_key(&kinds::key(fields));
    let new: Vec<_> = all.iter().copied().filter(is_new).collect();
    for batch in new.chunks(kinds::BATCH) {
        for kind in kinds::insert(tx, batch, false).await? {
            notes.push(Note::created("kind", kind.id, &kind));
        }
    }
    report.kinds.new = new.len() as u64;
    report.kinds.there = there.len() as u64;
    for kind in there.values() {
        let told = found
            .kinds
            .iter()
            .find(|told| kinds::key(told) == kinds::key(&kind.fields));
        if told.is_some_and(|told| *told != kind.fields) {
            report.untaken.push(Untaken {
                what: format!(
                    "what the file says of {} {}",
                    kind.fields.manufacturer, kind.fields.model
                ),
                why: "there is such a kind, which is otherwise; it stays as it is".into(),
            });
        }
    }
    let mut now = kinds::known(tx, &all, false).await?;
    let taken = all.iter().map(|fields| now.remove(&kinds::key(fields)));
    // Without one of them, somebody else deletes kinds at this moment.
    taken.collect::<Option<_>>().ok_or_else(Failure::outdated)
}

/// How many devices there are of each kind and name.
async fn known_devices(tx: &Tx<'_>, kinds: &[Kind]) -> Attempt<HashMap<(Id, String), i64>> {
    let ids: Vec<Id> = kinds.iter().map(|kind| kind.id).collect();
    let sql = "SELECT kind, name, count(*) FROM devices WHERE kind = ANY($1) GROUP BY kind, name";
    let mut there = HashMap::new();
    for row in &tx.rows(sql, &[&ids]).await? {
        there.insert((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?);
    }
    Ok(there)
}

/// Adds a device: in its place if it fits there, otherwise nowhere.
async fn take_device(
    tx: &Tx<'_>,
    device: &FoundDevice,
    kind: &Kind,
    racks: &[Id],
    report: &mut Report,
    notes: &mut Vec<Note>,
) -> Attempt<()> {
    let fields = DeviceFields {
        name: device.name.clone(),
        kind: kind.id,
        watts: device.watts,
        kilograms: device.kilograms,
        pinned: device.pinned,
        notes: device.notes.clone(),
        tags: device.tags.clone(),
    };
    let mut untaken = |what: String, why: String| report.untaken.push(Untaken { what, why });
    if let Err((field, why)) = limits::check_device(&fields) {
        untaken(format!("device {}", device.name), format!("{field}: {why}"));
        return Ok(());
    }
    let mut place = device.place.and_then(|(rack, face, bottom)| {
        let rack = *racks.get(rack)?;
        Some(Place::Units {
            rack,
            face,
            bottom,
            left: 0,
        })
    });
    if let Some(wanted) = place {
        let why = fits(tx, &fields, kind, wanted).await?;
        if let Some(why) = why {
            untaken(format!("the place of device {}", device.name), why);
            place = None;
        }
    }
    let device = devices::create(tx, &fields, place).await?;
    notes.push(Note::created("device", device.id, &device));
    report.devices.new += 1;
    report.placed += u64::from(place.is_some());
    Ok(())
}

/// Why a device that is not there yet does not fit into a place, if it does not.
async fn fits(
    tx: &Tx<'_>,
    fields: &DeviceFields,
    kind: &Kind,
    place: Place,
) -> Attempt<Option<String>> {
    let filled = filled::all(tx, &[place.rack()]).await?;
    let item = crate::plan::model::Item {
        device: crate::plan::model::Device {
            // No device has this number.
            id: 0,
            version: 0,
            place: None,
            fields: fields.clone(),
        },
        kind: kind.clone(),
    };
    let Some(filled) = filled.get(&place.rack()) else {
        return Ok(Some("its rack is gone".into()));
    };
    let found = check(filled, &item, place);
    let sentences: Vec<String> = found.iter().map(ToString::to_string).collect();
    Ok((!found.is_empty()).then(|| sentences.join("; ")))
}
