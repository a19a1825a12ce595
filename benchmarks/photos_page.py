"""The tables of docs/photos.md from docs/results/photos.json, for docs/make_results.py. No number by hand."""

import json
from pathlib import Path
from typing import Any

from kerasdl.text import duration

NOT_RUN = "not run\n"
FOLDERS = {"cifar": "CIFAR-10 as files of mixed formats, sizes and proportions",
           "textures": "tiles of scikit-image's photographs", "cells": "blood cells of BCCD, cut out by their boxes"}


def load(folder: Path) -> dict[str, Any]:
    """Return docs/results/photos.json, or nothing."""
    file = folder / "photos.json"
    return json.loads(file.read_text()) if file.exists() else {}


def folders(found: dict[str, Any]) -> str:
    """Return a table for each folder: every candidate, the chosen one in bold."""
    if not found.get("folders"):
        return NOT_RUN
    parts = []
    for outcome in found["folders"]:
        score = outcome["score"]
        parts += [f"**{FOLDERS[outcome['folder']][:1].upper()}{FOLDERS[outcome['folder']][1:]}**: "
                  f"{outcome['found']}. {duration(outcome['process_seconds'])} in all, of a budget of "
                  f"{outcome['minutes']:g} minutes.", "",
                  f"| network | weights | pixels | val {score.replace('_', ' ')}, % | test, % | 95% | time |",
                  "| --- | --- | ---: | ---: | ---: | --- | ---: |"]
        for row in outcome["candidates"]:
            mark = "**" * (row["run"] == outcome["chosen"])
            val, test, low, high = map(percent, (row["val"][score], row["test"][score], *row["interval"]))
            parts.append(f"| {mark}{row['name']}{mark} | {row['kind']} | {row['pixels']} | {val} "
                         f"| {mark}{test}{mark} | {low} to {high} | {duration(row['seconds'])} |")
        parts += [f"\n{remark}" for remark in outcome["remarks"]] + [""]
    return "\n".join(parts) + measured(found["folders_environment"])


def frozen(found: dict[str, Any]) -> str:
    """Return the table of frozen features on CIFAR-10, and of networks from scratch on as many images."""
    rows = [*found.get("features", []), *found.get("scratch", [])]
    if not rows:
        return NOT_RUN
    lines = ["| images | network | weights | pixels | val, % | test, % | processor time |",
             "| ---: | --- | --- | ---: | ---: | ---: | ---: |"]
    for row in sorted(rows, key=lambda row: row["images"]):
        own = row in found.get("scratch", [])
        tick = "`" * own
        lines.append(f"| {row['images']:,} | {tick}{row['network']}{tick} "
                     f"| {'from scratch' if own else 'frozen'} | {row['pixels']} | {percent(row['val'])} "
                     f"| {percent(row['test'])} | {duration(row['cpu_seconds']) if 'cpu_seconds' in row else ''} |")
    return "\n".join(lines) + "\n" + "".join(dict.fromkeys(measured(row["environment"]) for row in rows))


def tuned(found: dict[str, Any]) -> str:
    """Return the table of fine-tuning and of training from scratch with few images, by seed."""
    rows = found.get("tuned", [])
    if not rows:
        return NOT_RUN
    lines = ["| way | pixels | epochs | test, %, by seed | mean | time |", "| --- | ---: | ---: | --- | ---: | ---: |"]
    for way in dict.fromkeys(row["way"] for row in rows):
        own = [row for row in rows if row["way"] == way]
        mean = sum(row["test"] for row in own) / len(own)
        lines.append(f"| {way} | {own[0]['pixels']} | {own[0]['epochs'] or ''} "
                     f"| {', '.join(percent(row['test']) for row in own)} | **{percent(mean)}** "
                     f"| {duration(sum(row['seconds'] for row in own) / len(own))} |")
    return "\n".join(lines) + "\n" + measured(found["tuned_environment"])


def measured(facts: dict[str, Any]) -> str:
    """Return a line on the machine."""
    cores = facts["cores"]
    return f"\nMeasured on {cores} core{'s' * (cores > 1)} of {facts['cpu']}, commit {facts['git']}.\n"


def percent(share: float) -> str:
    """Return a share in percent, with one digit."""
    return f"{100 * share:.1f}"
