from pathlib import Path


def test_it(tiny_bundle: Path) -> None:
    print(sorted(p.name for p in tiny_bundle.rglob("*")))
