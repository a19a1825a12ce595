"""Sound: what is read of .wav files, the log mel spectra of the network, and a run that answers files."""

import unicodedata

import keras
import numpy as np
import pytest
import zoo_harness as harness
from data_harness import PARTS, refused
from scipy.io import wavfile

import kerasdl
from kerasdl import figures, zoo
from kerasdl.data import load_splits, sounds, sources
from kerasdl.data.sources import audio
from kerasdl.evaluation.predict import predict
from kerasdl.reports.page import report
from kerasdl.zoo import conv1d, rnn, transformer
from kerasdl.zoo.cost import multiply_adds
from kerasdl.zoo.sound import LogMel, frames

RATE = 8000
RECIPE = {"model": "rnn", "model_args": {"size": "mu", "cell": "gru", "pool": "mean"}, "epochs": 4, "batch": 8,
          "lr": 0.05}
NAMES = {"label": r"^(\w+?)_", "group": r"_(\w+?)_"}


def tone(hertz, samples, rate=RATE):
    return (np.sin(2 * np.pi * hertz * np.arange(samples) / rate) * 2**14).astype("int16")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty tones, low and high, of five speakers, of 30 to 69 ms: high_ann_0.wav."""
    root = tmp_path_factory.mktemp("tones")
    for number in range(40):
        name, hertz = (("low", 300), ("high", 2000))[number % 2]
        speaker = ("ann", "bob", "cid", "dan", "eve")[number // 2 % 5]
        wavfile.write(root / f"{name}_{speaker}_{number // 10}.wav", RATE, tone(hertz + number, 240 + 8 * number))
    return root


def by_class(folder, root, parts=("",)):
    """Copy the tones to class folders, those of the last speaker to the last part."""
    for file in folder.glob("*.wav"):
        name, speaker, _ = file.stem.split("_")
        home = root / parts[-1 if speaker == "eve" else 0] / name
        home.mkdir(parents=True, exist_ok=True)
        (home / file.name).write_bytes(file.read_bytes())
    return root


def outputs(network, x):
    return keras.ops.convert_to_numpy(network(x, training=False))


def expected(x, rate):
    """The log mel spectrum of samples (T,), by NumPy's transform, of the frames that are whole."""
    window, hop = round(0.025 * rate), round(0.010 * rate)
    size = 2 ** int(np.ceil(np.log2(window)))
    hann = np.sin(np.pi * np.arange(window) / window) ** 2
    power = np.array([np.abs(np.fft.rfft(x[start:start + window] * hann, size)) ** 2
                      for start in range(0, len(x) - window + 1, hop)])
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 1400), 42) / 2595) - 1)
    mel = 2595 * np.log10(1 + np.fft.rfftfreq(size, 1 / rate) / 700)
    low, mid, high = (2595 * np.log10(1 + edges[start:start + 40] / 700) for start in range(3))
    up, down = ((mel[:, None] - low) / (mid - low), (high - mel[:, None]) / (high - mid))
    return np.log(1e-6 + power @ np.maximum(0, np.minimum(up, down)))


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_log_mel_spectra_are_those_of_numpy(rate):
    x = np.random.default_rng(0).normal(0, 0.1, rate // 4).astype("float32")
    found = outputs(LogMel(rate), x[None, :, None])[0]
    whole = expected(x.astype("float64"), rate)
    assert found.shape == (frames(len(x), rate), 40)
    np.testing.assert_allclose(found[:len(whole)], whole, atol=1e-3)
    assert np.isnan(found[len(whole):]).all() and len(found) - len(whole) in (2, 3)


def test_no_filter_is_empty_at_a_low_rate():
    assert (LogMel(2000).filters.sum(0) > 0).all()
    with pytest.raises(ValueError, match="sample_rate"):
        LogMel(8000.0)


def test_the_work_of_a_spectrum_counts():
    layer, plain = LogMel(2000), [zoo.build("rnn", shape, 3, size="mu", **args) for shape, args in (
        ((2000, 1), {"sample_rate": 2000}), ((None, 40), {}))]
    spectrum = frames(2000, 2000) * (layer.waves.size + layer.filters.size)
    assert multiply_adds(plain[0], 2000) == spectrum + multiply_adds(plain[1], frames(2000, 2000))


@pytest.mark.parametrize("module, args", [(rnn, {"cell": "gru", "directions": 2}), (conv1d, {"size": "mu"}),
                                          (transformer, {"longest": 40})])
def test_padding_changes_no_answer(module, args, tmp_path):
    network = harness.randomise(module.build((None, 1), 3, **{"size": "mu"} | args, sample_rate=RATE))
    network.get_layer("scale").finalize_state()  # of the random weights
    lengths = (1200, 500, 200, 90, 1)  # one sample has an answer too
    x = np.random.default_rng(1).normal(0, 0.1, (5, 1200, 1)).astype("float32")
    for row, length in zip(x, lengths, strict=True):
        row[length:] = np.nan
    found = outputs(network, x)
    scale = np.abs(found).max()
    assert np.isfinite(found).all() and scale > 0
    more = np.pad(x, [(0, 0), (0, 333), (0, 0)], constant_values=np.nan)
    np.testing.assert_allclose(outputs(network, more), found, atol=1e-6 * scale)
    for i in (1, 3, 4):
        np.testing.assert_allclose(outputs(network, x[i:i + 1, :lengths[i]])[0], found[i], atol=1e-6 * scale)
    network.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(keras.saving.load_model(tmp_path / "model.keras"), x), found)


