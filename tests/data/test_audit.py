"""Each check of an audit on a small table with the fault planted, and on one without."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medclf.bundle import TextColumns
from medclf.data.audit.audit import AuditOptions, audit
from medclf.data.audit.findings import Audit, Finding
from medclf.data.audit.lengths import Ruler, read_ruler
from medclf.data.audit.near import jaccard, near_duplicates, word_pairs
from medclf.errors import DataError, OptionError

CANARY = "CANARY-7f3a"
WORDS = ("fever", "cough", "pain", "rash", "nausea", "chills", "edema", "syncope", "angina", "ascites", "jaundice")
Rows = list[dict[str, object]]


def rows_of(n: int) -> Rows:
    """Rows without a fault: texts of 12 words, none like another; two classes; four rows a patient."""
    return [
        {
            "text": f"{CANARY} " + " ".join(f"{word}{i * 7 % 101}" for word in WORDS),
            "label": "ab"[i % 2] * 3,
            "patient": f"{CANARY} {i // 4}",
        }
        for i in range(n)
    ]


def write(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def look(tmp_path: Path, rows: Rows, ruler: Ruler | None = None, *, test: Rows | None = None, **more: object) -> Audit:
    options = AuditOptions(write(tmp_path / "notes.jsonl", rows), near=0.0)
    if test is not None:
        options = replace(options, test=write(tmp_path / "test.jsonl", test))
    found = audit(replace(options, **more), ruler or Ruler())  # type: ignore[arg-type]
    assert CANARY not in json.dumps(found.to_json())
    return found


def one(found: Audit, check: str) -> Finding:
    (only,) = (finding for finding in found.findings if finding.check == check)
    return only


def checks(found: Audit) -> set[str]:
    return {finding.check for finding in found.findings}


def test_table_without_a_fault(tmp_path: Path, tiny_encoder: Path) -> None:
    ruler, rows = read_ruler(tiny_encoder), rows_of(100)
    found = look(tmp_path, rows[:60], ruler, test=rows[60:], group_column="patient", near=0.8)
    assert checks(found) == set()
    assert {"contradictions", "leaked_texts", "leaked_groups", "near_duplicates", "one_group"} <= set(found.passed)
    assert [table.n_rows for table in found.tables] == [60, 40]
    assert (found.tables[0].ceiling, found.tables[0].n_groups) == (1.0, 15)


def test_contradictions_duplicates_and_the_ceiling(tmp_path: Path) -> None:
    rows = rows_of(40)
    rows += [{**rows[0], "label": "bbb"}, {**rows[1], "text": f" {str(rows[1]['text']).upper()}."}]
    found = look(tmp_path, rows)
    contradictions, duplicates = one(found, "contradictions"), one(found, "duplicates")
    assert (contradictions.severity, contradictions.n, contradictions.rows) == ("error", 2, (1, 41))
    assert (duplicates.severity, duplicates.n, duplicates.rows) == ("note", 4, (1, 2, 41, 42))
    assert found.tables[0].ceiling == 41 / 42
    assert found.tables[0].n_texts == 40


def test_table_that_contradicts_itself_everywhere(tmp_path: Path) -> None:
    found = look(tmp_path, [{**row, "label": label} for row in rows_of(20) for label in ("aaa", "bbb")])
    assert "Every text does: there is nothing to learn." in one(found, "contradictions").what
    assert found.tables[0].ceiling == 0.5


def test_empty_and_unusable_rows_are_counted_and_left_out(tmp_path: Path) -> None:
    rows = rows_of(30)
    rows[3]["text"], rows[5]["label"], rows[7]["text"] = "  ", None, f"{CANARY} \0"
    found = look(tmp_path, rows)
    assert one(found, "empty_texts").rows == (4,)
    assert [finding.rows for finding in found.findings if finding.check == "unusable_rows"] == [(8,), (6,)]
    assert (found.tables[0].n_rows, found.tables[0].n_usable) == (30, 27)


@pytest.mark.parametrize(
    ("check", "characters"),
    [
        ("replacement_characters", "\ufffd"),
        ("mojibake", "caf\u00c3\u00a9"),
        ("mojibake", "\u00e2\u20ac\u2122"),
        ("control_characters", "\x93"),
        ("html", "age &gt; 5"),
        ("html", "a<br/>b"),
        ("odd_spaces", "5\u00a0mg"),
    ],
)
def test_damaged_text(tmp_path: Path, check: str, characters: str) -> None:
    rows = rows_of(30)
    rows[11]["text"] = f"{rows[11]['text']} {characters}"
    assert one(look(tmp_path, rows), check).rows == (12,)


@pytest.mark.parametrize(
    "text", ["naïve café Ångström", "β-blocker µg ≥ 5 °C", "“quoted” – it’s", "年龄≥18岁（含）", "R&D; p<0.05"]
)
def test_text_of_any_language_is_not_damaged(tmp_path: Path, text: str) -> None:
    rows = rows_of(30)
    rows[11]["text"] = f"{rows[11]['text']} {text}"
    assert checks(look(tmp_path, rows)) == {"no_tokenizer"}


def labelled(names: tuple[str, str]) -> Rows:
    return [{**row, "label": names[i % 2]} for i, row in enumerate(rows_of(40))]


@pytest.mark.parametrize(
    ("names", "check", "shown"),
    [
        (("Heart failure", "heart-failure"), "label_synonyms", "'Heart failure' and 'heart-failure'"),
        (("neoplasm", "neoplasms"), "label_look_alikes", "'neoplasm' and 'neoplasms'"),
        (("asthma", "N/A"), "label_placeholders", "'N/A'"),
        (("0", "1"), "label_numbers", "'0', '1'"),
        (("asthma", "asthma;copd"), "label_separators", "'asthma;copd'"),
    ],
)
def test_suspicious_labels(tmp_path: Path, names: tuple[str, str], check: str, shown: str) -> None:
    assert shown in one(look(tmp_path, labelled(names)), check).what


@pytest.mark.parametrize(
    "names", [("type 1 diabetes", "type 2 diabetes"), ("hypertension", "hypotension"), ("C04", "C14")]
)
def test_labels_that_differ_for_a_good_reason(tmp_path: Path, names: tuple[str, str]) -> None:
    assert checks(look(tmp_path, labelled(names))) == {"no_tokenizer"}


def test_rare_labels_and_imbalance(tmp_path: Path) -> None:
    rows = rows_of(100)
    for i, row in enumerate(rows):
        row["label"] = "rare" if i < 2 else "few" if i < 9 else "many"
    found = look(tmp_path, rows)
    assert "'rare' (2)" in one(found, "tiny_classes").what
    assert "'few' (7)" in one(found, "small_classes").what
    assert "'many' is in 91.0 % of the rows, 'rare' in 2.0 %" in one(found, "imbalance").what
    assert one(look(tmp_path, [{**row, "label": "a"} for row in rows]), "one_class").severity == "error"


def test_sets_of_labels(tmp_path: Path) -> None:
    rows: Rows = [{**row, "label": [["a"], ["b", "c"], []][i % 3]} for i, row in enumerate(rows_of(60))]
    found = look(tmp_path, [*rows, {**rows[0], "label": ["a", "b"]}])
    assert (one(found, "unlabelled").n, found.tables[0].n_unlabelled) == (20, 20)
    assert one(found, "contradictions").rows == (1, 61)
    assert found.tables[0].ceiling == 60 / 61
    assert found.tables[0].label_ceiling == pytest.approx(1 - 1 / (61 * 3))


def test_groups(tmp_path: Path) -> None:
    rows = rows_of(40)

    def grouped(patients: list[object]) -> Audit:
        return look(
            tmp_path,
            [{**row, "patient": one} for row, one in zip(rows, patients, strict=True)],
            group_column="patient",
        )

    assert one(grouped([CANARY] * 40), "one_group").severity == "error"
    assert one(grouped(list(range(40))), "groups_of_one").severity == "note"
    large = grouped(["x" if i < 20 else i // 2 for i in range(40)])
    assert "one of 11 groups has 50.0 %" in one(large, "large_group").what
    across = look(tmp_path, [*rows, {**rows[0], "patient": "another"}], group_column="patient")
    assert one(across, "texts_across_groups").rows == (1, 41)
    assert "11 groups are 10" in one(across, "texts_across_groups").what


def test_leaks_into_the_test(tmp_path: Path) -> None:
    rows = rows_of(100)
    copied = {**rows[0], "label": "bbb", "patient": "new"}
    same_patient = {**rows[99], "label": "ccc", "patient": rows[0]["patient"]}
    found = look(tmp_path, rows[:60], test=[*rows[60:99], copied, same_patient], group_column="patient")
    texts, groups = one(found, "leaked_texts"), one(found, "leaked_groups")
    assert (texts.rows, groups.rows) == ((40,), (41,))
    assert "1 of these under a label that the text never has there" in texts.what
    assert "'ccc'" in one(found, "unseen_labels").what
    only_a = [row for row in rows[60:] if row["label"] == "aaa"]
    assert "'bbb'" in one(look(tmp_path, rows[:60], test=only_a), "missing_labels").what


def test_near_duplicates_in_a_table_and_across(tmp_path: Path) -> None:
    rows = rows_of(100)
    near = {**rows[5], "text": f"{rows[5]['text']} indeed", "label": "bbb" if rows[5]["label"] == "aaa" else "aaa"}
    found = look(tmp_path, [*rows[:60], near], near=0.8)
    assert one(found, "near_duplicates").rows == (6, 61)
    assert "of 1 such pair 1 with different labels" in one(found, "near_duplicates").what
    found = look(tmp_path, rows[:60], test=[*rows[60:], near], near=0.8)
    assert one(found, "nearly_leaked_texts").rows == (41,)


@settings(deadline=None, max_examples=25)
@given(texts=st.lists(st.lists(st.sampled_from("abcd"), min_size=2, max_size=6), max_size=12))
def test_near_duplicates_are_those_of_all_pairs(texts: list[list[str]]) -> None:
    keys = list(dict.fromkeys(" ".join(text) for text in texts))
    found = {(pair.first, pair.second) for pair in near_duplicates(keys, 0.8)}
    for second in range(len(keys)):
        for first in range(second):
            similarity = jaccard(word_pairs(keys[first]), word_pairs(keys[second]))
            if (first, second) in found:
                assert similarity >= 0.8
            else:
                assert similarity < 0.95  # nearer to the threshold, chance may miss one


def test_lengths_in_tokens_and_unknown_ones(tmp_path: Path, tiny_encoder: Path) -> None:
    rows: Rows = [{"text": "bace " * (i + 1), "label": "ab"[i % 2] * 3} for i in range(40)]
    found = look(tmp_path, rows, read_ruler(tiny_encoder), max_length=12)
    lengths = found.tables[0].lengths
    assert (lengths.unit, lengths.quantiles["max"], lengths.n_cut) == ("tokens", 42, 30)
    assert one(found, "truncation").rows == tuple(range(11, 21))
    assert (sum(lengths.counts), lengths.unknown_share) == (40, 0)
    found = look(tmp_path, [{**row, "text": f"{row['text']} 年龄"} for row in rows], read_ruler(tiny_encoder))
    assert one(found, "unknown_tokens").severity == "warning"


def test_words_are_counted_for_want_of_a_tokenizer(tmp_path: Path) -> None:
    found = look(tmp_path, rows_of(40), max_length=8)
    assert (found.tables[0].lengths.unit, found.tables[0].lengths.unknown_share) == ("words", None)
    assert one(found, "truncation").what.startswith("at least 40 of 40")
    assert "words were counted" in one(found, "no_tokenizer").what
    assert "unknown_tokens" not in found.passed


def test_pairs(tmp_path: Path) -> None:
    rows: Rows = [{**row, "answer": f"{CANARY} yes {i}"} for i, row in enumerate(rows_of(30))]
    columns = TextColumns(("text",), ("answer",))
    assert checks(look(tmp_path, rows, columns=columns)) == {"no_tokenizer"}
    found = look(tmp_path, [*rows, {**rows[0], "label": "bbb"}], columns=columns)
    assert one(found, "contradictions").rows == (1, 31)


def test_what_cannot_be_audited(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no row can be used \(column 'text': row 1 is empty\)"):
        look(tmp_path, [{"text": " ", "label": "a"}])
    with pytest.raises(DataError, match="has no column 'patient'"):
        look(tmp_path, [{"text": "a", "label": "a"}], group_column="patient")
    with pytest.raises(OptionError, match=r"near is 1\.5, expected 0\.3 to 0\.99, or 0"):
        AuditOptions(tmp_path, near=1.5)
    with pytest.raises(OptionError, match="max_length is 2, expected 8 or more"):
        AuditOptions(tmp_path, max_length=2)
    with pytest.raises(OptionError, match=r"no tokenizer\.json there"):
        read_ruler(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(OptionError, match=r"tokenizer\.json is not a tokenizer, or is damaged"):
        read_ruler(tmp_path)
