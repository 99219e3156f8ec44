//! Another planner's SQLite file.

use std::fs;
use std::path::{Path, PathBuf};

use rack::plan::model::{Airflow, Face, Place};
use rack::store::import_sqlite::{Counts, Report};
use rack::store::{DeviceQuery, Error, KindQuery};
use rusqlite::Connection;
use testbed::{Result, ensure};

use crate::support::{Db, refusal, story};

/// A file as a planner with specifications and positions in tables of their own makes it.
const USUAL: &str = "
    CREATE TABLE alembic_version (version_num TEXT);
    INSERT INTO alembic_version VALUES ('abc');
    CREATE TABLE device_specs (id INTEGER PRIMARY KEY, brand TEXT, model TEXT, height_u REAL, power_watts INTEGER,
        heat_output_btu REAL, weight_kg REAL, airflow_pattern TEXT, device_type TEXT, depth_mm INTEGER, created_at TEXT);
    INSERT INTO device_specs VALUES (1, 'Dell', 'R730', 2, 750, 2559, 25.5, 'front_to_back', 'server', 700, '2020-01-01'),
        (2, 'Ubiquiti', 'USW-24', 1, 0, 170.6, NULL, NULL, 'switch', 200, NULL), (3, 'Odd', 'Thing', 1.3, 5, NULL, NULL, NULL, '', 1, NULL),
        (4, 'Half', 'Unit', 0.5, 10, NULL, 1, 'passive', 'other', 1, NULL);
    CREATE TABLE racks (id INTEGER PRIMARY KEY, name TEXT, location TEXT, total_height_u INTEGER, max_power_watts INTEGER,
        max_weight_kg REAL, cooling_capacity_btu REAL);
    INSERT INTO racks VALUES (1, 'Main', 'Basement', 42, 5000, 500, 17000), (2, 'Small', NULL, 12, NULL, NULL, NULL),
        (3, 'Giant', NULL, 400, NULL, NULL, NULL);
    CREATE TABLE devices (id INTEGER PRIMARY KEY, specification_id INTEGER, custom_name TEXT, notes TEXT, serial_number TEXT, tags TEXT);
    INSERT INTO devices VALUES (1, 1, 'web1', 'the first', 'SN-1', 'prod, web'), (2, 1, 'web2', NULL, 12345, '[\"prod\"]'),
        (3, 2, 'core', NULL, NULL, NULL), (4, 3, 'odd', NULL, NULL, NULL), (5, 2, 'spare', NULL, NULL, NULL),
        (6, 4, 'pi', NULL, NULL, NULL), (7, 1, 'high', NULL, NULL, NULL), (8, 1, 'over', NULL, NULL, NULL);
    CREATE TABLE rack_positions (id INTEGER PRIMARY KEY, rack_id INTEGER, device_id INTEGER, start_unit REAL, locked BOOLEAN);
    INSERT INTO rack_positions VALUES (1, 1, 1, 1, 1), (2, 1, 2, 3, 0), (3, 1, 3, 42, 0), (4, 2, 6, 2.5, 0), (5, 3, 7, 1, 0), (6, 1, 8, 2, 0);
";

/// A file with all of a device in one table.
const FLAT: &str = "
    CREATE TABLE Rack (ID TEXT, Title TEXT, U_Height TEXT);
    INSERT INTO Rack VALUES ('a-b', 'Lab', '24U');
    CREATE TABLE Device (Id TEXT, Name TEXT, Manufacturer TEXT, Model TEXT, Height INTEGER, Watts TEXT, Weight_lbs REAL, Rack TEXT,
        U_Position INTEGER, Face TEXT);
    INSERT INTO Device VALUES ('1', 'nas', 'Synology', 'RS819', 1, '85 W', 10, 'a-b', 5, 'Rear'),
        ('2', 'nas2', 'Synology', 'RS819', 1, '85 W', 10, 'a-b', 6, 'front'), ('3', 'ups', NULL, NULL, 2, 'lots', NULL, NULL, NULL, NULL),
        ('4', 'pdu', NULL, NULL, 2, 5, NULL, 'Lab', 1, NULL);
