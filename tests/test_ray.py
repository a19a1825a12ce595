"""Trials on a cluster of Ray, two nodes of it on this machine: the same search as without it, whatever dies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ray = pytest.importorskip("ray")

from ray.cluster_utils import Cluster as Nodes  # noqa: E402

from kerasdl.errors import UserError  # noqa: E402
from kerasdl.tuning import Search, choice, engine, pool, ray_cluster, uniform  # noqa: E402
from kerasdl.tuning.engine import tune  # noqa: E402
from kerasdl.tuning.study import Study  # noqa: E402

HERE = Path(__file__).parent
SEARCH = Search(recipe="mlp_digits", oracle="bayesian", trials=8, stop_early=False,
                space={"lr": choice(1e-3, 1e-2, 1e-1), "model_args.drop": uniform(0, 0.5)})


@pytest.fixture(scope="module")
def nodes():
    """A head without CPUs, and two nodes of two CPUs each, of which a test may kill one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        found = Nodes(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(2):
            found.add_node(num_cpus=2)
        ray.init(found.address, log_to_driver=False, logging_level="ERROR")
        yield found
        ray.shutdown()
        found.shutdown()


@pytest.fixture
def quick(nodes, tmp_path, monkeypatch):
    """Trials that take no time and do wrong what `faults` says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pool, "COMMAND", (sys.executable, os.fspath(HERE / "tuning_child.py")))
    monkeypatch.setattr(engine, "POLL", 0.02)

    def run(folder="study", faults=None, workers=1, **options):
        Path(folder).mkdir(exist_ok=True)
        (Path(folder) / "faults.json").write_text(json.dumps(faults or {}))
        return tune(SEARCH, folder, workers, verbose=False, **options)

    return run


def outcomes(study):
    return [(record.id, record.status, record.values, record.score) for record in study.records()]


def driving(nodes, workers, faults):
    """Start a process that runs the search in the folder `study`."""
    program = f"""if True:
        import sys
        sys.path.insert(0, {os.fspath(HERE)!r})
        from kerasdl.tuning import pool
        pool.COMMAND = (sys.executable, {os.fspath(HERE / "tuning_child.py")!r})
        from test_ray import SEARCH, tune
        tune(SEARCH, "study", {workers}, verbose=False, ray={nodes.address!r})
    """
    Path("study").mkdir()
    Path("study/faults.json").write_text(json.dumps(faults))
    return subprocess.Popen([sys.executable, "-c", program])


@pytest.mark.parametrize("shared", [pytest.param(True, marks=pytest.mark.soak, id="shared folder"),
                                    pytest.param(False, id="object store")])
def test_the_same_trials_and_scores_as_here(quick, shared, monkeypatch):
    monkeypatch.setattr(ray_cluster, "SHARED", shared)
    faults = {"0002": "mistake"} if shared else None  # which a node with a folder of its own does not see
    here, there = quick("here", faults), quick("there", faults, ray="auto")
    assert outcomes(there) == outcomes(here) and len(outcomes(here)) == 8
    assert not list(Path("there").rglob("shared-*"))


@pytest.mark.soak
def test_workers_share_the_cluster(quick, nodes):
    cluster = ray_cluster.Cluster("auto", 2)
    assert cluster.cpus == 2 and len({record[0] for record in outcomes(quick(workers=3, ray="auto"))}) == 8


@pytest.mark.soak
def test_a_node_that_dies_gives_its_trials_back(quick, nodes):
    """The search waits in its first two trials, a node is killed, and all trials are there in the end, once each."""
    driver = driving(nodes, 2, {"0000": "wait", "0001": "wait"})
    ledger = Path("study/ledger")
    until(lambda: ledger.exists() and len(ledger.read_text().split()) == 2)
    nodes.remove_node(sorted(nodes.worker_nodes, key=str)[0], allow_graceful=False)
    until(lambda: sum(node["Alive"] for node in ray.nodes()) == 2)
    Path("study/go").touch()  # the node that is left ends its own trial, and then has the other one
    assert driver.wait(120) == 0
    study = Study.open("study")
    assert [record.status for record in study.records()] == ["completed"] * 8
    assert len(ledger.read_text().split()) == 9
    nodes.add_node(num_cpus=2)


@pytest.mark.soak
def test_a_driver_that_is_killed_resumes(quick, nodes):
    driver = driving(nodes, 1, {"0003": "wait"})
    ledger = Path("study/ledger")
    until(lambda: ledger.exists() and "0003" in ledger.read_text())
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    study = quick(ray="auto")
    assert outcomes(study) == outcomes(quick("here"))
    assert ledger.read_text().split() == sorted([f"{number:04}" for number in range(8)] + ["0003"])


def test_no_cluster_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(UserError, match=r"no Ray cluster at '127.0.0.1:1'.*ray start --head"):
        ray_cluster.Cluster("127.0.0.1:1")


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
