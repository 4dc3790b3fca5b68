"""What can be checked of files for deployment without Docker, Kubernetes and Grafana."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from serve.conftest import Running, running

from medclf.cli.serve import serve
from medclf.serve.keys import add_key
from medclf.serve.options import ServeOptions

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def test_every_option_in_them_exists() -> None:
    app = typer.Typer()
    app.command()(serve)
    known = {option for one in typer.main.get_command(app).params for option in one.opts}
    unit = re.findall(r"^ExecStart=(.*)$", (DEPLOY / "systemd/medclf-serve.service").read_text(), re.M)
    manifest = re.findall(r"args: (.*)", (DEPLOY / "kubernetes/medclf-serve.yaml").read_text())
    images = [
        line
        for name in ("Dockerfile", "Dockerfile.cuda")
        for line in re.findall(r"^(?:ENTRYPOINT|CMD) (.*)$", (DEPLOY / "docker" / name).read_text(), re.M)
    ]
    used = {option for line in (*unit, *manifest, *images) for option in re.findall(r"--[a-z][a-z-]+", line)}
    assert {"--bundle", "--api-key-file", "--host", "--provider"} <= used <= known


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_containers_run_as_nobody_and_have_a_health_check(name: str) -> None:
    text = (DEPLOY / "docker" / name).read_text()
    last = text[text.rindex("FROM ") :]
    assert re.search(r"^USER \d+$", last, re.M)
    assert "HEALTHCHECK" in last


def test_the_unit_is_one_that_systemd_reads() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = DEPLOY / "systemd/medclf-serve.service"
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    told = [line for line in done.stderr.splitlines() if "medclf-serve.service" in line]
    assert [line for line in told if "is not executable" not in line] == []  # the program itself is not there


def test_the_dashboard_asks_for_metrics_that_exist(server: Running) -> None:
    dashboard = json.loads((ROOT / "docs" / "grafana-medclf-serve.json").read_bytes())
    asked = {name for panel in dashboard["panels"] for target in panel["targets"]
             for name in re.findall(r"medclf_\w+", target["expr"])}  # fmt: skip
    server.post("/v1/predict", {"texts": "baba"})
    text = server.get("/metrics").body.decode()
    families = set(re.findall(r"^# TYPE (\w+)", text, re.M))
    known = families | {f"{family}_bucket" for family in families}
    assert len(asked) > 12
    assert asked <= known


def test_the_probe_asks_with_a_key(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medclf.serve import probe

    key = tmp_path / "probe-key"
    key.write_text(add_key(tmp_path / "keys", "probe") + "\n")

    def code(url: str) -> object:
        monkeypatch.setattr(sys, "argv", ["probe", url])
        with pytest.raises(SystemExit) as caught:
            probe.main()
        return caught.value.code

    with running(ServeOptions((str(tiny_bundle),), api_key_file=tmp_path / "keys")) as server:
        url = f"http://127.0.0.1:{server.port}"
        assert code(url) == 1
        monkeypatch.setenv("MEDCLF_API_KEY_FILE", str(key))
        assert code(url) == 0
        server.state.draining = True
        assert code(url) == 1
    assert code(url) == 1