";

fn file(sql: &str) -> Result<(tempfile::TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("homerack.db");
    Connection::open(&path)?.execute_batch(sql)?;
    Ok((folder, path))
}

fn why(report: &Report, what: &str) -> String {
    let mut untaken = report.untaken.iter();
    let found = untaken.find(|untaken| untaken.what == what);
    found.map_or_else(
        || format!("nothing of {what} in {report}"),
        |found| found.why.clone(),
    )
}

async fn import(db: &Db, path: &Path, dry_run: bool) -> Result<Report> {
    Ok(db.store.import_sqlite(path, dry_run).await?)
}

#[test]
fn all_that_is_understood_is_taken_once_and_the_rest_is_told() -> Result<()> {
    story(async |db| {
        let (_folder, path) = file(USUAL)?;
        let before = fs::read(&path)?;
        let dry = import(&db, &path, true).await?;
        ensure!(dry.to_string().contains("nothing was changed"), "{dry}");
        ensure!(db.store.racks().await?.is_empty());
        let report = import(&db, &path, false).await?;
        assert_eq!(
            Report {
                dry_run: true,
                ..report.clone()
            },
            dry
        );
        assert_eq!(report.racks, Counts { new: 2, there: 0 });
        assert_eq!(report.kinds, Counts { new: 3, there: 0 });
        assert_eq!(report.devices, Counts { new: 7, there: 0 });
        assert_eq!(report.placed, 4, "{report}");
        for (what, because) in [
            ("table alembic_version, of 1 rows", "nothing like it"),
            ("column device_specs.depth_mm", "nothing like it"),
            ("column racks.cooling_capacity_btu", "nothing like it"),
            ("kind Thing", "not possible"),
            ("device odd", "its kind is not in the file or not taken"),
            ("rack Giant", "400 is not possible"),
            (
                "the place of device high",
                "its rack is not in the file or not taken",
            ),
            ("the place of device over", "web1"),
        ] {
            let why = why(&report, what);
            ensure!(why.contains(because), "{what}: {why}");
        }
        let racks = db.store.racks().await?;
        let main = &racks[0].fields;
        assert_eq!(
            (main.units, main.watts, main.kilograms),
            (42, Some(5000.0), Some(500.0))
        );
        let filled = db.store.filled(racks[0].id).await?;
        let mut items = filled.items.iter();
        let web = items
            .find(|item| item.device.fields.name == "web1")
            .expect("it is there");
        let (fields, kind) = (&web.device.fields, &web.kind.fields);
        assert_eq!(fields.notes, "the first\nSerial number: SN-1");
        assert_eq!(
            (&fields.tags[..], fields.pinned),
            (&["prod".to_owned(), "web".into()][..], true)
        );
        assert_eq!(
            (kind.halves, kind.watts, kind.airflow),
            (4, 750.0, Airflow::FrontToRear)
        );
        let q = Some("usw".to_owned());
        let switch = db
            .store
            .kinds(KindQuery {
                q,
                limit: 1,
                after: None,
            })
            .await?;
        assert_eq!(switch[0].fields.watts, 50.0, "its heat was told");
        let log = db.count("SELECT count(*) FROM audit").await?;
        let twice = import(&db, &path, false).await?;
        assert_eq!(twice.racks, Counts { new: 0, there: 2 });
        assert_eq!(twice.kinds, Counts { new: 0, there: 3 });
        assert_eq!(twice.devices, Counts { new: 0, there: 7 });
        assert_eq!(db.count("SELECT count(*) FROM audit").await?, log);
        ensure!(fs::read(&path)? == before, "the file was changed");
        Ok(())
    })
}

