"""PostgreSQL, with the statements of `src/store`."""

import asyncpg
import orjson

import check

RACK = "r.id, r.version, r.name, r.location, r.units, r.watts, r.kilograms, r.inlet_celsius, r.notes"
DEVICE = (
    'd.id, d.version, d.name, d.kind, d.watts, d.kilograms, d.pinned, d.notes, d.tags, d.rack, d.face, d.bottom, d.shelf, d."left"'
)
KIND = (
    "k.id, k.version, k.built_in, k.manufacturer, k.model, k.halves, k.columns, k.full_depth, k.shelf, k.watts, "
    "k.kilograms, k.airflow, k.category"
)
FILLED = (
    f"SELECT {RACK}, {DEVICE}, {KIND} FROM racks r LEFT JOIN devices d ON d.rack = r.id LEFT JOIN kinds k ON k.id = d.kind "
    "WHERE r.id = ANY($1::bigint[])"
)
DEVICES = (
    f"SELECT {DEVICE} FROM devices d JOIN kinds k ON k.id = d.kind WHERE ($1::bigint IS NULL OR d.rack = $1) "
    "AND (NOT $2::boolean OR d.rack IS NULL) "
    "AND ($3::text IS NULL OR (d.search || k.search) @@ rack_question($3) OR d.name ILIKE $4::text) "
    "AND d.id > $5::bigint ORDER BY d.id LIMIT $6::bigint"
)
HELD = (
    f"SELECT {DEVICE}, {KIND} FROM devices d JOIN kinds k ON k.id = d.kind WHERE d.id = $1 ORDER BY d.id "
    "FOR UPDATE OF d FOR SHARE OF k"
)
MOVE = (
    "UPDATE devices d SET version = d.version + 1, rack = n.rack, face = n.face, bottom = n.bottom, shelf = n.shelf, "
    '"left" = n."left" FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::smallint[], $5::bigint[], $6::smallint[]) '
    f'AS n (id, rack, face, bottom, shelf, "left") WHERE d.id = n.id RETURNING {DEVICE}'
)
CHANGE = (
    "UPDATE devices d SET version = version + 1, name = $2, kind = $3, watts = $4, kilograms = $5, pinned = $6, "
    f"notes = $7, tags = $8 WHERE id = $1 RETURNING {DEVICE}"
)
AUDIT = (
    "INSERT INTO audit (who, request, action, what, id_of, before, after) "
    "SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::bigint[], $6::jsonb[], $7::jsonb[])"
)
TOKEN = 'SELECT u.id, u.version, u.name, u.role, t.role FROM tokens t JOIN users u ON u.id = t."user" WHERE t.token = $1'


class Refused(Exception):
    """What the API says when it does not do what it was asked."""

    def __init__(self, status, **body):
        super().__init__(status)
        self.status, self.body = status, body


def missing(what, number):
    return Refused(404, error="not found", details=f"there is no {what} with the number {number}")


async def connect(folder, name, user):
    """A fourth of 20 connections and 10 more, since there are four processes. Like ours, they are not told to forget what nobody set."""

    async def nothing(_):
        pass

    return await asyncpg.create_pool(
        host=folder, database=name, user=user, min_size=5, max_size=8, command_timeout=10, reset=nothing
    )


def rack_of(row):
    number, version, name, location, units, watts, kilograms, inlet, notes = row[:9]
    return {
        "id": number,
        "version": version,
        "name": name,
        "location": location,
        "units": units,
        "watts": watts,
        "kilograms": kilograms,
        "inlet_celsius": inlet,
        "notes": notes,
    }


def place_of(rack, face, bottom, shelf, left):
    if rack is None:
        return None
    if shelf is None:
        return {"at": "units", "rack": rack, "face": face, "bottom": bottom, "left": left}
    return {"at": "shelf", "rack": rack, "shelf": shelf, "left": left}


def device_of(row):
    number, version, name, kind, watts, kilograms, pinned, notes, tags = row[:9]
    return {
        "id": number,
        "version": version,
        "place": place_of(*row[9:14]),
        "name": name,
        "kind": kind,
        "watts": watts,
        "kilograms": kilograms,
        "pinned": pinned,
        "notes": notes,
        "tags": tags,
    }


def kind_of(row):
    number, version, built_in, manufacturer, model, halves, columns, full_depth, shelf, watts, kilograms, airflow, category = row
    return {
        "id": number,
        "version": version,
        "built_in": built_in,
        "manufacturer": manufacturer,
        "model": model,
        "halves": halves,
        "columns": columns,
        "full_depth": full_depth,
        "shelf": shelf,
        "watts": watts,
        "kilograms": kilograms,
        "airflow": airflow,
        "category": category,
    }


async def filled(connection, ids):
    """Racks, each with all that is in it."""
    racks = {}
    for row in await connection.fetch(FILLED, ids):
        rack = racks.get(row[0])
        if rack is None:
            rack = racks[row[0]] = {"rack": rack_of(row), "items": []}
        if row[9] is not None:
            rack["items"].append({"device": device_of(row[9:23]), "kind": kind_of(row[23:36])})
    return racks


