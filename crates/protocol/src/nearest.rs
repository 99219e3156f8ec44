use std::cmp::Reverse;
use std::collections::BTreeSet;

/// How many names are offered in place of an unknown one.
const NEAREST: usize = 3;

/// The few names that are most like `wanted`, which is none of them: those that have the most pairs of neighbouring letters
/// in common with it; of these, the shortest.
pub fn nearest<'n>(wanted: &str, names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    let wanted = pairs(wanted);
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_cached_key(|name| {
        let common = pairs(name).intersection(&wanted).count();
        (Reverse(common), name.len())
    });
    names.truncate(NEAREST);
    names
}

fn pairs(text: &str) -> BTreeSet<(char, char)> {
    text.chars().zip(text.chars().skip(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_alike_comes_first_and_no_more_than_three() {
        let names = ["rack.token", "rack.password", "visits.cookie", "rack.pass"];
        assert_eq!(
            nearest("rack.pasword", names),
            ["rack.password", "rack.pass", "rack.token"]
        );
        assert!(nearest("rack", []).is_empty());
    }
}
