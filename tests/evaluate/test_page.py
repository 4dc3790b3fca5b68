"""A page that needs no network, with tables and pictures inside."""

import re

import pytest
from matplotlib.figure import Figure

from medclf.evaluate.page import page, picture, table


def chart(name: str) -> Figure:
    figure = Figure(figsize=(4, 2))
    figure.add_subplot().barh([name], [3])
    return figure


def test_page_with_a_picture_asks_for_nothing() -> None:
    written = page("a < b", [picture(chart("class"), "Rows & classes"), "", table(("n", "name"), [(1234, "<x>")])])
    assert "<title>a &lt; b</title>" in written
    assert '<td class="n">1,234</td><td>&lt;x&gt;</td>' in written
    assert '<figure role="img" aria-label="Rows &amp; classes"><svg ' in written
    assert "<?xml" not in written
    assert re.findall(r'(?:src|href)="(?!#)[^"]*"', written) == []


@pytest.mark.parametrize("name", ["neoplasms", "心血管疾病"])
def test_names_in_a_picture_are_text(name: str) -> None:
    assert f">{name}</text>" in picture(chart(name), "names")
