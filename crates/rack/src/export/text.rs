//! How wide text is, and what of it fits.

/// Widths of Helvetica's glyphs for the characters from space to `~`, in thousandths of the size, from Adobe's font metrics
/// for the 14 standard fonts.
const HELVETICA: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667,
    611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667,
    667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500,
    222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];

/// How much wider than Helvetica the fonts are that pictures may be drawn with: DejaVu Sans is up to a sixth wider.
const WIDEST: f64 = 1.17;

/// The width of a text in Helvetica of this size. For characters that Helvetica lacks it is a guess on the safe side.
pub fn helvetica(text: &str, size: f64) -> f64 {
    let thousandths: u32 = text.chars().map(|c| u32::from(thousandths(c))).sum();
    f64::from(thousandths) * size / 1000.0
}

fn thousandths(c: char) -> u16 {
    let code = u32::from(c);
    match code {
        0x20..=0x7e => HELVETICA[(code - 0x20) as usize],
        // Marks that stand above the letter before them.
        0x300..=0x36f | 0x200b..=0x200f => 0,
        0xa0..=0x10ff => 667,
        _ => 1000,
    }
}

/// As much of a text as fits, with `…` at its end if that is not all; nothing if there is no room for anything that could be
/// understood.
pub fn fit(text: &str, size: f64, width: f64) -> String {
    let width = width / WIDEST;
    if helvetica(text, size) <= width {
        return text.into();
    }
    let room = width - helvetica("…", size);
    let mut used = 0.0;
    let mut kept = String::new();
    for c in text.chars() {
        used += f64::from(thousandths(c)) * size / 1000.0;
        if used > room {
            break;
        }
        kept.push(c);
    }
    let kept = kept.trim_end();
    if kept.chars().count() < 2 {
        return String::new();
    }
    format!("{kept}…")
}

/// A number without more decimals than it needs, at most one.
pub fn number(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    // What is no more than noise would be shown as -0.
    if rounded == 0.0 {
        "0".into()
    } else {
        rounded.to_string()
    }
}

/// The bytes of a text in Windows' code page 1252, which PDF calls WinAnsiEncoding; `?` for what it lacks.
pub fn win_ansi(text: &str) -> Vec<u8> {
    text.chars().map(win_ansi_byte).collect()
}

fn win_ansi_byte(c: char) -> u8 {
    /// The characters from 0x80; the spaces are codes that have none.
    const UPPER: &str = "€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ";
    match u32::from(c) {
        code @ (0x20..=0x7e | 0xa0..=0xff) => code as u8,
        _ => {
            let at = UPPER.chars().position(|known| known == c);
            at.map_or(b'?', |at| 0x80 + at as u8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_ends_with_an_ellipsis() {
        assert_eq!(fit("web1", 10.0, 100.0), "web1");
        let cut = fit("a name that is much too long", 10.0, 60.0);
        assert!(cut.ends_with('…') && cut.len() > 6, "{cut}");
        assert!(helvetica(&cut, 10.0) <= 60.0);
        assert_eq!(fit("a name", 10.0, 8.0), "", "one letter says nothing");
        assert_eq!(fit("", 10.0, 8.0), "");
        assert!(fit(&"日本".repeat(50), 10.0, 100.0).chars().count() <= 10);
    }

    #[test]
    fn numbers_have_the_decimals_that_they_need() {
        let shown = [0.0, -0.01, 400.0, 12.34, 0.05, 99_999.96].map(number);
        assert_eq!(shown, ["0", "0", "400", "12.3", "0.1", "100000"]);
    }

    #[test]
    fn text_has_the_codes_of_windows_or_question_marks() {
        assert_eq!(win_ansi("Ab ü€…Ÿ"), b"Ab \xfc\x80\x85\x9f");
        assert_eq!(win_ansi("日\u{7}\u{81}\u{a0}"), b"???\xa0");
        assert_eq!(win_ansi("‘’™ž"), b"\x91\x92\x99\x9e");
    }
}
