//! Stories of pictures as people have them, and of such that are meant to do harm.

use std::time::Instant;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ImageBuffer, Luma, Rgba};
use proptest::prelude::*;

use super::*;

/// A picture whose left upper quarter is red and whose rest is blue.
fn corner(width: u32, height: u32) -> RgbaImage {
    RgbaImage::from_fn(width, height, |x, y| {
        if x < width / 2 && y < height / 2 {
            Rgba([255, 0, 0, 255])
        } else {
            Rgba([0, 0, 255, 255])
        }
    })
}

fn png(picture: &DynamicImage) -> Vec<u8> {
    let mut out = Vec::new();
    picture
        .write_with_encoder(PngEncoder::new(&mut out))
        .unwrap();
    out
}

fn jpeg(picture: &RgbaImage) -> Vec<u8> {
    let mut out = Vec::new();
    let picture = DynamicImage::ImageRgba8(picture.clone()).into_rgb8();
    JpegEncoder::new_with_quality(&mut out, 95)
        .encode_image(&picture)
        .unwrap();
    out
}

fn webp(picture: &RgbaImage) -> Vec<u8> {
    let mut out = Vec::new();
    let (width, height) = picture.dimensions();
    let encoder = WebPEncoder::new_lossless(&mut out);
    encoder
        .encode(picture, width, height, ExtendedColorType::Rgba8)
        .unwrap();
    out
}

/// A chunk of a PNG.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        let step = |crc: u32, bit: u32| {
            if bit == 0 {
                crc >> 1
            } else {
                (crc >> 1) ^ 0xedb8_8320
            }
        };
        let byte =
            |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc, crc & 1));
        !bytes.iter().fold(u32::MAX, byte)
    };
    let body = [kind.as_slice(), data].concat();
    [
        &(data.len() as u32).to_be_bytes()[..],
        &body,
        &crc(&body).to_be_bytes(),
    ]
    .concat()
}

/// A PNG with chunks put behind its header.
fn with_chunks(png: &[u8], chunks: &[Vec<u8>]) -> Vec<u8> {
    let header = 8 + 25;
    [&png[..header], &chunks.concat(), &png[header..]].concat()
}

/// A PNG that says it has this size, and has nothing.
fn promise(width: u32, height: u32) -> Vec<u8> {
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let header = chunk(b"IHDR", &[&size[..], &[16, 6, 0, 0, 0]].concat());
    [
        &b"\x89PNG\r\n\x1a\n"[..],
        &header,
        &chunk(b"IDAT", b"\x78\x9c"),
        &chunk(b"IEND", b""),
    ]
    .concat()
}

/// A chunk of a WebP.
fn riff(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let padding: &[u8] = if data.len() % 2 == 1 { b"\0" } else { b"" };
    [
        kind.as_slice(),
        &(data.len() as u32).to_le_bytes(),
        data,
        padding,
    ]
    .concat()
}

/// A WebP that moves, of two pictures of this size.
fn moving_webp(pictures: [&RgbaImage; 2]) -> Vec<u8> {
    let three = |value: u32| value.to_le_bytes()[..3].to_vec();
    let (width, height) = pictures[0].dimensions();
    let size = [three(width - 1), three(height - 1)].concat();
    let frames = pictures.map(|picture| {
        // Behind RIFF, its size and WEBP is the one chunk of a picture that does not move.
        let data = webp(picture)[12..].to_vec();
        riff(
            b"ANMF",
            &[vec![0; 6], size.clone(), three(100), vec![0], data].concat(),
        )
    });
    let head = riff(b"VP8X", &[vec![0b10, 0, 0, 0], size].concat());
    let all = [
        b"WEBP".to_vec(),
        head,
        riff(b"ANIM", &[0; 6]),
        frames.concat(),
    ]
    .concat();
    riff(b"RIFF", &all)
}

fn pixels(logo: &Logo) -> RgbaImage {
    let picture = image::load_from_memory_with_format(&logo.png, ImageFormat::Png).unwrap();
    assert_eq!(
        (picture.width(), picture.height()),
        (logo.width, logo.height)
    );
    picture.into_rgba8()
}

/// Which of the four quarters is red: left upper, right upper, left lower, right lower.
fn red_quarter(logo: &Logo) -> Vec<usize> {
    let picture = pixels(logo);
    let (width, height) = picture.dimensions();
    let quarters = [(1, 1), (3, 1), (1, 3), (3, 3)];
    let red = |&(x, y): &(u32, u32)| {
        let [red, _, blue, _] = picture.get_pixel(x * width / 4, y * height / 4).0;
        red > 200 && blue < 60
    };
    (0..4).filter(|&at| red(&quarters[at])).collect()
}

