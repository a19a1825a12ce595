"""ONNX, made by tf2onnx and run by onnxruntime."""

import os
from contextlib import contextmanager

FILE = "model.onnx"
PACKAGES = ("onnx", "onnxruntime", "tf2onnx")
RUNTIME = ("onnxruntime",)
QUANTIZED = {
    "float16": "weights and sums in 16 bits",
    "dynamic": "matrices in 8 bits, what they multiply rounded to 8 bits as it comes; convolutions stay",
    "int8": "weights of a channel and activations in 8 bits, their ranges from calibration",
}


def write(network, path, kind, examples):
    with converted(network, path) as plain:
        if kind is None:
            os.replace(plain, path)
        else:
            {"float16": halved, "dynamic": dynamic, "int8": static}[kind](plain, path, examples)


@contextmanager
def converted(network, path):
    """Within it there is a float32 ONNX file of the network, next to `path`."""
    import keras

    plain, (inputs,) = f"{path}.plain.onnx", network.inputs
    # Without a signature Keras asks for a model that was called since it was loaded.
    network.export(plain, format="onnx", verbose=False,
                   input_signature=[keras.InputSpec(inputs.dtype, inputs.shape, name=inputs.name)])
    try:
        yield plain
    finally:
        if os.path.exists(plain):
            os.remove(plain)


def halved(plain, path, examples):
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(plain), keep_io_types=True), path)


def dynamic(plain, path, examples, operations=("MatMul", "Gemm")):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(plain, path, op_types_to_quantize=list(operations), per_channel=True, weight_type=QuantType.QInt8)


def static(plain, path, examples):
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from kerasdl.deploy import unrounded

    class Reader(CalibrationDataReader):
        def __init__(self, name):
            self.batches = ({name: examples[start:start + 32]} for start in range(0, len(examples), 32))

        def get_next(self):
            return next(self.batches, None)

    ready = f"{path}.ready.onnx"
    quant_pre_process(plain, ready, skip_symbolic_shape=True)
    try:
        graph = onnx.load(ready).graph
        quantize_static(ready, path, Reader(session(ready, 1).get_inputs()[0].name), quant_format=QuantFormat.QDQ,
                        per_channel=True, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
                        op_types_to_quantize=unrounded.kinds(graph),
                        nodes_to_exclude=unrounded.nodes(graph, rows=examples.ndim == 2))
    finally:
        os.remove(ready)


def annotate(path, facts):
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, facts)
    onnx.save(model, path)


def session(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def load(path, threads):
    opened = session(path, threads)
    name = opened.get_inputs()[0].name
    return lambda x: opened.run(None, {name: x})[0]
