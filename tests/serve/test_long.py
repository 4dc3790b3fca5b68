"""Long tests: whatever the OpenAPI document allows and forbids, and a server under load for MEDCLF_SOAK_S seconds."""

import asyncio
import logging
import os
import random
import time
from pathlib import Path

import pytest
from conftest import WORDS
from serve.conftest import Running, running

from medclf.runtime import Classifier
from medclf.serve.options import ServeOptions

pytestmark = pytest.mark.slow

logger = logging.getLogger(__name__)

SOAK_S = float(os.environ.get("MEDCLF_SOAK_S", "20"))
MAX_GROWTH_MB = 100


@pytest.mark.filterwarnings("ignore")
def test_schemathesis_finds_no_answer_that_the_document_does_not_describe(server: Running) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, given, settings

    base = f"http://127.0.0.1:{server.port}"
    schema = schemathesis.openapi.from_dict(server.get("/openapi.json").json)
    schema.config.update(base_url=base)
    checks = (schemathesis.checks.not_a_server_error,)
    operations = [one.ok() for one in schema.get_all_operations()]
    assert len(operations) >= 14
    seen = set()
    for operation in operations:

        @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def answers(case: object) -> None:
            response = case.call(base_url=base)  # type: ignore[attr-defined]
            seen.add(response.status_code)
            case.validate_response(response, checks=checks)  # type: ignore[attr-defined]
            documented = case.operation.definition.raw["responses"]  # type: ignore[attr-defined]
            assert str(response.status_code) in documented or response.status_code in (404, 405)

        answers()
    assert {200, 422} <= seen


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_a_server_under_load_answers_rightly_and_does_not_grow(tiny_bundle: Path) -> None:
    chance = random.Random(0)
    texts = [" ".join(chance.choices(WORDS, k=chance.randint(1, 120))) for _ in range(200)]
    with Classifier.load(tiny_bundle) as classifier:
        expected = classifier.predict(texts)
    n_answers, wrong, others = 0, 0, set()

    async def caller(server: Running, number: int, until: float) -> None:
        nonlocal n_answers, wrong
        mine = random.Random(number)
        while time.monotonic() < until:
            rows = [mine.randrange(len(texts)) for _ in range(mine.choice((1, 1, 1, 4, 30)))]
            reply = await asyncio.to_thread(server.post, "/v1/predict", {"texts": [texts[row] for row in rows]})
            if reply.status != 200:
                others.add(reply.status)
                continue
            n_answers += len(rows)
            wrong += sum(one["label"] != expected[row] for one, row in zip(reply.json["results"], rows, strict=True))

    async def load(server: Running, seconds: float) -> None:
        until = time.monotonic() + seconds
        await asyncio.gather(*(caller(server, number, until) for number in range(12)))

    with running(ServeOptions((str(tiny_bundle),))) as server:
        asyncio.run(load(server, 3.0))
        before = resident_mb()
        asyncio.run(load(server, SOAK_S))
        growth = resident_mb() - before
        assert server.state.service.held_bytes == 0
    logger.info("%d answers in %.0f s, %+.1f MB", n_answers, SOAK_S, growth)  # pytest --log-cli-level=INFO shows it
    assert (wrong, others) == (0, set())
    assert n_answers > 100
    assert growth < MAX_GROWTH_MB
