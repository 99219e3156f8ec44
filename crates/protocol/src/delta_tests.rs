use super::*;
use proptest::prelude::*;

fn applied(base: &[u8], delta: &[u8], size: usize) -> io::Result<Vec<u8>> {
    let mut result = Vec::new();
    apply(base, delta, size as u64, &mut result).map(|()| result)
}

proptest! {
    #[test]
    fn any_bytes_come_back(base in prop::collection::vec(any::<u8>(), 0..5000), new in prop::collection::vec(any::<u8>(), 0..5000)) {
        let delta = make(&base, &new)?;
        prop_assert_eq!(applied(&base, &delta, new.len())?, new);
    }

    #[test]
    fn what_was_edited_comes_back(base in prop::collection::vec(any::<u8>(), 100..5000), at in 0..100_usize, gone in 0..100_usize, put in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut new = base.clone();
        new.splice(at..(at + gone).min(base.len()), put);
        let delta = make(&base, &new)?;
        prop_assert_eq!(applied(&base, &delta, new.len())?, new);
    }
}

#[test]
fn a_delta_is_as_small_as_the_change() {
    let base: Vec<u8> = (0..300_000_u32)
        .flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes())
        .collect();
    let mut new = base.clone();
    new[600_000..600_010].fill(0);
    let delta = make(&base, &new).unwrap();
    assert!(delta.len() < 2000, "{}", delta.len());
    assert_eq!(applied(&base, &delta, new.len()).unwrap(), new);
}

#[test]
fn another_base_or_another_size_is_noticed() {
    let (base, new) = (b"the old text, ".repeat(100), b"the old text. ".repeat(101));
    let delta = make(&base, &new).unwrap();
    assert!(applied(&b"another text, ".repeat(100), &delta, new.len()).is_err());
    assert!(applied(&base, &delta, new.len() - 1).is_err());
    assert!(applied(&base, &delta, new.len() + 1).is_err());
    for cut in 0..delta.len() {
        assert!(
            applied(&base, &delta[..cut], new.len()).is_err(),
            "cut after {cut}"
        );
    }
}
