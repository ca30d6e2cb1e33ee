"""The command line's own parts: readers of any bytes, cells on a terminal, files, the picture."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from contextlib import ExitStack
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from affectrt.cli import readers
from affectrt.cli.arc_svg import Point, arc_svg
from affectrt.cli.common import atomic_writer
from affectrt.cli.emotion_groups import GROUPS
from affectrt.cli.readers import BadLine, Columns, LineReader, Pause, Row
from affectrt.cli.terminal import bar, cells, fit, printable, wrap
from affectrt.errors import InputError

LINES = st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])))


def read(kind: str, content: bytes, columns: Columns | None = None) -> list[Row | BadLine]:
    lines = LineReader(io.BytesIO(content), "input")
    items = readers.READERS[kind](lines, columns or Columns())
    return [item for item in items if not isinstance(item, Pause)]


@given(LINES)
def test_txt_gives_every_line_that_is_not_blank(texts: list[str]) -> None:
    rows = read("txt", "\n".join(texts).encode())
    expected = [
        (number, text)
        for number, text in enumerate(texts, start=1)
        if text.removeprefix("\ufeff" if number == 1 else "").strip()
    ]
    assert [row.line for row in rows] == [number for number, _ in expected]
    for row, (number, text) in zip(rows, expected, strict=True):
        assert isinstance(row, Row)
        assert row.text == (text.removeprefix("\ufeff") if number == 1 else text)


@given(LINES)
def test_jsonl_round_trip(texts: list[str]) -> None:
    content = "\r\n".join(json.dumps({"text": text, "n": 1}) for text in texts)
    rows = read("jsonl", content.encode())
    assert len(rows) == len(texts)
    for number, (row, text) in enumerate(zip(rows, texts, strict=True), start=1):
        assert row.line == number
        assert isinstance(row, Row if text.strip() else BadLine)
        assert not isinstance(row, Row) or row.text == text


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"))))
def test_csv_round_trip(texts: list[str]) -> None:
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(["id", "text"])
    for number, text in enumerate(texts):
        writer.writerow([number, text])
    rows = read("csv", content.getvalue().encode())
    assert len(rows) == len(texts)
    line = 2
    for row, text in zip(rows, texts, strict=True):
        assert row.line == line
        assert isinstance(row, Row if text.strip() else BadLine)
        assert not isinstance(row, Row) or row.text == text
        line += 1 + text.count("\n")


@given(st.binary(max_size=400), st.sampled_from(["txt", "jsonl", "csv", "tsv"]))
def test_any_bytes_give_rows_or_reasons(content: bytes, kind: str) -> None:
    try:
        items = read(kind, content)
    except InputError as error:
        event(str(error)[:20])  # a file that is refused as a whole
        return
    for item in items:
        assert 1 <= item.line <= content.count(b"\n") + 1
        if isinstance(item, Row):
            assert item.text.strip()
            item.text.encode("utf-8")
        else:
            assert item.reason


def test_lines_longer_than_the_limit_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "LINE_LIMIT_BYTES", 1 << 20)
    content = b"happy\n" + b"x" * (3 << 20) + b"\nsad\n"
    first, second, third = read("txt", content)
    assert isinstance(first, Row)
    assert second == BadLine(2, "longer than 1 MiB")
    assert third == Row(3, "sad")


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    content = "\ufeffnaïve\r\n東京\n\nlast".encode()
    whole = read("txt", content)
    monkeypatch.setattr(readers, "_BLOCK_BYTES", 3)
    assert read("txt", content) == whole
    assert [row.line for row in whole] == [1, 2, 4]


def test_pauses_come_when_all_that_arrived_is_read() -> None:
    lines = LineReader(io.BytesIO(b"a\nb\nc"), "input")
    kinds = [type(item).__name__ for item in readers.read_txt(lines, Columns())]
    assert kinds == ["Row", "Row", "Pause", "Row"]


@given(st.text(max_size=80), st.integers(1, 40))
def test_cells(text: str, width: int) -> None:
    fitted = fit(text, width)
    assert cells(fitted) == width
    assert "\n" not in fitted
    assert "\x1b" not in fitted
    for line in wrap(text, max(2, width)):
        assert cells(line) <= max(2, width)
    assert printable(printable(text)) == printable(text)


def test_wide_and_joined_characters() -> None:
    assert cells("東京") == 4
    assert cells("e\u0301") == 1
    assert fit("東京都", 4) == "東… "
    assert wrap("one two three", 7) == ["one two", "three"]
    assert wrap("", 7) == [""]
    assert printable("a\u200db\x1b[1m\u202e\n") == "a\u200db\ufffd[1m "


@pytest.mark.parametrize("share", [-1.0, 0.0, 0.03, 0.5, 0.999, 1.0, 7.0])
def test_bars_have_their_width(share: float) -> None:
    for width in (1, 12):
        assert len(bar(share, width)) == width
        assert len(bar(share, width, unicode=False)) == width
    assert bar(1.0, 3) == "███"
    assert bar(0.5, 1) == "▌"


def test_atomic_writer_keeps_mode_and_links(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("before")
    file.chmod(0o640)
    link.symlink_to(file)
    with atomic_writer(str(link)) as stream:
        stream.write("after")
        assert file.read_text() == "before"
    assert link.is_symlink()
    assert file.read_text() == "after"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    stopped = ExitStack()
    stopped.enter_context(atomic_writer(str(file))).write("half")
    assert len(os.listdir(tmp_path)) == 3
    assert not stopped.__exit__(RuntimeError, RuntimeError("stop"), None)  # it goes on
    assert file.read_text() == "after"
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


def test_groups_know_every_label_of_goemotions() -> None:
    import tiny_models

    known = {label: group for group in GROUPS for label in group.labels}
    assert set(tiny_models.EMOTIONS) <= set(known)
    assert {known[label].name for label in tiny_models.EMOTIONS} == {g.name for g in GROUPS}
    assert {group.valence for group in GROUPS} == {-1, 0, 1}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.builds(
            Point,
            st.text(max_size=20),
            st.text(max_size=60),
            st.text(max_size=20),
            st.floats(-1, 1),
            st.fixed_dictionaries({group.name: st.floats(0, 1) for group in GROUPS}),
        ),
        min_size=1,
        max_size=20,
    ),
    st.text(max_size=40),
)
def test_the_picture_is_xml_whatever_is_said(points: list[Point], title: str) -> None:
    root = ElementTree.fromstring(arc_svg(points, title, "<&>"))
    assert root.tag.endswith("svg")
    shapes = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert shapes.count("circle") + shapes.count("path") >= len(points) / 2
