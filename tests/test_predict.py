"""Predictions for more than fits in memory: in chunks, in order, from standard input, past what cannot be read."""

import io
import json
import os
import shutil
import sys
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from kerasdl.data import chunks, row_chunks, to_predict
from kerasdl.data.columns import MISSING, encode
from kerasdl.data.table_file import Dialect
from kerasdl.errors import DataError
from kerasdl.evaluation import predict as predictions
from kerasdl.evaluation import splits
from kerasdl.evaluation.answers import write
from kerasdl.evaluation.predict import Predictions, predict
from kerasdl.train.fit import train

RNG = np.random.default_rng(0)
COLUMNS = {"size": None, "colour": ["blue", "green", "red"], "flag": ["False", "True"], "note": ["no", "yes", MISSING]}
FACTS = {"kind": "row", "shape": 9, "columns": COLUMNS, "classes": ["a", "b"], "reading": {}}
HEAD = "size,colour,flag,note\n"


@pytest.fixture(scope="module")
def csv_run(table, tmp_path_factory):
    return train("linear_csv", f"data=csv:{table}", "data_args.label=kind", epochs=3, verbose=False,
                 workdir=tmp_path_factory.mktemp("runs") / "csv")


@pytest.fixture
def typed(monkeypatch):
    """Gives bytes to standard input."""
    return lambda text: monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text)))


@pytest.fixture
def pictures(here):
    """Twelve images of 8x8 in a folder, of which 04 is broken and 07 is too wide."""
    (here / "some").mkdir()
    for number in range(12):
        pixels = RNG.integers(0, 256, (8, 9 if number == 7 else 8), "uint8")
        Image.fromarray(pixels).save(here / "some" / f"{number:02}.png")
    (here / "some" / "04.png").write_bytes(b"no picture")
    return [f"some/{number:02}.png" for number in range(12)]


def rows(path, size=1000, unknown="refuse", dialect=None, facts=FACTS):
    """All chunks of a table as one: names, rows, reasons, counts."""
    found = list(row_chunks.read([path], facts["columns"], facts, dialect or Dialect(), size, unknown))
    counts = {}
    for chunk in found:
        counts = {name: counts.get(name, 0) + chunk.unknown.get(name, 0) for name in {*counts, *chunk.unknown}}
    return ([name for chunk in found for name in chunk.names], np.concatenate([chunk.x for chunk in found]),
            [fault.why for chunk in found for fault in chunk.faults], counts)


# Rows


def test_a_table_in_chunks_is_the_table(table, csv_run, monkeypatch):
    whole = predict(csv_run, [table])
    for size in (1, 7, 64):
        monkeypatch.setattr(chunks, "ROWS", size)
        monkeypatch.setattr(chunks, "size_of", lambda *_, size=size: size)
        assert predict(csv_run, [table]) == whole
    x = encode(pd.read_csv(table), csv_run.data["columns"], {})
    logits = csv_run.model().predict(x, batch_size=csv_run.recipe.micro_batch, verbose=0)
    assert [answers[0][0] for _, answers in whole] == [csv_run.data["classes"][place] for place in logits.argmax(1)]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_rows_that_cannot_be_read_are_named_and_the_others_kept(tmp_path, size):
    file = tmp_path / "rows.csv"
    file.write_text(HEAD + "1,red,TRUE,yes\nheavy,red,true,no\n\n2,purple,False,no\n,blue,True,no\n"
                           "3,green,maybe,\n4,blue,False,,5,6\n1e39,red,True,no\n5,\"blue\",false,no\n6,blue,True,no,7\n")
    names, x, why, _ = rows(file, size)
    assert names == [f"{file}:2", f"{file}:10"]
    np.testing.assert_array_equal(x[:, 0], [1, 5])
    assert [text.partition(": ")[0] for text in why] == [f"{file}:{line}" for line in (3, 5, 6, 7, 8, 9, 11)]
    for text, words in zip(why, (["'size'", "'heavy'"], ["'colour'", "'purple'"], ["'size'", "missing"],
                                 ["'flag'", "'maybe'"], ["4 fields", "saw 6"], ["'size'", "float32"],
                                 ["4 fields", "saw 5"]), strict=True):
        assert all(word in text for word in words), text


