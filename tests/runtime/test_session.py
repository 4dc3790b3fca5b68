import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from medclf.errors import BundleError, ExtraError, OptionError, ProviderError, SessionError
from medclf.runtime import session as module
from medclf.runtime.buckets import Buckets
from medclf.runtime.session import CPU, CUDA, Operator, Session, operators
from medclf.tokenizer import Batch

Graph = Callable[..., bytes]


def batch_of(*rows: list[int]) -> Batch:
    ids = np.array(rows, dtype=np.int64)
    return Batch(ids, np.ones_like(ids), np.zeros_like(ids))


def test_inputs_are_given_by_name(graph: Graph) -> None:
    for names in (
        ("input_ids", "attention_mask"),
        ("input_ids", "token_type_ids", "attention_mask"),
    ):
        logits = Session(graph(names)).run(batch_of([1, 2], [3, 4]))
        assert logits.dtype == np.float32
        assert logits.tolist() == [[3.0, 4.0, 5.0], [7.0, 8.0, 9.0]]


def test_what_is_known_of_a_model(graph: Graph) -> None:
    session = Session(graph())
    assert (session.provider, session.n_labels) == ("cpu", 3)


def test_the_options_of_onnxruntime(graph: Graph) -> None:
    for threads, spins in ((1, "0"), (3, "1")):
        options = Session(graph(), threads=threads).check().get_session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (threads, 1)
        assert options.enable_mem_pattern is False
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == spins
        assert options.get_session_config_entry("session.force_spinning_stop") == "1"


