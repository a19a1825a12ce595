"""A plan, printed."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

LAYOUT = {"box": None, "header_style": "bold", "pad_edge": False}


def show(console: Console, made: dict[str, Any]) -> None:
    """The whole plan."""
    if made["on"] == "cpu":
        show_host(console, made)
        return
    for name, value in facts(made):
        console.print(f"{name:23}{value}", soft_wrap=True)
    if "growth" in made:
        console.print(f"\nThe same {made['batch_per_chip']} examples a chip on more chips, by formula:", soft_wrap=True)
        console.print(growth(made))


def facts(made: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Name and value of each line."""
    memory, route = made["memory"], {"tensorflow": "TensorFlow", "jax": "Keras on JAX"}[made["backend"]]
    yield "plan", f"{made['recipe']} on {made['on']}: {made['label']}"
    yield "step", f"the recipe's own, of {route}" + (f" ({made['not_tensorflow']})" if "not_tensorflow" in made else "")
    yield "compiles", f"yes, for {made['compiled_chips']} of the {made['chips']} chips" if made["chips"] > 4 else "yes"
    yield "batch", f"{made['batch']:,}, {made['batch_per_chip']:,} a chip"
    yield "memory of a chip", f"{size(memory['needed'])} of {size(memory['available'])}"
    if "largest" in made:
        yield "largest batch a chip", largest(made["largest"])
    yield "operations a chip", f"{made['flops']:.3g} a step"
    yield "a step takes", f"{milliseconds(made['step_seconds'])} ms"
    yield "images a second", span(made["images_per_second"])
    for kind, found in made["collectives"].items():
        yield kind, f"{found['operations']} operations, {size(found['bytes'])} a step, among chips"
    if one := made.get("per_replica"):
        yield "", f"with statistics of each chip's own part of the batch: {one['operations']}, {size(one['bytes'])}"


def growth(made: dict[str, Any]) -> Table:
    """Rows of 1, 4, 8 ... 256 chips."""
    priced = any("cost_per_epoch" in row for row in made["growth"])
    table = Table("chips", "batch", "step, ms", "of it collectives, ms", "images/s", *["cost of an epoch"] * priced,
                  **LAYOUT)
    for row in made["growth"]:
        cost = [span(row["cost_per_epoch"]) if "cost_per_epoch" in row else ""] * priced
        table.add_row(str(row["chips"]), f"{row['batch']:,}", milliseconds(row["step_seconds"]),
                      milliseconds(row["network_seconds"]), span(row["images_per_second"]), *cost)
    return table


def largest(found: dict[str, Any]) -> str:
    """Between which batches it lies."""
    parts = [f"{found['fits']:,} fits"]
    if found["fails"]:
        parts.append(f"{found['fails']:,} does not")
    elif found["enough"]:
        parts.append("and there are not many more examples")
    else:
        parts.append("more was not tried")
    if found["without_recomputation"] < found["fits"]:
        parts.append(f"nothing is computed twice up to {found['without_recomputation']:,}")
    return ", ".join(parts)


def show_host(console: Console, made: dict[str, Any]) -> None:
    """The bounds beside measured steps."""
    where = f"{made['recipe']} on this processor, batch {made['batch']}: {made['label']}"
    console.print(f"{'plan':23}{where}", soft_wrap=True)
    table = Table("what", "milliseconds", "measured is so many times that", **LAYOUT)
    for name, seconds in made["bounds"].items():
        table.add_row(name, f"{1000 * seconds:.3g}", f"{made['measured_seconds'] / seconds:.2f}")
    table.add_row("measured", f"{1000 * made['measured_seconds']:.3g}", "")
    console.print(table)


def milliseconds(seconds: Sequence[float]) -> str:
    return span([1000 * second for second in seconds])


def span(values: Sequence[float]) -> str:
    """A range: "1.4 to 19"."""
    low, high = map(short, values)
    return low if low == high else f"{low} to {high}"


def short(value: float) -> str:
    """Two digits; k is a thousand, M a million and G a thousand of those."""
    rounded = float(f"{value:.2g}")
    for power, unit in ((9, " G"), (6, " M"), (4, " k")):
        if rounded >= 10**power:
            return f"{rounded / 10 ** (power - power % 3):.3g}{unit}"
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:.2g}"


def size(count: float) -> str:
    """Bytes in a unit that a person reads."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 2**power:
            return f"{count / 2**power:.3g} {unit}"
    return f"{count:.0f} bytes"
