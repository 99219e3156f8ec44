//! By which names tables and columns of a planner's SQLite file are known.
//!
//! The exact tables of the file are not known here, so what is usual is recognised: capital letters, hyphens and underscores make no
//! difference, and of several names for the same the first that is there counts.

/// A table that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Racks,
    Kinds,
    Devices,
    Positions,
}

/// A column that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Field {
    Id,
    Name,
    Location,
    Notes,
    /// Height in units.
    Units,
    Watts,
    /// Heat in BTU per hour.
    Btu,
    Kilograms,
    Pounds,
    /// Temperature of the air at the front.
    Inlet,
    Manufacturer,
    Model,
    Category,
    Airflow,
    FullDepth,
    Shelf,
    /// The id of the kind.
    Kind,
    /// The id of the rack.
    Rack,
    /// The id of the device.
    Device,
    /// The lowest unit.
    Unit,
    Face,
    Serial,
    Tags,
    Pinned,
}

type Names = &'static [(Field, &'static [&'static str])];

const LIMITS_OF_RACK: &[&str] = &[
    "maxpowerwatts",
    "maxpowerw",
    "maxpower",
    "maxwatts",
    "powerlimitwatts",
    "powerlimit",
    "powercapacitywatts",
    "powercapacity",
    "powerbudget",
    "powerwatts",
    "watts",
    "power",
];
const HEIGHTS: &[&str] = &[
    "totalheightu",
    "heightu",
    "uheight",
    "heightunits",
    "rackunits",
    "totalunits",
    "units",
    "sizeu",
    "height",
    "size",
    "ru",
];
const WATTS: &[&str] = &[
    "powerwatts",
    "powerw",
    "watts",
    "powerconsumptionwatts",
    "powerconsumption",
    "powerdraw",
    "maxpowerwatts",
    "maxpower",
    "power",
    "wattage",
];
const BTU: &[&str] = &[
    "heatoutputbtu",
    "heatbtu",
    "btuperhour",
    "btuhr",
    "btuh",
    "btu",
    "heatoutput",
    "heat",
];
const KILOGRAMS: &[&str] = &["weightkg", "kilograms", "kg", "weight", "mass"];
const POUNDS: &[&str] = &["weightlbs", "weightlb", "weightpounds", "pounds", "lbs"];
const NOTES: &[&str] = &["notes", "note", "description", "comments", "comment"];
const CATEGORIES: &[&str] = &["category", "devicetype", "deviceclass", "class", "type"];
const AIRFLOW: &[&str] = &["airflow", "airflowpattern", "airflowdirection"];
const FULL_DEPTH: &[&str] = &["isfulldepth", "fulldepth"];
const MAKERS: &[&str] = &["manufacturer", "brand", "vendor", "make", "maker"];
const UNIT: &[&str] = &[
    "startunit",
    "startu",
    "positionu",
    "uposition",
    "rackposition",
    "bottomunit",
    "rackunit",
    "position",
    "unit",
    "slot",
];
const FACE: &[&str] = &["face", "side", "mountside", "mountface", "orientation"];
const PINNED: &[&str] = &["locked", "islocked", "pinned", "ispinned", "fixed"];
const RACK_IDS: &[&str] = &["rackid", "cabinetid", "rack", "cabinet"];

impl Table {
    /// What a table is, by its name.
    pub(super) fn of(name: &str) -> Option<Self> {
        let name = plain(name);
        let name = name.strip_prefix("homerack").unwrap_or(&name);
        match name {
            "racks" | "rack" | "cabinets" | "cabinet" => Some(Table::Racks),
            "devices" | "device" | "equipment" | "racksdevices" | "rackdevices" => {
                Some(Table::Devices)
            }
            "devicetypes"
            | "devicetype"
            | "devicespecs"
            | "devicespec"
            | "specs"
            | "spec"
            | "devicespecifications"
            | "devicespecification"
            | "specifications"
            | "specification"
            | "devicemodels"
            | "devicemodel"
            | "models"
            | "kinds" => Some(Table::Kinds),
            "rackpositions" | "rackposition" | "positions" | "position" | "placements"
            | "placement" | "devicepositions" | "deviceplacements" => Some(Table::Positions),
            _ => None,
        }
    }

    /// The columns that this table may have.
    pub(super) fn fields(self) -> Names {
        match self {
            Table::Racks => &[
                (Field::Id, &["id", "rackid", "uuid"]),
                (Field::Name, &["name", "rackname", "label", "title"]),
                (Field::Location, &["location", "room", "site"]),
                (Field::Units, HEIGHTS),
                (Field::Watts, LIMITS_OF_RACK),
                (
                    Field::Kilograms,
                    &["maxweightkg", "weightlimitkg", "maxweight", "weightlimit"],
                ),
                (Field::Pounds, &["maxweightlbs", "maxweightlb"]),
                (
                    Field::Inlet,
                    &["inletcelsius", "inlettempc", "inlettemp", "ambienttempc"],
                ),
                (Field::Notes, NOTES),
            ],
            Table::Kinds => &[
                (Field::Id, &["id", "specid", "typeid", "uuid"]),
                (Field::Manufacturer, MAKERS),
                (Field::Model, &["model", "modelname", "name", "product"]),
                (Field::Units, HEIGHTS),
                (Field::Watts, WATTS),
                (Field::Btu, BTU),
                (Field::Kilograms, KILOGRAMS),
                (Field::Pounds, POUNDS),
                (Field::Airflow, AIRFLOW),
                (Field::FullDepth, FULL_DEPTH),
                (Field::Shelf, &["isshelf", "shelf"]),
                (Field::Category, CATEGORIES),
            ],
            Table::Devices => &[
                (Field::Id, &["id", "deviceid", "uuid"]),
                (
                    Field::Kind,
                    &[
                        "specificationid",
                        "specid",
                        "devicespecid",
                        "devicetypeid",
                        "typeid",
                        "modelid",
                        "kindid",
                    ],
                ),
                (
                    Field::Name,
                    &["customname", "name", "hostname", "devicename", "label"],
                ),
                (Field::Manufacturer, MAKERS),
                (Field::Model, &["model", "modelname", "product"]),
                (Field::Units, HEIGHTS),
                (Field::Watts, WATTS),
                (Field::Btu, BTU),
                (Field::Kilograms, KILOGRAMS),
                (Field::Pounds, POUNDS),
                (Field::Airflow, AIRFLOW),
                (Field::FullDepth, FULL_DEPTH),
                (Field::Category, CATEGORIES),
                (Field::Rack, RACK_IDS),
                (Field::Unit, UNIT),
                (Field::Face, FACE),
                (Field::Serial, &["serialnumber", "serial"]),
                (Field::Notes, NOTES),
                (Field::Tags, &["tags", "labels"]),
                (Field::Pinned, PINNED),
            ],
            Table::Positions => &[
                (Field::Device, &["deviceid", "device", "itemid"]),
                (Field::Rack, RACK_IDS),
                (Field::Unit, UNIT),
                (Field::Face, FACE),
                (Field::Pinned, PINNED),
            ],
        }
    }
}

/// Columns that say nothing that a planner has.
pub(super) fn is_bookkeeping(column: &str) -> bool {
    matches!(
        plain(column).as_str(),
        "id" | "createdat" | "updatedat" | "created" | "updated" | "modifiedat" | "lastmodified"
    )
}

/// A name without what makes no difference.
pub(super) fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_ascii_alphanumeric());
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_known_by_their_usual_names() {
        for (name, table) in [
            ("Racks", Some(Table::Racks)),
            ("device_types", Some(Table::Kinds)),
            ("DeviceSpecs", Some(Table::Kinds)),
            ("specifications", Some(Table::Kinds)),
            ("HomeRack_Devices", Some(Table::Devices)),
            ("rack_positions", Some(Table::Positions)),
            ("alembic_version", None),
        ] {
            assert_eq!(Table::of(name), table, "{name}");
        }
    }

    #[test]
    fn no_column_of_a_table_is_two_fields() {
        for table in [Table::Racks, Table::Kinds, Table::Devices, Table::Positions] {
            let mut all: Vec<&str> = table
                .fields()
                .iter()
                .flat_map(|(_, names)| names.iter().copied())
                .collect();
            let count = all.len();
            assert!(all.iter().all(|name| plain(name) == *name));
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count, "{table:?}");
        }
    }
}
