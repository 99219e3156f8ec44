//! What is in a rack as a table for spreadsheets: RFC 4180, with names in the first line.

use std::fmt::Write;

use super::order;
use crate::plan::model::{Face, Filled, Item, Place};

const HEADER: &str = "number,name,manufacturer,model,category,face,unit,left_column,on_shelf,height_units,\
                      width_columns,full_depth,watts,kilograms,pinned,tags,notes";

/// Writes the table. Units are counted from 1, columns from 0; `on_shelf` is the number of the shelf's row.
pub fn write(filled: &Filled) -> String {
    let mut out = String::new();
    out.push_str(HEADER);
    out.push_str("\r\n");
    let items = order::of(filled);
    for (at, item) in items.iter().enumerate() {
        row(&mut out, at + 1, item, &items);
    }
    out
}

fn row(out: &mut String, number: usize, item: &Item, items: &[&Item]) {
    let (device, kind) = (&item.device.fields, &item.kind.fields);
    let (mut face, mut unit, mut left, mut shelf) =
        ("", String::new(), String::new(), String::new());
    match item.device.place {
        Some(Place::Units {
            face: on,
            bottom,
            left: column,
            ..
        }) => {
            face = match on {
                Face::Front => "front",
                Face::Rear => "rear",
            };
            unit = order::unit(bottom).to_string();
            left = column.to_string();
        }
        Some(Place::Shelf {
            shelf: id,
            left: column,
            ..
        }) => {
            shelf = order::number(items, id).map_or(String::new(), |number| number.to_string());
            left = column.to_string();
        }
        None => {}
    }
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "{number},{},{},{},{},{face},{unit},{left},{shelf},{},{},{},{},{},{},{},{}\r\n",
        text(&device.name),
        text(&kind.manufacturer),
        text(&kind.model),
        text(&kind.category),
        f64::from(kind.halves) / 2.0,
        kind.columns,
        kind.full_depth,
        item.watts(),
        item.kilograms(),
        device.pinned,
        text(&device.tags.join(" ")),
        text(&device.notes),
    );
}

/// A cell of text, quoted if it has to be. A spreadsheet takes one that begins with certain characters as a formula, which
/// can send what is in the table elsewhere; an apostrophe before it, which spreadsheets do not show, makes it text. The
/// characters are those that the Open Worldwide Application Security Project lists, with their wide forms.
fn text(value: &str) -> String {
    let formula = |c| {
        matches!(
            c,
            '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠'
        )
    };
    let begins = value.trim_start_matches(' ').starts_with(formula);
    let value = if begins {
        format!("'{value}")
    } else {
        value.into()
    };
    if value.contains([',', '"', '\r', '\n', '\t', ';', '\'']) || value.starts_with(' ') {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value
    }
}
