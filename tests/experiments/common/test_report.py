"""Tables are printed and written as they are."""

import dataclasses
import json

import pytest

from experiments.common import report

TABLE = report.Table(
    "name",
    "A title",
    [report.Column("kl", "KL"), report.Column("off", "off", 1)],
    [
        report.Row("five", {"kl": [1.0, 2.0, 3.0], "off": [0.25]}, {"kl": 0.2}),
        report.Row("none", {}, note="why not."),
    ],
    ["A remark."],
)


def test_means_and_deviations_next_to_the_paper():
    lines = str(TABLE).splitlines()
    assert lines[4].split("|")[2].strip() == "2.000 ± 1.000"
    assert lines[4].split("|")[3].strip() in ("0.2", "0.3")
    assert lines[4].split("|")[-2].strip() == "0.2"
    assert "- none: why not." in lines
    assert len({len(line) for line in lines[2:6]}) == 1


def test_files_hold_every_seed_and_the_machine_and_are_printed(tmp_path, capsys):
    dataclasses.replace(TABLE, details={"steps": 7}).write(tmp_path)
    content = json.loads((tmp_path / "name.json").read_text())
    assert content["rows"][0]["values"]["kl"] == [1.0, 2.0, 3.0]
    assert content["steps"] == 7
    assert {"device", "jax"} <= content["machine"].keys()
    assert "Measured on:" in (tmp_path / "name.md").read_text()
    printed = capsys.readouterr().out
    assert str(TABLE) in printed
    assert f"written: {tmp_path}/name.{{json,md}}" in printed


def test_a_figure_is_written_whole_and_its_path_printed(tmp_path, capsys):
    with report.figure(tmp_path / "deep" / "f.png", 1, 2) as axes:
        axes[0, 1].plot([1, 2])
    assert (tmp_path / "deep" / "f.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ZeroDivisionError), report.figure(tmp_path / "g.png", 1, 1):
        1 / 0  # noqa: B018
    assert not (tmp_path / "g.png").exists()
    assert capsys.readouterr().out == f"written: {tmp_path / 'deep' / 'f.png'}\n"
