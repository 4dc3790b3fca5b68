"""A bundle with onnxruntime and tokenizers alone: texts on stdin, one a line; their labels and scores as JSON lines.

python examples/plain_onnxruntime.py bundle [onnx/model.onnx] < texts.txt
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

bundle = Path(sys.argv[1])
session = onnxruntime.InferenceSession(bundle / (sys.argv[2] if len(sys.argv) > 2 else "onnx/model.onnx"))
config, limit = (json.loads((bundle / name).read_text()) for name in ("config.json", "tokenizer_config.json"))
tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
tokenizer.enable_truncation(limit["model_max_length"])
tokenizer.encode_special_tokens = True  # a literal "[SEP]" in a text is text
for line in sys.stdin:
    one = tokenizer.encode(line.strip())
    feed = {"input_ids": one.ids, "attention_mask": one.attention_mask, "token_type_ids": one.type_ids}
    (logits,) = session.run(["logits"], {name: np.array([ids]) for name, ids in feed.items()})[0]
    odds = np.exp(logits - logits.max())
    multi_label = config["problem_type"] == "multi_label_classification"
    scores = 1 / (1 + np.exp(-logits)) if multi_label else odds / odds.sum()
    print(json.dumps({config["id2label"][str(i)]: float(score) for i, score in enumerate(scores)}))
