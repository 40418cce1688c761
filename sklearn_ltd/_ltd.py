"""`LTDNodeClassifier`: a student that is distilled with temperatures per node."""

from collections.abc import Sequence
from functools import partial
from numbers import Integral, Real
from os import PathLike
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import softmax
from sklearn.base import _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import Interval

from ._adam import TensorAdam
from ._adapt import adapt, calibrate_student, class_bias
from ._base import BaseNodeClassifier, graph_tensors
from ._checkpoint import digest
from ._distill import (
    SMALLEST_TEMPERATURE,
    TEMPERATURE_FEATURES,
    LearnedDistillation,
    TemperatureNetwork,
    distillation_batches,
    distillation_loss,
    heuristic_temperatures,
    judging_field,
    soft_targets,
)
from ._gnn import NETWORK_CONSTRAINTS, GNNNodeClassifier, class_weights
from ._teacher import check_teacher, teach
from ._torch import few_threads, memory_advice, resolve_device, seeded, to_numpy
from ._train import cross_entropy
from ._typing import (
    Backbone,
    ClassWeight,
    GraphLike,
    Labels,
    RandomState,
    typed,
)

_N_JUDGED = 10_000  # nodes that tell how often the student takes each class


class LTDNodeClassifier(BaseNodeClassifier):
    """A graph neural network distilled with a temperature for every node (LTD).

    A teacher predicts the classes of all nodes; a student learns from those predictions,
    softened by temperatures that a small network sets node by node.  The network is trained,
    along with the student, by how well the student does on labels held out for that purpose
    (Yang et al., 2023).

    The labels that `fit` may read are split into three roles: "train" (hard labels of the
    student), "temperature" (they judge the temperatures) and "stop" (early stopping).  Where
    no `role` is given they are drawn by class: every class keeps at least one "train" label, and
    what a small class cannot give to another role is taken from the next class.  Two labels per
    class are enough.

    Parameters
    ----------
    teacher : None, str, estimator, torch.nn.Module or array-like, default=None
        Who is imitated.  None: the student's own architecture, trained first.  The name of a
        backbone.  An unfitted classifier with `predict_proba`: cloned and fitted on the
        "train" and "temperature" labels of this fit; one that takes a feature matrix, such as
        a random forest, gets the node features.  A fitted or frozen classifier; a module
        called as ``module(x, edge_index)``; an array (n, n_classes) of logits.  The last
        three are used as they are: if they have seen labels that you score, scores are too
        good, of which `fit` warns.
    backbone : {"gcn", "gat", "sage", "appnp", "sgc", "mlp"} or callable, default="gcn"
        The student; see `GNNNodeClassifier`.
    scalable : bool, default=False
        Guess the temperatures from the teacher once instead of learning them; no label is set
        aside to judge them, and mini-batches are possible (`batch_size`).  The paper does not
        publish the formula of its scalable variant; this one is ours:
        ``tau_v = 0.8 k sigmoid(mu z(-margin_v) + nu z(-||z_v||) + gamma z(H_v))`` with
        centred teacher logits z_v, the margin of its two largest probabilities, the entropy H_v of
        its mean prediction over the neighbours, and z() standardising over the nodes.
    temperature : float, default=None
        One fixed temperature for all nodes, whatever `scalable` says; with ``adapt_teacher=False``
        that is the baseline FT of the paper.  None: one for each node.
    hidden_dim, n_layers, dropout
        The student's (and default teacher's) architecture; see `GNNNodeClassifier`.
    learning_rate : float, default=0.02
        Step size of the student (the paper's alpha), relative to that of each weight matrix at the
        start; see `GNNNodeClassifier`.
    weight_decay : float, default=0.02
        L2 penalty of the student and of the default teacher, see `GNNNodeClassifier`; a student
        that is held back repeats fewer of its teacher's mistakes.
    max_iter : int, default=300
        Epochs of the student at most.  Where `best_iter_` is close to it, more may help.
    n_iter_no_change : int, default=50
        Stop after this many epochs without a lower loss on the "stop" nodes, plus a penalty while
        the student does not agree with its targets at nine nodes of ten; not counted while one
        class for all nodes would agree as well.
    warmup_iter : int, default=20
        Epochs before the temperatures begin to learn; the best epoch is a later one.
    label_weight : float, default=1.0
        Weight of the hard labels in the student's loss (lambda); both terms are means.
    temperature_scale : float, default=0.4
        k: learned temperatures lie in (0.1 k, 2.5 k), guessed ones in (0, 0.8 k).  Targets may be
        sharp, as nodes at which the teacher is likely to be wrong count for less; try 1.0 without
        `adapt_teacher`.
    negative_temperatures : bool, default=False
        Learn in the paper's range (-0.2 k, 0.8 k) instead: a negative temperature turns the
        teacher's ranking round.  Watch `temperature_negative` in `history_`: all of them can
        run off, and the student then learns the opposite of its teacher.
    temperature_learning_rate : float, default=0.005
        Step size of the temperature network (beta), relative like that of the student.  0 freezes
        it at its random start; larger steps than the default have not paid (research log).
    temperature_interval : int, default=5
        The temperatures are set anew and learn once in this many epochs; in between the student
        keeps them, at about the cost of a fixed temperature.  The paper's is 1.
    temperature_features : tuple of {"logits", "norm", "entropy"}
        Inputs of the temperature network: the student's logits, their norm, the entropy of
        the teacher's mean prediction over the neighbours.
    heuristic_weights : tuple of 3 floats, default=(1.0, 1.0, 1.0)
        (mu, nu, gamma), used if `scalable`.
    temperature_fraction : float, default=0.4
        Fraction of the labels that judge the temperatures, where these are learned.
    validation_fraction : float, default=0.2
        Fraction of the labels that stop the training.
    refit : bool, default=True
        Train a new student at the end, on all labels whatever their role, with the temperatures
        of the best epoch and for as many steps as it took; callbacks and `history_` are not
        told of these.
    adapt_teacher : bool, default=True
        Calibrate the teacher on the "stop" labels, and combine it with a logistic regression on
        the node features as far as that helps; correct its probabilities, and weight the labels,
        for the estimated class frequencies of the graph, which labels drawn class by class do not
        show; let each node count by how likely the teacher is to be right there; and calibrate the
        student in the end (`calibration_`).  The teacher
        is assumed to have learned from the "train" and "temperature" labels: pass False if it has
        seen the "stop" labels, or learned from labels with other frequencies or with a
        `class_weight` of its own.  If `class_weight` is given here, it says what a class counts,
        and the frequencies are left alone.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the losses that are trained on, as in scikit-learn; the epoch is
        chosen without.
    batch_size : int, default=None
        Train on mini-batches, see `GNNNodeClassifier`.  Each has, besides "train" nodes, as many
        drawn from the whole graph, at which the teacher is imitated.  Needs ``scalable=True`` or
        a fixed `temperature`.
    n_neighbors : int, default=10
        Incoming edges sampled per node and layer, with `batch_size`; see `GNNNodeClassifier`.
    checkpoint_dir : str or path, default=None
        A folder for this fit alone, where it is saved at most twice a minute.  The same fit, called
        again after an interruption, resumes and ends with the same numbers (on a CPU); once
        finished, it gives the model without training.  An interruption raises an error instead
        of keeping the best epoch.  Needs a `random_state`.
    device : str, default="auto"
        "auto" (CUDA if there is one, else the CPU), "cpu", "cuda", "cuda:1" or "mps"
        (untested).
    random_state : int, RandomState instance or None, default=None
        Draws the roles, the initial parameters and the dropout.
    verbose : int, default=0
        1 prints a line every tenth epoch, 2 every epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where the features came as a DataFrame with string columns.
    teacher_ : estimator or None
        The fitted teacher; None if it was a module or an array.
    teacher_proba_ : ndarray of shape (n, n_classes)
        The teacher's probabilities of all nodes of the training graph, before it is adapted.
    class_prior_ : ndarray of shape (n_classes,) or None
        How frequent each class is in the graph: the mean of the teacher's calibrated predictions;
        None without `adapt_teacher` or with `class_weight`.
    reliability_ : ndarray of shape (n,) or None
        The estimated probability, at every node of the training graph, that the adapted teacher is
        right; its square weighs the node's soft target.  None without `adapt_teacher`.
    calibration_ : tuple of (float, ndarray of shape (n_classes,))
        Scale and shift that the student's logits get; how much of either, the "stop" labels say,
        before a last student learns them.  1 and 0 without `adapt_teacher` or such labels.
    temperatures_ : ndarray of shape (n,)
        The temperature of every node at the best epoch.
    initial_temperatures_ : ndarray of shape (n,)
        The same before the first epoch; not learned ones stay as they are.
    transduction_ : ndarray of shape (n,)
        The student's labels of all nodes of the training graph.
    n_iter_, best_iter_ : int
        Epochs run, and the best one, from 1: its temperatures were kept and, without `refit`,
        its parameters.
    history_ : list of dict of float
        For every epoch the losses, accuracy and loss on the stop nodes, `agreement`, the share of
        the nodes to which the student gives the class of the highest target (of the stop nodes
        with `batch_size`), and mean and quantiles of the temperatures as the epoch used them,
        under their network's dropout.
    architecture_ : dict
        What the student was built from.
    state_ : dict of str to ndarray
        Parameters and buffers of the student.
    structure_ : str or None
        Digest of the training graph where it has no features, else None.

    See Also
    --------
    GNNNodeClassifier : The same networks without distillation.

    References
    ----------
    Yang, Guo, Xu, Shi, Liu, Wang, Li, Guo, Yin, "Learning to Distill Graph Neural Networks",
    WSDM 2023, https://doi.org/10.1145/3539597.3570480.

    Examples
    --------
    >>> from sklearn_ltd import LTDNodeClassifier
    >>> from sklearn_ltd.datasets import make_attributed_sbm
    >>> data = make_attributed_sbm(n_nodes=300, random_state=0)
    >>> train, test = slice(0, 60), slice(60, 300)
    >>> clf = LTDNodeClassifier(random_state=0).fit(data.graph[train], data.y[train])
    >>> clf.predict_proba(data.graph[test]).shape
    (240, 4)
    >>> bool(clf.score(data.graph[test], data.y[test]) > 0.8)
    True
    """

    teacher_: Any
    teacher_proba_: npt.NDArray[np.float32]
    class_prior_: npt.NDArray[np.float64] | None
    calibration_: tuple[float, npt.NDArray[np.float64]]
    reliability_: npt.NDArray[np.float32] | None
    temperatures_: npt.NDArray[np.float32]

    _parameter_constraints = (
        BaseNodeClassifier._backbone_constraints
        | NETWORK_CONSTRAINTS
        | {
            "teacher": "no_validation",
            "scalable": ["boolean"],
            "refit": ["boolean"],
            "adapt_teacher": ["boolean"],
            "negative_temperatures": ["boolean"],
            "temperature": [Real, None],
            "warmup_iter": [Interval(Integral, 0, None, closed="left")],
            "label_weight": [Interval(Real, 0, None, closed="left")],
            "temperature_scale": [Interval(Real, 0, None, closed="neither")],
            "temperature_learning_rate": [Interval(Real, 0, None, closed="left")],
            "temperature_interval": [Interval(Integral, 1, None, closed="left")],
            "temperature_features": [tuple, list],
            "heuristic_weights": [tuple, list],
            "temperature_fraction": [Interval(Real, 0, 1, closed="neither")],
        }
    )

    def __init__(
        self,
        teacher: Any = None,
        backbone: Backbone = "gcn",
        scalable: bool = False,
        *,
        temperature: float | None = None,
        hidden_dim: int = 64,
        n_layers: int = 2,
        dropout: float = 0.5,
        learning_rate: float = 0.02,
        weight_decay: float = 0.02,
        max_iter: int = 300,
        n_iter_no_change: int = 50,
        warmup_iter: int = 20,
        label_weight: float = 1.0,
        temperature_scale: float = 0.4,
        negative_temperatures: bool = False,
        temperature_learning_rate: float = 0.005,
        temperature_interval: int = 5,
        temperature_features: Sequence[str] = TEMPERATURE_FEATURES,
        heuristic_weights: Sequence[float] = (1.0, 1.0, 1.0),
        temperature_fraction: float = 0.4,
        validation_fraction: float = 0.2,
        refit: bool = True,
        adapt_teacher: bool = True,
        class_weight: ClassWeight = None,
        batch_size: int | None = None,
        n_neighbors: int = 10,
        checkpoint_dir: str | PathLike[str] | None = None,
        device: str = "auto",
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.teacher = teacher
        self.backbone = backbone
        self.scalable = scalable
        self.temperature = temperature
        self.hidden_dim = hidden_dim
        self.n_layers = n_layers
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.max_iter = max_iter
        self.n_iter_no_change = n_iter_no_change
        self.warmup_iter = warmup_iter
        self.label_weight = label_weight
        self.temperature_scale = temperature_scale
        self.negative_temperatures = negative_temperatures
        self.temperature_learning_rate = temperature_learning_rate
        self.temperature_interval = temperature_interval
        self.temperature_features = temperature_features
        self.heuristic_weights = heuristic_weights
        self.temperature_fraction = temperature_fraction
        self.validation_fraction = validation_fraction
        self.refit = refit
        self.adapt_teacher = adapt_teacher
        self.class_weight = class_weight
        self.batch_size = batch_size
        self.n_neighbors = n_neighbors
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @typed(with_callbacks)
    @typed(_fit_context(prefer_skip_nested_validation=False))
    def fit(
        self,
        graph: GraphLike,
        y: Labels,
        labeled_mask: npt.ArrayLike | None = None,
        *,
        role: npt.ArrayLike | None = None,
    ) -> Self:
        """Train the teacher, then distil the student; all nodes pass messages.

        Parameters
        ----------
        graph : Graph or anything `as_graph` accepts
            The whole graph, or a view whose nodes may be labelled.
        y : array-like of shape (n_selected,), or dict or Series keyed by node name
            Labels of any kind; None, NaN and, among numbers, -1 mean unlabelled.  Where the
            values are exactly -1 and 1, both are classes.
        labeled_mask : array-like of shape (n_selected,) or Series of booleans, default=None
            Boolean mask or integer positions of the nodes whose label may be read.
        role : array-like of shape (n_selected,) or Series keyed by node name, default=None
            "train", "temperature", "stop" or "" per node; the labels of nodes with "" are
            not read.  Drawn from the labelled nodes if not given.

        Returns
        -------
        self : LTDNodeClassifier

        Raises
        ------
        TypeError, ValueError
            If the graph, the labels or a parameter are invalid, a class has one label, or the
            checkpoint is damaged or of another fit.

        Warns
        -----
        UserWarning
            If the teacher is already fitted and may have seen labels that you score.
        """
        self._check_parameters()
        fractions = {"stop": self.validation_fraction}
        if self._learns:
            fractions["temperature"] = self.temperature_fraction
        graph, labels, rng = self._start_fit(graph, y, labeled_mask, role, fractions)
        self._check_labels_suffice(labels, drawn=role is None)
        device = resolve_device(self.device)
        with torch.inference_mode(False):
            self.teacher_, logits = teach(
                self._make_teacher(), graph, labels, self.classes_, rng, device, self.checkpoint_dir
            )
        self.teacher_proba_ = softmax(logits, axis=1)
        self.class_prior_ = self.reliability_ = None
        self.calibration_ = 1.0, np.zeros(len(self.classes_))
        with seeded(rng.randint(2**31), device), few_threads(graph.size), memory_advice():
            if self.adapt_teacher:
                logits, labels = self._adapt(graph, logits, labels, device)
            distil = self._distil_learning if self._learns else self._distil_fixed
            teacher_logits = torch.from_numpy(logits).to(device)
            finished = distil(graph, labels, teacher_logits, device)
            temperatures = torch.from_numpy(self.temperatures_).to(device)
            targets = self._soft_targets(teacher_logits, temperatures)
            calibrating = self.adapt_teacher and len(labels.nodes["stop"]) > 0
            factors = self._calibrate(graph, labels, targets) if calibrating else None
            if finished and self.refit:
                self._distil_again(graph, labels, targets, device)
                if calibrating:
                    self._calibrate(graph, labels, targets, factors)
        return self._transduce(graph)

    @property
    def _learns(self):
        """Whether temperatures are learned, which needs labels to judge them."""
        return self.temperature is None and not self.scalable

    def _adapt(self, graph, logits, labels, device):
        """The adapted teacher's logits, and labels that stand for the graph's class frequencies."""
        mean = self._tensors(graph, device).neighbor_mean
        adapted = adapt(
            logits,
            labels,
            graph.X,
            average=lambda rows: to_numpy(mean @ torch.from_numpy(rows).to(device)),
            correct_frequencies=self.class_weight is None,
        )
        self.class_prior_, self.reliability_ = adapted.class_prior, adapted.reliability
        return adapted.logits, adapted.labels

    def _soft_targets(self, teacher_logits, temperatures):
        weights = self._target_weights(teacher_logits.device)
        return soft_targets(teacher_logits, temperatures, weights)

    def _target_weights(self, device):
        """How much a node's soft target counts, 1 on average; None: all the same."""
        if self.reliability_ is None:
            return None
        weights = torch.from_numpy(self.reliability_).to(device).square()
        return weights / weights.mean()

    def _check_labels_suffice(self, labels, drawn):
        counts = np.bincount(labels.codes[labels.codes >= 0])
        if drawn and counts.min() < 2:
            rare = self.classes_[[counts.argmin()]].tolist()[0]
            raise ValueError(
                f"class {rare!r} has 1 label, but LTD needs 2 or more per class: one to train, "
                "others to judge. Label more nodes, leave the class out (None as label), or use "
                "GNNNodeClassifier."
            )
        if self._learns and not len(labels.nodes["temperature"]):
            raise ValueError(
                "no node has the role 'temperature', whose labels judge the temperatures. Give "
                "some nodes that role, or set temperature=1.0 or scalable=True."
            )

    def _fingerprint(self, step, graph, labels, device):
        own = super()._fingerprint(step, graph, labels, device)
        return own | {"teacher": digest(self.teacher_proba_)}

    def _make_teacher(self):
        if self.teacher is not None and not isinstance(self.teacher, str):
            return self.teacher
        return GNNNodeClassifier(
            self.teacher or self.backbone,
            hidden_dim=self.hidden_dim,
            n_layers=self.n_layers,
            dropout=self.dropout,
            class_weight=self.class_weight,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            n_neighbors=self.n_neighbors,
            device=self.device,
            verbose=self.verbose,
        )

    def _distil_fixed(self, graph, labels, teacher_logits, device):
        """Train the student with temperatures that stay as they are."""
        tensors = self._tensors(graph, device)
        temperatures = self._fixed_temperatures(teacher_logits, tensors)
        targets = self._soft_targets(teacher_logits, temperatures)
        step = self._fixed_step(graph, labels, tensors, targets)
        self.initial_temperatures_ = self.temperatures_ = to_numpy(temperatures)
        return self._run(step, graph, labels, device, imitated=targets.argmax(1))

    def _distil_again(self, graph, labels, targets, device):
        """Train a new student on all labels, with the temperatures and epochs found."""
        n_steps = self.best_iter_ * self._n_batches(labels)
        labels = labels.all_as("train")
        step = self._fixed_step(graph, labels, self._tensors(graph, device), targets)
        n_epochs = max(1, round(n_steps / self._n_batches(labels)))
        self._run_again(step, graph, labels, device, n_epochs)

    def _calibrate(self, graph, labels, targets, factors=None):
        """Set scale and shift of the logits of the student as it is now.

        `factors` are those of a student that has not seen the "stop" labels; None: of this one.
        """
        if self.class_weight is None:
            prior, weights = labels.class_prior, labels.ratio(labels.class_prior, "stop")
            bias = self._class_bias(graph, targets)
        else:  # says what a class counts: the predicted classes stay as they are
            weights = np.ones(len(self.classes_))
            prior, bias = weights / len(weights), np.zeros(len(weights))
        if factors is None:
            stop = labels.nodes["stop"]
            logits = self._forward(graph.whole[stop])
            factors = calibrate_student(logits, bias, labels.codes[stop], weights, prior)
        scale, share = map(float, factors)
        self.calibration_ = scale, (1 - scale) * np.log(prior) + share * bias
        return factors

    def _class_bias(self, graph, targets):
        """The class biases of the student as it is now, from some of the nodes."""
        nodes = np.arange(graph.n_nodes)
        if len(nodes) > _N_JUDGED:
            nodes = np.random.RandomState(0).choice(nodes, _N_JUDGED, replace=False)
        rows = torch.from_numpy(nodes).to(targets.device)
        return class_bias(self._forward(graph.whole[nodes]), to_numpy(targets[rows]))

    def _n_batches(self, labels):
        """Steps of an epoch."""
        n_train = len(labels.nodes["train"])
        return 1 if self.batch_size is None else -(-n_train // self.batch_size)

    def _fixed_step(self, graph, labels, tensors, targets):
        """One epoch of distillation from soft targets that stay as they are."""
        device = targets.device
        if self.batch_size is not None:
            targets = targets.contiguous()  # rows of it are gathered
        loss = partial(self._make_loss(labels, device), targets=targets)
        batches = partial(distillation_batches, loss)
        return self._make_step(graph, labels, tensors, device, loss=loss, batches=batches)

    def _distil_learning(self, graph, labels, teacher_logits, device):
        """Train student and temperature network."""
        tensors = graph_tensors(graph, device)
        module, optimizer = self._make_network(graph, tensors, device)
        network = TemperatureNetwork(
            len(self.classes_),
            tuple(self.temperature_features),
            self.temperature_scale,
            self.negative_temperatures,
        ).to(device)
        temperature_optimizer = self._temperature_optimizer(network)
        held_out, codes = labels.tensors("temperature", device=device)
        field = None
        if temperature_optimizer is not None:
            field = judging_field(module, graph, labels.positions("temperature"), device)
        step = LearnedDistillation(
            module,
            tensors,
            teacher_logits,
            self._target_weights(device),
            self._make_loss(labels, device),
            optimizer,
            network=network,
            temperature_optimizer=temperature_optimizer,
            held_out=held_out,
            evaluation_loss=partial(
                cross_entropy,
                y=codes,
                class_weight=self._class_weights(labels, "temperature", device),
            ),
            field=field,
            warmup_iter=self.warmup_iter,
            interval=self.temperature_interval,
        )
        self.initial_temperatures_ = to_numpy(step.temperatures)
        imitated = teacher_logits.argmax(1)
        finished = self._run(step, graph, labels, device, self.warmup_iter, imitated)
        self.temperatures_ = to_numpy(step.temperatures)
        return finished

    def _make_loss(self, labels, device):
        """``loss(logits, targets)`` of the student."""
        nodes, codes = labels.tensors("train", device=device)
        return partial(
            distillation_loss,
            train_nodes=nodes,
            train_y=codes,
            label_weight=self.label_weight,
            class_weight=self._class_weights(labels, "train", device),
        )

    def _class_weights(self, labels, role, device):
        if self.class_weight is None:
            return labels.weights(role, device=device)
        _, codes = labels.tensors("train", device=device)
        return class_weights(self.class_weight, self.classes_, codes, device)

    def _temperature_optimizer(self, network):
        """None if the network stays at its random start: nothing is to be differentiated."""
        rate = self.temperature_learning_rate
        return TensorAdam(network.parameters(), rate) if rate else None

    def _fixed_temperatures(self, teacher_logits, tensors):
        if self.temperature is not None:
            return teacher_logits.new_full((len(teacher_logits),), self.temperature)
        return heuristic_temperatures(
            teacher_logits, tensors.neighbor_mean, self.heuristic_weights, self.temperature_scale
        )

    def _check_parameters(self):
        check_teacher(self.teacher)
        if self._learns and self.batch_size is not None:
            raise ValueError(
                "learned temperatures are judged on the whole graph, which "
                f"batch_size={self.batch_size} does not see. Set scalable=True or "
                "temperature=1.0, or batch_size=None."
            )
        unknown = set(self.temperature_features) - set(TEMPERATURE_FEATURES)
        if unknown or not len(self.temperature_features):
            raise ValueError(
                f"temperature_features must name at least one of {TEMPERATURE_FEATURES}, got "
                f"{self.temperature_features!r}."
            )
        try:
            weights = np.asarray(self.heuristic_weights, dtype=float)
        except (TypeError, ValueError):
            weights = np.array([])
        if weights.shape != (3,) or not np.isfinite(weights).all():
            raise ValueError(
                "heuristic_weights must be three finite numbers (mu, nu, gamma), got "
                f"{self.heuristic_weights!r}."
            )
        if self.temperature is not None and not np.isfinite(self.temperature):
            raise ValueError(f"temperature must be finite, got {self.temperature}. Try 1.0.")
        if self.temperature is not None and abs(self.temperature) < SMALLEST_TEMPERATURE:
            raise ValueError(
                f"temperature must be at least {SMALLEST_TEMPERATURE} in absolute value, as logits "
                f"are divided by it, got {self.temperature}. Try 1.0."
            )
        if self._learns and self.temperature_fraction + self.validation_fraction >= 1:
            raise ValueError(
                "temperature_fraction + validation_fraction must be below 1, got "
                f"{self.temperature_fraction} + {self.validation_fraction}: nothing would be left "
                "for the hard labels of the student."
            )
