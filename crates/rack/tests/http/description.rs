//! The description of the API is that of the API.

use std::collections::BTreeSet;

use serde_json::Value;
use testbed::Result;

use crate::servers::World;

/// Every operation: its method, its path, and what the description says of it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, operations)| {
            let operations = operations.as_object().unwrap().iter();
            operations.map(move |(method, operation)| {
                (method.to_uppercase(), path.clone(), operation.clone())
            })
        })
        .collect()
}

/// A path with something in place of its parameters.
fn filled(path: &str) -> String {
    path.replace("{id}", "1").replace("{manufacturer}", "Acme")
}

#[test]
fn every_operation_is_there_and_asks_who_it_is() -> Result<()> {
    let world = World::new()?;
    let nobody = world.nobody();
    let document = nobody.get("/api/openapi.json").expect(200).json();
    let operations = operations(&document);
    assert!(operations.len() > 40, "{}", operations.len());
    for (method, path, operation) in &operations {
        // Only a login is for those who are not logged in.
        let is_open = operation["security"] == serde_json::json!([{}]);
        assert_eq!(
            is_open,
            method == "POST" && path == "/api/session",
            "{method} {path}"
        );
        if !is_open {
            nobody.call(method, &filled(path), "").expect(401);
        }
    }
    Ok(())
}

#[test]
fn no_path_takes_a_method_that_is_not_described() -> Result<()> {
    let world = World::new()?;
    let admin = world.admin();
    let document = admin.get("/api/openapi.json").json();
    let operations = operations(&document);
    let paths: BTreeSet<&String> = operations.iter().map(|(_, path, _)| path).collect();
    for path in paths {
        let mut described: BTreeSet<&str> = operations
            .iter()
            .filter(|(_, of, _)| of == path)
            .map(|(method, ..)| method.as_str())
            .collect();
        if described.contains("GET") {
            described.insert("HEAD");
        }
        for method in ["OPTIONS", "TRACE", "PATCH"] {
            let refused = admin.call(method, &filled(path), "").expect(405);
            let allowed = refused.header("allow").expect("it says what is allowed");
            let allowed: BTreeSet<&str> = allowed.split(',').map(str::trim).collect();
            assert_eq!(allowed, described, "{method} {path}");
        }
    }
    let head = admin.call("HEAD", "/api/racks", "").expect(200);
    assert_eq!(
        (head.0.text.as_str(), head.header("content-type")),
        ("", Some("application/json"))
    );
    Ok(())
}
