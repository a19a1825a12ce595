"""What `kerasdl plan` says, and that it says so for every recipe: a step that a TPU can run, compiled by libtpu."""

import json
import os
import subprocess
import sys

import pytest

from kerasdl import zoo
from kerasdl.errors import UserError
from kerasdl.plan import chips, estimate, lower, report
from kerasdl.plan.largest import following, largest, rounded
from kerasdl.plan.make import plan
from kerasdl.plan.talk import QUIET, Compiler, NotCompiled, refuse
from kerasdl.recipe import Recipe, load, names

GIB = 2.0**30
V5E = chips.CHIPS["v5e"]
FACTS = {"flops": 197e9, "moved": 8190, "cycles": 3_000_000, "memory": 100, "collectives": {
    "all-reduce": {"operations": 3, "bytes": 10**6}}}
OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries (23.24G) "
                 'exceeds available HBM (15.75G).\n op_name="jit(f)/vit/block1_attn/dot"')
SMALL = {"linear": {}, "mlp": {"size": "mu"}, "cnn": {"size": "mu"}, "resnet": {"size": "mu"},
         "vit": {"size": "mu", "patch": 4}, "cct": {"size": "mu"}}
GAN = {"size": "mu"}
SAMPLE = ("linear_digits", "resnet_imagenet", "dcgan_mnist")  # every model is walked where it is compiled


# Names

@pytest.mark.parametrize("name, chip, count", [
    ("v5e-1", "v5e", 1), ("v5litepod-16", "v5e", 16), ("V6E-256", "v6e", 256), ("v5p-8", "v5p", 4),
    ("v4-32", "v4", 16)])
def test_a_slice_is_a_chip_and_a_number_of_chips(name, chip, count):
    """v4 and v5p are named by their cores, of which a chip has two."""
    found, chips_ = chips.parse(name)
    assert (found.name, chips_) == (chip, count)
    assert all(chips.parse(known) for known in chips.slices())


@pytest.mark.parametrize("name, words", [("v5e-3", ["v5e-3", "v5e-4"]), ("v5p-4", ["v5p-8"]), ("v5p-3", ["v5p-8"]),
                                         ("h100-8", ["v5e", "cpu"]), ("v5e", ["v5e-8"])])
def test_a_slice_that_does_not_exist(name, words):
    with pytest.raises(UserError) as caught:
        chips.parse(name)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


# Arithmetic

def test_the_range_of_a_step():
    """At least the operations over the peak, or the bytes that must move, or the links; at most twice the estimate."""
    assert estimate.computing(FACTS, V5E) == (pytest.approx(1e-3), pytest.approx(4e-3))
    assert estimate.computing(FACTS | {"moved": 8.19e9}, V5E) == (pytest.approx(1e-2), pytest.approx(1e-2))
    sent = estimate.network({"all-reduce": {"operations": 1, "bytes": 100e9}}, V5E, 4)
    assert sent == (pytest.approx(0.75), pytest.approx(3.0))  # 2 * 3/4 * 100 GB over 200 GB/s, and over a fourth of it
    assert estimate.together((1.0, 2.0), sent) == (1.0, pytest.approx(5.0))
    assert estimate.network(FACTS["collectives"], V5E, 1) == (0.0, 0.0)
    gathered = estimate.network({"all-gather": {"operations": 1, "bytes": 100e9}}, V5E, 4)
    assert gathered[0] == pytest.approx(sent[0] / 2)


def test_growth_with_the_chips():
    rows = estimate.growth(FACTS, V5E, 64, 10_000, price=3.6)
    assert [row["chips"] for row in rows] == list(chips.COUNTS)
    assert [row["batch"] for row in rows[:3]] == [64, 256, 512]
    for row in rows:
        low, high = row["step_seconds"]
        assert 0 < low <= high and row["images_per_second"] == (row["batch"] / high, row["batch"] / low)
    highs = [row["step_seconds"][1] for row in rows]
    assert highs == sorted(highs) and highs[-1] < highs[0] + 2 * 1e6 * 4 / 200e9
    steps = 10_000 // 256
    assert rows[1]["cost_per_epoch"] == [pytest.approx(steps * second / 3600 * 4 * 3.6)
                                         for second in rows[1]["step_seconds"]]
    assert "cost_per_epoch" not in rows[-1], "an epoch has no step of that batch"
    assert not any("cost_per_epoch" in row for row in estimate.growth(FACTS, V5E, 64, 0, price=3.6))


