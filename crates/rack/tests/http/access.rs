//! Who may do what: sessions, roles, tokens of programs, and how fast passwords may be guessed.

use serde_json::{Value, json};
use testbed::Result;

use crate::servers::{PASSWORD, World};

fn rack(name: &str) -> Value {
    json!({ "name": name, "units": 42 })
}

#[test]
fn a_session_begins_with_the_password_and_ends_with_the_logout() -> Result<()> {
    let world = World::new()?;
    let nobody = world.nobody();
    let refused = nobody.get("/api/racks").expect(401);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    for (name, password) in [("admin", "wrong"), ("nobody", PASSWORD), ("", "")] {
        let login = json!({ "name": name, "password": password });
        let refused = nobody.post("/api/session", &login).expect(401).json();
        assert_eq!(refused["details"], "the name or the password is wrong");
    }

    let login = json!({ "name": "Admin", "password": PASSWORD });
    let answer = nobody.post("/api/session", &login).expect(200);
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    for part in [
        "rack_session=",
        "; HttpOnly",
        "; SameSite=Strict",
        "; Path=/",
        "; Max-Age=86400",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "{cookie}");
    let by_tls = nobody.clone().with("x-forwarded-proto", "https");
    let answer = by_tls.post("/api/session", &login).expect(200);
    assert!(answer.header("set-cookie").unwrap().ends_with("; Secure"));

    let admin = world.admin();
    let told = admin.get("/api/session").expect(200).json();
    assert_eq!(
        (&told["user"]["name"], &told["role"]),
        (&"admin".into(), &"admin".into())
    );
    assert!(told.get("password").is_none() && told["user"].get("password").is_none());

    // A page of another site has the browser's cookie sent, and knows no more.
    let foreign = admin.clone().without("x-csrf-token");
    foreign.get("/api/racks").expect(200);
    foreign.post("/api/racks", &rack("A")).expect(403);
    let guessing = foreign.with(
        "x-csrf-token",
        "0123456789012345678901234567890123456789012",
    );
    guessing.post("/api/racks", &rack("A")).expect(403);
    guessing.delete("/api/session").expect(403);
    admin.post("/api/racks", &rack("A")).expect(201);

    let other = world.admin();
    let answer = admin.delete("/api/session").expect(204);
    assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
    admin.get("/api/racks").expect(401);
    other.get("/api/racks").expect(200);
    Ok(())
}

#[test]
fn a_role_permits_what_it_says_and_no_more() -> Result<()> {
    let world = World::new()?;
    let (admin, editor, viewer) = (
        world.admin(),
        world.user("ada", "edit"),
        world.user("vic", "view"),
    );
    let made = editor.post("/api/racks", &rack("A")).expect(201).id();
    let path = format!("/api/racks/{made}");
    viewer.get(&path).expect(200);
    viewer.get(&format!("{path}/export.csv")).expect(200);
    let refused = viewer.post("/api/racks", &rack("B")).expect(403).json();
    assert_eq!(
        refused["details"],
        "this needs the role edit, and you have the role view"
    );
    viewer.delete(&format!("{path}?version=1")).expect(403);
    viewer
        .post(&format!("{path}/optimise"), &json!({}))
        .expect(200);
    for caller in [&editor, &viewer] {
        caller.get("/api/users").expect(403);
        caller.get("/api/audit").expect(403);
    }

    // Users change, and what they may do changes at once.
    let users = admin.get("/api/users").expect(200).json();
    let of = |name: &str| {
        let users = users["items"].as_array().unwrap().iter();
        users.clone().find(|user| user["name"] == name).unwrap()
    };
    let ada = of("ada");
    let path = format!("/api/users/{}", ada["id"]);
    let change = json!({ "version": ada["version"], "name": "ada", "role": "view" });
    let changed = admin.put(&path, &change).expect(200).json();
    editor.post("/api/racks", &rack("B")).expect(403);
    admin.put(&path, &change).expect(409);
    admin
        .delete(&format!("{path}?version={}", changed["version"]))
        .expect(204);
    editor.get("/api/racks").expect(401);

    // The last administrator stays one.
    let me = of("admin");
    let path = format!("/api/users/{}", me["id"]);
    admin
        .delete(&format!("{path}?version={}", me["version"]))
        .expect(409);
    let demoted = json!({ "version": me["version"], "name": "admin", "role": "edit" });
    admin.put(&path, &demoted).expect(409);
    admin.get("/api/users").expect(200);
    Ok(())
}

