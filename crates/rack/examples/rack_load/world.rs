//! The servers, and what is in them: thirty racks of 42 units with 25 devices each, and five hundred kinds.

use std::path::PathBuf;

use anyhow::{Context, Result};
use daemons::{Device, Postgres, Redis, Server};
use rack::config::{Config, DatabaseSettings};
use rack::plan::model::{Airflow, COLUMNS, DeviceFields, Face, Id, KindFields, Place, RackFields};
use rack::store::{KindQuery, Role, Store, Who};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub const RACKS: usize = 30;
const KINDS: usize = 500;
const MANUFACTURERS: usize = 25;
/// Devices of each rack that the load moves up and down.
const MOVERS: u8 = 4;
/// The lowest unit of these; above each of them is one that is free.
const LOWEST_MOVER: u8 = 35;
/// Servers of one and two units in turn, from the lowest unit on.
const SERVERS: usize = 17;
/// What is on a shelf of two units above these: two things side by side, of half a unit.
const ON_SHELF: u8 = 2;
const DATABASE: &str = "bench";
/// The role that owns everything in a new cluster.
const USER: &str = "postgres";
const TOKEN: &str = "rack_what-the-load-shows";
/// So many requests a minute are counted, and permitted: counting is measured, and refusals are not.
const PER_MINUTE: u32 = 1_000_000;

const AIRFLOWS: [Airflow; 5] = [
    Airflow::FrontToRear,
    Airflow::FrontToRear,
    Airflow::RearToFront,
    Airflow::Passive,
    Airflow::SideToRear,
];

/// PostgreSQL and Valkey, which run until this is dropped.
pub struct World {
    // Servers end before the folders that they are in.
    _servers: [Server; 2],
    postgresql: Device,
    valkey: Device,
    /// The racks that the load asks for.
    pub racks: Vec<Id>,
    /// The devices that the load moves and changes.
    pub movers: Vec<Id>,
    /// A rack in which nothing fits.
    pub untidy: Id,
}

impl World {
    pub fn start() -> Result<Self> {
        let postgresql = Device::new("postgresql", &[])?;
        let valkey = Device::new("redis-cache", &[])?;
        let mut database = postgresql.up(|| Postgres::connect(&postgresql.runtime()))?;
        let cache = valkey.up(|| Redis::connect(&valkey.runtime())?.call(&["PING"]))?;
        database
            .value
            .query(&format!("CREATE DATABASE {DATABASE}"))?;
        let mut world = World {
            _servers: [database.server, cache.server],
            postgresql,
            valkey,
            racks: Vec::new(),
            movers: Vec::new(),
            untidy: 0,
        };
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(world.fill())?;
        Ok(world)
    }

    /// The folder with the socket of PostgreSQL, the database and the role.
    pub fn database(&self) -> (String, &'static str, &'static str) {
        let folder = self.postgresql.runtime().display().to_string();
        (folder, DATABASE, USER)
    }

    /// The socket of Valkey.
    pub fn cache(&self) -> PathBuf {
        self.valkey.runtime().join("redis.sock")
    }

    /// How many requests of one user are permitted in a minute.
    pub fn per_minute(&self) -> u32 {
        PER_MINUTE
    }

    /// The configuration of the planner, beside what is usual.
    pub fn config(&self) -> Value {
        let (host, name, user) = self.database();
        json!({
            "database": { "host": host, "name": name, "user": user },
            "cache": { "address": self.cache() },
            "limits": { "requests_per_minute": PER_MINUTE },
        })
    }

    /// The header by which the load is known.
    pub fn authorization(&self) -> String {
        format!("Bearer {TOKEN}")
    }

    /// Empties the cache, so that each load begins with the same.
    pub fn forget_cached(&self) -> Result<()> {
        Redis::connect(&self.valkey.runtime())?.call(&["FLUSHALL"])?;
        Ok(())
    }

    async fn fill(&mut self) -> Result<()> {
        let (host, name, user) = self.database();
        let settings = DatabaseSettings {
            host,
            name: name.into(),
            user: user.into(),
            ..Config::default().database
        };
        let store = Store::open(&settings, None)?;
        store.migrate().await?;
        let who = Who {
            user: "bench".into(),
            request: "bench".into(),
        };
        let user = store.create_user(&who, "bench", Role::Edit, "-").await?;
        let sum: [u8; 32] = Sha256::digest(TOKEN.as_bytes()).into();
        store
            .create_token(&who, user.id, "load", Role::Edit, &sum)
            .await?;
        let filling = Filling::new(&store, &who).await?;
        for number in 0..RACKS {
            let rack = filling.rack(number).await?;
            self.movers.extend(filling.fill(rack, number).await?);
            self.racks.push(rack);
        }
        self.untidy = filling.rack(RACKS).await?;
        filling.fill(self.untidy, RACKS).await?;
        filling.make_untidy(&settings, self.untidy).await
    }
}

/// What racks are filled with.
struct Filling<'a> {
    store: &'a Store,
    who: &'a Who,
    /// Of one unit, two units, shelves of two units, things of half a unit and half the width, and things beside the units.
    kinds: [Vec<Id>; 5],
}

