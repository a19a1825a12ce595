"""docs/benchmarks.md and its chart from docs/results/bench*.json, for docs/make_results.py. No number by hand."""

import json
from pathlib import Path

from benchmarks import rows as workloads
from benchmarks import timeline
from benchmarks.loading import JOBS

OPPONENTS = {"keras_script": "Keras script", "keras_hub": "keras-hub", "torch_eager": "PyTorch eager",
             "torch_compiled": "PyTorch compiled", "keras_jax": "Keras on JAX"}
ROWS = {"linear": "linear", "mlp": "MLP 784-512-10", "cnn": "textbook CNN", "airbench": "airbench-size CNN",
        "resnet18": "ResNet-18, 32x32", "vit": "ViT-Ti/4, 32x32"}
PRECISIONS = {"float32": "float32", "mixed_bfloat16": "bfloat16"}
# Ratios that were aimed at in float32: beside the Keras script, and beside the faster PyTorch.
AIMS = {"linear": (8, 3), "mlp": (3, 2), "cnn": (1.5, 1.5), "airbench": (1.4, 1.1), "resnet18": (1.4, 1),
        "vit": (1.4, 1)}
PICTURE = "images/bench.svg"
NOT_RUN = "not run\n"


def load(folder: Path, name: str) -> list[dict]:
    file = folder / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else []


def body(folder: Path) -> str:
    """Return what stands between the markers of docs/benchmarks.md: a chart, a table, and the rest folded."""
    rows = load(folder, "bench")
    chart = f"![Ratio of images per second, ours to each opponent's]({PICTURE})\n\n"
    parts = ["## Training speed\n", chart + ratios(rows, absent(rows)) if rows else NOT_RUN]
    for title, name, section in (("Every measurement of the chart", "bench", speeds),
                                 ("Without AVX-512", "bench_avx2", older),
                                 ("The least that a step can take", "bench_floor", lambda found: floors(found, rows)),
                                 ("From return to prompt", "bench_startup", startups),
                                 ("Time to accuracy", "bench_accuracy", races),
                                 ("Fixed cost of an epoch, and cost of an example", "bench_scaling", growth),
                                 ("Two replicas on one CPU", "bench_replicas", replicas),
                                 ("Reading a folder of JPEGs", "bench_images", images),
                                 ("Loading tables and images, and looking for leaks", "bench_loading", loading),
                                 ("A GAN", "bench_gan", gans),
                                 ("A search", "bench_tuning_speed bench_tuning_memory", searches),
                                 ("A search, against Optuna and PyTorch", "bench_search_race", search_races)):
        found = [row for file in name.split() for row in load(folder, file)]
        parts.append(folded(title, section(found) if found else NOT_RUN))
    return "\n".join(parts)


def folded(title: str, text: str) -> str:
    """A block that a reader opens, on the site and on GitHub."""
    return f'<details markdown="1">\n<summary>{title}</summary>\n\n{text.strip()}\n\n</details>\n'


STARTUP = """Wall time of a whole command in a fresh process, next to that of `import tensorflow, keras` alone. The
first run has an empty cache of compiled programs, the second what the first left there. The ratio is that to the import
and the training together, as `result.json` has the latter; both runs write their report.
"""


def startups(rows: list[dict]) -> str:
    head = ("command", "run", "seconds", "import alone, s", "training, s", "of it the first step, s", "ratio")
    lines, phases = [], []
    for row in rows:
        for run in ("first", "second"):
            said = row[run]
            low, high = said["spread"]
            lines.append((f"`{timeline.label(row)}`", run, f"{said['seconds']:.1f} ({low:.1f} to {high:.1f})",
                          f"{row['import']['seconds']:.1f}", number(said.get("training"), 1),
                          number(said.get("first_step"), 1), f"{said['ratio']:.2f}"))
            if "phases" in said:
                seconds = [f"{value:.2f}" for value in said["phases"].values()]
                phases.append((f"`{timeline.label(row)}`, {run}", *seconds))
    names = next((list(row["first"]["phases"]) for row in rows if "phases" in row["first"]), [])
    parts = f"\nSeconds by phase, of the run in the middle:\n\n{table(('run', *names), phases)}" if phases else ""
    picture = f"![Seconds from return to prompt, by what they are spent on]({timeline.PICTURE})\n\n" * bool(phases)
    few = "".join(f"\nOf `{row['name']}` the first step is what counts: the whole command is `{row['command']}`.\n"
                  for row in rows if timeline.label(row) != row["command"])
    return f"{STARTUP}\n{picture}{table(head, lines)}{few}{parts}\n{machines(rows)}"


