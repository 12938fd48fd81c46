from __future__ import annotations

from nda_mm.datasets.report import FileReport


def test_a_report_lists_kinds_and_files_up_to_a_limit() -> None:
    report = FileReport()
    assert report.lines() == []
    report.add("unknown class", "c.xml", "'cat'")
    for number in range(25):
        report.add("unusable box", f"{number}.xml")
    assert report.lines(["unknown class"]) == ["1 x unknown class: c.xml ('cat')"]
    assert report.lines()[1].startswith("25 x unusable box: 0.xml; 1.xml; ")
    assert report.lines()[1].endswith("19.xml and 5 more")
