//! A rack as a file: SVG, PNG, PDF, YAML, CSV.

mod csv;
mod description;
mod draw;
mod legend;
mod order;
mod pdf;
mod png;
mod shape;
mod svg;
mod text;

pub use description::{DescribedDevice, DescribedPlace, Description, MOST_DEVICES};
use shape::Panel;

use crate::library::Problem;
use crate::plan::model::{Face, Filled};

/// Distance between the parts of a drawing.
const GAP: f64 = 16.0;

/// Draws sides of a rack beside each other, with the sums below them.
pub fn svg(filled: &Filled, faces: &[Face]) -> String {
    svg::write(&page(filled, faces))
}

/// The same as a picture; an error if there is no font to write with. What the font lacks is shown as boxes. It takes a moment
/// of the processor: do it beside the requests. Its memory is bounded by that of four million pixels.
pub fn png(filled: &Filled, faces: &[Face]) -> anyhow::Result<Vec<u8>> {
    png::draw(&svg(filled, faces))
}

/// Draws each side on a page of A4. Characters that Windows' code page 1252 lacks are question marks.
pub fn pdf(filled: &Filled, faces: &[Face]) -> Vec<u8> {
    let mut pages: Vec<_> = faces.iter().map(|face| page(filled, &[*face])).collect();
    if pages.is_empty() {
        pages.push(page(filled, &[]));
    }
    pdf::write(&filled.rack.fields.name, &pages)
}

/// A rack with all that is in it and the kinds of that, as YAML that [`read_yaml`] reads again.
pub fn yaml(filled: &Filled) -> String {
    description::write(filled)
}

/// Reads what [`yaml`] writes, also several one after the other or by hand: all of it, or what is wrong with it. It checks
/// each field; whether things fit, whoever puts them into a rack checks.
pub fn read_yaml(text: &str) -> Result<Vec<Description>, Vec<Problem>> {
    description::read(text)
}

/// What is in a rack as a table for spreadsheets.
pub fn csv(filled: &Filled) -> String {
    csv::write(filled)
}

fn page(filled: &Filled, faces: &[Face]) -> Panel {
    let mut sides = Panel::default();
    for face in faces {
        let x = if sides.width > 0.0 {
            sides.width + GAP
        } else {
            0.0
        };
        sides.add(draw::face(filled, *face), x, 0.0);
    }
    // Also without a side there is room for the sums.
    let width = sides.width.max(280.0);
    let mut page = Panel::default();
    page.add(draw::heading(filled, width), GAP, GAP);
    page.add(sides, GAP, page.height);
    page.add(legend::legend(filled, width), GAP, page.height + GAP / 2.0);
    page.width += GAP;
    page.height += GAP;
    page
}

#[cfg(test)]
mod tests;
