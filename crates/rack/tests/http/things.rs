//! Racks, kinds and devices: made, placed, drawn, found, and who did it.

use serde_json::{Value, json};
use testbed::Result;

use crate::servers::{Caller, World};

/// A rack of 12 units, a kind of one unit, and a device of it in unit 1.
fn furnished(caller: &Caller) -> (i64, i64, i64) {
    let rack = json!({ "name": "R1", "units": 12, "watts": 1000, "location": "Cellar" });
    let rack = caller.post("/api/racks", &rack).expect(201).id();
    let kind =
        json!({ "manufacturer": "Acme", "model": "1U", "halves": 2, "watts": 300, "kilograms": 9 });
    let kind = caller.post("/api/kinds", &kind).expect(201).id();
    let device = json!({ "name": "web1", "kind": kind, "tags": ["blue"], "place": units(rack, 0) });
    let device = caller.post("/api/devices", &device).expect(201).id();
    (rack, kind, device)
}

fn units(rack: i64, bottom: u8) -> Value {
    json!({ "at": "units", "rack": rack, "face": "front", "bottom": bottom, "left": 0 })
}

#[test]
fn a_device_is_placed_where_it_fits_and_two_who_move_it_are_told_apart() -> Result<()> {
    let world = World::new()?;
    let ada = world.user("ada", "edit");
    let (rack, kind, first) = furnished(&ada);
    let second = json!({ "name": "web2", "kind": kind });
    let second = ada.post("/api/devices", &second).expect(201).id();

    let check = format!("/api/devices/{second}/check");
    let conflicts = ada
        .post(&check, &json!({ "place": units(rack, 1) }))
        .expect(200)
        .json();
    assert_eq!(conflicts["conflicts"][0]["what"], "occupied", "{conflicts}");
    let fits = ada
        .post(&check, &json!({ "place": units(rack, 2) }))
        .expect(200)
        .json();
    assert_eq!(fits["conflicts"], json!([]));

    let place = format!("/api/devices/{second}/place");
    let refused = ada
        .put(&place, &json!({ "version": 1, "place": units(rack, 1) }))
        .expect(409)
        .json();
    assert_eq!(refused["error"], "it does not fit");
    assert!(
        refused["conflicts"][0]["text"]
            .as_str()
            .unwrap()
            .contains("web1"),
        "{refused}"
    );
    let placed = ada
        .put(&place, &json!({ "version": 1, "place": units(rack, 2) }))
        .expect(200)
        .json();
    assert_eq!(
        (&placed["version"], &placed["place"]),
        (&2.into(), &units(rack, 2))
    );

    // Somebody else has seen the version before.
    let bob = world.user("bob", "edit");
    let late = bob
        .put(&place, &json!({ "version": 1, "place": null }))
        .expect(409)
        .json();
    assert_eq!(
        (&late["error"], &late["now"]),
        (&"changed by somebody else".into(), &2.into())
    );

    // They change places, together or not at all.
    let swap = |versions: [i64; 2]| {
        json!({ "moves": [
            { "device": first, "version": versions[0], "place": units(rack, 2) },
            { "device": second, "version": versions[1], "place": units(rack, 0) },
        ]})
    };
    ada.post("/api/moves", &swap([1, 1])).expect(409);
    assert_eq!(
        ada.get(&format!("/api/devices/{first}")).json()["place"],
        units(rack, 0)
    );
    let moved = ada.post("/api/moves", &swap([1, 2])).expect(200).json();
    assert_eq!(moved["items"][0]["place"], units(rack, 2));

    // What is in use stays.
    ada.delete(&format!("/api/kinds/{kind}?version=1"))
        .expect(409);
    ada.delete(&format!("/api/racks/{rack}?version=1"))
        .expect(409);
    ada.put(
        &format!("/api/devices/{second}/place"),
        &json!({ "version": 3, "place": null }),
    )
    .expect(200);
    ada.delete(&format!("/api/devices/{second}?version=3"))
        .expect(409);
    ada.delete(&format!("/api/devices/{second}?version=4"))
        .expect(204);
    ada.get(&format!("/api/devices/{second}")).expect(404);
    Ok(())
}

