//! The page in a real browser: what it says and draws, in every size, and how it is used.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

#[path = "support/browser.rs"]
mod browser;
#[path = "support/house.rs"]
mod house;

use browser::{Browser, View};
use house::{House, Story};

/// A wall of 1080 lines, a laptop, the small screen of a Raspberry Pi, and a phone.
const SIZES: [(u32, u32); 4] = [(1920, 1080), (1280, 800), (800, 480), (390, 844)];
/// Both charts are drawn.
const DRAWN: &str = "document.querySelectorAll('.plot svg').length === 2";

/// What a test asks of a page more than once.
const HELPERS: &str = r"
    window.all = (selector) => [...document.querySelectorAll(selector)];
    window.box = (element) => element.getBoundingClientRect();
    window.middle = (element) => [box(element).x + box(element).width / 2, box(element).y + box(element).height / 2];
    const linear = (part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const over = (front, back, opacity) => front.slice(0, 3).map((part, i) => part * opacity + back[i] * (1 - opacity));
    // https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
    window.contrast = (front, back, opacity = 1) => {
        const [a, b] = [light(over(channels(front), channels(back), opacity)), light(channels(back))];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    };
    window.ground = (element) => {
        const colour = getComputedStyle(element).backgroundColor;
        return channels(colour)[3] === 0 && element.parentElement ? ground(element.parentElement) : colour;
    };
    true";

fn wall() -> View {
    View {
        width: 1920,
        height: 1080,
        dark: false,
        language: "en-AU",
    }
}

fn phone() -> View {
    View {
        width: 390,
        height: 844,
        ..wall()
    }
}

fn open(browser: &mut Browser, house: &House, view: View) {
    browser.open(&house.address("/"), view, DRAWN);
    browser.value(HELPERS);
}

/// Where on the page an expression's element has its middle.
fn middle(browser: &mut Browser, element: &str) -> (f64, f64) {
    let place = browser.value(&format!("middle({element})"));
    (place[0].as_f64().unwrap(), place[1].as_f64().unwrap())
}

const READING: &str = "document.querySelector('#chart .reading').textContent";

#[test]
fn everybody_can_read_it_from_a_phone_to_a_wall_by_day_and_by_night() {
    let (house, mut browser) = (House::new(Story::Usual), Browser::start());
    for ((width, height), dark) in SIZES
        .into_iter()
        .flat_map(|size| [(size, false), (size, true)])
    {
        let view = View {
            width,
            height,
            dark,
            ..wall()
        };
        let here = format!("{width}x{height}{}", if dark { "-dark" } else { "" });
        open(&mut browser, &house, view);
        browser.picture(&here);
        assert_eq!(browser.complaints(), [""; 0], "{here}");
        let beyond = browser.value(
            "all('body *').filter((e) => box(e).width && (box(e).right > innerWidth + 1 \
             || (innerWidth > 500 && box(e).bottom > innerHeight + 1))).map((e) => e.outerHTML.slice(0, 80))",
        );
        assert_eq!(
            beyond,
            serde_json::json!([]),
            "{here}: beyond the screen's edge"
        );

        // Words on the charts lie neither on each other nor outside of their chart.
        let clashes = browser.value(
            "all('.plot').flatMap((plot) => { const words = [...plot.querySelectorAll('text')]; \
             return words.flatMap((a, i) => [...words.slice(i + 1).filter((b) => box(a).left < box(b).right - 1 && box(b).left < box(a).right - 1 \
             && box(a).top < box(b).bottom - 5 && box(b).top < box(a).bottom - 5).map((b) => a.textContent + ' on ' + b.textContent), \
             ...(box(a).left < box(plot).left - 2 || box(a).right > box(plot).right + 6 ? [a.textContent + ' is cut'] : [])]); })",
        );
        assert_eq!(clashes, serde_json::json!([]), "{here}");

        // WCAG 2.2: 4.5 for words, 3 for what else has a meaning.
        let faint = browser.value(
            "[...all('h1, h2, p, b, span, small, time, li, button').filter((e) => e.textContent.trim() && e.children.length === 0 && box(e).width) \
             .map((e) => [e.textContent, contrast(getComputedStyle(e).color, ground(e)), 4.5]), \
             ...all('.plot text').map((e) => [e.textContent, contrast(getComputedStyle(e).fill, ground(e.closest('figure'))), 4.5]), \
             ...all('.plot .bar').map((e) => ['a bar, ' + e.dataset.level, contrast(getComputedStyle(e).fill, ground(e.closest('figure')), +getComputedStyle(e).opacity), 3])] \
             .filter(([, is, wanted]) => is < wanted).map(([what, is]) => `${what}: ${is.toFixed(2)}`)",
        );
        assert_eq!(faint, serde_json::json!([]), "{here}: contrast");

        let size = browser.value("parseFloat(getComputedStyle(all('.plot text')[0]).fontSize)");
        // 28 pixels of a 24-inch screen are 7.7 mm: at 2 m, capitals of 9 minutes of arc, nearly twice what normal sight
        // needs. A phone is held in the hand.
        let least = if width == 1920 { 28.0 } else { 15.0 };
        assert!(size.as_f64().unwrap() >= least, "{here}: {size} px");
    }
}

#[test]
fn it_says_when_it_is_cheapest_and_what_the_colours_and_lines_mean() {
    let (house, mut browser) = (House::new(Story::Usual), Browser::start());
    for (language, wanted, midday) in [
        (
            "en-AU",
            "Cheapest from 2 to 3:30 am: about 10 c/kWh",
            "12 pm",
        ),
        (
            "en-US",
            "Cheapest from 2 to 3:30 AM: about 10 c/kWh",
            "12 PM",
        ),
        (
            "de-DE",
            "Cheapest from 02:00 to 03:30: about 10 c/kWh",
            "12:00",
        ),
    ] {
        let view = View { language, ..wall() };
        open(&mut browser, &house, view);
        let said = browser.text("document.querySelector('#cheapest').textContent");
        assert_eq!(said, wanted);
        let texts = browser.text("all('#chart .plot text').map((e) => e.textContent).join('|')");
        for word in ["now", "midnight"] {
            assert!(
                texts.split('|').any(|text| text == word),
                "{word} in {texts}"
            );
        }
        let tomorrow = house.tomorrow();
        assert!(texts.contains(&tomorrow), "{tomorrow} in {texts}");
        let usage = browser.text("all('#usage .plot text').map((e) => e.textContent).join('|')");
        assert!(usage.contains(midday), "{midday} in {usage}");
    }
    let legend = browser.text(
        "all('#chart .legend li').filter((e) => box(e).width).map((e) => e.textContent).join()",
    );
    assert_eq!(legend, "Extremely low,Very low,Low,Neutral,High,Spike");
    // The band is where the bars of that stretch are.
    let aside = browser.value(
        "(() => { const band = box(all('#chart .band')[0]), bars = all('#chart .bar').filter((e) => e.dataset.level === 'extremelyLow').map(box); \
         return Math.max(Math.abs(band.left - bars[0].left), Math.abs(band.right - bars.at(-1).right)); })()",
    );
    assert!(aside.as_f64().unwrap() < 4.0, "{aside} px");
    // The dates of a German's page are English, as its other words are.
    let clock = browser.text("document.querySelector('#clock').textContent");
    assert!(
        clock.starts_with(&house.today()[..3]),
        "{clock}, {}",
        house.today()
    );
}

#[test]
fn a_mouse_a_finger_and_the_keys_ask_for_a_value() {
    let (house, mut browser) = (House::new(Story::Usual), Browser::start());
    let cheap = "all('#chart .bar').find((e) => e.dataset.level === 'extremelyLow')";
    let told = "2 to 2:30 am: 10.0 c/kWh, extremely low, expected";
    let title = "document.querySelector('#chart figcaption b').hidden";

    open(&mut browser, &house, wall());
    let place = middle(&mut browser, cheap);
    browser.hover(place);
    browser.wait_until(title);
    assert_eq!(browser.text(READING), told);
    browser.picture("hover");
    browser.hover((1.0, 1.0));
    browser.wait_until(&format!("!{title}"));

    browser.value("document.querySelector('#chart .plot').focus()");
    // From the interval that holds, the arrows go to those beside it.
    browser.press("ArrowRight");
    let next = browser.text(READING);
    browser.press("ArrowLeft");
    let holds = browser.text(READING);
    for reading in [&next, &holds] {
        assert!(reading.contains(" pm: 45.0 c/kWh, high, "), "{reading}");
    }
    assert_ne!(next, holds);
    browser.press("End");
    let last = browser.text(READING);
    browser.press("ArrowRight");
    assert_eq!(browser.text(READING), last, "beyond the last one is none");
    // A screen reader is told the same, and in words what the whole chart shows.
    let heard = "all('.plot').map((e) => e.getAttribute('aria-valuetext')).join('|')";
    assert_eq!(browser.text(heard).split('|').next(), Some(&*last));
    browser.press("Escape");
    let whole = browser.text(heard);
    assert!(
        whole.starts_with("from 10.0 to 45.0 c/kWh. Cheapest from 2 to 3:30 am"),
        "{whole}"
    );
    assert!(whole.contains("|22.2 kWh used, $5.55; "), "{whole}");
    for (role, names) in [
        ("slider", &["Price by time", "Usage by hour"][..]),
        ("status", &[""]),
        (
            "heading",
            &["Fed in", "Feed-in now", "High", "Renewables", "Yesterday"],
        ),
        (
            "region",
            &["Price now", "Prices of the next hours", "Usage"],
        ),
    ] {
        assert_eq!(browser.names(role), names, "{role}");
    }

    browser.value("document.querySelector('#usage .plot').focus()");
    browser.press("Home");
    let usage = browser.text("document.querySelector('#usage .reading').textContent");
    assert_eq!(usage, "12 to 1 am: 0.60 kWh used, $0.15");

    // All of it again, as a table.
    browser.value("document.querySelector('#chart button').click()");
    browser.wait_until("document.querySelectorAll('#chart td').length > 100");
    let row = browser.text(
        "all('#chart tr').map((e) => [...e.cells].map((c) => c.textContent).join('|')).filter((row) => row.startsWith('2 to 2:30')).at(-1)",
    );
    assert_eq!(row, "2 to 2:30 am|10.0|Extremely low|expected");
    browser.value("document.querySelector('#chart button').click()");
    browser.wait_until(DRAWN);

    open(&mut browser, &house, phone());
    browser.value("document.querySelector('#chart').scrollIntoView()");
    let place = middle(&mut browser, cheap);
    browser.tap(place);
    browser.wait_until(title);
    assert_eq!(browser.text(READING), told);
    let cut = browser.value(
        "(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)(all('#chart .reading')[0])",
    );
    assert_eq!(cut, false, "the whole of it can be read");
    browser.picture("tap");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn what_is_not_known_is_a_gap_and_what_is_out_of_all_proportion_is_cut_off_and_labelled() {
    let mut browser = Browser::start();
    let house = House::new(Story::Gaps);
    open(&mut browser, &house, wall());
    browser.picture("gaps");
    let unknown =
        browser.text("all('.legend .unknown').filter((e) => !e.hidden).length.toString()");
    assert_eq!(unknown, "2", "both legends explain the hatching");
    let gap = middle(&mut browser, "all('#chart .gap')[0]");
    browser.hover(gap);
    assert_eq!(browser.text(READING), "8 to 11 pm: not known");
    let tiles = browser.text("all('#ahead article').map((e) => e.textContent).join()");
    assert!(tiles.contains("–Not known"), "{tiles}");
    let gap = middle(&mut browser, "all('#usage .gap')[0]");
    browser.hover(gap);
    let usage = browser.text("document.querySelector('#usage .reading').textContent");
    assert_eq!(usage, "9 am to 2 pm: not known");
    let day = browser.text("document.querySelector('#day').textContent");
    assert_eq!(day, "Yesterday, in part");

    let house = House::new(Story::Spike);
    for (width, height) in SIZES {
        let view = View {
            width,
            height,
            ..wall()
        };
        open(&mut browser, &house, view);
        browser.picture(&format!("spike-{width}"));
        let cut = browser.text("all('#chart .over').map((e) => e.textContent).join()");
        assert_eq!(cut, "▲ 1540,▼ −150");
        let outside = browser.value(
            "all('.plot').flatMap((plot) => [...plot.querySelectorAll('.bar')].filter((e) => box(e).top < box(plot).top - 1 || box(e).bottom > box(plot).bottom + 1)).length",
        );
        assert_eq!(outside, 0, "no bar leaves its chart");
        // The prices of all other hours can still be told from each other.
        let usual = browser
            .value("Math.max(...all('#chart .bar[data-level=high]').map((e) => box(e).height)) / box(all('#chart .plot')[0]).height");
        assert!(usual.as_f64().unwrap() > 0.1, "{width}: {usual}");
        let beyond = browser.value("document.documentElement.scrollWidth > innerWidth");
        assert_eq!(beyond, false, "{width}");
    }
    let earned = browser.text("document.querySelector('#cheapest').textContent");
    assert_eq!(
        earned, "Cheapest from 6 to 7 am: about −150 c/kWh",
        "a negative price is the cheapest"
    );
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn without_amber_and_even_without_the_device_it_shows_what_is_known_and_since_when() {
    let mut browser = Browser::start();
    let house = House::new(Story::Old);
    open(&mut browser, &house, wall());
    browser.picture("old");
    let state = browser.text("document.querySelector('#state').textContent");
    assert!(
        state.starts_with("Cannot reach Amber; prices are from "),
        "{state}"
    );
    let cheapest = browser.text("document.querySelector('#cheapest').textContent");
    assert_eq!(cheapest, "", "of two hours none is recommended");
    let label = browser.text("all('#chart .over').map((e) => e.textContent).join()");
    assert_eq!(label, "not known");
    assert_eq!(browser.complaints(), [""; 0]);

    house.stop();
    browser.value("refreshNow()");
    let state = browser.text("document.querySelector('#state').textContent");
    assert!(state.starts_with("No answer since "), "{state}");
    let bars = browser.value("all('#chart .bar').length");
    assert!(bars.as_u64().unwrap() >= 10, "{bars}");

    let house = House::new(Story::New);
    browser.open(
        &house.address("/"),
        wall(),
        "document.querySelectorAll('.plot p').length === 2",
    );
    browser.picture("new");
    let words = browser
        .text("[...document.querySelectorAll('.plot p')].map((e) => e.textContent).join('|')");
    assert_eq!(
        words,
        "No prices are known of these hours|No usage is known yet: Amber tells it a day late"
    );
}

#[test]
fn times_are_the_house_s_and_clocks_the_viewer_s() {
    /// What is the cheapest of half hours at these prices, null where none is known.
    const CHEAPEST: &str = "window.cheapest = (cents) => { const best = cheapestOf(cents.map((per_kwh, i) => ({ from: i * 1800, to: i * 1800 + 1800, per_kwh })) \
             .filter((p) => p.per_kwh !== null), 0); return !best ? 'none' : best.all ? 'all' : `${best.from / 1800}..${best.to / 1800}`; }; true";
    let (house, mut browser) = (House::new(Story::Usual), Browser::start());
    let mut viewer = None;
    for (language, zone, expression, wanted) in [
        // 2026-12-01 00:00 UTC is 10:30 in Adelaide, and 11:00 in Sydney.
        (
            "en-AU",
            "Australia/Sydney",
            "timeOf(1796083200)",
            "11:00 am",
        ),
        (
            "en-AU",
            "Australia/Sydney",
            "shortTime(1796083200)",
            "11 am",
        ),
        (
            "en-AU",
            "Australia/Adelaide",
            "timeOf(1796083200)",
            "10:30 am",
        ),
        (
            "en-AU",
            "Australia/Adelaide",
            "hourOf(1796083200) - 1796083200",
            "-1800",
        ),
        (
            "sv-SE",
            "Australia/Adelaide",
            "shortTime(1796083200)",
            "10:30",
        ),
        (
            "sv-SE",
            "Australia/Sydney",
            "shortTime(1796083200)",
            "11:00",
        ),
        (
            "en-GB",
            "Australia/Sydney",
            "span(1796083200, 1796083200 + 5400)",
            "11:00 to 12:30",
        ),
        (
            "en-AU",
            "Australia/Sydney",
            "span(1796083200, 1796083200 + 5400)",
            "11 am to 12:30 pm",
        ),
        (
            "en-AU",
            "Australia/Sydney",
            "span(1796083200 + 3600, 1796083200 + 9000)",
            "12 to 1:30 pm",
        ),
        // The same half of another day is another time.
        (
            "en-AU",
            "Australia/Sydney",
            "span(1796083200, 1796083200 + 86400)",
            "11 am to 11 am",
        ),
        // Clocks of Lord Howe Island are changed by half an hour, those of Sydney by an hour: 2026-10-04.
        (
            "en-AU",
            "Australia/Sydney",
            "hoursBetween(1791036000, 1791036000 + 7200).map((h) => h.hour).join()",
            "0,1,3",
        ),
        ("en-AU", "Not/AZone", "timeOf(1796083200)", "12:00 am"),
        // What is cheapest: an hour at least, with what costs about as much beside it; not across a gap.
        ("en-AU", "UTC", "cheapest([9, 9, 5, 5.5, 6, 9, 9])", "2..5"),
        ("en-AU", "UTC", "cheapest([9, 9, 5, 9, 6, 6, 9])", "4..6"),
        (
            "en-AU",
            "UTC",
            "cheapest([9, 9, 5, null, 5, 8, 9, 9])",
            "4..6",
        ),
        ("en-AU", "UTC", "cheapest([9, 9, -5, -4, 0, 9, 9])", "2..4"),
        ("en-AU", "UTC", "cheapest([7, 7, 7, 7, 7, 7, 7])", "all"),
        ("en-AU", "UTC", "cheapest([7, 3, 3])", "none"),
        ("en-AU", "UTC", "cheapest([])", "none"),
        // Values on an axis are round, and 0 is one of them.
        ("en-AU", "UTC", "valueTicks(-2.9, 2.1, 3).join()", "-2,0,2"),
        (
            "en-AU",
            "UTC",
            "valueTicks(0, 46, 5).join()",
            "0,10,20,30,40",
        ),
        (
            "en-AU",
            "UTC",
            "valueTicks(0, 0.3, 3).join()",
            "0,0.1,0.2,0.3",
        ),
        // What is far above the usual is cut off, on either side.
        (
            "en-AU",
            "UTC",
            "JSON.stringify(rangeOf([20, 30, 25, 30, 1700]))",
            "{\"low\":0,\"high\":90}",
        ),
        (
            "en-AU",
            "UTC",
            "JSON.stringify(rangeOf([20, 30, 25, 30, -900]))",
            "{\"low\":-90,\"high\":30}",
        ),
        (
            "en-AU",
            "UTC",
            "JSON.stringify(rangeOf([3, 4, -5, 6]))",
            "{\"low\":-5,\"high\":20}",
        ),
    ] {
        if viewer != Some(language) {
            open(&mut browser, &house, View { language, ..wall() });
            browser.value(CHEAPEST);
            viewer = Some(language);
        }
        let said = browser.text(&format!("setZone('{zone}'), String({expression})"));
        assert_eq!(said, wanted, "{expression} in {zone}, for {language}");
    }
}
