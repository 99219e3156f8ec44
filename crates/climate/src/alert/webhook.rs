//! The alert settings: the destination and the limits, as configured and as changed over the API.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use http_client::{Address, Client, Options, Request};
use kit::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::message::Message;
use crate::config::{AlertSettings, Config, WebhookSettings};

/// The settings changed over the API; only the given ones override the configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overrides {
    /// How to send alerts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookChange>,
    /// The limits for alerts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
}

/// Changes of how to send alerts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_delay: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<u64>,
}

/// Changes of the limits for alerts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    #[serde(skip_serializing_if = "Option::is_none")]
    temp_min_c: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temp_max_c: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    humidity_min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    humidity_max: Option<f64>,
}

/// The effective settings.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The destination; without it, nothing is sent.
    pub url: Option<Secret>,
    /// How to send alerts.
    pub settings: WebhookSettings,
    /// The limits for alerts.
    pub alerts: AlertSettings,
}

/// The effective settings, shared between the API, the recorder and the delivery.
#[derive(Debug)]
pub struct SharedWebhook {
    configured: Webhook,
    state: Mutex<(Overrides, Webhook)>,
}

impl Overrides {
    /// Merges `later` into these overrides.
    pub fn and_then(&self, later: &Overrides) -> Overrides {
        let mut all = self.clone();
        if let Some(change) = &later.webhook {
            let webhook = all.webhook.get_or_insert_default();
            replace(&mut webhook.url, &change.url);
            replace(&mut webhook.enabled, &change.enabled);
            replace(&mut webhook.retry_count, &change.retry_count);
            replace(&mut webhook.retry_delay, &change.retry_delay);
            replace(&mut webhook.timeout, &change.timeout);
        }
        if let Some(change) = &later.thresholds {
            let thresholds = all.thresholds.get_or_insert_default();
            replace(&mut thresholds.temp_min_c, &change.temp_min_c);
            replace(&mut thresholds.temp_max_c, &change.temp_max_c);
            replace(&mut thresholds.humidity_min, &change.humidity_min);
            replace(&mut thresholds.humidity_max, &change.humidity_max);
        }
        all
    }

    /// Turns sending on or off.
    pub fn enabled(enabled: bool) -> Self {
        let webhook = WebhookChange {
            enabled: Some(enabled),
            ..WebhookChange::default()
        };
        Overrides {
            webhook: Some(webhook),
            thresholds: None,
        }
    }
}

fn replace<V: Clone>(old: &mut Option<V>, new: &Option<V>) {
    if new.is_some() {
        old.clone_from(new);
    }
}

impl Webhook {
    /// Applies overrides, if the result is valid.
    fn with(&self, overrides: &Overrides) -> Result<Webhook, String> {
        let mut webhook = self.clone();
        if let Some(change) = &overrides.webhook {
            if let Some(url) = &change.url {
                check_url(url).map_err(|problem| format!("url: {problem}"))?;
                webhook.url = Some(Secret::new(url));
            }
            let settings = &mut webhook.settings;
            settings.enabled = change.enabled.unwrap_or(settings.enabled);
            settings.retry_count = change.retry_count.unwrap_or(settings.retry_count);
            settings.retry_delay = change.retry_delay.unwrap_or(settings.retry_delay);
            settings.timeout = change.timeout.unwrap_or(settings.timeout);
        }
        if let Some(change) = &overrides.thresholds {
            let alerts = &mut webhook.alerts;
            alerts.temp_min_c = change.temp_min_c.unwrap_or(alerts.temp_min_c);
            alerts.temp_max_c = change.temp_max_c.unwrap_or(alerts.temp_max_c);
            alerts.humidity_min = change.humidity_min.unwrap_or(alerts.humidity_min);
            alerts.humidity_max = change.humidity_max.unwrap_or(alerts.humidity_max);
        }
        webhook.settings.in_range("")?;
        webhook.alerts.check("")?;
        Ok(webhook)
    }

    /// The current destination: none if sending is off or there is no address.
    pub fn target(&self) -> Option<&Secret> {
        self.url.as_ref().filter(|_| self.settings.enabled)
    }

    /// The address as the API shows it: without its path, which is a secret.
    pub fn shown(&self) -> Value {
        json!({
            "webhook": {
                "url": self.url.as_ref().map(|url| masked(url.expose())),
                "enabled": self.settings.enabled,
                "retry_count": self.settings.retry_count,
                "retry_delay": self.settings.retry_delay,
                "timeout": self.settings.timeout,
            },
            "thresholds": {
                "temp_min_c": self.alerts.temp_min_c,
                "temp_max_c": self.alerts.temp_max_c,
                "humidity_min": self.alerts.humidity_min,
                "humidity_max": self.alerts.humidity_max,
            },
        })
    }
}

