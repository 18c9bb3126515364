"""Run simulated worlds from the command line: `python -m tests.simulation --runs 20 --seed 7`, or `make simulate`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from contextlib import nullcontext
from time import perf_counter

from tests.simulation.oracle import Violation
from tests.simulation.plan import draw_plan
from tests.simulation.plants import PLANTS
from tests.simulation.simulation import Simulation, replay_command


def main() -> int:
    """Run the worlds; 1 if an invariant was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="how many worlds (20)")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first; the others follow it (0)")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="plant a bug, which a checker should find")
    options = parser.parse_args()
    struck: Counter[str] = Counter()
    began = perf_counter()
    runs = 0
    virtual_s = 0.0
    for seed in range(options.seed, options.seed + options.runs):
        plan = draw_plan(seed)
        planted = PLANTS[options.plant] if options.plant else None
        try:
            with planted.planted() if planted else nullcontext():
                outcome = Simulation(planted.plan(plan) if planted else plan).run()
        except Violation as violation:
            print(f"\nseed {seed}: {violation}\nagain: {replay_command(seed)}", file=sys.stderr)
            return 1
        except BaseException:
            print(f"\nseed {seed} ended the run; again: {replay_command(seed)}", file=sys.stderr)
            raise
        struck.update(outcome.struck)
        runs += outcome.runs
        virtual_s += outcome.seconds
        print(f"seed {seed}: {outcome.runs} runs, {sum(outcome.struck.values())} blows, trace {outcome.trace}")
    for kind, count in sorted(struck.items()):
        print(f"  {kind:24} {count:8}")
    took_s = perf_counter() - began
    minutes = virtual_s / 60
    print(f"{options.runs} worlds, {runs} runs, {minutes:.0f} minutes of virtual time in {took_s:.1f} s: all is well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
