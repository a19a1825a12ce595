"""`kerasdl plan`: every recipe has a step that libtpu compiles, and the plan says what follows from it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from kerasdl import zoo
from kerasdl.data.sources import place
from kerasdl.errors import UserError
from kerasdl.plan import chips, estimate, planner, report
from kerasdl.plan.max_batch import following, max_batch
from kerasdl.plan.planner import QUIET, plan, refusal
from kerasdl.recipe import Recipe, load, names

GIB = 2.0**30
V5E = chips.CHIPS["v5e"]
FACTS = {"flops": 197e9, "moved": 8190, "cycles": 3_000_000, "memory": 100, "collectives": {
    "all-reduce": {"operations": 3, "bytes": 10**6}}}
OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries (23.24G) "
                 'exceeds available HBM (15.75G).\n op_name="jit(f)/vit/block1_attn/dot"')
SMALL = dict.fromkeys(zoo.MODELS, {"size": "mu"}) | {
    "linear": {}, "convnext": {"size": "mu", "patch": 2}, "vit": {"size": "mu", "patch": 4}}
GAN = {"size": "mu"}
SAMPLE = ("linear_digits", "resnet_imagenet", "dcgan_mnist")  # every model is lowered where it is compiled


# Names

@pytest.mark.parametrize("name, chip, count", [
    ("v5e-1", "v5e", 1), ("v5litepod-16", "v5e", 16), ("V6E-256", "v6e", 256), ("v5p-8", "v5p", 4),
    ("v4-32", "v4", 16)])
def test_a_slice_is_a_chip_and_a_number_of_chips(name, chip, count):
    """v4 and v5p are named by their cores, of which a chip has two."""
    found, chips_ = chips.parse(name)
    assert (found.name, chips_) == (chip, count)


@pytest.mark.parametrize("name, words", [("v5e-3", ["v5e-3", "v5e-4"]), ("v5p-4", ["v5p-8"]), ("v5p-3", ["v5p-8"]),
                                         ("h100-8", ["v5e", "cpu"]), ("v5e", ["v5e-8"])])
def test_a_slice_that_does_not_exist(name, words):
    with pytest.raises(UserError) as caught:
        chips.parse(name)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_private_training_has_no_plan():
    with pytest.raises(UserError, match="No plan .* private={}"):
        planner.plan(Recipe(model="mlp", data="digits", private={"clip": 1.0, "noise": 1.0, "delta": 1e-3}), "v5e-1")


# Arithmetic

def test_the_range_of_a_step():
    """At least the operations over the peak, or the bytes that must move, or the links; at most twice the estimate."""
    assert estimate.compute(FACTS, V5E) == (pytest.approx(1e-3), pytest.approx(4e-3))
    assert estimate.compute(FACTS | {"moved": 8.19e9}, V5E) == (pytest.approx(1e-2), pytest.approx(1e-2))
    large = {"all-reduce": {"operations": 1, "bytes": 100e9}}
    sent = estimate.network(large, V5E, 4)
    assert sent == (pytest.approx(0.75), pytest.approx(3.0))  # 2 * 3/4 * 100 GB over 200 GB/s, and over a fourth of it
    four = estimate.growth(FACTS | {"collectives": large}, V5E, 64, 0, None)[1]
    assert four["step_seconds"] == (pytest.approx(0.75), pytest.approx(3.004))
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


@pytest.mark.parametrize("batch", [8, 100, 1024])
@pytest.mark.parametrize("fitting, plain", [(1e5, 5e4), (3000, 3000), (1100, 1), (70_000, 2048)])
def test_the_largest_batch_is_found_in_few_compilations(batch, fitting, plain):
    """Both ends, the largest that fits and the largest in which nothing is computed twice, are exact."""
    fitting, plain, asked = max(fitting, batch), max(plain, batch), []

    def ask(size):
        asked.append(size)
        return {"error": "TooLarge"} if size > fitting else {"flops": 10.0 * size * (1.2 if size > plain else 1.0)}

    found = max_batch(ask, batch, 10.0, 2**16)
    assert len(asked) <= 9 and len(set(asked)) == len(asked)
    assert found["fits"] <= fitting < following(found["fits"]) or found["enough"]
    assert found["without_recomputation"] <= plain < following(found["without_recomputation"])
    assert found["fails"] == (None if found["enough"] else following(found["fits"]))


def test_no_batch_is_larger_than_the_data():
    found = max_batch(lambda size: {"flops": size}, 8, 1.0, 500)
    assert found == {"fits": 384, "without_recomputation": 384, "fails": None, "enough": True}
    assert max_batch(lambda size: 1 / 0, 500, 1.0, 500)["enough"], "nothing is compiled"


@pytest.mark.parametrize("batch, up", [(2570, 3072), (3100, 4096), (3072, 4096), (1, 2), (2, 3), (5, 6)])
def test_batches_are_round(batch, up):
    assert following(batch) == up


# What the compiler says

def test_collectives_and_their_bytes():
    from kerasdl.plan import aot

    text = """
      %a = f32[64]{0:T(256)} all-reduce(%x), replica_groups={}
      %b = (bf16[3,3,64,64]{3,2,1,0}, bf16[10]{0}) all-reduce-start(%y, %z)
      %c = (bf16[3,3,64,64]{3,2,1,0}, bf16[10]{0}) all-reduce-done(%b)
      %d = pred[8]{0} fusion(%a), calls=%all-reduce.3
      ROOT %e = s32[4,2]{1,0} collective-permute(%f)
    """
    assert aot.collectives(text) == {"all-reduce": {"operations": 2, "bytes": 256 + 2 * 9 * 64 * 64 + 20},
                                     "collective-permute": {"operations": 1, "bytes": 32}}


def test_collectives_count_what_is_reduced_and_what_has_moved():
    """Of a reduce-scatter the operand, which is the result of all chips; of a start that names operands, the results.
    """
    from kerasdl.plan import aot

    text = """
      %a = f32[256000]{0} reduce-scatter(%x), replica_groups={{0,1,2,3}}, dimensions={0}
      %b = f32[256000]{0} reduce-scatter(%x), replica_groups=[1,4]<=[4], dimensions={0}
      %c = (f32[256]{0}, f32[1024]{0}) all-gather-start(%y), replica_groups={{0,1,2,3}}, dimensions={0}
      %d = ((f32[8], f32[4]), (f32[32], f32[16])) all-gather-start(%y, %z), replica_groups=[2,4]<=[8], dimensions={0}
      %e = (f32[100]{0}, f32[100]{0}, u32[], u32[]) collective-permute-start(%f), source_target_pairs={{0,1}}
    """
    assert aot.collectives(text) == {"reduce-scatter": {"operations": 2, "bytes": 2 * 4 * 1_024_000},
                                     "all-gather": {"operations": 2, "bytes": 4 * 1024 + 4 * 48},
                                     "collective-permute": {"operations": 1, "bytes": 400}}
    four, eight = (estimate.network({"reduce-scatter": {"operations": 1, "bytes": 4_096_000}}, V5E, chips)
                   for chips in (4, 8))
    assert (four[0] * V5E.links, eight[0] * V5E.links) == pytest.approx((3_072_000, 3_584_000))


def test_a_step_that_does_not_fit_is_refused_with_both_sizes():
    from kerasdl.plan.compiler_worker import describe

    answer, recipe = describe(RuntimeError(OUT_OF_MEMORY)), load("vit_imagenet")
    assert answer == {"error": "TooLarge", "needed": 23.24 * GIB, "available": 15.75 * GIB}
    message = refusal(answer, recipe, "v5e-4", 4, "tensorflow")
    assert "23.24 GiB of 15.75 GiB" in message and "--batch 692" in message and "\n" not in message
    other = refusal(describe(RuntimeError("UNIMPLEMENTED: sort\nmore")), recipe, "v5e-4", 4, "tensorflow")
    assert other == "The step of vit_imagenet does not compile on v5e-4: UNIMPLEMENTED: sort. Try --backend jax."


# The step

def small(name: str) -> Recipe:
    """A recipe of the package with a network that is quickly traced."""
    recipe = load(name).override(batch=16)
    size = "M" if recipe.model_args.get("whitened") else "mu"  # the smallest that there is
    return recipe.override(f"model_args.size={size}") if "size" in recipe.model_args else recipe


def own_data(name: str) -> bool:
    return place(load(name).data)[0] != "tfds"


def lowered(step) -> str:
    """The step for this machine's CPU; a fault in it, or a shape that is not known, would raise."""
    import jax

    return step.lower(16, jax.devices("cpu")[:1]).as_text()


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[] if name in SAMPLE else pytest.mark.soak) for name in names() if not own_data(name)])
def test_every_recipe_has_a_step_that_lowers(name):
    """Without the data on disk."""
    from kerasdl.plan.step import Step

    step = Step(small(name))
    assert step.size and step.weights
    assert "stablehlo" in lowered(step)