def test_sound_has_one_number_a_sample():
    with pytest.raises(ValueError, match="sample_rate is for sound"):
        rnn.build((None, 2), 3, sample_rate=RATE)
    assert transformer.build((RATE, 1), 3, size="mu", sample_rate=RATE).get_layer("position").weights[0].shape[0] == 100


@pytest.mark.parametrize("dtype, scale, zero", [("uint8", 127, 128), ("int16", 2**15, 0), ("int32", 2**31, 0),
                                                ("float32", 1, 0)])
def test_every_form_of_samples_is_read(dtype, scale, zero, tmp_path):
    wave = 0.5 * np.sin(np.arange(400) / 9)
    stereo = np.stack([wave, wave / 2], 1)
    wavfile.write(tmp_path / "x.wav", RATE, (stereo * scale + zero).astype(dtype))
    found, rate = sounds.read(tmp_path / "x.wav")
    assert rate == RATE and found.dtype == np.float32
    np.testing.assert_allclose(found, 0.75 * wave, atol=0.02 if dtype == "uint8" else 1e-4)


def test_24_bits_are_read(tmp_path):
    wavfile.write(tmp_path / "x.wav", RATE, np.array([1, -1], "int32"))
    header = bytearray((tmp_path / "x.wav").read_bytes()[:-8])
    header[32:36] = (3).to_bytes(2, "little") + (24).to_bytes(2, "little")
    header[4:8] = (42).to_bytes(4, "little")
    header[28:32], header[40:44] = (3 * RATE).to_bytes(4, "little"), (6).to_bytes(4, "little")
    (tmp_path / "x.wav").write_bytes(bytes(header) + b"\x00\x00\x40" + b"\x00\x00\xc0")
    np.testing.assert_array_equal(sounds.read(tmp_path / "x.wav")[0], np.array([0.5, -0.5], "float32"))


def test_names_of_files_give_classes_groups_and_the_test_split(folder):
    found = load_splits(f"audio:{folder}", PARTS, **NAMES)
    train = found["train"]
    assert train.kind == "sequence" and train.shape == (552, 1) and train.classes == ("high", "low")
    assert train.build_args == {"sample_rate": RATE} and train.x.dtype == np.float32
    assert sum(map(len, found.values())) == 40 and all(len(part) % 8 == 0 for part in found.values())  # of a speaker
    test = load_splits(f"audio:{folder}", PARTS, label=NAMES["label"], test=r"_[3]\.wav$")["test"]
    assert len(test) == 10 and test.y.tolist() == [0] * 5 + [1] * 5
    assert load_splits(f"audio:{folder}", PARTS, target=None)["train"].target is None


