//! Questions to the person at the terminal, even if standard input is a file or a pipe.

use anyhow::{Context, Result, bail};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};

/// Asks for a line.
pub fn line(question: &str) -> Result<String> {
    ask(&terminal()?, question)
}

/// Asks for a line that is not shown.
pub fn secret(question: &str) -> Result<String> {
    let terminal = terminal()?;
    let before = tcgetattr(&terminal).context("cannot ask the terminal")?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Flush, &quiet).context("cannot hide what is typed")?;
    let answer = ask(&terminal, question);
    tcsetattr(&terminal, OptionalActions::Now, &before)
        .context("cannot show again what is typed")?;
    eprintln!();
    answer
}

fn terminal() -> Result<File> {
    let terminal = File::options().read(true).write(true).open("/dev/tty");
    terminal.context("there is no terminal to ask the question on")
}

fn ask(mut terminal: &File, question: &str) -> Result<String> {
    let context = "cannot ask on the terminal";
    terminal.write_all(question.as_bytes()).context(context)?;
    let mut answer = String::new();
    let mut reader = BufReader::new(terminal);
    if reader.read_line(&mut answer).context(context)? == 0 {
        bail!("no answer was given");
    }
    Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
}
