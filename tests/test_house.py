"""Rules that hold for the whole repository: contracts, sizes, declared imports, documents that fit the code."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (ROOT / "medclf", ROOT / "export" / "medclf_export")
SOURCES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))
COMMANDS = (
    "audit",
    "train",
    "crossval",
    "export",
    "verify",
    "predict",
    "bench",
    "plan",
    "serve",
    "evaluate",
    "explain",
)
DISTRIBUTION = {
    "huggingface_hub": "huggingface-hub",
    "sklearn": "scikit-learn",
    "optimum": "optimum-onnx",
    "prometheus_client": "prometheus-client",
    "opentelemetry": "opentelemetry-sdk",
    "pydantic_core": "pydantic",
    "mlflow": "mlflow-skinny",
}  # where the import name is another


def test_import_contracts_hold():
    lint = Path(sys.executable).parent / "lint-imports"
    if not lint.exists():
        pytest.skip("import-linter is not installed: pip install -e '.[dev]'")
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'export'}"}
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_third_party_import_is_declared():
    declared = {name.lower() for name in re.findall(r'"([A-Za-z0-9_.-]+?)(?:\[[\w,]+\])?[<>=]=?', _dependencies())}
    imported = {name for path in SOURCES for name in _imports(path)}
    foreign = imported - set(sys.stdlib_module_names) - {"medclf", "medclf_export"}
    assert {"numpy", "torch", "onnxruntime"} <= foreign  # the search finds something
    assert {DISTRIBUTION.get(name, name) for name in foreign} - declared == set()


def _dependencies() -> str:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return text[text.index("\ndependencies") : text.index("\n[project.scripts]")]


def _imports(path: Path) -> set[str]:
    """Top-level modules of import statements and of `require`, wherever they stand in a file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "require":
            names |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return {name.split(".")[0] for name in names}


def test_no_file_is_over_400_lines():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert lengths
    assert {name: n for name, n in lengths.items() if n > 400} == {}


def test_every_pinned_version_is_one_line_without_a_host():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    wrong = [line for line in pins if not re.fullmatch(r'[a-z0-9-]+==[0-9.]+(; python_version (<|>=) "3\.\d+")?', line)]
    assert pins
    assert wrong == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_documents_name_options_that_exist(name):
    options = _options(name)
    documents = "\n".join(path.read_text(encoding="utf-8") for path in _documents())
    used = {
        option
        for call in re.findall(rf"medclf-{name}\b((?:[^\n`]|\\\n)*)", documents)
        for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", call)
    }
    assert used - options == set()


def test_options_named_alone_exist_in_some_command():
    known = set().union(*(_options(name) for name in COMMANDS))
    documents = "\n".join(path.read_text(encoding="utf-8") for path in _documents())
    alone = set(re.findall(r"`(--[a-z][a-z0-9-]+)[^`]*`", documents))
    assert alone
    assert alone - known == set()


def test_the_python_of_the_readme_runs(tiny_bundle, monkeypatch, capsys):
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    monkeypatch.chdir(tiny_bundle.parent)
    exec(compile(block, "README.md", "exec"), {})
    assert "{2: 'is empty'}" in capsys.readouterr().out


def _documents() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _options(name: str) -> set[str]:
    """The options of a command, as its parser knows them."""
    module = __import__(f"medclf.cli.{name}", fromlist=["main"])
    function = next(getattr(module, own) for own in (name, "command") if hasattr(module, own))
    app = typer.Typer()
    app.command()(function)
    command = typer.main.get_command(app)
    return {option for parameter in command.params for option in parameter.opts} | {"--help"}


def test_links_between_documents_lead_somewhere():
    documents = [*_documents(), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    links = [
        (path.name, target)
        for path in documents
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]
    assert links == []


def test_no_tracked_file_names_a_path_of_a_machine():
    try:
        listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    pattern = re.compile(rb"(?<![\w.])/(?:home|root|Users|work|tmp)/[\w.-]+/")
    names = [ROOT / name.decode() for name in listing.split(b"\0") if name]
    found = [str(path.relative_to(ROOT)) for path in names if path.is_file() and pattern.search(path.read_bytes())]
    assert found == []