def test_folders_give_classes_and_parts(folder, tmp_path):
    plain = load_splits(f"audio:{by_class(folder, tmp_path / 'plain')}", PARTS)
    assert plain["train"].classes == ("high", "low") and len(plain["test"]) == 8
    parts = load_splits(f"audio:{by_class(folder, tmp_path / 'parts', ('train', 'test'))}", PARTS)
    assert len(parts["test"]) == 8 and np.isclose(np.nanmax(parts["test"].x), 0.5, atol=0.01)
    refused(lambda: load_splits(f"audio:{tmp_path / 'parts'}", PARTS, test="eve"), "folder of test sounds")
    refused(lambda: load_splits(f"audio:{folder}", PARTS), "no class folder", "data_args.label")


def test_a_class_is_the_same_in_every_form_of_unicode(tmp_path):
    """macOS writes an accent as a sign of its own."""
    for number in range(40):
        name = unicodedata.normalize(("NFC", "NFD")[number // 2 % 2], ("bar", "caf\xe9")[number % 2])
        (home := tmp_path / "folders" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "names").mkdir(exist_ok=True)
        for file in (home / f"{number}.wav", tmp_path / "names" / f"{name}_{number}.wav"):
            wavfile.write(file, RATE, tone(300, 20))
    for place, args in (("folders", {}), ("names", {"label": NAMES["label"]})):
        train = load_splits(f"audio:{tmp_path / place}", PARTS, **args)["train"]
        assert train.classes == ("bar", "caf\xe9") and np.bincount(train.y).tolist() == [14, 14]
        older = train.describe() | {"classes": ["bar", "cafe\u0301"]}
        assert len(sources.load_for(older, f"audio:{tmp_path / place}", "all", target="class", **args)) == 40


def test_a_report_draws_sounds(folder):
    train = load_splits(f"audio:{folder}", PARTS, label=NAMES["label"])["train"]
    drawn = figures.examples(train, np.arange(3))["images"]
    assert len(set(drawn)) == 3 and all(address.startswith("data:image/") for address in drawn)
    short = train.part(np.arange(1), x=np.array([[[1], [2], [np.nan]]], "float32"), shape=(3, 1))
    assert len(figures.examples(short, np.arange(1))["images"]) == 1


def test_longer_sounds_are_cut_and_remarked(folder):
    train = load_splits(f"audio:{folder}", PARTS, label=NAMES["label"], seconds=0.05)["train"]
    assert train.shape == (400, 1) and "of the 28 sounds of train are longer than 0.05 s" in train.remarks[0]
    refused(lambda: load_splits(f"audio:{folder}", PARTS, label=NAMES["label"], seconds=0), "data_args.seconds")


def test_mixed_rates_are_refused_or_resampled(folder, tmp_path):
    root = by_class(folder, tmp_path)
    wavfile.write(root / "low" / "z.wav", 2 * RATE, tone(300, 1000, 2 * RATE))
    refused(lambda: load_splits(f"audio:{root}", PARTS), "8000 samples a second", "z.wav has 16000", "args.rate=8000")
    found = load_splits(f"audio:{root}", PARTS, rate=4000)
    assert found["train"].build_args == {"sample_rate": 4000} and found["train"].shape == (276, 1)
    once = sounds.read(root / "low" / "z.wav", RATE)[0]
    np.testing.assert_allclose(once[50:-50], tone(300, 500)[50:-50] / 2**15, atol=0.01)


@pytest.mark.parametrize("content, words", [(b"", "cannot be read"), (b"RIFF1234", "cannot be read"),
                                            ("none", "no samples"), ("nan", "no finite"), ("cut", "cannot be read")])
def test_a_bad_file_is_named(content, words, tmp_path):
    file = tmp_path / "bad.wav"
    if isinstance(content, str):
        wavfile.write(file, RATE, {"none": np.zeros(0, "int16"), "nan": np.full(9, np.nan, "float32"),
                                   "cut": tone(300, 400)}[content])
        content = file.read_bytes()[:-300] if content == "cut" else file.read_bytes()
    file.write_bytes(content)
    refused(lambda: sounds.read(file), "bad.wav", words)


@pytest.mark.parametrize("own", [0, 100_000_007])
def test_rates_that_no_filter_resamples_are_refused(own, tmp_path):
    wavfile.write(tmp_path / "x.wav", RATE, np.ones(9, "uint8"))
    (tmp_path / "x.wav").write_bytes((tmp_path / "x.wav").read_bytes().replace(
        RATE.to_bytes(4, "little"), own.to_bytes(4, "little")))
    refused(lambda: sounds.read(tmp_path / "x.wav", RATE), "x.wav", f"{own:,} samples a second", "8,000")
    assert sounds.length(tmp_path / "x.wav", RATE) == 9 * RATE // max(1, own)


@pytest.mark.parametrize("args, words", [
    ({"label": r"^(\d)_"}, ["finds no class in the names of 40 of 40", "high_ann_0.wav"]),
    ({"label": r"^\w+_"}, ["brackets"]), ({"label": "(("}, ["not a regular expression"]),
    ({"label": NAMES["label"], "test": "xyz"}, ["none of the 40"]),
    ({"label": NAMES["label"], "group": "_(zoe)_"}, ["group=_(zoe)_", "no such part"]),
    ({"label": r"^(high|low)_ann", "targte": 1}, ["'targte'"]),
])
def test_arguments_that_fit_no_file(folder, args, words):
    refused(lambda: load_splits(f"audio:{folder}", PARTS, **args), *words)


def test_a_run_answers_files(folder, tmp_path):
    recipe = kerasdl.Recipe(**RECIPE, data=f"audio:{folder}", data_args=NAMES)
    run = kerasdl.train(recipe, workdir=tmp_path / "run", verbose=False)
    assert run.result["test"]["accuracy"] == 1
    assert report(run).is_file()
    assert np.isfinite(keras.ops.convert_to_numpy(run.model().get_layer("scale").mean)).all()
    facts = run.data
    other = sources.load_for(facts, f"audio:{folder}", "test", target="class", **NAMES)
    assert other.shape == (552, 1)
    refused(lambda: sources.load_for(facts, "series:a.tsv", "all", target="class"), "takes sound", "series:a.tsv")
    numbers = {key: value for key, value in facts.items() if key != "build_args"}
    refused(lambda: sources.look_for(numbers, f"audio:{folder}"), "series of numbers, and no sound")
    wavfile.write(tmp_path / "new.wav", RATE, tone(2010, 400))
    wavfile.write(tmp_path / "long.wav", RATE, tone(310, 800))
    wavfile.write(tmp_path / "fast.wav", 2 * RATE, tone(310, 800))
    (_, answers), = predict(run, [tmp_path / "new.wav"])
    assert answers[0][0] == "high"
    refused(lambda: predict(run, [tmp_path / "long.wav"]), "long.wav has 0.10 seconds", "at most 0.07", "args.seconds")
    refused(lambda: predict(run, [tmp_path / "fast.wav"]), "fast.wav has 16000", "takes 8000", "data_args.rate=8000")
    (tmp_path / "other" / "high").mkdir(parents=True)
    (tmp_path / "long.wav").rename(tmp_path / "other" / "high" / "long.wav")
    refused(lambda: sources.load_for(facts, f"audio:{tmp_path / 'other'}", "all", target="class"), "has 0.10 seconds")
    (tmp_path / "other" / "high" / "long.wav").rename(tmp_path / "long.wav")
    some = facts | {"classes": ["high", "none"]}
    refused(lambda: sources.load_for(some, f"audio:{folder}", "all", target="class", **NAMES), "'low'")
    for part in ("all", "test"):
        found = sources.load_for(some, f"audio:{folder}", part, target="class", classes="high,none", **NAMES)
        assert len(found) == {"all": 20, "test": 4}[part] and not found.y.any()
    resampling = {**facts, "reading": {"source": "audio", "rate": RATE, "seconds": 0.05}, "shape": [400, 1]}
    chunk, = audio.read_files([tmp_path / "fast.wav", tmp_path / "long.wav"], resampling)
    assert chunk.x.shape == (2, 400, 1) and not chunk.faults and np.isfinite(chunk.x).all()
    uncut = {**resampling, "reading": {"source": "audio", "seconds": 0.06}}  # all of the training were shorter
    chunk, = audio.read_files([tmp_path / "long.wav"], uncut)
    assert "has 0.10 seconds" in chunk.faults[0].why and "data_args.seconds=0.05" in chunk.faults[0].why