RACES = """"The same work" trains that network at a constant rate until it reaches the accuracy, as the opponents do.
"The recipe, short" is the recipe with its own schedule, augmentation and averaging, in as few epochs as suffice on
validation data. Medians of fresh processes with a seed each, which find what earlier ones have kept: compiled programs,
decoded images. How many epochs it takes is chance, too.
"""
WAYS = {"ours": "the same work", "recipe": "the recipe, short"}


def ratios(rows: list[dict], remark: str) -> str:
    """A line for each network, a column for each opponent; a remark below."""
    opponents = [name for name in OPPONENTS if any(row["opponent"] == name for row in rows)]
    cells = {(row["row"], row["precision"], row["opponent"]): times(row) for row in rows}
    lines = [(ROWS[name], PRECISIONS[precision], *(cells.get((name, precision, other), "") for other in opponents))
             for name, precision in dict.fromkeys((row["row"], row["precision"]) for row in rows)]
    lost = sum(1 for row in rows if row["ratio"] and row["ratio"] < 1)
    head = ("row", "precision", *(OPPONENTS[name] for name in opponents))
    return ("Images per second of kerasdl divided by those of the opponent: above 1, kerasdl is faster. "
            f"kerasdl loses {lost} of {len(rows)} comparisons.\n\n{table(head, lines)}\n{remark}{machines(rows)}")


def remarks(rows: list[dict]) -> str:
    """What has to be known of how rows were measured, each remark once."""
    return "".join(f"{remark}\n\n" for remark in dict.fromkeys(row["remark"] for row in rows if "remark" in row))


def older(rows: list[dict]) -> str:
    """The same with the instructions of an older processor."""
    return ("oneDNN, XLA, MKL, OpenBLAS and PyTorch are asked to do without AVX-512, which many processors lack.\n\n"
            + ratios(rows, remarks(rows)))


def speeds(rows: list[dict]) -> str:
    head = ("row", "precision", "opponent", "ratio", "target ratio", "ours, images/s", "theirs, images/s",
            "of GEMM peak", "peak memory, MB, ours / theirs", "first step, s, ours / theirs",
            "whole run, s, ours / theirs")
    lines = [(ROWS[row["row"]], PRECISIONS[row["precision"]], OPPONENTS[row["opponent"]],
              times(row), aim(row), spread(row, "ours"), spread(row, "opponent"),
              percent(row.get("ours_fraction_of_gemm_peak")), pair(row, "peak_mb", 0),
              pair(row, "first_step_seconds", 1), pair(row, "total_seconds", 1)) for row in rows]
    return (f"Medians of {counts(rows)} fresh processes; in brackets the slowest and the fastest.\n\n"
            f"{table(head, lines)}\n{peaks(rows)}")


def aim(row: dict) -> str:
    """Return the target ratio, where there is one."""
    sides = {"keras_script": 0, "torch_eager": 1, "torch_compiled": 1}
    if row["precision"] != "float32" or row["opponent"] not in sides:
        return ""
    return f"{AIMS[row['row']][sides[row['opponent']]]:g}"


def floors(found: list[dict], rows: list[dict]) -> str:
    """Return the speed of TensorFlow's kernels alone, next to ours and to the target ratios."""
    if not found:
        return ""
    what = {"loop": "a bare loop in one XLA call, plain SGD, no metrics",
            "convolutions": "the convolutions and their gradients alone",
            "products": "the matrix products and their gradients alone"}
    head = ("row", "only", "images/s", "ours, images/s", "ours, share of it", "its ratio to the Keras script (target)",
            "its ratio to the faster PyTorch (target)")
    lines = []
    steps = [row for row in found if "row" in row]
    for row in steps:
        beside = [entry for entry in rows if (entry["row"], entry["precision"]) == (row["row"], row["precision"])]
        ours = max((entry["ours_images_per_second"] or 0 for entry in beside), default=None)
        least = row["images_per_second"]
        lines.append((ROWS[row["row"]], what[row["what"]], number(least), number(ours), percent(ours and ours / least),
                      *(possible(least, beside, who, goal) for who, goal in
                        zip(("keras_script", "torch"), AIMS[row["row"]], strict=True))))
    memory = " and ".join(f"{number(row['peak_mb'])} MB for {row['library']}" for row in found if "library" in row)
    return f"{table(head, lines)}\n" + f"Importing alone takes {memory}.\n" * bool(memory) + machines(steps)


