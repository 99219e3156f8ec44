//! The health of the service: the conditions of its components, and the overall status derived from them.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};

/// The name of a component, loop or latch; it may be created at run time.
pub type Name = Cow<'static, str>;

/// The fields of a health body.
pub type Fields = Map<String, Value>;

type Extension = Box<dyn Fn(&mut Fields) + Send + Sync>;
type Words = Box<dyn Fn() -> String + Send + Sync>;

/// A component of the service with a condition of its own.
#[derive(Debug, Clone)]
pub struct Component {
    name: Name,
    condition: Arc<Mutex<Condition>>,
}

/// The condition of a component.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// It works.
    Ok,
    /// It does not work at the moment, for this reason, and is being retried.
    Degraded(String),
    /// The service is unusable, for this reason.
    Failed(String),
}

impl Condition {
    fn reason(&self) -> Option<&str> {
        match self {
            Condition::Ok => None,
            Condition::Degraded(reason) | Condition::Failed(reason) => Some(reason),
        }
    }

    fn status(&self) -> Status {
        match self {
            Condition::Ok => Status::Ok,
            Condition::Degraded(_) => Status::Degraded,
            Condition::Failed(_) => Status::Failed,
        }
    }
}

impl Component {
    /// Reports that it works.
    pub fn ok(&self) {
        self.set(Condition::Ok);
    }

    /// Reports that it does not work at the moment, for this reason, and is being retried.
    pub fn degraded(&self, reason: impl Into<String>) {
        self.set(Condition::Degraded(reason.into()));
    }

    /// Reports that the service is unusable, for this reason.
    pub fn failed(&self, reason: impl Into<String>) {
        self.set(Condition::Failed(reason.into()));
    }

    /// Sets the condition.
    pub fn set(&self, next: Condition) {
        let mut condition = self.condition.lock().expect("no panic while held");
        if *condition == next {
            return;
        }
        // Only changes are logged, so that a lasting condition does not fill the journal.
        let component = &*self.name;
        match &next {
            Condition::Ok => tracing::info!(component, "ok again"),
            Condition::Degraded(reason) => tracing::warn!(component, "degraded: {reason}"),
            Condition::Failed(reason) => tracing::error!(component, "failed: {reason}"),
        }
        *condition = next;
    }

    /// The words with which it fails if whoever holds them panics: nobody else would report on it from then on.
    pub(crate) fn last_words(&self, reason: &'static str) -> LastWords {
        LastWords(self.clone(), reason)
    }

    fn condition(&self) -> Condition {
        self.condition.lock().expect("no panic while held").clone()
    }
}

/// See [`Component::last_words`].
pub(crate) struct LastWords(Component, &'static str);

impl Drop for LastWords {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.failed(self.1);
        }
    }
}

/// The overall status of the service, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Ok,
    Degraded,
    Failed,
    Starting,
    Stopping,
    Stuck,
}

impl Status {
    pub(crate) const ALL: [Status; 6] = [
        Status::Ok,
        Status::Degraded,
        Status::Failed,
        Status::Starting,
        Status::Stopping,
        Status::Stuck,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Degraded => "degraded",
            Status::Failed => "failed",
            Status::Starting => "starting",
            Status::Stopping => "stopping",
            Status::Stuck => "stuck",
        }
    }

    /// Whether the service is usable.
    pub(crate) fn is_good(self) -> bool {
        self <= Status::Degraded
    }
}

#[derive(Default)]
pub(crate) struct Components {
    all: Mutex<Vec<Component>>,
    extensions: Mutex<Vec<Extension>>,
    words: Mutex<Option<Words>>,
}

impl Components {
    pub(crate) fn add(&self, name: Name) -> Component {
        let component = Component {
            name,
            condition: Arc::new(Mutex::new(Condition::Ok)),
        };
        let mut all = self.all.lock().expect("no panic while held");
        all.push(component.clone());
        component
    }

    pub(crate) fn extend(&self, extension: Extension) {
        let mut extensions = self.extensions.lock().expect("no panic while held");
        extensions.push(extension);
    }

    pub(crate) fn describe(&self, words: Words) {
        *self.words.lock().expect("no panic while held") = Some(words);
    }

    /// One line for people: what the service is doing, and which components do not work.
    pub(crate) fn in_words(&self) -> String {
        let words = self.words.lock().expect("no panic while held");
        let all = self.all.lock().expect("no panic while held");
        let trouble = all.iter().filter_map(|component| {
            let condition = component.condition();
            Some(format!("{}: {}", component.name, condition.reason()?))
        });
        let parts: Vec<String> = words.iter().map(|words| words()).chain(trouble).collect();
        if parts.is_empty() {
            return Status::Ok.word().into();
        }
        parts.join("; ").replace('\n', " ")
    }

    pub(crate) fn worst(&self) -> Status {
        let all = self.all.lock().expect("no panic while held");
        let statuses = all.iter().map(|component| component.condition().status());
        statuses.max().unwrap_or(Status::Ok)
    }

    /// The name of every component, and whether it works.
    pub(crate) fn well(&self) -> Vec<(Name, bool)> {
        let all = self.all.lock().expect("no panic while held");
        let well = |component: &Component| component.condition() == Condition::Ok;
        let named = all.iter().map(|c| (c.name.clone(), well(c)));
        named.collect()
    }

    /// The health body: the components, and the service's own fields.
    pub(crate) fn tell(&self, fields: &mut Fields) {
        let all = self.all.lock().expect("no panic while held");
        let told = |component: &Component| {
            let condition = component.condition();
            let mut body = json!({ "status": condition.status().word() });
            if let Some(reason) = condition.reason() {
                body["reason"] = reason.into();
            }
            (component.name.to_string(), body)
        };
        fields.insert("components".into(), all.iter().map(told).collect());
        drop(all);
        for extension in &*self.extensions.lock().expect("no panic while held") {
            extension(fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_it_does_and_what_does_not_work() {
        let components = Components::default();
        let camera = components.add("camera".into());
        assert_eq!(components.in_words(), "ok");
        components.describe(Box::new(|| "3 recordings wait".into()));
        assert_eq!(components.in_words(), "3 recordings wait");
        camera.degraded("no camera\nis plugged in");
        let line = "3 recordings wait; camera: no camera is plugged in";
        assert_eq!(components.in_words(), line);
    }
}
