//! The same as metrics. What cannot be told has no value, and `lichen_supported` says so.

use super::Told;
use crate::openmetrics::{Families, labels};
use crate::state::Generation;
use protocol::status::{Following, Standing};
use protocol::vitals::{Card, Fallback, Refusal, Vitals};

/// The longest reason that becomes a label, in characters.
const WORDS: usize = 200;

pub(super) fn text(told: &Told) -> String {
    let mut families = Families::default();
    generation(&mut families, told);
    fallback(&mut families, &told.vitals);
    update(&mut families, told);
    if let Some(card) = &told.vitals.card {
        self::card(&mut families, card);
    }
    surroundings(&mut families, &told.vitals);
    supported(&mut families, told);
    families.text()
}

fn generation(families: &mut Families, told: &Told) {
    let number = told.generation.map(|Generation(number)| number.to_string());
    let info = labels(&[
        ("generation", number.as_deref().unwrap_or("")),
        ("version", told.vitals.version.as_deref().unwrap_or("")),
        ("toplevel", told.toplevel.as_deref().unwrap_or("")),
    ]);
    families.gauges("lichen_generation", "What runs", [(info, 1)]);
    let now = match told.standing {
        Standing::Good => "good",
        Standing::Trial if !told.booted => "live",
        Standing::Trial => "trial",
        Standing::Other => "other",
        Standing::Unknown => "unknown",
    };
    families.gauges(
        "lichen_generation_standing",
        "Whether it is the good generation, on trial, switched to live before its trial, or none of them",
        ["good", "trial", "live", "other", "unknown"]
            .map(|word| (labels(&[("standing", word)]), u8::from(word == now))),
    );
    families.gauge(
        "lichen_boot_readable",
        "Whether BOOT says what boots next",
        Some(u8::from(told.boot_readable)),
    );
}

fn fallback(families: &mut Families, vitals: &Vitals) {
    families.counter(
        "lichen_fallbacks",
        "Generations that were left as they did not work",
        Some(vitals.fallbacks),
    );
    if let Some(Fallback { from, why, at, .. }) = &vitals.fallback {
        let why: String = why.chars().take(WORDS).collect();
        let labels = labels(&[("generation", &from.to_string()), ("why", &why)]);
        families.gauges(
            "lichen_last_fallback_timestamp_seconds",
            "When that happened last, by the device's clock",
            [(labels, at)],
        );
    }
}

fn update(families: &mut Families, told: &Told) {
    families.gauge(
        "lichen_update_following",
        "Whether a channel is followed",
        Some(u8::from(told.update.is_some())),
    );
    let Some(update) = &told.update else { return };
    let Following {
        reached_seconds_ago,
        behind_seconds,
        last,
        ..
    } = update;
    families.gauge(
        "lichen_update_reached_age_seconds",
        "Time since the channel was reached last, or since boot if it never was",
        Some(reached_seconds_ago.unwrap_or(told.uptime)),
    );
    families.gauge(
        "lichen_update_behind_seconds",
        "For how long the channel has named something else than what runs",
        Some(behind_seconds.unwrap_or(0)),
    );
    let refusal = last.as_ref().and_then(|last| last.refusal);
    families.gauges(
        "lichen_update_refused",
        "Why the last update did not succeed, if it did not",
        Refusal::ALL.map(|reason| {
            let refused = u8::from(Some(reason) == refusal);
            (labels(&[("reason", reason.word())]), refused)
        }),
    );
}

fn card(families: &mut Families, card: &Card) {
    let model = card.model.as_deref().unwrap_or("");
    families.gauges(
        "lichen_card",
        "The disk that DATA is on",
        [(labels(&[("disk", &card.disk), ("model", model)]), 1)],
    );
    families.gauge("lichen_card_size_bytes", "Its size", card.size);
    families.counter(
        "lichen_card_written_bytes",
        "What was written to it since boot",
        card.written,
    );
    families.counter(
        "lichen_data_written_bytes",
        "What was ever written to DATA",
        card.lifetime_written,
    );
    families.counter(
        "lichen_card_io_errors",
        "Reads and writes of the disk that failed since boot, at least",
        card.io_errors,
    );
    families.gauge(
        "lichen_data_errors",
        "Errors in DATA's file system that no check has mended",
        card.data_errors,
    );
    families.gauge(
        "lichen_data_last_error_timestamp_seconds",
        "When the last of them was found, by the device's clock",
        card.last_data_error,
    );
    families.gauge(
        "lichen_data_read_only",
        "Whether DATA takes no writes any more",
        card.read_only.map(u8::from),
    );
}

/// Wi-Fi and time.
fn surroundings(families: &mut Families, vitals: &Vitals) {
    let wifi = vitals.wifi.iter().flatten();
    families.gauges(
        "lichen_wifi_signal_dbm",
        "How strong the access point is received",
        wifi.filter_map(|wifi| Some((labels(&[("interface", &wifi.interface)]), wifi.signal_dbm?))),
    );
    let time = vitals.time.as_ref();
    families.gauge(
        "lichen_time_synchronized",
        "Whether the clock was compared with a time server within the last hours",
        time.map(|time| u8::from(time.synchronized)),
    );
    families.gauge(
        "lichen_time_error_seconds",
        "By how much it may be wrong",
        time.and_then(|time| time.error_seconds),
    );
}

fn supported(families: &mut Families, told: &Told) {
    let Vitals {
        card, wifi, time, ..
    } = &told.vitals;
    let of_card = |what: fn(&Card) -> bool| card.as_ref().is_some_and(what);
    let others = [
        ("card_writes", of_card(|card| card.written.is_some())),
        ("card_errors", of_card(|card| card.io_errors.is_some())),
        ("data_errors", of_card(|card| card.data_errors.is_some())),
        ("wifi_signal", wifi.is_some()),
        ("time", time.is_some()),
    ];
    families.gauges(
        "lichen_supported",
        "Whether this board and kernel can tell it",
        told.board
            .into_iter()
            .chain(others)
            .map(|(what, can)| (labels(&[("what", what)]), u8::from(can))),
    );
}
