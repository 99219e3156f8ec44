//! What a real Prometheus makes of what a courier sends. It scrapes one of the targets itself, to be compared with.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::json;
use support::debian::Debian;
use support::*;

const OUT_OF_ORDER: &str = "prometheus_tsdb_head_out_of_order_samples_appended_total";

/// A target that both scrape: it tells two series, then one, and then it fails.
struct Both {
    server: Server,
    step: Arc<AtomicU8>,
}

impl Both {
    fn start() -> Self {
        let step = Arc::<AtomicU8>::default();
        let now = step.clone();
        let server = Server::start(move |_| {
            let text = "# TYPE stays gauge\nstays{job=\"theirs\"} 1\n";
            match now.load(Ordering::SeqCst) {
                0 => tells(&format!("{text}vanishes 2\n")),
                1 => tells(text),
                _ => Answer::new(500),
            }
        });
        Both { server, step }
    }

    fn next(&self) {
        self.step.fetch_add(1, Ordering::SeqCst);
    }
}

fn tells(text: &str) -> Answer {
    Answer::new(200)
        .kind("text/plain; version=0.0.4")
        .body(text)
}

/// A courier that scrapes two targets, and sends to a Prometheus that scrapes the second one itself.
struct Scene {
    target: Target,
    both: Both,
    prometheus: Debian,
    courier: Running,
    directory: tempfile::TempDir,
}

impl Scene {
    fn new(out_of_order: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (target, both) = (target(), Both::start());
        let folder = directory.path().join("prometheus");
        let prometheus = Debian::start(&folder, out_of_order, both.server.address());
        let courier = Self::courier(directory.path(), &target, &both, &prometheus);
        Scene {
            target,
            both,
            prometheus,
            courier,
            directory,
        }
    }

    fn courier(directory: &Path, target: &Target, both: &Both, to: &Debian) -> Running {
        let config = json!({
            "scrape": {
                "interval_seconds": 0.1,
                "targets": [
                    { "job": "it", "url": target.server.url("/metrics") },
                    { "job": "both", "url": both.server.url("/metrics") },
                ],
            },
            "metrics": { "url": to.url(), "late_seconds": 0.5, "batch_samples": 60 },
        });
        start(directory, config)
    }

    /// Prometheus is away for a while, and the courier is restarted in the meantime.
    fn outage(mut self) -> Self {
        self.arrives(5);
        self.prometheus.down();
        self.target.is_scraped(15);
        self.courier.stop();
        self.courier = Self::courier(
            self.directory.path(),
            &self.target,
            &self.both,
            &self.prometheus,
        );
        self.target.is_scraped(15);
        self.prometheus.up();
        self
    }

    /// Waits for so many samples, and looks that each is there once.
    fn arrives(&self, samples: usize) {
        eventually("samples arrive", || {
            (self.prometheus.values("scrapes_total").len() >= samples).then_some(())
        });
        let values = self.prometheus.values("scrapes_total");
        let all: Vec<f64> = (1..=values.len()).map(|n| n as f64).collect();
        assert_eq!(values, all);
    }

    /// Everything of the outage arrives, each sample once, and nothing is refused but what was to try it.
    fn is_complete(&self) {
        let all = self.target.scrapes() as usize;
        eventually("what waited arrives", || {
            let values = self.prometheus.values("scrapes_total");
            (1..=all)
                .all(|n| values.contains(&(n as f64)))
                .then_some(())
        });
        self.arrives(all);
        let up = self.prometheus.values("up{job=\"it\"}");
        assert!(up.len() >= all && up.iter().all(|up| *up == 1.0), "{up:?}");
        assert_eq!(
            count(
                &self.courier,
                "courier_lost_samples_total{reason=\"refused\"}"
            ),
            0.0
        );
    }

    /// The names and labels that a scrape of the second target has become, without whose they are.
    fn told_by(&self, instance: &str) -> BTreeSet<String> {
        let selector = format!("{{job=\"both\",instance=\"{instance}\"}}");
        let series = self.prometheus.query(&selector).into_iter();
        let names = series.map(|(mut labels, values)| {
            let of = labels.as_object_mut().unwrap();
            of.retain(|name, _| !["instance", "customer", "location"].contains(&name.as_str()));
            let is_duration = of["__name__"] == "scrape_duration_seconds";
            match is_duration {
                true => labels.to_string(),
                false => format!("{labels} {}", values[0].1),
            }
        });
        names.collect()
    }
}

#[test]
fn a_real_prometheus_has_what_waited_in_its_order() {
    let scene = Scene::new("0s").outage();
    scene.is_complete();
    assert_eq!(scene.prometheus.own(OUT_OF_ORDER), 0.0);
    scene.courier.stop();
}

#[test]
fn a_real_prometheus_that_takes_what_is_old_has_what_is_new_first() {
    let scene = Scene::new("1h").outage();
    scene.is_complete();
    assert!(scene.prometheus.own(OUT_OF_ORDER) > 0.0);
    scene.courier.stop();
}

#[test]
fn a_scrape_has_become_what_prometheus_itself_makes_of_it_until_its_series_end() {
    let scene = Scene::new("0s");
    let mut seen = Vec::new();
    for (step, series) in [7, 6, 5].into_iter().enumerate() {
        if step > 0 {
            scene.both.next();
        }
        // A series that has ended is not there any more, instead of being there for five minutes.
        let told = eventually("both tell the same", || {
            let (ours, its) = (scene.told_by("rack7"), scene.told_by("itself"));
            (ours == its && its.len() == series && !seen.contains(&its)).then_some(its)
        });
        seen.push(told);
    }
    let first = r#"{"__name__":"stays","exported_job":"theirs","job":"both"} 1"#;
    assert!(seen[0].contains(first), "{seen:?}");
    assert!(
        seen[2].contains(r#"{"__name__":"up","job":"both"} 0"#),
        "{seen:?}"
    );
    scene.courier.stop();
}
