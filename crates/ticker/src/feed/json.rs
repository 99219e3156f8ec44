//! JSON whose fields the configuration names; one object or a list of them per message.

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::decode::{Decoded, Garbage, Number, Table, rfc3339, since_1970};
use crate::config::SourceSettings;
use crate::record::Record;

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Channel,
    Symbol,
    Sequence,
    Time,
    Price,
    Size,
    Side,
    Bid,
    BidSize,
    Ask,
    AskSize,
}

/// The paths of one source.
#[derive(Debug)]
pub struct Paths {
    paths: Vec<(Vec<String>, Slot)>,
    first: (String, String),
}

impl Paths {
    /// Those that `source` names.
    pub fn new(source: &SourceSettings) -> Self {
        let f = &source.fields;
        let named = [
            (&f.channel, Slot::Channel),
            (&f.symbol, Slot::Symbol),
            (&f.sequence, Slot::Sequence),
            (&f.time, Slot::Time),
            (&f.price, Slot::Price),
            (&f.size, Slot::Size),
            (&f.side, Slot::Side),
            (&f.bid, Slot::Bid),
            (&f.bid_size, Slot::BidSize),
            (&f.ask, Slot::Ask),
            (&f.ask_size, Slot::AskSize),
        ];
        let split = |path: &String| path.split('.').map(str::to_owned).collect();
        let paths = named
            .into_iter()
            .filter_map(|(path, slot)| Some((path.as_ref().map(split)?, slot)));
        Paths {
            paths: paths.collect(),
            first: (source.channels[0].clone(), source.symbols[0].clone()),
        }
    }
}

/// One message.
pub fn decode(
    paths: &Paths,
    table: &Table,
    text: &str,
    now: i64,
    records: &mut Vec<Record>,
) -> Result<Decoded, Garbage> {
    let mut json = serde_json::Deserializer::from_str(text);
    let found = Message(paths).deserialize(&mut json)?;
    json.end()?;
    let before = records.len();
    for found in found {
        let channel = found.channel.as_deref().unwrap_or(&paths.first.0);
        let symbol = found.symbol.as_deref().unwrap_or(&paths.first.1);
        let Some(stream) = table.find(channel, symbol) else {
            continue;
        };
        let wanted = |slot| paths.paths.iter().any(|(_, s)| *s == slot);
        // Neither price is what feeds say about themselves; a price without its number is cut short.
        if found
            .record
            .price
            .or(found.record.bid)
            .or(found.record.ask)
            .is_none()
        {
            continue;
        }
        if wanted(Slot::Sequence) && found.record.sequence.is_none() {
            return Err(Garbage::Missing("no sequence number"));
        }
        records.push(Record {
            stream,
            received: now,
            ..found.record
        });
    }
    Ok(match records.len() > before {
        true => Decoded::Records,
        false => Decoded::Other,
    })
}

struct Found {
    channel: Option<String>,
    symbol: Option<String>,
    record: Record,
}

/// An object or a list of objects.
struct Message<'p>(&'p Paths);

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = Vec<Found>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Vec<Found>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = Vec<Found>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object or a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<Found>, A::Error> {
        let mut found = Found {
            channel: None,
            symbol: None,
            record: Record::empty(0, 0),
        };
        let all: Vec<&(Vec<String>, Slot)> = self.0.paths.iter().collect();
        Object {
            paths: all,
            depth: 0,
            found: &mut found,
        }
        .visit_map(map)?;
        Ok(vec![found])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Found>, A::Error> {
        let mut all = Vec::new();
        while let Some(found) = list.next_element_seed(Message(self.0))? {
            all.extend(found);
        }
        Ok(all)
    }
}

/// The object at the end of the first `depth` names of `paths`.
struct Object<'p, 'f> {
    paths: Vec<&'p (Vec<String>, Slot)>,
    depth: usize,
    found: &'f mut Found,
}

impl<'de> DeserializeSeed<'de> for Object<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let here = self
                .paths
                .iter()
                .filter(|(path, _)| path[self.depth] == *name);
            let here: Vec<_> = here.copied().collect();
            match here.as_slice() {
                [] => {
                    map.next_value::<IgnoredAny>()?;
                }
                [(path, slot)] if path.len() == self.depth + 1 => {
                    let value: Option<Scalar> = map.next_value()?;
                    if let Some(value) = value {
                        put(self.found, *slot, &value).map_err(serde::de::Error::custom)?;
                    }
                }
                _ => map.next_value_seed(Object {
                    paths: here,
                    depth: self.depth + 1,
                    found: &mut *self.found,
                })?,
            }
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Scalar<'a> {
    Number(Number),
    #[serde(borrow)]
    Text(std::borrow::Cow<'a, str>),
}

fn put(found: &mut Found, slot: Slot, value: &Scalar) -> Result<(), &'static str> {
    let text = || match value {
        Scalar::Text(text) => Ok(text.to_string()),
        Scalar::Number(Number::Whole(number)) => Ok(number.to_string()),
        Scalar::Number(Number::Real(_)) => Err("a name was expected, and there is a number"),
    };
    let number = match value {
        Scalar::Number(number) => Some(*number),
        Scalar::Text(_) => None,
    };
    let real = number.map(Number::real).ok_or("a number was expected");
    let record = &mut found.record;
    match slot {
        Slot::Channel => found.channel = Some(text()?),
        Slot::Symbol => found.symbol = Some(text()?),
        Slot::Sequence => {
            let whole = number.and_then(Number::whole);
            record.sequence = Some(whole.ok_or("a sequence number must be a whole number")?);
        }
        Slot::Time => {
            record.time = match value {
                Scalar::Number(number) => Some(since_1970(number.real())),
                Scalar::Text(text) => Some(rfc3339(text).ok_or("a time was expected")?),
            }
        }
        Slot::Side => record.buy = Some(text()?.eq_ignore_ascii_case("buy")),
        Slot::Price => record.price = Some(real?),
        Slot::Size => record.size = Some(real?),
        Slot::Bid => record.bid = Some(real?),
        Slot::BidSize => record.bid_size = Some(real?),
        Slot::Ask => record.ask = Some(real?),
        Slot::AskSize => record.ask_size = Some(real?),
    }
    Ok(())
}