def test_tables_that_are_read_at_the_same_time_keep_their_own_long_rows(tmp_path, monkeypatch):
    """A server reads in several threads. pandas warns of such rows, and all threads share the state of warnings."""
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text(HEAD + "1,red,True,no\n")
    bad.write_text(HEAD + "1,red,True,no\n1,red,True,no,5\n1,red,True,no\n")
    begun, recording, over = (threading.Event() for _ in range(3))
    chunk, simplefilter = row_chunks._chunk, warnings.simplefilter

    def of_other(table, file, *more):
        if file == str(good):
            with warnings.catch_warnings():  # as pandas has it in many places
                begun.set()
                recording.wait(0.5)
            over.set()
        return chunk(table, file, *more)

    def noted(*given):
        simplefilter(*given)
        if begun.is_set():
            recording.set()
            over.wait(5)

    monkeypatch.setattr(row_chunks, "_chunk", of_other)
    monkeypatch.setattr(warnings, "simplefilter", noted)
    read = row_chunks.read([bad], COLUMNS, FACTS, Dialect(), 1)
    found, other = [next(read)], threading.Thread(target=rows, args=[good])
    other.start()
    assert begun.wait(60)
    found += read
    other.join()
    assert [name for each in found for name in each.names] == [f"{bad}:2", f"{bad}:4"]
    assert [fault.why for each in found for fault in each.faults] == [f"{bad}:3: expected 4 fields, saw 5."]


