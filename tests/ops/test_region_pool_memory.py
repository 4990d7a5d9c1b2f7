"""Large results stand in memory that is kept for the next one: never in two results at once, and not without end."""

import gc
import threading

import pytest
import torch

from pc_ssl.ops import region_gather

ROW = torch.ones(1, 256)
MEGABYTE_ROWS = 1024  # rows of ROW


def gathered(megabytes: int, value: float) -> torch.Tensor:
    return region_gather(ROW * value, torch.zeros(megabytes * MEGABYTE_ROWS, dtype=torch.int32))


def test_the_memory_of_a_freed_result_serves_the_next():
    first = gathered(8, 1.0)
    address = first.data_ptr()
    del first
    gc.collect()
    second = gathered(8, 2.0)
    assert second.data_ptr() == address
    assert second.eq(2).all()


def test_living_results_share_nothing():
    results = [gathered(4, float(value)) for value in range(5)]
    assert len({result.data_ptr() for result in results}) == 5
    assert [result.unique().tolist() for result in results] == [[float(value)] for value in range(5)]


def test_a_small_result_does_not_take_a_large_block():
    large = gathered(64, 1.0)
    address = large.data_ptr()
    del large
    small = gathered(4, 1.0)
    assert not address <= small.data_ptr() < address + (64 << 20)


def test_results_can_be_resized_shared_and_copied():
    result = gathered(4, 3.0)
    copied = result.clone()
    result.resize_(8 * MEGABYTE_ROWS, 256)[4 * MEGABYTE_ROWS :] = 3.0
    assert result.eq(3).all()
    result.share_memory_()
    assert result.eq(3).all()
    assert copied.eq(3).all()


def test_threads_may_make_and_free_results_at_the_same_time():
    wrong = []

    def work(value: float) -> None:
        for _ in range(20):
            if not gathered(2, value).eq(value).all():
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(float(value),)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.slow
def test_what_is_kept_has_a_limit():
    def kept_gigabytes() -> float:
        with open("/proc/self/status") as status:
            virtual = next(line for line in status if line.startswith("VmSize"))
        return int(virtual.split()[1]) / 2**20

    before = kept_gigabytes()
    for _ in range(2):
        results = [gathered(700, 1.0) for _ in range(4)]
        del results
    assert kept_gigabytes() - before < 2.1