def possible(least: float, beside: list[dict], who: str, goal: float) -> str:
    """Return the ratio that a step of nothing but its kernels would have, and the target."""
    theirs = max((entry["opponent_images_per_second"] or 0 for entry in beside if entry["opponent"].startswith(who)),
                 default=0)
    return f"{least / theirs:.2f} ({goal:g})" if theirs else "none"


def absent(rows: list[dict]) -> str:
    """The comparisons of which there is no line: opponents of a network, and precisions."""
    there = {(row["row"], row["opponent"]) for row in rows if row["precision"] == "float32"}
    missing = {ROWS[name]: [OPPONENTS[who] for who in row.opponents if (name, who) not in there]
               for name, row in workloads.ROWS.items()}
    precisions = {row["precision"] for row in rows}
    return not_run(missing, [name for value, name in PRECISIONS.items() if value not in precisions])


def not_run(missing: dict[str, list[str]], more: list[str] = ()) -> str:
    """A line that names what was left out, by network; "" where nothing was."""
    names = [f"{name} against {', '.join(who)}" for name, who in missing.items() if who] + list(more)
    return f"Not run: {'; '.join(names)}.\n\n" if names else ""


def races(rows: list[dict]) -> str:
    there = {(row["row"], row["program"], row["opponent"]) for row in rows}
    missing = {f"`{name}` ({ways})": [who for key, who in OPPONENTS.items()
                                      if key in {other for *_, other in there} and (name, way, key) not in there]
               for name in dict.fromkeys(row["row"] for row in rows) for way, ways in WAYS.items()}
    head = ("network of", "test accuracy", "ours", "opponent", "ours, s", "theirs, s", "times faster",
            "epochs, ours / theirs", "runs, ours / theirs")
    lines = [(f"`{row['row']}`", f"{row['goal']:.0%}", WAYS[row["program"]], OPPONENTS[row["opponent"]],
              spread(row, "ours", "seconds"), spread(row, "opponent", "seconds"), times(row), pair(row, "epochs", 0),
              f"{row['ours_repeats']} / {row['repeats']}") for row in rows]
    return f"{RACES}\n{table(head, lines)}\n{remarks(rows)}{not_run(missing)}{machines(rows)}"


def growth(rows: list[dict]) -> str:
    head = ("program", "row", "fixed, ms an epoch", "µs an example", "largest deviation from the line",
            "peak memory, MB, with the most examples")
    return table(head, [("ours" if row["program"] == "ours" else OPPONENTS[row["program"]], ROWS[row["row"]],
                         f"{row['a_ms']:.1f}", f"{row['b_us']:.2f}", percent(row["residual"]),
                         number(row["points"][-1]["peak_mb"])) for row in rows]) + "\n" + machines(rows)


def replicas(rows: list[dict]) -> str:
    head = ("recipe", "one device, images/s", "two replicas, images/s", "ratio", "seconds of training, two to one")
    return table(head, [(f"`{row['recipe']}`", number(row["images_per_second_1"]), number(row["images_per_second_2"]),
                         row.get("error") or f"{row['ratio_images_per_second']:.2f}",
                         f"{row['ratio_seconds']:.2f}" if row["ratio_seconds"] else "") for row in rows]) + \
        "\nThe shipped recipes, both sides without XLA, which replicas cannot use.\n" + machines(rows)


def images(rows: list[dict]) -> str:
    names = {"kerasdl": "kerasdl, decoding on the fly", "keras": "`keras.utils.image_dataset_from_directory`",
             "torch_0": "PyTorch's DataLoader, PIL, no workers",
             "torch_2": "PyTorch's DataLoader, PIL, 2 workers (memory of the parent only)"}
    head = ("pipeline", "images/s", "images/s a core", "peak memory, MB")
    return table(head, [(names[row["program"]], row.get("error") or number(row["images_per_second"]),
                         number(row["images_per_second_a_core"]), number(row["peak_mb"])) for row in rows]) + \
        "\n" + machines(rows)


