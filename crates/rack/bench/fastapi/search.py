"""Search, with the statements of `src/store/search.rs`."""

import re

from database import like_of

BY_WORDS = """
    WITH q AS MATERIALIZED (SELECT rack_question($1) AS words),
    k AS MATERIALIZED (SELECT k.* FROM kinds k, q WHERE k.search @@ q.words),
    found AS (
        SELECT 'rack' AS what, r.id, r.name, r.location AS place, r.notes AS text, ts_rank(r.search, q.words) AS rank
        FROM racks r, q WHERE r.search @@ q.words
        UNION ALL
        SELECT 'kind', k.id, k.manufacturer || ' ' || k.model, k.category, '', ts_rank(k.search, q.words) FROM k, q
        UNION ALL
        SELECT 'device', d.id, d.name, coalesce(r.name, ''), concat_ws(' ', rack_joined(d.tags), d.notes), ts_rank(d.search, q.words)
        FROM q, devices d LEFT JOIN racks r ON r.id = d.rack WHERE d.search @@ q.words
        UNION ALL
        SELECT 'device', d.id, d.name, coalesce(r.name, ''), k.manufacturer || ' ' || k.model, ts_rank(k.search, q.words) / 2
        FROM q, k, devices d LEFT JOIN racks r ON r.id = d.rack WHERE d.kind = k.id AND NOT d.search @@ q.words
    )
    SELECT what, id, name, place, text FROM found
    ORDER BY lower(name) = lower($1) DESC, rank DESC, name, what, id LIMIT $2::bigint"""

BY_NAME = """
    WITH q AS MATERIALIZED (SELECT rack_question($1) AS words),
    found AS (
        SELECT 'rack' AS what, r.id, r.name, r.location AS place, r.notes AS text FROM racks r WHERE r.name ILIKE $2::text
        UNION ALL
        SELECT 'kind', k.id, k.manufacturer || ' ' || k.model, k.category, '' FROM kinds k
        WHERE k.manufacturer || ' ' || k.model ILIKE $2::text
        UNION ALL
        SELECT 'device', d.id, d.name, coalesce(r.name, ''), concat_ws(' ', k.manufacturer, k.model, rack_joined(d.tags), d.notes)
        FROM q, devices d JOIN kinds k ON k.id = d.kind LEFT JOIN racks r ON r.id = d.rack
        WHERE d.name ILIKE $2::text OR (d.search || k.search) @@ q.words
    )
    SELECT what, id, name, place, text FROM found ORDER BY name, what, id LIMIT $3::bigint"""

LONGEST = 200
EXCERPT = 120
SEPARATORS = re.compile(r"[\W_]+")


async def search(pool, q, limit):
    """What has these words, the best first."""
    words = q.strip().replace("\0", "")[:LONGEST]
    if not words:
        return {"items": [], "next": None}
    rows = await pool.fetch(BY_WORDS, words, limit)
    if not rows:
        rows = await pool.fetch(BY_NAME, words, like_of(words), limit)
    wanted = tuple(word.lower() for word in SEPARATORS.split(words) if word)
    items = [
        {"kind_of": what, "id": number, "name": name, "where": place, "excerpt": excerpt(text, wanted)}
        for what, number, name, place, text in rows
    ]
    return {"items": items, "next": None}


def excerpt(text, wanted):
    """The part of a text around the first place where one of the words begins, or its beginning."""
    shown = text.split()
    first = 0
    for at, one in enumerate(shown):
        if any(part.startswith(wanted) for part in SEPARATORS.split(one.lower())) if wanted else False:
            first = at
            break
    first = max(first - 4, 0)
    shown = " ".join(shown[first:])
    cut = shown[:EXCERPT] + ("…" if len(shown) > EXCERPT else "")
    return f"…{cut}" if first else cut
