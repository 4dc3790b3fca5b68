"""`medclf-verify`: is this folder the bundle that was exported, and does it answer here as it did there?"""

import json
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from medclf.cli.app import run


class Provider(str, Enum):
    """Where models run."""

    cpu = "cpu"
    cuda = "cuda"


def verify(
    bundle: Annotated[Path, typer.Option(help="The bundle's folder.")] = Path("bundle"),
    provider: Annotated[Provider, typer.Option(help="Where the models run; INT8 stays on the CPU.")] = Provider.cpu,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check a bundle: manifest, size and hash of every file, each model, its answers to known texts, its operators."""
    from medclf.runtime.verify import verify as checks_of

    checks = checks_of(bundle, provider=provider.value)
    passed = all(check.passed for check in checks)
    if as_json:
        typer.echo(
            json.dumps({"bundle": str(bundle), "passed": passed, "checks": [asdict(c) for c in checks]}, indent=2)
        )
    else:
        for check in checks:
            typer.echo(f"{'ok    ' if check.passed else 'FAILED'}  {check.name}: {check.detail}")
        n_failed = sum(not check.passed for check in checks)
        typer.echo(f"{len(checks)} checks, all passed." if passed else f"{len(checks)} checks, {n_failed} failed.")
    if not passed:
        raise typer.Exit(1)


def main() -> None:
    """Run the command."""
    run(verify)
