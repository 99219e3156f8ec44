//! The page as people use it: in a real browser, with mouse, fingers and keys, on a planner that is in memory.

#![expect(
    clippy::disallowed_methods,
    reason = "tests write files as they please"
)]

mod api;
mod browser;
mod hands;
mod looks;
mod people;
mod trouble;
mod world;

use api::{PASSWORD, Planner};
use browser::{Browser, Point, Window};
use rack::plan::model::{Id, Place};
use world::{World, at};

/// Two racks of twelve units, East and West, with something in them and beside them.
#[derive(Clone, Copy)]
struct Racks {
    east: Id,
    west: Id,
}

/// A planner with two racks, and what is in them:
///
/// - East: `sockets` beside the units, `alpha` in unit 2, `beta` in units 5 to 6, the shelf `board` in units 9 to 11
/// - West: `gamma` in unit 1, and `left`, which is half as wide and as deep, in unit 4
/// - in no rack: `right`, which is like `left`, and `tiny`, which stands on shelves
fn furnished() -> (Planner, Racks) {
    let planner = Planner::start();
    let racks = furnish(&mut planner.world());
    (planner, racks)
}

fn furnish(world: &mut World) -> Racks {
    let (east, west) = (world.rack("East", 12), world.rack("West", 12));
    let server = world.kind("Server", |_| {});
    let big = world.kind("Big server", |kind| {
        (kind.halves, kind.watts) = (4, 900.0);
    });
    let shelf = world.kind("Shelf", |kind| {
        (kind.halves, kind.shelf, kind.watts) = (6, true, 0.0);
        kind.category = "shelf".into();
    });
    let small = world.kind("Small", |kind| {
        (kind.halves, kind.columns, kind.watts) = (4, 3, 40.0);
    });
    let half = world.kind("Half", |kind| {
        (kind.columns, kind.full_depth) = (6, false);
        kind.category = "switch".into();
    });
    let strip = world.kind("Strip", |kind| {
        (kind.halves, kind.watts) = (0, 0.0);
        kind.category = "power".into();
    });
    for (name, kind, place) in [
        ("sockets", strip, Some(at(east, 1))),
        ("alpha", server, Some(at(east, 2))),
        ("beta", big, Some(at(east, 5))),
        ("board", shelf, Some(at(east, 9))),
        ("gamma", server, Some(at(west, 1))),
        ("left", half, Some(at(west, 4))),
        ("right", half, None),
        ("tiny", small, None),
    ] {
        world.device(name, kind, place);
    }
    Racks { east, west }
}

/// A browser in which somebody has logged in: `ada` may do everything, `ed` may change racks, `eve` may look.
fn logged_in(planner: &Planner, window: Window, name: &str) -> Browser {
    let browser = Browser::start(window);
    browser.open(&planner.url());
    browser.until("!document.querySelector('#login').hidden");
    browser.fill("#login-name", name);
    browser.fill("#login-password", PASSWORD);
    browser.key("Enter");
    browser.until(
        "!document.querySelector('#plan').hidden && state.plans.size === state.shown.length",
    );
    browser
}

/// The selector of a device: in a picture of a rack, or in the tray.
fn device(planner: &Planner, name: &str) -> String {
    let id = planner.world().named(name).expect(name).id;
    format!(".device[data-id=\"{id}\"]:not(.behind)")
}

/// Where a device is, as the planner knows it.
fn place(planner: &Planner, name: &str) -> Option<Place> {
    planner.world().named(name).expect(name).place
}

/// Waits until the page knows that a device is somewhere, which is so for the planner, too.
fn until_at(browser: &Browser, planner: &Planner, name: &str, wanted: Option<Place>) {
    let id = planner.world().named(name).expect(name).id;
    let wanted = serde_json::json!(wanted);
    browser.until(&format!(
        "state.pending.size === 0 && same(itemOf({id})?.device.place, {wanted})"
    ));
    assert_eq!(serde_json::json!(place(planner, name)), wanted, "{name}");
}

/// The point of the window where a unit and a column of a rack's face are seen, as it is scrolled now.
fn spot(browser: &Browser, rack: Id, face: &str, unit: u8, column: f64) -> Point {
    let found = browser.value(&format!(
        "(() => {{ const svg = document.querySelector('svg[data-rack=\"{rack}\"][data-face={face}]'); const box = svg.getBoundingClientRect(); \
         const scale = box.width / svg.viewBox.baseVal.width; const units = state.racks.get({rack}).units; \
         return [box.x + (INNER_LEFT + {column} * COLUMN) * scale, box.y + (yOf(units, ({unit} - 1) * 2, 2) + UNIT / 2) * scale]; }})()"
    ));
    (found[0].as_f64().unwrap(), found[1].as_f64().unwrap())
}

/// Nothing of the page itself went wrong.
fn is_content(browser: &Browser) {
    assert_eq!(browser.complaints(), [""; 0]);
}