#[test]
fn the_three_formats_become_small_pngs() {
    let picture = corner(1000, 400);
    for bytes in [
        png(&DynamicImage::ImageRgba8(picture.clone())),
        jpeg(&picture),
        webp(&picture),
    ] {
        let logo = read(&bytes).unwrap();
        assert_eq!((logo.width, logo.height), (512, 204));
        assert_eq!(red_quarter(&logo), [0]);
    }
    let logo = read(&webp(&corner(20, 10))).unwrap();
    assert_eq!(
        (logo.width, logo.height),
        (20, 10),
        "what is small is not made larger"
    );
    let logo = read(&png(&DynamicImage::ImageRgba8(corner(4096, 2)))).unwrap();
    assert_eq!((logo.width, logo.height), (512, 1));
}

#[test]
fn pictures_of_16_bits_and_of_grey_are_taken() {
    let deep: ImageBuffer<Rgba<u16>, _> = ImageBuffer::from_fn(600, 600, |x, _| {
        Rgba([65535, 0, 0, if x < 300 { 65535 } else { 0 }])
    });
    let logo = read(&png(&DynamicImage::ImageRgba16(deep))).unwrap();
    let picture = pixels(&logo);
    assert_eq!(picture.get_pixel(10, 10).0, [255, 0, 0, 255]);
    assert_eq!(
        picture.get_pixel(500, 10).0[3],
        0,
        "what is transparent stays so"
    );
    let grey: ImageBuffer<Luma<u8>, _> = ImageBuffer::from_pixel(8, 8, Luma([77]));
    let logo = read(&png(&DynamicImage::ImageLuma8(grey))).unwrap();
    assert_eq!(pixels(&logo).get_pixel(1, 1).0, [77, 77, 77, 255]);
}

#[test]
fn the_colour_of_what_is_not_seen_does_not_darken_edges() {
    let striped = RgbaImage::from_fn(1024, 1024, |x, _| match x % 2 {
        0 => Rgba([255, 255, 255, 255]),
        _ => Rgba([0, 0, 0, 0]),
    });
    let logo = read(&png(&DynamicImage::ImageRgba8(striped))).unwrap();
    let [red, _, _, alpha] = pixels(&logo).get_pixel(100, 100).0;
    assert!(red > 250 && (100..150).contains(&alpha), "{red} {alpha}");
}

#[test]
fn a_photograph_stands_as_the_camera_was_held() {
    let plain = jpeg(&corner(64, 32));
    for (orientation, quarter, size) in [
        (1u8, 0, (64, 32)),
        (2, 1, (64, 32)),
        (3, 3, (64, 32)),
        (4, 2, (64, 32)),
        (5, 0, (32, 64)),
        (6, 1, (32, 64)),
        (7, 3, (32, 64)),
        (8, 2, (32, 64)),
    ] {
        let note = [
            &b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..],
            &[orientation],
            b"\0\0\0\0\0\0",
        ]
        .concat();
        let length = (note.len() as u16 + 2).to_be_bytes();
        let turned = [&plain[..2], b"\xff\xe1", &length, &note, &plain[2..]].concat();
        let logo = read(&turned).unwrap();
        assert_eq!(
            (red_quarter(&logo), (logo.width, logo.height)),
            (vec![quarter], size),
            "{orientation}"
        );
    }
}

#[test]
fn of_pictures_that_move_the_first_is_taken() {
    let (first, second) = (
        corner(16, 16),
        RgbaImage::from_pixel(16, 16, Rgba([0, 255, 0, 255])),
    );
    assert_eq!(
        red_quarter(&read(&moving_webp([&first, &second])).unwrap()),
        [0]
    );
    let control = chunk(b"acTL", &[0, 0, 0, 1, 0, 0, 0, 0]);
    let frame = [
        &[0; 4][..],
        &[0, 0, 0, 16, 0, 0, 0, 16],
        &[0; 8],
        &[0, 1, 0, 1, 0, 0],
    ]
    .concat();
    let moving = with_chunks(
        &png(&DynamicImage::ImageRgba8(first)),
        &[control, chunk(b"fcTL", &frame)],
    );
    assert_eq!(red_quarter(&read(&moving).unwrap()), [0]);
}

#[test]
fn nothing_but_pixels_is_kept() {
    let secret = b"<script>alert(1)</script>";
    let picture = corner(16, 16);
    let plain = png(&DynamicImage::ImageRgba8(picture.clone()));
    let text = chunk(b"tEXt", &[b"Comment\0", &secret[..]].concat());
    let noted = with_chunks(&plain, &[text]);
    let followed = [&plain[..], secret, b"PK\x03\x04"].concat();
    let photograph = jpeg(&picture);
    let length = (secret.len() as u16 + 2).to_be_bytes();
    let commented = [
        &photograph[..2],
        b"\xff\xfe",
        &length,
        secret,
        &photograph[2..],
        secret,
    ]
    .concat();
    for bytes in [noted, followed, commented] {
        let logo = read(&bytes).unwrap();
        assert!(bytes.windows(8).any(|window| window == b"<script>"));
        assert!(!logo.png.windows(8).any(|window| window == b"<script>"));
        assert_eq!(red_quarter(&logo), [0]);
    }
}

