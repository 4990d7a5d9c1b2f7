import pytest

from pc_ssl import progress


def test_without_a_terminal_the_last_line_says_everything_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track(range(3), total=3, what="prepare")) == [0, 1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("prepare: 3/3 frames, ")
    assert lines[-1].endswith("0s left")


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (75, "1m15s"), (3600, "1h00m"), (59.6, "1m00s")])
def test_durations_read_as_a_person_says_them(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text
