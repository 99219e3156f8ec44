//! Samples in few bytes: what is as before costs nearly nothing.
//!
//! A series is written out once in a segment and has a number from then on. Its values are told by what they were before:
//! the same, further by the same step, further by another step, or anew. Decimal numbers count as integers with a decimal
//! point (`12.34` is 1234 with two decimals), as long as that is exact, since steps of integers are short. All kinds of steps
//! come before all steps, so that zstd, which is applied to the whole, finds the long runs of equal ones.

use std::collections::HashMap;

use crate::clock::Moment;
use crate::labels::Labels;

/// The value that tells that a series has ended, as Prometheus writes it.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// The value of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The series.
    pub series: Labels,
    /// Its value.
    pub value: f64,
    /// When it was measured, in milliseconds since 1970, if that is not when its frame was.
    pub at_ms: Option<i64>,
}

/// What was measured at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// The moment.
    pub moment: Moment,
    /// The samples.
    pub samples: Vec<Sample>,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the samples cannot be understood")]
pub struct Unreadable;

/// What was before, for one series.
#[derive(Debug, Clone, Copy)]
struct Before {
    bits: u64,
    /// How many decimals the integer has; none if the value is no such number.
    decimals: Option<u8>,
    integer: i64,
    step: i64,
}

const NOTHING: Before = Before {
    bits: u64::MAX,
    decimals: None,
    integer: 0,
    step: 0,
};
const MOST_DECIMALS: u8 = 9;
/// Integers up to this are exact in a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

mod kind {
    pub const SAME: u8 = 0;
    pub const SAME_STEP: u8 = 1;
    pub const STEP: u8 = 2;
    pub const DECIMAL: u8 = 3;
    pub const RAW: u8 = 4;
    pub const STALE: u8 = 5;
}

/// Writes frames, each of which builds on those before it.
#[derive(Debug, Default)]
pub struct Encoder {
    numbers: HashMap<Labels, u32>,
    before: Vec<Before>,
}

/// Reads what one [`Encoder`] has written, from its first frame on.
#[derive(Debug, Default)]
pub struct Decoder {
    series: Vec<Labels>,
    before: Vec<Before>,
}

impl Encoder {
    /// How many series it knows.
    pub fn series(&self) -> usize {
        self.before.len()
    }

    /// Writes a frame. It must reach whoever decodes, or nothing that follows can be understood.
    pub fn encode(&mut self, frame: &Frame) -> Vec<u8> {
        let Moment {
            up_ms,
            at_ms,
            known,
        } = frame.moment;
        let mut bytes = vec![u8::from(known)];
        put(&mut bytes, zigzag(at_ms));
        put(&mut bytes, zigzag(up_ms));
        let mut numbered = self.numbered(frame, &mut bytes);
        numbered.sort_by_key(|(number, _)| *number);
        put(&mut bytes, numbered.len() as u64);
        put_runs(&mut bytes, &numbered);
        let (mut kinds, mut steps) = (Vec::with_capacity(numbered.len()), Vec::new());
        for (number, sample) in &numbered {
            let before = &mut self.before[*number as usize];
            kinds.push(before.put(sample.value, &mut steps));
        }
        bytes.extend(kinds);
        bytes.extend(steps);
        let own = numbered.iter().enumerate();
        let own: Vec<_> = own
            .filter_map(|(index, (_, sample))| Some((index, sample.at_ms?)))
            .collect();
        put(&mut bytes, own.len() as u64);
        for (index, at) in own {
            put(&mut bytes, index as u64);
            put(&mut bytes, zigzag(at - at_ms));
        }
        bytes
    }

    /// The samples with the numbers of their series; writes out those that are new.
    fn numbered<'f>(&mut self, frame: &'f Frame, bytes: &mut Vec<u8>) -> Vec<(u32, &'f Sample)> {
        let mut new = Vec::new();
        let mut numbered = Vec::with_capacity(frame.samples.len());
        for sample in &frame.samples {
            let number = match self.numbers.get(&sample.series) {
                Some(number) => *number,
                None => {
                    let number = self.before.len() as u32;
                    self.numbers.insert(sample.series.clone(), number);
                    self.before.push(NOTHING);
                    new.push(&sample.series);
                    number
                }
            };
            numbered.push((number, sample));
        }
        put(bytes, new.len() as u64);
        for series in new {
            put(bytes, series.as_bytes().len() as u64);
            bytes.extend_from_slice(series.as_bytes());
        }
        numbered
    }
}

impl Decoder {
    /// Reads the next frame.
    pub fn decode(&mut self, mut bytes: &[u8]) -> Result<Frame, Unreadable> {
        let from = &mut bytes;
        let moment = moment(from)?;
        for _ in 0..get(from)? {
            let length = get(from)? as usize;
            let series = Labels::from_bytes(take(from, length)?).ok_or(Unreadable)?;
            self.series.push(series);
            self.before.push(NOTHING);
        }
        let count = get(from)? as usize;
        if count > from.len() {
            return Err(Unreadable);
        }
        let numbers = get_runs(from, count)?;
        let kinds = take(from, count)?;
        let mut samples = Vec::with_capacity(count);
        for (number, kind) in numbers.into_iter().zip(kinds) {
            let series = self.series.get(number as usize).ok_or(Unreadable)?.clone();
            let value = self.before[number as usize].get(*kind, from)?;
            samples.push(Sample {
                series,
                value,
                at_ms: None,
            });
        }
        for _ in 0..get(from)? {
            let index = get(from)? as usize;
            let at = moment.at_ms.wrapping_add(unzigzag(get(from)?));
            samples.get_mut(index).ok_or(Unreadable)?.at_ms = Some(at);
        }
        match from.is_empty() {
            true => Ok(Frame { moment, samples }),
            false => Err(Unreadable),
        }
    }
}

