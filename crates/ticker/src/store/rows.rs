//! Records → Arrow → the bytes of one row group.
//!
//! A row group is encoded in one go from its records and nothing of it stays in memory: what a partition costs
//! between two flushes is its records alone, not a set of column writers.

use std::sync::{Arc, LazyLock};

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::Result;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::record::{Kind, Record};

static TRADES: LazyLock<SchemaRef> =
    LazyLock::new(|| schema(&["sequence", "trade_id"], &["price", "size"]));
static QUOTES: LazyLock<SchemaRef> = LazyLock::new(|| {
    let prices = ["price", "size", "bid", "bid_size", "ask", "ask_size"];
    schema(&["sequence"], &prices)
});

fn schema(numbers: &[&str], prices: &[&str]) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new("received", time.clone(), false),
        Field::new("time", time, true),
    ];
    let column = |name: &&str, kind: DataType| Field::new(*name, kind, true);
    fields.extend(numbers.iter().map(|name| column(name, DataType::Int64)));
    fields.extend(prices.iter().map(|name| column(name, DataType::Float64)));
    fields.push(Field::new("buy", DataType::Boolean, true));
    Arc::new(Schema::new(fields))
}

static PROPERTIES: LazyLock<WriterProperties> = LazyLock::new(|| {
    let mut properties = WriterProperties::builder()
        .set_created_by("ticker".into())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false)
        // A row group is a page or two: statistics of the chunk say all there is to say.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_max_row_group_row_count(None)
        .set_sorting_columns(Some(vec![SortingColumn {
            column_idx: 0,
            descending: false,
            nulls_first: false,
        }]));
    for name in ["received", "time", "sequence", "trade_id"] {
        let column = ColumnPath::from(name);
        properties = properties.set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
    }
    // A market has few prices at a time.
    for name in ["price", "size", "bid", "bid_size", "ask", "ask_size"] {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), true);
    }
    properties.build()
});

/// A Parquet file of one row group, sorted by when the records were received.
pub fn encode(kind: Kind, records: &mut [Record]) -> Result<Vec<u8>> {
    // Already so, unless the clock was set back.
    records.sort_by_key(|record| record.received);
    let schema = match kind {
        Kind::Trade => &TRADES,
        Kind::Quote => &QUOTES,
    };
    let columns = schema
        .fields()
        .iter()
        .map(|field| column(field.name(), records))
        .collect();
    let batch = RecordBatch::try_new(Arc::clone(schema), columns)?;
    let options = ArrowWriterOptions::new()
        .with_properties(PROPERTIES.clone())
        .with_skip_arrow_metadata(true);
    let mut bytes = Vec::with_capacity(2048 + records.len() * 24);
    let mut writer = ArrowWriter::try_new_with_options(&mut bytes, batch.schema(), options)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(bytes)
}

fn column(name: &str, records: &[Record]) -> ArrayRef {
    let times = |times: TimestampMicrosecondArray| Arc::new(times.with_timezone("UTC"));
    let numbers = |of: fn(&Record) -> Option<i64>| -> ArrayRef {
        Arc::new(records.iter().map(of).collect::<Int64Array>())
    };
    let prices = |of: fn(&Record) -> Option<f64>| -> ArrayRef {
        Arc::new(records.iter().map(of).collect::<Float64Array>())
    };
    match name {
        "received" => times(TimestampMicrosecondArray::from_iter_values(
            records.iter().map(|r| r.received),
        )),
        "time" => times(records.iter().map(|r| r.time).collect()),
        "sequence" => numbers(|r| r.sequence),
        "trade_id" => numbers(|r| r.trade_id),
        "price" => prices(|r| r.price),
        "size" => prices(|r| r.size),
        "bid" => prices(|r| r.bid),
        "bid_size" => prices(|r| r.bid_size),
        "ask" => prices(|r| r.ask),
        "ask_size" => prices(|r| r.ask_size),
        _ => Arc::new(records.iter().map(|r| r.buy).collect::<BooleanArray>()),
    }
}
