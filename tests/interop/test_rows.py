import pytest

from pc_ssl.interop.rows import Kind, Row, table


def test_placeholders_go_both_ways() -> None:
    row = Row("blocks.{s}.{3j+1}", "down.{s}.{j}.0", Kind.MAP)
    assert row.ours_of("blocks.1.7") == "down.1.2.0"
    assert row.peer_of("down.1.2.0") == "blocks.1.7"
    assert row.ours_of("blocks.1.8") is None  # 8 is not 3 j + 1
    assert row.ours_of("blocks.1.7.0") is None
    assert row.ours_of("blockszz1.7") is None


def test_a_placeholder_used_twice_must_agree() -> None:
    row = Row("a.{i}.{i}", "b.{i}", Kind.NORM)
    assert row.ours_of("a.2.2") == "b.2"
    assert row.ours_of("a.2.3") is None


def test_a_line_stands_for_the_lines_of_its_part() -> None:
    rows = table("conv.{i} stages.{i+1} block", block=".c1 .first biased_kernel\n.b1 .norm norm")
    assert [(row.peer, row.ours, row.kind) for row in rows] == [
        ("conv.{i}.c1", "stages.{i+1}.first", Kind.BIASED_KERNEL),
        ("conv.{i}.b1", "stages.{i+1}.norm", Kind.NORM),
    ]
    assert rows[0].norm_of("conv.4.c1") == "stages.5.norm"


@pytest.mark.parametrize("text", ["a b", "a b unknown", "a b biased_kernel", "a b biased_kernel\nc d kernel"])
def test_malformed_tables_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        table(text)
