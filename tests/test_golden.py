"""Bundles record what their models answer to the golden texts: the texts must never change."""

import hashlib
import json

from medclf.golden import TEXTS
from medclf.text import text_fault


def test_the_golden_texts_are_frozen() -> None:
    digest = hashlib.sha256(json.dumps(TEXTS).encode()).hexdigest()
    assert digest == "d70ee4b6a2b538815970549b1a72fa806f7d4b572d0be5b93cfc491c7e0202e5"


def test_the_golden_texts_can_be_classified() -> None:
    assert [text_fault(text) for text in TEXTS] == [None] * len(TEXTS)
