//! A side of a rack as shapes.

use super::legend::colour;
use super::shape::{Area, Colour, FAINT, GREY, INK, PALE, Panel, Shape};
use super::text::{fit, number};
use crate::plan::model::{COLUMNS, Face, Filled, Item, Place};

/// The height of half a rack unit.
const HALF: f64 = 10.0;
/// The width of a column.
const COLUMN: f64 = 20.0;
/// The width of a whole rack between its posts.
const INSIDE: f64 = COLUMN * COLUMNS as f64;
/// Room for the numbers of units.
const NUMBERS: f64 = 26.0;
/// The width of a strip that is mounted beside the units.
const STRIP: f64 = 14.0;
/// Room above a face for its name.
const TOP: f64 = 20.0;
/// Distance between text and what is around it.
const GAP: f64 = 4.0;
/// The board of a shelf.
const BOARD: f64 = 3.0;
/// The rack's name and where it is.
pub fn heading(filled: &Filled, width: f64) -> Panel {
    let fields = &filled.rack.fields;
    let mut panel = Panel {
        width,
        height: 40.0,
        ..Panel::default()
    };
    let line = |y, height| Area {
        x: 0.0,
        y,
        width,
        height,
    };
    panel.write(&fields.name, 16.0, INK, line(0.0, 20.0));
    panel.write(&fields.location, 10.0, GREY, line(20.0, 14.0));
    panel
}

/// One side of a rack with what is mounted on it and, pale, what reaches through from the other side.
pub fn face(filled: &Filled, face: Face) -> Panel {
    Side::new(filled, face).draw()
}

/// What is measured once for a side.
struct Side<'a> {
    filled: &'a Filled,
    face: Face,
    /// Strips beside the units, left and right as seen from this side.
    strips: [Vec<&'a Item>; 2],
    /// Where the units are.
    inside: Area,
}

impl<'a> Side<'a> {
    fn new(filled: &'a Filled, face: Face) -> Self {
        let mut strips = [Vec::new(), Vec::new()];
        for item in &filled.items {
            if let Some(Place::Units {
                face: own, left, ..
            }) = item.device.place
                && item.kind.fields.halves == 0
                && own == face
            {
                strips[usize::from(left >= COLUMNS / 2)].push(item);
            }
        }
        let halves = 2.0 * f64::from(filled.rack.fields.units);
        let inside = Area {
            x: NUMBERS + STRIP * strips[0].len() as f64,
            y: TOP,
            width: INSIDE,
            height: halves * HALF,
        };
        Side {
            filled,
            face,
            strips,
            inside,
        }
    }

    fn draw(&self) -> Panel {
        let inside = self.inside;
        let mut panel = Panel {
            width: inside.x + inside.width + STRIP * self.strips[1].len() as f64 + GAP,
            height: inside.y + inside.height + GAP,
            ..Panel::default()
        };
        let name = match self.face {
            Face::Front => "Front",
            Face::Rear => "Rear",
        };
        let above = Area {
            y: 0.0,
            height: TOP,
            ..inside
        };
        panel.write(name, 12.0, INK, above);
        self.draw_units(&mut panel);
        self.draw_strips(&mut panel);
        for item in &self.filled.items {
            self.draw_from_behind(&mut panel, item);
        }
        for item in &self.filled.items {
            self.draw_mounted(&mut panel, item);
        }
        panel
    }

    fn draw_units(&self, panel: &mut Panel) {
        let inside = self.inside;
        panel.fill(inside, [0xff, 0xff, 0xff], Some(INK));
        for unit in 1..=self.filled.rack.fields.units {
            let bottom = 2.0 * (f64::from(unit) - 1.0) * HALF;
            let row = Area {
                x: 0.0,
                y: inside.y + inside.height - bottom - 2.0 * HALF,
                width: NUMBERS - GAP,
                height: 2.0 * HALF,
            };
            panel.write_right(&unit.to_string(), 9.0, GREY, row);
            if unit > 1 {
                let y = row.y + row.height - 0.25;
                let line = Area {
                    y,
                    height: 0.5,
                    ..inside
                };
                panel.fill(line, FAINT, None);
            }
        }
    }

    fn draw_strips(&self, panel: &mut Panel) {
        let inside = self.inside;
        for (side, items) in self.strips.iter().enumerate() {
            for (at, item) in items.iter().enumerate() {
                let at = at as f64 * STRIP;
                let x = match side {
                    0 => inside.x - STRIP - at,
                    _ => inside.x + inside.width + at,
                };
                let area = Area {
                    x: x + 1.5,
                    width: STRIP - 3.0,
                    ..inside
                };
                self.draw_box(panel, item, area);
                let size = 8.0;
                let text = fit(&item.device.fields.name, size, area.height - 2.0 * GAP);
                if !text.is_empty() {
                    panel.shapes.push(Shape::Text {
                        text,
                        size,
                        colour: INK,
                        at: (
                            area.x + (area.width + 0.7 * size) / 2.0,
                            area.y + area.height - GAP,
                        ),
                        from_right: false,
                        turned: true,
                        within: area,
                    });
                }
            }
        }
    }

