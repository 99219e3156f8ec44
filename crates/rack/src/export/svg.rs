//! Shapes as SVG: only elements and attributes that every viewer knows, no styles and no scripts.

use std::fmt::{self, Write};

use super::shape::{Area, Colour, Panel, Shape};

/// Writes a picture.
pub fn write(panel: &Panel) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = picture(&mut out, panel);
    out
}

fn picture(out: &mut String, panel: &Panel) -> fmt::Result {
    let (width, height) = (Short(panel.width), Short(panel.height));
    write!(
        out,
        r#"<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif">
"#
    )?;
    writeln!(
        out,
        r##"<rect width="{width}" height="{height}" fill="#ffffff"/>"##
    )?;
    for shape in &panel.shapes {
        match shape {
            Shape::Box {
                area,
                fill,
                edge,
                dashed,
                title,
            } => {
                write!(out, r#"<rect {} fill="{}""#, Place(area), Hex(*fill))?;
                if let Some(edge) = edge {
                    write!(out, r#" stroke="{}" stroke-width="0.8""#, Hex(*edge))?;
                }
                if *dashed {
                    out.write_str(r#" stroke-dasharray="3 2""#)?;
                }
                match title {
                    Some(title) => writeln!(out, "><title>{}</title></rect>", Escaped(title))?,
                    None => out.write_str("/>\n")?,
                }
            }
            Shape::Text {
                text,
                size,
                colour,
                at,
                from_right,
                turned,
                within,
            } => {
                // An inner picture shows nothing outside of itself.
                let (x, y) = (Short(at.0 - within.x), Short(at.1 - within.y));
                write!(out, r#"<svg {}><text x="{x}" y="{y}""#, Place(within))?;
                write!(
                    out,
                    r#" font-size="{}" fill="{}""#,
                    Short(*size),
                    Hex(*colour)
                )?;
                if *from_right {
                    out.write_str(r#" text-anchor="end""#)?;
                }
                if *turned {
                    write!(out, r#" transform="rotate(-90 {x} {y})""#)?;
                }
                writeln!(out, ">{}</text></svg>", Escaped(text))?;
            }
        }
    }
    out.write_str("</svg>\n")
}

/// A length with no more decimals than can be seen.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", (self.0 * 100.0).round() / 100.0)
    }
}

struct Place<'a>(&'a Area);

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Area {
            x,
            y,
            width,
            height,
        } = *self.0;
        let (x, y, width, height) = (Short(x), Short(y), Short(width), Short(height));
        write!(out, r#"x="{x}" y="{y}" width="{width}" height="{height}""#)
    }
}

struct Hex(Colour);

impl fmt::Display for Hex {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(out, "#{red:02x}{green:02x}{blue:02x}")
    }
}

/// Text between tags. XML 1.0 has no way to write control characters at all.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => out.write_str("&amp;")?,
                '<' => out.write_str("&lt;")?,
                '>' => out.write_str("&gt;")?,
                '"' => out.write_str("&quot;")?,
                '\'' => out.write_str("&#39;")?,
                '\u{fffe}' | '\u{ffff}' => out.write_char('\u{fffd}')?,
                c if c.is_control() => out.write_char('\u{fffd}')?,
                c => out.write_char(c)?,
            }
        }
        Ok(())
    }
}
