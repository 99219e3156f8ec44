//! The kernel's /dev/uhid: a HID device made by a program. Plugging is opening it, unplugging is closing it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

const DESTROY: u32 = 1;
const OUTPUT: u32 = 6;
const GET_REPORT: u32 = 9;
const GET_REPORT_REPLY: u32 = 10;
const CREATE2: u32 = 11;
const INPUT2: u32 = 12;
const SET_REPORT: u32 = 13;
const SET_REPORT_REPLY: u32 = 14;
/// The kernel's `struct uhid_event`, packed.
const EVENT_SIZE: usize = 4380;
/// The size of a report's data within an event.
const DATA_MAX: usize = 4096;
const BUS_USB: u16 = 3;

/// What the kernel asks of the device.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Feature report `number` is wanted; the answer carries `id`.
    GetReport { id: u32, number: u8 },
    /// A feature report is set; the acknowledgement carries `id`.
    SetReport { id: u32, report: Vec<u8> },
    /// An output report.
    Output(Vec<u8>),
    /// Started, opened, closed …: nothing to do.
    Other,
}

impl Request {
    fn parse(event: &[u8]) -> Option<Self> {
        let body = event.get(4..)?;
        Some(match number_at(event, 0)? {
            OUTPUT => {
                let size = usize::from(u16::from_le_bytes(
                    body.get(DATA_MAX..DATA_MAX + 2)?.try_into().ok()?,
                ));
                Self::Output(body.get(..size)?.to_vec())
            }
            GET_REPORT => Self::GetReport {
                id: number_at(body, 0)?,
                number: *body.get(4)?,
            },
            SET_REPORT => {
                let size = usize::from(u16::from_le_bytes(body.get(6..8)?.try_into().ok()?));
                Self::SetReport {
                    id: number_at(body, 0)?,
                    report: body.get(8..8 + size)?.to_vec(),
                }
            }
            _ => Self::Other,
        })
    }
}

fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A plugged device.
#[derive(Debug)]
pub struct Device {
    file: File,
    unplugged: AtomicBool,
}

impl Device {
    /// Plugs a USB device that describes itself by `descriptor`.
    pub fn plug(name: &str, vendor: u32, product: u32, descriptor: &[u8]) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/uhid")?;
        let device = Self {
            file,
            unplugged: AtomicBool::new(false),
        };
        let mut body = vec![0; 256];
        body[..name.len()].copy_from_slice(name.as_bytes());
        body.extend((descriptor.len() as u16).to_le_bytes());
        body.extend(BUS_USB.to_le_bytes());
        for number in [vendor, product, 0, 0] {
            body.extend(number.to_le_bytes());
        }
        body.extend(descriptor);
        device.send(CREATE2, &body)?;
        Ok(device)
    }

    /// Unplugs it: the kernel forgets the bus behind it at once, and `next` fails from then on.
    pub fn unplug(&self) -> io::Result<()> {
        self.unplugged.store(true, Ordering::SeqCst);
        self.send(DESTROY, &[])
    }

    /// Waits for what the kernel asks next.
    pub fn next(&self) -> io::Result<Request> {
        let mut event = vec![0; EVENT_SIZE];
        let size = (&self.file).read(&mut event)?;
        // This is the last event that the kernel sends; another read would wait for ever.
        if self.unplugged.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        Request::parse(&event[..size])
            .ok_or_else(|| io::Error::other("the kernel sent a cut-off uhid event"))
    }

    /// Answers `GetReport`.
    pub fn reply_report(&self, id: u32, report: &[u8]) -> io::Result<()> {
        let mut body = id.to_le_bytes().to_vec();
        body.extend([0, 0]);
        body.extend((report.len() as u16).to_le_bytes());
        body.extend(report);
        self.send(GET_REPORT_REPLY, &body)
    }

    /// Acknowledges `SetReport`.
    pub fn reply_set(&self, id: u32) -> io::Result<()> {
        let mut body = id.to_le_bytes().to_vec();
        body.extend([0, 0]);
        self.send(SET_REPORT_REPLY, &body)
    }

    /// Sends an input report, padded to the 64 bytes that the descriptor promises.
    pub fn input(&self, report: &[u8]) -> io::Result<()> {
        let mut body = 64u16.to_le_bytes().to_vec();
        body.extend(report);
        body.resize(2 + 64, 0);
        self.send(INPUT2, &body)
    }

    /// One event is one write; the kernel takes what is missing at its end as zeros.
    fn send(&self, kind: u32, body: &[u8]) -> io::Result<()> {
        let mut event = kind.to_le_bytes().to_vec();
        event.extend(body);
        (&self.file).write_all(&event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_where_the_kernel_puts_them() {
        let mut output = vec![0; EVENT_SIZE];
        output[0] = 6;
        output[4..7].copy_from_slice(&[0x15, 1, 7]);
        output[4 + DATA_MAX] = 3;
        assert_eq!(
            Request::parse(&output),
            Some(Request::Output(vec![0x15, 1, 7]))
        );
        let set = [13, 0, 0, 0, 9, 0, 0, 0, 2, 0, 2, 0, 0x02, 0x83];
        assert_eq!(
            Request::parse(&set),
            Some(Request::SetReport {
                id: 9,
                report: vec![0x02, 0x83]
            })
        );
        let get = [9, 0, 0, 0, 5, 0, 0, 0, 6, 0];
        assert_eq!(
            Request::parse(&get),
            Some(Request::GetReport { id: 5, number: 6 })
        );
        assert_eq!(Request::parse(&get[..6]), None);
    }
}
