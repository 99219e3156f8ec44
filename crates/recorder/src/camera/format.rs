//! What a camera offers, and what is taken of it.
//!
//! H.264 and MJPEG of the camera are copied, which costs next to nothing; other formats have to be encoded, which a
//! Raspberry Pi does in software: its hardware has no encoder that this kernel knows.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::CameraSettings;

/// The size of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (width, height) = text.split_once('x')?;
            let (width, height) = (width.parse().ok()?, height.parse().ok()?);
            (width > 0 && height > 0).then_some(Size { width, height })
        };
        parse().ok_or_else(|| format!("`{text}` is not a size such as 1920x1080"))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Which format of the camera is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// H.264 if there is some, else MJPEG, else uncompressed pictures.
    Auto,
    /// Only H.264.
    H264,
    /// Only MJPEG.
    Mjpeg,
    /// Only uncompressed pictures.
    Raw,
}

/// The kinds of formats, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// H.264.
    H264,
    /// One JPEG per frame.
    Mjpeg,
    /// Uncompressed.
    Raw,
}

/// A format that a camera offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// ffmpeg's name of it.
    pub name: String,
    /// Its kind; none for one that nothing here can read.
    pub kind: Option<Kind>,
    /// The sizes in which it is offered; empty for any.
    pub sizes: Vec<Size>,
}

/// What is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// ffmpeg's name of the camera's format; none if the source has no choice.
    pub input: Option<String>,
    /// The size of the pictures, if it is chosen.
    pub size: Option<Size>,
    /// Frames per second, if they are chosen.
    pub fps: Option<u32>,
    /// Whether it is copied; else it is encoded as H.264.
    pub copy: bool,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.input.as_deref().unwrap_or("as it comes"))?;
        if let Some(size) = self.size {
            write!(f, " {size}")?;
        }
        if let Some(fps) = self.fps {
            write!(f, ", {fps}/s")?;
        }
        f.write_str(match self.copy {
            true => ", copied",
            false => ", encoded as h264",
        })
    }
}

/// Reads the output of `ffmpeg -f v4l2 -list_formats all`.
pub fn offers(said: &str) -> Vec<Offer> {
    said.lines().filter_map(offer).collect()
}

/// `[video4linux2,v4l2 @ 0x55] Compressed:       mjpeg :          Motion-JPEG : 1280x720 640x480`
fn offer(line: &str) -> Option<Offer> {
    let (_, said) = line.split_once("] ")?;
    let mut fields = said.splitn(4, ':').map(str::trim);
    let (class, name, _description) = (fields.next()?, fields.next()?, fields.next()?);
    let kind = match (class, name) {
        ("Compressed" | "Raw", "Unsupported") => None,
        ("Compressed", "h264") => Some(Kind::H264),
        ("Compressed", "mjpeg") => Some(Kind::Mjpeg),
        ("Compressed", _) => None,
        ("Raw", _) => Some(Kind::Raw),
        _ => return None,
    };
    let sizes = fields.next().unwrap_or_default().split(' ');
    Some(Offer {
        name: name.into(),
        kind,
        sizes: sizes.filter_map(|size| size.parse().ok()).collect(),
    })
}

/// Chooses among a camera's offers.
pub fn choose(offers: &[Offer], settings: &CameraSettings) -> Result<Choice, String> {
    let fits = |offer: &&Offer| match (settings.format, offer.kind) {
        (_, None) => false,
        (Wanted::Auto, _) => true,
        (Wanted::H264, kind) => kind == Some(Kind::H264),
        (Wanted::Mjpeg, kind) => kind == Some(Kind::Mjpeg),
        (Wanted::Raw, kind) => kind == Some(Kind::Raw),
    };
    // The better kind first; of several raw ones, the one that comes closest to the wanted size.
    let taken = offers.iter().filter(fits).min_by_key(|offer| {
        let size = nearest(&offer.sizes, settings.size);
        (offer.kind, size.pixels().abs_diff(settings.size.pixels()))
    });
    let Some(offer) = taken else {
        let offered: Vec<String> = offers
            .iter()
            .map(|offer| match offer.kind {
                Some(_) => offer.name.clone(),
                None => format!("{} (which cannot be read)", offer.name),
            })
            .collect();
        let wanted = match settings.format {
            Wanted::Auto => "h264, mjpeg or an uncompressed format",
            Wanted::H264 => "h264",
            Wanted::Mjpeg => "mjpeg",
            Wanted::Raw => "an uncompressed format",
        };
        return Err(match offered.is_empty() {
            true => "it offers no format at all".into(),
            false => format!("it offers {}, but not {wanted}", offered.join(", ")),
        });
    };
    Ok(Choice {
        input: Some(offer.name.clone()),
        size: Some(nearest(&offer.sizes, settings.size)),
        fps: Some(settings.fps),
        copy: offer.kind != Some(Kind::Raw) && !settings.encodes(),
    })
}

