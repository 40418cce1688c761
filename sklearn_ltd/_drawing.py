"""What the displays of `inspection` draw on matplotlib's axes."""

import numpy as np
from scipy.stats import binomtest, pearsonr, spearmanr
from scipy.stats.contingency import odds_ratio
from sklearn.utils._optional_dependencies import check_matplotlib_support

# The colours of Okabe and Ito, which colour-blind readers can tell apart.  Markers repeat at
# another period, so that 56 classes get different pairs.
_COLORS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442"]
_MARKERS = "os^Dv<P"
_BLUE, _RED, _GREY = "#0072B2", "#D55E00", "#767676"


def new_axes(display, ax, figsize=(6, 4.2)):
    """`ax`, or the axes of a new figure."""
    check_matplotlib_support(f"{type(display).__name__}.plot")
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=figsize, layout="constrained")[1] if ax is None else ax


def _tidy(ax):
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", alpha=0.3)
    ax.set_axisbelow(True)


def _label(ax, temperatures, xlabel, title):
    if temperatures.min() < 0 < temperatures.max():
        ax.axhline(0, color=_GREY, linewidth=1)
    ax.set(xlabel=xlabel, ylabel="temperature", title=title)
    _tidy(ax)


def by_class(ax, temperatures, labels):
    names = np.unique(labels)
    groups = [temperatures[labels == name] for name in names]
    ax.boxplot(
        groups,
        widths=0.6,
        patch_artist=True,
        boxprops={"facecolor": "#cfe3f1", "edgecolor": _BLUE},
        medianprops={"color": _RED, "linewidth": 2},
        flierprops={"marker": ".", "markersize": 4, "markeredgecolor": _GREY},
    )
    ticks = [f"{name}\nn = {len(group)}" for name, group in zip(names, groups)]
    slant = {"rotation": 35, "ha": "right"} if sum(map(len, ticks)) > 90 else {}
    ax.set_xticks(np.arange(1, len(names) + 1), ticks, **slant)
    _label(ax, temperatures, "class", "temperatures by class")


def by_norm(ax, temperatures, norms):
    _against(ax, temperatures, norms, r"norm of the student's logits, $\|z_v\|_2$")


def by_entropy(ax, temperatures, entropies):
    _against(ax, temperatures, entropies, "entropy of the teacher at the neighbours, $H_v$")


def _against(ax, temperatures, x, xlabel):
    _scatter(ax, x, temperatures)
    if len(x) >= 100:
        tenths = np.array_split(np.argsort(x, kind="stable"), 10)
        medians = [(np.median(x[part]), np.median(temperatures[part])) for part in tenths]
        ax.plot(*zip(*medians), color=_RED, marker="o", label="median of each tenth")
        ax.legend()
    _label(ax, temperatures, xlabel, _correlation("rank correlation", spearmanr, x, temperatures))


def by_initial(ax, temperatures, initial):
    _scatter(ax, initial, temperatures)
    ends = [min(initial.min(), temperatures.min()), max(initial.max(), temperatures.max())]
    ax.plot(ends, ends, color=_GREY, linestyle="--", label="unchanged")
    ax.legend()
    title = _correlation("Pearson r", pearsonr, initial, temperatures)
    _label(ax, temperatures, "initial temperature", title)


def _scatter(ax, x, temperatures):
    size = np.clip(15_000 / len(x), 6, 40)
    ax.scatter(x, temperatures, s=size, color=_BLUE, alpha=0.4, linewidths=0)


def _correlation(name, measure, x, y):
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return f"{name}: none, all values are equal"
    return f"{name} {_number(measure(x, y).statistic)}"


def _number(value):
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def by_teacher(ax, temperatures, wrong):
    limit = 0 if (temperatures < 0).any() else np.median(temperatures)
    below = temperatures < limit
    for place, (side, color) in enumerate([(~below, _BLUE), (below, _RED)]):
        if not side.any():
            continue
        n_wrong, n, share = wrong[side].sum(), side.sum(), wrong[side].mean()
        low, high = binomtest(int(n_wrong), int(n)).proportion_ci(method="wilson")
        ax.bar(place, share, width=0.6, color=color)
        ax.errorbar(place, share, [[share - low], [high - share]], color="black", capsize=5)
        ax.annotate(
            f"{n_wrong} of {n}", (place, high), (0, 5), textcoords="offset points", ha="center"
        )
    name = f"{limit:.2f}" if limit else "0"
    ax.set_xticks([0, 1], [f"temperature ≥ {name}", f"temperature < {name}"])
    ax.set(xlim=(-0.6, 1.6), ylim=(0, 1.15 * ax.get_ylim()[1]))
    ax.set(ylabel="share of nodes whose teacher is wrong", title=_odds(below, wrong))
    _tidy(ax)


