// A bundle in transformers.js: texts on stdin, one a line; their labels and scores as JSON lines. Needs no network.
//
//     ONNXRUNTIME_NODE_INSTALL_CUDA=skip npm install
//     node classify.mjs bundle [fp32|q8] < texts.txt     q8 is onnx/model_quantized.onnx
import { readFileSync } from "node:fs";
import path from "node:path";
import { env, pipeline } from "@huggingface/transformers";

const [bundle, dtype = "fp32"] = process.argv.slice(2);
const folder = path.resolve(bundle);
env.allowRemoteModels = false;
env.localModelPath = path.dirname(folder);

const classifier = await pipeline("text-classification", path.basename(folder), { dtype });
for (const text of readFileSync(0, "utf8").trimEnd().split("\n")) {
  const labels = await classifier(text, { top_k: null });
  console.log(JSON.stringify(Object.fromEntries(labels.map(({ label, score }) => [label, score]))));
}
await classifier.dispose();
