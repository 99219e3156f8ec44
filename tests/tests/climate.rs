//! What the climate appliance is for: a sensor on a bus, a number on a page.

use std::time::Duration;

use tests::*;

const OFTEN: Duration = Duration::from_millis(200);
/// How long a page may take to fetch what it shows.
const SETTLE: Duration = Duration::from_secs(5);

#[test]
fn the_api_says_what_the_sensor_feels() -> Result<()> {
    let machine = appliance()?;
    let hat = machine.plug_sense_hat(21.5, 45.0, 1013.2)?;
    let climate = Climate::impatient(&machine, OFTEN)?;
    climate.shows(21.5, 45.0, 1013.2, SOON)?;
    hat.set_air(-4.25, 81.5, 987.6)?;
    climate.shows(-4.25, 81.5, 987.6, SOON)?;
    healthy(&machine)
}

#[test]
fn the_page_shows_it_on_a_phone_at_night_too() -> Result<()> {
    let machine = appliance()?;
    let _hat = machine.plug_sense_hat(21.5, 45.0, 1013.2)?;
    let climate = Climate::impatient(&machine, OFTEN)?;
    climate.shows(21.5, 45.0, 1013.2, SOON)?;
    let browser = Browser::from_env()?;
    let (phone, desk) = ((390, 844, true), (1280, 800, false));
    for (name, (width, height, dark)) in [("phone", phone), ("desk", desk)] {
        let window = Window {
            width,
            height,
            dark,
        };
        let page = browser.open(&climate.web().url("/"), window, SETTLE, name)?;
        for value in ["21.5", "45.0", "1013.2"] {
            let shown = format!("<span class=\"number\">{value}</span>");
            ensure!(page.dom.contains(&shown), "no {value} in {}", page.dom);
        }
        ensure!(page.complaints.is_empty(), "{:?}", page.complaints);
    }
    Ok(())
}

#[test]
fn a_sensor_that_is_pulled_off_is_missed_and_welcomed_back() -> Result<()> {
    let machine = appliance()?;
    let hat = machine.plug_sense_hat(21.5, 45.0, 1013.2)?;
    let climate = Climate::impatient(&machine, OFTEN)?;
    climate.shows(21.5, 45.0, 1013.2, SOON)?;
    hat.unplug()?;
    climate.degrades(SOON)?;
    ensure!(
        climate.reading().is_err(),
        "a reading was invented: {:?}",
        climate.reading()
    );
    hat.set_temperature(19.0)?;
    hat.plug()?;
    climate.shows(19.0, 45.0, 1013.2, SOON)?;
    healthy(&machine)
}

#[test]
fn nonsense_and_silence_on_the_bus_are_no_readings() -> Result<()> {
    let machine = appliance()?;
    let hat = machine.plug_sense_hat(21.5, 45.0, 1013.2)?;
    let climate = Climate::impatient(&machine, OFTEN)?;
    climate.shows(21.5, 45.0, 1013.2, SOON)?;
    hat.talk_garbage()?;
    climate.degrades(SOON)?;
    hat.repair()?;
    climate.shows(21.5, 45.0, 1013.2, SOON)?;
    hat.fall_silent()?;
    climate.degrades(SOON)?;
    hat.repair()?;
    climate.shows(21.5, 45.0, 1013.2, SOON)?;
    healthy(&machine)
}

#[test]
fn an_alert_arrives_once_and_its_end_once() -> Result<()> {
    let machine = appliance()?;
    let receiver = Receiver::start()?;
    let hat = machine.plug_sense_hat(21.5, 45.0, 1013.2)?;
    let climate = Climate::impatient(&machine, OFTEN)?;
    climate.send_alerts_to(&receiver.url())?;
    hat.set_temperature(35.0)?;
    arrived(&machine, &receiver, 1)?;
    // A lasting state is reported once: a hundred readings later there is still only one message.
    climate.measures(100)?;
    assert_eq!(
        receiver.deliveries().len(),
        1,
        "{:?}",
        receiver.deliveries()
    );
    hat.set_temperature(21.5)?;
    arrived(&machine, &receiver, 2)
}

#[test]
fn an_alert_waits_for_a_receiver_that_is_down_and_outlives_a_restart() -> Result<()> {
    let machine = appliance()?;
    let mut receiver = Receiver::start()?;
    let hat = machine.plug_sense_hat(21.5, 45.0, 1013.2)?;
    let climate = Climate::impatient(&machine, OFTEN)?;
    climate.send_alerts_to(&receiver.url())?;
    climate.shows(21.5, 45.0, 1013.2, SOON)?;
    receiver.down();
    hat.set_temperature(35.0)?;
    climate.shows(35.0, 45.0, 1013.2, SOON)?;
    climate.measures(5)?;
    Event::ServiceRestart.happen(&machine)?;
    climate.shows(35.0, 45.0, 1013.2, SOON)?;
    receiver.up()?;
    arrived(&machine, &receiver, 1)?;
    climate.measures(20)?;
    assert_eq!(receiver.accepted().len(), 1, "{:?}", receiver.deliveries());
    Ok(())
}

#[test]
fn a_truncated_configuration_ends_it_with_64_and_one_clear_sentence() -> Result<()> {
    let machine = appliance()?;
    machine.sh("truncate --size 20 /etc/climate/config.json; systemctl restart climate || true")?;
    let property = |name: &str| machine.sh(&format!("systemctl show climate -P {name}"));
    assert_eq!(property("ActiveState")?.trim(), "failed");
    assert_eq!(property("ExecMainStatus")?.trim(), "64");
    // It would not get better by trying again.
    assert_eq!(property("NRestarts")?.trim(), "0");
    let said = machine.sh("journalctl -b -u climate -o cat -n 20")?;
    ensure!(
        said.contains("/etc/climate/config.json"),
        "it does not name the file: {said}"
    );
    Ok(())
}

fn arrived(machine: &Machine, receiver: &Receiver, count: usize) -> Result<()> {
    machine.wait_until(
        &format!("message {count} at the webhook"),
        Duration::from_secs(180),
        || {
            let accepted = receiver.accepted();
            ensure!(
                accepted.len() == count,
                "{} so far: {:?}",
                accepted.len(),
                receiver.deliveries()
            );
            Ok(())
        },
    )
}
