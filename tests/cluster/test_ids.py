"""Ids that repeat are found, and nothing else is."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medclf.cluster.ray.ids import SeenIds, ids_of, repeated
from medclf.data.readers import Fault, Row
from medclf.errors import DataError


@given(st.lists(st.lists(st.integers(0, 60), max_size=8, unique=True), max_size=30))
def test_seen_ids_are_a_set(partitions: list[list[int]]) -> None:
    seen, known = SeenIds(), set[int]()
    for ids in partitions:
        position = seen.add(np.array(ids, dtype=np.uint64))
        again = [i for i, one in enumerate(ids) if one in known and one]
        assert position in again if again else position is None
        if position is None:
            known |= set(ids)
    lengths = [len(run) for run in seen._runs]
    assert all(longer > 2 * shorter for longer, shorter in pairwise(lengths))


def test_ids_of_rows() -> None:
    rows = [Row(1, {"id": 5}), Row(2, {}, Fault("", "is broken")), Row(3, {"id": "5"}), Row(4, {}, Fault("", "too"))]
    ids = ids_of(rows, "id")
    assert ids[1] == ids[3] == 0
    assert repeated(ids) == (0, 2)
    assert repeated(ids[:2]) is None
    with pytest.raises(DataError, match=r"row 7, column 'id' has no id"):
        ids_of([Row(7, {"id": ""})], "id")
