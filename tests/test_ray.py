"""Trials on a cluster of Ray, two nodes of it on this machine: the same search as without it, whatever dies."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

ray = pytest.importorskip("ray")

from ray import exceptions  # noqa: E402
from ray.cluster_utils import Cluster as Nodes  # noqa: E402

from kerasdl.errors import UserError  # noqa: E402
from kerasdl.recipe import load  # noqa: E402
from kerasdl.tuning import Search, choice, engine, pool, ray_cluster, uniform  # noqa: E402
from kerasdl.tuning.engine import tune  # noqa: E402
from kerasdl.tuning.seeds import train_seeds  # noqa: E402
from kerasdl.tuning.study import Study  # noqa: E402
from kerasdl.tuning.trials import Lease  # noqa: E402

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
def test_seeds_of_a_recipe_train_on_the_cluster(quick):
    found = train_seeds(load("mlp_digits"), 3, "seeds/all", workers=2, ray="auto", verbose=False)
    assert found["seeds"] == [0, 1, 2] and len(found["scores"]["test/accuracy"]) == 3


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


def remote(tmp_path, monkeypatch, task=None):
    """Start a trial on a cluster that is none; return it, and what Ray was asked for."""
    asked = SimpleNamespace(placed=False, error=None, options={}, environment={})

    def run(folder, token, files, command, environment, limits):
        asked.environment = environment
        return "result"

    actor = SimpleNamespace(__ray_ready__=SimpleNamespace(remote=lambda: "ready"), run=SimpleNamespace(remote=run))
    runner = SimpleNamespace(options=lambda **options: asked.options.update(options) or SimpleNamespace(
        remote=lambda: actor))
    monkeypatch.setattr(ray, "wait", lambda refs, timeout: (
        refs if asked.placed and (refs == ["ready"] or asked.error) else [], []))
    monkeypatch.setattr(ray, "get", lambda ref: (_ for _ in ()).throw(asked.error))
    monkeypatch.setattr(ray, "kill", lambda actor: None)
    cluster = object.__new__(ray_cluster.Cluster)
    cluster.cpus, cluster.gpus, cluster.runner = 2, 0.25, runner
    folder = tmp_path / "trials" / "0004"
    folder.mkdir(parents=True)
    lease = Lease("0004", folder, 1, 0, task or {"recipe": {"init": ""}, "rung": None})
    return cluster.start(lease, pool.Worker(), 2**30), asked


@pytest.mark.parametrize("error, why", [
    (exceptions.NodeDiedError("its node has died"), None), (exceptions.ActorDiedError(), None),
    (exceptions.OwnerDiedError("", "", ""), None), (exceptions.OutOfMemoryError("killed\nlow on memory"), "low on"),
    (exceptions.OutOfDiskError("no space"), "OutOfDiskError"),
    (exceptions.RayTaskError("run", "Traceback\nOSError: /tmp is full", OSError()), "OSError: /tmp is full"),
    (exceptions.RayActorError(error_msg="no module kerasdl", actor_init_failed=True), "no module kerasdl")])
def test_only_a_node_that_is_lost_interrupts_a_trial(error, why, tmp_path, monkeypatch):
    """Any other error would come again, without end."""
    process, asked = remote(tmp_path, monkeypatch)
    asked.placed, asked.error = True, error
    assert process.ended and process.blocked is None
    outcome = process.outcome()
    assert outcome is None if why is None else why in outcome["why"] and outcome["again"] and outcome["attempt"] == 1


def test_a_trial_asks_for_its_share_and_does_not_age_in_the_queue(tmp_path, monkeypatch):
    process, asked = remote(tmp_path, monkeypatch)
    assert asked.options == {"num_cpus": 2, "num_gpus": 0.25, "max_concurrency": 2, "memory": 2**30}
    assert asked.environment["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    process.began = 0.0  # long ago
    assert not process.ended and process.seconds < 60
    asked.placed, process.began = True, 0.0
    assert not process.ended and process.began == 0.0


def test_a_trial_without_a_place_is_said_once_and_is_gone_when_asked_to_stop(tmp_path, monkeypatch, caplog):
    process, asked = remote(tmp_path, monkeypatch)
    process.asked_at = -1e9  # long ago
    assert not process.ended and not process.ended and process.waits
    assert caplog.text.count("Trial 0004 waits for a place") == 1
    process.ask_to_stop()
    assert process.ended and process.outcome() is None  # it was interrupted


def test_memory_that_no_node_has_is_refused(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 2.0, "memory": 2.0**33}}])
    with pytest.raises(UserError, match="No node of the cluster has .*; the most is 8192 MB.*--memory"):
        ray_cluster.Cluster("auto", 1, 2**60)


@pytest.mark.parametrize("nodes, workers, share", [
    ([(64, 0), (4, 0)], 2, (32, 0)), ([(8, 1)], 4, (2, 0.25)), ([(8, 2)], 3, (2, 0.5)), ([(16, 4)] * 4, 16, (4, 1)),
    ([(8, 1), (64, 0)], 2, (4, 0.5)), ([(2, 0)], 8, (1, 0)), ([], 2, (1, 0))])
def test_all_workers_have_a_place(nodes, workers, share):
    assert ray_cluster.shares(nodes, workers) == share


def test_a_trial_elsewhere_has_the_files_of_the_trial_that_it_begins_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home, init = tmp_path / "stüdy" / "trials", "stüdy/trials/0003"
    for name in ("0002", "0003", "0004"):
        (home / name / "checkpoint").mkdir(parents=True)
        (home / name / "model.keras").write_text(name)
    task = {"recipe": {"init": init}, "rung": {"parent": "0002"}}
    (home / "0004" / "task.json").write_text(json.dumps(task))
    seen = {}

    def process_of(self, folder, *_):
        here = json.loads((folder / "task.json").read_text())["recipe"]["init"]
        seen.update(here=here, weights=(Path(here) / "model.keras").read_text(),
                    checkpoint=(folder.parent / "0002" / "checkpoint").is_dir())
        (folder / "recipe.json").write_text(json.dumps({"init": here}, ensure_ascii=False))
        return 0

    monkeypatch.setattr(ray_cluster.Runner, "process_of", process_of)
    read = ray_cluster.read_by(home / "0004", task)
    files = ray_cluster.packed([home / "0004", *read])
    monkeypatch.chdir("/")  # where the node works
    code, back = ray_cluster.Runner().run(str(home / "0004"), "no token", files, [], {}, {"init": init})
    monkeypatch.chdir(tmp_path)
    assert code == 0 and seen["weights"] == "0003" and seen["checkpoint"] and not Path(seen["here"]).exists()
    ray_cluster.unpack(back, home)
    for name in ("recipe.json", "task.json"):  # as they would be here: the next node resumes it
        text = (home / "0004" / name).read_text()
        assert init in (json.loads(text)["recipe"] if name == "task.json" else json.loads(text))["init"]
    assert ray_cluster.read_by(home / "0004", task) == [home / "0003"]  # what it resumes is its own


def test_checkpoints_that_are_gone_where_a_trial_ran_go_here_too(tmp_path):
    there, here = tmp_path / "there", tmp_path / "here"
    for folder, names in ((there, ("0004/checkpoint/worker-0/step-8.npz", "0004/result.json")),
                          (here, ("0004/checkpoint/worker-0/step-4.npz", "0004/checkpoint/init.keras", "0004/task.json",
                                  "0003/checkpoint/step-2.npz"))):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
    ray_cluster.unpack(ray_cluster.packed([there / "0004"]), here)
    left = {path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()}
    others = {"0004/task.json", "0004/result.json", "0003/checkpoint/step-2.npz"}
    assert left == others | {"0004/checkpoint/worker-0/step-8.npz"}
    shutil.rmtree(there / "0004" / "checkpoint")  # it is finished
    ray_cluster.unpack(ray_cluster.packed([there / "0004"]), here)
    assert not (here / "0004" / "checkpoint").exists() and (here / "0003" / "checkpoint" / "step-2.npz").is_file()


def test_local_starts_ray_and_joins_none(monkeypatch):
    asked = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "nodes", list)
    monkeypatch.setattr(ray, "remote", lambda kind: kind)
    monkeypatch.setattr(ray, "init", lambda address, **_: asked.append(address))
    ray_cluster.Cluster("local")
    assert asked == ["local"]


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
