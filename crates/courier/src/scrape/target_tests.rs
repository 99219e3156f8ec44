use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Mutex;
use std::thread;

use http_client::Options;

use super::*;

const TEXT: &str = "text/plain; version=0.0.4";

/// A target that answers each scrape with what it was told to answer.
struct Fake {
    answer: Arc<Mutex<Vec<u8>>>,
    target: Target,
    stats: Arc<Stats>,
}

fn limits() -> Limits {
    Limits {
        timeout: Duration::from_secs(5),
        bytes: 2000,
        series: 4,
        line: 100,
        keep: Vec::new(),
        drop: Vec::new(),
    }
}

impl Fake {
    fn with(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::<Mutex<Vec<u8>>>::default();
        let given = answer.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                while reader.read_line(&mut line).unwrap_or(0) > 2 {
                    line.clear();
                }
                // Whoever has heard enough hangs up.
                let _ = stream.write_all(&given.lock().unwrap());
            }
        });
        let options = Options {
            redirects: 0,
            ..Options::new("test", limits.timeout)
        };
        let labels = [("instance", "rack7"), ("job", "it")];
        let labels = labels.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec();
        let stats = Arc::<Stats>::default();
        let target = Target::new(
            "it".into(),
            format!("http://{address}/metrics"),
            labels,
            Arc::new(limits),
            Arc::new(Client::new(&options)),
            stats.clone(),
        );
        Fake {
            answer,
            target,
            stats,
        }
    }

    fn new() -> Self {
        Fake::with(limits())
    }

    fn answers(&self, head: &str, body: &str) {
        let length = body.len();
        *self.answer.lock().unwrap() = format!(
            "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .into();
    }

    /// What a scrape of this text becomes, without the reports about it.
    fn tells(&mut self, text: &str) -> Vec<String> {
        self.answers(&format!("200 OK\r\nContent-Type: {TEXT}"), text);
        self.scrape().0
    }

    /// The samples, and the reports about the scrape.
    fn scrape(&mut self) -> (Vec<String>, Vec<String>) {
        let (samples, outcome) = self.target.scrape();
        let mut samples: Vec<String> = samples.iter().map(told).collect();
        let mut reports = samples.split_off(samples.len() - 5);
        reports.extend(outcome.err());
        samples.sort();
        (samples, reports)
    }

    /// Why a scrape fails; nothing of it is kept.
    fn fails(&mut self) -> String {
        let (samples, mut reports) = self.scrape();
        assert_eq!((samples.len(), reports[0].as_str()), (0, "up 0"));
        reports.pop().unwrap()
    }
}

fn told(sample: &Sample) -> String {
    let labels: Vec<_> = (sample.series.pairs())
        .filter(|(name, _)| !["instance", "job", NAME].contains(name))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(sample.series.get("instance"), Some("rack7"));
    let name = sample.series.get(NAME).unwrap();
    let labels = match labels.is_empty() {
        true => String::new(),
        false => format!("[{}]", labels.join(",")),
    };
    let value = match sample.value.to_bits() == STALE.to_bits() {
        true => "stale".to_owned(),
        false => sample.value.to_string(),
    };
    let at = sample.at_ms.map_or(String::new(), |at| format!(" @{at}"));
    format!("{name}{labels} {value}{at}")
}

#[test]
fn a_scrape_tells_its_samples_and_how_it_went() {
    let mut fake = Fake::new();
    let head = "200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0";
    fake.answers(head, "# TYPE a counter\na_total{b=\"c\"} 3\nd NaN\n# EOF\n");
    let (samples, mut reports) = fake.scrape();
    assert_eq!(samples, ["a_total[b=c] 3", "d NaN"]);
    assert!(reports.remove(1).starts_with("scrape_duration_seconds 0."));
    assert_eq!(
        reports,
        [
            "up 1",
            "scrape_samples_scraped 2",
            "scrape_samples_post_metric_relabeling 2",
            "scrape_series_added 2",
        ]
    );
    let (_, reports) = fake.scrape();
    assert_eq!(reports[4], "scrape_series_added 0");
}

#[test]
fn a_series_that_vanishes_ends_once() {
    let mut fake = Fake::new();
    assert_eq!(fake.tells("a 1\nb 2"), ["a 1", "b 2"]);
    assert_eq!(fake.tells("a 1\n"), ["a 1", "b stale"]);
    assert_eq!(fake.tells("a 1\n"), ["a 1"]);
    assert_eq!(fake.tells("a 1\nb 3\n"), ["a 1", "b 3"]);
}

#[test]
fn all_series_of_a_target_that_fails_end_and_none_begins_that_was_never_told() {
    let mut fake = Fake::new();
    fake.tells("a 1\nb 2\n");
    assert_eq!(fake.tells("a 1\nc 2\ngarbage\n"), ["a stale", "b stale"]);
    assert_eq!(fake.tells("a 1\ngarbage\n"), Vec::<String>::new());
    assert_eq!(fake.tells("a 1\n"), ["a 1"]);
}

