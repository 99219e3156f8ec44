//! Encodes records as the bytes of one row group.
//!
//! A row group is encoded in one step and leaves nothing in memory: between two flushes a partition holds only its
//! records, not a set of column writers.

use std::sync::{Arc, LazyLock};

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{BoolType, DataType, DoubleType, Int64Type};
use parquet::errors::Result;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};

use crate::record::{Kind, Record};

static TRADES: LazyLock<TypePtr> = LazyLock::new(|| {
    schema(
        "message trades {
            required int64 received (timestamp(micros, true));
            optional int64 time (timestamp(micros, true));
            optional int64 sequence;
            optional int64 trade_id;
            optional double price;
            optional double size;
            optional boolean buy;
        }",
    )
});
static QUOTES: LazyLock<TypePtr> = LazyLock::new(|| {
    schema(
        "message quotes {
            required int64 received (timestamp(micros, true));
            optional int64 time (timestamp(micros, true));
            optional int64 sequence;
            optional double price;
            optional double size;
            optional double bid;
            optional double bid_size;
            optional double ask;
            optional double ask_size;
            optional boolean buy;
        }",
    )
});

fn schema(message: &str) -> TypePtr {
    Arc::new(parse_message_type(message).expect("a schema"))
}

static PROPERTIES: LazyLock<Arc<WriterProperties>> = LazyLock::new(|| {
    let mut properties = WriterProperties::builder()
        .set_created_by("ticker".into())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false)
        // A row group has one or two pages, so the statistics of the chunk are sufficient.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_sorting_columns(Some(vec![SortingColumn {
            column_idx: 0,
            descending: false,
            nulls_first: false,
        }]));
    for name in ["received", "time", "sequence", "trade_id"] {
        let column = ColumnPath::from(name);
        properties = properties.set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
    }
    // Prices repeat often within a short time.
    for name in ["price", "size", "bid", "bid_size", "ask", "ask_size"] {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), true);
    }
    Arc::new(properties.build())
});

/// A Parquet file with one row group, sorted by the time of receipt.
pub fn encode(kind: Kind, records: &mut [Record]) -> Result<Vec<u8>> {
    // They are already sorted, unless the clock was set back.
    records.sort_by_key(|record| record.received);
    let schema: &TypePtr = match kind {
        Kind::Trade => &TRADES,
        Kind::Quote => &QUOTES,
    };
    let mut bytes = Vec::with_capacity(2048 + records.len() * 24);
    let mut writer = SerializedFileWriter::new(&mut bytes, schema.clone(), PROPERTIES.clone())?;
    let mut group = writer.next_row_group()?;
    for field in schema.get_fields() {
        write_column(field.name(), records, &mut group)?;
    }
    group.close()?;
    writer.close()?;
    Ok(bytes)
}

type Group<'a, 'b> = SerializedRowGroupWriter<'a, &'b mut Vec<u8>>;

fn write_column(name: &str, records: &[Record], group: &mut Group) -> Result<()> {
    match name {
        "received" => write::<Int64Type>(group, records, |r| Some(r.received)),
        "time" => write::<Int64Type>(group, records, |r| r.time.get()),
        "sequence" => write::<Int64Type>(group, records, |r| r.sequence.get()),
        "trade_id" => write::<Int64Type>(group, records, |r| r.trade_id.get()),
        "price" => write::<DoubleType>(group, records, |r| r.price.get()),
        "size" => write::<DoubleType>(group, records, |r| r.size.get()),
        "bid" => write::<DoubleType>(group, records, |r| r.bid.get()),
        "bid_size" => write::<DoubleType>(group, records, |r| r.bid_size.get()),
        "ask" => write::<DoubleType>(group, records, |r| r.ask.get()),
        "ask_size" => write::<DoubleType>(group, records, |r| r.ask_size.get()),
        _ => write::<BoolType>(group, records, |r| r.buy),
    }
}

/// Writes the next column, in batches that fit into the processor's nearest cache.
fn write<T: DataType>(
    group: &mut Group,
    records: &[Record],
    of: impl Fn(&Record) -> Option<T::T>,
) -> Result<()> {
    const SOME: usize = 1024;
    let mut column = group.next_column()?.expect("as many as the schema has");
    let writer = column.typed::<T>();
    let (mut values, mut present) = (Vec::with_capacity(SOME), Vec::with_capacity(SOME));
    let required = writer.get_descriptor().max_def_level() == 0;
    for some in records.chunks(SOME) {
        values.clear();
        present.clear();
        for record in some {
            let value = of(record);
            present.push(i16::from(value.is_some()));
            values.extend(value);
        }
        let present = (!required).then_some(present.as_slice());
        writer.write_batch(&values, present, None)?;
    }
    column.close()
}
