"""Every kind of model in every format: docs/results/export.json, and the table of docs/lab/export.md.

    python -m benchmarks.exports FOLDER            FOLDER has mnist1d.npz (benchmarks.sequences_data) and rt_polarity/
    python -m benchmarks.exports FOLDER cnn gru    some of the models

A model is trained once and kept in runs/exports. A file is made as `kerasdl export` makes it, gate and all; then it
reads the test split, once. A cell without numbers has the reason instead. The table is scikit-learn's wine, which is
written into FOLDER.
"""

import argparse
import json
import os
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

from sklearn.datasets import load_wine

from benchmarks.harness import RESULTS, ROOT, write_json
from kerasdl import objectives
from kerasdl.deploy import exporting, formats, measure, network
from kerasdl.environment import environment
from kerasdl.errors import UserError
from kerasdl.evaluation.splits import load_split
from kerasdl.published.reproduce import once
from kerasdl.published.results import machines
from kerasdl.recipe import Recipe, load
from kerasdl.run import Run
from kerasdl.zoo import weights

NAME = "export"
RUNS = ROOT / "runs" / "exports"
TABLE = "wine.csv"
FEW: dict[str, Any] = {"batch": 64, "lr": 3e-3, "schedule": "cosine", "warmup": "10%"}
SMALL: dict[str, Any] = {"data": "digits", "epochs": 30, **FEW}
TEXTS: dict[str, Any] = {"model": "transformer", "epochs": 1, **FEW}
MODELS = {  # row -> recipe
    **{name: load(f"{name}_digits") for name in ("linear", "mlp", "cnn", "resnet", "vit", "cell", "stages",
                                                  "residual_mlp")},
    **{name: Recipe(name=f"{name}_small", model=name, model_args={"size": "mu"}, **SMALL)
       for name in ("alexnet", "vgg", "inception", "mobilenet", "cct")},
    "convnext": Recipe(name="convnext_small", model="convnext", model_args={"size": "mu", "patch": 2}, **SMALL),
    "table": load("mlp_csv").override(data=f"csv:{TABLE}", data_args={"label": "target"}),
    "simple RNN": load("gru_mnist1d").override(name="simple_mnist1d", model_args={"cell": "simple"}),
    "gru": load("gru_mnist1d"), "lstm": load("lstm_mnist1d"), "conv1d": load("cnn_mnist1d"),
    **{row: load(name).override(epochs=4) for row, name in (("transformer", "transformer_mnist1d"), ("text CNN",
        "textcnn_rt"), ("GRU of words", "gru_rt"))},
    "BERT": Recipe(name="bert_small", data="text:rt_polarity", data_args={"encoding": "latin-1", "length": 64},
                   model_args={"size": "XS", "norm": "post", "types": 2, "longest": 512}, **TEXTS),
    "language model": Recipe(name="language_small", data="chars:rt_polarity/rt-polarity.neg", objective="language",
                             data_args={"encoding": "latin-1", "length": 64}, model_args={"size": "XS"}, **TEXTS),
    "generator": load("gan_digits").override(epochs=20),
    "conditional generator": load("gan_digits").override(name="cgan_digits", epochs=20,
                                                         model_args={"conditional": True}),
}


def kinds(form: str) -> list[str | None]:
    """The ways of a format, also of one whose packages are missing: its cells say so."""
    return [None, *import_module(f"{formats.__name__}.{form}").QUANTIZED]


def cell(run: Run, form: str, kind: str | None) -> dict[str, Any]:
    """What one file is like, or why there is none."""
    out = run.path / "export" / "cell"
    shutil.rmtree(out, ignore_errors=True)
    try:
        facts = exporting.export(run, form, quantize=kind, out=out)
    except UserError as error:
        return {"refused": str(error).replace(str(run.path), "the run")}
    found = {key: facts[key] for key in ("difference", "bytes", "latency", "scores", "packages")}
    objective = objectives.of(run.recipe, run.path)
    if objective.target and not network.is_generator(objective):
        objective.bind(run.model())
        x, y = network.examples_of(objective, load_split(run, "test"))
        call = formats.find(form).load(str(out / facts["file"]), os.cpu_count() or 1)
        after = exporting.scores_of(objective, y, measure.in_batches(call, x))
        found["test"] = {"name": objective.monitor, "keras": run.result["test"][objective.monitor],
                         "file": after[objective.monitor]}
    return found


def weights_cell(run: Run) -> dict[str, Any]:
    """What the file of weights in the names of another library is like, or why there is none."""
    file, network = run.path / "export" / "cell.safetensors", run.model()
    file.parent.mkdir(exist_ok=True)
    try:
        header = weights.save(network, file, run.recipe.model)
        return {key: value for key, value in exporting.read_back(network, file, header).items() if key != "sha256"}
    except (ValueError, UserError) as error:
        return {"refused": " ".join(str(error).split())}


def body(found: dict[str, Any]) -> str:
    """The table of docs/lab/export.md."""
    if not found:
        return "not run\n"
    lines = ["| model | format | bits | largest difference | test score of Keras | of the file | KB | "
             "Keras' time by the file's, batch of 1 | of 32 |",
             "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for model, cells in found["models"].items():
        for one in cells:
            head = f"| {model} | {one['format']} | {one['quantize'] or 'float32'} "
            if "refused" in one:
                lines.append(f"{head}| {one['refused'].removeprefix('No file was written: ')} | | | | | |")
                continue
            test = one.get("test")
            scores = f"{test['keras']:.4f} | {test['file']:.4f}" if test else " | "
            ratios = " | ".join(f"{one['latency'][str(batch)]['ratio']:.1f}" if "latency" in one else ""
                                for batch in measure.TIMED)
            lines.append(f"{head}| {one['difference']:.1e} | {scores} | {one['bytes'] / 1000:,.0f} | {ratios} |")
    missing = [name for name in MODELS if name not in found["models"]]
    lines += ["", f"Not run yet: {', '.join(missing)}."] if missing else []
    where = machines({model: [{"environment": facts}] for model, facts in found["environments"].items()})
    of = {line: f": {', '.join(names)}" * (len(where) > 1) for line, names in where.items()}
    return "\n".join([*lines, "", *(f"Measured on {line}{names}.\n" for line, names in of.items())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", default=list(MODELS), metavar="MODEL")
    asked = parser.parse_args()
    os.chdir(asked.folder)  # where the recipes look for their data
    if not Path(TABLE).is_file():
        load_wine(as_frame=True).frame.to_csv(TABLE, index=False)
    path = RESULTS / f"{NAME}.json"
    found = json.loads(path.read_text()) if path.exists() else {"models": {}, "environments": {}}
    for model in asked.models:
        run = once(MODELS[model], RUNS / model.replace(" ", "-"), verbose=False)
        cells = [{"format": "safetensors", "quantize": None, **weights_cell(run)}]
        for form in formats.names():
            for kind in kinds(form):
                cells.append({"format": form, "quantize": kind, **cell(run, form, kind)})
                print(model, form, kind, cells[-1].get("refused") or f"{cells[-1]['difference']:.1e}", flush=True)
                kept = {**found["models"], model: cells}
                found = {"models": {name: kept[name] for name in MODELS if name in kept},
                         "environments": {**found["environments"], model: environment()}}
                write_json(path, found)


if __name__ == "__main__":
    main()
