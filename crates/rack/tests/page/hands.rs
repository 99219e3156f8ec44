//! Devices are moved: by a mouse, a finger, keys, and a form.

use rack::plan::model::{Face, Place};

use super::*;
use crate::browser::{DESKTOP, PHONE};

fn units(rack: Id, face: Face, unit: u8, left: u8) -> Option<Place> {
    let bottom = (unit - 1) * 2;
    Some(Place::Units {
        rack,
        face,
        bottom,
        left,
    })
}

#[test]
fn a_device_is_dragged_and_what_is_in_its_way_is_told_while_it_is_carried() {
    let (planner, Racks { east, .. }) = furnished();
    let browser = logged_in(&planner, DESKTOP, "ed");
    let alpha = device(&planner, "alpha");
    let from = browser.middle(&alpha);
    // Over beta it does not fit, and the page says so before anybody has asked the planner.
    let over_beta = spot(&browser, east, "front", 5, 6.0);
    browser.carry(from, over_beta);
    browser.until("document.querySelector('.target[data-fits=false]')");
    browser.until_text("#ghost p", "beta is there (units 5 to 6).");
    browser.until_text("#said", "Does not fit");
    browser.picture("dragged-onto-another");
    // Above it there is room.
    let free = spot(&browser, east, "front", 8, 6.0);
    browser.go(over_beta, free);
    browser.until("document.querySelector('.target[data-fits=true]')");
    assert_eq!(browser.text("#ghost p"), "");
    assert_eq!(planner.world().changes, [""; 0]);
    browser.drop_at(free);
    until_at(&browser, &planner, "alpha", Some(at(east, 8)));
    browser.until("!document.querySelector('#ghost, .target')");
    // Undo and redo are the same through the planner, with the keys that people know.
    browser.key("Ctrl+z");
    until_at(&browser, &planner, "alpha", Some(at(east, 2)));
    browser.until_text(".note", "Undone: alpha to East, unit 8, front.");
    browser.key("Ctrl+y");
    until_at(&browser, &planner, "alpha", Some(at(east, 8)));
    is_content(&browser);
}

#[test]
fn what_is_dropped_where_it_does_not_fit_goes_back() {
    let (planner, Racks { east, .. }) = furnished();
    let browser = logged_in(&planner, DESKTOP, "ed");
    let from = browser.middle(&device(&planner, "alpha"));
    let over_beta = spot(&browser, east, "front", 6, 6.0);
    browser.carry(from, over_beta);
    browser.drop_at(over_beta);
    browser.until_text(".note[data-is=bad]", "beta is there (units 5 to 6).");
    assert_eq!(place(&planner, "alpha"), Some(at(east, 2)));
    // Escape lets go of what is carried, wherever it is.
    let from = browser.middle(&device(&planner, "alpha"));
    let free = spot(&browser, east, "front", 8, 6.0);
    browser.carry(from, free);
    browser.until("document.querySelector('#ghost')");
    browser.key("Escape");
    browser.until("!document.querySelector('#ghost')");
    browser.drop_at(free);
    assert_eq!(planner.world().changes, [""; 0]);
    is_content(&browser);
}

#[test]
fn devices_go_between_racks_to_the_tray_and_onto_shelves_and_stand_side_by_side() {
    let (planner, Racks { east, west }) = furnished();
    let browser = logged_in(&planner, DESKTOP, "ed");
    let drag = |name: &str, to: &dyn Fn() -> Point| {
        let from = browser.middle(&device(&planner, name));
        let to = to();
        browser.carry(from, to);
        browser.drop_at(to);
    };
    drag("alpha", &|| spot(&browser, west, "front", 7, 6.0));
    until_at(&browser, &planner, "alpha", Some(at(west, 7)));
    drag("gamma", &|| {
        let corner = browser.value("(() => { const box = byId('tray-list').getBoundingClientRect(); return [box.x + 20, box.y + 10]; })()");
        (corner[0].as_f64().unwrap(), corner[1].as_f64().unwrap())
    });
    until_at(&browser, &planner, "gamma", None);
    browser.until(&format!(
        "document.querySelector('#tray {}')",
        device(&planner, "gamma")
    ));
    // Beside the one that is half as wide there is room for another.
    drag("right", &|| spot(&browser, west, "front", 4, 9.0));
    until_at(&browser, &planner, "right", units(west, Face::Front, 4, 6));
    // Where a shelf is, things stand on it.
    drag("tiny", &|| spot(&browser, east, "front", 10, 4.5));
    let board = planner.world().named("board").unwrap().id;
    until_at(
        &browser,
        &planner,
        "tiny",
        Some(Place::Shelf {
            rack: east,
            shelf: board,
            left: 3,
        }),
    );
    // What stands on a shelf goes where the shelf goes.
    let from = spot(&browser, east, "front", 10, 10.0);
    let to = spot(&browser, west, "front", 11, 10.0);
    browser.carry(from, to);
    browser.drop_at(to);
    until_at(&browser, &planner, "board", Some(at(west, 10)));
    assert_eq!(
        place(&planner, "tiny"),
        Some(Place::Shelf {
            rack: west,
            shelf: board,
            left: 3
        })
    );
    browser.until(&format!(
        "document.querySelector('svg[data-rack=\"{west}\"] {}')",
        device(&planner, "tiny")
    ));
    browser.picture("moved-about");
    is_content(&browser);
}

