//! How warm a rack gets.
//!
//! Heat, airflow and the temperature of the exhaust are physics, with the constants below. The temperatures by height are an
//! **estimate**: how much warm air comes back to the front depends on doors, blanking panels and the room, which nobody measured.
//! The estimate is good for comparing two arrangements of one rack, and not for telling what a thermometer would show.
//!
//! The model, which optimisation shares:
//!
//! - Of a device's heat, a share (`stray_percent`) strays: it is not carried away behind the rack, but comes back to where devices draw
//!   their air in. From front to rear little strays; from a device without fans most does; from one that blows against the others all.
//! - What strays rises. Of what arrives at a height, a tenth is taken in by each half of a unit ([`STAYS_PERCENT`]), so that it has
//!   faded to an eighth after ten units.
//! - A unit's air is changed at a rate of `UNIT_AIRFLOW`, which turns watts that arrive into degrees.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::model::{Airflow, Face, Filled, Id, Item};
use super::space::{Extent, extents};

/// British thermal units an hour that make one watt: 3600 s divided by 1055.05585 J, the British thermal unit of the
/// International Steam Table (ISO 31-4).
pub const BTU_PER_HOUR: f64 = 3.412_142;

/// The specific heat of dry air at room temperature and constant pressure, in J/(kg·K) (ASHRAE Handbook, Fundamentals,
/// "Psychrometrics": 1.006 kJ/(kg·K)).
pub const HEAT_OF_AIR: f64 = 1006.0;

/// The pressure of the standard atmosphere at sea level, in Pa (ISO 2533).
const PRESSURE: f64 = 101_325.0;

/// The gas constant of dry air, in J/(kg·K) (ISO 2533).
const GAS_CONSTANT: f64 = 287.053;

/// Zero degrees Celsius, in K.
const ZERO_CELSIUS: f64 = 273.15;

/// The rise of the air's temperature through a rack for which airflow is told, in K: 20 °F, as in the rule of thumb
/// CFM = 3.16 · W / ΔT(°F).
pub const RISE: f64 = 20.0 / 1.8;

/// The coolest air at a device's inlet that ASHRAE recommends for its classes A1 to A4, in °C (Thermal Guidelines for Data
/// Processing Environments, 5th edition, 2021).
pub const COOLEST_INLET: f64 = 18.0;

/// The warmest air at a device's inlet that ASHRAE recommends, in °C; the same source.
pub const WARMEST_INLET: f64 = 27.0;

/// Cubic metres an hour that make one cubic foot a minute: 60 · 0.3048³.
pub const CFM: f64 = 1.699_011;

/// The air that moves past the inlets of one unit, in m³/h. An assumption: what the fans of a usual server of one unit draw,
/// about 35 CFM.
const UNIT_AIRFLOW: f64 = 60.0;

/// How much of what strays is left after it has risen by half a unit, in percent.
pub const STAYS_PERCENT: u32 = 90;

/// What is known and estimated of a rack's heat.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Thermal {
    /// What all devices take at most, also those beside the rack, in watts. All of it becomes heat.
    pub watts: f64,
    /// The same as a cooler's data sheet has it: watts · [`BTU_PER_HOUR`].
    pub btu_per_hour: f64,
    /// The air that carries the heat away while it gets warmer by `rise_celsius`, in m³/h; see [`airflow`].
    pub airflow_m3_per_hour: f64,
    /// The same in cubic feet a minute.
    pub airflow_cfm: f64,
    /// The rise that the airflow is told for, in K.
    pub rise_celsius: f64,
    /// The temperature of the air behind the rack with that airflow; that of the inlet if there is no heat.
    pub exhaust_celsius: f64,
    /// All units, from the lowest.
    pub levels: Vec<Level>,
    /// Runs of units in which a device that takes power gets air beyond what ASHRAE recommends, from the lowest.
    pub hot_spots: Vec<HotSpot>,
    /// Devices that blow against most others.
    pub against: Vec<Against>,
    /// What to do about it, in whole sentences.
    pub advice: Vec<String>,
}

/// One unit of a rack.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Level {
    /// The unit, as it is printed on the rack.
    pub unit: u8,
    /// The heat of what is in it, in watts; of higher devices and shelves, its part.
    pub watts: f64,
    /// An estimate of the temperature of the air that is drawn in there.
    pub celsius: f64,
    /// Whether a device that takes power is there, and that air is beyond [`WARMEST_INLET`].
    pub hot: bool,
}

/// Neighbouring units that are hot.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HotSpot {
    /// The lowest unit.
    pub from_unit: u8,
    /// The highest unit.
    pub to_unit: u8,
    /// The warmest air there, an estimate.
    pub celsius: f64,
    /// The heat of what is in these units, in watts.
    pub watts: f64,
    /// The devices there that take power.
    pub devices: Vec<Id>,
}

