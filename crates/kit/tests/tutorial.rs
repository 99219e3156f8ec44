//! The service of docs/how-to/add-a-service.md: the code in the document is what is compiled here, and it does what the
//! document says.

use std::path::Path;

use kit::testing::{Program, call, command, eventually};
use serde_json::json;

const HOW_TO: &str = include_str!("../../../docs/how-to/add-a-service.md");
const RINGS: &str = include_str!("../examples/rings.rs");

/// The code blocks of a language in a Markdown document.
fn blocks<'t>(document: &'t str, language: &str) -> Vec<&'t str> {
    let begin = format!("```{language}\n");
    let begun = document.split(begin.as_str()).skip(1);
    begun.filter_map(|rest| rest.split("```").next()).collect()
}

fn rings(state: &Path) -> Program {
    // Cargo builds examples before it runs tests.
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().join("../examples/rings");
    let mut command = command(program.to_str().unwrap());
    command.env("STATE_DIRECTORY", state);
    Program::start(&mut command, state, json!({})).ready()
}

#[test]
fn what_the_document_shows_is_what_is_compiled_here() {
    assert_eq!(blocks(HOW_TO, "rust"), [RINGS]);
    assert!(RINGS.lines().count() <= 120);
    let modules = blocks(HOW_TO, "nix");
    assert!(
        modules
            .iter()
            .map(|text| text.lines().count())
            .sum::<usize>()
            <= 40
    );
}

#[test]
fn rings_are_counted_shown_and_survive_a_kill_and_a_stop() {
    let state = tempfile::tempdir().unwrap();
    let service = rings(state.path());
    for count in 1..=3 {
        let answer = call(service.address, "POST", "/ring", &[], "");
        assert_eq!((answer.status, answer.text), (200, format!("{count}\n")));
    }
    service.kill();
    let service = rings(state.path());
    let page = service.get("/").unwrap().text;
    assert!(page.contains("has rung 3 times"), "{page}");
    assert_eq!(call(service.address, "POST", "/ring", &[], "").text, "4\n");
    service.stop();
    let service = rings(state.path());
    eventually("the metric tells", || {
        let metrics = service.get("/metrics")?.text;
        metrics.contains("\nrings_total 4\n").then_some(())
    });
    service.stop();
}
