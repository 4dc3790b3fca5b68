"""A bundle in Hugging Face Optimum: texts on stdin, one a line; their labels and scores as JSON lines.

pip install 'optimum-onnx[onnxruntime]' torch
python examples/optimum_pipeline.py bundle [model.onnx] < texts.txt
"""

import json
import sys

from optimum.onnxruntime import ORTModelForSequenceClassification
from transformers import AutoTokenizer, pipeline

bundle, file_name = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "model.onnx"
model = ORTModelForSequenceClassification.from_pretrained(bundle, subfolder="onnx", file_name=file_name)
classifier = pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(bundle))
for labels in classifier([line.strip() for line in sys.stdin], top_k=None, truncation=True):
    print(json.dumps({one["label"]: one["score"] for one in labels}))
