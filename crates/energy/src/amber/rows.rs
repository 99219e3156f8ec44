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
mod tests {
    use serde_json::json;

    use super::*;

    fn row() -> Value {
        json!({
            "type": "CurrentInterval", "duration": 5, "spotPerKwh": 6.12, "perKwh": 24.33, "date": "2021-05-05",
            "nemTime": "2021-05-06T12:30:00+10:00", "startTime": "2021-05-06T02:25:01Z", "endTime": "2021-05-06T02:30:00Z",
            "renewables": 45, "channelType": "general", "spikeStatus": "none", "descriptor": "negative", "estimate": true,
            "advancedPrice": { "low": 1, "predicted": 3, "high": 10 }, "tariffInformation": null,
        })
    }

    #[test]
    fn a_price_is_read_as_it_is_documented() {
        let price = price(&row()).unwrap();
        assert_eq!((price.start, price.minutes), (1_620_267_900, 5));
        assert_eq!((price.per_kwh, price.predicted), (24.33, Some(3.0)));
        assert_eq!(price.level, Some(Level::ExtremelyLow));
        assert!(price.kind == Kind::Current && price.estimate);
    }

    #[test]
    fn what_a_house_can_be_lived_in_without_may_be_missing_or_new() {
        let mut row = row();
        for name in ["spotPerKwh", "renewables", "advancedPrice", "spikeStatus"] {
            row.as_object_mut().unwrap().remove(name);
        }
        row["descriptor"] = "ludicrous".into();
        row["perKwh"] = "24.33".into();
        row["newField"] = json!({ "deep": [1, 2] });
        let price = price(&row).unwrap();
        assert_eq!((price.level, price.renewables), (None, None));
        assert_eq!(price.per_kwh, 24.33);
    }

    #[test]
    fn a_row_that_makes_no_sense_says_why() {
        for (name, value, problem) in [
            (
                "type",
                json!("DreamInterval"),
                "type: `DreamInterval` is not a known type",
            ),
            ("perKwh", Value::Null, "perKwh: is not a number"),
            ("perKwh", json!(1e9), "perKwh: 1000000000 is out of range"),
            ("perKwh", json!("NaN"), "perKwh: NaN is out of range"),
            (
                "duration",
                json!(0),
                "duration: 0 minutes is not a valid interval",
            ),
            (
                "endTime",
                json!("yesterday"),
                "endTime: `yesterday` is not a time",
            ),
            (
                "startTime",
                json!("2021-05-06T02:20:00Z"),
                "startTime: does not fit",
            ),
            (
                "channelType",
                json!("gas"),
                "channelType: `gas` is not known",
            ),
        ] {
            let mut row = row();
            row[name] = value;
            let said = price(&row).unwrap_err();
            assert!(said.starts_with(problem), "{said}");
        }
        assert_eq!(price(&json!(7)).unwrap_err(), "type: is missing");
    }

    #[test]
    fn what_is_fed_in_has_no_sign_and_earns() {
        let mut row = row();
        for (name, value) in [
            ("type", json!("Usage")),
            ("channelType", json!("feedIn")),
            ("channelIdentifier", json!("B1")),
            ("kwh", json!(-0.5)),
            ("cost", json!(-3.1)),
            ("quality", json!("estimated")),
        ] {
            row[name] = value;
        }
        let usage = usage(&row).unwrap();
        assert_eq!((usage.kwh, usage.cost, usage.estimated), (0.5, -3.1, true));
    }

    #[test]
    fn good_rows_of_a_bad_list_are_kept() {
        let mut bad = row();
        bad["perKwh"] = Value::Null;
        let list = json!([row(), bad, row(), "what?"]).to_string();
        let all = rows(list.as_bytes(), price).unwrap();
        assert_eq!((all.good.len(), all.bad), (2, 2));
        assert_eq!(all.problem.unwrap(), "perKwh: is not a number");

        let cut = &list.as_bytes()[..list.find("what?").unwrap()];
        let all = rows(cut, price).unwrap();
        assert_eq!((all.good.len(), all.bad), (2, 2));
        assert!(all.problem.unwrap().starts_with("cut off after 3 rows"));

        for body in ["", "<html>", r#"{"message":"Forbidden"}"#, "[", "null"] {
            assert!(rows(body.as_bytes(), price).is_err(), "{body}");
        }
        assert_eq!(rows(b"[]", price).unwrap().good, []);
    }
}
