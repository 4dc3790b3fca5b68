"""Write `abstracts.csv`: 640 synthetic medical abstracts in 8 classes, for `make demo` and for trying things out.

    python examples/make_sample.py [FILE]

No row comes from a paper, a patient or a data set: the terms of sample/topics.txt and the patterns of
sample/sentences.txt are composed at random, and every number is invented. The label is the specialty of the condition
that an abstract is about. Every abstract also mentions conditions, drugs and outcomes of other specialties, as history,
exclusion criterion or comparator, so that no single word gives the class away. The same seed writes the same bytes.
"""

import csv
import io
import random
import re
import sys
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent
SEED = 20
PER_CLASS = 80
WORDS = range(40, 111)

WHO = (
    "[adults|adolescents|older people|veterans|nursing home residents|pregnant women|working-age adults|men and women"
    "|patients|outpatients|inpatients|rural residents|consecutive referrals|young people|people over sixty]"
)
WHERE = (
    "[a tertiary hospital|{n} primary care practices|a national registry|{n} university centres|a district clinic"
    "|an insurance database|two public hospitals|a regional network|community settings|an academic unit]"
)
PRONOUNS = ("the condition", "this disorder", "the disease", "this diagnosis", "the illness")

STYLES = ("trial", "cohort", "case", "review")
HEADINGS = ("Background:", "Methods:", "Results:", "Conclusions:")


class Topic(NamedTuple):
    """One line of topics.txt."""

    label: str
    conditions: list[str]
    treatments: list[str]
    findings: list[str]
    outcomes: list[str]


def read_sections(path: Path) -> dict[str, list[str]]:
    """Read the lines under each "## name"; other lines that begin with "#" are comments."""
    sections: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            lines = sections.setdefault(line[3:], [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return sections


def read_topics(path: Path) -> dict[str, list[Topic]]:
    """Read the topics of each label."""
    return {
        label: [
            Topic(label, *([term.strip() for term in part.split(";")] for part in line.split("|"))) for line in lines
        ]
        for label, lines in read_sections(path).items()
    }


def abstract(topic: Topic, topics: list[Topic], sentences: dict[str, list[str]], chance: random.Random) -> str:
    """Compose a text about a topic, with asides about two others."""
    elsewhere = [other for other in topics if other.label != topic.label]
    while True:
        terms = pick_terms(topic, *chance.sample(elsewhere, 2), chance)
        text = fill(plan(sentences, chance), terms, chance)
        if len(text.split()) in WORDS:
            return text


def plan(sentences: dict[str, list[str]], chance: random.Random) -> str:
    """Choose patterns: an opening, methods and results with asides among them, mostly a closing."""

    def some(section: str, *counts: int) -> list[str]:
        return chance.sample(sentences[section], chance.choice(counts))

    style = chance.choice(STYLES)
    parts = [
        some(f"{style} opening", 1),
        some(f"{style} methods", 1, 2) + some("aside", 1),
        some(f"{style} results", 1, 2) + some("aside", 0, 0, 1),
        some("closing", 0, 1, 1),
    ]
    for part in parts:
        chance.shuffle(part)
    heads = HEADINGS if chance.random() < 0.25 else ("",) * len(parts)
    return " ".join(f"{head} {' '.join(part)}" for head, part in zip(heads, parts, strict=True) if part)


def pick_terms(topic: Topic, other: Topic, third: Topic, chance: random.Random) -> dict[str, str]:
    """Choose the terms that hold for a whole text."""
    terms = dict(zip("tu", chance.sample(topic.treatments, 2), strict=True))
    terms |= dict(zip("oq", chance.sample(topic.outcomes, 2), strict=True))
    terms |= {"d": chance.choice(topic.conditions)}
    terms["c"] = terms["d"] if chance.random() < 0.5 else chance.choice(PRONOUNS)
    terms |= dict(zip("fg", chance.sample(topic.findings, 2), strict=True))
    terms |= {"x": chance.choice(other.conditions), "xt": chance.choice(other.treatments)}
    terms |= {"xf": chance.choice(other.findings), "xo": chance.choice(other.outcomes)}
    return terms | {"y": chance.choice(third.conditions), "yt": chance.choice(third.treatments)}


def fill(pattern: str, terms: dict[str, str], chance: random.Random) -> str:
    """Resolve the alternatives and the names of a pattern, and set capitals."""
    pattern = pattern.replace("{who}", WHO).replace("{where}", WHERE)
    while "[" in pattern:
        pattern = re.sub(r"\[([^\[\]]*)\]", lambda match: chance.choice(match[1].split("|")), pattern)

    def term(match: re.Match[str]) -> str:
        return terms[match[1]] if match[1] in terms else number(match[1], chance)

    text = re.sub(r"\{(\w+)\}", term, pattern)
    text = " ".join(text.split()).replace(" ,", ",").replace(" .", ".").replace(" ;", ";")
    text = re.sub(r"\b([Aa]) (8\d|18)-", r"\1n \2-", text)
    return re.sub(r"(^|[.?:] )([a-z])", lambda match: match[1] + match[2].upper(), text)


def number(name: str, chance: random.Random) -> str:
    """Invent a number of a kind."""
    ranges = {"n": (3, 29), "many": (31, 2900), "months": (3, 60), "p": (18, 88), "p2": (9, 61), "p3": (2, 17)}
    ranges |= {"age": (19, 88), "year": (1998, 2012), "later": (2013, 2025)}
    if name in ranges:
        return str(chance.randint(*ranges[name]))
    decimals = {"lo": (0.2, 1.9), "hi": (2.0, 9.8), "hr": (0.41, 2.90), "pv": (0.001, 0.048), "ns": (0.06, 0.89)}
    return f"{chance.uniform(*decimals[name]):.{3 if name == 'pv' else 2}f}"


def rows(seed: int = SEED) -> list[tuple[str, str, str]]:
    """Compose the table: every class with the same number of rows, every topic of a class in turn."""
    chance = random.Random(seed)
    by_label = read_topics(FOLDER / "sample" / "topics.txt")
    sentences = read_sections(FOLDER / "sample" / "sentences.txt")
    topics = [topic for own in by_label.values() for topic in own]
    chosen = [own[i % len(own)] for own in by_label.values() for i in range(PER_CLASS)]
    chance.shuffle(chosen)
    return [
        (f"S{i:04}", abstract(topic, topics, sentences, chance), topic.label) for i, topic in enumerate(chosen, start=1)
    ]


def to_csv(table: list[tuple[str, str, str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("id", "text", "label"), *table])
    return text.getvalue()


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER / "abstracts.csv"
    target.write_bytes(to_csv(rows()).encode("utf-8"))
    print(f"{target}: {len(rows())} abstracts")
