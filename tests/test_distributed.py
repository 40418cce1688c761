"""Training in a torch process group of two processes, started by torchrun."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torchrun_script as script

from sklearn_ltd import _base, _distributed
from sklearn_ltd._sampling import shuffled
from sklearn_ltd.datasets import make_attributed_sbm


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    data = make_attributed_sbm(n_nodes=400, n_classes=3, n_features=12, random_state=0)
    data.graph.save(folder / "graph")
    np.save(folder / "y.npy", data.y)
    return folder


def torchrun(folder, what):
    """Run the script in two processes; the finished job with its output."""
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [sys.executable, *command, script.__file__, folder, what],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
    )


@pytest.fixture(scope="module")
def dead(folder):
    """A job whose second rank dies in the third epoch of the student."""
    job = torchrun(folder, "dies")
    shutil.copytree(folder / "checkpoint", folder / "copy")
    return job


@pytest.fixture(scope="module")
def ranks(folder, dead):
    """Results of the two ranks of the next job: of a resumed and of an undisturbed fit."""
    done = torchrun(folder, "lives")
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_a_dead_rank_ends_the_job_with_an_error(dead, folder):
    assert dead.returncode != 0
    assert "Signal 9 (SIGKILL) received" in dead.stderr
    assert (folder / "checkpoint" / "teacher" / "fit.npz").exists()


def test_all_ranks_end_with_the_same_parameters(ranks):
    assert ranks[0]["plain"] == ranks[1]["plain"]


def test_a_resumed_job_equals_an_undisturbed_one(ranks):
    assert ranks[0]["resumed"] == ranks[0]["plain"]
    assert ranks[1]["resumed"] == ranks[1]["plain"]


def test_one_process_resumes_what_two_began(folder, ranks):
    resumed = script.fit(script.make(folder / "copy"), folder)["history"]
    assert len(resumed) == 6
    assert resumed[:2] == ranks[0]["plain"]["history"][:2]
    assert resumed[2:] != ranks[0]["plain"]["history"][2:]


def test_accuracy_is_that_of_one_process(folder, ranks):
    single = script.fit(script.make(), folder)
    assert ranks[0]["plain"]["score"] == pytest.approx(single["score"], abs=0.05)
    assert ranks[0]["plain"]["state"] != single["state"]


def test_the_shares_of_the_ranks_make_up_the_batch(monkeypatch):
    whole = shuffled(25, 10, np.random.RandomState(0))
    monkeypatch.setattr(_distributed, "n_ranks", lambda: 3)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(_distributed, "rank", lambda rank=rank: rank)
        shares.append(shuffled(25, 10, np.random.RandomState(0)))
    for part, *pieces in zip(whole, *shares, strict=True):
        assert sorted(np.concatenate(pieces)) == sorted(part)
        assert min(map(len, pieces)) >= 1


def test_a_process_group_needs_a_random_state(folder, monkeypatch):
    monkeypatch.setattr(_base, "n_ranks", lambda: 2)
    with pytest.raises(ValueError, match=r"group of 2 ranks needs a random_state.*random_state=0"):
        script.fit(script.make().set_params(random_state=None), folder)
