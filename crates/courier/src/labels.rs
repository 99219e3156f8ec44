//! The labels of a series in the one form in which they are compared, kept and sent.

use std::borrow::Borrow;
use std::sync::Arc;

/// The name of the label that is the metric's name.
pub const NAME: &str = "__name__";
/// Ends each name and each value; it is in no UTF-8 text.
const END: u8 = 0xff;

/// The labels of a series, its name among them, sorted by name. Clones share the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Arc<[u8]>);

impl Borrow<[u8]> for Labels {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl Labels {
    /// Writes the form of these pairs to `bytes`, whatever is in it before. Empty values are left out, as they mean the
    /// same as no label.
    pub fn write<'a>(pairs: &mut [(&'a str, &'a str)], bytes: &mut Vec<u8>) {
        pairs.sort_unstable();
        bytes.clear();
        for text in pairs.iter().filter(|pair| !pair.1.is_empty()) {
            for text in [text.0, text.1] {
                bytes.extend_from_slice(text.as_bytes());
                bytes.push(END);
            }
        }
    }

    /// Labels of these pairs.
    pub fn new(pairs: &[(&str, &str)]) -> Self {
        let mut bytes = Vec::new();
        Labels::write(&mut pairs.to_vec(), &mut bytes);
        Labels(bytes.into())
    }

    /// Labels in the form that [`Labels::write`] writes; none if it is another.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut parts = 0;
        for part in bytes.split_inclusive(|byte| *byte == END) {
            std::str::from_utf8(part.strip_suffix(&[END])?).ok()?;
            parts += 1;
        }
        (parts % 2 == 0).then(|| Labels(bytes.into()))
    }

    /// The form itself.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Names and values, sorted by name.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut texts = self.0.split(|byte| *byte == END);
        let mut next = move || std::str::from_utf8(texts.next()?).ok();
        std::iter::from_fn(move || {
            let name = next().filter(|name| !name.is_empty())?;
            Some((name, next()?))
        })
    }

    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs().find(|pair| pair.0 == name);
        found.map(|pair| pair.1)
    }
}

/// Whether a label may have this name.
pub fn is_label_name(name: &str) -> bool {
    is_name(name, |byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether a metric may have this name.
pub fn is_metric_name(name: &str) -> bool {
    is_name(name, |byte| {
        byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
    })
}

fn is_name(name: &str, may: impl Fn(u8) -> bool) -> bool {
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(may)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_the_same_in_whatever_order_they_come() {
        let labels = Labels::new(&[("job", "x"), (NAME, "up"), ("empty", "")]);
        assert_eq!(labels, Labels::new(&[(NAME, "up"), ("job", "x")]));
        let pairs: Vec<_> = labels.pairs().collect();
        assert_eq!(pairs, [(NAME, "up"), ("job", "x")]);
        assert_eq!((labels.get("job"), labels.get("empty")), (Some("x"), None));
        assert_eq!(Labels::from_bytes(labels.as_bytes()), Some(labels));
    }

    #[test]
    fn what_is_no_form_of_labels_is_refused() {
        for bytes in [
            &b"a"[..],
            b"a\xff",
            b"a\xffb",
            b"a\xffb\xffc\xff",
            b"a\xff\xfe\xff",
        ] {
            assert_eq!(Labels::from_bytes(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn names_are_those_of_prometheus() {
        assert!(is_label_name("a_1") && is_metric_name("a:b") && is_label_name("_"));
        for bad in ["", "1a", "a-b", "a b", "ä"] {
            assert!(!is_label_name(bad) && !is_metric_name(bad), "{bad}");
        }
        assert!(!is_label_name("a:b"));
    }
}
