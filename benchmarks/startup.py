"""What a fresh process waits for: imports and the first fit.

Each measurement is a process of its own with one thread; the measurements, and the source
trees where several are given, take turns.  Prints the median seconds of CPU time.

    python benchmarks/startup.py [--repeats 7] [tree ...]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

CHILD = """
import json, time
def lap(times=[0.0]):
    times.append(time.process_time())
    return times[-1] - times[-2]
lap()
import sklearn.utils.validation, torch
seconds = {"import torch, sklearn": lap()}
import sklearn_ltd
seconds["import sklearn_ltd"] = lap()
from sklearn_ltd.datasets import load_karate_club
data = load_karate_club()
seconds["load_karate_club()"] = lap()
clf = sklearn_ltd.LTDNodeClassifier(random_state=0)
clf.fit(data.graph, data.y)
seconds["first fit"] = lap()
clf.fit(data.graph, data.y)
seconds["second fit"] = lap()
print(json.dumps(seconds))
"""


def measure(tree):
    """Seconds of every part in a new process that imports the package from `tree`."""
    environment = os.environ | {"PYTHONPATH": ".", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", CHILD]
    result = subprocess.run(command, cwd=tree, env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads(result.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trees", nargs="*", type=Path, default=[Path(__file__).parents[1]])
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    runs = {tree: [] for tree in args.trees}
    for _ in range(args.repeats):
        for tree, seconds in runs.items():
            seconds.append(measure(tree))
    for tree, seconds in runs.items():
        print(tree.resolve().name)
        for part in seconds[0]:
            print(f"  {part:22} {statistics.median(run[part] for run in seconds):.2f} s")


if __name__ == "__main__":
    main()
