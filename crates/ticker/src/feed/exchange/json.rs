//! JSON whose fields the configuration names; each message is one object or a list of them.

use std::borrow::Cow;

use super::{Decode, Exchange, Nature, SourceSettings};
use crate::feed::decode::{Decoded, Garbage, Table, rfc3339, since_1970};
use crate::feed::number::Number;
use crate::feed::reader::{Reader, Text};
use crate::record::{Kind, NumberedBy, Record};

pub struct Json;

impl Exchange for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn channels(&self) -> &'static [(&'static str, Nature)] {
        &[]
    }

    /// All channels have the nature that the source's fields determine.
    fn nature(&self, source: &SourceSettings, _: &str) -> Option<Nature> {
        let fields = &source.fields;
        let quotes = fields.bid.is_some() || fields.ask.is_some();
        Some(Nature {
            kind: if quotes { Kind::Quote } else { Kind::Trade },
            numbered: fields.sequence.is_some().then_some(NumberedBy::Sequence),
            contiguous: fields.contiguous,
            lasting: fields.lasting,
        })
    }

    fn check(&self, source: &SourceSettings) -> Result<(), String> {
        match source.fields.price.is_none() && source.fields.bid.is_none() {
            true => Err("fields: must name at least price or bid".into()),
            false => Ok(()),
        }
    }

    fn subscribe(&self, source: &SourceSettings) -> Vec<String> {
        source.subscribe.iter().map(ToString::to_string).collect()
    }

    fn decoder(&self, source: &SourceSettings, table: Table) -> Decode {
        let paths = Paths::new(source);
        Box::new(move |text, now, records| decode(&paths, &table, text, now, records))
    }
}

/// The value that a path leads to.
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
struct Paths {
    paths: Vec<(Vec<String>, Slot)>,
    first: (String, String),
}

impl Paths {
    /// The paths that `source` configures.
    fn new(source: &SourceSettings) -> Self {
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

fn decode(
    paths: &Paths,
    table: &Table,
    text: &[u8],
    now: i64,
    records: &mut Vec<Record>,
) -> Result<Decoded, Garbage> {
    let mut reader = Reader::of(text);
    let mut found = Vec::new();
    match reader.peek() {
        b'[' => reader.items(|reader| Found::read(paths, reader), |item| found.push(item)),
        b'{' => found.push(Found::read(paths, &mut reader)),
        _ => reader.expected("an object or a list of objects was expected"),
    }
    let mut spoilt = reader.spoilt();
    reader.end()?;
    let before = records.len();
    for found in found {
        let channel = found.channel.as_deref().unwrap_or(&paths.first.0);
        let symbol = found.symbol.as_deref().unwrap_or(&paths.first.1);
        let Some(stream) = table.find(channel, symbol.as_bytes()) else {
            continue;
        };
        let wanted = |slot| paths.paths.iter().any(|(_, s)| *s == slot);
        // An object without any price is a message about the feed itself; a price without its number is truncated.
        let Record {
            price, bid, ask, ..
        } = found.record;
        if price.get().or(bid.get()).or(ask.get()).is_none() {
            continue;
        }
        if wanted(Slot::Sequence) && found.record.sequence.get().is_none() {
            spoilt.get_or_insert(Garbage::Missing("no sequence number"));
            continue;
        }
        records.push(Record {
            stream,
            received: now,
            ..found.record
        });
    }
    match spoilt {
        Some(error) => Err(error),
        None if records.len() > before => Ok(Decoded::Records),
        None => Ok(Decoded::Other),
    }
}

struct Found<'a> {
    channel: Option<Cow<'a, str>>,
    symbol: Option<Cow<'a, str>>,
    record: Record,
}

impl<'a> Found<'a> {
    fn read(paths: &Paths, reader: &mut Reader<'a>) -> Self {
        let mut found = Found {
            channel: None,
            symbol: None,
            record: Record::empty(0, 0),
        };
        let all: Vec<_> = paths.paths.iter().collect();
        found.object(&all, 0, reader);
        found
    }

    /// Finds the object after the first `depth` names of `paths`.
    fn object(&mut self, paths: &[&(Vec<String>, Slot)], depth: usize, reader: &mut Reader<'a>) {
        reader.object(|reader, name| {
            let here = paths.iter().filter(|(path, _)| path[depth] == name);
            let here: Vec<_> = here.copied().collect();
            match here.as_slice() {
                [] => reader.skip(),
                _ if reader.null() => {}
                [(path, slot)] if path.len() == depth + 1 => self.put(*slot, reader),
                _ => self.object(&here, depth + 1, reader),
            }
        });
    }

    fn put(&mut self, slot: Slot, reader: &mut Reader<'a>) {
        let record = &mut self.record;
        match slot {
            Slot::Channel => self.channel = name(reader),
            Slot::Symbol => self.symbol = name(reader),
            Slot::Sequence => match reader.number() {
                Some(Number::Whole(number)) => record.sequence = Some(number).into(),
                _ => reader.expected("a sequence number must be a whole number"),
            },
            Slot::Time => record.time = time(reader).into(),
            Slot::Side => {
                record.buy = name(reader).map(|side| side.eq_ignore_ascii_case("buy"));
            }
            Slot::Price => record.price = reader.real(),
            Slot::Size => record.size = reader.real(),
            Slot::Bid => record.bid = reader.real(),
            Slot::BidSize => record.bid_size = reader.real(),
            Slot::Ask => record.ask = reader.real(),
            Slot::AskSize => record.ask_size = reader.real(),
        }
    }
}

/// A name, which may be given as a whole number.
fn name<'a>(reader: &mut Reader<'a>) -> Option<Cow<'a, str>> {
    match reader.peek() {
        b'"' => reader.text().map(Text::meaning),
        _ => reader.whole().get().map(|number| number.to_string().into()),
    }
}

/// A time as text or as a number, which may be in a string.
fn time(reader: &mut Reader) -> Option<i64> {
    let time = match reader.peek() {
        b'"' => {
            let text = reader.text().map(Text::meaning).unwrap_or_default();
            match Number::parse(&text) {
                Some(number) => Some(since_1970(number.real())),
                None => rfc3339(&text),
            }
        }
        _ => reader.number().map(|number| since_1970(number.real())),
    };
    if time.is_none() {
        reader.expected("a time was expected");
    }
    time
}
