//! What the colours mean, and the sums.

use super::shape::{Area, Colour, INK, Panel};
use super::text::number;
use crate::plan::model::{Filled, Item, Place};

/// The height of a line.
const LINE: f64 = 15.0;
/// The width of a colour with its name, which all have, so that they stand in columns.
const ENTRY: f64 = 90.0;

/// A watt is 3.412142 BTU/h: 3600 J divided by the 1055.05585 J of the International Table's British thermal unit (ISO
/// 31-4:1992, annex).
const BTU_PER_HOUR: f64 = 3.412_142;

/// The colours of categories, light enough for dark text; the last one is for all others.
const CATEGORIES: [(&str, Colour); 10] = [
    ("server", [0xbc, 0xd6, 0xf2]),
    ("network", [0xc1, 0xe5, 0xc3]),
    ("storage", [0xdc, 0xcb, 0xef]),
    ("power", [0xf7, 0xce, 0xbd]),
    ("patch-panel", [0xcf, 0xd8, 0xdd]),
    ("chassis", [0xb6, 0xc1, 0xec]),
    ("shelf", [0xe9, 0xdb, 0xc3]),
    ("cooling", [0xbb, 0xe7, 0xeb]),
    ("blank", [0xed, 0xef, 0xf1]),
    ("other", [0xf3, 0xe9, 0xa8]),
];

/// What all of it takes, gives and weighs, and what the colours mean.
pub fn legend(filled: &Filled, width: f64) -> Panel {
    let mut panel = Panel {
        width,
        ..Panel::default()
    };
    for text in totals(filled) {
        let line = Area {
            x: 0.0,
            y: panel.height,
            width,
            height: LINE,
        };
        panel.write(&text, 10.0, INK, line);
        panel.height += LINE;
    }
    let mut x = 0.0;
    let mut y = panel.height;
    for (name, fill) in CATEGORIES {
        let used = |item: &Item| colour(&item.kind.fields.category) == fill;
        if !filled.items.iter().any(used) {
            continue;
        }
        if x + ENTRY > width && x > 0.0 {
            (x, y) = (0.0, y + LINE);
        }
        let square = Area {
            x,
            y: y + 3.0,
            width: 9.0,
            height: 9.0,
        };
        panel.fill(square, fill, Some(INK));
        let beside = Area {
            x: x + 14.0,
            y,
            width: 76.0,
            height: LINE,
        };
        panel.write(name, 10.0, INK, beside);
        x += ENTRY;
        panel.height = y + LINE;
    }
    panel
}

/// The sums, a sentence each.
fn totals(filled: &Filled) -> [String; 4] {
    let fields = &filled.rack.fields;
    let watts: f64 = filled.items.iter().map(Item::watts).sum();
    let kilograms: f64 = filled.items.iter().map(Item::kilograms).sum();
    let of = |sum: f64, unit: &str, most: Option<f64>| {
        let most = most.map_or(String::new(), |most| format!(" of {} {unit}", number(most)));
        format!("{} {unit}{most}", number(sum))
    };
    let used = number(used_halves(filled) as f64 / 2.0);
    [
        format!(
            "Devices: {} in {used} of {} units",
            filled.items.len(),
            fields.units
        ),
        format!("Power: {}", of(watts, "W", fields.watts)),
        format!("Heat: {} BTU/h", (watts * BTU_PER_HOUR).round()),
        format!("Weight: {}", of(kilograms, "kg", fields.kilograms)),
    ]
}

/// Halves of units that have something on one side at least.
fn used_halves(filled: &Filled) -> usize {
    let mut used = vec![false; 2 * usize::from(filled.rack.fields.units)];
    for item in &filled.items {
        if let Some(Place::Units { bottom, .. }) = item.device.place {
            let begin = usize::from(bottom).min(used.len());
            let end = (begin + usize::from(item.kind.fields.halves)).min(used.len());
            used[begin..end].fill(true);
        }
    }
    used.into_iter().filter(|&used| used).count()
}

/// The colour of a category; those without one have that of `other`.
pub fn colour(category: &str) -> Colour {
    let known = CATEGORIES.iter().find(|(name, _)| *name == category);
    known.unwrap_or(&CATEGORIES[CATEGORIES.len() - 1]).1
}