#[test]
fn a_table_with_everything_in_it_is_understood_too() -> Result<()> {
    story(async |db| {
        let (_folder, path) = file(FLAT)?;
        let report = import(&db, &path, false).await?;
        assert_eq!(
            (report.racks.new, report.kinds.new, report.devices.new),
            (1, 2, 3),
            "{report}"
        );
        ensure!(why(&report, "device ups").contains("lots"), "{report}");
        let all = DeviceQuery {
            limit: 10,
            ..DeviceQuery::default()
        };
        let devices = db.store.devices(all).await?;
        let rack = db.store.racks().await?[0].clone();
        assert_eq!(rack.fields.units, 24);
        let at = |face, bottom| {
            Some(Place::Units {
                rack: rack.id,
                face,
                bottom,
                left: 0,
            })
        };
        let places: Vec<_> = devices.iter().map(|device| device.place).collect();
        assert_eq!(
            places,
            [at(Face::Rear, 8), at(Face::Front, 10), at(Face::Front, 0)]
        );
        let kind = db.store.kind(devices[0].fields.kind).await?;
        assert_eq!((kind.fields.watts, kind.fields.kilograms), (85.0, 4.536));
        Ok(())
    })
}

#[test]
fn a_file_that_is_none_or_damaged_is_refused_with_the_reason() -> Result<()> {
    story(async |db| {
        let (folder, path) = file(USUAL)?;
        let at = |name: &str| folder.path().join(name);
        fs::write(at("text"), "racks:\n- name: A\n".repeat(100))?;
        fs::write(at("empty"), "")?;
        Connection::open(at("bare"))?.execute_batch("CREATE TABLE users (name TEXT)")?;
        // Rows that are somewhere else than the schema says.
        let mut bytes = fs::read(&path)?;
        let length = bytes.len();
        for byte in &mut bytes[length / 4..] {
            *byte ^= 0x5a;
        }
        fs::write(at("damaged"), &bytes)?;
        fs::write(at("short"), &fs::read(&path)?[..5000])?;
        let hostile = "CREATE VIEW racks AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id, 'x' AS name FROM n;
            CREATE TABLE devices (id INTEGER, name TEXT, height INTEGER, notes TEXT GENERATED ALWAYS AS (hex(zeroblob(400000000))))";
        Connection::open(at("hostile"))?.execute_batch(hostile)?;
        for (name, expected) in [
            ("missing", "cannot be opened"),
            ("text", "is no SQLite database"),
            ("empty", "has neither racks nor devices"),
            ("bare", "has neither racks nor devices"),
            ("damaged", "is damaged"),
            ("short", "is damaged"),
            ("hostile", "has neither racks nor devices"),
            (".", "cannot be"),
        ] {
            let refused = refusal(db.store.import_sqlite(&at(name), false).await);
            ensure!(matches!(refused, Error::Invalid { .. }), "{refused}");
            ensure!(refused.to_string().contains(expected), "{name}: {refused}");
        }
        ensure!(db.count("SELECT count(*) FROM audit").await? == 0);
        Ok(())
    })
}

#[test]
fn values_that_make_no_sense_cost_only_their_row() -> Result<()> {
    story(async |db| {
        let (_folder, path) = file(
            "CREATE TABLE racks (id, name, units); INSERT INTO racks VALUES (1, 'A', 10), (2, x'00ff', 9e999), (3, 'A', 5), (4, '', -1);
             CREATE TABLE devices (id, name, height, rack_id, position, watts, notes);
             INSERT INTO devices VALUES (1, 'a' || char(0) || 'b', 1, 1, 1, 1, ''), (2, 'b', 1, 1, 1e300, 1, ''), (3, 'c', 'x', 1, 1, 1, ''),
                (4, 'd', 1, 1, 1, -5, ''), (5, 'e', 1, 1, 1, 1, hex(zeroblob(100000))), (6, 'f', 1, 1, 2, 1, 'Ü');",
        )?;
        let report = import(&db, &path, false).await?;
        assert_eq!(
            (report.racks.new, report.devices.new, report.placed),
            (1, 3, 2),
            "{report}"
        );
        Ok(())
    })
}
