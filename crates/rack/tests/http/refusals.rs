//! Whatever is wrong with a request is told with a status below 500 and the name of what is wrong, and changes nothing.

use serde_json::{Value, json};
use testbed::Result;

use crate::servers::{Caller, World};

/// Sends a body to `POST /api/racks`.
fn rack(caller: &Caller, body: &str) -> (u16, Value) {
    let answer = caller.call("POST", "/api/racks", body);
    (answer.0.status, answer.json())
}

#[test]
fn a_body_that_is_wrong_is_told_by_its_field() -> Result<()> {
    let world = World::new()?;
    let ada = world.user("ada", "edit");
    let long = format!(r#"{{"name":"{}","units":42}}"#, "x".repeat(1_000_000));
    let huge = format!(r#"{{"name":"{}","units":42}}"#, "x".repeat(2_000_000));
    let deep = format!(
        r#"{{"name":{}1{},"units":42}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    let nested = format!(
        r#"{{"name":{}1{},"units":42}}"#,
        r#"{"a":"#.repeat(100),
        "}".repeat(100)
    );
    for (body, status, field) in [
        ("", 415, Value::Null),
        ("{", 400, Value::Null),
        ("{} {}", 400, Value::Null),
        ("[]", 422, "".into()),
        (r#"["A","",42]"#, 422, "".into()),
        ("null", 422, "".into()),
        ("{}", 422, "".into()),
        (r#"{"name":"A"}"#, 422, "".into()),
        (r#"{"name":1,"units":42}"#, 422, "name".into()),
        (r#"{"name":["A"],"units":42}"#, 422, "name".into()),
        (r#"{"name":"","units":42}"#, 422, "name".into()),
        (r#"{"name":" A","units":42}"#, 422, "name".into()),
        (r#"{"name":"A\u0000B","units":42}"#, 422, "name".into()),
        (r#"{"name":"A\u001bB","units":42}"#, 422, "name".into()),
        (r#"{"name":"A\nB","units":42}"#, 422, "name".into()),
        (r#"{"name":"\ud800","units":42}"#, 400, Value::Null),
        (r#"{"name":"A","units":0}"#, 422, "units".into()),
        (r#"{"name":"A","units":256}"#, 422, "units".into()),
        (r#"{"name":"A","units":-1}"#, 422, "units".into()),
        (r#"{"name":"A","units":4.5}"#, 422, "units".into()),
        (r#"{"name":"A","units":1e999}"#, 400, Value::Null),
        (r#"{"name":"A","units":42,"watts":NaN}"#, 400, Value::Null),
        (r#"{"name":"A","units":42,"watts":-1}"#, 422, "watts".into()),
        (
            r#"{"name":"A","units":42,"watts":1e300}"#,
            422,
            "watts".into(),
        ),
        (
            r#"{"name":"A","units":42,"colour":"red"}"#,
            422,
            "colour".into(),
        ),
        (
            r#"{"name":"A","units":42,"version":1}"#,
            422,
            "version".into(),
        ),
        (&long, 422, "name".into()),
        (&huge, 413, Value::Null),
        (&deep, 400, Value::Null),
        (&nested, 422, "name".into()),
    ] {
        let (found, answer) = rack(&ada, body);
        let begin: String = body.chars().take(80).collect();
        assert_eq!(
            (found, &answer["field"]),
            (status, &field),
            "{begin}: {answer}"
        );
        assert!(
            answer["error"].is_string() && answer["details"].is_string(),
            "{begin}: {answer}"
        );
    }
    assert_eq!(ada.get("/api/racks").json()["items"], json!([]));

    // For JSON it is the same number.
    let whole = r#"{"name":"Whole","units":42.0,"watts":1e3}"#;
    assert_eq!(rack(&ada, whole).1["units"], 42);

    for (kind, status) in [
        ("application/json; charset=utf-8", 201),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data", 415),
    ] {
        let name = kind.replace(['/', ';', '='], " ").replace("  ", " ");
        let body = json!({ "name": name, "units": 1 }).to_string();
        let answer = ada
            .clone()
            .with("content-type", kind)
            .call("POST", "/api/racks", &body);
        answer.expect(status);
    }
    Ok(())
}

#[test]
fn what_is_nested_is_told_by_its_path() -> Result<()> {
    let world = World::new()?;
    let ada = world.user("ada", "edit");
    let places = |place: Value| json!({ "name": "web1", "kind": 1, "place": place });
    for (place, field) in [
        (json!(["units", 1, "front", 0, 0]), "place"),
        (
            json!({ "at": "units", "rack": [1], "face": "front", "bottom": 0, "left": 0 }),
            "place.rack",
        ),
        (json!({ "at": "moon" }), "place"),
        (
            json!({ "at": "units", "rack": 1, "face": "front", "bottom": 300, "left": 0 }),
            "place",
        ),
        (
            json!({ "at": "units", "rack": 1, "face": "front", "bottom": 0, "left": 0, "x": 1 }),
            "place",
        ),
    ] {
        let refused = ada.post("/api/devices", &places(place)).expect(422).json();
        assert!(
            refused["field"].as_str().unwrap().starts_with(field),
            "{refused}"
        );
    }
    let far = json!({ "at": "units", "rack": i64::MAX, "face": "front", "bottom": 0, "left": 0 });
    ada.post("/api/devices", &places(far)).expect(404);
    let missing = json!({ "name": "web1", "kind": i64::MAX });
    ada.post("/api/devices", &missing).expect(404);
    let too_large = r#"{"name":"web1","kind":9223372036854775808}"#;
    let refused = ada
        .call("POST", "/api/devices", too_large)
        .expect(422)
        .json();
    assert_eq!(refused["field"], "kind");
    let listed = json!({ "moves": [[1, 1, null]] });
    let refused = ada.post("/api/moves", &listed).expect(422).json();
    assert_eq!(refused["field"], "moves[0]");
    let twice = json!({ "device": 1, "version": 1, "place": null });
    ada.post("/api/moves", &json!({ "moves": [twice, twice] }))
        .expect(422);
    Ok(())
}

#[test]
fn paths_and_queries_that_are_wrong_are_refused() -> Result<()> {
    let world = World::new()?;
    let ada = world.user("ada", "edit");
    for (path, status) in [
        ("/api/racks/0", 422),
        ("/api/racks/-1", 422),
        ("/api/racks/+1", 422),
        ("/api/racks/01", 422),
        ("/api/racks/one", 422),
        ("/api/racks/1.0", 422),
        ("/api/racks/%00", 422),
        ("/api/racks/%31", 404),
        ("/api/racks/9223372036854775807", 404),
        ("/api/racks/9223372036854775808", 422),
        ("/api/racks/%FF%FE", 400),
        ("/api/racks/1/", 404),
        ("/api/racks/1%2Fplan", 422),
        ("/api/racks/..%2F..%2Fetc%2Fpasswd", 422),
        ("/api/logos/%00", 422),
        ("/api/logos/%20", 422),
        ("/api/logos/Acme%2FInc", 404),
        ("/api/nothing", 404),
        ("/api", 404),
        ("/api/kinds?after=-1", 400),
        ("/api/devices?rack=-1", 400),
        ("/api/audit?id=-1", 403),
        ("/api/kinds?limit=0", 422),
        ("/api/kinds?limit=501", 422),
        ("/api/kinds?limit=-1", 400),
        ("/api/kinds?limit=1e3", 400),
        ("/api/kinds?limit=99999999999999999999", 400),
        ("/api/kinds?limit=1&limit=2", 400),
        ("/api/kinds?colour=red", 400),
        ("/api/kinds?q=%00", 422),
        ("/api/kinds?q=%FF", 200),
        ("/api/kinds?q=%27%3B%20DROP%20TABLE%20kinds", 200),
        ("/api/kinds?q=", 200),
        ("/api/kinds?after=9223372036854775807", 200),
        ("/api/devices?unplaced=perhaps", 400),
        ("/api/devices?rack=x", 400),
        ("/api/search", 400),
        ("/api/search?q=%5C%26%7C%21%3A%2A%28%29%27", 200),
    ] {
        let answer = ada.get(path).expect(status);
        assert!(answer.json().is_object(), "{path}");
    }
    let long = "x".repeat(201);
    ada.get(&format!("/api/search?q={long}")).expect(422);
    ada.get(&format!("/api/logos/{long}")).expect(422);
    ada.delete("/api/racks/1").expect(400);
    ada.delete("/api/racks/1?version=x").expect(400);
    Ok(())
}

#[test]
fn what_came_with_the_planner_stays() -> Result<()> {
    let world = World::new()?;
    let ada = world.user("ada", "edit");
    let kind = ada.get("/api/kinds?limit=1").json()["items"][0].clone();
    assert_eq!(kind["built_in"], true);
    let path = format!("/api/kinds/{}", kind["id"]);
    let change =
        json!({ "version": kind["version"], "manufacturer": "A", "model": "B", "halves": 2 });
    ada.put(&path, &change).expect(403);
    ada.delete(&format!("{path}?version={}", kind["version"]))
        .expect(403);
    assert_eq!(ada.get(&path).json(), kind);
    Ok(())
}

#[test]
fn a_picture_is_taken_if_it_is_one_and_small() -> Result<()> {
    let world = World::new()?;
    let ada = world.user("ada", "edit");
    let path = "/api/logos/Acme%20%26%20Sons";
    let mut png = Vec::new();
    image::RgbaImage::from_pixel(1024, 16, image::Rgba([1, 2, 3, 255]))
        .write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png)?;
    ada.send("PUT", path, "image/png", &png).expect(200);
    let listed = ada.get("/api/logos").expect(200).json();
    assert_eq!(listed["items"][0]["manufacturer"], "Acme & Sons");
    assert_eq!(listed["items"][0]["width"], 512);

    let (status, kind, picture) = ada.fetch(path);
    assert_eq!((status, kind.as_str()), (200, "image/png"));
    assert!(picture.starts_with(b"\x89PNG") && picture != png);

    let form = |name: &str| {
        [
        format!("--edge\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"a.png\"\r\n\r\n").into_bytes(),
        png.clone(),
        b"\r\n".to_vec(),
    ].concat()
    };
    let one = [form("logo"), b"--edge--\r\n".to_vec()].concat();
    let two = [form("a"), form("b"), b"--edge--\r\n".to_vec()].concat();
    let kind = "multipart/form-data; boundary=edge";
    ada.send("PUT", path, kind, &one).expect(200);
    ada.send("PUT", path, kind, &two).expect(422);
    ada.send("PUT", path, kind, b"--edge--\r\n").expect(422);
    ada.send("PUT", path, kind, &one[..one.len() / 2])
        .expect(400);
    ada.send("PUT", path, "multipart/form-data", &one)
        .expect(400);

    ada.send("PUT", path, "image/svg+xml", b"<svg/>")
        .expect(415);
    ada.send("PUT", path, "image/png", b"<svg onload='alert(1)'/>")
        .expect(422);
    ada.send("PUT", path, "image/png", b"").expect(422);
    ada.send("PUT", path, "image/png", &vec![0; 3 << 20])
        .expect(413);
    let many = [form("logo"), vec![0; 3 << 20]].concat();
    ada.send("PUT", path, kind, &many).expect(413);
    ada.delete(path).expect(204);
    ada.delete(path).expect(404);
    assert_eq!(ada.fetch(path).0, 404);
    Ok(())
}
