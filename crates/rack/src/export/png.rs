//! A picture as PNG, drawn from its SVG with a font of the system.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::Context;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg;
use resvg::usvg::fontdb::{Database, Family};

/// Where systems keep their fonts.
const FONTS: &str = "/usr/share/fonts";
/// Files of fonts that are good for this, the best first.
const KNOWN: [&str; 3] = [
    "DejaVuSans.ttf",
    "LiberationSans-Regular.ttf",
    "NotoSans-Regular.ttf",
];
/// How deep below it they may be.
const DEPTH: usize = 4;
/// The most pixels of a picture, each of which needs four bytes while it is drawn.
const MOST_PIXELS: f64 = 4e6;
/// How many pixels of the picture are one of the SVG, if there are not too many then.
const SCALE: f64 = 2.0;

/// Draws an SVG of this project's own. Pictures are drawn one after the other, so that several at once do not need several
/// times the memory.
pub fn draw(svg: &str) -> anyhow::Result<Vec<u8>> {
    static ONE: Mutex<()> = Mutex::new(());
    let options = usvg::Options {
        fontdb: fonts()?,
        ..usvg::Options::default()
    };
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let tree = usvg::Tree::from_str(svg, &options).context("the picture cannot be drawn")?;
    let (width, height) = (
        f64::from(tree.size().width()),
        f64::from(tree.size().height()),
    );
    let scale = SCALE.min((MOST_PIXELS / (width * height)).sqrt());
    let pixels = |length: f64| (length * scale).ceil() as u32;
    let mut pixmap = Pixmap::new(pixels(width), pixels(height)).context("it is too large")?;
    let transform = Transform::from_scale(scale as f32, scale as f32);
    resvg::render(&tree, transform, &mut pixmap.as_mut());
    // All letters as outlines, which need as much memory as the pixels.
    drop(tree);
    let mut png = Vec::new();
    // Its ground is opaque, so that nothing is to be divided by its opacity.
    PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Adaptive)
        .write_image(
            pixmap.data(),
            pixmap.width(),
            pixmap.height(),
            ExtendedColorType::Rgba8,
        )
        .context("the picture cannot be encoded")?;
    Ok(png)
}

/// One font, read when it is needed first. That there is none is not kept: it may be installed the next moment.
fn fonts() -> anyhow::Result<Arc<Database>> {
    static DATABASE: OnceLock<Arc<Database>> = OnceLock::new();
    if let Some(database) = DATABASE.get() {
        return Ok(Arc::clone(database));
    }
    let read = Arc::new(read_font(Path::new(FONTS))?);
    Ok(Arc::clone(DATABASE.get_or_init(|| read)))
}

fn read_font(below: &Path) -> anyhow::Result<Database> {
    let path = find(below).with_context(|| {
        let below = below.display();
        format!(
            "there is no font below {below} to write with; install the package fonts-dejavu-core"
        )
    })?;
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let mut database = Database::new();
    database.load_font_data(bytes);
    let face = database.faces().next();
    let name = face
        .and_then(|face| face.families.first())
        .map(|(name, _)| name.clone());
    let name = name.with_context(|| format!("{} is not a font", path.display()))?;
    database.set_sans_serif_family(name);
    // What was set is what `sans-serif` means from now on.
    debug_assert!(!database.family_name(&Family::SansSerif).is_empty());
    Ok(database)
}

/// The best of the known fonts.
fn find(below: &Path) -> Option<PathBuf> {
    let mut found = Vec::new();
    collect(below, DEPTH, &mut found);
    found.into_iter().min().map(|(_, path)| path)
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<(usize, PathBuf)>) {
    // What cannot be read has no font for this program.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if depth > 0 {
                collect(&path, depth - 1, found);
            }
        } else if let Some(rank) = KNOWN.iter().position(|known| name == *known) {
            found.push((rank, path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_font_the_package_is_named() {
        let empty = tempfile::tempdir().unwrap();
        let problem = format!("{:#}", read_font(empty.path()).unwrap_err());
        assert!(problem.contains("fonts-dejavu-core"), "{problem}");
        assert!(
            problem.contains(&empty.path().display().to_string()),
            "{problem}"
        );
    }

    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "a test writes files as it pleases"
    )]
    fn a_file_that_is_no_font_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("truetype/dejavu");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("DejaVuSans.ttf"), "no font").unwrap();
        std::fs::write(folder.path().join("NotoSans-Regular.ttf"), "no font").unwrap();
        assert_eq!(find(folder.path()), Some(deep.join("DejaVuSans.ttf")));
        let problem = format!("{:#}", read_font(folder.path()).unwrap_err());
        assert!(
            problem.contains("DejaVuSans.ttf is not a font"),
            "{problem}"
        );
    }
}