/// The moment with which a frame begins.
pub fn moment(from: &mut &[u8]) -> Result<Moment, Unreadable> {
    let known = take(from, 1)?[0] == 1;
    Ok(Moment {
        known,
        at_ms: unzigzag(get(from)?),
        up_ms: unzigzag(get(from)?),
    })
}

impl Before {
    /// Writes what is different now, and says of which kind it is.
    fn put(&mut self, value: f64, steps: &mut Vec<u8>) -> u8 {
        let bits = value.to_bits();
        if bits == self.bits {
            self.step = 0;
            return kind::SAME;
        }
        self.bits = bits;
        if bits == STALE.to_bits() {
            return kind::STALE;
        }
        let Some((decimals, integer)) = decimal(value, self.decimals) else {
            self.decimals = None;
            steps.extend(bits.to_le_bytes());
            return kind::RAW;
        };
        let step = integer - self.integer;
        let (same_decimals, same_step) = (self.decimals == Some(decimals), step == self.step);
        self.decimals = Some(decimals);
        self.integer = integer;
        self.step = step;
        match (same_decimals, same_step) {
            (true, true) => kind::SAME_STEP,
            (true, false) => {
                put(steps, zigzag(step));
                kind::STEP
            }
            (false, _) => {
                self.step = 0;
                steps.push(decimals);
                put(steps, zigzag(integer));
                kind::DECIMAL
            }
        }
    }

    fn get(&mut self, of: u8, steps: &mut &[u8]) -> Result<f64, Unreadable> {
        match of {
            kind::SAME => self.step = 0,
            kind::STALE => self.bits = STALE.to_bits(),
            kind::RAW => {
                self.decimals = None;
                let bytes = take(steps, 8)?.try_into().map_err(|_| Unreadable)?;
                self.bits = u64::from_le_bytes(bytes);
            }
            kind::SAME_STEP | kind::STEP | kind::DECIMAL => {
                if of == kind::DECIMAL {
                    let decimals = take(steps, 1)?[0];
                    if decimals > MOST_DECIMALS {
                        return Err(Unreadable);
                    }
                    self.decimals = Some(decimals);
                    self.integer = unzigzag(get(steps)?);
                    self.step = 0;
                } else {
                    if of == kind::STEP {
                        self.step = unzigzag(get(steps)?);
                    }
                    self.integer = self.integer.wrapping_add(self.step);
                }
                let decimals = self.decimals.ok_or(Unreadable)?;
                self.bits = float(self.integer, decimals).to_bits();
            }
            _ => return Err(Unreadable),
        }
        Ok(f64::from_bits(self.bits))
    }
}

fn float(integer: i64, decimals: u8) -> f64 {
    integer as f64 / 10f64.powi(decimals.into())
}

/// The value as an integer with so many decimals, rather as many as before, if that is exact.
fn decimal(value: f64, before: Option<u8>) -> Option<(u8, i64)> {
    let all = before.into_iter().chain(0..=MOST_DECIMALS);
    for decimals in all {
        let integer = (value * 10f64.powi(decimals.into())).round();
        if integer.abs() >= EXACT || integer.is_nan() {
            continue;
        }
        if float(integer as i64, decimals).to_bits() == value.to_bits() {
            return Some((decimals, integer as i64));
        }
    }
    None
}

/// Numbers as runs of consecutive ones.
fn put_runs(bytes: &mut Vec<u8>, numbered: &[(u32, &Sample)]) {
    let mut next = 0;
    let mut index = 0;
    while index < numbered.len() {
        let first = numbered[index].0;
        let length = (index..numbered.len())
            .take_while(|at| u64::from(numbered[*at].0) == u64::from(first) + (*at - index) as u64)
            .count();
        // Sorted, a number may come again, but none comes before the end of the last run.
        put(bytes, zigzag(i64::from(first) - next));
        put(bytes, length as u64);
        next = i64::from(first) + length as i64;
        index += length;
    }
}

fn get_runs(from: &mut &[u8], count: usize) -> Result<Vec<u32>, Unreadable> {
    let mut numbers = Vec::new();
    let mut next = 0;
    while numbers.len() < count {
        let first = i64::wrapping_add(next, unzigzag(get(from)?));
        let length = get(from)?;
        if length == 0 || length > (count - numbers.len()) as u64 {
            return Err(Unreadable);
        }
        next = first.wrapping_add(length as i64);
        let run = u32::try_from(first).ok().zip(u32::try_from(next).ok());
        let (first, end) = run.ok_or(Unreadable)?;
        numbers.extend(first..end);
    }
    Ok(numbers)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn get(from: &mut &[u8]) -> Result<u64, Unreadable> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(from, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Unreadable)
}

fn take<'b>(from: &mut &'b [u8], length: usize) -> Result<&'b [u8], Unreadable> {
    let (taken, rest) = from.split_at_checked(length).ok_or(Unreadable)?;
    *from = rest;
    Ok(taken)
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
