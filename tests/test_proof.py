"""The proof: its plan fits its configs, and every number of its tables follows from the committed records."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pc_ssl.errors import UserError
from pc_ssl.experiments import Role
from pc_ssl.report.proof import REGION, page, tables, with_tables

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / "proof"


@pytest.fixture(scope="module")
def proof() -> ModuleType:
    """`benchmarks/proof.py` as a module."""
    spec = importlib.util.spec_from_file_location("proof", ROOT / "benchmarks" / "proof.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["proof"] = module  # dataclasses look their module up
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        spec.loader.exec_module(module)
    return module


def test_stages_take_an_hour_at_most_and_ten_hours_together(proof: ModuleType, tmp_path: Path) -> None:
    stages = [stage for part in proof.PARTS for stage in part.experiment(tmp_path).stages]
    assert max(stage.minutes for stage in stages) <= 60
    assert sum(stage.minutes for stage in stages) <= 600
    assert len({stage.name for stage in stages}) == len(stages)


def test_every_comparison_with_scratch_has_both_controls(proof: ModuleType, tmp_path: Path) -> None:
    for part in proof.PARTS:
        plan = part.experiment(tmp_path).experiment.plan
        from_scratch = plan.methods[0].name == "scratch"
        assert plan.requires_controls == from_scratch
        assert not from_scratch or {method.role for method in plan.methods} == set(Role)
        assert len(plan.seeds) >= 5
        assert plan.val_split == "test"
        for evaluation in plan.evaluations:
            assert evaluation.selection is None or evaluation.selection.split == "val"


def test_a_dry_run_needs_no_data_and_writes_nothing(
    proof: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    proof.run(tmp_path / "work", [], dry_run=True)
    printed = capsys.readouterr().out
    for part in proof.PARTS:
        for stage in part.experiment(tmp_path).stages:
            assert stage.name in printed
    assert not (tmp_path / "work").exists()
    with pytest.raises(UserError, match=r"--stages: 'none', expected some of"):
        proof.run(tmp_path / "work", ["none"], dry_run=True)


def test_the_page_is_what_the_records_give(proof: ModuleType, tmp_path: Path) -> None:
    """After a change of records or of the page's text: python benchmarks/proof.py --tables"""
    parts = [part.experiment(tmp_path) for part in proof.PARTS]
    written = (RESULTS / "README.md").read_text()
    assert page(proof.TITLE, parts, sorted(path.name for path in RESULTS.glob("*.png"))) == written
    assert set(re.findall(r"!\[(.*?)\]", written)) == {path.name for path in RESULTS.glob("*.png")}


def test_marked_tables_are_what_the_records_give(proof: ModuleType, tmp_path: Path) -> None:
    known = tables([part.experiment(tmp_path) for part in proof.PARTS])
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = path.read_text()
        assert with_tables(path, text, known) == text, path


def test_a_table_is_written_between_its_marks(tmp_path: Path) -> None:
    text = "before\n<!-- table: a 0.05 miou -->\nold\n| x |\n<!-- end of table -->\nafter\n"
    written = with_tables(tmp_path, text, {"a 0.05 miou": "| new |"})
    assert written == "before\n<!-- table: a 0.05 miou -->\n| new |\n<!-- end of table -->\nafter\n"
    assert REGION.search(written)
    with pytest.raises(UserError, match=r"table 'a 0\.05 miou' has no records"):
        with_tables(tmp_path, text, {})
