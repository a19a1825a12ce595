"""LiteRT, formerly TensorFlow Lite: converted by TensorFlow, run by ai-edge-litert."""

FILE = "model.tflite"
PACKAGES = ("tensorflow", "ai_edge_litert")
RUNTIME = ("ai_edge_litert",)
LOOPS = False
QUANTIZED = {
    "float16": "weights in 16 bits",
    "dynamic": "weights in 8 bits, what they multiply rounded to 8 bits as it comes",
    "int8": "weights of a channel and activations in 8 bits, their ranges from calibration; float32 in and out",
}


def write(network, path, kind, examples):
    import tensorflow as tf

    from kerasdl.compression.quantize_aware import is_aware
    from kerasdl.deploy import unrounded

    settings = {}
    if kind:
        settings["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        settings["target_spec"] = {"supported_types": [tf.float16]}
    if kind == "int8" and not is_aware(network):  # such a network knows its ranges
        settings["representative_dataset"] = lambda: ([one[None]] for one in examples)
    if kind == "dynamic":
        network = unrounded.with_limits(network)
    network.export(path, format="litert", verbose=False, **settings)


def load(path, threads):
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=threads)
    inputs, outputs = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    held = None

    def call(x):
        nonlocal held
        if held != x.shape:
            interpreter.resize_tensor_input(inputs["index"], x.shape)
            interpreter.allocate_tensors()
            held = x.shape
        interpreter.set_tensor(inputs["index"], np.ascontiguousarray(x, inputs["dtype"]))
        interpreter.invoke()
        return interpreter.get_tensor(outputs["index"])

    return call