#[test]
fn the_rear_is_a_side_of_its_own() {
    let (planner, Racks { west, .. }) = furnished();
    let browser = logged_in(&planner, DESKTOP, "ed");
    browser.click("[data-faces=rear]");
    browser.until("!document.querySelector('svg[data-face=front]')");
    // Something of half depth on the front leaves the rear free, but something of full depth does not.
    let from = browser.middle(&device(&planner, "right"));
    let behind_gamma = spot(&browser, west, "rear", 1, 3.0);
    browser.carry(from, behind_gamma);
    browser.until_text(
        "#ghost p",
        "gamma on the other side (unit 1) needs the depth.",
    );
    let behind_left = spot(&browser, west, "rear", 4, 9.0);
    browser.go(behind_gamma, behind_left);
    browser.until("document.querySelector('.target[data-fits=true]')");
    browser.drop_at(behind_left);
    until_at(&browser, &planner, "right", units(west, Face::Rear, 4, 6));
    is_content(&browser);
}

#[test]
fn keys_do_what_a_mouse_does_and_tell_it() {
    let (planner, Racks { east, west }) = furnished();
    let browser = logged_in(&planner, DESKTOP, "ed");
    let focused = |name: &str| {
        let id = planner.world().named(name).unwrap().id;
        browser.until(&format!("document.activeElement.dataset?.id === '{id}'"));
    };
    // One device of a rack is reached by Tab; arrows go on from there.
    browser.value(&format!(
        "document.querySelector('svg[data-rack=\"{east}\"] [tabindex=\"0\"]').focus()"
    ));
    browser.key("End");
    browser.key("ArrowUp");
    focused("alpha");
    browser.key("Enter");
    browser.until_text("#said", "alpha is taken up.");
    for _ in 0..3 {
        browser.key("ArrowUp");
    }
    browser.until_text(
        "#said",
        "East, unit 5, front. Does not fit: beta is there (units 5 to 6).",
    );
    browser.key("Escape");
    browser.until_text("#said", "alpha stays where it was.");
    assert_eq!(planner.world().changes, [""; 0]);
    browser.key("Enter");
    browser.key("ArrowUp");
    browser.key("ArrowUp");
    browser.until_text("#said", "East, unit 4, front. Fits.");
    browser.key("Enter");
    until_at(&browser, &planner, "alpha", Some(at(east, 4)));
    focused("alpha");
    // Across, into the next rack, where there is something in the same unit.
    browser.key("Enter");
    browser.key("ArrowRight");
    browser.until_text(
        "#said",
        "West, unit 4, front. Does not fit: left is there (unit 4).",
    );
    browser.key("ArrowUp");
    browser.until_text("#said", "West, unit 5, front. Fits.");
    browser.key("Enter");
    until_at(&browser, &planner, "alpha", Some(at(west, 5)));
    focused("alpha");
    // Out of the rack.
    browser.key("Enter");
    browser.key("t");
    browser.until_text("#said", "Not placed. Fits.");
    browser.key("Enter");
    until_at(&browser, &planner, "alpha", None);
    focused("alpha");
    is_content(&browser);
}

#[test]
fn a_finger_that_rests_carries_and_one_that_moves_scrolls() {
    let (planner, Racks { east, .. }) = furnished();
    let browser = logged_in(&planner, PHONE, "ed");
    let (x, y) = browser.middle(&device(&planner, "beta"));
    let scrolled = browser.value("scrollY").as_f64().unwrap();
    browser.finger("touchStart", Some((x, y)));
    for step in 1..=8 {
        browser.finger("touchMove", Some((x, y - 20.0 * f64::from(step))));
    }
    browser.finger("touchEnd", None);
    browser.until(&format!("scrollY > {scrolled}"));
    // It rolls on for a while.
    browser.value("(async () => { for (let last = -1; last !== scrollY;) { last = scrollY; for (let frame = 0; frame < 5; frame += 1) await new Promise(requestAnimationFrame); } })()");
    assert_eq!(browser.value("carried"), serde_json::Value::Null);
    let from = browser.middle(&device(&planner, "beta"));
    let to = spot(&browser, east, "front", 8, 6.0);
    browser.finger("touchStart", Some(from));
    browser.until("document.querySelector('#ghost')");
    let scrolled = browser.value("scrollY");
    for step in 1..=8 {
        let part = f64::from(step) / 8.0;
        browser.finger("touchMove", Some((from.0, from.1 + (to.1 - from.1) * part)));
    }
    browser.until("document.querySelector('.target')");
    browser.picture("carried-by-a-finger");
    assert_eq!(browser.value("scrollY"), scrolled);
    browser.finger("touchEnd", None);
    until_at(&browser, &planner, "beta", Some(at(east, 7)));
    is_content(&browser);
}

#[test]
fn a_form_moves_without_any_dragging() {
    let (planner, Racks { west, .. }) = furnished();
    let browser = logged_in(&planner, DESKTOP, "ed");
    browser.click(&device(&planner, "alpha"));
    browser.until_text("#panel-title", "alpha");
    browser.value(&format!(
        "document.querySelector('#panel [name=at]').value = 'rack:{west}'"
    ));
    browser.fill("#panel [name=unit]", "9");
    browser.key("Enter");
    until_at(&browser, &planner, "alpha", Some(at(west, 9)));
    browser.until_text("#panel", "West, unit 9, front");
    is_content(&browser);
}
