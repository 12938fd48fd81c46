"""The GPU's clock: its logic on a device of our own, and on a real one."""

from __future__ import annotations

from functools import partial

import gpu_time
import pytest
import torch


class Device:
    """Does its work in order; the host asks for it as fast as ``asking`` says. Times in seconds."""

    def __init__(self, asking):
        self.asking = asking
        self.host = 0.0
        self.free = 0.0  # when the queue will be empty

    def run(self, seconds):
        self.host += self.asking
        self.free = max(self.free, self.host) + seconds

    def event(self, enable_timing):
        assert enable_timing
        return Event(self)


class Event:
    def __init__(self, device):
        self.device = device

    def record(self):
        self.at = max(self.device.free, self.device.host)

    def query(self):
        return self.device.host >= self.at

    def synchronize(self):
        self.device.host = max(self.device.host, self.at)

    def elapsed_time(self, other):
        return 1e3 * (other.at - self.at)


@pytest.fixture
def device(monkeypatch):
    """Of which a cycle is a second, whose host takes 3 seconds to ask for anything."""
    device = Device(asking=3.0)
    monkeypatch.setattr(torch.cuda, "Event", device.event)
    monkeypatch.setattr(torch.cuda, "_sleep", device.run)
    return device


def test_calls_in_a_row_cost_what_the_slower_of_both_takes(device):
    assert gpu_time.seconds_between_events(lambda: device.run(1.0), calls=10) == pytest.approx(3.1)
    assert gpu_time.seconds_between_events(lambda: device.run(5.0), calls=10) == pytest.approx(5.3)


@pytest.mark.parametrize("cycles", [100, 1], ids=["the host is ahead", "not at first"])
def test_the_devices_own_time_leaves_the_host_out(device, cycles):
    assert gpu_time.device_seconds(lambda: device.run(1.0), calls=10, cycles=cycles) == pytest.approx(1.0)


def test_a_call_that_waits_for_the_device_is_told(device):
    def wait():
        device.run(1.0)
        device.host = device.free

    with pytest.raises(RuntimeError, match="the call waits for it"):
        gpu_time.device_seconds(wait, calls=2, cycles=1)


def test_name_of_the_cpu():
    assert gpu_time.device_name("cpu") == "CPU"


@pytest.mark.gpu
@pytest.mark.parametrize("clock", [gpu_time.seconds_between_events, gpu_time.device_seconds])
def test_both_clocks_see_the_work_of_a_gpu(clock):
    x = torch.randn(4096, 4096, device="cuda")

    def products(count):
        for _ in range(count):
            x @ x

    products(10)
    one, ten = (clock(partial(products, count), 5) for count in (1, 10))
    assert 5 < ten / one < 20


@pytest.mark.gpu
def test_a_gpus_own_time_is_no_longer_than_that_with_the_host():
    x = torch.zeros(16, device="cuda")
    x.add_(1)
    assert 0 < gpu_time.device_seconds(lambda: x.add_(1), 50) <= gpu_time.seconds_between_events(lambda: x.add_(1), 50)