impl<'a> Filling<'a> {
    async fn new(store: &'a Store, who: &'a Who) -> Result<Self> {
        let fields = (0..KINDS).map(kind).collect();
        store.import_kinds(who, fields).await?;
        let query = KindQuery {
            limit: 1000,
            ..KindQuery::default()
        };
        let all = store.kinds(query).await?;
        let of = |halves: u8, columns: u8, shelf: bool| {
            let wanted = all.iter().filter(|kind| {
                let fields = &kind.fields;
                !kind.built_in
                    && (fields.halves, fields.columns, fields.shelf) == (halves, columns, shelf)
            });
            wanted.map(|kind| kind.id).collect::<Vec<Id>>()
        };
        let kinds = [
            of(2, COLUMNS, false),
            of(4, COLUMNS, false),
            of(4, COLUMNS, true),
            of(1, COLUMNS / 2, false),
            of(0, COLUMNS, false),
        ];
        Ok(Filling { store, who, kinds })
    }

    async fn rack(&self, number: usize) -> Result<Id> {
        let fields = RackFields {
            name: format!("Row {} rack {}", number / 10 + 1, number % 10 + 1),
            location: format!("Hall {}", number / 15 + 1),
            units: 42,
            watts: Some(20_000.0),
            kilograms: Some(1_500.0),
            inlet_celsius: 22.0,
            notes: format!("Key {number} hangs at the door"),
        };
        Ok(self.store.create_rack(self.who, &fields).await?.id)
    }

    /// Puts devices into a rack; gives those that are moved by the load.
    async fn fill(&self, rack: Id, number: usize) -> Result<Vec<Id>> {
        let [one_unit, two_units, shelves, small, beside] = &self.kinds;
        let at = |bottom: u8| Place::Units {
            rack,
            face: Face::Front,
            bottom,
            left: 0,
        };
        let mut bottom = 0;
        for server in 0..SERVERS {
            let (kinds, halves) = match server % 2 {
                0 => (one_unit, 2),
                _ => (two_units, 4),
            };
            self.device(rack, number * SERVERS + server, kinds, at(bottom))
                .await?;
            bottom += halves;
        }
        let shelf = self.device(rack, number, shelves, at(bottom)).await?;
        for thing in 0..ON_SHELF {
            let left = thing * (COLUMNS / 2);
            let place = Place::Shelf { rack, shelf, left };
            self.device(rack, number + usize::from(thing), small, place)
                .await?;
        }
        self.device(rack, number, beside, at(0)).await?;
        let mut movers = Vec::new();
        for mover in 0..MOVERS {
            let place = at(2 * (LOWEST_MOVER - 1) + 4 * mover);
            let which = number + usize::from(mover);
            movers.push(self.device(rack, which, one_unit, place).await?);
        }
        Ok(movers)
    }

    async fn device(&self, rack: Id, which: usize, kinds: &[Id], place: Place) -> Result<Id> {
        let kind = kinds.get(which % kinds.len().max(1));
        let fields = DeviceFields {
            name: format!("host-{rack}-{which}"),
            kind: *kind.context("no kind of that size")?,
            watts: which.is_multiple_of(3).then_some(50.0 + which as f64),
            kilograms: None,
            pinned: which.is_multiple_of(7),
            notes: format!(
                "Serial SN-{rack:03}{which:05}, bought in {}",
                2015 + which % 10
            ),
            tags: vec![format!("team-{}", which % 9), "production".into()],
        };
        let device = self.store.create_device(self.who, &fields, Some(place));
        Ok(device.await?.id)
    }

    /// Breaks the rules in a rack behind the planner's back, so that there is something to find.
    async fn make_untidy(&self, settings: &DatabaseSettings, rack: Id) -> Result<()> {
        let mut config = tokio_postgres::Config::new();
        config
            .host(&settings.host)
            .user(&settings.user)
            .dbname(&settings.name);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        let connection = tokio::spawn(connection);
        for change in [
            "UPDATE racks SET watts = 100.5, kilograms = 10, inlet_celsius = 29 WHERE id = $1",
            // On others of both faces, beyond the top, too far to the right, and on a shelf where others stand.
            "UPDATE devices SET face = 'rear' WHERE rack = $1 AND bottom = 6",
            "UPDATE devices SET bottom = 3 WHERE rack = $1 AND bottom = 6",
            "UPDATE devices SET bottom = 83 WHERE rack = $1 AND bottom = 80",
            "UPDATE devices SET \"left\" = 5 WHERE rack = $1 AND bottom = 76",
            "UPDATE devices SET \"left\" = 1 WHERE rack = $1 AND shelf IS NOT NULL",
        ] {
            client.execute(change, &[&rack]).await?;
        }
        drop(client);
        Ok(connection.await??)
    }
}

fn kind(number: usize) -> KindFields {
    let (halves, columns, shelf) = match number % 10 {
        0..=4 => (2, COLUMNS, false),
        5..=6 => (4, COLUMNS, false),
        7 => (4, COLUMNS, true),
        8 => (1, COLUMNS / 2, false),
        _ => (0, COLUMNS, false),
    };
    KindFields {
        manufacturer: format!("Maker {}", number % MANUFACTURERS),
        model: format!("Model {number}"),
        halves,
        columns,
        full_depth: number % 4 != 1,
        shelf,
        watts: if shelf {
            0.0
        } else {
            20.0 + (number % 37) as f64 * 7.5
        },
        kilograms: 1.0 + (number % 23) as f64 * 0.9,
        airflow: AIRFLOWS[number % AIRFLOWS.len()],
        category: ["server", "switch", "storage"][number % 3].into(),
    }
}