async def devices(pool, rack, unplaced, q, limit, after):
    """Devices by number, and what to ask for the next ones with."""
    words = None if q is None else q.strip().replace("\0", "")[:200]
    like = None if words is None else like_of(words)
    rows = await pool.fetch(DEVICES, rack, unplaced, words, like, after or 0, limit + 1)
    items = [device_of(row) for row in rows[:limit]]
    return {"items": items, "next": items[-1]["id"] if len(rows) > limit else None}


def like_of(words):
    escaped = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


async def lock(connection, ids):
    sql = "SELECT id FROM racks WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE"
    found = {row[0] for row in await connection.fetch(sql, ids)}
    for number in ids:
        if number not in found:
            raise missing("rack", number)


def conflicting(found):
    return Refused(409, error="it does not fit", conflicts=found)


async def audit(connection, who, action, changes):
    """Puts changes of devices into the log, each as it was and as it is."""
    count = len(changes)
    texts = [[orjson.dumps(change[n]).decode() for change in changes] for n in (0, 1)]
    numbers = [before["id"] for before, _ in changes]
    await connection.fetch(AUDIT, *who, [action] * count, ["device"] * count, numbers, *texts)


def current(device, version):
    if device["version"] != version:
        raise Refused(409, error="changed by somebody else", now=device["version"])


async def place(pool, who, number, version, place):
    """Puts a device into a place, or takes it out of its rack; what stands on it goes with it."""
    async with pool.acquire() as connection, connection.transaction():
        sql = "SELECT DISTINCT rack FROM devices WHERE id = ANY($1) AND rack IS NOT NULL"
        concerned = {row[0] for row in await connection.fetch(sql, [number])}
        if place:
            concerned.add(place["rack"])
        await lock(connection, sorted(concerned))
        row = await connection.fetchrow(HELD, number)
        if row is None:
            raise missing("device", number)
        item = {"device": device_of(row[:14]), "kind": kind_of(row[14:27])}
        device = item["device"]
        was = device["place"]
        if was and was["rack"] not in concerned:
            raise Refused(503, error="the database is busy")
        current(device, version)
        if place == was:
            return device
        racks = await filled(connection, sorted(concerned))
        moving = [(item, place), *carried(racks, device, place)]
        found = []
        if place:
            judged = [check.check_moves(racks[rack], moving) for rack in sorted(racks)]
            found = [conflict for of_rack in judged for _, conflict in of_rack]
        if found:
            raise conflicting(found)
        after = await move(connection, moving)
        changes = [(other["device"], after[other["device"]["id"]]) for other, _ in moving]
        await audit(connection, who, "move", changes)
        return after[number]


def carried(racks, device, place):
    """What stands on a shelf that leaves its rack, and where it goes."""
    found = []
    for rack in racks.values():
        for other in rack["items"]:
            was = other["device"]["place"]
            if was["at"] != "shelf" or was["shelf"] != device["id"]:
                continue
            if place is None:
                name = other["device"]["name"]
                raise Refused(409, error="in use", details=f"the shelf is still in use: {name} stands on it")
            if place["rack"] != was["rack"]:
                found.append((other, {**was, "rack": place["rack"]}))
    return found


async def move(connection, moving):
    columns = [[] for _ in range(6)]
    for item, place in moving:
        place = place or {}
        values = [item["device"]["id"], *(place.get(name) for name in ("rack", "face", "bottom", "shelf", "left"))]
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    rows = await connection.fetch(MOVE, *columns)
    return {row[0]: device_of(row) for row in rows}


async def change(pool, who, number, version, fields):
    """Changes what people say of a device, which stays where it is and has to fit there."""
    async with pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow("SELECT rack FROM devices WHERE id = $1", number)
        if row is None:
            raise missing("device", number)
        racks = [row[0]] if row[0] is not None else []
        await lock(connection, racks)
        row = await connection.fetchrow(f"SELECT {DEVICE} FROM devices d WHERE d.id = $1 FOR UPDATE", number)
        before = device_of(row)
        if (before["place"] or {}).get("rack") not in [*racks, None]:
            raise Refused(503, error="the database is busy")
        current(before, version)
        if await connection.fetchrow("SELECT id FROM kinds WHERE id = $1 FOR SHARE", fields.kind) is None:
            raise missing("kind", fields.kind)
        known = await conflicts(connection, racks)
        row = await connection.fetchrow(
            CHANGE,
            number,
            fields.name,
            fields.kind,
            fields.watts,
            fields.kilograms,
            fields.pinned,
            fields.notes,
            fields.tags,
        )
        after = device_of(row)
        found = [one for one in await conflicts(connection, racks) if one not in known]
        if found:
            raise conflicting([conflict for _, conflict in found])
        await audit(connection, who, "change", [(before, after)])
        return after


async def conflicts(connection, racks):
    if not racks:
        return []
    found = (await filled(connection, racks)).values()
    return [conflict for rack in found for conflict in check.conflicts(rack)]
