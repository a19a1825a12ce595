// The model: model.onnx, run by onnxruntime-web in one thread, and what model.json says of it.

import * as ort from "./onnxruntime/ort.js";

ort.env.wasm.numThreads = 1; // more need headers that most servers do not send
ort.env.wasm.wasmPaths = {wasm: new URL("./onnxruntime/ort.wasm", import.meta.url).href};

/** Return {facts, ask}: `ask(values, shape)` gives for each example of a batch its answers, the best first. */
export async function load() {
  const facts = await (await fetch(new URL("./model.json", import.meta.url))).json();
  const session = await ort.InferenceSession.create(new URL("./model.onnx", import.meta.url).href,
                                                    {executionProviders: ["wasm"]});
  const ask = async (values, shape) => {
    const given = new ort.Tensor("float32", Float32Array.from(values), shape);
    const {data} = (await session.run({[session.inputNames[0]]: given}))[session.outputNames[0]];
    const width = data.length / shape[0], rows = Array.from({length: shape[0]}, (_, row) => row * width);
    return rows.map((start) => answersOf([...data.slice(start, start + width)], facts));
  };
  return {facts, ask};
}

/** Return [{label, value, chosen}] of the model's numbers: probabilities, the best first, or numbers as they are. */
function answersOf(outputs, {answers, classes, thresholds}) {
  if (answers === "numbers") return outputs.map((value, index) => ({label: classes[index] ?? "", value, chosen: true}));
  const most = Math.max(...outputs), powers = outputs.map((value) => Math.exp(value - most));
  const sum = powers.reduce((one, other) => one + other, 0);
  const found = outputs.map((value, index) => ({
    label: classes[index], value: answers === "softmax" ? powers[index] / sum : 1 / (1 + Math.exp(-value))}));
  found.sort((one, other) => other.value - one.value);
  return found.map((one, place) => ({
    ...one, chosen: answers === "softmax" ? place === 0 : one.value >= (thresholds[one.label] ?? 0.5)}));
}
