"""What the world does to a classifier: huge texts, too little memory, processes that die, bundles that change."""

import os
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest

from medclf.bundle import read_manifest
from medclf.errors import InputError, IntegrityError, MedclfError, SessionError
from medclf.runtime import Classifier
from medclf.runtime.verify import verify

ROOT = Path(__file__).resolve().parents[2]
CANARY = "CANARY-7f3a"


@pytest.fixture(scope="module")
def classifier(tiny_bundle: Path) -> Iterator[Classifier]:
    with Classifier.load(tiny_bundle, precision="int8", threads=2) as made:
        yield made


def test_ten_megabytes_in_one_text(classifier: Classifier) -> None:
    huge = f"{CANARY} " * (10_000_000 // len(CANARY))
    with pytest.raises(InputError, match=r"texts\[1\] has 10,\d{3},\d{3} characters, at most 1,000,000") as caught:
        classifier.predict(["baba", huge])
    assert CANARY not in str(caught.value)
    answers = classifier.classify(["baba", huge, "baba"], on_error="skip")
    assert answers.labels == [*classifier.predict(["baba"]), None, *classifier.predict(["baba"])]


def test_the_longest_text_that_is_one(classifier: Classifier) -> None:
    answers = classifier.classify(["baba " * 200_000])
    assert answers.n_tokens.tolist() == [200_002]
    assert answers.truncation.n_tokens_cut == 200_002 - 64


@pytest.mark.slow
def test_a_million_texts_of_one_token(classifier: Classifier) -> None:
    n_texts = 1_000_000
    answers = classifier.classify(["baba"] * n_texts)
    assert len(answers) == n_texts
    assert set(answers.labels) == set(classifier.predict(["baba"]))
    assert np.ptp(answers.logits, axis=0).max() <= 1e-3
    assert answers.n_tokens.tolist() == [3] * n_texts


def test_a_bundle_that_is_replaced_while_it_is_loaded(bundle: Path, texts: list[str]) -> None:
    with Classifier.load(bundle, precision="fp32") as before:
        expected = before.predict(texts)
        shutil.rmtree(bundle)
        assert before.predict(texts) == expected
        bundle.mkdir()
        with pytest.raises(MedclfError, match="is not a bundle"):
            Classifier.load(bundle)
        assert before.predict(texts) == expected


def test_a_bundle_that_is_half_replaced(bundle: Path) -> None:
    model = bundle / read_manifest(bundle).models["fp32"].file
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    with pytest.raises(IntegrityError, match="model"):
        Classifier.load(bundle, precision="fp32")
    Classifier.load(bundle, precision="int8").close()  # what was not touched still opens


WORKER = """
import sys
from medclf.runtime import Classifier

classifier = Classifier.load(sys.argv[1], precision="fp32", threads=1)
for line in sys.stdin:
    print(*classifier.predict([line.strip()]), flush=True)
"""


def test_two_processes_on_one_bundle_and_one_is_killed(bundle: Path, texts: list[str]) -> None:
    with Classifier.load(bundle, precision="fp32") as here:
        expected = here.predict(texts[:5])

    def worker() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", WORKER, bundle],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(process: "subprocess.Popen[str]", text: str) -> str:
        assert process.stdin
        assert process.stdout
        process.stdin.write(text + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    with worker() as one, worker() as other:
        assert [ask(one, text) for text in texts[:5]] == expected
        assert [ask(other, text) for text in texts[:5]] == expected
        other.kill()
        assert other.wait(60) != 0
        assert [ask(one, text) for text in texts[:5]] == expected
    assert one.returncode == 0
    assert all(check.passed for check in verify(bundle))


LIMITED = """
import resource, sys
from dataclasses import replace
from pathlib import Path
from medclf.bundle import read_manifest
from medclf.errors import BundleError
from medclf.runtime import Classifier
from medclf.runtime.opening import read_encoder
from medclf.runtime.runner import Runner
from medclf.runtime.session import Session

bundle, model = map(Path, sys.argv[1:])
manifest = read_manifest(bundle)
encoder = read_encoder(bundle, manifest)
classifier = Classifier(manifest, "fp32", runner=Runner(Session(model), encoder, multi_label=False), encoder=encoder)
(expected,) = classifier.logits(["baba"]).tolist()
size = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmSize"))
_, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (int(size.split()[1]) * 1024 + 50_000_000, hard))
try:
    classifier.predict(["baba cece"] * 100)
except BundleError as error:
    print(error)
assert classifier.logits(["baba"]).tolist() == [expected]  # what fits is still answered
resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
print(len(classifier.predict(["baba cece"] * 100)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is that of Linux")
def test_a_limit_of_memory(tiny_bundle: Path, tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    nodes = [  # 4 MB a text, which come to nothing
        helper.make_node("Shape", ["input_ids"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "megabyte"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("Cast", ["input_ids"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["float", "axes"], ["sum"], keepdims=1),
        helper.make_node("Add", ["zeros", "sum"], ["large"]),
        helper.make_node("ReduceSum", ["large", "axes"], ["same"], keepdims=1),
        helper.make_node("Mul", ["same", "steps"], ["logits"]),
    ]
    constants = [
        helper.make_tensor("megabyte", TensorProto.INT64, [1], [1_000_000]),
        helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
        helper.make_tensor("steps", TensorProto.FLOAT, [3], [0.0, 1e-9, 2e-9]),
    ]
    given = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    taken = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])]
    graph = helper.make_graph(nodes, "large", given, taken, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "large.onnx"
    path.write_bytes(model.SerializeToString())
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tiny_bundle, path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    message, n_answered = done.stdout.splitlines()
    assert "failed on a batch of 100 x 4 tokens" in message
    assert "Is there memory left" in message
    assert n_answered == "100"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_after_loading(classifier: Classifier, texts: list[str]) -> None:
    expected = classifier.predict(texts)  # its threads and those of the tokenizer have run
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks among threads
        child = os.fork()
    if child == 0:
        try:
            classifier.predict(texts)
        except SessionError as error:
            os._exit(0 if "does not survive a fork" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert classifier.predict(texts) == expected


def test_closing_while_others_ask(tiny_bundle: Path, texts: list[str]) -> None:
    classifier = Classifier.load(tiny_bundle, precision="fp32", threads=2)
    expected, ended = classifier.predict(texts), []

    def client(ask: Callable[[], list[str]]) -> None:
        try:
            for _ in repeat(None):
                assert ask() == expected
        except SessionError as error:
            ended.append("was closed" in str(error))

    threads = [threading.Thread(target=client, args=(lambda: classifier.predict(texts),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    threading.Event().wait(0.2)
    classifier.close()
    for thread in threads:
        thread.join(60)
    assert ended == [True] * 4
