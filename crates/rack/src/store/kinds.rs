//! Kinds of devices: single ones, and thousands in one import.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::audit::{self, Note};
use super::error::{Attempt, Error, Failure};
use super::places::{Guard, lock};
use super::pool::{Tx, Values};
use super::rows::{Columns, kind_columns, word};
use super::search::Question;
use super::{Store, Who, again, limited};
use crate::library::limits;
use crate::plan::model::{Id, Kind, KindFields, Version};

const WHAT: &str = "kind";
/// How many kinds go to the database in one statement.
pub(super) const BATCH: usize = 500;

/// Which kinds are wanted.
#[derive(Debug, Clone, Default)]
pub struct KindQuery {
    /// Only those with these words, or what begins with them.
    pub q: Option<String>,
    /// How many at most.
    pub limit: usize,
    /// Only those after this one.
    pub after: Option<Id>,
}

/// What an import did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Imported {
    /// Kinds that are new.
    pub created: u64,
    /// Kinds that were there, just as they are in the import.
    pub same: u64,
    /// Kinds that were there and are now as in the import.
    pub changed: u64,
    /// Built-in kinds that are otherwise in the import; they are left as they are.
    pub kept: u64,
}

impl std::fmt::Display for Imported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Imported {
            created,
            same,
            changed,
            kept,
        } = self;
        write!(f, "{created} new, {changed} changed, {same} as they were")?;
        match kept {
            0 => Ok(()),
            _ => write!(f, ", {kept} built in and not changed"),
        }
    }
}

impl Store {
    /// Kinds, by number.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::Busy`].
    pub async fn kinds(&self, query: KindQuery) -> Result<Vec<Kind>, Error> {
        let limit = limited(query.limit);
        let question = query.q.as_deref().map(Question::new);
        let (words, like) = (
            question.as_ref().map(|question| question.words.as_str()),
            question.as_ref().map(|question| question.like.as_str()),
        );
        again(|| async {
            let session = self.connections.session().await?;
            let sql = concat!(
                "SELECT ",
                kind_columns!(),
                " FROM kinds k WHERE ($1::text IS NULL OR k.search @@ rack_question($1) \
                 OR k.manufacturer || ' ' || k.model ILIKE $2) AND k.id > $3 ORDER BY k.id LIMIT $4"
            );
            let after = query.after.unwrap_or(0);
            let rows = session.rows(sql, &[&words, &like, &after, &limit]).await?;
            rows.iter().map(|row| Columns::of(row).kind()).collect()
        })
        .await
    }

    /// One kind.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Gone`] or [`Error::Busy`].
    pub async fn kind(&self, id: Id) -> Result<Kind, Error> {
        again(|| async {
            let session = self.connections.session().await?;
            let sql = concat!("SELECT ", kind_columns!(), " FROM kinds k WHERE k.id = $1");
            let row = session.row(sql, &[&id]).await?;
            let row = row.ok_or(Error::Missing { what: WHAT, id })?;
            Columns::of(&row).kind()
        })
        .await
    }