/// A device that blows against most others.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Against {
    /// The device.
    pub device: Id,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub at: Extent,
    /// Which way its air goes through the rack: a device at the rear blows from the rack's rear if it blows from its own front.
    pub direction: Airflow,
}

/// The density of dry air of a temperature at sea level, in kg/m³: ρ = p / (R · T), the ideal gas law.
pub fn density(celsius: f64) -> f64 {
    PRESSURE / (GAS_CONSTANT * (celsius + ZERO_CELSIUS).max(1.0))
}

/// The air that carries heat away while it gets warmer by `rise`, in m³/h: Q = P / (ρ · cp · ΔT), the balance of energy of air that
/// flows at constant pressure. At 22 °C and 11.1 K this is 0.27 m³/h (0.16 CFM) for each watt.
pub fn airflow(watts: f64, inlet_celsius: f64, rise: f64) -> f64 {
    3600.0 * watts / (density(inlet_celsius) * HEAT_OF_AIR * rise)
}

/// How much of a device's heat comes back to where devices draw their air in, in percent; assumptions, in the order that is seen
/// in practice. `against` says that it blows against most others.
pub(super) fn stray_percent(airflow: Airflow, against: bool) -> u32 {
    match airflow {
        _ if against => 100,
        Airflow::FrontToRear | Airflow::RearToFront => 10,
        Airflow::SideToRear => 20,
        Airflow::RearToSide | Airflow::Mixed => 30,
        Airflow::LeftToRight | Airflow::RightToLeft => 40,
        Airflow::BottomToTop | Airflow::TopToBottom | Airflow::Passive => 60,
    }
}

/// What blows against most others, by watts; as many each way, and the usual way, from the front to the rear, is right.
pub(super) fn against(filled: &Filled) -> Vec<Against> {
    let extents = extents(filled);
    let through: Vec<_> = filled
        .items
        .iter()
        .filter_map(|item| {
            let (at, face) = *extents.get(&item.device.id)?;
            Some((item, at, direction(item.kind.fields.airflow, face)?))
        })
        .collect();
    let total = |wanted: Airflow| -> f64 {
        let those = through.iter().filter(|(_, _, way)| *way == wanted);
        those.map(|(item, ..)| heat(item)).sum()
    };
    let usual = match total(Airflow::RearToFront) > total(Airflow::FrontToRear) {
        true => Airflow::RearToFront,
        false => Airflow::FrontToRear,
    };
    let opposed = through
        .into_iter()
        .filter(|(item, _, way)| *way != usual && heat(item) > 0.0);
    let mut opposed: Vec<_> = opposed
        .map(|(item, at, direction)| Against {
            device: item.device.id,
            name: item.device.fields.name.clone(),
            at,
            direction,
        })
        .collect();
    opposed.sort_by_key(|one| (one.at.bottom, one.device));
    opposed
}

/// Which way air goes through the rack, if it goes along its depth.
fn direction(airflow: Airflow, face: Face) -> Option<Airflow> {
    match (airflow, face) {
        (Airflow::FrontToRear, Face::Front) | (Airflow::RearToFront, Face::Rear) => {
            Some(Airflow::FrontToRear)
        }
        (Airflow::RearToFront, Face::Front) | (Airflow::FrontToRear, Face::Rear) => {
            Some(Airflow::RearToFront)
        }
        _ => None,
    }
}

/// A device's heat in watts; what is not a number of watts is none.
pub(super) fn heat(item: &Item) -> f64 {
    let watts = item.watts();
    match watts.is_finite() {
        true => watts.max(0.0),
        false => 0.0,
    }
}

/// How warm a rack gets with what is in it.
pub fn thermal(filled: &Filled) -> Thermal {
    let inlet = filled.rack.fields.inlet_celsius;
    let watts: f64 = filled.items.iter().map(heat).sum();
    let airflow_m3_per_hour = airflow(watts, inlet, RISE);
    let against = against(filled);
    let extents = extents(filled);
    let levels = levels(filled, &extents, &against);
    let hot_spots = hot_spots(filled, &extents, &levels);
    let advice = advice(filled, &hot_spots, &against, airflow_m3_per_hour);
    Thermal {
        watts,
        btu_per_hour: watts * BTU_PER_HOUR,
        airflow_m3_per_hour,
        airflow_cfm: airflow_m3_per_hour / CFM,
        rise_celsius: RISE,
        exhaust_celsius: match watts > 0.0 {
            true => inlet + RISE,
            false => inlet,
        },
        levels,
        hot_spots,
        against,
        advice,
    }
}

type Extents = HashMap<Id, (Extent, Face)>;

/// The part of `at` that is within a rack of so many halves.
fn within(at: Extent, halves: usize) -> std::ops::Range<usize> {
    usize::from(at.bottom).min(halves)..usize::from(at.top()).min(halves)
}