    /// What is mounted on the other side and reaches through.
    fn draw_from_behind(&self, panel: &mut Panel, item: &Item) {
        let Some(Place::Units {
            face, bottom, left, ..
        }) = item.device.place
        else {
            return;
        };
        let kind = &item.kind.fields;
        if face == self.face || !kind.full_depth || kind.halves == 0 {
            return;
        }
        // The left is the right from behind.
        let left = COLUMNS.saturating_sub(left).saturating_sub(kind.columns);
        let area = self.area(bottom, kind.halves, left, kind.columns);
        panel.shapes.push(Shape::Box {
            area,
            fill: PALE,
            edge: Some(GREY),
            dashed: true,
            title: Some(title(item)),
        });
        self.label(panel, &item.device.fields.name, area, GREY);
    }

    fn draw_mounted(&self, panel: &mut Panel, item: &Item) {
        let Some(Place::Units {
            face, bottom, left, ..
        }) = item.device.place
        else {
            return;
        };
        let kind = &item.kind.fields;
        if face != self.face || kind.halves == 0 {
            return;
        }
        let area = self.area(bottom, kind.halves, left, kind.columns);
        if kind.shelf {
            self.draw_shelf(panel, item, area);
            return;
        }
        self.draw_box(panel, item, area);
        self.draw_texts(panel, item, area);
    }

    fn draw_shelf(&self, panel: &mut Panel, shelf: &Item, area: Area) {
        let on_it: Vec<_> = self.things_on(shelf).collect();
        panel.shapes.push(Shape::Box {
            area,
            fill: PALE,
            edge: Some(GREY),
            dashed: false,
            title: Some(title(shelf)),
        });
        let board = Area {
            y: area.y + area.height - BOARD,
            height: BOARD,
            ..area
        };
        panel.fill(board, colour(&shelf.kind.fields.category), Some(INK));
        if on_it.is_empty() {
            self.label(panel, &shelf.device.fields.name, area, INK);
        }
        for (thing, left) in on_it {
            let kind = &thing.kind.fields;
            // What has no height of its own takes that of the shelf.
            let height = match kind.halves {
                0 => area.height - BOARD,
                halves => (f64::from(halves) * HALF).min(area.height) - BOARD,
            };
            let across = self.area(0, 1, left, kind.columns);
            let area = Area {
                x: across.x,
                width: across.width,
                y: board.y - height,
                height,
            };
            self.draw_box(panel, thing, area);
            self.draw_texts(panel, thing, area);
        }
    }

    /// What stands on a shelf, with its column.
    fn things_on(&self, shelf: &Item) -> impl Iterator<Item = (&'a Item, u8)> {
        let id = shelf.device.id;
        self.filled
            .items
            .iter()
            .filter_map(move |item| match item.device.place {
                Some(Place::Shelf { shelf, left, .. }) if shelf == id => Some((item, left)),
                _ => None,
            })
    }

    fn draw_box(&self, panel: &mut Panel, item: &Item, area: Area) {
        panel.shapes.push(Shape::Box {
            area,
            fill: colour(&item.kind.fields.category),
            edge: Some(INK),
            dashed: false,
            title: Some(title(item)),
        });
    }

    /// Its name and, where there is room, what it takes.
    fn draw_texts(&self, panel: &mut Panel, item: &Item, area: Area) {
        let mut name = area;
        let watts = format!("{} W", number(item.watts()));
        let width = 9.0 * 0.62 * watts.chars().count() as f64;
        if item.watts() > 0.0 && area.height >= 2.0 * HALF - BOARD && area.width > 3.0 * width {
            let right = Area {
                width: area.width - GAP,
                ..area
            };
            panel.write_right(&watts, 9.0, GREY, right);
            name.width -= width + GAP;
        }
        self.label(panel, &item.device.fields.name, name, INK);
    }

    fn label(&self, panel: &mut Panel, name: &str, area: Area, colour: Colour) {
        let size = (area.height - 2.0).clamp(5.0, 10.0);
        let within = Area {
            x: area.x + GAP,
            width: area.width - 2.0 * GAP,
            ..area
        };
        panel.write(name, size, colour, within);
    }

    /// Where something is; a rack that is shown may have things that are partly outside of it.
    fn area(&self, bottom: u8, halves: u8, left: u8, columns: u8) -> Area {
        let most = 2.0 * f64::from(self.filled.rack.fields.units);
        let low = f64::from(bottom).min(most - 1.0);
        let high = (low + f64::from(halves)).min(most);
        let left = f64::from(left.min(COLUMNS - 1));
        let right = (left + f64::from(columns)).min(COLUMNS.into());
        Area {
            x: self.inside.x + left * COLUMN,
            y: self.inside.y + (most - high) * HALF,
            width: (right - left) * COLUMN,
            height: (high - low) * HALF,
        }
    }
}

fn title(item: &Item) -> String {
    let kind = &item.kind.fields;
    format!(
        "{} — {} {}, {} W, {} kg",
        item.device.fields.name,
        kind.manufacturer,
        kind.model,
        number(item.watts()),
        number(item.kilograms()),
    )
}
