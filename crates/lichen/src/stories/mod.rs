//! The stories of `lichen test`: selects and runs those that are needed, and keeps the results.
//!
//! A story is a test in `tests/` that uses the images that get flashed. Only stories whose result could have changed
//! are run: [`inputs`] and [`sources`] describe the current state, [`verdicts`] records which stories were green with
//! which inputs, [`runner`] runs the others, and [`audit`] detects undeclared inputs.

mod audit;
mod inputs;
mod rotation;
mod runner;
mod sources;
mod tally;
mod verdicts;

use crate::command::{program, stdout_of};
use crate::store;
use crate::ui;
use crate::verbs::build::{self, Made};
use crate::vm;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use audit::Audit;
use inputs::Inputs;
use runner::{Done, Next, Runner};
use sources::Sources;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tally::Tally;
use verdicts::{Digests, Ended, Reason, Record, Verdicts};

/// The input that lists every image by its name.
const IMAGES: &str = "images";
/// In continuous integration, a slow story is started only if it should end within this time after the start of the
/// job, which is limited to 90 minutes.
const CI: Duration = Duration::from_secs(70 * 60);

/// The selection of stories.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// Only stories whose name, including the group, contains this text.
    pub containing: Option<&'a str>,
    /// Include slow stories.
    pub slow: bool,
    /// Ignore earlier verdicts.
    pub fresh: bool,
    /// Explain why stories would run, and run none.
    pub why: bool,
    /// Also run today's part of the slow stories, as long as there is time left, counted from this moment.
    pub rotation: Option<Instant>,
}

/// One story.
#[derive(Debug)]
struct Story {
    name: String,
    slow: bool,
    sources: Digests,
    record: Record,
}

/// Builds the inputs of the stories, and runs the stories that are needed.
pub fn run(workspace: &Workspace, wanted: &Wanted<'_>) -> Result<()> {
    let mut inputs = built(workspace)?;
    let program = compiled(workspace)?;
    let verdicts = verdicts::open(&workspace.cache("verdicts")?)?;
    let sources = Sources::read(workspace.root())?;
    inputs.known("services", Some(workspace.root()), &sources.of_services()?);
    let mut stories = listed(&program, &sources, &verdicts)?;
    let today = wanted.rotation.map(|_| {
        let slow = stories.iter().filter(|story| story.slow);
        let slow = slow.map(|story| rotation::Slow {
            name: story.name.clone(),
            ran: story.record.ran,
            put_off: story.record.put_off,
        });
        rotation::part_of(slow.collect(), verdicts::now())
    });
    let today = today.unwrap_or_default();
    stories.retain(|story| {
        let asked = wanted
            .containing
            .is_none_or(|part| story.name.contains(part));
        asked && (!story.slow || wanted.slow || today.contains(&story.name))
    });
    let mut tally = Tally::default();
    if wanted.rotation.is_some()
        && let Some(lack) = crate::sources::lacks_room()
    {
        let mut roomy = Vec::new();
        for story in stories {
            if story.test_images(workspace, &sources)?.is_empty() {
                roomy.push(story);
            } else {
                tally.put_off(&story.name, lack);
                verdicts.put_off(&story.name)?;
            }
        }
        stories = roomy;
    }
    add_test_images(workspace, &sources, &stories, &mut inputs)?;

    let mut standing = 0;
    let mut usual = Vec::new();
    let mut slow = Vec::new();
    let mut reasons: BTreeMap<Reason, Vec<&str>> = BTreeMap::new();
    for story in &stories {
        let verdict =
            story
                .record
                .standing(|name| inputs.digest(name), &story.sources, verdicts::now());
        let verdict = if wanted.fresh {
            Err(Reason::Asked)
        } else {
            verdict
        };
        if wanted.why {
            explain(story, &verdict);
        }
        match verdict {
            Ok(_) => standing += 1,
            Err(reason) => {
                let part = if today.contains(&story.name) {
                    &mut slow
                } else {
                    &mut usual
                };
                part.push(Next {
                    name: story.name.clone(),
                    cost: story.record.cost,
                });
                reasons.entry(reason).or_default().push(&story.name);
            }
        }
    }
    if wanted.why {
        return Ok(());
    }
    let counted = |n: usize| ui::count(n, "story", "stories");
    ui::say(format!(
        "as before: {} on the same bytes",
        counted(standing)
    ));
    for (reason, stories) in &reasons {
        ui::say(format!("{} to run: {reason}", counted(stories.len())));
    }
    if wanted.fresh {
        forget_snapshots(workspace)?;
    }

    let file = workspace.build("log")?.join("inputs.json");
    inputs.write(&file)?;
    let audit = Audit::of(&inputs)?;
    let logs = runner::logs(&workspace.build("log")?.join("stories"))?;
    let runner = Runner {
        program: &program,
        folder: &workspace.path("tests"),
        inputs: &file,
        logs: &logs,
        audit: &audit,
    };
    let by_name: BTreeMap<&str, &Story> = stories
        .iter()
        .map(|story| (story.name.as_str(), story))
        .collect();
    let mut told = |part: Vec<Next>| {
        runner.run(part, |done, live| {
            let story = by_name[done.name.as_str()];
            if !tally.take(&done, today.contains(&done.name), live) {
                return verdicts.put_off(&done.name);
            }
            keep(&verdicts, workspace, &inputs, story, done)
        })
    };
    told(usual)?;
    let left_out = match wanted.rotation {
        Some(begun) if !today.is_empty() => {
            let (slow, late) = in_time(slow, CI.saturating_sub(begun.elapsed()));
            let names: Vec<&str> = slow.iter().map(|next| next.name.as_str()).collect();
            ui::say(format!(
                "of the slow stories, today's turn has {}, of which {} to run: {}",
                today.len(),
                slow.len(),
                names.join(", ")
            ));
            told(slow)?;
            late
        }
        _ => Vec::new(),
    };
    if !left_out.is_empty() {
        ui::warn(format!(
            "not enough time is left for {}",
            left_out.join(", ")
        ));
    }
    tally.close(standing, &workspace.build("log")?.join("costs.txt"))
}

