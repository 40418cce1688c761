"""Rows of a CSV file that are written as they come, so that an interrupted job goes on."""

import csv
from contextlib import contextmanager

import pandas as pd


@contextmanager
def resumed(path, fields, key, dtype=None):
    """A CSV file that an interrupted job goes on with.

    Gives the keys of the rows that are there, as tuples, and a function that appends a row.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    done = set()
    if path.exists():
        done = set(map(tuple, pd.read_csv(path, dtype=dtype)[key].to_numpy().tolist()))
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fields)
        if file.tell() == 0:
            writer.writeheader()

        def write(row):
            writer.writerow(row)
            file.flush()

        yield done, write
