//! Pictures that people upload: recognised by their content, decoded within limits, made small and encoded anew, so that
//! nothing but pixels is kept of them.

use std::io::Cursor;
use std::sync::{Mutex, PoisonError};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::metadata::Orientation;
use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError, ImageFormat,
    ImageReader, Limits, RgbaImage, imageops,
};
use thiserror::Error;

/// The most bytes of an upload.
pub const MOST_BYTES: usize = 2 * 1024 * 1024;
/// The most pixels across and up.
pub const MOST_PIXELS: u32 = 4096;
/// The most pixels across and up of what is kept.
pub const KEPT_PIXELS: u32 = 512;
/// The most memory for the decoded picture: one of the largest size with four bytes for a pixel.
const MOST_MEMORY: u64 = 4 * MOST_PIXELS as u64 * MOST_PIXELS as u64;

/// A picture that is fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logo {
    /// The picture as PNG.
    pub png: Vec<u8>,
    /// Its width in pixels, at most [`KEPT_PIXELS`].
    pub width: u32,
    /// Its height in pixels, at most [`KEPT_PIXELS`].
    pub height: u32,
}

/// Why a picture is not taken.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The upload has too many bytes.
    #[error("the picture has more than 2 MiB")]
    TooManyBytes,
    /// Decoded, it would have too many pixels, or need too much memory.
    #[error("the picture is too large: it may have 4096 × 4096 pixels, or half as many of 16 bits")]
    TooManyPixels,
    /// It is something else, which is known.
    #[error("this is {0}; a logo is PNG, JPEG or WebP")]
    Other(&'static str),
    /// It is nothing that is known.
    #[error("this is no picture that is known; a logo is PNG, JPEG or WebP")]
    Unknown,
    /// It begins like a picture, but is not one.
    #[error("the picture is damaged or not complete")]
    Damaged,
}

/// Reads a picture; of one that moves, its first. It takes a moment of the processor: do it beside the requests. Pictures
/// are decoded one after the other, so that several at once do not need several times the memory.
pub fn read(bytes: &[u8]) -> Result<Logo, Refused> {
    static ONE: Mutex<()> = Mutex::new(());
    if bytes.len() > MOST_BYTES {
        return Err(Refused::TooManyBytes);
    }
    let format = recognise(bytes)?;
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (picture, orientation) = decode(bytes, format)?;
    let small = shrink(picture);
    // Of the small one, because that is less to turn.
    let mut turned = DynamicImage::ImageRgba8(small);
    turned.apply_orientation(orientation);
    encode(turned.into_rgba8())
}

fn recognise(bytes: &[u8]) -> Result<ImageFormat, Refused> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(ImageFormat::Png);
    }
    if bytes.starts_with(b"\xff\xd8\xff") {
        return Ok(ImageFormat::Jpeg);
    }
    let inner = bytes.get(8..12).unwrap_or_default();
    if bytes.starts_with(b"RIFF") && inner == b"WEBP" {
        return Ok(ImageFormat::WebP);
    }
    let known: [(&[u8], &str); 10] = [
        (b"GIF8", "a GIF"),
        (b"BM", "a BMP"),
        (b"II*\0", "a TIFF"),
        (b"MM\0*", "a TIFF"),
        (b"\0\0\x01\0", "an icon"),
        (b"%PDF", "a PDF"),
        (b"\x1f\x8b", "compressed, as SVGZ is"),
        (b"PK\x03\x04", "an archive"),
        (b"\xff\x0a", "a JPEG XL"),
        (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    ];
    if let Some((_, name)) = known.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(Refused::Other(name));
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return Err(Refused::Other("a HEIC, an AVIF or a film"));
    }
    let begin = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).to_ascii_lowercase();
    if begin.contains("<svg") || begin.contains("<!doctype svg") {
        return Err(Refused::Other("an SVG, which can hold programs"));
    }
    Err(Refused::Unknown)
}

fn decode(bytes: &[u8], format: ImageFormat) -> Result<(DynamicImage, Orientation), Refused> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_PIXELS);
    limits.max_image_height = Some(MOST_PIXELS);
    limits.max_alloc = Some(MOST_MEMORY);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let refused = |error: ImageError| match error {
        ImageError::Limits(_) => Refused::TooManyPixels,
        _ => Refused::Damaged,
    };
    let mut decoder = reader.into_decoder().map_err(refused)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(Refused::Damaged);
    }
    if decoder.total_bytes() > MOST_MEMORY {
        return Err(Refused::TooManyPixels);
    }
    // A wrong note of it is no reason to refuse a picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(refused)?;
    Ok((picture, orientation))
}

fn shrink(picture: DynamicImage) -> RgbaImage {
    let (width, height) = (picture.width(), picture.height());
    let picture = picture.into_rgba8();
    let larger = width.max(height);
    if larger <= KEPT_PIXELS {
        return picture;
    }
    // No product of two of them is more than 2^21.
    let scaled = |side: u32| (side * KEPT_PIXELS / larger).max(1);
    averaged(picture, scaled(width), scaled(height))
}

/// Averages colours by their opacity: the colour of what is not seen, often black, would darken edges otherwise.
fn averaged(mut picture: RgbaImage, width: u32, height: u32) -> RgbaImage {
    for pixel in picture.pixels_mut() {
        let [red, green, blue, alpha] = pixel.0.map(u32::from);
        if alpha < 255 {
            let times = |part: u32| ((part * alpha + 127) / 255) as u8;
            pixel.0 = [times(red), times(green), times(blue), alpha as u8];
        }
    }
    let mut small = imageops::thumbnail(&picture, width, height);
    for pixel in small.pixels_mut() {
        let [red, green, blue, alpha] = pixel.0.map(u32::from);
        if alpha < 255 && alpha > 0 {
            let divided = |part: u32| ((part * 255 + alpha / 2) / alpha).min(255) as u8;
            pixel.0 = [divided(red), divided(green), divided(blue), alpha as u8];
        }
    }
    small
}

fn encode(picture: RgbaImage) -> Result<Logo, Refused> {
    let (width, height) = picture.dimensions();
    let opaque = picture.pixels().all(|pixel| pixel.0[3] == 255);
    let (bytes, colour) = if opaque {
        let picture = DynamicImage::ImageRgba8(picture).into_rgb8();
        (picture.into_raw(), ExtendedColorType::Rgb8)
    } else {
        (picture.into_raw(), ExtendedColorType::Rgba8)
    };
    let mut png = Vec::new();
    PngEncoder::new_with_quality(&mut png, CompressionType::Default, FilterType::Adaptive)
        .write_image(&bytes, width, height, colour)
        .map_err(|_| Refused::Damaged)?;
    Ok(Logo { png, width, height })
}

#[cfg(test)]
mod tests;
