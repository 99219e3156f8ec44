//! Racks with all that is in them, in one question.

use std::collections::BTreeMap;

use super::error::Attempt;
use super::pool::{Session, Tx};
use super::rows::{Columns, RACK, device_columns, kind_columns, rack_columns};
use crate::plan::model::{Filled, Id};

/// Racks, each with all that is in it: one statement, so that all of it is of one moment.
macro_rules! filled_sql {
    ($where:literal) => {
        concat!(
            "SELECT ",
            rack_columns!(),
            ", ",
            device_columns!(),
            ", ",
            kind_columns!(),
            " FROM racks r LEFT JOIN devices d ON d.rack = r.id LEFT JOIN kinds k ON k.id = d.kind WHERE ",
            $where
        )
    };
}

/// A rack with all that is in it, at one moment.
pub(super) async fn one(session: &Session, id: Id) -> Attempt<Option<Filled>> {
    let rows = session.rows(filled_sql!("r.id = $1"), &[&id]).await?;
    Ok(collect(&rows)?.remove(&id))
}

/// These racks with all that is in them, as this transaction sees them.
pub(super) async fn all(tx: &Tx<'_>, ids: &[Id]) -> Attempt<BTreeMap<Id, Filled>> {
    let rows = tx.rows(filled_sql!("r.id = ANY($1)"), &[&ids]).await?;
    collect(&rows)
}

fn collect(rows: &[tokio_postgres::Row]) -> Attempt<BTreeMap<Id, Filled>> {
    let mut racks = BTreeMap::new();
    for row in rows {
        let rack = Columns::of(row).rack()?;
        let filled = racks.entry(rack.id).or_insert(Filled {
            rack,
            items: Vec::new(),
        });
        let device: Option<Id> = Columns::from(row, RACK).next()?;
        if device.is_some() {
            filled.items.push(Columns::from(row, RACK).item()?);
        }
    }
    Ok(racks)
}
