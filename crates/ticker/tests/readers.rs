//! Other programs read the files: pyarrow and DuckDB, installed from PyPI into a virtual environment for this test.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use fake_exchange::{Feed, Format};
use fake_s3::Bucket;
use serde_json::{Value, json};
use support::*;

const PACKAGES: [&str; 2] = ["pyarrow==26.0.1", "duckdb==2.0.1"];
const READ: &str = r#"
import glob, json, sys
import duckdb, pyarrow.dataset as ds, pyarrow.parquet as pq

root = sys.argv[1]
files = glob.glob(root + "/**/*.parquet", recursive=True)
groups = [pq.ParquetFile(f).metadata.row_group(i) for f in files for i in range(pq.ParquetFile(f).num_row_groups)]
statistics = [g.column(c).statistics for g in groups for c in range(g.num_columns)]
table = ds.dataset(root, partitioning="hive").to_table()
sql = duckdb.connect()
sql.execute(f"create view records as select * from read_parquet('{root}/**/*.parquet', hive_partitioning = true)")
one = lambda query: sql.execute(query).fetchone()[0]
print(json.dumps({
    "arrow_rows": table.num_rows,
    "arrow_symbols": sorted(set(table["symbol"].to_pylist())),
    "arrow_price_sum": round(sum(table["price"].to_pylist()), 2),
    "received": str(table.schema.field("received").type),
    "sorted": all(g.sorting_columns and g.sorting_columns[0].column_index == 0 for g in groups),
    "statistics": all(s is not None and (s.null_count is not None) for s in statistics),
    "compression": groups[0].column(0).compression,
    "duckdb_rows": one("select count(*) from records"),
    "duckdb_numbers": one("select count(distinct trade_id) from records where symbol = 'BTC-USD'"),
    "duckdb_price_sum": round(one("select sum(price) from records"), 2),
    "duckdb_received": one("select typeof(received) from records limit 1"),
    "duckdb_filtered": one("select count(*) from records where trade_id > 1000900"),
    "duckdb_sides": one("select count(*) from records where buy"),
}))
"#;

/// Python with the packages that the test needs. The environment is made once and kept in cargo's target folder.
fn python() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readers");
    let (python, done) = (home.join("bin/python"), home.join("done"));
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == PACKAGES.join(" ")) {
        return python;
    }
    let run = |command: &mut Command| {
        let (status, stdout, stderr) = finished(command);
        assert_eq!(
            status,
            Some(0),
            "{stdout}{stderr}\nhint: apt-get install python3-venv, and let pip reach PyPI"
        );
    };
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&home));
    run(Command::new(&python)
        .args(["-m", "pip", "--quiet", "install"])
        .args(PACKAGES));
    std::fs::write(done, PACKAGES.join(" ")).unwrap();
    python
}

#[test]
fn pyarrow_and_duckdb_read_the_bucket_as_one_table() {
    let (directory, bucket) = (tempfile::tempdir().unwrap(), Bucket::start().unwrap());
    let feed = Feed::start(session(Format::Coinbase, 3000.0, 3000)).unwrap();
    let settings = json!({ "sync": sync_settings(&bucket), "segment": { "row_groups": 7 } });
    let config = config(
        directory.path(),
        json!([source(&feed, Format::Coinbase)]),
        settings,
    );
    let program = start(&config);
    eventually("all is durable", || {
        (durable(&program) == 3000).then_some(())
    });
    // The service is killed, so that the last files have to be salvaged.
    program.kill();
    let program = start(&config);
    eventually("it runs", || counts(&program));
    program.stop();
    assert_eq!(sync(&config, &["--include-raw"]).0, Some(0));

    let (status, said, error) = finished(
        Command::new(python())
            .args(["-c", READ])
            .arg(bucket.folder()),
    );
    assert_eq!(status, Some(0), "{error}");
    let sum: f64 = (1_000_001..1_001_001)
        .map(fake_exchange::price)
        .sum::<f64>()
        * 3.0;
    let read: Value = serde_json::from_str(&said).unwrap();
    let expected = json!({
        "arrow_rows": 3000,
        "arrow_symbols": SYMBOLS,
        "arrow_price_sum": (sum * 100.0).round() / 100.0,
        "received": "timestamp[us, tz=UTC]",
        "sorted": true,
        "statistics": true,
        "compression": "ZSTD",
        "duckdb_rows": 3000,
        "duckdb_numbers": 1000,
        "duckdb_price_sum": (sum * 100.0).round() / 100.0,
        "duckdb_received": "TIMESTAMP WITH TIME ZONE",
        "duckdb_filtered": 300,
        "duckdb_sides": 1500,
    });
    assert_eq!(read, expected);
}
