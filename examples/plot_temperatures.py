"""
Looking inside: what was learned, and can it be trusted?
=========================================================

Where are temperatures high, and is the teacher wrong where they are negative?  The displays of
`sklearn_ltd.inspection` answer for a fitted classifier.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_ltd import LTDNodeClassifier
from sklearn_ltd.datasets import make_attributed_sbm
from sklearn_ltd.inspection import NodeMapDisplay, TemperatureDisplay, TrainingCurveDisplay

# %%
# A generated graph with five classes; 150 of 1500 labels are known.  The temperatures may be
# negative, as in the paper, and move in every epoch, in steps as large as the student's; that is
# the student they were learned with.
data = make_attributed_sbm(1500, n_classes=5, homophily=0.5, feature_noise=4.0, random_state=0)
y = np.array(data.target_names)[data.y]
train, test = slice(0, 150), slice(150, 1500)
paper = {
    "adapt_teacher": False,
    "negative_temperatures": True,
    "temperature_scale": 1.0,
    "temperature_interval": 1,
    "temperature_learning_rate": 0.02,
    "refit": False,
}
clf = LTDNodeClassifier(**paper, random_state=0)
clf.fit(data.graph[train], y[train])
teacher = clf.teacher_.score(data.graph[test], y[test])
print(f"teacher {teacher:.3f}, student {clf.score(data.graph[test], y[test]):.3f}")

# %%
# How training went.  Temperatures begin to move after the warm-up; the dotted epoch was kept.  A
# kept epoch soon after the warm-up says that learning on did not help the stop nodes.
TrainingCurveDisplay.from_estimator(clf)

# %%
# The temperatures of the nodes whose label was not known: by true class, against the norm of the
# student's logits, the entropy of the teacher's prediction over the neighbours, and where they
# began.
fig, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
for ax, kind in zip(axes.flat, ["class", "norm", "entropy", "initial"]):
    TemperatureDisplay.from_estimator(clf, data.graph[test], y[test], kind=kind, ax=ax)

# %%
# A negative temperature turns the teacher's ranking round.  That is sensible where the teacher is
# wrong; whether it is, shows the interval of the odds ratio: it should lie above 1.
TemperatureDisplay.from_estimator(clf, data.graph[test], y[test], kind="teacher")

# %%
# And a map of the nodes: the student's hidden layer in two dimensions.
NodeMapDisplay.from_estimator(clf, data.graph[test], y[test])