impl SharedWebhook {
    /// Starts with the configuration, and the address from the credentials.
    pub fn new(config: &Config, url: Option<Secret>) -> Result<Self, NotAnAddress> {
        if let Some(url) = &url {
            check_url(url.expose())?;
        }
        let configured = Webhook {
            url,
            settings: config.webhook.clone(),
            alerts: config.alerts.clone(),
        };
        let state = Mutex::new((Overrides::default(), configured.clone()));
        Ok(SharedWebhook { configured, state })
    }

    /// The effective settings.
    pub fn now(&self) -> Webhook {
        self.lock().1.clone()
    }

    /// The settings changed over the API.
    pub fn overrides(&self) -> Overrides {
        self.lock().0.clone()
    }

    /// The effective settings and overrides that would result from `later` changes.
    pub fn proposed(&self, later: &Overrides) -> Result<Overrides, String> {
        let overrides = self.lock().0.and_then(later);
        self.configured.with(&overrides)?;
        Ok(overrides)
    }

    /// Replaces the overrides.
    pub fn set(&self, overrides: Overrides) -> Result<(), String> {
        let webhook = self.configured.with(&overrides)?;
        *self.lock() = (overrides, webhook);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, (Overrides, Webhook)> {
        self.state.lock().expect("no panic while held")
    }
}

/// Why a message was not delivered.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct NotSent {
    why: String,
    /// When the receiver wants the next attempt.
    pub retry_after: Option<Duration>,
}

/// Posts a message, in a single attempt.
pub fn send(url: &Secret, message: &Message, timeout: Duration) -> Result<(), NotSent> {
    let client = Client::new(&Options {
        // A redirected POST would lose its body, and the target of a redirect was not configured by anyone.
        redirects: 0,
        ..Options::new("lichen-climate", timeout)
    });
    let request = Request::post(url.expose(), message.body.clone())
        .header("content-type", "application/json")
        .header("idempotency-key", &message.key);
    let answer = client.send(request).map_err(|error| NotSent {
        why: error.to_string(),
        retry_after: None,
    })?;
    if answer.is_success() {
        return Ok(());
    }
    Err(NotSent {
        why: format!("the receiver answered {}", answer.status_line()),
        retry_after: answer.seconds("retry-after"),
    })
}

/// The address cannot be used. The message does not repeat it, because it is a secret.
#[derive(Debug, thiserror::Error)]
#[error("must be an http or https address")]
pub struct NotAnAddress;

fn check_url(url: &str) -> Result<(), NotAnAddress> {
    Address::parse(url).map(drop).ok_or(NotAnAddress)
}

fn masked(url: &str) -> String {
    Address::parse(url).map_or_else(|| "…".into(), |address| address.masked())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> SharedWebhook {
        let url = Secret::new("https://hooks.slack.com/services/T0/B0/secret");
        SharedWebhook::new(&Config::default(), Some(url)).unwrap()
    }

    fn overrides(text: &str) -> Overrides {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_secret_part_of_the_address_is_never_shown() {
        assert_eq!(
            shared().now().shown()["webhook"]["url"],
            "https://hooks.slack.com/…"
        );
    }

    #[test]
    fn only_what_is_given_changes() {
        let webhook = shared();
        let first = webhook
            .proposed(&overrides(r#"{"thresholds":{"temp_max_c":30}}"#))
            .unwrap();
        webhook.set(first).unwrap();
        let second = webhook
            .proposed(&overrides(r#"{"webhook":{"timeout":20}}"#))
            .unwrap();
        webhook.set(second).unwrap();
        let now = webhook.now();
        assert_eq!(
            (
                now.alerts.temp_max_c,
                now.alerts.temp_min_c,
                now.settings.timeout
            ),
            (30.0, 15.0, 20)
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_changes_nothing() {
        let webhook = shared();
        for (change, complaint) in [
            (
                r#"{"thresholds":{"temp_max_c":10}}"#,
                "temp_min_c: must be less than temp_max_c",
            ),
            (
                r#"{"webhook":{"retry_count":0}}"#,
                "retry_count: must be between 1 and 10",
            ),
            (
                r#"{"webhook":{"url":"file:///etc/passwd"}}"#,
                "url: must be an http or https address",
            ),
        ] {
            assert_eq!(webhook.proposed(&overrides(change)).unwrap_err(), complaint);
        }
        assert_eq!(webhook.now().alerts.temp_max_c, 27.0);
    }
}
