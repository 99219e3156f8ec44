//! A CP2112, the USB-HID to I²C bridge that Linux's `hid-cp2112` drives, with the HAT's bus behind it.
//!
//! Pure: report in, report out. `uhid` carries the reports.

use crate::sensors::SenseHat;

const GPIO_CONFIG: u8 = 0x02;
const GPIO_GET: u8 = 0x03;
const GPIO_SET: u8 = 0x04;
const GET_VERSION: u8 = 0x05;
const SMBUS_CONFIG: u8 = 0x06;
const DATA_READ_REQUEST: u8 = 0x10;
const DATA_WRITE_READ_REQUEST: u8 = 0x11;
const DATA_READ_FORCE_SEND: u8 = 0x12;
const DATA_READ_RESPONSE: u8 = 0x13;
const DATA_WRITE_REQUEST: u8 = 0x14;
const TRANSFER_STATUS_REQUEST: u8 = 0x15;
const TRANSFER_STATUS_RESPONSE: u8 = 0x16;
/// Data bytes that one read response can carry.
const CHUNK: usize = 61;

/// How the last transfer on the bus ended, in the bridge's own codes.
#[derive(Clone, Copy, Debug, Default)]
enum Transfer {
    #[default]
    Idle,
    Complete(u16),
    Nack,
}

/// The bridge's own state.
#[derive(Debug, Default)]
pub struct Bridge {
    transfer: Transfer,
    received: Vec<u8>,
    gpio_direction: u8,
    gpio_levels: u8,
}

impl Bridge {
    /// The report that answers a request for feature report `number`.
    pub fn feature(&self, number: u8) -> Vec<u8> {
        match number {
            GPIO_CONFIG => vec![GPIO_CONFIG, self.gpio_direction, 0, 0, 0],
            GPIO_GET => vec![GPIO_GET, self.gpio_levels],
            GET_VERSION => vec![GET_VERSION, 0x0c, 2],
            // 100 kHz, the rest as the chip leaves the factory.
            SMBUS_CONFIG => vec![
                SMBUS_CONFIG,
                0,
                0x01,
                0x86,
                0xa0,
                0x02,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
            ],
            _ => {
                let mut report = vec![0; 64];
                report[0] = number;
                report
            }
        }
    }

    /// Takes a feature report that the driver sets.
    pub fn set_feature(&mut self, report: &[u8]) {
        match report {
            [GPIO_CONFIG, direction, ..] => self.gpio_direction = *direction,
            [GPIO_SET, levels, mask, ..] => {
                self.gpio_levels = self.gpio_levels & !mask | levels & mask
            }
            _ => {}
        }
    }

    /// Takes an output report and gives the input report it calls for, if any.
    pub fn output(&mut self, report: &[u8], hat: &mut SenseHat) -> Option<Vec<u8>> {
        match *report {
            [DATA_WRITE_REQUEST, address, count, ref data @ ..] => {
                let data = &data[..usize::from(count).min(data.len())];
                self.received.clear();
                self.transfer = match hat.write(address >> 1, data) {
                    Some(()) => Transfer::Complete(u16::from(count)),
                    None => Transfer::Nack,
                };
                None
            }
            [DATA_READ_REQUEST, address, high, low, ..] => {
                self.receive(hat.read(address >> 1, usize::from(u16::from_be_bytes([high, low]))));
                None
            }
            [
                DATA_WRITE_READ_REQUEST,
                address,
                high,
                low,
                count,
                ref data @ ..,
            ] => {
                let data = &data[..usize::from(count).min(data.len())];
                let length = usize::from(u16::from_be_bytes([high, low]));
                self.receive(
                    hat.write(address >> 1, data)
                        .and_then(|()| hat.read(address >> 1, length)),
                );
                None
            }
            [TRANSFER_STATUS_REQUEST, ..] => {
                let (state, detail, count) = match self.transfer {
                    Transfer::Idle => (0, 0, 0),
                    Transfer::Complete(count) => (2, 0, count),
                    Transfer::Nack => (3, 0, 0),
                };
                let [high, low] = u16::to_be_bytes(count);
                Some(vec![
                    TRANSFER_STATUS_RESPONSE,
                    state,
                    detail,
                    0,
                    0,
                    high,
                    low,
                ])
            }
            [DATA_READ_FORCE_SEND, high, low, ..] => {
                let wanted = usize::from(u16::from_be_bytes([high, low]));
                let count = wanted.min(CHUNK).min(self.received.len());
                let mut answer = vec![DATA_READ_RESPONSE, 2, count as u8];
                answer.extend(self.received.drain(..count));
                Some(answer)
            }
            _ => None,
        }
    }

    fn receive(&mut self, bytes: Option<Vec<u8>>) {
        self.transfer = bytes
            .as_ref()
            .map_or(Transfer::Nack, |b| Transfer::Complete(b.len() as u16));
        self.received = bytes.unwrap_or_default();
    }
}

/// What the bridge says about itself: reports 1 to 0x22, each input, output and feature, 63 bytes.
pub fn descriptor() -> Vec<u8> {
    let mut bytes = vec![0x06, 0x00, 0xff, 0x09, 0x01, 0xa1, 0x01];
    for report in 1..0x23 {
        bytes.extend([
            0x85, report, 0x09, report, 0x15, 0, 0x26, 0xff, 0, 0x75, 8, 0x95, 63,
        ]);
        bytes.extend([0x81, 2, 0x09, report, 0x91, 2, 0x09, report, 0xb1, 2]);
    }
    bytes.push(0xc0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensors::{Air, Fault, LPS25H};

    fn bus() -> (Bridge, SenseHat) {
        let air = Air {
            temperature: 20.0,
            humidity: 50.0,
            pressure: 1000.0,
        };
        (Bridge::default(), SenseHat::new(air))
    }

    #[test]
    fn a_write_then_a_read_returns_the_register() {
        let (mut bridge, mut hat) = bus();
        assert!(
            bridge
                .output(&[0x11, LPS25H << 1, 0, 1, 1, 0x0f], &mut hat)
                .is_none()
        );
        assert_eq!(
            bridge.output(&[0x15, 1], &mut hat).unwrap(),
            [0x16, 2, 0, 0, 0, 0, 1]
        );
        assert_eq!(
            bridge.output(&[0x12, 0, 1], &mut hat).unwrap(),
            [0x13, 2, 1, 0xbd]
        );
        assert_eq!(
            bridge.output(&[0x12, 0, 1], &mut hat).unwrap(),
            [0x13, 2, 0],
            "nothing is left"
        );
    }

    #[test]
    fn nobody_at_that_address_is_said_so() {
        let (mut bridge, mut hat) = bus();
        hat.fault = Fault::Silent;
        bridge.output(&[0x14, LPS25H << 1, 1, 0x0f], &mut hat);
        assert_eq!(bridge.output(&[0x15, 1], &mut hat).unwrap()[1], 3);
    }

    #[test]
    fn a_cut_off_report_is_ignored() {
        let (mut bridge, mut hat) = bus();
        for report in [&[][..], &[0x10], &[0x11, 0xb8], &[0x12], &[0x14, 0xb8]] {
            assert!(bridge.output(report, &mut hat).is_none());
        }
    }
}