#[test]
fn a_plan_is_sent_again_only_if_it_has_changed() -> Result<()> {
    let world = World::new()?;
    let ada = world.user("ada", "edit");
    let (rack, _, device) = furnished(&ada);
    let path = format!("/api/racks/{rack}/plan");
    let first = ada.get(&path).expect(200);
    let plan = first.json();
    assert_eq!(plan["rack"]["name"], "R1");
    assert_eq!(plan["items"][0]["device"]["name"], "web1");
    assert_eq!(plan["items"][0]["kind"]["manufacturer"], "Acme");
    assert_eq!(
        (&plan["conflicts"], &plan["thermal"]["watts"]),
        (&json!([]), &300.0.into())
    );
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));

    let etag = first.header("etag").unwrap().to_owned();
    let knowing = ada.clone().with("if-none-match", &etag);
    let same = knowing.get(&path).expect(304);
    assert_eq!(
        (same.header("etag"), same.0.text.as_str()),
        (Some(etag.as_str()), "")
    );
    let name = json!({ "version": 1, "name": "web01", "kind": plan["items"][0]["kind"]["id"] });
    ada.put(&format!("/api/devices/{device}"), &name)
        .expect(200);
    // Nothing that was kept is taken for the plan after a change that was acknowledged.
    let changed = knowing.get(&path).expect(200);
    assert_eq!(changed.json()["items"][0]["device"]["name"], "web01");
    assert_eq!(
        knowing.get(&path).expect(200).header("x-cache"),
        Some("hit")
    );
    assert_eq!(
        ada.get(&format!("/api/racks/{rack}/thermal")).json()["watts"],
        300.0
    );
    Ok(())
}

#[test]
fn a_rack_is_drawn_exported_and_taken_back() -> Result<()> {
    let world = World::new()?;
    let ada = world.user("ada", "edit");
    let (rack, ..) = furnished(&ada);
    for (ending, kind, begin) in [
        ("svg?face=front", "image/svg+xml", "<"),
        ("yaml", "application/yaml", ""),
        ("csv", "text/csv; charset=utf-8", ""),
    ] {
        let file = ada
            .get(&format!("/api/racks/{rack}/export.{ending}"))
            .expect(200);
        assert_eq!(file.header("content-type"), Some(kind));
        assert!(
            file.0.text.starts_with(begin) && file.0.text.contains("web1"),
            "{ending}"
        );
        assert!(
            file.header("content-disposition")
                .unwrap()
                .contains("rack-")
        );
    }
    for (ending, kind, begin) in [
        ("png", "image/png", b"\x89PNG"),
        ("pdf?face=rear", "application/pdf", b"%PDF"),
    ] {
        let (status, found, file) = ada.fetch(&format!("/api/racks/{rack}/export.{ending}"));
        assert_eq!((status, found.as_str()), (200, kind));
        assert!(file.starts_with(begin), "{ending}");
    }
    ada.get(&format!("/api/racks/{rack}/export.svg?face=top"))
        .expect(400);

    let yaml = ada.get(&format!("/api/racks/{rack}/export.yaml")).0.text;
    let writer = ada.clone().with("content-type", "application/yaml");
    writer.call("POST", "/api/racks/import", &yaml).expect(409);
    let other = yaml.replace("R1", "R2");
    let taken = writer
        .call("POST", "/api/racks/import", &other)
        .expect(201)
        .json();
    assert_eq!(taken["rack"]["name"], "R2");
    assert_eq!(taken["items"][0]["device"]["name"], "web1");
    writer.call("POST", "/api/racks/import", "]").expect(422);
    Ok(())
}

