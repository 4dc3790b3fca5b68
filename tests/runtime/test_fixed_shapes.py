"""Runs at the shapes of buckets, on the CPU: what a CUDA graph would replay gives what the plain path gives."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medclf.errors import BundleError, InputError, OptionError, ProviderError, SessionError
from medclf.runtime import Classifier, fixed_shapes, opening
from medclf.runtime.buckets import Bucket, Buckets
from medclf.runtime.fixed_shapes import FixedShapes
from medclf.runtime.session import OUTPUT, Session
from medclf.tokenizer import Batch

Graph = Callable[..., bytes]
TOLERANCE = 1e-5  # of logits of size 1, alone and among others: the limit of the export gate for fp32
BUCKETS = Buckets(64, max_cells=256)


@pytest.fixture(scope="module")
def model(tiny_traced_bundle: Path) -> bytes:
    return (tiny_traced_bundle / "onnx/model.onnx").read_bytes()


@pytest.fixture(scope="module")
def sessions(model: bytes) -> Iterator[tuple[Session, Session]]:
    """The plain path, and the path of fixed shapes."""
    plain, fixed = Session(model), Session(model, buckets=BUCKETS)
    yield plain, fixed
    plain.close()
    fixed.close()


def batch_of(lengths: list[int], *, seed: int = 0, holes: bool = False, wider: int = 0) -> Batch:
    """Random ids, in the padding too."""
    chance = np.random.default_rng(seed)
    ids = chance.integers(1, 300, (len(lengths), min(64, max(lengths) + wider)))
    mask = (np.arange(ids.shape[1]) < np.array(lengths)[:, None]).astype(np.int64)
    if holes:
        mask[:, 1:] *= chance.integers(0, 2, mask[:, 1:].shape)
    return Batch(ids, mask, chance.integers(0, 2, ids.shape))


def distance(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return float((np.abs(a - b) / np.maximum(1, np.abs(b))).max())  # NaN stays NaN, which no limit holds


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 64), min_size=1, max_size=30),
    seed=st.integers(0, 99),
    holes=st.booleans(),
    wider=st.integers(0, 40),
)
def test_any_mix_gives_what_the_plain_path_gives(
    sessions: tuple[Session, Session], lengths: list[int], seed: int, holes: bool, wider: int
) -> None:
    plain, fixed = sessions
    batch = batch_of(lengths, seed=seed, holes=holes, wider=wider)
    assert distance(fixed.run(batch), plain.run(batch)) <= TOLERANCE


@pytest.mark.parametrize("lengths", [[1], [64], [64] * 9, [1] * 40, [64, *[1] * 30], [16], [17], [24, 25]])
def test_edges(sessions: tuple[Session, Session], lengths: list[int]) -> None:
    plain, fixed = sessions
    batch = batch_of(lengths)
    assert distance(fixed.run(batch), plain.run(batch)) <= TOLERANCE


def test_the_order_of_the_texts_is_kept(graph: Graph) -> None:
    batch = batch_of([3, 40, 1, 64, 20, 2])
    ids = batch.input_ids * batch.attention_mask  # the sum is over all ids, whatever the mask
    logits = Session(graph(), buckets=BUCKETS).run(Batch(ids, batch.attention_mask, ids))
    assert logits.dtype == np.float32
    assert logits.tolist() == [[total, total + 1, total + 2] for total in ids.sum(axis=1)]


def test_answers_are_not_overwritten_by_the_next_run(sessions: tuple[Session, Session]) -> None:
    plain, fixed = sessions
    first, second = batch_of([9, 9], seed=1), batch_of([9, 9], seed=2)
    answers = fixed.run(first)
    assert distance(fixed.run(second), plain.run(second)) <= TOLERANCE
    assert distance(answers, plain.run(first)) <= TOLERANCE


def test_nothing_of_a_longer_batch_stays_behind(graph: Graph) -> None:
    session = Session(graph(), buckets=BUCKETS)
    session.run(batch_of([16] * 16))
    ones = np.ones((9, 2), dtype=np.int64)
    assert session.run(Batch(ones, ones, ones)).tolist() == [[2.0, 3.0, 4.0]] * 9


def test_a_row_that_is_no_text_has_a_token() -> None:
    """The graph divides by the least number of tokens of any row, so that a row without tokens would show in each."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["mask", "columns"], ["tokens"], keepdims=1),
        helper.make_node("ReduceMin", ["tokens", "rows"], ["least"], keepdims=1),
        helper.make_node("Div", ["ids", "least"], ["shares"]),
        helper.make_node("ReduceSum", ["shares", "columns"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "ones"], ["logits"]),
    ]
    constants = [
        helper.make_tensor("columns", TensorProto.INT64, [1], [1]),
        helper.make_tensor("rows", TensorProto.INT64, [1], [0]),
        helper.make_tensor("ones", TensorProto.FLOAT, [3], [1.0] * 3),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])]
    made = helper.make_graph(nodes, "least", inputs, outputs, constants)
    session = Session(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString(),
        buckets=BUCKETS,
    )
    ids = np.array([[5], [6], [7]], dtype=np.int64)
    assert session.run(Batch(ids, np.ones_like(ids), ids)).tolist() == [[5.0] * 3, [6.0] * 3, [7.0] * 3]


