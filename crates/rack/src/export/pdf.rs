//! Pages of A4 as PDF, with Helvetica, which every viewer has, so that no font is embedded.

use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str, TextStr};

use super::shape::{Area, Colour, Panel, Shape};
use super::text::{helvetica, win_ansi};

/// A4 in points, of which an inch has 72.
const WIDTH: f64 = 595.28;
const HEIGHT: f64 = 841.89;
/// Printers leave about 5 mm white; this is 12.7 mm.
const MARGIN: f64 = 36.0;
/// A page is never made larger than this, so that a small rack does not fill it with huge letters.
const LARGEST_SCALE: f64 = 1.4;
const FONT: Name<'static> = Name(b"F");

/// Writes a document with a page for each panel.
pub fn write(title: &str, pages: &[Panel]) -> Vec<u8> {
    let mut pdf = Pdf::new();
    let mut last = 0;
    let mut next = || {
        last += 1;
        Ref::new(last)
    };
    let (catalog, tree, font, info) = (next(), next(), next(), next());
    let ids: Vec<_> = pages.iter().map(|_| (next(), next())).collect();
    pdf.catalog(catalog).pages(tree).lang(TextStr("en"));
    pdf.document_info(info).title(TextStr(title));
    pdf.pages(tree)
        .kids(ids.iter().map(|(page, _)| *page))
        .count(i32::try_from(ids.len()).unwrap_or(i32::MAX));
    pdf.type1_font(font)
        .base_font(Name(b"Helvetica"))
        .encoding_predefined(Name(b"WinAnsiEncoding"));
    for (panel, (page_id, content_id)) in pages.iter().zip(ids) {
        let mut page = pdf.page(page_id);
        page.media_box(Rect::new(0.0, 0.0, WIDTH as f32, HEIGHT as f32));
        page.parent(tree);
        page.contents(content_id);
        page.resources().fonts().pair(FONT, font);
        page.finish();
        pdf.stream(content_id, &content(panel));
    }
    pdf.finish()
}

fn content(panel: &Panel) -> pdf_writer::Buf {
    let room = (WIDTH - 2.0 * MARGIN, HEIGHT - 2.0 * MARGIN);
    let scale = (room.0 / panel.width)
        .min(room.1 / panel.height)
        .min(LARGEST_SCALE);
    let left = (WIDTH - scale * panel.width) / 2.0;
    let mut out = Content::new();
    // From here on the origin is at the top left and y goes down, as in the panel.
    out.transform([scale, 0.0, 0.0, -scale, left, HEIGHT - MARGIN].map(|value| value as f32));
    out.set_line_width(0.8);
    for shape in &panel.shapes {
        match shape {
            Shape::Box {
                area,
                fill,
                edge,
                dashed,
                ..
            } => {
                let [red, green, blue] = fractions(*fill);
                out.set_fill_rgb(red, green, blue);
                if let Some(edge) = edge {
                    let [red, green, blue] = fractions(*edge);
                    out.set_stroke_rgb(red, green, blue);
                    let pattern: &[f32] = if *dashed { &[3.0, 2.0] } else { &[] };
                    out.set_dash_pattern(pattern.iter().copied(), 0.0);
                }
                rectangle(&mut out, area);
                match edge {
                    Some(_) => out.fill_nonzero_and_stroke(),
                    None => out.fill_nonzero(),
                };
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
                let bytes = win_ansi(text);
                out.save_state();
                rectangle(&mut out, within);
                out.clip_nonzero().end_path();
                let [red, green, blue] = fractions(*colour);
                out.set_fill_rgb(red, green, blue);
                let back = if *from_right {
                    helvetica(text, *size)
                } else {
                    0.0
                };
                let (x, y) = ((at.0 - back) as f32, at.1 as f32);
                // Letters stand upright although y goes down.
                let matrix = match turned {
                    false => [1.0, 0.0, 0.0, -1.0, x, y],
                    true => [0.0, -1.0, -1.0, 0.0, x, y],
                };
                out.begin_text()
                    .set_font(FONT, *size as f32)
                    .set_text_matrix(matrix);
                out.show(Str(&bytes)).end_text();
                out.restore_state();
            }
        }
    }
    out.finish()
}

fn rectangle(out: &mut Content, area: &Area) {
    let [x, y, width, height] = [area.x, area.y, area.width, area.height].map(|value| value as f32);
    out.rect(x, y, width, height);
}

fn fractions(colour: Colour) -> [f32; 3] {
    colour.map(|part| f32::from(part) / 255.0)
}
