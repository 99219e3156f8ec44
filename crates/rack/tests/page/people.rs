//! Who may do what, and what is made and changed in forms.

use super::*;
use crate::browser::DESKTOP;

#[test]
fn only_who_knows_the_password_sees_anything_and_who_may_look_changes_nothing() {
    let (planner, Racks { east, .. }) = furnished();
    let browser = Browser::start(DESKTOP);
    browser.open(&planner.url());
    browser.until("!document.querySelector('#login').hidden");
    browser.fill("#login-name", "eve");
    browser.fill("#login-password", "wrong");
    browser.key("Enter");
    browser.until_text("#login-answer", "The name or the password is wrong.");
    browser.fill("#login-password", PASSWORD);
    browser.key("Enter");
    browser.until("!document.querySelector('#plan').hidden");
    browser.until_text(".rack h2", "East");
    assert_eq!(browser.value("[...document.querySelectorAll('.edit, .admin')].filter((node) => node.offsetParent).length"), 0);
    let from = browser.middle(&device(&planner, "alpha"));
    let to = spot(&browser, east, "front", 8, 6.0);
    browser.carry(from, to);
    browser.drop_at(to);
    assert_eq!(
        browser.value("document.querySelector('#ghost')"),
        serde_json::Value::Null
    );
    browser.click(&device(&planner, "alpha"));
    browser.until_text("#panel", "200 W · 12 kg · East, unit 2, front");
    assert_eq!(
        browser.value("document.querySelectorAll('#panel form').length"),
        0
    );
    browser.click("#tools .menu:last-child summary");
    browser.click("[data-open=logout]");
    browser.until(
        "!document.querySelector('#login').hidden && document.querySelector('#plan').hidden",
    );
    assert_eq!(planner.world().changes, [""; 0]);
    is_content(&browser);
}

#[test]
fn a_device_is_changed_deleted_and_brought_back() {
    let (planner, Racks { east, .. }) = furnished();
    let browser = logged_in(&planner, DESKTOP, "ed");
    browser.click(&device(&planner, "alpha"));
    // What the planner finds wrong is told at the field.
    browser.fill("#panel [name=watts]", "200000");
    browser.click("#panel form:not(.places) .main");
    browser.until(
        "document.querySelector('#panel [name=watts]').getAttribute('aria-invalid') === 'true'",
    );
    browser.fill("#panel [name=watts]", "350");
    browser.fill("#panel [name=name]", "omega");
    browser.fill("#panel [name=tags]", "lab, spare");
    browser.key("Enter");
    browser.until_text(".note", "omega is saved.");
    browser.until_text("#panel-title", "omega");
    browser.until_text(&device(&planner, "omega"), "350 W");
    assert_eq!(
        planner.world().named("omega").unwrap().fields.tags,
        ["lab", "spare"]
    );
    browser.key("Escape");
    browser.click(&device(&planner, "omega"));
    browser.until("!document.querySelector('#panel').hidden");
    browser.click("#panel .buttons .bad");
    browser.until_text(".note", "omega is deleted.");
    assert!(planner.world().named("omega").is_none());
    browser.click(".note:last-child button:not(.plain)");
    browser.until_text(".note", "Undone: omega deleted.");
    until_at(&browser, &planner, "omega", Some(at(east, 2)));
    assert_eq!(
        planner.world().named("omega").unwrap().fields.watts,
        Some(350.0)
    );
    // It has another number now, and its earlier steps are taken back all the same.
    browser.click("#undo");
    browser.until_text(".note", "Undone: alpha changed.");
    assert_eq!(place(&planner, "alpha"), Some(at(east, 2)));
    is_content(&browser);
}