def test_the_step_of_a_conditional_gan_has_static_shapes_at_its_real_size():
    """Slices of a class's weights left the lazy penalty's branches without a known number of classes: not at "mu"."""
    from kerasdl.plan.step import Step

    assert lowered(Step(load("cgan_cifar10").override(batch=16)))


def test_a_table_of_ones_own_is_read_for_its_columns(table):
    from kerasdl.plan.step import Step

    step = Step(load("linear_csv").override(f"data=csv:{table}", "data_args.label=kind"))
    assert [(spec.shape, spec.dtype) for spec in step.specs(16)] == [((16, 5), "float32"), ((16, 2), "float32")]
    assert lowered(step)


def test_a_text_is_read_for_its_tokens(tmp_path):
    from kerasdl.plan.step import Step

    (tmp_path / "book.txt").write_text("to be or not to be " * 200)
    data = [f"data=chars:{tmp_path / 'book.txt'}", "data_args.length=16", "batch=16"]
    step = Step(load("gpt_shakespeare").override(*data, "model_args.size=mu"))
    assert [(spec.shape, spec.dtype) for spec in step.specs(16)] == [((16, 16), "int32")] * 2
    assert lowered(step)
    with pytest.raises(UserError, match="No plan can be made for rnn"):
        Step(load("lstm_shakespeare").override(*data, "model_args.size=mu"))


