//! Selects the stories that were asked for.

use super::story::{Story, Wanted};
use crate::ui;
use anyhow::Result;
use protocol::nearest;
use std::collections::BTreeSet;

/// The stories that were asked for, and the slow ones among the others. A name that no story has is an error.
///
/// The full name of a story selects it, slow or not. A part of a name selects the usual stories that contain it, and the
/// slow ones with `--slow`, or if there are no others.
pub fn of(stories: Vec<Story>, wanted: &Wanted<'_>) -> Result<(Vec<Story>, Vec<Story>)> {
    // Asking why includes slow stories.
    let slow = wanted.slow || wanted.why;
    let mut asked = BTreeSet::new();
    let mut left_out = BTreeSet::new();
    for part in &wanted.containing {
        let containing: Vec<&Story> = stories.iter().filter(|s| s.name.contains(part)).collect();
        if containing.is_empty() {
            let nearest = nearest(part, stories.iter().map(|story| story.name.as_str()));
            crate::fail!(
                hint: format!("the nearest names: {}; ./lichen test --why :: shows all", nearest.join(", ")),
                "no story's name contains '{part}'"
            );
        }
        let whole = slow || containing.iter().all(|story| story.slow);
        for story in containing {
            let own = story.name.rsplit("::").next().unwrap_or_default();
            let named = [own, story.name.as_str()].contains(part);
            let set = if whole || named || !story.slow {
                &mut asked
            } else {
                &mut left_out
            };
            set.insert(story.name.clone());
        }
    }
    let left_out = left_out.difference(&asked).count();
    if left_out > 0 {
        ui::say(format!(
            "{} left out; --slow includes them",
            ui::count(left_out, "slow story is", "slow stories are")
        ));
    }
    let all = wanted.containing.is_empty();
    let (asked, others): (Vec<_>, Vec<_>) = stories.into_iter().partition(|story| {
        if all {
            slow || !story.slow
        } else {
            asked.contains(&story.name)
        }
    });
    let others = others.into_iter().filter(|story| story.slow).collect();
    Ok((asked, others))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::hint_of;

    fn stories() -> Vec<Story> {
        [
            ("boot::the_first_boot_ends_healthy", false),
            ("boot::the_image_boots_on_a_raspberry_pi_4", true),
            ("deploy::a_broken_release_is_undone", false),
            ("reproducible::every_step_gives_the_same_bytes", true),
        ]
        .map(|(name, slow)| Story::of_test(name, slow))
        .into()
    }

    fn asked(part: &str, slow: bool) -> Vec<String> {
        asked_all(&[part], slow)
    }

    fn asked_all(parts: &[&str], slow: bool) -> Vec<String> {
        let wanted = Wanted {
            containing: parts.to_vec(),
            slow,
            ..Wanted::default()
        };
        let (asked, _) = of(stories(), &wanted).unwrap();
        asked.into_iter().map(|story| story.name).collect()
    }

    const FIRST: &str = "boot::the_first_boot_ends_healthy";
    const SLOW: &str = "boot::the_image_boots_on_a_raspberry_pi_4";

    #[test]
    fn a_story_that_is_named_runs_though_it_is_slow() {
        assert_eq!(asked(SLOW, false), [SLOW]);
        assert_eq!(asked("the_image_boots_on_a_raspberry_pi_4", false), [SLOW]);
        assert_eq!(asked("raspberry", false), [SLOW], "no other contains it");
        assert_eq!(asked("reproducible", false).len(), 1);
    }

    #[test]
    fn a_part_of_a_name_selects_usual_stories_and_with_slow_all() {
        assert_eq!(asked("boot", false), [FIRST]);
        assert_eq!(asked("boot", true), [FIRST, SLOW]);
    }

    #[test]
    fn several_names_select_what_each_of_them_selects() {
        assert_eq!(asked_all(&["boot", SLOW, "first"], false), [FIRST, SLOW]);
        assert_eq!(asked_all(&["broken", "reproducible"], false).len(), 2);
    }

    #[test]
    fn without_a_name_the_slow_ones_are_the_others() {
        let (asked, others) = of(stories(), &Wanted::default()).unwrap();
        assert_eq!((asked.len(), others.len()), (2, 2));
        assert!(others.iter().all(|story| story.slow));
    }

    #[test]
    fn a_name_that_nothing_has_is_an_error_with_the_nearest_names() {
        for (wrong, meant) in [
            ("bot::the_first_boot_ends_healthy", FIRST),
            ("deploy::a_broken_release_is_un_done", "deploy::a_broken"),
            ("reproducable", "reproducible::"),
        ] {
            let wanted = Wanted {
                containing: vec!["boot", wrong],
                ..Wanted::default()
            };
            let error = of(stories(), &wanted).unwrap_err();
            let said = error.to_string();
            assert_eq!(said, format!("no story's name contains '{wrong}'"));
            let hint = hint_of(&error).unwrap();
            let first = hint.strip_prefix("the nearest names: ").unwrap();
            assert!(first.starts_with(meant), "{hint}");
        }
    }
}
