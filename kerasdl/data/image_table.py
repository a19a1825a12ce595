"""A table that names image files, with a label, several labels or numbers for each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kerasdl.data import image_files, labels, table
from kerasdl.data.columns import in_words
from kerasdl.data.images import EXTENSIONS
from kerasdl.data.spec import Target, recorded_kind
from kerasdl.data.split import Split
from kerasdl.data.table import TableArgs, parts_of
from kerasdl.data.table_file import Dialect, header, read_table
from kerasdl.errors import DataError


def splits_of(frame: pd.DataFrame, extra: pd.DataFrame | None, args: TableArgs, target: Target | None, path: str
              ) -> dict[str, Split]:
    """Return the splits train, val and test of the images that a table names; see kerasdl.data.table.parts_of.

    Raises:
        DataError: as `parts_of` and kerasdl.data.image_files do, and for a file that is not there or named twice.
    """
    parts = parts_of(frame, extra, args, target, path)
    files = files_of(parts.frame, args, path)
    whole = image_files.split_of(files, parts.y, parts.classes, args, weights=parts.weights)
    whole = replace(whole, attributes=parts.attributes, numbers=parts.numbers)
    return image_files.divided(whole, files, root_of(args, path), parts.index)


def split_for(facts: Mapping[str, Any], path: str, split: str, args: TableArgs, target: Target | None,
              classes: Sequence[str] | None) -> Split:
    """Return a part of the images that another table names, as a trained model takes them.

    Args:
        facts: of the run, its data.json.
        path: the table.
        split: "train", "val" or "test", carved as in training, or "all".
        args: as in training.
        target: what is learned.
        classes: those that the model was trained on, if it was trained on some only. Others are left out.

    Raises:
        DataError: as `splits_of`, for a class that the model does not know, and if `classes` are not in the table.
    """
    if recorded_kind(facts) != "image":
        raise DataError(f"The model takes {recorded_kind(facts)} data. Received a table of images.")
    known = None if target in (None, "number") else tuple(facts["classes"])
    words = in_words({str(args.label): list(known or ())}) if target == "class" else []
    dialect, image = Dialect.of(args), [str(args.image)]
    texts = args.as_text(header(path, dialect, image))
    frame = read_table(path, [*words, *texts], dialect, args.drops, image)
    label = [] if target is None else labels.label_columns(frame, args.label, path)
    index = np.arange(len(frame)) if split == "all" else table.index_of(frame, args, target, path)[split]
    y, names = None, tuple[str, ...]()
    if target is not None:
        if classes is not None:
            frame, index = labels.rows_of(frame, label[0], known or (), index, path)
        y, names = labels.targets_of(frame, label, target, args.label_sep, known, learned=False)
    files = files_of(frame, args, path)
    whole = replace(image_files.split_of(files, y, names, args, shape=tuple(facts["shape"])),
                    numbers=labels.several(label, target))
    return image_files.divided(whole, files, root_of(args, path), {split: index})[split]


def root_of(args: TableArgs, path: str) -> Path:
    """Return the folder of the image files: `root`, from here or else from the table's folder, which is the default."""
    here = Path(path).expanduser().parent
    root = here if args.root is None else Path(args.root).expanduser()
    return root if root.is_dir() else here / root


def files_of(frame: pd.DataFrame, args: TableArgs, path: str) -> list[Path]:
    """Return the file that each row names.

    Raises:
        DataError: a row without a name, files that are not there, or a file in several rows.
    """
    column, root = str(args.image), root_of(args, path)
    if column not in frame:
        raise DataError(f"{path} has no column {column!r} of image files. It has: {', '.join(frame.columns)}.")
    names = frame[column]
    if missing := int(names.isna().sum()):
        raise DataError(f"The column {column!r} names no file in {missing} of {len(names)} rows, first in row "
                        f"{names.index[names.isna()][0][1]}.")
    files = [root / (name.replace("\\", "/") + args.suffix) for name in names.astype(str)]
    if lost := [file for file in files if not file.is_file()]:
        ending = next((ending for ending in EXTENSIONS if Path(f"{lost[0]}{ending}").is_file()), None)
        how = f"data_args.suffix={ending} is the end of its name." if ending else \
            "data_args.root=FOLDER says where the files are, and data_args.suffix=.jpg how their names end."
        raise DataError(f"{path} names {lost[0]}, which is not there ({len(lost)} of {len(files)} files). {how}")
    twice, rows = Counter(files).most_common(1)[0]
    if rows > 1:
        raise DataError(f"{path} names {twice} in {rows} rows, and each image has one. Write "
                        "several labels of an image into one row; see data_args.label_sep.")
    return files