#[test]
fn what_is_no_logo_is_refused_by_name() {
    for (bytes, told) in [
        (&b"GIF89a\x01\0\x01\0"[..], "a GIF"),
        (b"GIF89a/*<svg onload=alert(1)>*/", "a GIF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG"),
        (
            b"\xef\xbb\xbf \n<?xml version='1.0'?><!-- x --><SVG/>",
            "an SVG",
        ),
        (b"<!DOCTYPE svg PUBLIC \"\" [<!ENTITY a \"b\">]>", "an SVG"),
        (b"\x1f\x8b\x08\0", "SVGZ"),
        (b"BM\0\0\0\0", "a BMP"),
        (b"MM\0*\0\0\0\x08", "a TIFF"),
        (b"%PDF-1.7", "a PDF"),
        (b"PK\x03\x04", "an archive"),
        (b"\0\0\0\x1cftypavif", "an AVIF"),
        (b"RIFF\0\0\0\0WAVE", "no picture"),
        (b"<html>", "no picture"),
        (b"  \x89PNG\r\n\x1a\n", "no picture"),
        (b"", "no picture"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"\xff\xd8\xff", "damaged"),
        (b"RIFF\0\0\0\0WEBP", "damaged"),
        (b"\xff\xd8\xff<svg onload=alert(1)>", "damaged"),
    ] {
        let refusal = read(bytes).unwrap_err().to_string();
        assert!(
            refusal.contains(told),
            "{:?}: {refusal}",
            bytes.escape_ascii().to_string()
        );
    }
}

#[test]
fn bombs_are_refused_before_they_are_decoded() {
    let begun = Instant::now();
    for (width, height) in [
        (1_000_000, 1_000_000),
        (4097, 1),
        (1, 4097),
        (u32::MAX >> 1, 1),
        (4096, 4096),
    ] {
        // The last one is of the largest size, and its 16 bits make it twice too large.
        assert_eq!(
            read(&promise(width, height)),
            Err(Refused::TooManyPixels),
            "{width} × {height}"
        );
    }
    assert_eq!(read(&promise(0, 5)), Err(Refused::Damaged));
    // Sizes are the two numbers behind `SOF0` and the number of bits.
    let mut photograph = jpeg(&corner(16, 16));
    let at = photograph
        .windows(2)
        .position(|window| window == b"\xff\xc0")
        .unwrap();
    photograph[at + 5..at + 9].copy_from_slice(&[0xff; 4]);
    assert_eq!(read(&photograph), Err(Refused::TooManyPixels));
    let mut moving = moving_webp([&corner(16, 16), &corner(16, 16)]);
    moving[24..30].copy_from_slice(&[0xff, 0xff, 0, 0xff, 0xff, 0]);
    assert!(read(&moving).is_err());
    assert_eq!(read(&vec![0; MOST_BYTES + 1]), Err(Refused::TooManyBytes));
    assert!(begun.elapsed().as_secs() < 5, "nothing was decoded");
}

#[test]
fn what_is_cut_off_is_refused() {
    let picture = corner(40, 40);
    let plain = png(&DynamicImage::ImageRgba8(picture.clone()));
    let whole = webp(&picture);
    for length in [plain.len() / 3, plain.len() / 2, plain.len() - 20] {
        assert_eq!(read(&plain[..length]), Err(Refused::Damaged), "{length}");
    }
    for length in [whole.len() / 3, whole.len() - 4] {
        assert_eq!(read(&whole[..length]), Err(Refused::Damaged), "{length}");
    }
    // Viewers show what there is of a photograph, and so does the decoder, if there is enough of it.
    let photograph = jpeg(&picture);
    for length in 3..photograph.len() {
        let _ = read(&photograph[..length]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn whatever_is_damaged_ends_no_program(
        which in 0..4usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let picture = corner(24, 24);
        let mut bytes = match which {
            0 => png(&DynamicImage::ImageRgba8(picture)),
            1 => jpeg(&picture),
            2 => webp(&picture),
            _ => moving_webp([&picture, &picture]),
        };
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(logo) = read(&bytes) {
            prop_assert!(logo.width <= KEPT_PIXELS && logo.height <= KEPT_PIXELS);
        }
    }
}
