"""
Optuna chooses the parameters
=============================

A study of a few lines: Optuna proposes parameters, cross-validation on the known labels judges
them, and the best ones are fitted once on all known labels and tested on the others.
"""

import optuna
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score, train_test_split

from sklearn_ltd import GNNNodeClassifier, KNNGraph

X, y = load_digits(return_X_y=True)
graph = KNNGraph(n_neighbors=10).fit_transform(X[:500])
known, test = train_test_split(range(500), train_size=100, stratify=y[:500], random_state=0)


def make(parameters):
    return GNNNodeClassifier(**parameters, max_iter=150, random_state=0)


def objective(trial):
    parameters = {
        "backbone": trial.suggest_categorical("backbone", ["gcn", "sage", "sgc"]),
        "learning_rate": trial.suggest_float("learning_rate", 5e-3, 3e-1, log=True),
        "dropout": trial.suggest_float("dropout", 0.1, 0.8),
    }
    return cross_val_score(make(parameters), graph[known], y[known], cv=3).mean()


optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
study.optimize(objective, n_trials=20)
print(f"best of 20 trials: {study.best_value:.3f} in cross-validation, {study.best_params}")

# %%
# The test nodes have had no part in the choice.
for name, parameters in {"defaults": {}, "chosen": study.best_params}.items():
    clf = make(parameters).fit(graph[known], y[known])
    print(f"{name:9} {clf.score(graph[test], y[test]):.3f} on {len(test)} test nodes")
