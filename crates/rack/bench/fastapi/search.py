"""Search: the statements are those that `src/store/search.rs` has."""

import re
from pathlib import Path

from database import like_of

SOURCE = (Path(__file__).parents[2] / "src/store/search.rs").read_text()


def statement(name):
    """A statement of the planner's source."""
    return re.search(rf'const {name}: &str = "(.*?)";', SOURCE, re.DOTALL)[1]


BY_WORDS = statement("BY_WORDS")
BY_NAME = statement("BY_NAME")
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