def test_a_network_that_reads_both_ways_has_no_plan(tmp_path):
    """Its layer is no recurrent one, but holds two."""
    from kerasdl.plan.step import Step

    (tmp_path / "both.py").write_text(
        "import keras\n\n\ndef build(input_shape, outputs):\n    x = keras.Input(input_shape)\n"
        "    y = keras.layers.Bidirectional(keras.layers.GRU(4))(x)\n"
        "    return keras.Model(x, keras.layers.Dense(outputs)(y))\n")
    np.savez(tmp_path / "series.npz", x=np.zeros((200, 9, 2), "float32"), y=np.arange(200) % 2)
    with pytest.raises(UserError, match="No plan can be made for"):
        Step(load("gru_mnist1d").override(f"model={tmp_path / 'both.py'}:build", "model_args={}",
                                          f"data=series:{tmp_path / 'series.npz'}", "data_args={}", "augment=()"))


@pytest.mark.parametrize("call, words", [
    ("tf.py_function(lambda v: v, [x], tf.float32)", ["EagerPyFunc", "model/layer"]),
    ("tf.strings.length(tf.strings.as_string(x))", ["AsString", "model/layer"]),
    ("tf.boolean_mask(x, x > 0)", ["stablehlo", "shape that depends on the data"])])
def test_what_a_tpu_cannot_run_is_refused_with_its_place(call, words):
    """Calls of Python and strings by XLA itself, with the operation and its layer; a shape that is not known by us."""
    import tensorflow as tf

    from kerasdl.plan import hlo
    from kerasdl.plan.compiler_worker import describe

    def step(x):
        with tf.name_scope("model/layer"):
            return eval(call)

    compiled = tf.function(step, jit_compile=True, autograph=False)
    with pytest.raises((ValueError, UserError)) as caught:
        hlo.function(compiled.experimental_get_compiler_ir(tf.TensorSpec((4,)))(stage="hlo_serialized"))
    message = refusal(describe(caught.value), load("mlp_digits"), "v5e-1", 1, "tensorflow")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_hlo_of_tensorflow_computes_the_same_in_jax():
    import jax
    import numpy as np
    import tensorflow as tf

    from kerasdl.plan import hlo

    weight = tf.Variable(np.arange(12, dtype="float32").reshape(4, 3))

    @tf.function(jit_compile=True, autograph=False)
    def step(x):
        weight.assign_add(tf.ones((4, 3)))
        return tf.cast(tf.nn.softmax(x @ weight), tf.bfloat16), tf.reduce_any(x > 1)

    x = np.linspace(-1, 1, 8, dtype="float32").reshape(2, 4)
    before = weight.numpy()
    call, parameters = hlo.function(step.experimental_get_compiler_ir(x)(stage="hlo_serialized"))
    assert [(p.shape, p.dtype.name) for p in parameters] == [((2, 4), "float32"), ((4, 3), "float32")]
    ours, theirs = jax.jit(call)(x, before), step(x)
    assert np.allclose(ours[0].astype("float32"), tf.cast(theirs[0], "float32")) and not ours[1]
    assert np.array_equal(ours[2], before + 1)


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


