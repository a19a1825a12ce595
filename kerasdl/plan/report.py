"""A plan as text."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def show(console: Console, made: dict[str, Any]) -> None:
    """Print the whole plan."""
    if made["on"] == "cpu":
        console.print(f"{made['recipe']} on this CPU, batch {made['batch']}: {made['label']}", soft_wrap=True)
        head = ["what", "milliseconds", "measured / this"]
        rows: list[tuple[str, ...]] = [(name, f"{1000 * seconds:.3g}", f"{made['measured_seconds'] / seconds:.2f}")
                for name, seconds in (made["bounds"] | {"measured": made["measured_seconds"]}).items()]
    else:
        for name, value in facts(made):
            console.print(f"{name:23}{value}", soft_wrap=True)
        console.print(f"\nThe same {made['batch_per_chip']} examples a chip on more chips, by formula:", soft_wrap=True)
        head = ["chips", "batch", "step, ms", "collectives in it, ms", "images/s"]
        head += ["cost of an epoch"] * any("cost_per_epoch" in row for row in made["growth"])
        rows = [(str(row["chips"]), f"{row['batch']:,}", span(row["step_seconds"], 1000),
                 span(row["network_seconds"], 1000), span(row["images_per_second"]),
                 span(row["cost_per_epoch"]) if "cost_per_epoch" in row else "") for row in made["growth"]]
    table = Table(*head, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*row[:len(head)])
    console.print(table)


def facts(made: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield the name and value of each line."""
    yield "plan", f"{made['recipe']} on {made['on']}: {made['label']}"
    yield "step", f"the recipe's own, of {'Keras on JAX' if made['backend'] == 'jax' else 'TensorFlow'}"
    yield "compiles", f"yes, for {made['compiled_chips']} of the {made['chips']} chips" if made["chips"] > 4 else "yes"
    yield "batch", f"{made['batch']:,}, {made['batch_per_chip']:,} a chip"
    yield "memory of a chip", f"{' of '.join(map(size, made['memory'].values()))}"
    if found := made.get("largest"):
        parts = [f"{found['fits']:,} fits", f"{found['fails']:,} does not" if found["fails"] else
                 "and there are not many more examples"]
        if found["without_recomputation"] < found["fits"]:
            parts.append(f"nothing is computed twice up to {found['without_recomputation']:,}")
        yield "largest batch a chip", ", ".join(parts)
    yield "operations a chip", f"{made['flops']:.3g} a step"
    yield "a step takes", f"{span(made['step_seconds'], 1000)} ms"
    yield "images a second", span(made["images_per_second"])
    for kind, found in made["collectives"].items():
        yield kind, f"{found['operations']} operations, {size(found['bytes'])} a step, among chips"


def span(values: Sequence[float], scale: float = 1) -> str:
    """Return a range of two digits such as "1.4 to 19"; k is a thousand, M a million and G a thousand of those."""
    low, high = (short(scale * value) for value in values)
    return low if low == high else f"{low} to {high}"


def short(value: float) -> str:
    rounded = float(f"{value:.2g}")
    for power, unit in ((9, " G"), (6, " M"), (4, " k")):
        if rounded >= 10**power:
            return f"{rounded / 10 ** (power - power % 3):.3g}{unit}"
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:.2g}"


def size(count: float) -> str:
    """Return bytes in a unit that a person reads."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 2**power:
            return f"{count / 2**power:.3g} {unit}"
    return f"{count:.0f} bytes"
