//! The reader accepts and refuses the same texts as serde_json.

use serde_json::{Map, Value, json};

use super::*;

/// Reads the text with our reader into serde_json's `Value`.
fn value(reader: &mut Reader) -> Value {
    match reader.peek() {
        b'{' => {
            let mut members = Map::new();
            reader.object(|reader, name| {
                members.insert(name.to_owned(), value(reader));
            });
            Value::Object(members)
        }
        b'[' => {
            let mut items = Vec::new();
            reader.list(|reader| items.push(value(reader)));
            Value::Array(items)
        }
        b'"' => json!(reader.text().map(Text::meaning)),
        b't' | b'f' => json!(reader.truth()),
        b'n' => json!(reader.null().then_some(())),
        _ => (reader.number()).map_or(Value::Null, |number| digits(number.real())),
    }
}

/// A number without its last digits, since serde_json's rounding is less exact.
fn digits(number: f64) -> Value {
    json!(format!("{:.12e}", number + 0.0))
}

/// Converts all numbers to the kind that [`value`] makes.
fn all_real(value: Value) -> Value {
    match value {
        Value::Number(number) => digits(number.as_f64().unwrap_or_default()),
        Value::Array(items) => items.into_iter().map(all_real).collect(),
        Value::Object(members) => {
            let members = members.into_iter();
            Value::Object(members.map(|(name, of)| (name, all_real(of))).collect())
        }
        other => other,
    }
}

fn same_as_serde_json(text: &[u8]) -> bool {
    let ours = |read: &dyn Fn(&mut Reader) -> Value| {
        let mut reader = Reader::of(text);
        let value = read(&mut reader);
        reader.end().map(|()| value)
    };
    let theirs = serde_json::from_slice::<Value>(text).map(all_real);
    let skipped = ours(&|reader| {
        reader.skip();
        Value::Null
    });
    let shown = String::from_utf8_lossy(text);
    let same = skipped.is_ok() == theirs.is_ok();
    assert!(same, "{shown}: {skipped:?}, {theirs:?}");
    match (ours(&value), theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{shown}"),
        (Err(_), Err(_)) => {}
        (ours, theirs) => panic!("{shown}: {ours:?}, {theirs:?}"),
    }
    skipped.is_ok()
}

const TEXTS: [&str; 3] = [
    r#" {"stream":"x@trade","data":{"s":"A\/B","t":-12345,"p":"0.001","q":1.5e3,"m":true,"M":null}} "#,
    r#"[ {"a":[],"b":{},"c":[[1,2],{"d":"\u00e9\n\"\\"}]} , false, -0, 0.0, 1E+2, "ü💥" ]"#,
    r#"{"n":18446744073709551615,"m":99999999999999999999,"o":1e308,"\u0061":"\ud83d\ude00"}"#,
];

/// One of these texts with a few changes.
fn changed(texts: &[&str], random: &mut fastrand::Rng) -> Vec<u8> {
    const PIECES: [&[u8]; 33] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\\",
        b"\\u",
        b"d8",
        b"0",
        b"1",
        b"-",
        b"+",
        b".",
        b"e",
        b"E9",
        b"99",
        b"null",
        b"tru",
        b"e",
        b" ",
        b"\t",
        b"\n",
        b"\x01",
        b"\xc2\xa0",
        b"\xc3\xbc",
        b"\xc3",
        b"\xbc",
        b"\xff",
        b"/",
        b"1e999",
        b"\\ud800",
    ];
    let mut text = texts[random.usize(..texts.len())].as_bytes().to_vec();
    for _ in 0..random.usize(..4) {
        let from = random.usize(..text.len());
        let to = (from + random.usize(..3)).min(text.len());
        let piece = PIECES[random.usize(..PIECES.len())];
        let piece = if random.bool() { piece } else { b"" };
        text.splice(from..to, piece.iter().copied());
    }
    text
}

#[test]
fn what_serde_json_reads_is_read_and_what_it_refuses_is_refused() {
    let (mut read, mut refused) = (0, 0);
    for seed in 0..60_000 {
        let text = changed(&TEXTS, &mut fastrand::Rng::with_seed(seed));
        match same_as_serde_json(&text) {
            true => read += 1,
            false => refused += 1,
        }
    }
    assert!(
        read > 5000 && refused > 5000,
        "{read} read, {refused} refused"
    );
}

#[test]
fn members_are_found_in_whatever_order_they_come() {
    const MEMBERS: Members<char, 4> =
        Members::of([("e", 'e'), ("thirteen_long", 'l'), ("s", 's'), ("ss", 'd')]);
    let texts = [
        r#"{"e":1,"thirteen_long":2,"s":3,"ss":4}"#,
        r#"{"ss":1,"s":2, "s" : 3,"u":[{"e":1}],"e":5}"#,
        r#"{"\u0073":1,"e":2}"#,
    ];
    let mut read = 0;
    for seed in 0..60_000 {
        let text = changed(&texts, &mut fastrand::Rng::with_seed(seed));
        let mut found = Vec::new();
        let mut reader = Reader::of(&text);
        reader.members(&MEMBERS, |reader, field| {
            found.push((field, value(reader)));
        });
        let mut all = Vec::new();
        let mut same = Reader::of(&text);
        same.object(|reader, name| {
            let wanted = MEMBERS.0.iter().find(|(member, _)| member.name == name);
            match wanted {
                Some((_, field)) => all.push((*field, value(reader))),
                None => reader.skip(),
            }
        });
        let (ours, theirs) = (reader.end().is_ok(), same.end().is_ok());
        let shown = String::from_utf8_lossy(&text);
        assert_eq!(ours, theirs, "{shown}");
        if ours {
            assert_eq!(found, all, "{shown}");
            read += 1;
        }
    }
    assert!(read > 5000, "{read}");
}

#[test]
fn a_text_is_read_as_deep_as_serde_json_does() {
    for depth in [1, 126, 127, 128, 129, 100_000] {
        let text = "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(same_as_serde_json(text.as_bytes()), depth < 128, "{depth}");
    }
}
