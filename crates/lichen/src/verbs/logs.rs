//! `lichen logs`: a device's journal, with the fields of what this project's services say.
//!
//! The device sends its journal as JSON, and the lines are made here, where what a device says can do no harm to a terminal. Times are
//! those of the device, as `--since` is.

use crate::remote::{Device, SshArgs};
use crate::ui;
use anyhow::Result;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use protocol::command::quoted;
use serde_json::{Map, Value};
use std::io::Write;

/// How many lines are shown if nobody says how many, or since when.
const USUAL_LINES: u32 = 100;

/// Show a device's journal
#[derive(Debug, clap::Args)]
pub struct LogsArgs {
    /// The device, as ssh knows it
    host: String,
    /// Follow the journal
    #[arg(short, long)]
    follow: bool,
    /// Only messages of this unit
    #[arg(short, long)]
    unit: Option<String>,
    /// How many of the last lines to show [default: 100, or all since --since]
    #[arg(short = 'n', long)]
    lines: Option<u32>,
    /// Only messages since then: `-1h`, `today`, `"2026-11-30 18:00"`, in the device's time zone
    #[arg(short = 'S', long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Only messages as important as that: `err`, `warning`, …
    #[arg(short, long, value_name = "LEVEL")]
    priority: Option<String>,
    /// Only messages of this boot: 0 is the present one, -1 the one before
    #[arg(short, long, value_name = "N", allow_hyphen_values = true)]
    boot: Option<i32>,
    #[command(flatten)]
    ssh: SshArgs,
}

impl LogsArgs {
    /// What the device is to carry out: first its time zone, then its journal.
    fn command(&self) -> String {
        let lines = self
            .lines
            .or(self.since.is_none().then_some(USUAL_LINES))
            .map(|lines| format!(" -n {lines}"));
        let given = |option: &str, value: &Option<String>| {
            let value = value.as_deref();
            value.map(|value| format!(" --{option}={}", quoted(value)))
        };
        let options = [
            lines,
            self.follow.then(|| " -f".to_owned()),
            given("unit", &self.unit),
            given("since", &self.since),
            given("priority", &self.priority),
            self.boot.map(|boot| format!(" --boot={boot}")),
        ];
        let options: String = options.into_iter().flatten().collect();
        // The last line of that file is the zone's present rule, in the words of POSIX.
        format!(
            "{{ tail -n 1 /etc/localtime 2>/dev/null || echo; journalctl --no-pager --all -o json{options}; }} 1>&2"
        )
    }
}

/// Runs `lichen logs`.
pub fn run(args: &LogsArgs) -> Result<()> {
    let device = Device::connect(&args.host, &args.ssh)?;
    let mut journal = None;
    // stderr is passed on line by line.
    let mut heard = |line: &str| {
        let Some(journal) = &journal else {
            journal = Some(Journal::in_zone(line));
            return;
        };
        let _ = writeln!(std::io::stdout(), "{}", journal.line(line));
    };
    let ended = device.run(&args.command(), &mut |_| Ok(()), &mut heard)?;
    anyhow::ensure!(
        ended.code == 0,
        "{}: journalctl ended with {}",
        device.host,
        ended.code
    );
    Ok(())
}

/// Makes lines of entries.
struct Journal {
    zone: TimeZone,
}

impl Journal {
    /// In the time zone of this rule, or in UTC if there is none.
    fn in_zone(rule: &str) -> Self {
        let zone = TimeZone::posix(rule.trim());
        Journal {
            zone: zone.unwrap_or(TimeZone::UTC),
        }
    }

    /// An entry as a line, as journalctl writes it, and then its fields. What is no entry stays as it is.
    fn line(&self, json: &str) -> String {
        match serde_json::from_str::<Map<String, Value>>(json) {
            Ok(entry) => self.of(&entry),
            Err(_) => ui::harmless(json),
        }
    }

    fn of(&self, entry: &Map<String, Value>) -> String {
        let text = |name: &str| entry.get(name).map(text_of).unwrap_or_default();
        let at = text("__REALTIME_TIMESTAMP").parse().ok();
        let at = at.and_then(|at| Timestamp::from_microsecond(at).ok());
        let at = at.map(|at| at.to_zoned(self.zone.clone()).strftime("%b %d %H:%M:%S"));
        let at = at.map(|at| at.to_string()).unwrap_or_default();
        let mut who = text("SYSLOG_IDENTIFIER");
        if who.is_empty() {
            who = text("_COMM");
        }
        let pid = text("_PID");
        if !pid.is_empty() {
            who += &format!("[{pid}]");
        }
        let fields: String = fields(entry)
            .map(|(name, value)| format!(" {}={}", name.to_lowercase(), value_of(value)))
            .collect();
        let line = format!(
            "{at} {} {who}: {}{fields}",
            text("_HOSTNAME"),
            text("MESSAGE")
        );
        // As journalctl does it: what follows the first line stands below it.
        let indented = format!("\n{}", " ".repeat(at.len() + 1));
        let lines: Vec<String> = line.trim_end().split('\n').map(ui::harmless).collect();
        lines.join(&indented)
    }
}

