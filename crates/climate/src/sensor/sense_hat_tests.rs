//! A Sense HAT on simulated buses: it is unplugged, replaced, put to sleep, and reports wrong values.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::{hts221, lps25h};
use super::*;

const HTS221: u16 = 0x5f;
const LPS25H: u16 = 0x5c;
const CTRL_REG1: usize = 0x20;

type Chips = BTreeMap<u16, Registers>;

/// Simulated buses; the chips on them can be changed at any time.
#[derive(Clone, Default)]
struct Bench(Arc<Mutex<BTreeMap<String, Chips>>>);

struct BenchBus(Bench, String);

impl Bench {
    fn plug(&self, bus: &str, temperature: f64, humidity: f64, pressure: f64) {
        let chips = Chips::from([
            (HTS221, hts221::registers(temperature, humidity)),
            (LPS25H, lps25h::registers(pressure, temperature)),
        ]);
        self.buses().insert(bus.into(), chips);
    }

    fn buses(&self) -> MutexGuard<'_, BTreeMap<String, Chips>> {
        self.0.lock().unwrap()
    }

    fn set(&self, bus: &str, chip: u16, register: usize, value: u8) {
        self.buses().get_mut(bus).unwrap().get_mut(&chip).unwrap()[register] = value;
    }

    fn hat(&self) -> SenseHat {
        SenseHat::new(self.clone())
    }
}

impl Connector for Bench {
    fn candidates(&self) -> Vec<String> {
        self.buses().keys().cloned().collect()
    }

    fn open(&self, bus: &str) -> io::Result<Box<dyn Bus>> {
        Ok(Box::new(BenchBus(self.clone(), bus.into())))
    }
}

impl BenchBus {
    fn with<V>(&self, chip: u16, act: impl FnOnce(&mut Registers) -> V) -> io::Result<V> {
        let mut buses = self.0.buses();
        let gone = || io::Error::from_raw_os_error(19);
        let chips = buses.get_mut(&self.1).ok_or_else(gone)?;
        chips
            .get_mut(&chip)
            .map(act)
            .ok_or_else(|| io::Error::from_raw_os_error(121))
    }
}

impl Bus for BenchBus {
    fn read(&mut self, chip: u16, register: u8, buffer: &mut [u8]) -> io::Result<()> {
        let from = usize::from(register);
        self.with(chip, |registers| {
            buffer.copy_from_slice(&registers[from..from + buffer.len()])
        })
    }

    fn write(&mut self, chip: u16, register: u8, value: u8) -> io::Result<()> {
        self.with(chip, |registers| registers[usize::from(register)] = value)
    }
}

fn read(hat: &mut SenseHat) -> (f64, f64, f64) {
    let m = hat.measure().unwrap();
    assert_eq!(m.faults, [""; 0]);
    let round = |value: Option<f64>| (value.unwrap() * 10.0).round() / 10.0;
    (round(m.temperature), round(m.humidity), round(m.pressure))
}

fn fault(hat: &mut SenseHat) -> String {
    hat.measure()
        .expect_err("there is nothing to read")
        .to_string()
}

#[test]
fn the_hat_is_found_on_the_bus_that_has_it() {
    let bench = Bench::default();
    bench.buses().insert("/dev/i2c-0".into(), Chips::new());
    bench.plug("/dev/i2c-7", 21.5, 45.0, 1013.2);
    assert_eq!(read(&mut bench.hat()), (21.5, 45.0, 1013.2));
}

#[test]
fn unplugged_it_is_an_error_and_plugged_in_elsewhere_it_is_found_again() {
    let bench = Bench::default();
    let mut hat = bench.hat();
    assert_eq!(
        fault(&mut hat),
        "no Sense HAT found on any I²C bus: there is none"
    );
    bench.plug("/dev/i2c-1", 21.5, 45.0, 1013.2);
    assert_eq!(read(&mut hat), (21.5, 45.0, 1013.2));
    bench.buses().clear();
    assert!(fault(&mut hat).starts_with("HTS221 does not answer"));
    assert!(fault(&mut hat).starts_with("no Sense HAT found"));
    bench.plug("/dev/i2c-3", 30.0, 50.0, 990.0);
    assert_eq!(read(&mut hat), (30.0, 50.0, 990.0));
}

#[test]
fn a_chip_that_lost_power_is_started_again() {
    let bench = Bench::default();
    bench.plug("/dev/i2c-1", 21.5, 45.0, 1013.2);
    let mut hat = bench.hat();
    read(&mut hat);
    bench.set("/dev/i2c-1", HTS221, CTRL_REG1, 0);
    read(&mut hat);
    assert_eq!(bench.buses()["/dev/i2c-1"][&HTS221][CTRL_REG1], 0x87);
}

#[test]
fn with_one_chip_left_its_values_are_read_and_the_fault_is_named() {
    let bench = Bench::default();
    bench.plug("/dev/i2c-1", 21.5, 45.0, 1013.2);
    let mut hat = bench.hat();
    read(&mut hat);
    bench.set("/dev/i2c-1", HTS221, 0x0f, 0xff);
    let m = hat.measure().unwrap();
    assert!(m.humidity.is_none() && m.pressure.is_some() && m.temperature.is_some());
    assert!(
        m.faults[0].contains("HTS221 answers as 0xff, expected 0xbc"),
        "{:?}",
        m.faults
    );
    bench.set("/dev/i2c-1", HTS221, 0x0f, 0xbc);
    assert_eq!(read(&mut hat), (21.5, 45.0, 1013.2));
}

#[test]
fn a_stuck_bus_is_never_a_reading() {
    for filling in [0x00, 0xff] {
        let bench = Bench::default();
        bench.plug("/dev/i2c-1", 21.5, 45.0, 1013.2);
        let mut hat = bench.hat();
        read(&mut hat);
        for registers in bench.buses().get_mut("/dev/i2c-1").unwrap().values_mut() {
            registers.fill(filling);
        }
        assert!(fault(&mut hat).contains("the bus is stuck"));
        assert!(fault(&mut hat).contains("the bus is stuck"));
    }
}

#[test]
fn a_chip_that_stopped_measuring_is_not_read_from_memory() {
    let bench = Bench::default();
    bench.plug("/dev/i2c-1", 21.5, 45.0, 1013.2);
    let mut hat = bench.hat();
    read(&mut hat);
    bench.set("/dev/i2c-1", LPS25H, 0x27, 0);
    let m = hat.measure().unwrap();
    assert_eq!(
        (m.pressure, m.faults[0].as_str()),
        (None, "LPS25H has no new measurement")
    );
}