#[test]
fn racks_devices_and_kinds_are_made_in_dialogs() {
    let (planner, _) = furnished();
    let browser = logged_in(&planner, DESKTOP, "ada");
    let open = |what: &str| {
        browser.click("#tools .menu summary");
        browser.click(&format!("[data-open={what}]"));
        browser.until("document.querySelector('dialog[open]')");
    };
    open("rack");
    browser.fill("dialog [name=units]", "101");
    browser.fill("dialog [name=name]", "North");
    browser.key("Enter");
    browser.until(
        "document.querySelector('dialog [name=units]').getAttribute('aria-invalid') === 'true'",
    );
    browser.fill("dialog [name=units]", "24");
    browser.key("Enter");
    browser.until_text(".rack h2", "North");
    let north = planner
        .world()
        .racks
        .values()
        .find(|rack| rack.fields.name == "North")
        .unwrap()
        .id;

    open("kind");
    browser.fill("dialog [name=manufacturer]", "Acme");
    browser.fill("dialog [name=model]", "Toaster");
    browser.fill("dialog [name=height]", "1.5");
    browser.fill("dialog [name=watts]", "800");
    browser.key("Enter");
    browser.until_text(".note", "Acme Toaster is saved.");

    // Three of them, found by a part of the name, in the lowest free places of the new rack.
    open("device");
    browser.fill("dialog [name=kind]", "toas");
    browser.until_text("dialog .choices li", "Acme Toaster");
    browser.picture("choosing-a-kind");
    browser.key("ArrowDown");
    browser.key("Enter");
    browser.until("document.querySelector('dialog [name=name]').value === 'toaster'");
    browser.fill("dialog [name=name]", "toaster-08");
    browser.fill("dialog [name=count]", "3");
    browser.value(&format!(
        "document.querySelector('dialog [name=where]').value = '{north}'"
    ));
    browser.click("dialog .main");
    browser.until_text(".note", "3 devices are made.");
    let bottoms =
        ["toaster-08", "toaster-09", "toaster-10"].map(|name| match place(&planner, name) {
            Some(Place::Units { rack, bottom, .. }) if rack == north => bottom,
            other => panic!("{name}: {other:?}"),
        });
    assert_eq!(bottoms, [0, 3, 6]);
    // One step for all of them.
    browser.click("#undo");
    browser.until_text(".note", "Undone: 3 devices made.");
    assert!(planner.world().named("toaster-09").is_none());
    is_content(&browser);
}

#[test]
fn search_goes_to_a_device_wherever_it_is() {
    let (planner, Racks { west, .. }) = furnished();
    let browser = logged_in(&planner, DESKTOP, "eve");
    browser.click(&format!("#chips [data-rack=\"{west}\"]"));
    browser.until(&format!(
        "!document.querySelector('.rack[data-rack=\"{west}\"]')"
    ));
    browser.key("/");
    browser.until("document.activeElement.id === 'q'");
    browser.fill("#q", "gam");
    browser.until_text("#hits li", "gamma");
    browser.key("Enter");
    browser.until_text("#panel-title", "gamma");
    browser.until(&format!(
        "document.activeElement.matches('svg[data-rack=\"{west}\"] .device')"
    ));
    is_content(&browser);
}

#[test]
fn an_administrator_sees_who_changed_what_and_who_may() {
    let (planner, _) = furnished();
    let browser = logged_in(&planner, DESKTOP, "ada");
    browser.click(&device(&planner, "alpha"));
    browser.fill("#panel [name=name]", "omega");
    browser.key("Enter");
    browser.until_text(".note", "omega is saved.");
    for (what, words) in [
        ("audit", "name: alpha → omega"),
        ("users", "ada (you)"),
        ("tokens", "New token"),
        ("logos", "Set logo"),
        ("kinds", "Acme Server"),
        ("keys", "Take a device up"),
    ] {
        browser.click("#tools .menu:last-child summary");
        browser.click(&format!("[data-open={what}]"));
        browser.until_text("dialog", words);
        browser.picture(&format!("dialog-{what}"));
        browser.key("Escape");
        browser.until("!document.querySelector('dialog')");
    }
    is_content(&browser);
}

#[test]
fn a_proposal_is_looked_at_before_it_is_applied() {
    let (planner, Racks { east, .. }) = furnished();
    let alpha = planner.world().named("alpha").unwrap().id;
    let beta = planner.world().named("beta").unwrap().id;
    planner.world().proposal = vec![(alpha, at(east, 3)), (beta, at(east, 1))];
    let browser = logged_in(&planner, DESKTOP, "ed");
    let propose = || {
        browser.click(&format!(".rack[data-rack=\"{east}\"] .menu summary"));
        browser.click(&format!(
            ".rack[data-rack=\"{east}\"] .menu button:nth-of-type(2)"
        ));
        browser.click("dialog form .main");
        browser.until_text(
            "dialog .moves",
            "beta from units 5 to 6, front to units 1 to 2, front",
        );
    };
    propose();
    assert_eq!(
        browser.value("document.querySelectorAll('dialog .compare .marked').length"),
        4
    );
    browser.picture("proposal");
    assert_eq!(place(&planner, "beta"), Some(at(east, 5)));
    browser.click("dialog .compare ~ .buttons .main");
    until_at(&browser, &planner, "alpha", Some(at(east, 3)));
    until_at(&browser, &planner, "beta", Some(at(east, 1)));
    browser.until_text(".note", "2 devices are moved in East.");
    browser.click("#undo");
    until_at(&browser, &planner, "alpha", Some(at(east, 2)));
    until_at(&browser, &planner, "beta", Some(at(east, 5)));
    is_content(&browser);
}