def test_an_unknown_category_is_taken_as_missing_when_asked(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text(HEAD + "1,red,True,yes\n2,purple,True,perhaps\n3,pink,False,\n")
    names, x, why, counts = rows(file, 2, "missing")
    assert len(names) == 3 and not why and counts == {"colour": 2, "note": 1}
    np.testing.assert_array_equal(x[:, 1:4], [[0, 0, 1], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(x[:, 6:], [[0, 1, 0], [0, 0, 1], [0, 0, 1]])


def test_an_empty_text_is_missing_as_an_unknown_one_is_where_values_are_filled(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text(HEAD + "1,,True,yes\n2,purple,,\n")
    names, x, why, counts = rows(file, 1, "missing", facts=FACTS | {"medians": {"size": 7.0}})
    assert len(names) == 2 and not why and counts == {"colour": 2, "flag": 1}
    np.testing.assert_array_equal(x, [[1, 0, 0, 0, 0, 1, 0, 1, 0], [2, 0, 0, 0, 0, 0, 0, 0, 1]])
    assert len(rows(file, 1, "refuse", facts=FACTS | {"medians": {"size": 7.0}})[2]) == 2
    hashed = {"columns": {"size": None, "colour": ["bucket 0", "bucket 1"]}, "reading": {"hash": ["colour"]}}
    for facts, bad in ((hashed | {"medians": {"size": 7.0}}, 0), (hashed, 1)):
        _, x, why, _ = rows(file, 1, "missing", facts=FACTS | facts)
        assert len(why) == bad and x[:, 1:].sum() == 1


@pytest.mark.parametrize("dialect, head", [(Dialect(), HEAD), (Dialect(skiprows=1), f"Messung\n{HEAD}")])
def test_a_field_too_many_in_the_first_row_is_of_that_row_alone(tmp_path, dialect, head):
    """pandas would take the first column for an index, because of that row."""
    file = tmp_path / "rows.csv"
    file.write_text(head + '1,red,True,no,9\n\n2,"red\n",True,no,9,9\n3,red,True,no\n4,red,True,no,9\n5,red,True,no\n')
    names, x, why, _ = rows(file, 1, dialect=dialect)
    first = head.count("\n") + 1
    assert names == [f"{file}:{first + 4}", f"{file}:{first + 6}"] and x[:, 0].tolist() == [3, 5]
    assert why == [f"{file}:{first + place}: expected 4 fields, saw {saw}." for place, saw in ((0, 5), (2, 6), (5, 5))]
    file.write_text(f"{head}1,red,True,no,9\n3,red,True,no,9\n")  # a first column that looks as if it counted
    with pytest.raises(DataError, match="more fields than its header has names"):
        rows(file, dialect=dialect)


def test_a_bad_number_leaves_its_neighbours_as_they_are_written_in_a_country(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("size;colour;flag;note\n1.234,5;red;True;no\nx;red;True;no\n2,25;red;True;no\n")
    _, x, why, _ = rows(file, dialect=Dialect(sep=";", decimal=",", thousands="."))
    np.testing.assert_array_equal(x[:, 0], [1234.5, 2.25])
    assert len(why) == 1


def test_a_point_is_no_decimal_sign_where_a_comma_is(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("size;colour;flag;note\n1500,5;red;True;no\n1.234;red;True;no\n2.5;red;True;no\n")
    _, x, why, _ = rows(file, dialect=Dialect(sep=";", decimal=","))
    assert x[:, 0].tolist() == [1500.5] and len(why) == 2


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8"])
def test_rows_after_a_blank_line_have_their_own_lines_in_any_encoding(tmp_path, encoding):
    file = tmp_path / "rows.csv"
    file.write_text(HEAD + "1,red,True,no\n\n2,red,True,no\n\n\n3,red,True,no\n", encoding=encoding)
    names = rows(file, dialect=Dialect(encoding=encoding))[0]
    assert names == [f"{file}:{line}" for line in (2, 4, 7)]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_time_is_read_by_its_own_clock_whatever_offsets_stand_around_it(tmp_path, size):
    parts = ["year", "month", "day", "weekday", "hour", "minute"]
    facts = FACTS | {"columns": {f"day {part}": None for part in parts}, "reading": {"dates": ["day"]}}
    file = tmp_path / "rows.csv"
    file.write_text("day\n2024-01-20T08:30+01:00\n2024-07-20T09:30+02:00\n2024-07-20 10:30\nnever\n2024-07-20\n"
                    "2024-07-20T11:30Z\n")
    names, x, why, _ = rows(file, size, facts=facts)
    assert [int(name.rpartition(":")[2]) for name in names] == [2, 3, 4, 6, 7]
    assert len(why) == 1 and ":5: " in why[0] and "'never'" in why[0]
    np.testing.assert_array_equal(x[:, [1, 2, 4, 5]], [[1, 20, 8, 30], [7, 20, 9, 30], [7, 20, 10, 30], [7, 20, 0, 0],
                                                       [7, 20, 11, 30]])
    written = facts | {"reading": {"dates": ["day"], "date_format": "%z %d.%m.%Y %H:%M"}}
    file.write_text("day\n+0100 20.01.2024 08:30\n+0200 20.01.2024 09:30\n")
    assert rows(file, size, facts=written)[1][:, 4].tolist() == [8, 9]


def test_a_number_that_means_missing_does_so_next_to_a_bad_one(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text(HEAD + "-999.00,red,True,no\nabc,red,True,no\n2,red,True,no\n")
    _, x, why, _ = rows(file, dialect=Dialect(na_values=-999), facts=FACTS | {"medians": {"size": 7.0}})
    assert x[:, 0].tolist() == [7, 2] and len(why) == 1


def test_all_columns_that_a_file_lacks_are_named(tmp_path, csv_run, here, refused):
    (here / "new.csv").write_text("weight\n1\n")
    refused("predict", csv_run.path, "new.csv", words=["'size', 'colour'", "missing in new.csv"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["1", "2.5", "-3e-7", "0.1", "", "x", "inf", "007", "True"]),
                          st.sampled_from(["red", "green", "purple", "", " blue "]),
                          st.sampled_from(["True", "TRUE", "false", "maybe", ""]),
                          st.sampled_from(["yes", "no", "", "(missing)", '"y\nz"'])), min_size=1, max_size=12),
       st.integers(1, 5))
def test_a_row_is_good_or_bad_whatever_stands_around_it(tmp_path, cells, size):
    file, alone = tmp_path / "rows.csv", tmp_path / "row.csv"
    file.write_text(HEAD + "".join(",".join(row) + "\n" for row in cells))
    names, x, why, _ = rows(file, size)
    found, lines = {}, {}
    line = 2
    for row in cells:
        alone.write_text(HEAD + ",".join(row) + "\n")
        one = rows(alone)
        lines[line] = one[1][0] if one[0] else None
        line += 1 + ",".join(row).count("\n")
    for name, values in zip(names, x, strict=True):
        found[int(name.rpartition(":")[2])] = values
    assert set(found) == {line for line, values in lines.items() if values is not None}
    assert {int(text[len(str(file)) + 1:].partition(":")[0]) for text in why} == set(lines) - set(found)
    for line, values in found.items():
        np.testing.assert_array_equal(values, lines[line])
        frame = pd.read_csv(io.StringIO(HEAD + ",".join(cells[list(lines).index(line)])), dtype={"note": str})
        frame = frame.map(lambda value: value.strip() if isinstance(value, str) else value)
        np.testing.assert_array_equal(encode(frame, COLUMNS, {})[0], values)  # as the rest of the package reads it


# Files and answers


def test_images_in_chunks_are_the_images_in_order(hard_run, pictures, monkeypatch):
    good = [file for file in pictures if file[5:7] not in ("04", "07")]
    whole = predict(hard_run, good)
    assert [name for name, _ in whole] == good
    monkeypatch.setattr(chunks, "FILES", 3)
    assert predict(hard_run, good) == whole
    assert list(Predictions(hard_run, ["some"], skip_bad=True)) == whole


def test_blocks_have_all_examples_in_order_also_before_an_error():
    def parts():
        for start in range(0, 10, 3):
            yield list(map(str, range(start, start + 3))), np.arange(start, start + 3)
        raise DataError("broken")

    seen = []
    with pytest.raises(DataError, match="broken"):
        for names, x in predictions.blocks(parts(), 4):
            assert names == list(map(str, x))
            seen.append(list(x))
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_what_cannot_be_read_is_skipped_when_asked(command, hard_run, pictures, here):
    done = command("predict", hard_run.path, "some", "--skip-bad", "--top", 1)
    assert done.code == 0 and len(done.out.splitlines()) == 10
    assert [line.split(":")[0] for line in done.err.splitlines()] == ["warning"] * 3
    for word in ("some/04.png", "some/07.png", "2 of 12 examples were skipped"):
        assert word in done.err
    found = json.loads(command("predict", hard_run.path, "some", "--skip-bad", "--json").out)
    assert len(found["predictions"]) == 10 and found["skipped"] == 2
    done = command("predict", hard_run.path, "some", "--skip-bad", "--out", "p.csv")
    assert done.out == "file    p.csv, 10 examples, 2 skipped\n" and len(pd.read_csv("p.csv")) == 10
    nothing = command("predict", hard_run.path, "some/04.png", "--skip-bad", "--out", "none.csv")
    assert nothing.code == 2 and "No example is left to predict" in nothing.err and not (here / "none.csv").exists()


def test_a_file_of_a_format_that_is_not_read_is_one_of_them(hard_run, pictures, here):
    (here / "some/05.heic").write_bytes(b"ftypheic")
    answers = Predictions(hard_run, ["some"], skip_bad=True)
    assert [name for name, _ in answers] == [file for file in pictures if file[5:7] not in ("04", "07")]
    with pytest.raises(DataError, match="05.heic is of a format that is not read"):
        predict(hard_run, ["some/05.heic"])


def test_the_first_that_cannot_be_read_ends_it_after_the_answers_before_it(command, hard_run, pictures, here):
    done = command("predict", hard_run.path, "some")
    assert done.code == 2 and [line.split("  ")[0] for line in done.out.splitlines()] == pictures[:4]
    assert len(done.err.splitlines()) == 1 and "some/04.png" in done.err and "--skip-bad" in done.err
    listed = command("predict", hard_run.path, "some", "--json")
    assert listed.code == 2 and len(json.loads(listed.out)) == 4
    done = command("predict", hard_run.path, "some", "--out", "p.csv")
    assert done.code == 2 and "p.csv is not written" in done.err and [file.name for file in here.iterdir()] == ["some"]


def test_many_skipped_examples_are_counted(command, csv_run, here):
    lines = ["size,weight,colour", *["x,1,red"] * 50, "1,1,red"]
    (here / "new.csv").write_text("\n".join(lines))
    done = command("predict", csv_run.path, "new.csv", "--skip-bad")
    assert done.code == 0 and len(done.out.splitlines()) == 1 and done.out.startswith("new.csv:52")
    assert len(done.err.splitlines()) == 22 and "50 of 51" in done.err
    done = command("predict", csv_run.path, "new.csv", "--skip-bad", "--unknown-category", "missing", "--json")
    assert json.loads(done.out)["unknown_categories"] == {}


def test_unknown_categories_at_the_command(command, refused, csv_run, here):
    (here / "new.csv").write_text("size,weight,colour\n1,1,red\n2,2,purple\n")
    refused("predict", csv_run.path, "new.csv", words=["new.csv:3", "'purple'"])
    done = command("predict", csv_run.path, "new.csv", "--unknown-category", "missing")
    assert done.code == 0 and len(done.out.splitlines()) == 2 and "'colour' has 1 value" in done.err


def test_a_file_that_is_read_is_not_written_over(refused, csv_run, table, here):
    (here / "rows.csv").write_bytes(table.read_bytes())
    (here / "link.csv").symlink_to(here / "rows.csv")
    for out in ("rows.csv", "./rows.csv", "link.csv"):
        refused("predict", csv_run.path, table, "rows.csv", "--out", out, words=[f"{Path(out)} is a file to read"])
    before, given = os.dup(0), os.open("rows.csv", os.O_RDONLY)
    os.dup2(given, 0)
    try:
        refused("predict", csv_run.path, "-", "--out", "rows.csv", words=["rows.csv is a file to read"])
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(given)
    assert (here / "rows.csv").read_bytes() == table.read_bytes()


def test_standard_input_is_written_as_the_training_file_was(csv_run, table, here, typed):
    shutil.copytree(csv_run.path, "run")
    recipe = json.loads(Path("run/recipe.json").read_text())
    Path("run/recipe.json").write_text(json.dumps(recipe | {"data": "csv:rows.tsv"}))
    typed(table.read_bytes().replace(b",", b"\t"))
    assert [answers for _, answers in predict("run", "-")] == [answers for _, answers in predict(csv_run, table)]


def test_standard_input_has_names_of_images_or_rows(command, refused, csv_run, hard_run, pictures, table, typed):
    typed(f"{pictures[2]}\n\n{pictures[0]}\n".encode())
    assert [line.split("  ")[0] for line in command("predict", hard_run.path, "-").out.splitlines()] == \
        [pictures[2], pictures[0]]
    typed(b"some/none.png\nsome/00.png\n")
    done = command("predict", hard_run.path, "-", "--skip-bad")
    assert done.code == 0 and "'some/none.png'" in done.err and done.out.startswith("some/00.png")
    typed(table.read_bytes())
    lines = command("predict", csv_run.path, "-").out.splitlines()
    assert [line.partition("  ")[2] for line in lines] == \
        [line.partition("  ")[2] for line in command("predict", csv_run.path, table).out.splitlines()]
    assert lines[0].startswith("-:2  ")
    typed(b"size\n1\n")
    refused("predict", csv_run.path, "-", words=["'weight', 'colour'"])


def test_arrays_in_files(refused, hard_run, csv_run, here):
    x = RNG.integers(0, 256, (5, 8, 8, 1), "uint8")
    np.save("x.npy", x)
    np.savez("x.npz", x=x, other=1)
    np.savez("y.npz", a=x, b=x)
    whole = predict(hard_run, x)
    for file in ("x.npy", "x.npz"):
        assert predict(hard_run, [file]) == [(f"{file}:{name}", answers) for name, answers in whole]
    np.save("wide.npy", np.zeros((2, 8, 9, 1)))
    refused("predict", hard_run.path, "wide.npy", words=["(N, 8, 8, 1)", "(2, 8, 9, 1)", "wide.npy"])
    refused("predict", hard_run.path, "y.npz", words=["y.npz", "a, b"])
    refused("predict", csv_run.path, "x.npy", words=["CSV rows", "x.npy", "an array"])
    (here / "bad.npy").write_bytes(b"no array")
    refused("predict", hard_run.path, "bad.npy", words=["bad.npy", "array"])


def test_an_array_has_no_rows_of_a_table():
    """They are encoded, minus `offsets` for one, as in training."""
    with pytest.raises(DataError, match="takes rows of a table, .*to_csv"):
        to_predict.of_array(np.zeros((2, 9)), FACTS)
    assert next(to_predict.of_array(np.zeros((2, 9)), FACTS | {"columns": {}})).x.shape == (2, 9)


def test_numbers_that_a_model_cannot_take_are_no_examples(command, refused, hard_run, here):
    x = np.full((4, 8, 8, 1), 100.0, "float32")
    x[1, 0, 0], x[2, 0, 0] = np.nan, 300
    np.save("x.npy", x)
    refused("predict", hard_run.path, "x.npy", words=["x.npy:1 has a number outside 0..255", "--skip-bad"])
    done = command("predict", hard_run.path, "x.npy", "--skip-bad", "--out", "o.jsonl")
    assert "x.npy:2" in done.err
    assert [json.loads(line)["example"] for line in Path("o.jsonl").read_text().splitlines()] == ["x.npy:0", "x.npy:3"]
    np.save("y.npy", np.random.default_rng(0).random((4, 8, 8, 1), "float32"))
    refused("predict", hard_run.path, "y.npy", words=["y.npy lies in 0..1", "multiply it by 255"])


@pytest.mark.parametrize("facts, good, bad", [
    ({"kind": "tokens", "shape": [3], "build_args": {"vocabulary": 9}}, [[1, 2, 0], [8, 1, 1], [0, 0, 0]],
     [[1, -1, 1], [1, 1.5, 1], [9, 1, 1], [0, 0, 1], [np.nan, 1, 1]]),
    ({"kind": "sequence", "shape": [3, 2]}, [[[1, 2], [3, 4], [5, 6]], [[1, 2], [np.nan, np.nan], [np.nan, np.nan]]],
     [[[1, 2], [np.nan, np.nan], [3, 4]], [[1, 2], [3, np.nan], [3, 4]], [[1, 2], [3, np.inf], [3, 4]],
      [[1, 2], [3, 1e300], [3, 4]], np.full((3, 2), np.nan)])])
def test_arrays_hold_what_those_of_the_training_may(facts, good, bad):
    chunk, = to_predict.of_array(np.array([good[0], *bad, *good[1:]], "float64"), facts)
    assert chunk.names == ["0", *(str(1 + len(bad) + place) for place in range(len(good) - 1))]
    np.testing.assert_array_equal(chunk.x, np.array(good, "float32"))
    assert [fault.place for fault in chunk.faults] == [1] * len(bad)
    assert all(fault.why.startswith(f"{number} has ") for number, fault in enumerate(chunk.faults, 1))


def test_an_array_in_pieces_is_the_array(hard_run, monkeypatch):
    x = RNG.integers(0, 256, (300, 8, 8, 1), "uint8")
    whole = predict(hard_run, x)
    monkeypatch.setattr(to_predict, "size_of", lambda *_: 7)
    assert predict(hard_run, x) == whole


@pytest.mark.parametrize("data, split", [("mnist:3.0.1", "test"), ("folder:.", "all"), (None, "test")])
def test_all_is_the_default_of_paths_alone(command, hard_run, here, monkeypatch, data, split):
    """`all` of tensorflow-datasets is train and test together."""
    def asked(run, split, data):
        raise DataError(f"asked for {split} of {data}")

    monkeypatch.setattr(splits, "load_split", asked)
    done = command("eval", hard_run.path, *(["--data", data] if data else []))
    assert f"asked for {split} of {data}" in done.err


def test_a_class_may_be_called_as_a_column_of_the_file(command, here):
    frame = pd.DataFrame({"a": RNG.normal(size=60), "label": np.resize(["example", "prediction", "other"], 60)})
    frame.to_csv("rows.csv", index=False)
    train("linear_csv", "data=csv:rows.csv", "data_args.label=label", epochs=1, batch=16, workdir="run", verbose=False)
    command("predict", "run", "rows.csv", "--out", "p.csv")
    found = pd.read_csv("p.csv")
    assert list(found) == ["example", "prediction", "class example", "class other", "class prediction"]
    assert found["example"][0] == "rows.csv:2"
    assert list(found.iloc[:, 2:].to_numpy().argmax(1)) == \
        [["example", "other", "prediction"].index(name) for name in found["prediction"]]


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_names_that_are_not_utf_8_are_written_with_their_bytes(here, ending):
    name = os.fsdecode(b"caf\xe9")
    write([(f"{name}.png", [(name, 0.75), ("tea", 0.25)])], here / f"p.{ending}")
    text = (here / f"p.{ending}").read_text(encoding="utf-8")
    assert "caf\\udce9.png" in text and text.count("caf\\udce9") == 3 and "0.75" in text


def test_a_long_prediction_says_that_it_lives(hard_run, monkeypatch, caplog):
    monkeypatch.setattr(predictions, "SILENCE", 0)
    with caplog.at_level("INFO", "kerasdl"):
        predict(hard_run, RNG.integers(0, 256, (300, 8, 8, 1), "uint8"))
    assert any("examples predicted" in record.message for record in caplog.records)
