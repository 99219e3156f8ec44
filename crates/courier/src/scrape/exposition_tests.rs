use proptest::prelude::*;

use super::*;

/// The samples of a text, each in one line.
fn read(format: Format, text: &str) -> Result<Vec<String>, Garbage> {
    let mut exposition = Exposition::new(format);
    let mut samples = Vec::new();
    for line in text.lines() {
        if let Some(sample) = exposition.line(line.as_bytes())? {
            let labels = sample.labels.iter().map(|(n, v)| format!("{n}={v:?}"));
            let labels = labels.collect::<Vec<_>>().join(",");
            let at = sample.at_ms.map_or(String::new(), |at| format!(" @{at}"));
            samples.push(format!("{}[{labels}] {}{at}", sample.name, sample.value));
        }
    }
    exposition.end().map(|()| samples)
}

#[test]
fn prometheus_text_is_read_as_its_own_examples_are_written() {
    let text = r#"# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400",}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9

metric_without_timestamp_and_labels 12.47
something_weird{problem="division by zero"} +Inf -3982045
	tabs	{ a = "b" , c = "d" }	NaN
http_request_duration_seconds_bucket{le="+Inf"} 144320
rpc:empty{} -0
"#;
    let samples = read(Format::Text, text).unwrap();
    assert_eq!(
        samples,
        [
            r#"http_requests_total[method="post",code="200"] 1027 @1395066363000"#,
            r#"http_requests_total[method="post",code="400"] 3 @1395066363000"#,
            r#"msdos_file_access_time_seconds[path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""] 1458255915"#,
            "metric_without_timestamp_and_labels[] 12.47",
            r#"something_weird[problem="division by zero"] inf @-3982045"#,
            r#"tabs[a="b",c="d"] NaN"#,
            r#"http_request_duration_seconds_bucket[le="+Inf"] 144320"#,
            "rpc:empty[] -0",
        ]
    );
}

#[test]
fn openmetrics_has_seconds_exemplars_and_an_end() {
    let text = r#"# TYPE foo counter
# UNIT foo seconds
# HELP foo A "help" text
foo_total{a="b"} 17.0 1520879607.789 # {trace_id="KOO5S4vxi0o"} 0.67
foo_created{a="b"} 1520430000.123
bar_bucket{le="0.1"} 8 # {} 0.054
# EOF
"#;
    let samples = read(Format::OpenMetrics, text).unwrap();
    assert_eq!(
        samples,
        [
            r#"foo_total[a="b"] 17 @1520879607789"#,
            r#"foo_created[a="b"] 1520430000.123"#,
            r#"bar_bucket[le="0.1"] 8"#,
        ]
    );
}

#[test]
fn garbage_is_named() {
    for (format, text, complaint) in [
        (
            Format::Text,
            "<html>",
            "the name of a metric is expected at `<html>`",
        ),
        (
            Format::Text,
            "1a 2",
            "the name of a metric is expected at `1a 2`",
        ),
        (Format::Text, "a", "a number is expected at ``"),
        (Format::Text, "a b", "a number is expected at `b`"),
        (Format::Text, "a 1_000", "a number is expected at `1_000`"),
        (Format::Text, "a 1 2.5", "a time is expected at `2.5`"),
        (
            Format::Text,
            "a 1 2 3",
            "the end of the line is expected at `3`",
        ),
        (
            Format::Text,
            "a{b} 1",
            "the name of a label is expected at `b} 1`",
        ),
        (Format::Text, "a{b=c} 1", "=\" is expected at `=c} 1`"),
        (Format::Text, "a{b=\"c} 1", "\" is expected at `c} 1`"),
        (Format::Text, "a{b=\"c\\", "\" is expected at `c\\`"),
        (
            Format::Text,
            "a{b=\"c\" d=\"e\"} 1",
            "a comma or } is expected at `d=\"e\"} 1`",
        ),
        (
            Format::Text,
            "a{b=\"c\",b=\"d\"} 1",
            "the label b is there twice",
        ),
        (Format::Text, "a 1 # {} 2", "a time is expected at `#`"),
        (
            Format::OpenMetrics,
            "a 1\n",
            "there is no `# EOF` at its end",
        ),
        (
            Format::OpenMetrics,
            "# EOF\na 1\n",
            "there is something after `# EOF`",
        ),
        (
            Format::OpenMetrics,
            "a 1 x\n# EOF",
            "a time is expected at `x`",
        ),
        (
            Format::OpenMetrics,
            "#x\n# EOF",
            "a comment is expected at `#x`",
        ),
    ] {
        let error = read(format, text).unwrap_err();
        assert_eq!(error.to_string(), complaint, "{text}");
    }
    let error = Exposition::new(Format::Text).line(b"a{b=\"\xff\"} 1");
    assert_eq!(error, Err(Garbage::NotText));
}

#[test]
fn the_content_type_tells_the_format() {
    for (content_type, format) in [
        (
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::OpenMetrics,
        ),
        ("text/plain; version=0.0.4", Format::Text),
        ("", Format::Text),
    ] {
        assert_eq!(Format::of(content_type), format, "{content_type}");
    }
}

proptest! {
    #[test]
    fn no_line_makes_it_panic(line in proptest::collection::vec(any::<u8>(), 0..60), openmetrics: bool) {
        let format = if openmetrics { Format::OpenMetrics } else { Format::Text };
        let _ = Exposition::new(format).line(&line);
    }

    #[test]
    fn any_value_of_a_label_is_read_as_it_was_written(value: String, number: f64) {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let line = format!("a{{b=\"{escaped}\"}} {number}");
        let mut exposition = Exposition::new(Format::Text);
        let sample = exposition.line(line.as_bytes()).unwrap().unwrap();
        prop_assert_eq!(&*sample.labels[0].1, value.as_str());
        prop_assert_eq!(sample.value.to_bits(), number.to_bits());
    }
}
