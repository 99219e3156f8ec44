//! Pings and their answers, as packets of IPv4.

const ICMP: u8 = 1;
const ECHO_REQUEST: u8 = 8;

/// The answer to this packet if it is a ping.
pub fn answer(packet: &[u8]) -> Option<Vec<u8>> {
    let words = usize::from(packet.first()? & 0x0f);
    let icmp = words * 4;
    if words < 5 || packet.len() < icmp + 8 || packet[9] != ICMP || packet[icmp] != ECHO_REQUEST {
        return None;
    }
    let mut answer = packet.to_vec();
    // The sum of a header stays as it is when two of its addresses change places.
    answer[12..16].copy_from_slice(&packet[16..20]);
    answer[16..20].copy_from_slice(&packet[12..16]);
    // An answer is of type 0, so its sum is 8 less, and the complement of the sum 8 more; both in the upper byte.
    answer[icmp] = 0;
    let sum = u16::from_be_bytes([packet[icmp + 2], packet[icmp + 3]]);
    let (sum, carry) = sum.overflowing_add(u16::from(ECHO_REQUEST) << 8);
    let sum = (sum + u16::from(carry)).to_be_bytes();
    answer[icmp + 2..icmp + 4].copy_from_slice(&sum);
    Some(answer)
}
