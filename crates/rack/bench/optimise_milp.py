"""The racks of `rack_optimise`, solved once more by HiGHS as mixed-integer linear programs.

    cargo run --release -p rack --example rack_optimise > racks.json
    python3 -m venv .venv && .venv/bin/pip install highspy
    .venv/bin/python crates/rack/bench/optimise_milp.py racks.json [--seconds 60] [--small 20]

The objective is that of `crates/rack/src/plan/optimise`. A binary variable says that a block is in a slot. Heat is the product of two
of them; it becomes linear by one variable for each slot that suffers: what arrives there if the block is there, and nothing if it is
not. Prints JSON: time, total and proven bound of HiGHS beside those of the planner.
"""

import argparse
import json
import os
import sys
import time

import highspy


def program(problem):
    """The program of a problem, and its binary variables by block and slot."""
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    halves = len(problem["taken"])
    blocks = problem["blocks"]
    cost = []
    chosen = []
    for block in blocks:
        row = [highs.addBinary() for _ in block["slots"]]
        highs.addConstr(highs.qsum(row) == 1)
        for index, (slot, variable) in enumerate(zip(block["slots"], row)):
            moving = 0 if index == block["home"] else problem["moving"]
            cost.append((slot["low"] + slot["heat"] + moving) * variable)
        chosen.append(row)

    # Each cell is taken once. Cells that the same slots take need one row.
    takers = {}
    for half in range(halves):
        for cell in range(24):
            takers[half, cell] = []
    for number, block in enumerate(blocks):
        for index, slot in enumerate(block["slots"]):
            for half in range(slot["bottom"], slot["bottom"] + block["halves"]):
                for cell in range(24):
                    if slot["cells"] >> cell & 1:
                        takers[half, cell].append((number, index))
    for group in {tuple(group) for group in takers.values() if len(group) > 1}:
        highs.addConstr(highs.qsum([chosen[number][index] for number, index in group]) <= 1)

    # Heat: what arrives at a half, in thousandths of points for each tenth of suffering.
    if problem["heat"]:
        nearness = problem["nearness"]
        arrives = []
        sources = []
        for half in range(halves):
            terms = []
            most = {}
            for number, block in enumerate(blocks):
                for index, slot in enumerate(block["slots"]):
                    between = half - slot["bottom"] - block["halves"]
                    if block["stray"] and 0 <= between < len(nearness):
                        points = block["stray"] * nearness[between]
                        terms.append((number, points * chosen[number][index]))
                        most[number] = max(most.get(number, 0), points)
            arrives.append(terms)
            sources.append(most)
        for number, block in enumerate(blocks):
            if not block["suffers"]:
                continue
            for index, slot in enumerate(block["slots"]):
                half = slot["bottom"]
                others = [term for other, term in arrives[half] if other != number]
                if not others:
                    continue
                # No more can arrive than if every other block were as near as it can be.
                most = sum(points for other, points in sources[half].items() if other != number)
                here = highs.addVariable(lb=0, ub=most)
                highs.addConstr(here >= highs.qsum(others) + most * chosen[number][index] - most)
                cost.append(problem["heat"] * block["suffers"] * here)

    # Gaps: one run of units is chosen, all of them free; the objective wants it long.
    if problem["gap"]:
        run = [highs.addBinary() for _ in range(problem["units"])]
        begins = [highs.addBinary() for _ in range(problem["units"])]
        for unit, variable in enumerate(run):
            before = run[unit - 1] if unit else 0
            highs.addConstr(begins[unit] >= variable - before)
            if any(problem["taken"][2 * unit : 2 * unit + 2]):
                highs.addConstr(variable <= 0)
            for group in {tuple(takers[half, cell]) for half in (2 * unit, 2 * unit + 1) for cell in range(24)}:
                if group:
                    there = [chosen[number][index] for number, index in group]
                    highs.addConstr(variable + highs.qsum(there) <= 1)
            cost.append(-problem["gap"] * variable)
        highs.addConstr(highs.qsum(begins) <= 1)
    highs.minimize(highs.qsum(cost))
    return highs, chosen


def score(problem, choice):
    """The total of a slot for each block, told by the definition in whole numbers."""
    blocks = problem["blocks"]
    placed = [(block, block["slots"][index]) for block, index in zip(blocks, choice)]
    total = problem["constant"]["total"]
    taken = list(problem["taken"])
    for (block, slot), index in zip(placed, choice):
        total += slot["low"] + slot["heat"] + (0 if index == block["home"] else problem["moving"])
        for half in range(slot["bottom"], slot["bottom"] + block["halves"]):
            if taken[half] & slot["cells"]:
                raise ValueError("two blocks in one cell")
            taken[half] |= slot["cells"]
        for other, above in placed:
            between = above["bottom"] - slot["bottom"] - block["halves"]
            if 0 <= between < len(problem["nearness"]):
                total += problem["heat"] * block["stray"] * other["suffers"] * problem["nearness"][between]
    longest = run = 0
    for unit in range(problem["units"]):
        run = 0 if taken[2 * unit] or taken[2 * unit + 1] else run + 1
        longest = max(longest, run)
    return total + problem["gap"] * (problem["units"] - longest)


def solved(entry, seconds):
    """What HiGHS finds for one rack within a time, beside what the planner found."""
    problem = entry["problem"]
    constant = problem["constant"]["total"] + problem["gap"] * problem["units"]
    begun = time.monotonic()
    if problem["blocks"]:
        highs, chosen = program(problem)
        built = time.monotonic() - begun
        highs.setOptionValue("time_limit", float(seconds))
        highs.setOptionValue("threads", 1)
        highs.setOptionValue("mip_rel_gap", 0.0)
        highs.solve()
        info = highs.getInfo()
        values = highs.getSolution().col_value
        bound = info.mip_dual_bound + constant
        found = len(values) > 0 and info.primal_solution_status == 2
        choice = [max(range(len(row)), key=lambda index: values[row[index].index]) for row in chosen] if found else None
        proven = highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
        total = score(problem, choice) if found else None
    else:
        built, bound, total, proven = 0.0, constant, score(problem, []), True
    took = time.monotonic() - begun
    ours = entry["after"]["total"]
    return {
        "blocks": len(problem["blocks"]),
        "planner": {"total": ours, "milliseconds": entry["milliseconds"], "proven": entry["exhausted"]},
        "highs": {
            "total": total,
            "milliseconds": round(1000 * took, 1),
            "of_which_building": round(1000 * built, 1),
            "proven": proven,
            "bound": round(bound),
        },
        "planner_over_highs": round(ours / total, 5) if total else None,
        "planner_over_bound": round(ours / bound, 5) if bound > 0 else None,
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("racks", help="what `rack_optimise` printed; - for standard input")
    arguments.add_argument("--seconds", type=float, default=60, help="for each rack [default: 60]")
    arguments.add_argument("--small", type=int, default=20, help="how many of the small racks [default: 20]")
    arguments.add_argument("--full", type=int, default=5, help="how many of the full racks [default: 5]")
    options = arguments.parse_args()
    with sys.stdin if options.racks == "-" else open(options.racks, encoding="utf-8") as file:
        racks = json.load(file)
    # HiGHS greets on standard output, which is for the result.
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    result = {
        name: [solved(entry, options.seconds) for entry in racks[name][:most]]
        for name, most in (("small", options.small), ("full", options.full))
    }
    json.dump(result, output, indent=1)
    print(file=output, flush=True)


if __name__ == "__main__":
    main()