#[test]
fn a_token_of_a_program_is_shown_once_and_may_no_more_than_who_made_it() -> Result<()> {
    let world = World::new()?;
    let editor = world.user("ada", "edit");
    let wish = json!({ "name": "backup", "role": "admin" });
    editor.post("/api/tokens", &wish).expect(403);
    let wish = json!({ "name": "backup", "role": "view" });
    let made = editor.post("/api/tokens", &wish).expect(201).json();
    editor.post("/api/tokens", &wish).expect(409);
    let token = made["token"].as_str().unwrap();
    let listed = editor.get("/api/tokens").expect(200).0.text;
    assert!(listed.contains("backup") && !listed.contains(token));

    // It needs no cookie and so no proof that a page of ours asks.
    let program = world
        .nobody()
        .with("authorization", &format!("Bearer {token}"));
    program.get("/api/racks").expect(200);
    program.post("/api/racks", &rack("A")).expect(403);
    let wrong = world.nobody().with("authorization", "Bearer rack_wrong");
    wrong.get("/api/racks").expect(401);

    // Nobody sees or ends those of others, except administrators.
    let other = world.user("bob", "edit");
    assert_eq!(other.get("/api/tokens").json()["items"], json!([]));
    let path = format!("/api/tokens/{}", made["id"]);
    other.delete(&path).expect(404);
    assert_eq!(
        world.admin().get("/api/tokens").json()["items"][0]["name"],
        "backup"
    );
    editor.delete(&path).expect(204);
    program.get("/api/racks").expect(401);
    editor.delete(&path).expect(404);
    Ok(())
}

#[test]
fn a_new_password_ends_all_sessions() -> Result<()> {
    let world = World::new()?;
    let first = world.user("ada", "edit");
    let second = world.nobody().log_in("ada", "the password of ada");
    let path = "/api/session/password";
    let wish = |current: &str, new: &str| json!({ "current": current, "new": new });
    first
        .put(path, &wish("not mine", "a new password"))
        .expect(403);
    let short = first
        .put(path, &wish("the password of ada", "short"))
        .expect(422);
    assert_eq!(short.json()["field"], "new");
    first
        .put(path, &wish("the password of ada", "a new password"))
        .expect(204);
    second.get("/api/racks").expect(401);
    world
        .nobody()
        .log_in("ada", "a new password")
        .get("/api/racks")
        .expect(200);
    Ok(())
}

#[test]
fn passwords_cannot_be_guessed_quickly_and_everybody_may_look_if_that_is_set() -> Result<()> {
    let world = World::with(json!({
        "access": { "public_view": true },
        "limits": { "logins_per_minute": 5 },
    }))?;
    let login = |name: &str| json!({ "name": name, "password": "a guess that is wrong" });
    let at = |address: &str| world.nobody().with("x-real-ip", address);
    let tried = |address: &str, name: &str| at(address).post("/api/session", &login(name)).0.status;
    // One address tries many names, and one name is tried from many addresses.
    let of_address: Vec<u16> = (0..9)
        .map(|n| tried("192.0.2.1", &format!("n{n}")))
        .collect();
    let of_name: Vec<u16> = (0..9)
        .map(|n| tried(&format!("198.51.100.{n}"), "admin"))
        .collect();
    for statuses in [of_address, of_name] {
        assert_eq!((statuses[0], statuses[8]), (401, 429), "{statuses:?}");
    }
    let refused = at("192.0.2.1")
        .post("/api/session", &login("ada"))
        .expect(429);
    let wait: u64 = refused.header("retry-after").unwrap().parse()?;
    assert!((1..=60).contains(&wait), "{wait}");

    let nobody = at("203.0.113.1");
    nobody.get("/api/racks").expect(200);
    let told = nobody.get("/api/session").expect(200).json();
    assert_eq!(
        (&told["user"], &told["role"]),
        (&Value::Null, &"view".into())
    );
    nobody.post("/api/racks", &rack("A")).expect(401);
    nobody.get("/api/users").expect(401);
    Ok(())
}
