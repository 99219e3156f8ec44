//! Parses Amber's JSON row by row: invalid rows are skipped and counted, the others are kept.

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::Value;

use super::{Kind, Level, Price, Site, SpikeStatus, Usage};

/// Higher than any real price, in cents per kWh: the market's own limit is near 2000.
const ABSURD_CENTS: f64 = 100_000.0;
/// More than any house uses, in kWh per interval.
const ABSURD_KWH: f64 = 10_000.0;

/// The result of parsing a list.
#[derive(Debug, PartialEq)]
pub struct Rows<T> {
    /// The valid rows.
    pub good: Vec<T>,
    /// The number of invalid rows.
    pub bad: usize,
    /// The problem of the first invalid row, or where the list was truncated.
    pub problem: Option<String>,
}

/// Parses a list, which may be truncated anywhere. Fails if it is not a list at all.
pub fn rows<T>(body: &[u8], read: impl Fn(&Value) -> Result<T, String>) -> Result<Rows<T>, String> {
    let mut values = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    let end = Collect(&mut values)
        .deserialize(&mut json)
        .and_then(|()| json.end());
    let mut all = Rows {
        good: Vec::with_capacity(values.len()),
        bad: 0,
        problem: None,
    };
    if let Err(error) = end {
        if values.is_empty() {
            return Err(error.to_string());
        }
        // At least the row that was truncated.
        all.bad += 1;
        all.problem = Some(format!("cut off after {} rows: {error}", values.len()));
    }
    for value in values {
        match read(&value) {
            Ok(row) => all.good.push(row),
            Err(problem) => {
                all.bad += 1;
                all.problem.get_or_insert(problem);
            }
        }
    }
    Ok(all)
}

/// Collects the rows of a list into a vector that survives an error at the end of the list.
struct Collect<'v>(&'v mut Vec<Value>);

impl<'de> DeserializeSeed<'de> for Collect<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Collect<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element()? {
            self.0.push(value);
        }
        Ok(())
    }
}

/// A row of `/sites/…/prices`.
pub fn price(row: &Value) -> Result<Price, String> {
    let kind = match text(row, "type")? {
        "ActualInterval" => Kind::Actual,
        "CurrentInterval" => Kind::Current,
        "ForecastInterval" => Kind::Forecast,
        other => return Err(format!("type: `{other}` is not a known type")),
    };
    let (start, minutes) = interval(row)?;
    Ok(Price {
        channel: known(row, "channelType")?,
        start,
        minutes,
        kind,
        per_kwh: number(row, "perKwh", ABSURD_CENTS)?,
        // These values are optional.
        spot_per_kwh: number(row, "spotPerKwh", ABSURD_CENTS).ok(),
        predicted: number(&row["advancedPrice"], "predicted", ABSURD_CENTS).ok(),
        renewables: number(row, "renewables", 1000.0).ok(),
        level: known::<Level>(row, "descriptor").ok(),
        spike: known::<SpikeStatus>(row, "spikeStatus").unwrap_or_default(),
        estimate: row["estimate"] == true,
    })
}

/// A row of `/sites/…/usage`.
pub fn usage(row: &Value) -> Result<Usage, String> {
    let (start, minutes) = interval(row)?;
    Ok(Usage {
        channel: known(row, "channelType")?,
        identifier: text(row, "channelIdentifier")?.to_owned(),
        start,
        minutes,
        // The documentation says negative for feed-in, but Amber sends positive values.
        kwh: number(row, "kwh", ABSURD_KWH)?.abs(),
        cost: number(row, "cost", ABSURD_CENTS * ABSURD_KWH)?,
        estimated: text(row, "quality").is_ok_and(|quality| quality == "estimated"),
    })
}

/// A row of `/sites`.
pub fn site(row: &Value) -> Result<Site, String> {
    let minutes = number(row, "intervalLength", 60.0).unwrap_or(30.0) as u16;
    Ok(Site {
        id: text(row, "id")?.to_owned(),
        network: text(row, "network").unwrap_or_default().to_owned(),
        status: text(row, "status").unwrap_or_default().to_owned(),
        interval_minutes: if minutes == 5 { 5 } else { 30 },
    })
}

/// The start in seconds since 1970, and the minutes. Of the two times, `endTime` is the exact one.
fn interval(row: &Value) -> Result<(i64, u16), String> {
    let minutes = number(row, "duration", 60.0)?;
    if minutes < 1.0 || minutes.fract() != 0.0 {
        return Err(format!(
            "duration: {minutes} minutes is not a valid interval"
        ));
    }
    let minutes = minutes as u16;
    let start = time(row, "endTime")? - i64::from(minutes) * 60;
    if start % 60 != 0 {
        return Err("endTime: is not on a full minute".into());
    }
    if (time(row, "startTime")? - start).abs() > 59 {
        return Err("startTime: does not fit endTime and duration".into());
    }
    Ok((start, minutes))
}

fn text<'v>(row: &'v Value, name: &str) -> Result<&'v str, String> {
    row[name]
        .as_str()
        .filter(|text| !text.is_empty())
        .ok_or_else(|| format!("{name}: is missing"))
}

/// Parses one of the words of an enum.
fn known<T: DeserializeOwned>(row: &Value, name: &str) -> Result<T, String> {
    let word = text(row, name)?;
    serde_json::from_value(word.into()).map_err(|_| format!("{name}: `{word}` is not known"))
}

fn number(row: &Value, name: &str, most: f64) -> Result<f64, String> {
    let value = &row[name];
    let number = value
        .as_f64()
        .or_else(|| value.as_str()?.trim().parse().ok());
    match number {
        Some(number) if number.abs() <= most => Ok(number),
        Some(number) => Err(format!("{name}: {number} is out of range")),
        None => Err(format!("{name}: is not a number")),
    }
}

/// Parses a time into seconds since 1970.
fn time(row: &Value, name: &str) -> Result<i64, String> {
    let text = text(row, name)?;
    text.parse::<jiff::Timestamp>()
        .map(|time| time.as_second())
        .map_err(|_| format!("{name}: `{text}` is not a time"))
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