fn levels(filled: &Filled, extents: &Extents, against: &[Against]) -> Vec<Level> {
    let rack = &filled.rack.fields;
    let halves = 2 * usize::from(rack.units);
    let mut watts = vec![0.0; halves];
    let mut draws = vec![false; halves];
    // What begins to rise at the top of a device, by half; the last is what leaves through the top of the rack.
    let mut strays = vec![0.0; halves + 1];
    for item in &filled.items {
        let Some((at, _)) = extents.get(&item.device.id) else {
            continue;
        };
        let heat = heat(item);
        for half in within(*at, halves) {
            watts[half] += heat / f64::from(at.halves);
            draws[half] |= heat > 0.0;
        }
        let opposed = against.iter().any(|one| one.device == item.device.id);
        let percent = stray_percent(item.kind.fields.airflow, opposed);
        strays[usize::from(at.top()).min(halves)] += heat * f64::from(percent) / 100.0;
    }

    let stays = f64::from(STAYS_PERCENT) / 100.0;
    let watts_per_kelvin = density(rack.inlet_celsius) * HEAT_OF_AIR * UNIT_AIRFLOW / 3600.0 / 2.0;
    let mut rising = 0.0;
    let warmer: Vec<f64> = strays[..halves]
        .iter()
        .map(|stray| {
            rising += stray;
            let taken_in = rising * (1.0 - stays);
            rising *= stays;
            taken_in / watts_per_kelvin
        })
        .collect();
    (0..usize::from(rack.units))
        .map(|unit| {
            let (lower, upper) = (2 * unit, 2 * unit + 1);
            let celsius = rack.inlet_celsius + (warmer[lower] + warmer[upper]) / 2.0;
            Level {
                unit: unit as u8 + 1,
                watts: watts[lower] + watts[upper],
                celsius,
                hot: celsius > WARMEST_INLET && (draws[lower] || draws[upper]),
            }
        })
        .collect()
}

fn hot_spots(filled: &Filled, extents: &Extents, levels: &[Level]) -> Vec<HotSpot> {
    levels
        .chunk_by(|one, next| one.hot && next.hot)
        .filter(|run| run[0].hot)
        .map(|run| {
            let (from_unit, to_unit) = (run[0].unit, run[run.len() - 1].unit);
            let halves = 2 * (usize::from(from_unit) - 1)..2 * usize::from(to_unit);
            let there = filled.items.iter().filter(|item| {
                let at = extents.get(&item.device.id).map(|(at, _)| *at);
                heat(item) > 0.0
                    && at.is_some_and(|at| {
                        usize::from(at.bottom) < halves.end && halves.start < usize::from(at.top())
                    })
            });
            HotSpot {
                from_unit,
                to_unit,
                celsius: run
                    .iter()
                    .map(|level| level.celsius)
                    .fold(f64::MIN, f64::max),
                watts: run.iter().map(|level| level.watts).sum(),
                devices: there.map(|item| item.device.id).collect(),
            }
        })
        .collect()
}

fn advice(
    filled: &Filled,
    hot_spots: &[HotSpot],
    against: &[Against],
    airflow_m3_per_hour: f64,
) -> Vec<String> {
    let inlet = filled.rack.fields.inlet_celsius;
    let mut advice = Vec::new();
    if inlet > WARMEST_INLET {
        advice.push(format!(
            "The air at the front has {inlet:.1} °C; cool the room to {WARMEST_INLET} °C or less, as ASHRAE recommends."
        ));
    }
    if inlet < COOLEST_INLET {
        advice.push(format!(
            "The air at the front has {inlet:.1} °C; cooling below {COOLEST_INLET} °C costs energy and is not needed."
        ));
    }
    for one in against {
        let way = match one.direction {
            Airflow::RearToFront => "from the rear to the front",
            _ => "from the front to the rear",
        };
        advice.push(format!(
            "`{}` in {} blows {way}, against most other devices: mount it on the other side, or turn its fans round.",
            one.name, one.at
        ));
    }
    // In a room that is too warm itself, all units are hot, and the first advice says what to do.
    for spot in hot_spots.iter().filter(|_| inlet <= WARMEST_INLET) {
        let units = Extent {
            bottom: 2 * (u16::from(spot.from_unit) - 1),
            halves: 2 * u16::from(spot.to_unit - spot.from_unit + 1),
        };
        advice.push(format!(
            "The air that devices draw in at {units} is estimated at {:.1} °C: close gaps below with blanking panels, or move what is warm \
             and has no fans further up.",
            spot.celsius
        ));
    }
    if airflow_m3_per_hour > 0.0 {
        advice.push(format!(
            "The heat needs {airflow_m3_per_hour:.0} m³ of air an hour, which leaves {RISE:.0} degrees warmer than it came."
        ));
    }
    advice
}

#[cfg(test)]
#[path = "thermal_tests.rs"]
mod tests;
