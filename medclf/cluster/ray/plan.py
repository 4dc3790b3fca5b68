"""What is to be done: the tables, held against each other, and their partitions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medclf.cluster.ray.inputs import InputFile
from medclf.cluster.ray.survey import Partition, Survey, common_type


@dataclass(frozen=True)
class Planned:
    """A table of the input.

    Attributes:
        file: Which.
        survey: What it holds; None where it could not be read.
    """

    file: InputFile
    survey: Survey | None

    @property
    def partitions(self) -> list[Partition]:
        """Its partitions; none where it could not be read."""
        return self.survey.partitions if self.survey else []


@dataclass(frozen=True)
class Plan:
    """All that is to be done.

    Attributes:
        tables: In the order of their names.
        types: Kept column, as it is named in the output, without a type of its own -> its type in Arrow, in every part.
    """

    tables: list[Planned]
    types: dict[str, str]

    @property
    def partitions(self) -> list[Partition]:
        """Those of all tables."""
        return [partition for table in self.tables for partition in table.partitions]


def make_plan(surveys: Mapping[InputFile, Survey | None], kept: Mapping[str, str]) -> tuple[Plan, list[str]]:
    """Hold the tables against each other: all parts have the same columns and types.

    Args:
        surveys: Table -> what it holds; None where it could not be read.
        kept: Column of the input -> what it is called in the output.

    Returns:
        The plan, and what is wrong with tables that are like no other: they are as if they could not be read.
    """
    faults: list[str] = []
    tables: list[Planned] = []
    kinds: dict[str, set[str]] = {name: set() for name in kept}
    first: tuple[str, Mapping[str, str]] | None = None
    for file, survey in surveys.items():
        if survey:
            first = first or (file.name, survey.types)
            if fault := _difference(file.name, survey.types, *first):
                faults.append(fault)
                survey = None
        for name, seen in survey.kinds.items() if survey else ():
            kinds[name].update(seen)
        tables.append(Planned(file, survey))
    typed = first[1] if first else {}
    return Plan(tables, {new: common_type(kinds[old]) for old, new in kept.items() if old not in typed}), faults


def _difference(name: str, types: Mapping[str, str], first: str, expected: Mapping[str, str]) -> str:
    differ = [f"{column!r} is {of}, there {expected.get(column)}" for column, of in types.items()]
    differ = [text for text, (column, of) in zip(differ, types.items(), strict=True) if expected.get(column) != of]
    return (
        f"{name} has other types than {first}: {'; '.join(differ)}. Write it again like the others." if differ else ""
    )


def read_plan(document: Any) -> Plan:
    """Read a plan.

    Args:
        document: `dataclasses.asdict` of one, by way of JSON.

    Returns:
        The plan.
    """
    return Plan([_read_table(table) for table in document["tables"]], document["types"])


def _read_table(table: Any) -> Planned:
    found = table["survey"]
    if found is None:
        return Planned(InputFile(**table["file"]), None)
    partitions = [Partition(**{**one, "groups": one["groups"] and tuple(one["groups"])}) for one in found["partitions"]]
    return Planned(InputFile(**table["file"]), Survey(partitions, found["types"], found["kinds"]))
