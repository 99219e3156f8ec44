//! Shapes on a page, which are written as SVG or PDF: both show the same.
//!
//! Coordinates are in units of a screen's pixel with the origin at the top left.

use super::text::fit;

/// A colour: red, green and blue.
pub type Colour = [u8; 3];

/// Of texts and edges.
pub const INK: Colour = [0x22, 0x26, 0x2b];
/// Of what is less important.
pub const GREY: Colour = [0x6b, 0x72, 0x7a];
/// Of lines that only guide the eye.
pub const FAINT: Colour = [0xe2, 0xe5, 0xe8];
/// Of what is there, but not here.
pub const PALE: Colour = [0xf5, 0xf6, 0xf7];

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// A rectangle with an edge, and what is told of it where that can be told.
    Box {
        area: Area,
        fill: Colour,
        edge: Option<Colour>,
        dashed: bool,
        title: Option<String>,
    },
    /// A line of text, of which nothing is shown outside of the area.
    Text {
        text: String,
        size: f64,
        colour: Colour,
        /// Its beginning or, if `from_right`, its end, on the base line.
        at: (f64, f64),
        from_right: bool,
        /// Whether it is written upwards.
        turned: bool,
        within: Area,
    },
}

/// Shapes, and how much room they need.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Panel {
    pub width: f64,
    pub height: f64,
    pub shapes: Vec<Shape>,
}

impl Panel {
    /// Fills an area.
    pub fn fill(&mut self, area: Area, fill: Colour, edge: Option<Colour>) {
        self.shapes.push(Shape::Box {
            area,
            fill,
            edge,
            dashed: false,
            title: None,
        });
    }

    /// Writes within an area, as much as fits.
    pub fn write(&mut self, text: &str, size: f64, colour: Colour, within: Area) {
        let text = fit(text, size, within.width);
        // Letters without what is below their line are seven tenths of their size high.
        let base = within.y + (within.height + 0.7 * size) / 2.0;
        self.push_text(text, size, colour, (within.x, base), within);
    }

    fn push_text(&mut self, text: String, size: f64, colour: Colour, at: (f64, f64), within: Area) {
        if !text.is_empty() {
            self.shapes.push(Shape::Text {
                text,
                size,
                colour,
                at,
                from_right: false,
                turned: false,
                within,
            });
        }
    }

    /// Writes a text that is known to fit, up to the right edge of an area.
    pub fn write_right(&mut self, text: &str, size: f64, colour: Colour, within: Area) {
        self.shapes.push(Shape::Text {
            text: text.into(),
            size,
            colour,
            at: (
                within.x + within.width,
                within.y + (within.height + 0.7 * size) / 2.0,
            ),
            from_right: true,
            turned: false,
            within,
        });
    }

    /// Puts another one into this one.
    pub fn add(&mut self, other: Panel, x: f64, y: f64) {
        let moved = |area: Area| Area {
            x: area.x + x,
            y: area.y + y,
            ..area
        };
        self.width = self.width.max(x + other.width);
        self.height = self.height.max(y + other.height);
        for mut shape in other.shapes {
            match &mut shape {
                Shape::Box { area, .. } => *area = moved(*area),
                Shape::Text { at, within, .. } => {
                    *at = (at.0 + x, at.1 + y);
                    *within = moved(*within);
                }
            }
            self.shapes.push(shape);
        }
    }
}
