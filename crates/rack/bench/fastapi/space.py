"""The space of a rack, as `src/plan/space.rs` has it: which halves of units, which columns, and how deep."""

COLUMNS = 12


def extent(bottom, halves):
    """A part of a rack's height."""
    return {"bottom": bottom, "halves": halves}


def text_of(at):
    """An extent as it is printed on the rack."""
    bottom, halves = at["bottom"], at["halves"]
    top = bottom + halves
    first = bottom // 2 + 1
    last = max((top + 1) // 2, first)
    if halves == 0:
        return f"unit {first}"
    match bottom % 2, top % 2:
        case 0, 0:
            return f"unit {first}" if first == last else f"units {first} to {last}"
        case 0, _:
            if first == last:
                return f"the lower half of unit {first}"
            return f"unit {first} to the middle of unit {last}"
        case _, 0:
            if first == last:
                return f"the upper half of unit {first}"
            return f"the middle of unit {first} to unit {last}"
        case _:
            return f"the middle of unit {first} to the middle of unit {last}"


def cells(kind, face, left):
    """The columns that a mounted device takes: those at the front in the lower twelve bits, those at the rear in the next ones."""
    right = min(left + kind["columns"], COLUMNS)
    left = min(left, right)
    if face == "rear":
        left, right = COLUMNS - right, COLUMNS - left
    columns = (1 << right) - (1 << left)
    if kind["full_depth"]:
        return columns | columns << COLUMNS
    return columns if face == "front" else columns << COLUMNS


class Space:
    """What a mounted device takes of a rack's space."""

    __slots__ = ("at", "bottom", "cells", "face", "top")

    def __init__(self, kind, place):
        self.bottom = place["bottom"]
        self.top = self.bottom + kind["halves"]
        self.at = extent(self.bottom, kind["halves"])
        self.face = place["face"]
        self.cells = cells(kind, self.face, place["left"])

    def meets(self, other):
        """Whether both cannot be there."""
        return self.cells & other.cells and self.bottom < other.top and other.bottom < self.top


def space_of(kind, place):
    """The space of a device of this kind; none if it is beside the rack or on a shelf."""
    return Space(kind, place) if place["at"] == "units" and kind["halves"] > 0 else None


def heights(rack, items):
    """The part of the rack's height and the face of each device that has one: of what is on a shelf, those of the shelf."""
    mounted, standing = {}, []
    for item in items:
        device, place = item["device"], item["device"]["place"]
        if place is None or place["rack"] != rack:
            continue
        if place["at"] == "shelf":
            standing.append((device["id"], place["shelf"]))
        elif item["kind"]["halves"] > 0:
            at = extent(place["bottom"], item["kind"]["halves"])
            mounted[device["id"]] = (at, place["face"])
    found = [(device, mounted[shelf]) for device, shelf in standing if shelf in mounted]
    mounted.update(found)
    return mounted