/// What a service says besides its message. Only this project's programs, which use `tracing`, name their target; what other
/// programs send along is of no use to people.
fn fields(entry: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    const OWN: [&str; 4] = ["MESSAGE", "PRIORITY", "TARGET", "TID"];
    let ours = entry.contains_key("TARGET");
    entry.iter().filter(move |(name, _)| {
        let name = name.as_str();
        let of_the_journal = name.starts_with('_')
            || name.starts_with("SYSLOG_")
            || name.starts_with("CODE_")
            || name.starts_with("THREAD_")
            || OWN.contains(&name);
        ours && !of_the_journal
    })
}

/// A value: text, or its bytes where they are no text, or the first of several.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => match all.first() {
            Some(Value::Number(_)) => {
                let bytes = all.iter().filter_map(Value::as_u64);
                let bytes: Vec<u8> = bytes.filter_map(|byte| byte.try_into().ok()).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Some(first) => text_of(first),
            None => String::new(),
        },
        Value::Null => "(too long to be shown)".into(),
        other => other.to_string(),
    }
}

/// A field's value, quoted where it would be taken for several words.
fn value_of(value: &Value) -> String {
    let text = text_of(value);
    match text.is_empty() || text.contains([' ', '"', '\n', '=']) {
        true => format!("{text:?}"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    const ENTRY: &str = r#"{"__REALTIME_TIMESTAMP":"1796062405000000","_HOSTNAME":"bell","SYSLOG_IDENTIFIER":"rings","_PID":"431",
        "PRIORITY":"6","CODE_FILE":"src/main.rs","TARGET":"rings","MESSAGE":"ring","RINGS":"2","WHO":"the \"door\""}"#;

    fn line(json: &str) -> String {
        Journal::in_zone("").line(json)
    }

    #[test]
    fn a_service_s_fields_follow_its_message() {
        let expected = r#"Nov 30 18:13:25 bell rings[431]: ring rings=2 who="the \"door\"""#;
        assert_eq!(line(ENTRY), expected);
    }

    #[test]
    fn what_other_programs_send_along_is_left_out() {
        let systemd = ENTRY.replace(r#""TARGET":"rings","#, "");
        assert_eq!(line(&systemd), "Nov 30 18:13:25 bell rings[431]: ring");
    }

    #[test]
    fn times_are_the_device_s() {
        for (rule, time) in [
            ("UTC0", "18:13:25"),
            ("CET-1CEST,M3.5.0,M10.5.0/3", "19:13:25"),
            ("AEST-10AEDT,M10.1.0,M4.1.0/3", "Dec 01 05:13:25"),
            ("<+0545>-5:45", "23:58:25"),
            ("no zone at all", "18:13:25"),
        ] {
            let line = Journal::in_zone(rule).line(ENTRY);
            assert!(line.contains(time), "{rule}: {line}");
        }
    }

    #[test]
    fn a_message_may_have_lines_be_no_text_or_be_too_long() {
        let with = |message: &str| line(&ENTRY.replace(r#""ring","RINGS":"2""#, message));
        let two = with(r#""ring\nand ring""#);
        assert!(
            two.contains(": ring\n                and ring who="),
            "{two}"
        );
        assert!(with("[114,105,110,255]").contains(": rin\u{fffd} who="));
        assert!(with("null").contains(": (too long to be shown) who="));
        assert!(with(r#"["ring","another"]"#).contains(": ring who="));
    }

    #[test]
    fn a_device_sends_no_escape_codes_to_the_terminal() {
        let hostile = line(&ENTRY.replace("\"ring\"", r#""\u001b]0;title\u0007ring""#));
        assert!(
            hostile.contains("\u{fffd}]0;title\u{fffd}ring"),
            "{hostile}"
        );
        assert_eq!(line("Hint:\x1b[1m see"), "Hint:\u{fffd}[1m see");
    }

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        logs: LogsArgs,
    }

    fn asked(line: &str) -> String {
        let cli = Cli::parse_from(
            ["logs", "rack7"]
                .into_iter()
                .chain(line.split_terminator(' ')),
        );
        let command = cli.logs.command();
        let (_, options) = command.split_once("-o json").unwrap();
        options.trim_end_matches("; } 1>&2").to_owned()
    }

    #[test]
    fn options_are_passed_on_to_the_device() {
        assert_eq!(asked(""), " -n 100");
        assert_eq!(asked("-n 5 -f -u climate"), " -n 5 -f --unit=climate");
        assert_eq!(asked("--since -1h -p err"), " --since=-1h --priority=err");
        assert_eq!(asked("-b -1"), " -n 100 --boot=-1");
        assert_eq!(asked("--unit a'b"), r" -n 100 --unit='a'\''b'");
    }
}
