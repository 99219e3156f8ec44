//! Numbers in text.

/// A number in JSON, or in a string as exchanges write it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Whole(i64),
    /// Any other number.
    Real(f64),
}

/// The digits at the beginning of a text, perhaps with a decimal point: nearly all numbers consist of nothing else.
#[derive(Debug, Clone, Copy)]
pub struct Digits {
    /// All digits as one number.
    all: u64,
    /// The number of digits before the point.
    before: usize,
    /// The number of digits after the point.
    behind: usize,
    /// Whether there is a point.
    point: bool,
}

impl Digits {
    /// Reads the digits at the beginning of `text`.
    #[inline(always)]
    pub fn of(text: &[u8]) -> Self {
        let (all, before) = digits(text, 0);
        let point = text.get(before) == Some(&b'.');
        let (all, behind) = match point {
            true => digits(&text[before + 1..], all),
            false => (all, 0),
        };
        Digits {
            all,
            before,
            behind,
            point,
        }
    }

    /// Their length in bytes, including the point.
    #[inline(always)]
    pub fn length(self) -> usize {
        self.before + self.behind + usize::from(self.point)
    }

    /// Whether this beginning of `text` is valid in JSON, where 007 and 7. are not numbers.
    #[inline(always)]
    pub fn are_json(self, text: &[u8]) -> bool {
        (self.before == 1 || text.first() != Some(&b'0')) && (!self.point || self.behind > 0)
    }

    /// The number, if it is short. A number of up to fifteen digits is exact as a float, and so is the power of ten, so
    /// their division gives the float nearest to the text.
    #[inline(always)]
    pub fn number(self) -> Option<Number> {
        const POWERS: [f64; 16] = [
            1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
        ];
        if self.before == 0 || self.before + self.behind > 15 {
            return None;
        }
        Some(match self.point {
            true => Number::Real(self.all as f64 / POWERS[self.behind]),
            false => Number::Whole(self.all as i64),
        })
    }
}

impl Number {
    /// The value as a price or size.
    #[inline]
    pub fn real(self) -> f64 {
        match self {
            Number::Whole(number) => number as f64,
            Number::Real(number) => number,
        }
    }

    /// The value as a sequence number.
    #[inline]
    pub fn whole(self) -> Option<i64> {
        match self {
            Number::Whole(number) => Some(number),
            Number::Real(_) => None,
        }
    }

    /// A number in a string.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = Digits::of(text.as_bytes());
        if digits.length() == text.len()
            && let Some(number) = digits.number()
        {
            return Some(number);
        }
        match text.parse() {
            Ok(number) => Some(Number::Whole(number)),
            Err(_) => Number::real_of(text),
        }
    }

    /// A number in a string that is not a whole number.
    pub fn real_of(text: &str) -> Option<Self> {
        let number: f64 = text.parse().ok()?;
        number.is_finite().then_some(Number::Real(number))
    }
}

/// The digits at the beginning of `text`, appended to those of `number`; and how many they are. From the twentieth
/// digit on the number is wrong.
///
/// Eight digits are read at once and combined in pairs, fours and eights ("Faster 8-digit string parsing", D. Lemire);
/// the first digit is in the lowest byte.
#[inline(always)]
fn digits(text: &[u8], mut number: u64) -> (u64, usize) {
    const POWERS: [u64; 9] = [
        1,
        10,
        100,
        1000,
        10_000,
        100_000,
        1_000_000,
        10_000_000,
        100_000_000,
    ];
    const fn bytes(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let mut at = 0;
    while let Some((eight, _)) = text[at..].split_first_chunk() {
        let word = u64::from_le_bytes(*eight) ^ bytes(b'0');
        // Adding 118 sets the highest bit of every byte that is ten or more; other such bits were set before.
        let other = ((word & bytes(127)).wrapping_add(bytes(118)) | word) & bytes(128);
        let count = other.trailing_zeros() as usize / 8;
        if count == 0 {
            return (number, at);
        }
        // Shift in zeros for the bytes that are not digits.
        let word = word << (64 - 8 * count);
        let pairs = word.wrapping_mul(10).wrapping_add(word >> 8);
        let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
        let high = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
        let value = low.wrapping_add(high) >> 32;
        number = number.wrapping_mul(POWERS[count]).wrapping_add(value);
        at += count;
        if count < 8 {
            return (number, at);
        }
    }
    for byte in &text[at..] {
        if !byte.is_ascii_digit() {
            break;
        }
        number = number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        at += 1;
    }
    (number, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_a_string_is_what_the_standard_library_says() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200_000 {
            let length = random.usize(..24);
            let text: String = (0..length)
                .map(|_| char::from(b"00123456789.."[random.usize(..13)]))
                .collect();
            let real = text.parse().ok();
            assert_eq!(Number::parse(&text).map(Number::real), real, "{text}");
            let whole = text.parse().ok();
            assert_eq!(
                Number::parse(&text).and_then(Number::whole),
                whole,
                "{text}"
            );
        }
    }

    #[test]
    fn digits_end_where_something_else_begins() {
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..200_000 {
            let value = random.u64(..) >> random.u32(4..64);
            let mut text = value.to_string().into_bytes();
            let count = text.len();
            let behind = random.usize(..12);
            text.extend((0..behind).map(|_| random.u8(..)));
            let end = text.iter().position(|byte| !byte.is_ascii_digit());
            let end = end.unwrap_or(text.len());
            let (number, found) = digits(&text, 0);
            assert_eq!(found, end, "{text:?}");
            assert!(end > count || number == value, "{text:?}");
        }
    }
}