def test_many_threads_share_the_addresses(sessions: tuple[Session, Session]) -> None:
    plain, fixed = sessions
    batches = [batch_of([1 + seed % 30] * (1 + seed % 5), seed=seed) for seed in range(60)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(fixed.run, batches))
    assert all(distance(a, plain.run(batch)) <= TOLERANCE for a, batch in zip(answers, batches, strict=True))


def test_time_of_all_runs_is_counted(model: bytes) -> None:
    session = Session(model, buckets=BUCKETS)
    session.run(batch_of([5]))
    assert session.run_s > 0


class Recorder:
    """A session of ONNX Runtime that notes what each run was told."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.runs: list[SimpleNamespace] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        self._session.run_with_iobinding(binding, options)
        (output,) = binding.get_outputs()
        self.runs.append(
            SimpleNamespace(
                graph_id=None if options is None else options.get_run_config_entry("gpu_graph_id"),
                binding=binding,
                address=output.data_ptr(),
                shape=output.shape(),
            )
        )


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Let arrays for CUDA lie in the memory of the CPU, and note where they should have been."""
    asked: list[tuple[str, int]] = []

    def on_cpu(shape: Any, dtype: Any, device: str, number: int) -> Any:
        asked.append((device, number))
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype, "cpu", 0)

    values = SimpleNamespace(ortvalue_from_shape_and_type=on_cpu)
    monkeypatch.setattr(fixed_shapes, "require", lambda *_, **__: SimpleNamespace(OrtValue=values))
    return asked


def feed(lengths: list[int]) -> dict[str, np.ndarray]:
    batch = batch_of(lengths)
    return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}


def test_each_bucket_is_a_graph_of_its_own_on_cuda(graph: Graph, devices: list[tuple[str, int]]) -> None:
    session = Recorder(Session(graph()).check())
    fixed = FixedShapes(session, BUCKETS, output=OUTPUT, n_labels=3, device="cuda")
    for lengths in ([5], [5, 5], [5], [60, 7, 8], [9], [24] * 10, [6, 6]):
        fixed.run(feed(lengths))
    buckets = [Bucket(1, 16), Bucket(2, 16), Bucket(1, 16), Bucket(4, 64), Bucket(1, 16), Bucket(8, 24), Bucket(2, 24)]
    buckets += [Bucket(2, 16)]
    assert [run.graph_id for run in session.runs] == [str(1 + BUCKETS.all.index(bucket)) for bucket in buckets]
    assert [run.shape for run in session.runs] == [[bucket.n_rows, 3] for bucket in buckets]
    assert set(devices) == {("cuda", 0)}
    assert "0" not in {run.graph_id for run in session.runs}  # ONNX Runtime keeps it for itself


def test_a_bucket_keeps_its_addresses(graph: Graph, devices: list[tuple[str, int]]) -> None:
    session = Recorder(Session(graph()).check())
    fixed = FixedShapes(session, BUCKETS, output=OUTPUT, n_labels=3, device="cuda")
    for length in (1, 16, 40, 7, 64, 16, 40):
        fixed.run(feed([length]))
    seen = {(run.graph_id, id(run.binding), run.address) for run in session.runs}
    assert len(seen) == len({run.graph_id for run in session.runs}) == 3
    assert len(devices) == 3 * 3  # two inputs and an output, allocated once a bucket


def test_no_graph_is_asked_for_on_a_cpu(graph: Graph) -> None:
    session = Recorder(Session(graph()).check())
    FixedShapes(session, BUCKETS, output=OUTPUT, n_labels=3, device="cpu").run(feed([5]))
    assert [run.graph_id for run in session.runs] == [None]


