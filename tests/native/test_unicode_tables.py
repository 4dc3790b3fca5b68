"""The tables of the C++ tokenizer are what `tokenizers` does now."""

import subprocess
import sys
from pathlib import Path

import pytest
import tokenizers

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_tables_are_those_that_the_generator_writes() -> None:
    head = (ROOT / "native" / "src" / "unicode_tables.inc").read_text(encoding="ascii").split("\n", 1)[0]
    if f"tokenizers {tokenizers.__version__};" not in head:
        pytest.skip(f"tokenizers {tokenizers.__version__} is installed, the tables are of another version")
    script = ROOT / "native" / "tools" / "generate_unicode.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
