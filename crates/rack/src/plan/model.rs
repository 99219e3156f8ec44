//! The words of the planner: racks, kinds of devices, devices, and where a device is.
//!
//! Heights and positions are counted in *halves* of a rack unit, because there are devices of half a unit's height: the
//! bottom of the lowest unit is position 0, and unit `n`, as it is printed on the rack, begins at `2 * (n - 1)`. Widths and
//! positions across are counted in *columns*, of which a rack has [`COLUMNS`].

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The number of a rack, kind or device. It is never given again.
pub type Id = i64;

/// The number of times that something was changed, by which two changes at once are told apart.
pub type Version = i64;

/// Columns across a rack: halves, thirds, quarters and sixths of its width are whole numbers of them.
pub const COLUMNS: u8 = 12;

/// The highest rack, in units.
pub const MOST_UNITS: u8 = 100;

/// A rack, without what is in it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Rack {
    /// Its number.
    pub id: Id,
    /// How often it was changed.
    pub version: Version,
    /// What people say of it.
    #[serde(flatten)]
    pub fields: RackFields,
}

/// What people say of a rack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RackFields {
    /// Its name, which no other rack has.
    pub name: String,
    /// Where it is.
    #[serde(default)]
    pub location: String,
    /// Its height in units, 1 to [`MOST_UNITS`].
    pub units: u8,
    /// The power that its supply gives, in watts; not limited if there is none.
    #[serde(default)]
    pub watts: Option<f64>,
    /// The weight that it bears, in kilograms; not limited if there is none.
    #[serde(default)]
    pub kilograms: Option<f64>,
    /// The temperature of the air at its front, in degrees Celsius.
    #[serde(default = "usual_inlet")]
    pub inlet_celsius: f64,
    /// Notes.
    #[serde(default)]
    pub notes: String,
}

fn usual_inlet() -> f64 {
    22.0
}

/// A kind of device: what all devices of one model have in common.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Kind {
    /// Its number.
    pub id: Id,
    /// How often it was changed.
    pub version: Version,
    /// Whether it came with the planner, which makes it unchangeable.
    pub built_in: bool,
    /// What people say of it.
    #[serde(flatten)]
    pub fields: KindFields,
}

/// What people say of a kind of device; the Device-Type Library has the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KindFields {
    /// Who makes it.
    pub manufacturer: String,
    /// Its model; a manufacturer has each but once.
    pub model: String,
    /// Its height in halves of a unit; 0 for what is not mounted in units, such as a strip of sockets.
    pub halves: u8,
    /// Its width in columns, 1 to [`COLUMNS`].
    #[serde(default = "whole_width")]
    pub columns: u8,
    /// Whether it needs the whole depth of the rack, so that nothing is behind it.
    #[serde(default = "yes")]
    pub full_depth: bool,
    /// Whether other devices stand on it. They share its height.
    #[serde(default)]
    pub shelf: bool,
    /// The power that it takes at most, in watts. All of it becomes heat.
    #[serde(default)]
    pub watts: f64,
    /// Its weight in kilograms.
    #[serde(default)]
    pub kilograms: f64,
    /// Which way its air goes.
    #[serde(default)]
    pub airflow: Airflow,
    /// What it is for: `server`, `switch`, `storage`, …
    #[serde(default)]
    pub category: String,
}

fn whole_width() -> u8 {
    COLUMNS
}

fn yes() -> bool {
    true
}

/// Which way air goes through a device, in the words of the Device-Type Library.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Airflow {
    FrontToRear,
    RearToFront,
    LeftToRight,
    RightToLeft,
    SideToRear,
    RearToSide,
    BottomToTop,
    TopToBottom,
    #[default]
    Passive,
    Mixed,
}

/// A device, with its kind's number.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Device {
    /// Its number.
    pub id: Id,
    /// How often it was changed or moved.
    pub version: Version,
    /// Where it is; nowhere yet if there is none.
    pub place: Option<Place>,
    /// What people say of it.
    #[serde(flatten)]
    pub fields: DeviceFields,
}

/// What people say of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceFields {
    /// Its name; two devices may have the same.
    pub name: String,
    /// Its kind.
    pub kind: Id,
    /// The power that this one takes, in watts, if it is not that of its kind.
    #[serde(default)]
    pub watts: Option<f64>,
    /// What this one weighs, in kilograms, if it is not what its kind weighs.
    #[serde(default)]
    pub kilograms: Option<f64>,
    /// Whether optimisation leaves it where it is.
    #[serde(default)]
    pub pinned: bool,
    /// Serial number, owner, notes: what search finds.
    #[serde(default)]
    pub notes: String,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// The side of a rack that a device is mounted on.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Face {
    Front,
    Rear,
}

/// Where a device is in a rack.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(tag = "at", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Place {
    /// Mounted in units, or beside them if its height is 0.
    Units {
        /// The rack.
        rack: Id,
        /// The side that it is mounted on.
        face: Face,
        /// The position of its lower edge, in halves.
        bottom: u8,
        /// The column of its left edge, as seen from its own side.
        left: u8,
    },
    /// Standing on a shelf.
    Shelf {
        /// The rack that the shelf is in.
        rack: Id,
        /// The shelf's number.
        shelf: Id,
        /// The column of its left edge, as seen from the shelf's side and counted from the shelf's own left edge.
        left: u8,
    },
}

impl Place {
    /// The rack that it is in.
    pub fn rack(self) -> Id {
        match self {
            Place::Units { rack, .. } | Place::Shelf { rack, .. } => rack,
        }
    }
}

/// A device together with its kind: what checks and drawings need.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Item {
    /// The device.
    pub device: Device,
    /// Its kind.
    pub kind: Kind,
}

impl Item {
    /// The power that it takes, in watts.
    pub fn watts(&self) -> f64 {
        self.device.fields.watts.unwrap_or(self.kind.fields.watts)
    }

    /// Its weight, in kilograms.
    pub fn kilograms(&self) -> f64 {
        let own = self.device.fields.kilograms;
        own.unwrap_or(self.kind.fields.kilograms)
    }
}

/// A rack and all that is in it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Filled {
    /// The rack.
    pub rack: Rack,
    /// What is in it, in no order.
    pub items: Vec<Item>,
}
