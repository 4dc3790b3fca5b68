"""What a team would write in an afternoon: FastAPI with one request at a time, over a pipeline of transformers, or over
a session of ONNX Runtime with its defaults.

    python benchmarks/serve_peer.py pipeline checkpoint 8101 256
    python benchmarks/serve_peer.py onnxruntime bundle 8102 256
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

Predict = Callable[[str], Any]


class Body(BaseModel):
    text: str


def pipeline(folder: Path, max_length: int) -> Predict:
    from transformers import pipeline as make

    one = make("text-classification", model=str(folder), device="cpu")
    return lambda text: one(text, truncation=True, max_length=max_length)


def onnxruntime(folder: Path, max_length: int) -> Predict:
    import numpy as np
    import onnxruntime as ort
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(max_length)
    model = folder / "onnx" / "model_quantized.onnx"
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    names = {one.name for one in session.get_inputs()}

    def predict(text: str) -> Any:
        encoded = tokenizer.encode(text)
        feed = {"input_ids": encoded.ids, "attention_mask": encoded.attention_mask, "token_type_ids": encoded.type_ids}
        arrays = {name: np.array([ids], dtype=np.int64) for name, ids in feed.items() if name in names}
        return session.run(["logits"], arrays)[0].tolist()

    return predict


def main() -> None:
    kind, folder, port, max_length = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    predict = {"pipeline": pipeline, "onnxruntime": onnxruntime}[kind](folder, max_length)
    predict("warm up")
    app = FastAPI()

    @app.post("/predict")
    def answer(body: Body) -> Any:  # a plain function: FastAPI runs it in a thread
        return {"answer": predict(body.text)}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