def loading(rows: list[dict]) -> str:
    head = ("data", "by", "seconds", "peak memory, MB", "looking for leaks, s", "share of loading", "remarks")
    lines = []
    for row in rows:
        seconds = row.get("error") or f"{row['seconds']:.1f} ({row['spread'][0]:.1f}-{row['spread'][1]:.1f})"
        leaks = ("", "", "") if row["leaks_seconds"] is None else (
            f"{row['leaks_seconds']:.2f}", percent(row["leaks_share"]), str(len(row["remarks"])))
        lines.append((JOBS[row["job"]], row["program"], seconds, number(row["peak_mb"]), *leaks))
    return (f"Medians of {counts(rows)} fresh processes, which take turns; in brackets the fastest and the slowest.\n\n"
            f"{table(head, lines)}\n{machines(rows)}")


def tuning(folder: Path) -> str:
    """What stands between the markers of docs/tuning.md."""
    found = load(folder, "bench_tuning")
    if not found:
        return NOT_RUN
    oracles = list(dict.fromkeys(row["oracle"] for row in found))
    rows = {(row["surface"], row["oracle"]): regret(row) for row in found}
    lines = [(surface, *(rows.get((surface, oracle), "not run") for oracle in oracles))
             for surface in dict.fromkeys(row["surface"] for row in found)]
    head = (f"best of {found[0]['trials']} trials less the best there is", *oracles)
    return f"Medians, in brackets the quartiles.\n\n{table(head, lines)}\n{machines(found)}"


def regret(row: dict) -> str:
    low, high = row["quartiles"]
    return f"{row['median']:.2g} ({low:.2g} to {high:.2g}; {row['seeds']} seeds)"


def gans(rows: list[dict]) -> str:
    names = OPPONENTS | {"keras_loop": "keras.io's loop"}
    head = ("opponent", "ours, steps/s", "theirs, steps/s", "ratio", "peak memory, MB, ours / theirs",
            "first step, s, ours / theirs")
    lines = [(names[row["opponent"]], number(row["ours_steps_per_second"], 1),
              number(row["opponent_steps_per_second"], 1), times(row), pair(row, "peak_mb", 0),
              pair(row, "first_step_seconds", 1)) for row in rows]
    return (f"A DCGAN of 28x28 images, batches of {rows[0]['batch']}, the non-saturating loss, Adam, float32; ours "
            f"also averages the generator. Medians of {counts(rows)} fresh processes.\n\n"
            f"{table(head, lines)}\n{machines(rows)}")


def searches(rows: list[dict]) -> str:
    head = ("search", "trials", "kerasdl, two workers, s", "keras-tuner's own, s", "times faster",
            "best val accuracy, ours / theirs")
    memory = [f"Over {row['trials']} tiny trials, the memory of the searching process changed by "
              f"{row['spread_mb']} MB.\n"
              for row in rows if row["what"] == "memory"]
    rows = [row for row in rows if row["what"] == "speed"]
    notes = ("One run each, with the same number of epochs. kerasdl averages the weights, as the recipe says, and\n"
             "runs two trials at a time on the two cores; keras-tuner does neither. The trials differ after the first\n"
             "few. One of the 180 validation images is 0.0056.\n")
    return table(head, [(f"`{row['search']}`", row["ours"]["trials"], number(row["ours"]["wall_seconds"]),
                         number(row["theirs"]["wall_seconds"]), f"{row['times_faster']:.2f}",
                         f"{row['ours']['best']:.4f} / {row['theirs']['best']:.4f}") for row in rows]) + \
        "\n" + "".join([notes, *memory]) + machines(rows)


def search_races(rows: list[dict]) -> str:
    head = ("program", "seconds, imports and all", "trials a minute", "its time by ours", "best val accuracy, %",
            "peak MB")
    lines = [(row["program"], f"{row['seconds']:.1f} ({row['spread'][0]:.1f}-{row['spread'][1]:.1f})",
              number(60 * row["trials"] / row["seconds"]), f"{row['ratio']:.2f}",
              ", ".join(f"{100 * one:.1f}" for one in row["best"]), number(row["peak_mb"])) for row in rows]
    notes = (f"A random search of {rows[0]['trials']} trainings of `mlp_digits`, on two cores; medians of "
             f"{rows[0]['repeats']}. Ours has two workers and leaves a folder with a run for each trial, with\n"
             "which a killed search is resumed; Optuna calls a PyTorch function in one process, and keeps nothing.\n")
    return table(head, lines) + "\n" + notes + machines(rows)


def number(value: float | None, digits: int = 0) -> str:
    if value is None:
        return "none"
    return f"{float(f'{value:.3g}'):,.0f}" if not digits else f"{value:,.{digits}f}"