def memory(batch, fixed=1e9, each=1e6, available=1e10, recomputed=1.5, early=1.0):
    """A compiler that holds all up to `early`, then computes things twice up to `recomputed`; shares of `available`."""
    needed = fixed + each * batch
    if needed > available * recomputed:
        return {"error": "TooLarge", "needed": needed, "available": available}
    held = early * available
    return {"flops": 10.0 * batch * (1.2 if needed > held else 1.0), "memory": min(needed, held)}


@pytest.mark.parametrize("batch", [8, 128, 1024])
@pytest.mark.parametrize("each", [1e6, 1e5, 4e6])
@pytest.mark.parametrize("recomputed", [1.0, 1.5, 5.0])
@pytest.mark.parametrize("early", [1.0, 0.88])
def test_the_largest_batch_is_found_in_six_compilations(batch, each, recomputed, early):
    """Whether the compiler begins to compute twice at the last byte or `early`, and however far that brings it."""
    asked = []

    def ask(batch):
        asked.append(batch)
        return memory(batch, each=each, recomputed=recomputed, early=early)

    found = largest(ask, batch, ask(batch), 6e7, 1e10, 10**9)
    true, plain = (1e10 * recomputed - 1e9) / each, (1e10 * early - 1e9) / each
    assert len(asked) <= 7 and len(set(asked)) == len(asked)
    assert found["fits"] <= true and (found["fails"] is None or found["fails"] > true)
    assert 0.4 * min(true, 16e9 / each) < found["fits"]
    assert found["without_recomputation"] <= min(plain, true)
    if recomputed < 5:  # else the tries are spent before
        assert 0.4 * min(plain, true) < found["without_recomputation"]
    if found["fails"] and len(asked) < 7:
        assert following(found["fits"]) == found["fails"]
        assert following(found["without_recomputation"]) > min(plain, true)
    assert not found["enough"]


def test_no_batch_is_larger_than_the_data():
    found = largest(memory, 8, memory(8), 6e7, 1e10, 500)
    assert found == {"fits": 384, "without_recomputation": 384, "fails": None, "enough": True}
    assert report.largest(found) == "384 fits, and there are not many more examples"
    assert largest(memory, 500, memory(500), 6e7, 1e10, 500)["enough"]


def test_a_search_that_starts_at_a_wrong_guess_comes_down():
    """As where all of a small batch stays in the chip's fast memory, and the guess is far too high."""
    found = largest(memory, 64, {"flops": 640.0, "memory": 2.5e8}, 6e7, 1e10, 10**9)
    assert found["fits"] <= 14_000 < found["fails"] and 4_000 < found["without_recomputation"] <= 9_000
    text = report.largest({"fits": 12288, "without_recomputation": 8192, "fails": 16384, "enough": False})
    assert text == "12,288 fits, 16,384 does not, nothing is computed twice up to 8,192"


@pytest.mark.parametrize("batch, down, up", [(2570, 2048, 3072), (3100, 3072, 4096), (3072, 3072, 4096), (1, 1, 2),
                                             (2, 2, 3), (5, 4, 6)])
def test_batches_are_round(batch, down, up):
    assert (rounded(batch), following(batch)) == (down, up)


# What the compiler says

def test_collectives_and_their_bytes():
    text = """
      %a = f32[64]{0:T(256)} all-reduce(%x), replica_groups={}
      %b = (bf16[3,3,64,64]{3,2,1,0}, bf16[10]{0}) all-reduce-start(%y, %z)
      %c = (bf16[3,3,64,64]{3,2,1,0}, bf16[10]{0}) all-reduce-done(%b)
      %d = pred[8]{0} fusion(%a), calls=%all-reduce.3
      ROOT %e = s32[4,2]{1,0} collective-permute(%f)
    """
    assert lower.collectives(text) == {"all-reduce": {"operations": 2, "bytes": 256 + 2 * 9 * 64 * 64 + 20},
                                       "collective-permute": {"operations": 1, "bytes": 32}}