    /// A new kind.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Taken`], and those of every change.
    pub async fn create_kind(&self, who: &Who, fields: &KindFields) -> Result<Kind, Error> {
        checked(fields)?;
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let created = insert(&tx, &[fields], false).await?;
            let kind = created.into_iter().next().ok_or_else(|| taken(fields))?;
            audit::write(&tx, who, &[Note::created(WHAT, kind.id, &kind)]).await?;
            tx.commit().await?;
            Ok(kind)
        })
        .await
    }

    /// Changes a kind that still has this version.
    ///
    /// # Errors
    /// Those of [`Store::create_kind`], [`Error::Missing`], [`Error::Changed`], and [`Error::Conflicts`] if devices of this kind would not
    /// fit any more where they are. A built-in kind is [`Error::Invalid`].
    pub async fn change_kind(
        &self,
        who: &Who,
        id: Id,
        version: Version,
        fields: &KindFields,
    ) -> Result<Kind, Error> {
        checked(fields)?;
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let racks = racks_with(&tx, &[id]).await?;
            lock(&tx, &racks).await?;
            let before = locked(&tx, id, version).await?;
            // One may have been placed before the kind was locked.
            if racks_with(&tx, &[id]).await? != racks {
                return Err(Failure::outdated());
            }
            let guard = Guard::hold(&tx, racks).await?;
            let kinds = update(&tx, &[(id, fields)]).await?;
            let kind = kinds.into_iter().next();
            let kind = kind.ok_or(Error::Missing { what: WHAT, id })?;
            guard.judge(&tx).await?;
            audit::write(&tx, who, &[Note::changed(WHAT, id, &before, &kind)]).await?;
            tx.commit().await?;
            Ok(kind)
        })
        .await
    }

    /// Deletes a kind that still has this version.
    ///
    /// # Errors
    /// [`Error::InUse`] if there are devices of it, [`Error::Missing`], [`Error::Changed`], [`Error::Invalid`] if it is built in, and those of
    /// every change.
    pub async fn delete_kind(&self, who: &Who, id: Id, version: Version) -> Result<(), Error> {
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let before = locked(&tx, id, version).await?;
            let used = tx
                .row("SELECT count(*) FROM devices WHERE kind = $1", &[&id])
                .await?;
            let used: i64 = used.map_or(Ok(0), |row| row.try_get(0))?;
            let in_use = |by: String| Error::InUse { what: WHAT, by };
            if used > 0 {
                return Err(in_use(format!("devices of it: {used}")).into());
            }
            tx.complaining("DELETE FROM kinds WHERE id = $1", &[&id], |constraint| {
                (constraint == "devices_kind").then(|| in_use("a device of it".into()))
            })
            .await?;
            audit::write(&tx, who, &[Note::deleted(WHAT, id, &before)]).await?;
            tx.commit().await
        })
        .await
    }

    /// Takes kinds over from elsewhere: all of them or none. What there is already, by manufacturer and model, becomes as it is in the
    /// import.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the first that is wrong, or there twice with different values. [`Error::Conflicts`] if devices would not
    /// fit any more where they are; and those of every change.
    pub async fn import_kinds(&self, who: &Who, kinds: Vec<KindFields>) -> Result<Imported, Error> {
        let (kinds, repeated) = distinct(&kinds)?;
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let mut imported = import(&tx, who, &kinds).await?;
            imported.same += repeated;
            tx.commit().await?;
            Ok(imported)
        })
        .await
    }
}

/// Each kind once, with how many were there again. Two that differ are an error.
pub(super) fn distinct(kinds: &[KindFields]) -> Result<(Vec<&KindFields>, u64), Error> {
    let mut known = HashMap::<(&str, &str), &KindFields>::with_capacity(kinds.len());
    let mut kept = Vec::with_capacity(kinds.len());
    for fields in kinds {
        let name = format!("{} {}", fields.manufacturer, fields.model);
        limits::check_kind(fields)
            .map_err(|(field, why)| Error::invalid(format!("{name}: {field}"), why))?;
        match known.insert(key(fields), fields) {
            None => kept.push(fields),
            Some(other) if other == fields => {}
            Some(_) => {
                return Err(Error::invalid(
                    name,
                    "is there twice, with different values",
                ));
            }
        }
    }
    let repeated = kinds.len() - kept.len();
    Ok((kept, repeated as u64))
}

