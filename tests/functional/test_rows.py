"""Every row of the list of what can go wrong has its test."""

import pathlib
import re

from fake import case

HERE = pathlib.Path(__file__).resolve().parent
ROW = re.compile(r"(\d+) +(-|[\d,]+) +(.+)")
MARK = re.compile(r"[Tt]hreats rows? ((?:\d+|to|and|,|\s)+)")
NAME = re.compile(r"def test_(\d{3})_")
NUMBERS = re.compile(r"(\d+)(?:\s+to\s+(\d+))?")
# There is no spool: what would be its row is in the list to say so.
NONE = {195}


def rows():
    """Number -> statuses; none where it says "-"."""
    found = {}
    for line in (HERE / "rows").read_text().splitlines():
        if line.startswith("#"):
            continue
        number, statuses, _ = ROW.fullmatch(line).groups()
        found[int(number)] = set(map(int, re.findall(r"\d+", statuses)))
    return found


def cases():
    return [one for path in sorted(case.CASES.glob("*.toml"))
            if path.name != "bases.toml" for one in case.all_cases(path)]


def marked(text):
    """The numbers of the rows that this text names."""
    return {number for mark in MARK.findall(text)
            for first, last in NUMBERS.findall(mark)
            for number in range(int(first), int(last or first) + 1)}


def test_every_row_has_a_test():
    tested = {number for one in cases() for number in one["threats"]}
    for path in [*HERE.glob("test_*.py"),
                 *HERE.parent.glob("unit/test_*.c")]:
        text = path.read_text()
        tested |= marked(text) | set(map(int, NAME.findall(text)))
    assert len(rows()) > 170
    assert set(rows()) - tested == NONE


def test_the_status_of_a_case_is_one_of_its_row():
    known = rows()
    wrong = [f"{one!r}: {one['status']}, row {number}: {known[number]}"
             for one in cases() for number in one["threats"]
             if number in known and one["status"] not in known[number]]
    assert not wrong, "\n".join(wrong)


def test_marks_are_understood():
    assert marked("Threats rows 59 to 61, 73, and 75. Row 9") == \
        {59, 60, 61, 73, 75}
    assert marked("/* Threats row 80: x */ threats row 7") == {80, 7}
