//! What a program did to its files, as `strace -f -y -ttt -xx` tells it, one system call after the other.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::disk::{Change, Op};

/// What is put before a program so that its calls are written to `/traces/NAME`. Every call that changes a file, its name or what
/// of it is on the disk is among them.
pub fn tracer(name: &str) -> String {
    let calls = "openat,open,creat,close,dup,dup2,dup3,fcntl,lseek,write,writev,pwrite64,pwritev,pwritev2,ftruncate,truncate,\
        fallocate,fsync,fdatasync,syncfs,sync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,\
        chdir,mmap,clone,clone3,fork,vfork,copy_file_range,sendfile,splice";
    format!(
        "strace -f --seccomp-bpf -y -ttt -xx -s 4194304 -e abbrev=none -e signal=none -o /traces/{name} -e trace={calls} --"
    )
}

/// One completed call.
#[derive(Debug)]
struct Call<'t> {
    pid: u32,
    /// When it was told of, in microseconds.
    at: u64,
    name: &'t str,
    arguments: Vec<String>,
    result: String,
}

impl Call<'_> {
    fn value(&self) -> i64 {
        let word = self.result.split([' ', '<']).next().unwrap_or_default();
        let digits = word.strip_prefix("0x");
        digits.map_or_else(
            || word.parse().unwrap_or(-1),
            |hex| u64::from_str_radix(hex, 16).map_or(-1, |value| value as i64),
        )
    }

    fn argument(&self, index: usize) -> Result<&str> {
        let argument = self.arguments.get(index).map(String::as_str);
        argument.with_context(|| format!("strace told too little of a call: {self:?}"))
    }

    fn number(&self, index: usize) -> Result<u64> {
        let text = self.argument(index)?;
        let number = text.parse();
        number.with_context(|| format!("not a number: {text} in {}", self.name))
    }

    fn descriptor(&self, index: usize) -> Result<i64> {
        let text = self.argument(index)?;
        let number = text.split('<').next().unwrap_or_default();
        Ok(number.parse().unwrap_or(-1))
    }
}

/// The calls that one trace has, in the order in which they were completed.
fn calls(text: &str) -> Result<Vec<Call<'_>>> {
    let mut begun: HashMap<u32, (&str, &str)> = HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let (pid, rest) = line
            .split_once(' ')
            .with_context(|| format!("not of strace: {}", start(line)))?;
        let pid: u32 = pid.parse()?;
        let (at, rest) = rest.trim_start().split_once(' ').context("no time")?;
        let at = (at.parse::<f64>()? * 1e6).round() as u64;
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        let (name, body);
        let joined;
        if let Some(rest) = rest.strip_prefix("<... ") {
            let (resumed, tail) = rest.split_once(" resumed>").context("not resumed")?;
            let Some((before, first)) = begun.remove(&pid) else {
                bail!("{resumed} was resumed and never begun");
            };
            ensure!(before == resumed, "{resumed} was begun as {before}");
            joined = format!("{first}{tail}");
            name = resumed;
            body = joined.as_str();
        } else {
            let (called, tail) = rest.split_once('(').context("no call")?;
            if let Some(first) = tail.strip_suffix(" <unfinished ...>") {
                begun.insert(pid, (called, first));
                continue;
            }
            name = called;
            body = tail;
        }
        let (arguments, rest) = arguments(body);
        let Some(result) = rest.trim_start().strip_prefix("= ") else {
            // It ended in the middle of it.
            continue;
        };
        calls.push(Call {
            pid,
            at,
            name,
            arguments,
            result: result.to_owned(),
        });
    }
    Ok(calls)
}

fn start(line: &str) -> &str {
    line.get(..80).unwrap_or(line)
}

