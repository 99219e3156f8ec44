//! The logos of manufacturers.

use serde::Serialize;
use utoipa::ToSchema;

use super::audit::{self, Note};
use super::error::{Attempt, Error};
use super::pool::Tx;
use super::rows::Columns;
use super::{Store, Who, again};
use crate::plan::model::Version;

/// A logo, without its picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LogoInfo {
    /// Whose it is. Small and capital letters make no difference.
    pub manufacturer: String,
    /// How often it was changed.
    pub version: Version,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
}

/// A logo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLogo {
    /// How often it was changed.
    pub version: Version,
    /// Its picture, as PNG.
    pub png: Vec<u8>,
}

impl Store {
    /// All logos, by manufacturer.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::Busy`].
    pub async fn logos(&self) -> Result<Vec<LogoInfo>, Error> {
        again(|| async {
            let session = self.connections.session().await?;
            let sql = "SELECT manufacturer, version, width, height FROM logos ORDER BY key";
            let rows = session.rows(sql, &[]).await?;
            rows.iter().map(|row| info(&mut Columns::of(row))).collect()
        })
        .await
    }

    /// The logo of a manufacturer, if there is one.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::Busy`].
    pub async fn logo(&self, manufacturer: &str) -> Result<Option<StoredLogo>, Error> {
        again(|| async {
            let session = self.connections.session().await?;
            let sql = "SELECT version, png FROM logos WHERE key = $1";
            let row = session.row(sql, &[&key(manufacturer)]).await?;
            let Some(row) = row else { return Ok(None) };
            let mut columns = Columns::of(&row);
            Ok(Some(StoredLogo {
                version: columns.next()?,
                png: columns.next()?,
            }))
        })
        .await
    }

    /// Sets the logo of a manufacturer: a PNG of so many pixels.
    ///
    /// # Errors
    /// Those of every change.
    pub async fn set_logo(
        &self,
        who: &Who,
        manufacturer: &str,
        png: &[u8],
        (width, height): (u32, u32),
    ) -> Result<LogoInfo, Error> {
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let before = locked(&tx, manufacturer).await?;
            let pixels = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
            let row = tx
                .row(
                    "INSERT INTO logos AS l (key, manufacturer, png, width, height) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT (key) DO UPDATE SET version = l.version + 1, manufacturer = excluded.manufacturer, \
                     png = excluded.png, width = excluded.width, height = excluded.height \
                     RETURNING manufacturer, version, width, height",
                    &[
                        &key(manufacturer),
                        &manufacturer,
                        &png,
                        &pixels(width),
                        &pixels(height),
                    ],
                )
                .await?;
            let row = row.ok_or(Error::Fault("no logo".into()))?;
            let after = info(&mut Columns::of(&row))?;
            note(&tx, who, before, Some(&after)).await?;
            tx.commit().await?;
            Ok(after)
        })
        .await
    }

    /// Deletes the logo of a manufacturer; whether there was one.
    ///
    /// # Errors
    /// Those of every change.
    pub async fn delete_logo(&self, who: &Who, manufacturer: &str) -> Result<bool, Error> {
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let Some(before) = locked(&tx, manufacturer).await? else {
                return Ok(false);
            };
            tx.rows("DELETE FROM logos WHERE key = $1", &[&key(manufacturer)])
                .await?;
            note(&tx, who, Some(before), None).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }
}

async fn locked(tx: &Tx<'_>, manufacturer: &str) -> Attempt<Option<LogoInfo>> {
    let sql = "SELECT manufacturer, version, width, height FROM logos WHERE key = $1 FOR UPDATE";
    let row = tx.row(sql, &[&key(manufacturer)]).await?;
    row.map(|row| info(&mut Columns::of(&row))).transpose()
}

async fn note(
    tx: &Tx<'_>,
    who: &Who,
    before: Option<LogoInfo>,
    after: Option<&LogoInfo>,
) -> Attempt<()> {
    let action = match (&before, after) {
        (None, _) => "create",
        (Some(_), Some(_)) => "change",
        (Some(_), None) => "delete",
    };
    let note = Note {
        action,
        what: "logo",
        id: None,
        before: before.as_ref().map(audit::json),
        after: after.map(audit::json),
    };
    audit::write(tx, who, &[note]).await
}

fn info(columns: &mut Columns<'_>) -> Attempt<LogoInfo> {
    let pixels = |columns: &mut Columns<'_>| -> Attempt<u32> {
        let count: i32 = columns.next()?;
        Ok(count.unsigned_abs())
    };
    Ok(LogoInfo {
        manufacturer: columns.next()?,
        version: columns.next()?,
        width: pixels(columns)?,
        height: pixels(columns)?,
    })
}

/// What a logo is found by.
fn key(manufacturer: &str) -> String {
    manufacturer.trim().to_lowercase()
}
