from pathlib import Path

import pytest

from pc_ssl.errors import UserError
from pc_ssl.experiments.jobs import Job, run_jobs

HELP = ["simulate", "nuscenes", "--help"]


def test_a_job_that_is_done_is_not_run_again(tmp_path: Path) -> None:
    (tmp_path / "product").touch()
    job = Job(HELP, tmp_path / "job", tmp_path / "product", "key")
    assert job.cost() is None
    reported: list[str] = []
    run_jobs([job], 1, reported.append)
    cost = job.cost()
    assert cost is not None
    assert cost.seconds > 0
    assert 10 < cost.peak_memory_mib < 5000
    run_jobs([job], 1, reported.append)
    assert reported == ["pc-ssl simulate nuscenes --help"]
    assert "Simulate streets" in (tmp_path / "job" / "output.txt").read_text()
    for other in (
        Job(HELP, tmp_path / "job", tmp_path / "product", "other"),
        Job([*HELP, "--help"], tmp_path / "job", tmp_path / "product", "key"),
        Job(HELP, tmp_path / "job", tmp_path / "gone", "key"),
    ):
        assert other.cost() is None


def test_the_error_of_a_failed_command_ends_with_its_last_line(tmp_path: Path) -> None:
    job = Job(["verify", tmp_path / "nothing"], tmp_path / "verify", tmp_path)
    with pytest.raises(UserError, match=r"pc-ssl verify .*: exit code 1: error: .*manifest.json is missing"):
        run_jobs([job], 2, lambda _: None)
    assert "manifest.json is missing" in (tmp_path / "verify" / "output.txt").read_text()
    assert job.cost() is None


def test_seconds_add_up_over_starts(tmp_path: Path) -> None:
    job = Job(["verify", tmp_path / "nothing"], tmp_path / "verify", tmp_path)
    seconds = []
    for _ in range(2):
        with pytest.raises(UserError):
            job.run(1)
        seconds.append(job._record()["seconds"])
    assert seconds[1] > 1.5 * seconds[0] > 0