/// Builds everything that any story may use.
fn built(workspace: &Workspace) -> Result<Inputs> {
    let mut inputs = Inputs::default();
    let mut made = None;
    for appliance in workspace.appliances() {
        made = Some(image(workspace, &appliance, &mut inputs)?);
    }
    let nix = made.context("there is no appliance to test")?.nix;
    // For those who tell something of every image, whichever there are.
    let mut images = [workspace.appliances(), workspace.test_images()].concat();
    images.sort();
    let list = workspace.build("log")?.join("images.txt");
    fs::write(&list, images.join("\n"))
        .with_context(|| format!("cannot write {}", list.display()))?;
    inputs.file(IMAGES, &list)?;
    let tools = vm::tools::build(workspace, &nix)?;
    let checks = nix.build("packages.x86_64-linux.check-tools", None)?;
    inputs.trees(&[
        ("test tools", tools.root()),
        ("check tools", &checks.output),
    ])?;
    let hat = nix.build("packages.x86_64-linux.fake-hat", None)?;
    inputs.file("fake-hat", &hat.output.join("bin/fake-hat"))?;
    let generations = nix
        .build("packages.x86_64-linux.test-generations", None)?
        .output;
    for name in workspace.test_generations() {
        let file = |end: &str| generations.join(format!("{name}.{end}"));
        let files = ["toplevel", "tar.zst", "registration"].map(file);
        inputs.files(&format!("generation {name}"), &files[0], &files)?;
    }
    // Commands of the owner use this program, and the Nix of this machine.
    let lichen = std::env::current_exe().context("cannot tell where this program is")?;
    inputs.file("lichen", &lichen)?;
    let version = stdout_of(store::nix("nix").arg("--version"))?;
    let digest = format!(
        "{}, {}",
        inputs.digest("lichen").unwrap_or_default(),
        version.trim()
    );
    inputs.versioned("lichen", &digest);
    Ok(inputs)
}

/// Builds an image. Its derivation is an input, too: a build step can change without changing the image.
fn image<'w>(workspace: &'w Workspace, name: &str, inputs: &mut Inputs) -> Result<Made<'w>> {
    let made = build::image(workspace, name, false)?;
    inputs.file(&format!("image {name}"), &made.image)?;
    let steps = made.derivation.display().to_string();
    inputs.known(&format!("steps {name}"), Some(&made.derivation), &steps);
    Ok(made)
}

/// Builds the images that only slow stories use, if any of these stories will run.
fn add_test_images(
    workspace: &Workspace,
    sources: &Sources,
    stories: &[Story],
    inputs: &mut Inputs,
) -> Result<()> {
    let mut images = BTreeSet::new();
    for story in stories {
        images.extend(story.test_images(workspace, sources)?);
    }
    for image in images {
        self::image(workspace, &image, inputs)?;
    }
    Ok(())
}

