"""The planner's endpoints that the benchmark asks, as the existing stack would have them: FastAPI, gunicorn, uvicorn, asyncpg, redis.

It works on the same database, with the same statements, caching rules and limits, and gives the same answers; `rack_load` compares
them before it measures. It is as quick as FastAPI allows: answers are bytes that orjson has written and no model of an answer is
built, who asks is found out by a plain function and not by dependency injection, connections go to sockets, and what the planner
counts, logs and adds to the headers of each answer is left out.
"""

import hashlib
import os
import time
from contextlib import asynccontextmanager
from typing import Annotated, Literal

import orjson
from fastapi import FastAPI, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

import check
import database
from cache import Cache
from database import Refused
from search import search
from thermal import thermal

OF_DEVICES = ("plan", "thermal", "optimise", "search")
ROLES = ("view", "edit", "admin")
# For so long what is known of a caller is believed without a look into the database.
BELIEVED = 5.0
MOST_BELIEVED = 10_000

Watts = Annotated[float, Field(ge=0, le=100_000)]
Kilograms = Annotated[float, Field(ge=0, le=5_000)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Tag = Annotated[str, Field(min_length=1, max_length=50)]
Small = Annotated[int, Field(ge=0, le=255)]
Limit = Annotated[int, Query(ge=1, le=500)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Units(Strict):
    at: Literal["units"]
    rack: int
    face: Literal["front", "rear"]
    bottom: Small
    left: Small


class Shelf(Strict):
    at: Literal["shelf"]
    rack: int
    shelf: int
    left: Small


class Placing(Strict):
    version: Annotated[int, Field(ge=0)]
    place: Annotated[Units | Shelf, Field(discriminator="at")] | None


class Change(Strict):
    version: Annotated[int, Field(ge=0)]
    name: Name
    kind: int
    watts: Watts | None = None
    kilograms: Kilograms | None = None
    pinned: bool = False
    notes: Annotated[str, Field(max_length=10_000)] = ""
    tags: Annotated[list[Tag], Field(max_length=32)] = []


@asynccontextmanager
async def lifespan(app):
    settings = os.environ
    app.state.pool = await database.connect(
        settings["DATABASE_FOLDER"], settings["DATABASE_NAME"], settings["DATABASE_USER"]
    )
    app.state.cache = Cache(settings["CACHE_SOCKET"], "fastapi:", int(settings["REQUESTS_PER_MINUTE"]))
    app.state.callers = {}
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan, openapi_url=None)


@app.exception_handler(Refused)
async def refused(_, refusal):
    headers = {"retry-after": str(refusal.body["retry_after"])} if "retry_after" in refusal.body else None
    return Response(orjson.dumps(refusal.body), refusal.status, headers, "application/json")


async def permitted(request, wanted):
    """The name of who asks, and the number of the request, if they may do what this role may."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Refused(401, error="nobody is logged in", details="send the header Authorization: Bearer …")
    state = request.app.state
    digest = hashlib.sha256(token.strip().encode()).digest()
    known = state.callers.get(digest)
    if known is None or known[3] < time.monotonic():
        row = await state.pool.fetchrow(database.TOKEN, digest)
        if row is None:
            raise Refused(401, error="nobody is logged in", details="there is no such token")
        if len(state.callers) >= MOST_BELIEVED:
            state.callers.clear()
        role = min(ROLES.index(row[3]), ROLES.index(row[4]))
        known = state.callers[digest] = (f"of:{row[0]}", row[2], role, time.monotonic() + BELIEVED)
    wait = await state.cache.permits(known[0])
    if wait:
        raise Refused(429, error="too many requests", retry_after=wait)
    if known[2] < ROLES.index(wanted):
        raise Refused(403, error="this is not permitted", details=f"this needs the role {wanted}")
    return known[1], request.headers.get("x-request-id", "")


def answer(text, **headers):
    return Response(text, headers={name.replace("_", "-"): value for name, value in headers.items()}, media_type="application/json")


@app.get("/health/ready")
async def ready(request: Request):
    await request.app.state.pool.fetch("SELECT 1")
    return answer(b"{}")


@app.get("/api/racks/{number}/plan")
async def plan(number: int, request: Request):
    await permitted(request, "view")
    state = request.app.state

    async def make():
        filled = (await database.filled(state.pool, [number])).get(number)
        if filled is None:
            raise database.missing("rack", number)
        filled["items"].sort(key=lambda item: item["device"]["id"])
        conflicts = [{"device": device, **conflict} for device, conflict in check.conflicts(filled)]
        return orjson.dumps({**filled, "conflicts": conflicts, "thermal": thermal(filled)})

    text, origin = await state.cache.get_or("plan", str(number), make)
    etag = f'"{hashlib.blake2b(text, digest_size=8).hexdigest()}"'
    caching = {"cache_control": "private, no-cache", "etag": etag}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"cache-control": caching["cache_control"], "etag": etag})
    return answer(text, x_cache=origin, **caching)


@app.get("/api/devices")
async def devices(
    request: Request,
    rack: int | None = None,
    unplaced: bool = False,
    q: Annotated[str | None, Query(max_length=200)] = None,
    limit: Limit = 100,
    after: int | None = None,
):
    await permitted(request, "view")
    pool = request.app.state.pool
    return answer(orjson.dumps(await database.devices(pool, rack, unplaced, q, limit, after)))


@app.get("/api/devices/{number}")
async def device(number: int, request: Request):
    await permitted(request, "view")
    sql = f"SELECT {database.DEVICE} FROM devices d WHERE d.id = $1"
    row = await request.app.state.pool.fetchrow(sql, number)
    if row is None:
        raise database.missing("device", number)
    return answer(orjson.dumps(database.device_of(row)))


@app.get("/api/search")
async def found(request: Request, q: Annotated[str, Query(max_length=200)], limit: Limit = 100):
    await permitted(request, "view")
    state = request.app.state

    async def make():
        return orjson.dumps(await search(state.pool, q, limit))

    text, origin = await state.cache.get_or("search", f"{limit}:{q.strip().lower()}", make)
    return answer(text, x_cache=origin)


@app.put("/api/devices/{number}")
async def change(number: int, fields: Change, request: Request):
    who = await permitted(request, "edit")
    state = request.app.state
    write = database.change(state.pool, who, number, fields.version, fields)
    return answer(orjson.dumps(await state.cache.change(OF_DEVICES, write)))


@app.put("/api/devices/{number}/place")
async def place(number: int, wish: Placing, request: Request):
    who = await permitted(request, "edit")
    state = request.app.state
    goes = None if wish.place is None else wish.place.model_dump()
    write = database.place(state.pool, who, number, wish.version, goes)
    return answer(orjson.dumps(await state.cache.change(OF_DEVICES, write)))
