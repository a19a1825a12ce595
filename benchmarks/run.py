"""Images a second of kerasdl and of what a user would pick instead: python -m benchmarks.run, or make bench.

Writes docs/results/bench.json, a list with one entry for each row, precision and opponent. Entries of rows that are
not asked for stay as they are.
"""

import json
import os
from functools import partial

from benchmarks import arrays, harness
from benchmarks.rows import BATCH, BFLOAT16_OPPONENTS, DTYPES, ROWS, TRAINING, Row, precisions

LIBRARIES = ("tensorflow", "torch", "numpy")
SLOW_JAX_REPEATS = 3  # XLA's convolutions and attention on a processor: minutes for what others do in seconds


def gemm() -> dict[str, dict]:
    """The best of each precision: {"float32": {"gflops", "library", "n"}}."""
    best: dict[str, dict] = {}
    for library in LIBRARIES:
        for dtype, sizes in harness.call("benchmarks.gemm", library).items():
            for n, speed in sizes.items() if isinstance(sizes, dict) else ():
                if speed > best.get(dtype, {}).get("gflops", 0):
                    best[dtype] = {"gflops": speed, "library": library, "n": int(n)}
    return best


def faster(one: dict[str, dict], other: dict[str, dict]) -> dict[str, dict]:
    return {dtype: max((peaks[dtype] for peaks in (one, other) if dtype in peaks), key=lambda peak: peak["gflops"])
            for dtype in one.keys() | other.keys()}


def measure(name: str, row: Row, precision: str, opponents: list[str], repeats: int, steps: int) -> dict[str, list]:
    """What ours and each opponent said, in turn."""
    few = max(3, steps // 4) if row.slow_jax else steps
    programs = {program: partial(harness.call, f"benchmarks.{program}", name, precision,
                                 few if program == "keras_jax" else steps)
                for program in ["ours", *opponents]}
    if not (row.slow_jax and "keras_jax" in programs):
        return harness.interleaved(programs, repeats)
    said = harness.interleaved(programs, min(repeats, SLOW_JAX_REPEATS))
    del programs["keras_jax"]
    for program, more in harness.interleaved(programs, repeats - min(repeats, SLOW_JAX_REPEATS)).items():
        said[program] += more
    return said


def entry(name: str, precision: str, opponent: str, ours: list[dict], theirs: list[dict]) -> dict:
    """One entry of bench.json, but for what depends on the peak of the machine."""
    made = {"row": name, "precision": precision, "batch": BATCH, "opponent": opponent}
    failed = next((said["error"] for said in ours + theirs if "error" in said), None)
    counted = {said["parameters"] for said in ours + theirs if "parameters" in said}
    if not failed and counted != {ROWS[name].parameters}:
        failed = f"not the same network: {sorted(counted)} parameters"
    for who, said in (("ours", ours), ("opponent", theirs)):
        made[f"{who}_images_per_second"] = harness.rounded(harness.median(said, "images_per_second"), 1)
        made[f"{who}_spread"] = harness.spread(said, "images_per_second")
        made[f"{who}_peak_mb"] = harness.rounded(harness.median(said, "peak_mb"), 1)
        for key in ("first_step_seconds", "total_seconds", "accuracy", "loss"):
            made[f"{who}_{key}"] = harness.rounded(harness.median(said, key), 4)
    made["ratio"] = None if failed else harness.ratio(
        made["ours_images_per_second"], made["opponent_images_per_second"])
    return {**made, "repeats": len(theirs), **({"error": failed} if failed else {})}


def fractions(entries: list[dict], peaks: dict[str, dict]) -> None:
    """How much of the machine's best matrix product our training is, by its model's multiply-adds."""
    for made in entries:
        speed, peak = made["ours_images_per_second"], peaks.get(DTYPES[made["precision"]])
        made["ours_fraction_of_gemm_peak"] = peak and speed and round(
            speed * TRAINING * ROWS[made["row"]].macs / (1e9 * peak["gflops"]), 4)
        made["environment"]["gemm_peak"] = peak


def main() -> None:
    parser = harness.parser(__doc__.partition("\n")[0], "bench.json", repeats=5)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--precisions", nargs="+", choices=DTYPES, default=precisions())
    parser.add_argument("--opponents", nargs="+", help="only these, such as torch_eager")
    parser.add_argument("--older", choices=harness.OLDER, help="with the instructions of an older processor, as far as "
                                                               "libraries can be asked; writes bench_avx2.json")
    options = parser.parse_args()
    if options.older:
        os.environ.update(harness.OLDER[options.older])
        options.precisions = precisions()
        options.out = options.out.with_name(f"bench_{options.older}.json")
    repeats = min(options.repeats, 2) if options.quick else options.repeats
    harness.pin()
    for data in {ROWS[name].data for name in options.rows}:
        arrays.load(data, "test", 1)
    before, entries = gemm(), []
    print(f"best matrix products: {before}")
    for name in options.rows:
        for precision in options.precisions:
            row = ROWS[name]
            opponents = [who for who in (row.opponents if precision == "float32" else BFLOAT16_OPPONENTS)
                         if who in (options.opponents or row.opponents)]
            print(f"{name}, {precision}", flush=True)
            steps = max(4, row.steps // 8) if options.quick else row.steps
            around = harness.surroundings()
            said = measure(name, row, precision, opponents, repeats, steps)
            entries += [{**entry(name, precision, who, said["ours"], said[who]), "environment": dict(around)}
                        for who in opponents]
    fractions(entries, faster(before, gemm()))
    harness.save(options.out, merged(options.out, entries))
    print(f"wrote {options.out}; make the page with: make results")


def merged(path, entries: list[dict]) -> list[dict]:
    """The entries, and those on file that they do not replace, in the order of the rows."""
    def key(made):
        return made["row"], made["precision"], made["opponent"]

    old = json.loads(path.read_text()) if path.exists() else []
    new = {key(made): made for made in old + entries}
    return sorted(new.values(), key=lambda made: (list(ROWS).index(made["row"]), list(DTYPES).index(made["precision"]),
                                                  ROWS[made["row"]].opponents.index(made["opponent"])))


if __name__ == "__main__":
    main()