@pytest.mark.soak
def test_every_model_of_the_zoo_compiles_for_a_tpu(tmp_path):
    """Its training step, for one v5e chip; in one process, to import TensorFlow once."""
    recipes = [load("gan_digits").override(batch=16, model_args=GAN) if model in zoo.GENERATIVE else
               small("linear_digits").override(model=model, model_args=SMALL[model])
               for model in (*zoo.MODELS, *zoo.GENERATIVE)]
    code = """if True:
        import json, sys
        from kerasdl.plan import compiler_worker
        for recipe in json.load(sys.stdin):
            step = compiler_worker.Step(compiler_worker.Recipe.model_validate_json(json.dumps(recipe)))
            print("found", json.dumps(compiler_worker.compiled(step, compiler_worker.CHIPS["v5e"], 16, 1)))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          input=json.dumps([recipe.model_dump(mode="json") for recipe in recipes]),
                          env=os.environ | QUIET | {"KERASDL_CACHE": str(tmp_path), "KERAS_BACKEND": "tensorflow"})
    assert done.returncode == 0, done.stderr
    found = [json.loads(line[6:]) for line in done.stdout.splitlines() if line.startswith("found ")]
    assert len(found) == len(recipes)
    for recipe, facts in zip(recipes, found, strict=True):
        assert "error" not in facts, (recipe.model, facts)
        assert 0 < facts["flops"] and 0 < facts["memory"] < V5E.memory and facts["cycles"]
        assert not facts["collectives"]


@pytest.mark.soak
def test_libtpu_knows_every_slice_and_the_memory_of_every_chip():
    """In a process of its own, as everything that loads libtpu; it names a chip's memory when asked for too much."""
    code = """if True:
        import jax
        from jax.experimental.topologies import get_topology_desc
        from kerasdl.plan.chips import CHIPS, COUNTS
        from kerasdl.plan.compiler_worker import describe
        for chip in CHIPS.values():
            for count in COUNTS:
                name, options = chip.topology(count)
                devices = get_topology_desc(name, "tpu", **options).devices
                assert len(devices) == count, (chip.name, count)
                if count == 1:
                    where = jax.sharding.SingleDeviceSharding(devices[0])
            try:
                jax.jit(lambda x: x + 1).lower(jax.ShapeDtypeStruct((2**38,), "float32", sharding=where)).compile()
            except Exception as error:
                assert abs(describe(error)["available"] - chip.memory) <= 0.011 * 2**30, (chip.name, str(error))
            else:
                raise AssertionError(chip.name)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | QUIET)
    assert done.returncode == 0, done.stderr


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
def test_mistakes_are_refused_before_anything_is_compiled(refused, arguments, words):
    refused("plan", *arguments, words=words)


@pytest.mark.soak
def test_gans_have_no_step_of_jax(refused):
    refused("plan", "gan_digits", "--backend", "jax", words=["adversarial", "tensorflow", "--backend jax"])


def test_libtpu_that_is_not_installed(refused, monkeypatch):
    monkeypatch.setattr(planner, "find_spec", lambda name: None if name == "libtpu" else object())
    refused("plan", "mlp_digits", words=["libtpu", "kerasdl[tf,plan]"])
    monkeypatch.setattr(planner.versions, "find_spec", lambda name: None)
    refused("plan", "mlp_digits", words=["TensorFlow is not installed", "kerasdl[tf]"])


def test_a_process_that_dies_is_one_line(monkeypatch):
    """As libtpu does when it aborts."""
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(UserError, match="ended with exit code 1"):
        plan(load("mlp_digits"), "v5e-1")


def test_a_plan_is_printed(monkeypatch, command):
    """The step of four of eight chips, what follows for all eight, and a table of more."""
    answer = {"size": 10_000, "weights": 5, "versions": {}, "facts": FACTS | {"memory": GIB}, "several": FACTS,
              "largest": {"fits": 12288, "without_recomputation": 8192, "fails": 16384, "enough": False}}
    monkeypatch.setattr(planner, "compile_step", lambda *_: answer)
    lines = dict(report.facts(plan(load("mlp_digits"), "v5e-8", backend="jax")))
    assert lines["plan"] == "mlp_digits on v5e-8: compiled, not run"
    assert "Keras on JAX" in lines["step"] and "4 of the 8 chips" in lines["compiles"]
    assert lines["all-reduce"].startswith("3 operations, 977 KiB")
    assert lines["memory of a chip"] == "1 GiB of 15.8 GiB"
    assert lines["largest batch a chip"] == "12,288 fits, 16,384 does not, nothing is computed twice up to 8,192"
    done = command("plan", "mlp_digits", "--on", "v5e-8", "--price", "1.2")
    assert "cost of an epoch" in done.out and "256" in done.out
    made = json.loads(command("plan", "mlp_digits", "--on", "v5e-8", "--json").out)
    assert made["growth"][2]["step_seconds"] == made["step_seconds"] and made["largest"]["fits"] == 12288