def _odds(below, wrong):
    if below.all() or not below.any():
        return "all temperatures are on one side"
    result = odds_ratio(contingency(below, wrong))
    low, high = result.confidence_interval()
    return f"odds ratio {result.statistic:.2f}, 95 % interval {low:.2f} to {high:.2f}"


def contingency(below, wrong):
    """Counts: rows are below the limit or not, columns are wrong or not."""
    return [[int((a & b).sum()) for b in (wrong, ~wrong)] for a in (below, ~below)]


def training_curves(axes, history, best_iter):
    curves = {name: [record[name] for record in history] for name in history[0]}
    epochs = np.arange(1, len(history) + 1)
    for ax, draw in zip(axes, training_panels(history)):
        draw(ax, epochs, curves)
        ax.axvline(best_iter, color=_GREY, linestyle=":")
        if len(ax.get_legend_handles_labels()[0]):
            ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        _tidy(ax)
    axes[0].set_title(f"best: epoch {best_iter} of {len(history)} (dotted)")
    axes[-1].set_xlabel("epoch")


def training_panels(history):
    """The panels for which there are numbers."""
    panels = {"loss": _losses, "stop_accuracy": _accuracy, "temperature_median": _quantiles}
    return [draw for name, draw in panels.items() if name in history[0]]


def _losses(ax, epochs, curves):
    names = {
        "loss": ("training", _BLUE, "-"),
        "evaluation_loss": ("temperature nodes", _RED, "-"),
        "stop_loss": ("stop nodes", "black", "--"),
    }
    for name, (label, color, style) in names.items():
        if name in curves:
            ax.plot(epochs, curves[name], color=color, linestyle=style, label=label)
    ax.set_ylabel("loss")


def _accuracy(ax, epochs, curves):
    ax.plot(epochs, curves["stop_accuracy"], color="black", linestyle="--", label="stop nodes")
    if "agreement" in curves:
        ax.plot(epochs, curves["agreement"], color=_BLUE, label="agreement with the targets")
    ax.set_ylabel("accuracy")


def _quantiles(ax, epochs, curves):
    low, high = curves["temperature_q05"], curves["temperature_q95"]
    ax.fill_between(epochs, low, high, color=_BLUE, alpha=0.25, linewidth=0, label="90 % of nodes")
    ax.plot(epochs, curves["temperature_median"], color=_BLUE, label="median")
    ax.set_ylabel("temperature")


def node_map(ax, positions, y, temperatures, edges, names):
    from matplotlib.collections import LineCollection

    if edges is not None:
        lines = LineCollection(positions[edges], colors=_GREY, linewidths=0.8, alpha=0.5, zorder=0)
        ax.add_collection(lines)
    sizes = _sizes(temperatures, len(y))
    hollow = np.zeros(len(y), bool) if temperatures is None else temperatures < 0
    for code, label in enumerate(np.unique(y)):
        color, marker = _COLORS[code % len(_COLORS)], _MARKERS[code % len(_MARKERS)]
        of_class = y == label
        faces = np.where(hollow[of_class], "white", color)
        x, height = positions[of_class].T
        style = {"marker": marker, "edgecolors": color}
        ax.scatter(x, height, sizes[of_class], faces, alpha=0.8, **style)
        ax.scatter([], [], 60, color, label=label, **style)
    for row, name in enumerate([] if names is None else names):
        beside = (2 + np.sqrt(sizes[row]) / 2, 0)  # an area in points², a length in points
        ax.annotate(
            str(name), positions[row], beside, textcoords="offset points", va="center", fontsize=8
        )
    ax.set(xticks=[], yticks=[], title="hollow: negative temperature" if hollow.any() else "")
    _size_legend(ax, temperatures, sizes)


def _sizes(temperatures, n_nodes):
    """Marker areas: linear in the temperature, smaller the more nodes there are."""
    largest = np.clip(60_000 / n_nodes, 60, 300)
    if temperatures is None:
        return np.full(n_nodes, largest / 3)
    spread = np.ptp(temperatures) or 1
    return largest * (0.1 + 0.9 * (temperatures - temperatures.min()) / spread)


def _size_legend(ax, temperatures, sizes):
    """Classes, and the sizes of the lowest, middle and highest temperature."""
    order = np.array([], int) if temperatures is None else np.argsort(temperatures)
    for row in order[[0, len(order) // 2, -1]] if len(order) else []:
        value = temperatures[row]
        face = "white" if value < 0 else _GREY
        label = f"temperature {_number(value)}"
        ax.scatter([], [], sizes[row], face, edgecolors=_GREY, label=label)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
