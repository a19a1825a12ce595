"""OpenVINO's intermediate representation: a folder with model.xml and model.bin, made of an ONNX file.

Through ONNX, as Keras' own way through TensorFlow takes less than ONNX does.
"""

from kerasdl.deploy.formats import onnx

FILE = "model"
PACKAGES = ("openvino", *onnx.PACKAGES)
LOOPS = False
QUANTIZED = {"float16": "weights in 16 bits"}  # 8 bits are NNCF's, which kerasdl does not bring


def write(network, path, kind, examples):
    import openvino

    with onnx.converted(network, path) as plain:
        openvino.save_model(openvino.convert_model(plain), f"{path}/model.xml", compress_to_fp16=kind == "float16")


def load(path, threads):
    import openvino

    # By itself it computes in bfloat16 where the processor can.
    compiled = openvino.Core().compile_model(f"{path}/model.xml", "CPU", {
        "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads})
    return lambda x: compiled(x)[0]
