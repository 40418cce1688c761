"""Hundreds of fits in one process, then thousands of random graphs: does anything break or leak?

    python benchmarks/soak.py [--examples 3000] [--fits 200]

Prints the resident memory, open files and threads along the fits, and a verdict; the exit
status is 1 if an example failed or something grew.  Linux only: it reads /proc.

The examples are those of `tests/test_properties.py`, that many for each of its tests, in rounds of
100.  A round is a row of a CSV file, with the seed by which it can be repeated
(`HYPOTHESIS_PROFILE=soak HYPOTHESIS_EXAMPLES=100 pytest tests/test_properties.py
--hypothesis-seed=...`); rounds that passed are skipped, so that an interrupted job goes on.
"""

import argparse
import csv
import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from sklearn_ltd import GNNNodeClassifier, Graph, LTDNodeClassifier
from sklearn_ltd._backbones import BACKBONES
from sklearn_ltd.datasets import make_attributed_sbm

ROOT = Path(__file__).parents[1]
MAX_GROWTH = 20.0  # MB over the second half of the fits
ROUND = 100
FIELDS = ["seed", "examples", "passed", "seconds"]


def resources():
    """Resident memory in MB, open files, threads of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    n_files = len(list(Path("/proc/self/fd").iterdir()))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, n_files, threading.active_count()


def fit_once(i):
    """A graph of its own, a fit of one of the backbones, predictions on another graph."""
    rng = np.random.RandomState(i)
    data = make_attributed_sbm(500, 4, 32, random_state=rng)
    backbone = list(BACKBONES)[i % len(BACKBONES)]
    settings = {"max_iter": 15, "random_state": rng, "device": "cpu"}
    clf = GNNNodeClassifier(backbone, **settings)
    if i % 2:
        clf = LTDNodeClassifier(clf, backbone, warmup_iter=5, **settings)
    clf.fit(data.graph[:100], data.y[:100])
    new = data.graph[100:].induced()
    assert np.isfinite(clf.predict_proba(new)).all()
    assert len(Graph(data.graph.adjacency).features) == 500


def leaks(n_fits):
    """Fit, print the curve; a list of what has grown."""
    curve = []
    for i in range(n_fits):
        fit_once(i)
        if (i + 1) % max(1, n_fits // 10) == 0:
            curve.append(resources())
            memory, n_files, n_threads = curve[-1]
            line = f"{memory:7.1f} MB  {n_files} files  {n_threads} threads"
            print(f"{i + 1:5d} fits  {line}", flush=True)
    half = curve[len(curve) // 2 - 1]
    growth = curve[-1][0] - half[0]
    print(f"memory grew by {growth:.1f} MB over the second half")
    grown = [] if growth < MAX_GROWTH else ["memory"]
    names = ("memory", "files", "threads")
    return grown + [names[k] for k in (1, 2) if curve[-1][k] > curve[0][k]]


def properties(n_examples, out):
    """Run the property tests, round by round; the seeds of the rounds that failed."""
    out.parent.mkdir(parents=True, exist_ok=True)
    done = set()
    if out.exists():
        with out.open(newline="") as file:
            done = {int(row["seed"]) for row in csv.DictReader(file) if row["passed"] == "True"}
    failed = []
    with out.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if file.tell() == 0:
            writer.writeheader()
        for seed in range(-(-n_examples // ROUND)):
            if seed in done:
                continue
            start = time.perf_counter()
            passed = one_round(seed)
            seconds = round(time.perf_counter() - start, 1)
            writer.writerow(dict(zip(FIELDS, (seed, ROUND, passed, seconds))))
            file.flush()
            if not passed:
                failed.append(seed)
    return failed


def one_round(seed):
    """Whether the property tests pass; if not, pytest says why."""
    environment = os.environ | {"HYPOTHESIS_PROFILE": "soak", "HYPOTHESIS_EXAMPLES": str(ROUND)}
    command = [sys.executable, "-m", "pytest", "-q", "tests/test_properties.py"]
    command.append(f"--hypothesis-seed={seed}")
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=3000)
    parser.add_argument("--fits", type=int, default=200)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/soak.csv")
    arguments = parser.parse_args()
    failures = leaks(arguments.fits) if arguments.fits else []
    failures += [f"seed {seed}" for seed in properties(arguments.examples, arguments.out)]
    print("FAILED: " + ", ".join(failures) if failures else "passed: nothing broke, nothing grew")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
