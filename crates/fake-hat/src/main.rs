//! A Sense HAT for machines that have none.
//!
//! `fake-hat serve SOCKET` makes an I²C bus out of /dev/uhid and the kernel's `hid-cp2112`, with the HAT's
//! sensors on it, and takes orders on a Unix socket; `fake-hat tell SOCKET ORDER` gives one and prints the answer.
//! To everything above the bus it is real: the kernel's own driver, /dev/i2c-N, chips that answer as chips do.

mod bridge;
mod sensors;
mod uhid;

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use bridge::Bridge;
use sensors::{Air, Fault, SenseHat};
use uhid::{Device, Request};

const USAGE: &str = "usage: fake-hat serve SOCKET | fake-hat tell SOCKET ORDER
orders: temperature C | humidity PERCENT | pressure HPA | fault none|garbage|silent | plug | unplug";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["serve", socket] => serve(socket),
        ["tell", socket, ref order @ ..] if !order.is_empty() => tell(socket, &order.join(" ")),
        _ => Err(io::Error::other(USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fake-hat: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The board and, while it is plugged, the device that carries it.
struct Board {
    hat: Mutex<SenseHat>,
    plugged: Mutex<Option<Arc<Device>>>,
}

fn serve(socket: &str) -> io::Result<()> {
    let air = Air {
        temperature: 21.5,
        humidity: 45.0,
        pressure: 1013.25,
    };
    let board = Arc::new(Board {
        hat: Mutex::new(SenseHat::new(air)),
        plugged: Mutex::new(None),
    });
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    for client in UnixListener::bind(socket)?.incoming() {
        let mut client = client?;
        let mut order = String::new();
        BufReader::new(&client).read_line(&mut order)?;
        let answer = match obey(&board, order.trim()) {
            Ok(()) => "ok\n".to_owned(),
            Err(reason) => format!("error: {reason}\n"),
        };
        client.write_all(answer.as_bytes())?;
    }
    Ok(())
}

fn obey(board: &Arc<Board>, order: &str) -> Result<(), String> {
    let words: Vec<&str> = order.split_whitespace().collect();
    let number = |text: &str| {
        text.parse::<f64>()
            .map_err(|_| format!("not a number: {text}"))
    };
    match words[..] {
        ["temperature", value] => lock(&board.hat).air.temperature = number(value)?,
        ["humidity", value] => lock(&board.hat).air.humidity = number(value)?,
        ["pressure", value] => lock(&board.hat).air.pressure = number(value)?,
        ["fault", "none"] => lock(&board.hat).fault = Fault::None,
        ["fault", "garbage"] => lock(&board.hat).fault = Fault::Garbage,
        ["fault", "silent"] => lock(&board.hat).fault = Fault::Silent,
        ["plug"] => return plug(board).map_err(|error| format!("/dev/uhid: {error}")),
        ["unplug"] => match lock(&board.plugged).take() {
            Some(device) => device
                .unplug()
                .map_err(|error| format!("/dev/uhid: {error}"))?,
            None => return Err("it is not plugged".into()),
        },
        _ => return Err(format!("unknown order: {order}")),
    }
    Ok(())
}

/// Chips that are plugged again start from their power-on state, as real ones do.
fn plug(board: &Arc<Board>) -> io::Result<()> {
    let mut plugged = lock(&board.plugged);
    if plugged.is_some() {
        return Err(io::Error::other("it is plugged already"));
    }
    let mut hat = lock(&board.hat);
    *hat = SenseHat::new(hat.air);
    drop(hat);
    let device = Arc::new(Device::plug(
        "fake Sense HAT",
        0x10c4,
        0xea90,
        &bridge::descriptor(),
    )?);
    *plugged = Some(device.clone());
    let board = board.clone();
    // It ends with the first error: after unplugging, reading from the device is one.
    thread::spawn(move || {
        let mut bridge = Bridge::default();
        while answer(&device, &mut bridge, &board.hat).is_ok() {}
    });
    Ok(())
}

fn answer(device: &Device, bridge: &mut Bridge, hat: &Mutex<SenseHat>) -> io::Result<()> {
    match device.next()? {
        Request::GetReport { id, number } => device.reply_report(id, &bridge.feature(number)),
        Request::SetReport { id, report } => {
            bridge.set_feature(&report);
            device.reply_set(id)
        }
        Request::Output(report) => match bridge.output(&report, &mut lock(hat)) {
            Some(report) => device.input(&report),
            None => Ok(()),
        },
        Request::Other => Ok(()),
    }
}

/// No order or report can leave the board half changed, so a poisoned mutex can still be used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(socket: &str, order: &str) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    writeln!(stream, "{order}")?;
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer)?;
    match answer.trim() {
        "ok" => Ok(()),
        other => Err(io::Error::other(other.to_owned())),
    }
}