def test_all_runs_are_of_one_thread(graph: Graph) -> None:
    names: list[str] = []

    class Named(Recorder):
        def run_with_iobinding(self, binding: Any, options: Any) -> None:
            names.append(threading.current_thread().name)
            super().run_with_iobinding(binding, options)

    fixed = FixedShapes(Named(Session(graph()).check()), BUCKETS, output=OUTPUT, n_labels=3, device="cpu")
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(fixed.run, [feed([n]) for n in range(1, 20)]))
    assert len(names) == 19
    assert len(set(names)) == 1


def test_a_text_that_no_bucket_holds(graph: Graph) -> None:
    session = Session(graph(), buckets=Buckets(8))
    with pytest.raises(InputError, match="a text has 9 tokens, expected at most 8"):
        session.run(batch_of([3, 9]))
    assert session.run(batch_of([8])).shape == (1, 3)  # and it goes on


def test_a_model_that_fails_names_the_shape_and_no_token(model: bytes) -> None:
    ids = np.full((2, 3), 77_777, dtype=np.int64)  # beyond the embeddings
    with pytest.raises(BundleError, match="failed on a batch of 2 x 3 tokens") as caught:
        Session(model, buckets=BUCKETS).run(Batch(ids, np.ones_like(ids), np.zeros_like(ids)))
    assert "77777" not in str(caught.value)


def test_closed(graph: Graph) -> None:
    session = Session(graph(), buckets=BUCKETS, name="x.onnx")
    session.run(batch_of([1]))
    session.close()
    with pytest.raises(SessionError, match=r"x\.onnx was closed\. Load it again"):
        session.run(batch_of([1]))


def test_closed_between_the_question_and_its_run(graph: Graph) -> None:
    fixed = FixedShapes(Session(graph()).check(), BUCKETS, output=OUTPUT, n_labels=3, device="cpu")
    fixed.close()
    with pytest.raises(SessionError, match="the model was closed while it was asked"):
        fixed.run(feed([1]))


@pytest.fixture
def cuda_on_cpu(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Open on the CPU what should be opened on CUDA, with all other options, and note them."""
    asked: list[dict[str, Any]] = []

    def open_on_cpu(model: bytes, **options: Any) -> Session:
        asked.append(options)
        return Session(model, **{**options, "provider": "cpu"})

    monkeypatch.setattr(opening, "Session", open_on_cpu)
    return asked


def test_a_classifier_with_cuda_graphs(
    tiny_traced_bundle: Path, texts: list[str], cuda_on_cpu: list[dict[str, Any]]
) -> None:
    with (
        Classifier.load(tiny_traced_bundle, provider="cuda", cuda_graphs=True) as fixed,
        Classifier.load(tiny_traced_bundle, provider="cuda") as plain,
    ):
        assert distance(fixed.logits(texts), plain.logits(texts)) <= TOLERANCE
        together = fixed.run_batch(fixed.encode(texts))
        assert distance(together, plain.logits(texts)) <= TOLERANCE
    assert [(one["provider"], one["buckets"]) for one in cuda_on_cpu] == [("cuda", Buckets(64)), ("cuda", None)]


@pytest.mark.parametrize("provider", ["cpu", "auto"])
def test_another_provider_is_refused(tiny_traced_bundle: Path, provider: str) -> None:
    with pytest.raises(OptionError, match=f"cuda_graphs needs provider 'cuda', got '{provider}'"):
        Classifier.load(tiny_traced_bundle, provider=provider, cuda_graphs=True)


def test_a_graph_without_padding_is_refused_with_the_command_that_writes_another(tiny_bundle: Path) -> None:
    with pytest.raises(ProviderError, match=r"model\.onnx has shapes that .* medclf-export --backend traced, which"):
        Classifier.load(tiny_bundle, provider="cuda", cuda_graphs=True)


def test_int8_is_refused_for_the_reason_that_no_export_mends(tiny_bundle: Path) -> None:
    with pytest.raises(ProviderError, match="have no CUDA kernel"):
        Classifier.load(tiny_bundle, provider="cuda", precision="int8", cuda_graphs=True)


def test_a_graph_with_padding_asks_for_cuda(tiny_traced_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medclf.runtime.session.cuda_built_in", lambda: False)
    with pytest.raises(ProviderError, match="built without CUDA"):
        Classifier.load(tiny_traced_bundle, provider="cuda", cuda_graphs=True)
