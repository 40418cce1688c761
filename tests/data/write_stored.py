"""Write the stored classifier of this version, and its predictions, for test_persistence.py."""

from pathlib import Path
from zipfile import ZIP_DEFLATED

import numpy as np
import skops.io

import sklearn_ltd
from sklearn_ltd import LTDNodeClassifier
from sklearn_ltd.datasets import make_attributed_sbm


def write_stored():
    data = make_attributed_sbm(n_nodes=60, n_classes=3, n_features=6, random_state=0)
    clf = LTDNodeClassifier(hidden_dim=4, max_iter=10, random_state=0, device="cpu")
    clf.fit(data.graph[:30], data.y[:30])
    path = Path(__file__).parent / f"ltd_{sklearn_ltd.__version__}.skops"
    skops.io.dump(clf, path, compression=ZIP_DEFLATED)
    np.save(path.with_suffix(".npy"), clf.predict_proba(data.graph))


# The tests import this module, to collect doctests: the file must stay the one that was stored.
if __name__ == "__main__":
    write_stored()