def percent(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}"


def pair(row: dict, key: str, digits: int) -> str:
    return " / ".join(number(row.get(f"{who}_{key}"), digits) for who in ("ours", "opponent"))


def spread(row: dict, who: str, key: str = "images_per_second") -> str:
    """The median and, in brackets, the least and the largest."""
    digits = 1 if key == "seconds" else 0
    ends = "-".join(number(end, digits) for end in row.get(f"{who}_spread") or ())
    return f"{number(row.get(f'{who}_{key}'), digits)}{f' ({ends})' if ends else ''}"


def times(row: dict) -> str:
    return f"failed: {row['error']}" if row.get("error") else f"{row['ratio']:.2f}"


def counts(rows: list[dict]) -> str:
    found = sorted({row["repeats"] for row in rows})
    return " to ".join(map(str, {found[0]: 0, found[-1]: 0}))


def peaks(rows: list[dict]) -> str:
    """Return a line for each precision; a share in the table is of the product measured around its own row."""
    said = ""
    for value, name in PRECISIONS.items():
        found = [peak for row in rows if row["precision"] == value and (peak := row["environment"].get("gemm_peak"))]
        if found:
            speeds = [peak["gflops"] for peak in found]
            ends = dict.fromkeys((number(min(speeds)), number(max(speeds))))  # one, where they do not differ
            sizes = {peak["library"]: sorted({each["n"] for each in found if each["library"] == peak["library"]})
                     for peak in found}
            how = " and ".join(f"{library} at n = {' or '.join(map(str, n))}" for library, n in sizes.items())
            said += f"Best matrix product in {name}: {' to '.join(ends)} GFLOP/s, by {how}; the share in a row is of " \
                    "the one measured around it.\n"
    return said


def machines(rows: list[dict]) -> str:
    """Return the machines by name, so that nothing else about them is published, and how busy they were."""
    names = ("kerasdl", "keras", "tensorflow", "torch", "keras-hub", "jax", "python")
    lines: dict[str, list[float]] = {}
    for row in rows:
        facts = row["environment"]
        versions = ", ".join(f"{name} {facts[name]}" for name in names if name in facts)
        lines.setdefault(f"{facts['threads']} threads on {facts['cores']} cores of {facts['cpu']}; {versions}",
                         []).append(facts["load_average"][0])
    return "".join(f"\nMeasured on {line}; load average {min(loads):.1f} to {max(loads):.1f}.\n"
                   for line, loads in lines.items())


def table(head, lines) -> str:
    left = ("row", "precision", "opponent", "network of", "ours", "program", "recipe", "pipeline", "only", "search")
    rows = [head, ["---" if name in left else "---:" for name in head], *lines]
    return "".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |\n" for row in rows)


def draw(folder: Path, path: Path) -> None:
    """The ratios on a logarithmic axis, one group of dots a row, with a line where both are as fast."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    rows = [row for row in load(folder, "bench") if row["ratio"]]
    groups = list(dict.fromkeys((row["row"], row["precision"]) for row in rows))
    several = len({precision for _, precision in groups}) > 1
    with plt.rc_context({"svg.hashsalt": "kerasdl", "font.size": 9}):
        figure, axes = plt.subplots(figsize=(6, 1.2 + 0.42 * len(groups)), layout="constrained")
        for i, (name, label) in enumerate(OPPONENTS.items()):
            mine = [row for row in rows if row["opponent"] == name]
            if not mine:
                continue
            axes.scatter([row["ratio"] for row in mine], [groups.index((row["row"], row["precision"])) for row in mine],
                         label=label, marker="osD^v"[i], s=34)
        axes.axvline(1, color="black", linewidth=1)
        axes.set_xscale("log")
        ends = min(0.5, axes.get_xlim()[0]), axes.get_xlim()[1]
        axes.set_xlim(ends)
        axes.axvspan(ends[0], 1, color="tab:red", alpha=0.07, linewidth=0)
        ticks = [tick for tick in (0.2, 0.5, 1, 2, 5, 10, 20, 50) if ends[0] <= tick <= ends[1]]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_yticks(range(len(groups)), [ROWS[row] + f"\n{PRECISIONS[precision]}" * several
                                             for row, precision in groups])
        axes.invert_yaxis()
        axes.set_xlabel("our images per second divided by theirs; left of 1 we lose")
        axes.grid(axis="x", alpha=0.3)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
