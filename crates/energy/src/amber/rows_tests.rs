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