/// Splits what follows the opening parenthesis into arguments and the rest.
fn arguments(body: &str) -> (Vec<String>, &str) {
    let mut all = Vec::new();
    let (mut depth, mut from, mut at) = (0, 0, 0);
    // What is written may have megabytes: it is stepped over.
    let beyond = |at: usize, end: char| {
        let length = body[at + 1..].find(end);
        length.map_or(body.len(), |length| at + 1 + length)
    };
    while let Some(byte) = body.as_bytes().get(at) {
        match byte {
            b'"' => at = beyond(at, '"'),
            b'<' if body[at..].starts_with("<<") => at += 1,
            b'<' => at = beyond(at, '>'),
            b'(' | b'[' | b'{' => depth += 1,
            b')' if depth == 0 => {
                if from < at {
                    all.push(body[from..at].trim().to_owned());
                }
                return (all, &body[at + 1..]);
            }
            b')' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => {
                all.push(body[from..at].trim().to_owned());
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    (all, "")
}

/// The bytes that a text in quotation marks stands for.
fn bytes(text: &str) -> Result<Vec<u8>> {
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    let inner =
        inner.with_context(|| format!("strace has not told the whole of {}", start(text)))?;
    unescaped(inner)
}

/// With `-xx` every byte of a text is four characters.
fn unescaped(text: &str) -> Result<Vec<u8>> {
    let all = text.as_bytes();
    ensure!(
        all.len().is_multiple_of(4),
        "not of strace -xx: {}",
        start(text)
    );
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => byte - b'0',
        _ => byte.wrapping_sub(b'a') + 10,
    };
    let mut bytes = Vec::with_capacity(all.len() / 4);
    for four in all.chunks_exact(4) {
        bytes.push(digit(four[2]) << 4 | digit(four[3]));
    }
    Ok(bytes)
}

fn path(text: &str) -> Result<PathBuf> {
    Ok(String::from_utf8(bytes(text)?)?.into())
}

/// The path that `-y` tells of a descriptor; none of one that has no name any more.
fn path_of(descriptor: &str) -> Result<Option<PathBuf>> {
    let Some((_, path)) = descriptor.split_once('<') else {
        return Ok(None);
    };
    let Some((path, rest)) = path.split_once('>') else {
        return Ok(None);
    };
    let path = String::from_utf8(unescaped(path)?)?;
    let gone = path.ends_with(" (deleted)") || rest.contains("deleted");
    Ok((path.starts_with('/') && !gone).then(|| path.into()))
}

/// The bytes of the `iov_base`s of an argument of `writev` and its kin.
fn vector(text: &str) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for part in text.split("iov_base=").skip(1) {
        let end = part[1..].find('"').context("no end of an iov_base")? + 2;
        all.extend(bytes(&part[..end])?);
    }
    Ok(all)
}

/// A file that is written to at a position which calls move.
#[derive(Debug, Clone, Copy)]
enum Position {
    At(u64),
    End,
}

/// What the processes of a trace have open.
#[derive(Default)]
struct Processes {
    /// Threads share their process' files.
    process_of: HashMap<u32, u32>,
    positions: Vec<Position>,
    open: HashMap<(u32, i64), usize>,
}

impl Processes {
    fn of(&self, pid: u32) -> u32 {
        let mut pid = pid;
        while let Some(process) = self.process_of.get(&pid).filter(|process| **process != pid) {
            pid = *process;
        }
        pid
    }

    fn opened(&mut self, pid: u32, descriptor: i64, position: Position) {
        self.positions.push(position);
        let process = self.of(pid);
        self.open
            .insert((process, descriptor), self.positions.len() - 1);
    }

    fn copied(&mut self, pid: u32, from: i64, to: i64) {
        let process = self.of(pid);
        if let Some(position) = self.open.get(&(process, from)).copied() {
            self.open.insert((process, to), position);
        }
    }

    fn forked(&mut self, parent: u32, child: u32) {
        let parent = self.of(parent);
        let of_parent: Vec<(i64, usize)> = self
            .open
            .iter()
            .filter(|((process, _), _)| *process == parent)
            .map(|((_, descriptor), position)| (*descriptor, *position))
            .collect();
        for (descriptor, position) in of_parent {
            self.open.entry((child, descriptor)).or_insert(position);
        }
    }

    fn position(&mut self, pid: u32, descriptor: i64) -> Option<&mut Position> {
        let process = self.of(pid);
        let index = *self.open.get(&(process, descriptor))?;
        self.positions.get_mut(index)
    }
}

/// What of a trace was done to files below `folder`, whose paths become relative to it.
pub fn read(text: &str, folder: &Path) -> Result<Vec<Op>> {
    let calls = calls(text)?;
    let mut processes = Processes::default();
    for call in calls.iter().filter(|call| call.name.starts_with("clone")) {
        let shared = call.arguments.iter().any(|a| a.contains("CLONE_THREAD"));
        if shared && call.value() > 0 {
            processes.process_of.insert(call.value() as u32, call.pid);
        }
    }
    let mut ops = Vec::new();
    let mut cwd = PathBuf::from("/");
    for call in &calls {
        let done = changes(call, &mut processes, &mut cwd, folder);
        let done = done
            .with_context(|| format!("{} of {:?}", call.name, start(&call.arguments.join(", "))))?;
        ops.extend(done.into_iter().map(|change| Op {
            at: call.at,
            change,
        }));
    }
    Ok(ops)
}

fn changes(
    call: &Call<'_>,
    processes: &mut Processes,
    cwd: &mut PathBuf,
    folder: &Path,
) -> Result<Vec<Change>> {
    let value = call.value();
    if value < 0 {
        return Ok(vec![]);
    }
    let inside = |path: PathBuf| path.strip_prefix(folder).ok().map(Path::to_owned);
    // A path as an argument, perhaps after the descriptor of the folder that it starts from.
    let named = |at: Option<usize>, name: usize, cwd: &Path| -> Result<Option<PathBuf>> {
        let name = path(call.argument(name)?)?;
        let base = match at {
            Some(at) => path_of(call.argument(at)?)?,
            None => None,
        };
        Ok(inside(base.as_deref().unwrap_or(cwd).join(name)))
    };
    let here = cwd.clone();
    let of = |index: usize| -> Result<Option<PathBuf>> {
        Ok(path_of(call.argument(index)?)?.and_then(inside))
    };
    let written = |file: Option<PathBuf>, at: Option<u64>, mut data: Vec<u8>| {
        data.truncate(value as usize);
        file.map(|file| Change::Write { file, at, data })
    };
    let change = match call.name {
        "openat" | "open" | "creat" => {
            let first = usize::from(call.name == "openat");
            let flags = if call.name == "creat" {
                "O_CREAT|O_TRUNC"
            } else {
                call.argument(first + 1)?
            };
            let position = if flags.contains("O_APPEND") {
                Position::End
            } else {
                Position::At(0)
            };
            processes.opened(call.pid, value, position);
            // Where links have led it.
            let file = path_of(&call.result)?.and_then(inside);
            let file = file.filter(|_| !flags.contains("O_TMPFILE"));
            let (create, truncate) = (flags.contains("O_CREAT"), flags.contains("O_TRUNC"));
            file.filter(|_| create || truncate)
                .map(|file| Change::Open { file, truncate })
        }
        "close" => {
            let process = processes.of(call.pid);
            processes.open.remove(&(process, call.descriptor(0)?));
            None
        }
        "dup" | "dup2" | "dup3" => {
            processes.copied(call.pid, call.descriptor(0)?, value);
            None
        }
        "fcntl" if call.argument(1)?.starts_with("F_DUPFD") => {
            processes.copied(call.pid, call.descriptor(0)?, value);
            None
        }
        "lseek" => {
            if let Some(position) = processes.position(call.pid, call.descriptor(0)?)
                && let Position::At(at) = position
            {
                *at = value as u64;
            }
            None
        }
        "write" | "writev" => {
            let data = match call.name {
                "write" => bytes(call.argument(1)?),
                _ => vector(call.argument(1)?),
            };
            let mut at = None;
            if let Some(Position::At(position)) = processes.position(call.pid, call.descriptor(0)?)
            {
                at = Some(*position);
                *position += value as u64;
            }
            match of(0)? {
                Some(file) => written(Some(file), at, data?),
                None => None,
            }
        }
        "pwrite64" => match of(0)? {
            Some(file) => written(Some(file), Some(call.number(3)?), bytes(call.argument(1)?)?),
            None => None,
        },
        "pwritev" | "pwritev2" => match of(0)? {
            Some(file) => written(
                Some(file),
                Some(call.number(3)?),
                vector(call.argument(1)?)?,
            ),
            None => None,
        },
        "ftruncate" => {
            let length = call.number(1)?;
            of(0)?.map(|file| Change::Length { file, length })
        }
        "truncate" => {
            let length = call.number(1)?;
            named(None, 0, &here)?.map(|file| Change::Length { file, length })
        }
        "fallocate" => {
            let length = call.number(2)? + call.number(3)?;
            let mode = call.argument(1)?;
            match of(0)? {
                Some(file) if mode == "0" => Some(Change::Allocate { file, length }),
                Some(_) if mode == "FALLOC_FL_KEEP_SIZE" => None,
                Some(file) => bail!("fallocate of {} with {mode}", file.display()),
                None => None,
            }
        }
        "fsync" | "fdatasync" => {
            let data_only = call.name == "fdatasync";
            of(0)?.map(|file| Change::Sync { file, data_only })
        }
        "syncfs" | "sync" => Some(Change::SyncAll),
        "rename" | "renameat" | "renameat2" | "link" | "linkat" => {
            let (from, to) = if call.name.contains("at") {
                (named(Some(0), 1, &here)?, named(Some(2), 3, &here)?)
            } else {
                (named(None, 0, &here)?, named(None, 1, &here)?)
            };
            match (from, to) {
                (Some(from), Some(to)) if call.name.starts_with("rename") => {
                    Some(Change::Rename { from, to })
                }
                (Some(from), Some(to)) => Some(Change::Link { from, to }),
                (None, None) => None,
                other => bail!("a file came or went: {other:?}"),
            }
        }
        "unlink" | "rmdir" => named(None, 0, &here)?.map(|file| Change::Remove { file }),
        "unlinkat" => named(Some(0), 1, &here)?.map(|file| Change::Remove { file }),
        "mkdir" => named(None, 0, &here)?.map(|folder| Change::Folder { folder }),
        "mkdirat" => named(Some(0), 1, &here)?.map(|folder| Change::Folder { folder }),
        "chdir" => {
            *cwd = cwd.join(path(call.argument(0)?)?);
            None
        }
        "mmap" => {
            let shared = call.argument(3)?.contains("MAP_SHARED");
            if shared && call.argument(2)?.contains("PROT_WRITE") {
                let file = of(4)?;
                let unknown = file.map(|file| file.display().to_string());
                ensure!(
                    unknown.is_none(),
                    "what is written to {unknown:?} through memory is not told"
                );
            }
            None
        }
        "clone" | "clone3" | "fork" | "vfork" => {
            if !processes.process_of.contains_key(&(value as u32)) {
                processes.forked(call.pid, value as u32);
            }
            None
        }
        "copy_file_range" | "sendfile" | "splice" => {
            let to = if call.name == "sendfile" { 0 } else { 2 };
            match of(to)? {
                Some(file) => bail!("the kernel copies into {}", file.display()),
                None => None,
            }
        }
        _ => None,
    };
    Ok(change.into_iter().collect())
}