def test_a_step_that_does_not_fit_is_told_with_both_sizes_and_the_layer():
    from kerasdl.plan.child import told

    error = lower.TooLarge(OUT_OF_MEMORY)
    assert (error.needed, error.available) == (23.24 * GIB, 15.75 * GIB)
    answer = told(error)
    recipe = load("vit_imagenet")
    with pytest.raises(UserError) as caught:
        refuse(answer, recipe, "v5e-4", 256)
    assert not isinstance(caught.value, NotCompiled)
    message = str(caught.value)
    assert "23.24 GiB of 15.75 GiB" in message and "block1_attn" in message and "--batch 512" in message
    assert "\n" not in message
    with pytest.raises(NotCompiled, match="vit_imagenet.*v5e-4.*UNIMPLEMENTED: sort"):
        refuse(told(RuntimeError("UNIMPLEMENTED: sort\nmore")), recipe, "v5e-4", 256)


def test_the_same_step_has_the_same_fingerprint():
    """TensorFlow numbers its functions by how many there were."""
    one, other, third = (lower.Program(text, None) for text in (
        "module @f_12 { call @norm_3 @norm_4 }", "module @f_7 { call @norm_8 @norm_9 }", "module @f { call @n @n }"))
    assert lower.fingerprint(one) == lower.fingerprint(other) != lower.fingerprint(third)


# The step

def small(name: str) -> Recipe:
    """A recipe of the package with a network that is quickly traced."""
    recipe = load(name).override(batch=16)
    size = "M" if recipe.model_args.get("whitened") else "mu"  # the smallest that there is
    return recipe.override(f"model_args.size={size}") if "size" in recipe.model_args else recipe


def own_data(name: str) -> bool:
    return load(name).data.startswith(("csv:", "folder:"))


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[] if name in SAMPLE else pytest.mark.soak) for name in names() if not own_data(name)])
def test_every_recipe_has_a_step_of_static_shapes_and_no_host_operations(name):
    """The graph is walked, and XLA takes it; without the data on disk."""
    from kerasdl.plan.step import Step

    step = Step(small(name))
    assert step.size and step.weights
    assert step.program(16, chips=[None]).text  # a fault in the graph, or a shape that is not known, would raise


def test_the_step_of_a_conditional_gan_has_static_shapes_at_its_real_size():
    """Slices of a class's weights left the lazy penalty's branches without a known number of classes: not at "mu"."""
    from kerasdl.plan.step import make

    assert make(load("cgan_cifar10").override(batch=16), tpu=True).program(16, chips=[None]).text


def test_a_tpu_gets_the_layers_of_keras():
    """Those that are faster on a processor hide from its compiler what belongs together."""
    from kerasdl.plan.step import make
    from kerasdl.train.fast_layers import FORMS

    def fast(step):
        return sum(type(layer) in FORMS.values() for layer in step.model._flatten_layers())

    for name in ("vit_digits", "gan_digits"):
        assert fast(make(small(name), tpu=False)) > fast(make(small(name), tpu=True)) == 0


def test_a_table_of_ones_own_is_read_for_its_columns(table):
    from kerasdl.plan.step import Step

    step = Step(load("linear_csv").override(f"data=csv:{table}", "data_args.label=kind"))
    assert step.examples == ((5,), "float32") and step.targets == ((2,), "float32")
    assert step.program(16, chips=[None]).text