@pytest.mark.parametrize("model", [b"", b"CANARY-7f3a", b"\x08\x0a" * 40])
def test_bytes_that_are_no_model(model: bytes) -> None:
    with pytest.raises(BundleError, match=r"^model\.onnx cannot be opened by onnxruntime") as caught:
        Session(model, name="model.onnx")
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": ("ids", "attention_mask")}, "has the inputs attention_mask, ids, expected input_ids"),
        ({"inputs": ("input_ids", "attention_mask", "pixels")}, "has the inputs attention_mask, input_ids, pixels"),
        ({"output": "scores"}, r"has no output logits \[batch, labels\]"),
    ],
)
def test_a_model_that_is_no_classifier(graph: Graph, changes: dict[str, object], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        Session(graph(**changes))


def test_a_batch_that_fails_names_its_shape_and_no_token(graph: Graph, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = Batch(*(np.array([[7777, 2, 3]], dtype=np.int32),) * 3)  # type: ignore[arg-type]
    with pytest.raises(BundleError, match="failed on a batch of 1 x 3 tokens") as caught:
        Session(graph()).run(wrong)
    assert "7777" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # ONNX Runtime logs nothing of its own


def test_weights_outside_the_file_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from onnx import TensorProto, helper

    monkeypatch.chdir(tmp_path)
    Path("weights.bin").write_bytes(np.arange(300, dtype=np.float32).tobytes())
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[100, 3], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", "1200")):
        weights.external_data.add(key=key, value=value)
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    nodes = [
        helper.make_node("ReduceSum", ["input_ids", "axes"], ["sum"], keepdims=0),
        helper.make_node("Gather", ["w", "sum"], ["logits"]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])]
    made = helper.make_graph(nodes, "outside", inputs, outputs, [weights, axes])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(BundleError, match="cannot be opened by onnxruntime"):
        Session(model.SerializeToString())


def test_closed(graph: Graph) -> None:
    session = Session(graph(), name="x.onnx")
    session.close()
    with pytest.raises(SessionError, match=r"x\.onnx was closed\. Load it again"):
        session.run(batch_of([1]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_is_refused_in_the_child(graph: Graph) -> None:
    session = Session(graph())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks among threads
        child = os.fork()
    if child == 0:
        try:
            session.run(batch_of([1]))
        except SessionError as error:
            os._exit(0 if "does not survive a fork" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert session.run(batch_of([1])).shape == (1, 3)  # the parent's lives on


def test_an_unknown_provider(graph: Graph) -> None:
    with pytest.raises(ProviderError, match="provider is 'tpu', expected one of cpu, cuda"):
        Session(graph(), provider="tpu")


def test_cuda_that_was_not_built_in(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cuda_built_in", lambda: False)
    with pytest.raises(ProviderError, match=r"built without CUDA.*medclf\[gpu\]"):
        Session(graph(), provider="cuda")


def fake_onnxruntime(obtained: str) -> SimpleNamespace:
    """An onnxruntime that was built with CUDA and gives the provider `obtained`."""
    inputs = [SimpleNamespace(name=name) for name in ("input_ids", "attention_mask")]
    made = SimpleNamespace(
        get_providers=lambda: [obtained, CPU],
        disable_fallback=lambda: None,
        get_inputs=lambda: inputs,
        get_outputs=lambda: [SimpleNamespace(name="logits", shape=["batch", 3])],
    )
    return SimpleNamespace(
        __version__="0",
        __file__="/nowhere/onnxruntime/__init__.py",
        get_available_providers=lambda: [CUDA, CPU],
        GraphOptimizationLevel=SimpleNamespace(ORT_ENABLE_ALL=99),
        SessionOptions=lambda: SimpleNamespace(add_session_config_entry=lambda *_: None),
        InferenceSession=lambda *_, **__: made,
    )


def test_cuda_that_falls_back_in_silence_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "require", lambda *_, **__: fake_onnxruntime(CPU))
    with pytest.raises(ProviderError, match=r"was built with it and could not start it\. .*\. It needs the driver"):
        Session(b"", provider="cuda")


def test_cuda_that_is_obtained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "require", lambda *_, **__: fake_onnxruntime(CUDA))
    assert Session(b"", provider="cuda").provider == "cuda"


@pytest.mark.parametrize(
    ("asked_for", "expected"),
    [
        ({}, {}),
        ({"cuda_memory_mb": 512}, {"gpu_mem_limit": "536870912"}),
        ({"buckets": Buckets(64)}, {"enable_cuda_graph": "1"}),
        ({"buckets": Buckets(64), "cuda_memory_mb": 1}, {"enable_cuda_graph": "1", "gpu_mem_limit": "1048576"}),
    ],
)
def test_the_options_of_cuda(
    monkeypatch: pytest.MonkeyPatch, asked_for: dict[str, object], expected: dict[str, str]
) -> None:
    fake, asked = fake_onnxruntime(CUDA), {}
    made = fake.InferenceSession()
    fake.InferenceSession = lambda *_, **given: asked.update(given) or made
    monkeypatch.setattr(module, "require", lambda *_, **__: fake)
    Session(b"", provider="cuda", **asked_for)
    assert asked["providers"] == [(CUDA, {"arena_extend_strategy": "kSameAsRequested", **expected})]


@pytest.mark.parametrize(("buckets", "told"), [(Buckets(64), True), (None, False)])
def test_a_model_that_cuda_graphs_cannot_run(
    monkeypatch: pytest.MonkeyPatch, buckets: Buckets | None, told: bool
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("not all nodes")

    fake = fake_onnxruntime(CUDA)
    fake.InferenceSession = refuse
    monkeypatch.setattr(module, "require", lambda *_, **__: fake)
    with pytest.raises(BundleError, match=r"cannot be opened by onnxruntime 0 \(RuntimeError\)") as caught:
        Session(b"", provider="cuda", buckets=buckets)
    assert ("try without cuda_graphs" in str(caught.value)) is told


def test_an_arena_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "require", lambda *_, **__: fake_onnxruntime(CUDA))
    with pytest.raises(OptionError, match="cuda_memory_mb is 0, expected at least 1"):
        Session(b"", provider="cuda", cuda_memory_mb=0)


def test_onnxruntime_that_is_not_installed(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    model = graph()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # an import of it fails
    with pytest.raises(ExtraError, match=r"onnxruntime is not installed.*pip install 'medclf\[cpu\]'"):
        Session(model)


def test_the_operators_that_run(graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = operators(graph(), batch_of([1, 2], [3, 4]))
    assert found[Operator("ReduceSum", "cpu", "int64")] == 1
    assert found[Operator("Add", "cpu", "float")] == 1
    assert {one.name for one in found} == {"ReduceSum", "Cast", "Add"}  # a product with 1 is optimised away
    assert not any(tmp_path.iterdir())  # the profile is not left in the current folder


def test_operators_of_a_batch_that_fails(graph: Graph) -> None:
    wrong = Batch(*(np.array([[7777, 2, 3]], dtype=np.int32),) * 3)  # type: ignore[arg-type]
    with pytest.raises(BundleError, match=r"^x\.onnx failed on a batch of 1 x 3 tokens"):
        operators(graph(), wrong, name="x.onnx")
