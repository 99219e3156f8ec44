//! How long a story should take that has not run on this machine.

use std::time::Duration;

const USUAL: Duration = Duration::from_secs(60);
const SLOW: Duration = Duration::from_secs(5 * 60);

/// The estimate that a slow story declares, as in `#[ignore = "slow, 20 min: every image is built a second time"]`, or
/// else one for all. `source` is the source of the story's group.
pub fn of(source: &str, story: &str, slow: bool) -> Duration {
    if !slow {
        return USUAL;
    }
    let minutes = declared(source, story).unwrap_or(SLOW.as_secs() / 60);
    Duration::from_secs(minutes * 60)
}

fn declared(source: &str, story: &str) -> Option<u64> {
    let name = story.rsplit("::").next()?;
    let (before, _) = source.split_once(&format!("fn {name}("))?;
    let (attributes, _) = before.rsplit_once('\n')?;
    let attributes = attributes.lines().rev();
    let mut attributes = attributes.take_while(|line| line.trim_start().starts_with("#["));
    let reason = attributes.find_map(|line| line.split_once("#[ignore = \"slow, "))?;
    reason.1.split_once(" min:")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
#[test]
#[ignore = "slow, 20 min: every image is built a second time; ./lichen test --slow"]
fn every_step_again() -> Result<()> {
#[test]
#[ignore = "slow: a boot; ./lichen test --slow"]
fn a_boot() {}
#[test]
fn usual() {}
"#;

    #[test]
    fn a_story_takes_what_it_declares_or_what_most_take() {
        let minutes = |story, slow| of(SOURCE, story, slow).as_secs() / 60;
        assert_eq!(minutes("reproducible::every_step_again", true), 20);
        assert_eq!(minutes("reproducible::a_boot", true), 5);
        assert_eq!(minutes("reproducible::elsewhere", true), 5);
        assert_eq!(minutes("reproducible::usual", false), 1);
    }
}
