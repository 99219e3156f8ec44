"""How warm a rack gets: `src/plan/thermal.rs`, where the formulas and their sources are."""

from check import amount
from space import extent, heights, text_of

BTU_PER_HOUR = 3.412_142
HEAT_OF_AIR = 1006.0
RISE = 20.0 / 1.8
COOLEST_INLET = 18.0
WARMEST_INLET = 27.0
CFM = 1.699_011
UNIT_AIRFLOW = 60.0
STAYS = 90 / 100.0

STRAY_PERCENT = {
    "front-to-rear": 10,
    "rear-to-front": 10,
    "side-to-rear": 20,
    "rear-to-side": 30,
    "mixed": 30,
    "left-to-right": 40,
    "right-to-left": 40,
    "bottom-to-top": 60,
    "top-to-bottom": 60,
    "passive": 60,
}
OTHER_WAY = {"front-to-rear": "rear-to-front", "rear-to-front": "front-to-rear"}


def density(celsius):
    return 101_325.0 / (287.053 * max(celsius + 273.15, 1.0))


def heat(item):
    return max(amount(item, "watts"), 0.0)


def thermal(filled):
    """How warm a rack gets with what is in it."""
    rack, items = filled["rack"], filled["items"]
    inlet = rack["inlet_celsius"]
    watts = 0.0
    for item in items:
        watts += heat(item)
    airflow = 3600.0 * watts / (density(inlet) * HEAT_OF_AIR * RISE)
    at = heights(rack["id"], items)
    opposed = against(items, at)
    levels = levels_of(rack, items, at, opposed)
    spots = hot_spots(items, at, levels)
    return {
        "watts": watts,
        "btu_per_hour": watts * BTU_PER_HOUR,
        "airflow_m3_per_hour": airflow,
        "airflow_cfm": airflow / CFM,
        "rise_celsius": RISE,
        "exhaust_celsius": inlet + RISE if watts > 0.0 else inlet,
        "levels": levels,
        "hot_spots": spots,
        "against": opposed,
        "advice": advice(inlet, spots, opposed, airflow),
    }


def against(items, at):
    """What blows against most others, by watts."""
    through, total = [], {"front-to-rear": 0.0, "rear-to-front": 0.0}
    for item in items:
        device, way = item["device"], item["kind"]["airflow"]
        if way not in total or device["id"] not in at:
            continue
        where, face = at[device["id"]]
        way = way if face == "front" else OTHER_WAY[way]
        total[way] += heat(item)
        through.append((item, where, way))
    usual = "rear-to-front" if total["rear-to-front"] > total["front-to-rear"] else "front-to-rear"
    opposed = [
        {"device": item["device"]["id"], "name": item["device"]["name"], "at": where, "direction": way}
        for item, where, way in through
        if way != usual and heat(item) > 0.0
    ]
    opposed.sort(key=lambda one: (one["at"]["bottom"], one["device"]))
    return opposed


def levels_of(rack, items, at, opposed):
    inlet, halves = rack["inlet_celsius"], 2 * rack["units"]
    watts, draws, strays = [0.0] * halves, [False] * halves, [0.0] * (halves + 1)
    opposed = {one["device"] for one in opposed}
    for item in items:
        device = item["device"]["id"]
        if device not in at:
            continue
        where, of_item = at[device][0], heat(item)
        bottom, top = where["bottom"], min(where["bottom"] + where["halves"], halves)
        each = of_item / where["halves"]
        for half in range(min(bottom, halves), top):
            watts[half] += each
            draws[half] = draws[half] or of_item > 0.0
        percent = 100 if device in opposed else STRAY_PERCENT[item["kind"]["airflow"]]
        strays[top] += of_item * percent / 100.0
    watts_per_kelvin = density(inlet) * HEAT_OF_AIR * UNIT_AIRFLOW / 3600.0 / 2.0
    rising, warmer = 0.0, []
    for stray in strays[:halves]:
        rising += stray
        warmer.append(rising * (1.0 - STAYS) / watts_per_kelvin)
        rising *= STAYS
    levels = []
    for unit in range(rack["units"]):
        lower, upper = 2 * unit, 2 * unit + 1
        celsius = inlet + (warmer[lower] + warmer[upper]) / 2.0
        hot = celsius > WARMEST_INLET and (draws[lower] or draws[upper])
        levels.append({"unit": unit + 1, "watts": watts[lower] + watts[upper], "celsius": celsius, "hot": hot})
    return levels


def hot_spots(items, at, levels):
    runs, run = [], []
    for level in [*levels, None]:
        if level and level["hot"]:
            run.append(level)
        elif run:
            runs.append(run)
            run = []
    spots = []
    for run in runs:
        first, last = run[0]["unit"], run[-1]["unit"]
        bottom, top = 2 * (first - 1), 2 * last
        there = []
        for item in items:
            where = at.get(item["device"]["id"])
            if where and heat(item) > 0.0:
                lower = where[0]["bottom"]
                if lower < top and bottom < lower + where[0]["halves"]:
                    there.append(item["device"]["id"])
        spots.append(
            {
                "from_unit": first,
                "to_unit": last,
                "celsius": max(level["celsius"] for level in run),
                "watts": sum((level["watts"] for level in run), 0.0),
                "devices": there,
            }
        )
    return spots


def advice(inlet, spots, opposed, airflow):
    told = []
    if inlet > WARMEST_INLET:
        told.append(
            f"The air at the front has {inlet:.1f} °C; cool the room to {WARMEST_INLET:.0f} °C or less, as ASHRAE recommends."
        )
    if inlet < COOLEST_INLET:
        told.append(
            f"The air at the front has {inlet:.1f} °C; cooling below {COOLEST_INLET:.0f} °C costs energy and is not needed."
        )
    for one in opposed:
        way = "from the rear to the front" if one["direction"] == "rear-to-front" else "from the front to the rear"
        told.append(
            f"`{one['name']}` in {text_of(one['at'])} blows {way}, against most other devices: "
            "mount it on the other side, or turn its fans round."
        )
    for spot in spots if inlet <= WARMEST_INLET else ():
        first, last = spot["from_unit"], spot["to_unit"]
        units = text_of(extent(2 * (first - 1), 2 * (last - first + 1)))
        told.append(
            f"The air that devices draw in at {units} is estimated at {spot['celsius']:.1f} °C: close gaps below with "
            "blanking panels, or move what is warm and has no fans further up."
        )
    if airflow > 0.0:
        told.append(
            f"The heat needs {airflow:.0f} m³ of air an hour, which leaves {RISE:.0f} degrees warmer than it came."
        )
    return told