#[test]
fn kinds_are_imported_listed_in_parts_and_found() -> Result<()> {
    let world = World::new()?;
    let ada = world.user("ada", "edit");
    let text: String = (0..250)
        .map(|n| format!("---\nmanufacturer: Acme\nmodel: Box {n}\nslug: box-{n}\nu_height: 1\nis_full_depth: true\n"))
        .collect();
    let writer = ada.clone().with("content-type", "application/yaml");
    let imported = writer
        .call("POST", "/api/kinds/import", &text)
        .expect(200)
        .json();
    assert_eq!(
        (&imported["created"], &imported["warnings"]),
        (&250.into(), &json!([]))
    );
    let again = writer
        .call("POST", "/api/kinds/import", &text)
        .expect(200)
        .json();
    assert_eq!(
        (&again["created"], &again["same"]),
        (&0.into(), &250.into())
    );
    let wrong = text + "---\nmanufacturer: Acme\nmodel: Bad\nu_height: -1\n";
    let refused = writer
        .call("POST", "/api/kinds/import", &wrong)
        .expect(422)
        .json();
    assert!(
        refused["details"].as_str().unwrap().contains("line"),
        "{refused}"
    );

    let (mut seen, mut after) = (0, String::new());
    loop {
        let part = ada
            .get(&format!("/api/kinds?limit=100{after}"))
            .expect(200)
            .json();
        seen += part["items"].as_array().unwrap().len();
        match part["next"].as_i64() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert!(seen > 250, "{seen} with those that are built in");
    let found = ada.get("/api/kinds?q=box+249").expect(200).json();
    assert_eq!(found["items"][0]["model"], "Box 249");

    furnished(&ada);
    let hits = ada.get("/api/search?q=blu").expect(200).json();
    assert_eq!(
        (&hits["items"][0]["kind_of"], &hits["items"][0]["name"]),
        (&"device".into(), &"web1".into())
    );
    let hits = ada.get("/api/search?q=cellar").expect(200).json();
    assert_eq!(hits["items"][0]["kind_of"], "rack");
    assert_eq!(
        ada.get("/api/search?q=%25").expect(200).json()["items"],
        json!([])
    );
    Ok(())
}

#[test]
fn whoever_changes_something_is_in_the_audit_log_with_the_number_of_the_request() -> Result<()> {
    let world = World::new()?;
    let ada = world.user("ada", "edit").with("x-request-id", "request-7");
    let (rack, ..) = furnished(&ada);
    let admin = world.admin();
    let log = admin
        .get(&format!("/api/audit?what=rack&id={rack}"))
        .expect(200)
        .json();
    let entry = &log["items"][0];
    for (field, value) in [
        ("who", "ada"),
        ("request", "request-7"),
        ("action", "create"),
        ("what", "rack"),
    ] {
        assert_eq!(entry[field], value, "{entry}");
    }
    assert_eq!(entry["after"]["name"], "R1");
    let first = admin.get("/api/audit?limit=1").expect(200).json();
    let next = admin
        .get(&format!("/api/audit?limit=1&before={}", first["next"]))
        .expect(200)
        .json();
    assert!(next["items"][0]["id"].as_i64() < first["items"][0]["id"].as_i64());
    // No password is in it, nor what is kept of one.
    let all = admin.get("/api/audit?limit=500").expect(200).0.text;
    assert!(
        !all.contains("argon2") && !all.contains("password of"),
        "{all}"
    );
    Ok(())
}

#[test]
fn a_rack_is_optimised_and_never_becomes_worse() -> Result<()> {
    let world = World::new()?;
    let ada = world.user("ada", "edit");
    let (rack, kind, _) = furnished(&ada);
    let heavy = json!({ "name": "disks", "kind": kind, "kilograms": 60, "place": units(rack, 20) });
    ada.post("/api/devices", &heavy).expect(201);
    let path = format!("/api/racks/{rack}/optimise");
    let proposal = ada.post(&path, &json!({})).expect(200).json();
    let moves = json!({ "moves": proposal["moves"] });
    assert!(
        !proposal["moves"].as_array().unwrap().is_empty(),
        "{proposal}"
    );
    ada.post("/api/moves", &moves).expect(200);
    let again = ada.post(&path, &json!({})).expect(200).json();
    // What has been moved costs no more moves.
    let points = |score: &Value, of: &str| score[of].as_i64().unwrap();
    let after = points(&proposal["after"], "total") - points(&proposal["after"], "moves");
    assert_eq!(points(&again["before"], "total"), after);
    ada.post("/api/racks/999999/optimise", &json!({}))
        .expect(404);
    Ok(())
}
