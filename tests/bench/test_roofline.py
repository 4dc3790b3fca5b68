"""The work that a model needs, counted as its products would be."""

import pytest

from medclf.bench.roofline import Peaks, Shape, measure_peaks
from medclf.errors import OptionError

BERT_BASE = Shape(12, 768, 3072)


def test_the_work_of_bert_base() -> None:
    # 84.93 million a token in 12 whole layers; the last one needs key and value alone, and the rest once a text
    whole = 12 * (4 * 768**2 + 2 * 768 * 3072)
    assert whole == 84_934_656
    a_token = BERT_BASE.linear_macs(2) - BERT_BASE.linear_macs(1)
    assert a_token == whole * 11 // 12 + 2 * 768**2
    assert BERT_BASE.linear_macs(1) == whole
    assert BERT_BASE.attention_macs(128) == 11 * 2 * 768 * 128**2 + 2 * 768 * 128


def test_the_time_at_the_peak() -> None:
    peaks = Peaks(BERT_BASE, fp32_gmac_per_s=100, int8_gmac_per_s=200)
    linear, attention = BERT_BASE.linear_macs(50), BERT_BASE.attention_macs(50)
    assert peaks.seconds([50, 50], int8=False) == pytest.approx(2 * (linear + attention) / 100e9)
    assert peaks.seconds([50], int8=True) == pytest.approx(linear / 200e9 + attention / 100e9)


def test_products_are_measured() -> None:
    peaks = measure_peaks(Shape(1, 8, 16), threads=2)
    assert peaks.fp32_gmac_per_s > 0
    assert peaks.int8_gmac_per_s > 0


@pytest.mark.parametrize("config", [{}, {"num_hidden_layers": 2, "hidden_size": 8}, {"dim": 8, "n_layers": 2}])
def test_a_shape_that_is_not_told(config: dict[str, int]) -> None:
    with pytest.raises(OptionError, match=r"roofline: bundle/config.json has not all of num_hidden_layers"):
        Shape.from_config(config, where="bundle/config.json")
