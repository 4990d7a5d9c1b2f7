"""What configs call published names its source, agrees with it, and does not change unnoticed.

After an intended change: python tests/test_published.py writes published.json anew.
"""

import json
from pathlib import Path

import pytest

from pc_ssl.config import load_config
from pc_ssl.published import FACTS, NOT_PUBLISHED, SOURCES, Mark, contradictions, marks_of
from pc_ssl.recipes import config_folder, recipes

SNAPSHOT = Path(__file__).with_name("published.json")
CONFIG = '''"""Published values, said in prose."""

# published: SLidR, Sec. 4; a comment
# of two lines
_part = dict(type=X, width=3)
method = dict(
    type=Y,
    temperature=0.07,  # published: SLidR, Eq. 3; 0.1 elsewhere
    rate=1e-3,  # ours; published: SLidR, SGD at 0.5
    images=dict(
        size=(4, 2),  # published: BEVFusion, default.yaml
    ),
)
'''


def found(folder: Path, text: str) -> tuple[list[Mark], list[str]]:
    (folder / "pretrain").mkdir(exist_ok=True)
    (folder / "pretrain" / "mine.py").write_text(text)
    return marks_of(folder)


def entries() -> dict[str, list[str]]:
    """Place of each published value -> its text and source."""
    marks, _ = marks_of(config_folder())
    return {f"{mark.file} {mark.key}": [mark.value, f"{mark.source}, {mark.where}"] for mark in marks}


def test_marks_belong_to_the_value_on_their_line_or_after_them(tmp_path: Path) -> None:
    marks, problems = found(tmp_path, CONFIG)
    assert not problems
    assert [(mark.line, mark.key, mark.value, mark.source, mark.where) for mark in marks] == [
        (5, "_part", "dict(type=X, width=3)", "SLidR", "Sec. 4"),
        (8, "method.temperature", "0.07", "SLidR", "Eq. 3"),
        (11, "method.images.size", "(4, 2)", "BEVFusion", "default.yaml"),
    ]


@pytest.mark.parametrize(
    "comment", ["published", "published: 0.1 m", "published: Nobody, Eq. 1", "0.1 m (published)", "published: SLidR"]
)
def test_a_published_value_without_a_source_is_found(tmp_path: Path, comment: str) -> None:
    _, problems = found(tmp_path, CONFIG.replace("published: SLidR, Eq. 3; 0.1 elsewhere", comment))
    assert len(problems) == 1
    assert problems[0].startswith("pretrain/mine.py:8:")


def test_all_configs_name_their_sources_and_contradict_none() -> None:
    marks, problems = marks_of(config_folder())
    assert problems == []
    assert contradictions(marks, {name: load_config(path).flat() for name, path in recipes().items()}) == []
    assert {mark.source for mark in marks} <= set(SOURCES)


@pytest.mark.parametrize("fact", [fact for fact in FACTS if fact.expected is not NOT_PUBLISHED], ids=lambda f: f.key)
def test_every_fact_is_looked_at_in_some_config_and_another_value_is_found(fact) -> None:
    flat = {name: load_config(path).flat() for name, path in recipes().items() if "nuscenes" in name}
    changed = {name: {**values, **({fact.key: "other"} if fact.key in values else {})} for name, values in flat.items()}
    assert any(fact.key in problem for problem in contradictions([], changed))


def test_what_is_not_ours_yet_may_not_be_called_published() -> None:
    mark = Mark("pretrain/fac_nuscenes_second.py", 3, "region", "vccs", "SLidR", "x")
    assert "fac_nuscenes_second.py:3" in contradictions([mark], {})[0]


def test_no_published_value_changes_unnoticed() -> None:
    """A value may change with its source, and then in the snapshot; not the value alone."""
    before, now = json.loads(SNAPSHOT.read_text()), entries()
    changed = [place for place in before.keys() & now.keys() if before[place] != now[place]]
    assert [place for place in changed if before[place][1] == now[place][1]] == []
    assert now == before, (
        "published values were added, removed or given other sources: run python tests/test_published.py"
    )


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(entries(), indent=0, sort_keys=True) + "\n")