def test_what_a_tpu_cannot_run_is_found_with_its_place():
    import tensorflow as tf

    from kerasdl.plan.walk import faults

    @tf.function(autograph=False)
    def step(x):
        with tf.name_scope("model/layer"):
            y = tf.py_function(lambda v: v, [x], tf.float32)
            z = tf.boolean_mask(x, x > 0)
            tf.strings.length(tf.strings.as_string(x))
            return tf.reduce_sum(z) + y

    found = faults(step.get_concrete_function(tf.TensorSpec((4,), tf.float32)).graph)
    text = "\n".join(found)
    assert "EagerPyFunc calls the host, in model/layer" in text
    assert "Where gives depends on the data, in model/layer" in text and "AsString has strings" in text
    assert not faults(tf.function(lambda x: x + 1).get_concrete_function(tf.TensorSpec((4,))).graph)


def test_a_shape_that_is_not_known_is_found_in_the_program():
    import tensorflow as tf

    def hlo(function):
        compiled = tf.function(function, jit_compile=True, autograph=False)
        return compiled.experimental_get_compiler_ir(tf.TensorSpec((4,)))(stage="hlo_serialized")

    assert lower.from_hlo(hlo(lambda x: x + 1), 1, 1).text
    with pytest.raises(UserError, match="shape that depends on the data"):
        lower.from_hlo(hlo(lambda x: tf.boolean_mask(x, x > 0)), 1, 1)


def test_shapes_come_without_the_data_set(monkeypatch, tmp_path):
    from kerasdl.plan.examples import stand_in

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    split = stand_in(load("resnet_imagenet"), "class")
    assert (split.shape, len(split.classes), split.size) == ((224, 224, 3), 1000, round(1_281_167 * 0.99))
    assert stand_in(load("vit_cifar10"), "class").size == 45_000
    assert stand_in(load("linear_digits"), "class").shape == (8, 8, 1)
    with pytest.raises(UserError, match="'minst'.*'mnist'"):
        stand_in(load("cnn_mnist").override("data=minst"), "class")
    with pytest.raises(UserError, match="image_size"):
        stand_in(Recipe(model="vit", data="imagenet2012"), "class")
    assert not list(tmp_path.iterdir()), "nothing is fetched or prepared"


# libtpu

def test_the_command_plans_for_a_tpu_that_is_not_there(command, monkeypatch, tmp_path):
    """On four chips; the second time from what is remembered."""
    monkeypatch.setenv("KERASDL_CACHE", str(tmp_path))
    done = command("plan", "mlp_digits", "--on", "v5e-8", "--json", "--no-largest")
    assert done.code == 0, done.err
    made = json.loads(done.out)
    assert made["label"] == "compiled, not run" and made["backend"] == "tensorflow"
    assert (made["chips"], made["batch_per_chip"], made["examples"]) == (8, 8, 1258)
    assert 15.7 * GIB < made["memory"]["available"] < 15.8 * GIB and 0 < made["memory"]["needed"] < 0.1 * GIB
    multiplications = 64 * 512 + 512 * 512 + 512 * 10
    assert made["flops"] == pytest.approx(8 * (6 * multiplications - 2 * 64 * 512), rel=0.5)
    assert made["collectives"]["all-reduce"]["bytes"] >= 4 * made["weights"]
    low, high = made["step_seconds"]
    assert 0 < low < high and made["growth"][-1]["chips"] == 256
    assert len(list((tmp_path / "plans").glob("*.json"))) == 1


def test_every_model_of_the_zoo_compiles_for_a_tpu(monkeypatch, tmp_path):
    """Its training step, for one v5e chip; in one process, to import TensorFlow once."""
    monkeypatch.setenv("KERASDL_CACHE", str(tmp_path))
    recipes = [load("gan_digits").override(batch=16, model_args=GAN) if model in zoo.GENERATIVE else
               small("linear_digits").override(model=model, model_args=SMALL[model])
               for model in (*zoo.MODELS, *zoo.GENERATIVE)]
    with Compiler(recipes[0], "v5e", "tensorflow") as compiler:
        for recipe in recipes:
            compiler.turn_to(recipe, "v5e")
            facts = compiler.ask(batch=16, chips=1)
            assert "error" not in facts, (recipe.model, facts)
            assert 0 < facts["flops"] and facts["memory"] < compiler.about["memory"] and facts["cycles"]
            assert not facts["collectives"]


