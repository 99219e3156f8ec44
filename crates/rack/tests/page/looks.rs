//! How it looks: on windows of all sizes, by day and by night, on paper, and with thirty full racks.

use super::*;
use crate::browser::DESKTOP;

/// Servers from the bottom to the top, warm ones among them.
fn full(world: &mut World, racks: usize, units: u8) -> Vec<Id> {
    let kinds = [
        ("Server", 350.0, "server"),
        ("Switch", 90.0, "switch"),
        ("Storage", 250.0, "storage"),
        ("Panel", 0.0, "patch panel"),
    ];
    let kinds = kinds.map(|(model, watts, category)| {
        world.kind(model, |kind| {
            (kind.watts, kind.category) = (watts, category.into())
        })
    });
    (1..=racks)
        .map(|number| {
            let rack = world.rack(&format!("Row {number}"), units);
            let fields = &mut world.racks.get_mut(&rack).unwrap().fields;
            (fields.watts, fields.kilograms) = (Some(20_000.0), None);
            for unit in 1..=units {
                let kind = kinds[usize::from(unit) * 7 % 10 % kinds.len()];
                world.device(&format!("host-{number}-{unit}"), kind, Some(at(rack, unit)));
            }
            rack
        })
        .collect()
}

#[test]
fn it_fits_on_every_window_by_day_and_by_night() {
    let (planner, _) = furnished();
    full(&mut planner.world(), 2, 42);
    let browser = logged_in(&planner, DESKTOP, "ada");
    for (width, height) in [(390, 844), (800, 480), (1280, 900), (1920, 1080)] {
        for dark in [false, true] {
            browser.window(Window {
                width,
                height,
                dark,
                touch: width < 500,
            });
            browser.value(
                "(showFaces(innerWidth > 1500 ? 'both' : 'front'), select(null), scrollTo(0, 0))",
            );
            let name = format!("{width}-{}", if dark { "night" } else { "day" });
            browser.picture(&name);
            browser.click(&device(&planner, "beta"));
            browser.until_text("#panel-title", "beta");
            browser.picture(&format!("{name}-panel"));
            // Nothing sticks out at the side.
            browser.until("document.documentElement.scrollWidth <= innerWidth");
        }
    }
    is_content(&browser);
}

#[test]
fn heat_is_told_in_words_and_shown_beside_the_units() {
    let (planner, Racks { east, .. }) = furnished();
    let stove = planner.world().kind("Stove", |kind| {
        kind.watts = 2500.0;
        kind.airflow = rack::plan::model::Airflow::Passive;
    });
    planner.world().device("stove", stove, Some(at(east, 3)));
    let browser = logged_in(&planner, DESKTOP, "eve");
    let rack = format!(".rack[data-rack=\"{east}\"]");
    browser.until_text(&format!("{rack} .trouble"), "Hot at units");
    browser.until_text(&format!("{rack} .trouble"), "W");
    browser.until(&format!("document.querySelector('{rack} .level .hot')"));
    browser.until_text(&format!("{rack} [data-sum=power] dd"), "3,600 of 3,000 W");
    browser.picture("hot");
    browser.click(&format!("{rack} .menu summary"));
    browser.click(&format!("{rack} .menu button:nth-of-type(3)"));
    browser.until_text("dialog tr[data-is=bad]", "hot");
    browser.until_text("dialog .facts", "CFM");
    browser.picture("heat");
    is_content(&browser);
}

#[test]
fn on_paper_each_rack_has_a_page_with_both_sides() {
    let (planner, _) = furnished();
    full(&mut planner.world(), 1, 42);
    let browser = logged_in(&planner, DESKTOP, "eve");
    assert_eq!(
        browser.value("document.querySelectorAll('svg[data-face=rear]').length"),
        0
    );
    assert_eq!(browser.print("printed"), 3);
    // Afterwards the page is as it was.
    browser.until("document.querySelectorAll('svg[data-face=rear]').length === 0");
    browser.value("(beforePrint = null, addEventListener('beforeprint', () => { beforePrint = document.querySelectorAll('svg[data-face=rear]').length; }))");
    browser.print("printed");
    browser.until("beforePrint === 3");
    is_content(&browser);
}

#[test]
fn of_thirty_full_racks_only_what_has_changed_is_drawn_anew() {
    let planner = Planner::start();
    let racks = full(&mut planner.world(), 30, 42);
    let (first, last) = (racks[0], racks[29]);
    let gone = planner.world().named("host-30-42").unwrap().id;
    planner.world().devices.remove(&gone);
    let browser = logged_in(&planner, DESKTOP, "ed");
    browser.click("#all");
    browser.until("document.querySelectorAll('.rack').length === 30");
    browser.until("document.querySelectorAll('svg .device').length === 30 * 42 - 1");
    browser.value("for (const node of document.querySelectorAll('svg .device, svg .level, .rack')) node.old = true");
    let id = planner.world().named("host-1-5").unwrap().id;
    browser.value(&format!("move({id}, {})", serde_json::json!(at(last, 42))));
    until_at(&browser, &planner, "host-1-5", Some(at(last, 42)));
    browser.value("refresh()");
    browser.until(&format!(
        "document.querySelector('svg[data-rack=\"{last}\"] .device[data-id=\"{id}\"]')"
    ));
    let new = browser.value("[...document.querySelectorAll('svg .device')].filter((node) => !node.old).map((node) => node.dataset.id)");
    assert_eq!(new, serde_json::json!([id.to_string()]));
    // Temperatures have changed in these two racks and in no other.
    let warmer = browser.value("[...new Set([...document.querySelectorAll('svg .level')].filter((node) => !node.old).map((node) => Number(node.closest('svg').dataset.rack)))]");
    let warmer: Vec<i64> = serde_json::from_value(warmer).unwrap();
    assert!(
        warmer.iter().all(|rack| [first, last].contains(rack)),
        "{warmer:?}"
    );
    is_content(&browser);
}
