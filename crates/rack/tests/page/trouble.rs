//! What the page says and does when not all is well: somebody else is quicker, or a part of the planner is away.

use super::*;
use crate::browser::DESKTOP;
use crate::world::Database;

#[test]
fn what_somebody_else_has_moved_meanwhile_is_told_and_shown() {
    let (planner, Racks { east, west }) = furnished();
    let browser = logged_in(&planner, DESKTOP, "ed");
    let from = browser.middle(&device(&planner, "alpha"));
    let to = spot(&browser, east, "front", 8, 6.0);
    let alpha = planner.world().named("alpha").unwrap().id;
    planner.world().put(alpha, Some(at(west, 9)));
    browser.carry(from, to);
    browser.drop_at(to);
    browser.until_text(
        ".note[data-is=bad]",
        "alpha stays where it was, because somebody else has changed it meanwhile.",
    );
    until_at(&browser, &planner, "alpha", Some(at(west, 9)));
    // A device that is gone is told of, too.
    let from = browser.middle(&device(&planner, "gamma"));
    let to = spot(&browser, west, "front", 6, 6.0);
    let gamma = planner.world().named("gamma").unwrap().id;
    planner.world().devices.remove(&gamma);
    browser.carry(from, to);
    browser.drop_at(to);
    browser.until_text(
        ".note[data-is=bad]",
        "because somebody else has deleted it meanwhile",
    );
    browser.until(&format!("!itemOf({gamma})"));
    is_content(&browser);
}

#[test]
fn what_the_planner_knows_better_sends_the_device_back_with_its_sentences() {
    let (planner, Racks { east, .. }) = furnished();
    let browser = logged_in(&planner, DESKTOP, "ed");
    // Somebody puts another one there, of which this page has not heard.
    let kind = planner.world().named("alpha").unwrap().fields.kind;
    planner.world().device("newcomer", kind, Some(at(east, 8)));
    planner.world().holds = true;
    let from = browser.middle(&device(&planner, "alpha"));
    let to = spot(&browser, east, "front", 8, 6.0);
    browser.carry(from, to);
    browser.drop_at(to);
    // It is shown there at once, as something that is not certain.
    browser.until(&format!(
        "document.querySelector('{}').classList.contains('waits')",
        device(&planner, "alpha")
    ));
    browser.until_text("#link", "Saving…");
    planner.release();
    browser.until_text(".note[data-is=bad]", "newcomer");
    until_at(&browser, &planner, "alpha", Some(at(east, 2)));
    is_content(&browser);
}

#[test]
fn what_others_have_changed_is_not_undone() {
    let (planner, Racks { east, west }) = furnished();
    let browser = logged_in(&planner, DESKTOP, "ed");
    let from = browser.middle(&device(&planner, "alpha"));
    let to = spot(&browser, east, "front", 8, 6.0);
    browser.carry(from, to);
    browser.drop_at(to);
    until_at(&browser, &planner, "alpha", Some(at(east, 8)));
    let alpha = planner.world().named("alpha").unwrap().id;
    planner.world().put(alpha, Some(at(west, 9)));
    browser.value("refresh()");
    browser.click("#undo");
    browser.until_text(
        ".note[data-is=bad]",
        "alpha was changed by somebody else since",
    );
    assert_eq!(place(&planner, "alpha"), Some(at(west, 9)));
    is_content(&browser);
}

#[test]
fn without_a_database_or_a_network_the_page_says_so_and_goes_on_by_itself() {
    let (planner, Racks { east, .. }) = furnished();
    let browser = logged_in(&planner, DESKTOP, "ed");
    let drag = || {
        let from = browser.middle(&device(&planner, "alpha"));
        let to = spot(&browser, east, "front", 8, 6.0);
        browser.carry(from, to);
        browser.drop_at(to);
    };
    planner.world().database = Database::Gone;
    drag();
    browser.until_text("#link", "The planner has no database since");
    browser.until_text(".note[data-is=bad]", "alpha stays where it was.");
    until_at(&browser, &planner, "alpha", Some(at(east, 2)));
    planner.world().database = Database::Kept;
    browser.until_text("#link", "may be out of date");
    planner.world().database = Database::There;
    browser.until_text("#link", "Saved");

    browser.network(false);
    drag();
    browser.until_text("#link", "The planner does not answer since");
    until_at(&browser, &planner, "alpha", Some(at(east, 2)));
    browser.picture("offline");
    browser.network(true);
    browser.until_text("#link", "Saved");
    drag();
    until_at(&browser, &planner, "alpha", Some(at(east, 8)));
    // A session that has ended asks for another login.
    planner.world().role = None;
    browser.value("refresh()");
    browser.until(
        "!document.querySelector('#login').hidden && document.querySelector('#plan').hidden",
    );
    is_content(&browser);
}
