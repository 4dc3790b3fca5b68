"""The examples of docs/embedding.md, run as they stand there."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from medclf.runtime import Classifier

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "embed-python"


@pytest.mark.parametrize("name", ["threads.py", "workers.py"])
def test_a_script_labels_lines(name: str, tiny_bundle: Path, texts: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, tiny_bundle],
        input="\n".join(texts),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with Classifier.load(tiny_bundle) as classifier:
        assert done.stdout.splitlines() == classifier.predict(texts)


@pytest.fixture
def service(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("fastapi", reason="fastapi is not installed: pip install fastapi")
    pytest.importorskip("httpx", reason="httpx is not installed: pip install httpx")
    monkeypatch.setenv("MEDCLF_BUNDLE", str(tiny_bundle))
    monkeypatch.syspath_prepend(EXAMPLES)
    import service

    return service


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the test client's own
def test_the_web_service(service: ModuleType, texts: list[str]) -> None:
    import asyncio

    import httpx

    async def main() -> None:
        transport = httpx.ASGITransport(service.app)
        async with service.lifespan(service.app), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            calls = [client.post("/classify", json={"texts": [text]}) for text in texts[:20]]
            answers = [answer.json() for answer in await asyncio.gather(*calls)]
            classifier = service.app.state.classifier.classifier
            assert [row[0][0] for (row,) in answers] == classifier.predict(texts[:20])
            assert [len(row) for (row,) in answers] == [3] * 20
            wrong = await client.post("/classify", json={"texts": ["ba", "CANARY-7f3a\0"]})
            assert (wrong.status_code, "CANARY" in wrong.text) == (422, False)
            assert "texts[1] holds a NUL character" in wrong.text
            assert (await client.post("/classify", json={"texts": []})).status_code == 422

    asyncio.run(main())
