use super::*;

#[test]
fn the_longest_run_of_free_units() {
    for (bits, length) in [
        (0, 0),
        (0b1, 1),
        (0b1011, 2),
        (0b1110_0110, 3),
        (u128::MAX >> 28, 100),
    ] {
        assert_eq!(longest(bits), length, "{bits:b}");
    }
}
