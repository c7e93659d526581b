"""What the doctor thinks of made-up machines; a system test has it look at real ones."""

from __future__ import annotations

import math
import resource
from pathlib import Path

import pytest

from wsgate.descriptors import SPARE, allow
from wsgate.tools.doctor import cgroup, clock, cpu, descriptors, kernel, memory
from wsgate.tools.doctor.finding import Verdict

OK, WARNING, PROBLEM = Verdict
GB = 10**9


def write(root: Path, **files: str) -> Path:
    """Files as /proc and /sys have them; "__" in a name stands for "/", as in paths."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


# ------------------------------------------------------------------------------------- open files


def files(hard: float, nr_open: int = 2**20, file_max: int = 2**40) -> descriptors.OpenFiles:
    return descriptors.OpenFiles(hard, nr_open, file_max)


@pytest.mark.parametrize(
    ("hard", "verdict"),
    [
        (1000 + 100 + SPARE, OK),
        (math.inf, OK),
        (1000 + 99 + SPARE, WARNING),
        (500 + 100 + SPARE, WARNING),
        (500 + 99 + SPARE, PROBLEM),
    ],
)
def test_a_worker_needs_descriptors_for_its_share_at_least(hard: float, verdict: Verdict) -> None:
    (finding,) = descriptors.judge(files(hard), connections=1000, handshakes=100, workers=2)
    assert finding.verdict is verdict
    assert verdict is OK or f"LimitNOFILE={1100 + SPARE}" in finding.mend


@pytest.mark.parametrize("hard", [SPARE - 1, 500, 1099 + SPARE, 1100 + SPARE])
def test_the_gateway_warns_where_the_doctor_does(
    monkeypatch: pytest.MonkeyPatch, hard: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (hard, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    allowed = allow(1000, 100)
    (finding,) = descriptors.judge(files(hard), connections=1000, handshakes=100, workers=1)
    assert (finding.verdict is OK) == (allowed is None)
    assert allowed is None or f"room for {allowed} sockets" in finding.found


def test_a_limit_that_root_cannot_raise_that_far_either() -> None:
    found = files(1024, nr_open=4096)
    (finding,) = descriptors.judge(found, connections=10_000, handshakes=1, workers=1)
    assert finding.mend.startswith(f"sysctl -w fs.nr_open={10_001 + SPARE}, then LimitNOFILE=")


def test_all_processes_together_have_a_limit_too() -> None:
    found = files(math.inf, file_max=1000 + 2 * (100 + SPARE) - 1)
    _, finding = descriptors.judge(found, connections=1000, handshakes=100, workers=2)
    assert finding.verdict is PROBLEM
    assert "fs.file-max" in finding.mend


def test_the_limits_of_this_machine_can_be_read() -> None:
    found = descriptors.read()
    assert found.hard > 0
    assert found.nr_open and found.file_max


# ----------------------------------------------------------------------------------------- kernel


def network(**what: object) -> kernel.Network:
    return kernel.Network(**what)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "verdict", "mend"),
    [
        (network(somaxconn=4096), OK, ""),
        (network(somaxconn=128), WARNING, "net.core.somaxconn=4096"),
        (network(syncookies=0, syn_backlog=2048), WARNING, "net.ipv4.tcp_syncookies=1"),
        (network(syncookies=0, syn_backlog=4096), OK, ""),
        (network(tcp_mem_pages=(1, 1000, 3)), OK, ""),
        (network(tcp_mem_pages=(100, 400, 800)), WARNING, "tcp_mem='300 1200 2400'"),
        (network(tracked_max=5000, tracked=4000), OK, ""),
        (network(tracked_max=5000, tracked=4001), WARNING, "nf_conntrack_max=10002"),
        (network(outgoing_ports=(3000, 4000)), WARNING, "ip_local_reserved_ports=3002"),
        (network(outgoing_ports=(3002, 3002)), WARNING, "ip_local_reserved_ports=3002"),
    ],
)
def test_the_kernel(found: kernel.Network, verdict: Verdict, mend: str) -> None:
    listening = {"WS_PORT": 3002, "WS_ADMIN_PORT": 0}
    (finding,) = kernel.judge(found, connections=1000, ports=listening)
    assert finding.verdict is verdict
    assert mend in finding.mend


@pytest.mark.parametrize(
    "found",
    [
        network(),
        # With cookies no client is lost, however short the queue is.
        network(syncookies=1, syn_backlog=16),
        network(outgoing_ports=(32768, 60999)),
    ],
)
def test_what_is_no_matter_is_not_spoken_of(found: kernel.Network) -> None:
    assert not list(kernel.judge(found, connections=1000, ports={"WS_PORT": 3002}))


def test_reading_a_kernel(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        proc__sys__net__core__somaxconn="128",
        proc__sys__net__ipv4__tcp_syncookies="1",
        proc__sys__net__ipv4__tcp_max_syn_backlog="512",
        proc__sys__net__ipv4__tcp_mem="100\t200\t300",
        proc__sys__net__ipv4__ip_local_port_range="32768\t60999",
    )
    assert kernel.read(root) == network(
        somaxconn=128,
        syncookies=1,
        syn_backlog=512,
        tcp_mem_pages=(100, 200, 300),
        outgoing_ports=(32768, 60999),
        page_bytes=kernel.read().page_bytes,
    )


# --------------------------------------------------------------------------------- memory and CPU


@pytest.mark.parametrize(
    ("machine_bytes", "cgroup_bytes", "verdict"),
    [
        (2 * GB, None, OK),
        (0.29 * GB, None, WARNING),
        (2 * GB, int(0.29 * GB), WARNING),
        (2 * GB, int(0.2 * GB), PROBLEM),
        (int(0.2 * GB), 2 * GB, PROBLEM),
    ],
)
def test_memory(machine_bytes: int, cgroup_bytes: int | None, verdict: Verdict) -> None:
    found = memory.Memory(machine_bytes, cgroup_bytes)
    finding = memory.judge(found, connections=10_000, workers=2, tls=False)
    assert finding.verdict is verdict  # 0.05 + 2 * 0.045 + 10,000 * 0.000011 = 0.25 GB
    assert "about 0.25 GB" in finding.found


def test_as_many_clients_as_are_advised_fit() -> None:
    found = memory.Memory(int(0.25 * GB), None)
    finding = memory.judge(found, connections=10_000, workers=1, tls=False)
    setting = finding.mend.partition(",")[0]
    fitting = int(setting.removeprefix("WS_MAX_CONNECTIONS="))
    assert memory.judge(found, connections=fitting, workers=1, tls=False).verdict is OK
    assert memory.judge(found, connections=fitting + 2, workers=1, tls=False).verdict is WARNING
    assert memory.judge(found, connections=fitting, workers=1, tls=True).verdict is PROBLEM
    tiny = memory.judge(memory.Memory(10**7, None), connections=1, workers=1, tls=False)
    assert tiny.mend.startswith("more memory")


@pytest.mark.parametrize(
    ("usable", "quota", "workers", "mend"),
    [
        (2, None, 2, None),
        (4, None, 2, None),
        (2, None, 3, "WS_WORKERS=2"),
        (4, 1.5, 4, "WS_WORKERS=1"),
        (4, 0.5, 1, None),
        (4, 0.5, 2, "WS_WORKERS=1"),
        (2, 8.0, 2, None),
    ],
)
def test_cores(usable: int, quota: float | None, workers: int, mend: str | None) -> None:
    finding = cpu.judge(cpu.Cores(usable, quota), workers=workers)
    assert finding.verdict is (OK if mend is None else WARNING)
    assert finding.mend == (mend or "")


def test_limits_of_a_cgroup_of_version_2(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        proc__self__cgroup="0::/system.slice/wsgate.service",
    )
    groups = root / "sys/fs/cgroup/system.slice"
    write(groups / "wsgate.service", **{"memory.max": "max", "cpu.max": "150000 100000"})
    write(groups, **{"memory.max": "1500000000", "cpu.max": "max 100000"})
    assert cgroup.read(root) == cgroup.Limits(memory_bytes=1_500_000_000, cpus=1.5)


def test_limits_of_a_cgroup_of_version_1(tmp_path: Path) -> None:
    # As in a container: the path is the host's, and what is mounted is the group itself.
    root = write(
        tmp_path, proc__self__cgroup="4:memory:/docker/1234\n2:cpu,cpuacct:/docker/1234\n0::/"
    )
    mount = root / "sys/fs/cgroup"
    write(mount / "memory", **{"memory.limit_in_bytes": "2000000000"})
    write(mount / "cpu,cpuacct", **{"cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000"})
    assert cgroup.read(root) == cgroup.Limits(memory_bytes=2_000_000_000, cpus=0.5)


def test_no_limits(tmp_path: Path) -> None:
    assert cgroup.read(tmp_path) == cgroup.Limits()
    root = write(tmp_path, proc__self__cgroup="4:memory:/\n1:cpu:/")
    write(root / "sys/fs/cgroup/memory", **{"memory.limit_in_bytes": "9223372036854771712"})
    write(root / "sys/fs/cgroup/cpu", **{"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"})
    assert cgroup.read(root) == cgroup.Limits()


# ------------------------------------------------------------------------------------------ clock


@pytest.mark.parametrize(
    ("found", "tokens", "verdict"),
    [
        (clock.Clock(True, 0.012), True, OK),
        (clock.Clock(True, 12.0), True, WARNING),
        (clock.Clock(True, 12.0), False, OK),
        (clock.Clock(False, 0.0), True, WARNING),
        (clock.Clock(False, 0.0), False, OK),
        (None, True, OK),
    ],
)
def test_the_clock(found: clock.Clock | None, tokens: bool, verdict: Verdict) -> None:
    assert clock.judge(found, tokens=tokens, leeway_s=10.0).verdict is verdict


def test_the_kernel_is_asked_for_the_time_s_state() -> None:
    found = clock.read()
    assert found is not None
    assert 0 <= found.error_s < 3600
