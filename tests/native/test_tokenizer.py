"""The C++ tokenizer gives the ids of medclf/tokenizer.py, which are those of Hugging Face `tokenizers`."""

import random
import struct
import subprocess
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import SPECIAL, WORDS
from golden_native import AFFIXES, CASED, NASTY, SETUPS, UNCASED, Ids, Setup, expected

Tokenize = Callable[..., Ids]


@pytest.fixture(scope="module")
def tokenize(native_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Tokenize:
    folder = tmp_path_factory.mktemp("tokenizer")

    def run(setup: Setup, texts: Sequence[bytes], *, pairs: bool = False) -> Ids:
        (folder / "options.json").write_text(setup.options(pairs=pairs), encoding="utf-8")
        data = b"".join(struct.pack("=I", len(text)) + text for text in texts)
        program = native_build / "native" / "tests" / "tokenize"
        done = subprocess.run([program, folder / "options.json"], input=data, capture_output=True, check=True)
        return answers(np.frombuffer(done.stdout, dtype=np.int32))

    return run


def answers(numbers: np.ndarray) -> Ids:
    found, at = [], 0
    while at < len(numbers):
        n_tokens, n_first, n_ids = numbers[at : at + 3].tolist()
        found.append((n_tokens, n_first, numbers[at + 3 : at + 3 + n_ids].tolist()))
        at += 3 + n_ids
    return found


def same(tokenize: Tokenize, setup: Setup, texts: Sequence[str]) -> None:
    found = tokenize(setup, [text.encode() for text in texts])
    wrong = [i for i, (a, b) in enumerate(zip(found, expected(setup, texts), strict=True)) if a != b]
    assert wrong == [], f"first: {ascii(texts[wrong[0]])[:200]}"


def character_vocabulary() -> tuple[str, ...]:
    """Nearly every character that is assigned, so that [UNK] hides nothing; CJK and Hangul in part."""
    bulk = (range(0x3500, 0x4D00), range(0x5000, 0x9F00), range(0xAD00, 0xD700), range(0x17000, 0x1B000))
    points = (c for c in range(33, 0x1FB00) if not any(c in part for part in bulk))
    single = [chr(c) for c in points if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co", "Zs", "Cc")]
    return (*SPECIAL, *single, *(f"##{c}" for c in single))


def code_points(*, every: bool) -> list[int]:
    low = range(1, 0x3200)
    wanted = range(1, 0x110000) if every else [*low, *range(0x3200, 0x110000, 61), *range(0xF900, 0x11000)]
    return [c for c in wanted if not 0xD800 <= c < 0xE000]


def random_text(chance: random.Random) -> str:
    pools = [
        lambda: chance.choice(WORDS), lambda: chance.choice(AFFIXES), lambda: " ", lambda: chr(chance.randint(0, 0x7F)),
        lambda: chr(chance.randint(0x80, 0x24F)), lambda: chr(chance.randint(0x300, 0x36F)),
        lambda: chr(chance.randint(0x370, 0x1FFF)), lambda: chr(chance.randint(0x2000, 0x33FF)),
        lambda: chr(chance.randint(0xAC00, 0xD7A3)), lambda: chr(chance.randint(0xE000, 0x1FFFF)),
        lambda: chr(chance.randint(0x4E00, 0x4E80)), lambda: chance.choice(SPECIAL),
        lambda: chr(chance.choice((0x302E, 0x1B44, 0x0F73, 0x1D165, 0x16FF0, 0x0E38, 0x0E48, 0x3099))),
    ]  # fmt: skip
    return "".join(chance.choice(pools)() for _ in range(chance.randint(0, 40)))


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
def test_nasty_texts(tokenize: Tokenize, setup: Setup) -> None:
    same(tokenize, setup, NASTY)


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
@pytest.mark.parametrize("n_texts", [1_000, pytest.param(40_000, marks=pytest.mark.slow)])
def test_random_texts(tokenize: Tokenize, setup: Setup, n_texts: int) -> None:
    chance = random.Random(n_texts)
    same(tokenize, setup, [random_text(chance) for _ in range(n_texts)])


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("cased", [False, True])
def test_code_points(tokenize: Tokenize, every: bool, cased: bool) -> None:
    setup = Setup(character_vocabulary(), strip_accents=not cased, lowercase=not cased)
    points = code_points(every=every)
    same(
        tokenize,
        setup,
        [" ".join(f"a{chr(c)}b {chr(c)}" for c in points[i : i + 16]) for i in range(0, len(points), 16)],
    )


@pytest.mark.parametrize("setup", [UNCASED, CASED], ids=["uncased", "cased"])
def test_bytes_that_are_no_utf8(tokenize: Tokenize, setup: Setup) -> None:
    chance = random.Random(3)
    alphabet = bytes([*range(0x20, 0x7F, 7), *range(0x80, 0x100), 0xE2, 0x82, 0xAC, 0xED, 0xA0, 0xF4, 0x8F, 0xBF, 0xC3])
    texts = [bytes(chance.choices(alphabet, k=chance.randint(0, 30))) for _ in range(5_000)]
    assert tokenize(setup, texts) == expected(setup, [text.decode("utf-8", "replace") for text in texts])


@pytest.mark.parametrize("max_length", [2, 3, 4, 17, 64])
def test_truncation(tokenize: Tokenize, texts: list[str], max_length: int) -> None:
    same(tokenize, Setup(max_length=max_length), texts)


@pytest.mark.parametrize("max_length", [3, 4, 5, 16, 17, 64, 4096])
def test_pairs(tokenize: Tokenize, texts: list[str], max_length: int) -> None:
    chance = random.Random(max_length)
    firsts, seconds = chance.choices([*texts, *NASTY], k=300), chance.choices([*texts, *NASTY], k=300)
    mixed = [text.encode() for both in zip(firsts, seconds, strict=True) for text in both]
    setup = Setup(max_length=max_length)
    assert tokenize(setup, mixed, pairs=True) == expected(setup, firsts, seconds)