#[test]
fn a_series_with_a_time_of_its_own_does_not_end() {
    let mut fake = Fake::new();
    assert_eq!(
        fake.tells("a 1 1700000000000\nb 2\n"),
        ["a 1 @1700000000000", "b 2"]
    );
    assert_eq!(fake.tells("c 1\n"), ["b stale", "c 1"]);
}

#[test]
fn labels_that_clash_are_told_as_exported() {
    let mut fake = Fake::new();
    let text = "a{job=\"x\",instance=\"\",exported_job=\"y\",b=\"\"} 1\nc{instance=\"z\"} 2\n";
    let samples = [
        "a[exported_exported_job=x,exported_job=y] 1",
        "c[exported_instance=z] 2",
    ];
    assert_eq!(fake.tells(text), samples);
}

#[test]
fn of_what_is_told_twice_the_first_counts() {
    let mut fake = Fake::new();
    assert_eq!(
        fake.tells("a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\n"),
        ["a[x=1,y=2] 1"]
    );
}

#[test]
fn names_are_kept_and_dropped_by_patterns() {
    let mut fake = Fake::with(Limits {
        keep: vec!["node_*".into(), "up?".into(), "x".into()],
        drop: vec!["node_*_total".into()],
        ..limits()
    });
    let text = "node_load 1\nnode_cpu_total 2\nxx 3\nx 4\n";
    assert_eq!(fake.tells(text), ["node_load 1", "x 4"]);
    let (_, reports) = fake.scrape();
    assert_eq!(reports[2], "scrape_samples_scraped 4");
    assert_eq!(reports[3], "scrape_samples_post_metric_relabeling 2");
}

#[test]
fn bad_targets_are_named_and_nothing_of_them_is_kept() {
    let mut fake = Fake::new();
    let text = format!("200 OK\r\nContent-Type: {TEXT}");
    for (head, body, complaint) in [
        (
            &*text,
            "a 1\n<html>\n",
            "line 2: the name of a metric is expected at `<html>`",
        ),
        (
            &text,
            "a 1\nb 1\nc 1\nd 1\ne 1\n",
            "it has more than 4 series",
        ),
        (
            &text,
            &"a 1\n".repeat(501),
            "its metrics have more than 2000 bytes",
        ),
        (
            &text,
            &"b".repeat(150),
            "line 1 of its metrics has more than 100 bytes",
        ),
        (
            &text,
            &format!("a 1\n{} 1\n", "b".repeat(99)),
            "line 2 of its metrics has more than 100 bytes",
        ),
        ("404 Not Found", "", "it answers 404 Not Found"),
        (
            "302 Found\r\nLocation: http://127.0.0.1:1/",
            "",
            "it answers 302 Found",
        ),
        (
            "200 OK\r\nContent-Type: application/openmetrics-text",
            "a 1\n",
            "there is no `# EOF` at its end",
        ),
    ] {
        fake.answers(head, body);
        let problem = fake.fails();
        assert!(problem.contains(complaint), "{problem}");
    }
    // Half an answer is none.
    *fake.answer.lock().unwrap() = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na 1\n".to_vec();
    let problem = fake.fails();
    assert!(problem.contains("the connection was cut"), "{problem}");
    fake.answer.lock().unwrap().clear();
    fake.fails();
    // Whatever was wrong is over with the next good scrape.
    assert_eq!(fake.tells("a 1\n"), ["a 1"]);
    assert_eq!(fake.stats.targets_up(), (1, 1));
}

#[test]
fn a_target_that_never_ends_takes_no_more_than_is_allowed() {
    let mut fake = Fake::with(Limits {
        bytes: 10_000_000,
        series: 100_000,
        ..limits()
    });
    let series = |n| format!("metric{{number=\"{n}\"}} 1\n");
    let text: String = (0..100_001).map(series).collect();
    fake.answers(&format!("200 OK\r\nContent-Type: {TEXT}"), &text);
    assert_eq!(fake.fails(), "it has more than 100000 series");
    assert!(fake.target.seen.is_empty());
}

#[test]
fn fifty_megabytes_are_not_read_to_their_end() {
    let mut fake = Fake::with(Limits {
        bytes: 10_000_000,
        ..limits()
    });
    let line = format!("# {}\n", "x".repeat(97));
    let text = line.repeat(500_000);
    fake.answers(&format!("200 OK\r\nContent-Type: {TEXT}"), &text);
    assert_eq!(fake.fails(), "its metrics have more than 10000000 bytes");
    assert_eq!(fake.tells("a 1\n"), ["a 1"]);
}
