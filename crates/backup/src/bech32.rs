//! Bech32 (BIP 173) of keys of 32 bytes, without its limit of 90 characters.

const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const CHECKSUM: usize = 6;

/// The text of a key, after `prefix` and a `1`.
pub(crate) fn encode(prefix: &str, key: &[u8; 32]) -> String {
    let mut fives = regroup(key, 8, 5, true).unwrap_or_default();
    let sum = sum(prefix, fives.iter().copied().chain([0; CHECKSUM])) ^ 1;
    fives.extend((0..CHECKSUM).map(|n| (sum >> (5 * (CHECKSUM - 1 - n)) & 31) as u8));
    let text = fives.iter().map(|five| LETTERS[usize::from(*five)] as char);
    format!("{prefix}1{}", text.collect::<String>())
}

/// The key in a text, which is all lower or all upper case; none if it is not intact, or has another prefix.
pub(crate) fn decode(prefix: &str, text: &str) -> Option<[u8; 32]> {
    let lower = text.to_ascii_lowercase();
    if text != lower && text != text.to_ascii_uppercase() {
        return None;
    }
    let text = lower.strip_prefix(prefix)?.strip_prefix('1')?;
    let five = |letter: u8| LETTERS.iter().position(|known| *known == letter);
    let fives: Option<Vec<u8>> = text.bytes().map(|b| five(b).map(|n| n as u8)).collect();
    let fives = fives.filter(|fives| sum(prefix, fives.iter().copied()) == 1)?;
    let data = fives.len().checked_sub(CHECKSUM)?;
    regroup(&fives[..data], 5, 8, false)?.try_into().ok()
}

fn sum(prefix: &str, fives: impl Iterator<Item = u8>) -> u32 {
    const GENERATORS: [u32; 5] = [
        0x3b6a_57b2,
        0x2650_8e6d,
        0x1ea1_19fa,
        0x3d42_33dd,
        0x2a14_62b3,
    ];
    let high = prefix.bytes().map(|b| b >> 5);
    let low = prefix.bytes().map(|b| b & 31);
    let all = high.chain([0]).chain(low).chain(fives);
    all.fold(1, |sum, five| {
        let next = (sum & 0x01ff_ffff) << 5 ^ u32::from(five);
        let generators = GENERATORS.iter().enumerate();
        let these = generators.filter(|(n, _)| sum >> 25 >> n & 1 == 1);
        these.fold(next, |next, (_, generator)| next ^ generator)
    })
}

/// Groups of `from` bits as groups of `to` bits; none if what is left over is not zero, or a whole group.
fn regroup(groups: &[u8], from: u32, to: u32, pad: bool) -> Option<Vec<u8>> {
    let (mut held, mut bits, mut out) = (0_u32, 0, Vec::new());
    for group in groups {
        held = (held << from | u32::from(*group)) & 0xfff;
        bits += from;
        while bits >= to {
            bits -= to;
            out.push((held >> bits & ((1 << to) - 1)) as u8);
        }
    }
    let rest = held & ((1 << bits) - 1);
    match (pad, bits) {
        (true, 1..) => out.push((rest << (to - bits)) as u8),
        (false, _) if bits >= from || rest != 0 => return None,
        _ => {}
    }
    Some(out)
}
