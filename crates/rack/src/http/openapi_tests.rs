use super::*;

/// Everything in a JSON text that has this key.
fn all<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v Value>) {
    match value {
        Value::Array(list) => list.iter().for_each(|value| all(value, key, found)),
        Value::Object(object) => {
            found.extend(object.get(key));
            object.values().for_each(|value| all(value, key, found));
        }
        _ => {}
    }
}

#[test]
fn what_is_referred_to_is_there_and_no_whole_is_left_in_parts() {
    let document = described();
    let (mut references, mut parts) = (Vec::new(), Vec::new());
    all(&document, "$ref", &mut references);
    all(&document, "allOf", &mut parts);
    assert!(references.len() > 100 && parts.is_empty(), "{parts:?}");
    for reference in references {
        let path = reference.as_str().unwrap().trim_start_matches('#');
        assert!(document.pointer(path).is_some(), "{path}");
    }
}

#[test]
fn a_change_is_the_fields_and_the_version_and_nothing_else() {
    let document = described();
    let change = &document["components"]["schemas"]["Change_RackFields"];
    assert_eq!(change["additionalProperties"], false);
    assert_eq!(change["properties"]["version"]["minimum"], 0);
    assert_eq!(change["properties"]["name"]["maxLength"], 100);
    let required = change["required"].as_array().unwrap();
    for field in ["version", "name", "units"] {
        assert!(required.contains(&field.into()), "{field} of {required:?}");
    }
    assert!(!required.contains(&"notes".into()));
}

#[test]
fn every_operation_says_how_it_may_be_refused() {
    let document = described();
    let paths = document["paths"].as_object().unwrap();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            for status in ["401", "429", "503"] {
                assert!(responses.contains_key(status), "{method} {path}: {status}");
            }
            let has_body = operation.get("requestBody").is_some();
            let says = responses.contains_key("415");
            assert!(says || !has_body, "{method} {path}");
        }
    }
}