/// Takes distinct kinds over within a transaction.
pub(super) async fn import(tx: &Tx<'_>, who: &Who, kinds: &[&KindFields]) -> Attempt<Imported> {
    let touched = known(tx, kinds, false).await?;
    let ids: Vec<Id> = touched.values().map(|kind| kind.id).collect();
    let racks = racks_with(tx, &ids).await?;
    lock(tx, &racks).await?;
    let guard = Guard::hold(tx, racks.clone()).await?;
    let mut imported = Imported::default();
    for batch in kinds.chunks(BATCH) {
        let there = known(tx, batch, true).await?;
        let (mut new, mut changed, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        for &fields in batch {
            match there.get(&key(fields)) {
                None => new.push(fields),
                Some(kind) if kind.fields == *fields => imported.same += 1,
                Some(kind) if kind.built_in => imported.kept += 1,
                Some(kind) => changed.push((kind.id, fields)),
            }
        }
        // Somebody else has just made some of them.
        if insert(tx, &new, false).await?.len() < new.len() {
            return Err(Failure::outdated());
        }
        for kind in update(tx, &changed).await? {
            if let Some(before) = there.get(&key(&kind.fields)) {
                notes.push(Note::changed(WHAT, kind.id, before, &kind));
            }
        }
        audit::write(tx, who, &notes).await?;
        imported.created += new.len() as u64;
        imported.changed += changed.len() as u64;
    }
    if racks_with(tx, &ids).await? != racks {
        return Err(Failure::outdated());
    }
    guard.judge(tx).await?;
    if imported.created > 0 {
        let summary = Note {
            action: "import",
            what: WHAT,
            id: None,
            before: None,
            after: Some(json!(imported)),
        };
        audit::write(tx, who, &[summary]).await?;
    }
    Ok(imported)
}

/// Puts the planner's own kinds into the database. One that somebody has made before stays as it is.
pub(super) async fn put_built_in(tx: &Tx<'_>, kinds: &[KindFields]) -> Attempt<()> {
    for batch in kinds.chunks(BATCH) {
        let batch: Vec<&KindFields> = batch.iter().collect();
        let there = known(tx, &batch, true).await?;
        let (mut new, mut changed) = (Vec::new(), Vec::new());
        for &fields in &batch {
            match there.get(&key(fields)) {
                None => new.push(fields),
                Some(kind) if kind.built_in && kind.fields != *fields => {
                    changed.push((kind.id, fields));
                }
                Some(_) => {}
            }
        }
        insert(tx, &new, true).await?;
        update(tx, &changed).await?;
    }
    Ok(())
}

pub(super) fn key(fields: &KindFields) -> (&str, &str) {
    (&fields.manufacturer, &fields.model)
}

/// Those of the kinds that there are, by manufacturer and model.
pub(super) async fn known<'a>(
    tx: &Tx<'_>,
    kinds: &[&'a KindFields],
    lock: bool,
) -> Attempt<HashMap<(&'a str, &'a str), Kind>> {
    macro_rules! known {
        ($lock:literal) => {
            concat!(
                "SELECT n.at, ",
                kind_columns!(),
                " FROM kinds k JOIN unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (manufacturer, model, at) \
                 ON k.manufacturer = n.manufacturer AND k.model = n.model ORDER BY k.id",
                $lock
            )
        };
    }
    let manufacturers: Vec<_> = kinds.iter().map(|kind| &kind.manufacturer).collect();
    let models: Vec<_> = kinds.iter().map(|kind| &kind.model).collect();
    let sql = match lock {
        true => known!(" FOR NO KEY UPDATE OF k"),
        false => known!(""),
    };
    let mut there = HashMap::new();
    for row in &tx.rows(sql, &[&manufacturers, &models]).await? {
        let mut columns = Columns::of(row);
        let at: i64 = columns.next()?;
        let kind = columns.kind()?;
        if let Some(fields) = kinds.get(at.unsigned_abs() as usize - 1) {
            there.insert(key(fields), kind);
        }
    }
    Ok(there)
}

/// The values of kinds, one list for each column.
struct Lists<'a> {
    manufacturers: Vec<&'a str>,
    models: Vec<&'a str>,
    halves: Vec<i16>,
    columns: Vec<i16>,
    full_depths: Vec<bool>,
    shelves: Vec<bool>,
    watts: Vec<f64>,
    kilograms: Vec<f64>,
    airflows: Vec<String>,
    categories: Vec<&'a str>,
}

impl<'a> Lists<'a> {
    fn of(kinds: impl Iterator<Item = &'a KindFields> + Clone) -> Self {
        Lists {
            manufacturers: kinds.clone().map(|k| k.manufacturer.as_str()).collect(),
            models: kinds.clone().map(|k| k.model.as_str()).collect(),
            halves: kinds.clone().map(|k| k.halves.into()).collect(),
            columns: kinds.clone().map(|k| k.columns.into()).collect(),
            full_depths: kinds.clone().map(|k| k.full_depth).collect(),
            shelves: kinds.clone().map(|k| k.shelf).collect(),
            watts: kinds.clone().map(|k| k.watts).collect(),
            kilograms: kinds.clone().map(|k| k.kilograms).collect(),
            airflows: kinds.clone().map(|k| word(&k.airflow)).collect(),
            categories: kinds.map(|k| k.category.as_str()).collect(),
        }
    }
}