def test_libtpu_knows_every_slice():
    """In a process of its own, as everything that loads libtpu."""
    code = """if True:
        from kerasdl.plan import chips, lower
        for chip in chips.CHIPS.values():
            for count in chips.COUNTS:
                assert len(lower.devices(*chip.topology(count))) == count, (chip.name, count)
        try:
            lower.devices("v5e:3x5", {})
        except LookupError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | QUIET)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("libtpu does not know v5e:3x5: ")


@pytest.mark.soak
@pytest.mark.parametrize("name, backend", [
    (name, backend) for name in names() if not own_data(name)
    for backend in (["tensorflow"] if load(name).objective == "adversarial" else ["tensorflow", "jax"])])
def test_every_recipe_compiles_at_its_real_size(name, backend):
    """make tpu-check; ImageNet's on the slice of docs/tpu.md, for the batch of one is too large for a chip."""
    on = "v5e-16" if "imagenet" in name else "v5e-1"
    made = plan(load(name), on, backend=backend, search=False)
    assert made["memory"]["needed"] < made["memory"]["available"] and made["growth"][1]["chips"] == 4


@pytest.mark.soak
def test_the_bounds_are_compared_with_measured_steps_of_this_processor(command):
    """No bound is above what was measured by much: they are bounds."""
    done = command("plan", "mlp_digits", "--on", "cpu", "--json")
    assert done.code == 0, done.err
    made = json.loads(done.out)
    assert made["label"] == "compiled, and run on this processor"
    assert made["bounds"]["both"] == made["bounds"]["operations"] + made["bounds"]["bytes"]
    assert 0 < made["bounds"]["operations"] < 2 * made["measured_seconds"]
    assert "measured" in command("plan", "mlp_digits", "--on", "cpu").out


@pytest.mark.parametrize("arguments, words", [
    (["mlp_digits", "--on", "v5e-3"], ["v5e-3", "v5e-4"]),
    (["mlp_digits", "--on", "tpu"], ["'tpu'", "v5e-8"]),
    (["mlp_digits", "--on", "v5e-16", "--batch", "100"], ["batch=100", "16 chips", "--batch 96"]),
    (["mlp_digit"], ["'mlp_digits'"]),
    (["mlp_digits", "--backend", "jaxx"], ["'jaxx'", "'jax'"]),
])
def test_mistakes_are_told_before_anything_is_compiled(refused, arguments, words):
    refused("plan", *arguments, words=words)


def test_libtpu_that_is_not_installed(refused, monkeypatch):
    from kerasdl.plan import make

    monkeypatch.setattr(make, "find_spec", lambda name: None if name == "libtpu" else object())
    refused("plan", "mlp_digits", words=["libtpu", "kerasdl[plan]"])


def test_a_process_that_dies_is_one_line(monkeypatch):
    """As libtpu does when it aborts."""
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(UserError, match="has ended: exit code 1"):
        Compiler(load("mlp_digits"), "v5e", "tensorflow")


def test_jax_is_planned_where_the_step_of_tensorflow_does_not_compile(monkeypatch):
    """And the plan says which was planned, and why."""
    from kerasdl.plan import make

    class Answers:
        def __init__(self, recipe, chip, backend):
            self.backend = backend
            self.about = {"memory": GIB, "size": 0, "weights": 5, "statistics": 2, "versions": {}}

        def ask(self, **question):
            return FACTS if self.backend == "jax" else {"error": "Unusable", "message": "no such name"}

        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *error: None  # noqa: E731

    monkeypatch.setattr(make, "Compiler", Answers)
    made = plan(load("mlp_digits"), "v5e-8", search=False)
    assert made["backend"] == "jax" and "no such name" in made["not_tensorflow"]
    assert made["per_replica"] == {"operations": 1, "bytes": 28}
    lines = dict(report.facts(made))
    assert lines["plan"] == "mlp_digits on v5e-8: compiled, not run"
    assert "Keras on JAX (The step" in lines["step"] and lines["all-reduce"].startswith("3 operations, 977 KiB")
    with pytest.raises(NotCompiled):
        plan(load("mlp_digits"), "v5e-8", backend="tensorflow", search=False)
