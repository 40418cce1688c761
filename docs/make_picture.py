"""Draw the picture of the README: ``python docs/make_picture.py``."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sklearn_ltd import LTDNodeClassifier
from sklearn_ltd.datasets import load_karate_club
from sklearn_ltd.inspection import NodeMapDisplay

club = load_karate_club()
y = np.array(club.target_names)[club.y]
known = [0, 1, 2, 3, 30, 31, 32, 33]
clf = LTDNodeClassifier(random_state=0).fit(club.graph[known], y[known])

fig, (before, after) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
display = NodeMapDisplay.from_estimator(clf, club.graph, kind="network", ax=after)
unknown = np.setdiff1d(np.arange(34), known)
right = clf.score(club.graph[unknown], y[unknown]) * len(unknown)
after.set_title(f"predicted: {right:.0f} of the other {len(unknown)} right")

ends = display.positions[display.edges].transpose(2, 1, 0)
before.plot(*ends, color="lightgrey", linewidth=0.8, zorder=0)
before.scatter(*display.positions[unknown].T, s=40, color="darkgrey")
for club_name, color, marker in [("Mr. Hi", "#0072B2", "o"), ("Officer", "#E69F00", "s")]:
    members = [node for node in known if y[node] == club_name]
    before.scatter(*display.positions[members].T, s=110, color=color, marker=marker)
before.set(xticks=[], yticks=[], title="known: eight clubs, all friendships")
fig.savefig(Path(__file__).parent / "_static" / "karate.png", dpi=90)