/// Inserts kinds, but those whose names are taken.
pub(super) async fn insert(
    tx: &Tx<'_>,
    kinds: &[&KindFields],
    built_in: bool,
) -> Attempt<Vec<Kind>> {
    if kinds.is_empty() {
        return Ok(Vec::new());
    }
    let lists = Lists::of(kinds.iter().copied());
    let sql = concat!(
        "INSERT INTO kinds AS k (built_in, manufacturer, model, halves, columns, full_depth, shelf, watts, kilograms, airflow, \
         category) SELECT $1, * FROM unnest($2::text[], $3::text[], $4::smallint[], $5::smallint[], $6::boolean[], \
         $7::boolean[], $8::double precision[], $9::double precision[], $10::text[], $11::text[]) \
         ON CONFLICT (manufacturer, model) DO NOTHING RETURNING ",
        kind_columns!()
    );
    let values: Values<'_> = &[
        &built_in,
        &lists.manufacturers,
        &lists.models,
        &lists.halves,
        &lists.columns,
        &lists.full_depths,
        &lists.shelves,
        &lists.watts,
        &lists.kilograms,
        &lists.airflows,
        &lists.categories,
    ];
    let rows = tx.rows(sql, values).await?;
    rows.iter().map(|row| Columns::of(row).kind()).collect()
}

/// Changes kinds; what they are then.
async fn update(tx: &Tx<'_>, kinds: &[(Id, &KindFields)]) -> Attempt<Vec<Kind>> {
    if kinds.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Id> = kinds.iter().map(|(id, _)| *id).collect();
    let lists = Lists::of(kinds.iter().map(|(_, fields)| *fields));
    let sql = concat!(
        "UPDATE kinds k SET version = k.version + 1, manufacturer = n.manufacturer, model = n.model, halves = n.halves, \
         columns = n.columns, full_depth = n.full_depth, shelf = n.shelf, watts = n.watts, kilograms = n.kilograms, \
         airflow = n.airflow, category = n.category FROM unnest($1::bigint[], $2::text[], $3::text[], $4::smallint[], \
         $5::smallint[], $6::boolean[], $7::boolean[], $8::double precision[], $9::double precision[], $10::text[], \
         $11::text[]) AS n (id, manufacturer, model, halves, columns, full_depth, shelf, watts, kilograms, airflow, category) \
         WHERE k.id = n.id RETURNING ",
        kind_columns!()
    );
    let values: Values<'_> = &[
        &ids,
        &lists.manufacturers,
        &lists.models,
        &lists.halves,
        &lists.columns,
        &lists.full_depths,
        &lists.shelves,
        &lists.watts,
        &lists.kilograms,
        &lists.airflows,
        &lists.categories,
    ];
    let rows = tx
        .complaining(sql, values, |constraint| {
            let (_, fields) = kinds.first().filter(|_| constraint == "kinds_name")?;
            Some(taken(fields))
        })
        .await?;
    rows.iter().map(|row| Columns::of(row).kind()).collect()
}

/// The racks that have devices of these kinds, by number.
async fn racks_with(tx: &Tx<'_>, kinds: &[Id]) -> Attempt<Vec<Id>> {
    let sql = "SELECT DISTINCT rack FROM devices WHERE kind = ANY($1) AND rack IS NOT NULL";
    let mut racks = BTreeSet::new();
    for row in &tx.rows(sql, &[&kinds]).await? {
        racks.insert(row.try_get(0)?);
    }
    Ok(racks.into_iter().collect())
}

/// The kind as it is now, locked.
async fn locked(tx: &Tx<'_>, id: Id, version: Version) -> Attempt<Kind> {
    let sql = concat!(
        "SELECT ",
        kind_columns!(),
        " FROM kinds k WHERE k.id = $1 FOR NO KEY UPDATE"
    );
    let row = tx.row(sql, &[&id]).await?;
    let kind = Columns::of(&row.ok_or(Error::Missing { what: WHAT, id })?).kind()?;
    if kind.built_in {
        let why = "it came with the planner, and stays as it is";
        return Err(Error::invalid(WHAT, why).into());
    }
    match kind.version == version {
        true => Ok(kind),
        false => Err(Error::Changed {
            what: WHAT,
            id,
            now: kind.version,
        }
        .into()),
    }
}

fn checked(fields: &KindFields) -> Result<(), Error> {
    limits::check_kind(fields).map_err(|(field, why)| Error::invalid(field, why))
}

fn taken(fields: &KindFields) -> Error {
    Error::Taken {
        what: WHAT,
        name: format!("{} {}", fields.manufacturer, fields.model),
    }
}