/// The largest size that is not larger than the wanted one, else the smallest.
fn nearest(sizes: &[Size], wanted: Size) -> Size {
    let fits = |size: &&Size| size.width <= wanted.width && size.height <= wanted.height;
    let largest = sizes.iter().filter(fits).max_by_key(|size| size.pixels());
    let smallest = || sizes.iter().min_by_key(|size| size.pixels());
    largest.or_else(smallest).copied().unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEBCAM: &str = "\
[video4linux2,v4l2 @ 0x5581] Raw       :     yuyv422 :           YUYV 4:2:2 : 640x480 1280x720 1920x1080
[video4linux2,v4l2 @ 0x5581] Compressed:       mjpeg :          Motion-JPEG : 640x480 1280x720 1920x1080
[video4linux2,v4l2 @ 0x5581] Compressed:        h264 :                H.264 : 640x480 1280x720
/dev/video0: Immediate exit requested";

    const STRANGE: &str = "\
[video4linux2,v4l2 @ 0x5581] Raw       : Unsupported :  10-bit Bayer BGBG : 640x480
[video4linux2,v4l2 @ 0x5581] Compressed: Unsupported :              Pwc2  : 640x480";

    const STEPWISE: &str = "\
[video4linux2,v4l2 @ 0x5581] Raw       :       nv12 :  Y/UV 4:2:0 : {48-4096, 2}x{32-2160, 2}";

    fn taken(said: &str, change: impl FnOnce(&mut CameraSettings)) -> Result<String, String> {
        let mut settings = CameraSettings::default();
        change(&mut settings);
        choose(&offers(said), &settings).map(|choice| choice.to_string())
    }

    #[test]
    fn the_cheapest_format_is_taken_in_the_size_that_is_wanted_at_most() {
        assert_eq!(
            taken(WEBCAM, |_| ()).unwrap(),
            "h264 1280x720, 30/s, copied"
        );
        let mjpeg = |settings: &mut CameraSettings| settings.format = Wanted::Mjpeg;
        assert_eq!(
            taken(WEBCAM, mjpeg).unwrap(),
            "mjpeg 1920x1080, 30/s, copied"
        );
        let raw = |settings: &mut CameraSettings| {
            settings.format = Wanted::Raw;
            settings.size = "800x600".parse().unwrap();
            settings.fps = 10;
        };
        assert_eq!(
            taken(WEBCAM, raw).unwrap(),
            "yuyv422 640x480, 10/s, encoded as h264"
        );
        let always = |settings: &mut CameraSettings| settings.encode.always = true;
        assert_eq!(
            taken(WEBCAM, always).unwrap(),
            "h264 1280x720, 30/s, encoded as h264"
        );
        let small = |settings: &mut CameraSettings| settings.size = "320x240".parse().unwrap();
        assert_eq!(taken(WEBCAM, small).unwrap(), "h264 640x480, 30/s, copied");
        assert_eq!(
            taken(STEPWISE, |_| ()).unwrap(),
            "nv12 1920x1080, 30/s, encoded as h264"
        );
    }

    #[test]
    fn a_camera_without_a_format_that_can_be_taken_is_refused_by_what_it_offers() {
        assert_eq!(
            taken(STRANGE, |_| ()).unwrap_err(),
            "it offers Unsupported (which cannot be read), Unsupported (which cannot be read), but not h264, mjpeg or an uncompressed format"
        );
        let h264 = |settings: &mut CameraSettings| settings.format = Wanted::H264;
        let refused = taken(STEPWISE, h264).unwrap_err();
        assert_eq!(refused, "it offers nv12, but not h264");
        let refused = taken("/dev/video0: Inappropriate ioctl for device", |_| ());
        assert_eq!(refused.unwrap_err(), "it offers no format at all");
    }
}