/// Compiles the program that contains the stories.
fn compiled(workspace: &Workspace) -> Result<PathBuf> {
    ui::say("compiling the stories");
    let log = workspace.build("log")?.join("stories-compiled.log");
    let mut cargo = program("cargo");
    // Build only this program, but with the features of the whole workspace: otherwise its dependencies would have
    // fewer features than in the host's tests, and fifty crates would be compiled a second time.
    cargo.args(["test", "--workspace", "--test", "stories", "--no-run"]);
    cargo.args([
        "--color",
        "never",
        "--message-format",
        "json-render-diagnostics",
    ]);
    cargo.current_dir(workspace.root());
    let errors =
        fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let output = cargo.stderr(errors).output().context("cannot run cargo")?;
    if !output.status.success() {
        eprint!("{}", fs::read_to_string(&log).unwrap_or_default());
        crate::fail!(hint: format!("the whole log is {}", log.display()), "the stories do not compile");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let found = messages.find_map(|message| {
        let stories = message["target"]["name"] == "stories";
        message["executable"]
            .as_str()
            .filter(|_| stories)
            .map(PathBuf::from)
    });
    found.context("cargo did not build the story program")
}

/// All stories, with their recorded verdicts.
fn listed(program: &Path, sources: &Sources, verdicts: &Verdicts) -> Result<Vec<Story>> {
    let list = |ignored: &[&str]| -> Result<Vec<String>> {
        let mut command = crate::command::program(program);
        let text = stdout_of(command.args(["--list", "--format", "terse"]).args(ignored))?;
        Ok(text
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .map(str::to_owned)
            .collect())
    };
    let slow: BTreeSet<String> = list(&["--ignored"])?.into_iter().collect();
    let mut of_groups: BTreeMap<String, Digests> = BTreeMap::new();
    let mut stories = Vec::new();
    for name in list(&[])? {
        let group = group_of(&name).to_owned();
        let made_of = match of_groups.get(&group) {
            Some(known) => known.clone(),
            None => sources.of_group(&group)?,
        };
        of_groups.insert(group, made_of.clone());
        stories.push(Story {
            slow: slow.contains(&name),
            record: verdicts.of(&name),
            sources: made_of,
            name,
        });
    }
    Ok(stories)
}

impl Story {
    fn group(&self) -> &str {
        group_of(&self.name)
    }

    /// The images that only slow stories use, as far as this one may use them.
    fn test_images(&self, workspace: &Workspace, sources: &Sources) -> Result<Vec<String>> {
        let mut images = Vec::new();
        for image in workspace.test_images() {
            let used = sources.says(self.group(), &image)? || sources.says(self.group(), IMAGES)?;
            if self.slow && used {
                images.push(image);
            }
        }
        Ok(images)
    }
}

fn group_of(story: &str) -> &str {
    story.split("::").next().unwrap_or(story)
}

/// Explains why a story would run, or what its verdict is based on.
fn explain(story: &Story, verdict: &Result<u64, Reason>) {
    match verdict {
        Ok(since) => {
            let time = jiff::Timestamp::from_second(*since as i64).unwrap_or_default();
            println!("{}: green since {time} on the same bytes", story.name);
        }
        Err(reason) => println!("{}: runs; {reason}", story.name),
    }
    for (name, digest) in story.record.inputs().into_iter().flatten() {
        let short: String = digest
            .trim_start_matches("sha256:")
            .chars()
            .take(12)
            .collect();
        println!("  {name} {short}");
    }
}

/// Keeps the verdict together with the story's inputs, unless an input has changed since the start.
fn keep(
    verdicts: &Verdicts,
    workspace: &Workspace,
    inputs: &Inputs,
    story: &Story,
    done: Done,
) -> Result<()> {
    if !done.unaccounted.is_empty() {
        let names: Vec<&str> = done.unaccounted.iter().map(String::as_str).collect();
        ui::warn(format!(
            "{} were opened while {} ran, but no running story had requested them: its verdict is not kept",
            names.join(", "),
            story.name
        ));
        return Ok(());
    }
    // Someone may already be editing the sources.
    if Sources::read(workspace.root())?.of_group(story.group())? != story.sources {
        ui::warn(format!(
            "sources of {} have changed meanwhile: its verdict is not kept",
            story.name
        ));
        return Ok(());
    }
    let mut used = story.sources.clone();
    for name in &done.inputs {
        let digest = inputs
            .digest(name)
            .with_context(|| format!("no input is called {name}"))?;
        used.insert(name.clone(), digest.to_owned());
    }
    let ended = Ended {
        green: done.green,
        inputs: used,
        day: done.day,
        cost: done.cost,
    };
    verdicts.keep(&story.name, ended, verdicts::now())
}

/// The stories that will probably finish within `left`, and the names of the others.
fn in_time(slow: Vec<Next>, left: Duration) -> (Vec<Next>, Vec<String>) {
    // Two stories run at a time.
    let mut seconds = left.as_secs_f64() * 2.0;
    let (mut first, mut late) = (Vec::new(), Vec::new());
    for next in slow {
        let takes = next.cost.map_or(300.0, |cost| cost.wall);
        if takes <= left.as_secs_f64() && takes <= seconds {
            seconds -= takes;
            first.push(next);
        } else {
            late.push(next.name);
        }
    }
    (first, late)
}

/// Deletes snapshots, which are taken once per image, if earlier results are to be ignored.
fn forget_snapshots(workspace: &Workspace) -> Result<()> {
    let folder = workspace.path("target/testbed/snapshots");
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
