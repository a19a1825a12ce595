"""What one writes by hand: python -m benchmarks.serving_bare FILE.onnx PORT, FastAPI and onnxruntime, nothing else.

A request is answered by a call of its own, with the settings that the three libraries have by default.
"""

import io
import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import Body, FastAPI
from PIL import Image
from pydantic import BaseModel
from scipy.special import softmax

session = onnxruntime.InferenceSession(sys.argv[1])
name = session.get_inputs()[0].name
app = FastAPI()


class Arrays(BaseModel):
    """A request."""

    instances: list


def answers(x):
    outputs = session.run(None, {name: x})[0]
    found = softmax(outputs, axis=1)
    return {"predictions": [{"answers": [{"class": str(index), "value": float(row[index])}
                                         for index in np.argsort(-row)[:3]]} for row in found]}


@app.get("/healthz")
def healthz():
    return {"status": "ok"}


@app.post("/predict")
def predict(request: Arrays):
    return answers(np.array(request.instances, "float32"))


@app.post("/image")
def image(data: bytes = Body(media_type="image/png")):  # noqa: B008  as FastAPI wants it
    return answers(np.asarray(Image.open(io.BytesIO(data)), "float32")[None, ..., None])


uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False)
