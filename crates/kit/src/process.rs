//! The resources that a process uses, from /proc.

use std::fmt::Display;
use std::fs;

/// The resources that a process uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProcessUsage {
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Processor time used since the start, in seconds.
    pub cpu_seconds: f64,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub open_fds: u64,
}

impl ProcessUsage {
    /// What this process uses now; values that cannot be read are 0.
    pub fn now() -> Self {
        let usage = ProcessUsage::of("self");
        ProcessUsage {
            // The directory handle used for counting was counted as well.
            open_fds: usage.open_fds.saturating_sub(1),
            ..usage
        }
    }

    /// What the process with this number uses now.
    pub(crate) fn of(process: impl Display) -> Self {
        let pages = fs::read_to_string(format!("/proc/{process}/statm"))
            .ok()
            .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok())
            .unwrap_or_default();
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let (cpu_ticks, threads) = parse_stat(&stat).unwrap_or_default();
        ProcessUsage {
            resident_bytes: pages * rustix::param::page_size() as u64,
            cpu_seconds: cpu_ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
            threads,
            open_fds: fs::read_dir(format!("/proc/{process}/fd"))
                .map_or(0, |files| files.count() as u64),
        }
    }
}

/// Processor ticks and threads from /proc/PID/stat. The command's name may contain spaces and parentheses.
fn parse_stat(stat: &str) -> Option<(u64, u64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some((number(14)? + number(15)?, number(20)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_the_last_parenthesis() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 7 5 0 0 20 0 3 0 100 1 2";
        assert_eq!(parse_stat(stat), Some((12, 3)));
        assert_eq!(parse_stat("42 (cut"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = ProcessUsage::now();
        assert!(
            usage.resident_bytes > 100_000 && usage.threads >= 1 && usage.open_fds >= 3,
            "{usage:?}"
        );
    }
}
