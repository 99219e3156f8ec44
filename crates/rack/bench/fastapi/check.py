"""Whether devices may be where they are, or go: `src/plan/check.rs`."""

from space import COLUMNS, extent, space_of, text_of


class Standing:
    """A device at a place where it is, or would be."""

    __slots__ = ("id", "item", "kind", "name", "place", "space")

    def __init__(self, item, place):
        self.item, self.kind, self.place = item, item["kind"], place
        self.id, self.name = item["device"]["id"], item["device"]["name"]
        self.space = space_of(self.kind, place)

    def extent(self):
        """Its part of the rack's height; none if it is on a shelf."""
        if self.place["at"] == "shelf":
            return None
        return extent(self.place["bottom"], self.kind["halves"])


def conflicts(filled):
    """All conflicts of a rack that is as it is, each with the device that it is told of."""
    everything = standing(filled)
    found = of_space(filled["rack"], everything, everything)
    return found + of_limits(filled["rack"], [], everything, everything)


def check_moves(filled, moves):
    """What is against several devices' being moved at once, as seen by one rack: those that stay, come or go."""
    rack = filled["rack"]
    before = standing(filled)
    moved = {item["device"]["id"] for item, _ in moves}
    leave = {item["device"]["id"] for item, place in moves if place["rack"] != rack["id"]}
    stay = [one for one in before if one.id not in moved and one.place.get("shelf") not in leave]
    come = [Standing(item, place) for item, place in moves if place["rack"] == rack["id"]]
    after = stay + come
    return of_space(rack, after, come) + of_limits(rack, before, after, come)


def standing(filled):
    rack = filled["rack"]["id"]
    placed = ((item, item["device"]["place"]) for item in filled["items"])
    return [Standing(item, place) for item, place in placed if place and place["rack"] == rack]


def of_space(rack, everything, some):
    found = []
    for one in some:
        of_one = in_units(rack, everything, one) if one.place["at"] == "units" else on_a_shelf(everything, one)
        found += [(one.id, conflict) for conflict in of_one]
    return found


def in_units(rack, everything, one):
    found = []
    at = one.extent()
    if at["bottom"] + max(at["halves"], 1) > 2 * rack["units"]:
        text = f"It would be in {text_of(at)}, but the rack ends at unit {rack['units']}."
        found.append({"text": text, "what": "outside-rack", "at": at, "units": rack["units"]})
    space = one.space
    if space is None:
        return found
    found += too_wide(one, COLUMNS, None)
    for other in everything:
        taken = other.space
        if taken is None or other.id == one.id or not taken.meets(space):
            continue
        where = text_of(taken.at)
        if taken.face == space.face:
            what, text = "occupied", f"`{other.name}` is in the way, in {where}."
        else:
            what = "depth"
            text = f"`{other.name}` is on the other side, in {where}, and the rack is not deep enough for both."
        found.append({"text": text, "what": what, "by": other.id, "name": other.name, "at": taken.at})
    return found


def on_a_shelf(everything, one):
    shelf = one.place["shelf"]
    below = next((other for other in everything if other.id == shelf), None)
    if below is None:
        text = f"There is no shelf with the number {shelf} in this rack."
        return [{"text": text, "what": "no-such-shelf", "shelf": shelf}]
    at, board, by = below.extent(), below.kind, {"by": shelf, "name": below.name}
    inside = f" in {text_of(at)}" if at else ""
    if not board["shelf"]:
        return [{"text": f"`{below.name}`{inside} is not a shelf.", "what": "not-a-shelf", **by, "at": at}]
    if one.kind["shelf"]:
        text = f"A shelf cannot stand on another shelf, such as `{below.name}`."
        return [{"text": text, "what": "shelf-on-shelf", **by}]
    found = []
    halves, room = one.kind["halves"], board["halves"]
    room = room if room < 2 else room - 1
    if halves > room:
        text = f"It is {units(halves)} high, but the shelf `{below.name}`{inside} leaves only {units(room)}."
        found.append({"text": text, "what": "too-high-for-shelf", **by, "at": at, "halves": halves, "room": room})
    found += too_wide(one, board["columns"], below.name)
    left = one.place["left"]
    for other in everything:
        if other.id == one.id or other.place["at"] != "shelf" or other.place["shelf"] != shelf:
            continue
        theirs = other.place["left"]
        if left < theirs + other.kind["columns"] and theirs < left + one.kind["columns"]:
            text = f"`{other.name}` stands there already, on the shelf `{below.name}`{inside}."
            found.append(
                {"text": text, "what": "shelf-full", "by": other.id, "name": other.name, "shelf": below.name, "at": at}
            )
    return found


def too_wide(one, columns, shelf):
    needed = one.place["left"] + one.kind["columns"]
    if needed <= columns:
        return []
    what = "the rack" if shelf is None else f"the shelf `{shelf}`"
    text = f"It would reach to column {needed}, but {what} has only {columns}."
    return [{"text": text, "what": "width", "needed": needed, "columns": columns, "shelf": shelf}]


def units(halves):
    return "1 unit" if halves == 2 else f"{number(halves / 2)} units"


def number(amount):
    """An amount to its third decimal, without zeros at its end."""
    amount = round(amount, 3)
    return str(int(amount)) if amount == int(amount) else str(amount)


def amount(item, of):
    """What a device takes or weighs: its own, or what its kind does."""
    own = item["device"][of]
    return item["kind"][of] if own is None else own


LIMITS = (
    ("watts", "power", "All devices together would take {} W, but the rack's supply gives {} W."),
    ("kilograms", "weight", "All devices together would weigh {} kg, but the rack bears {} kg."),
)


def of_limits(rack, before, after, blamed):
    """Whether there is more of power or weight than the rack has, and more than there was; told of the one that is most to blame."""
    found = []
    for of, what, text in LIMITS:
        limit = rack[of]
        if limit is None:
            continue
        # Sums of thousandths are exact.
        limit = round(limit * 1000)
        would_be = sum(round(amount(one.item, of) * 1000) for one in after)
        if would_be <= limit or would_be <= sum(round(amount(one.item, of) * 1000) for one in before):
            continue
        # Of several that are as much to blame, the last one.
        most = max(reversed(blamed), key=lambda one: round(amount(one.item, of) * 1000), default=None)
        if most is not None:
            told = text.format(number(would_be / 1000), number(limit / 1000))
            found.append((most.id, {"text": told, "what": what, "limit": limit / 1000, "would_be": would_be / 1000}))
    return found
