import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

from pinchtune import machine


@pytest.fixture
def system(tmp_path, monkeypatch):
    """An empty system, on which a test writes what Linux would say; psutil is not installed."""
    for name in ("_PROC", "_CGROUP", "_CPUS"):
        monkeypatch.setattr(machine, name, tmp_path / name)
        (tmp_path / name).mkdir()
    monkeypatch.setattr(machine, "_psutil", lambda: None)
    monkeypatch.setattr(machine, "_DRIVERS", (str(tmp_path / "driver"),))
    return tmp_path


def core(system, number, siblings):
    folder = system / "_CPUS" / f"cpu{number}" / "topology"
    folder.mkdir(parents=True)
    (folder / "thread_siblings_list").write_text(f"{siblings}\n")


def test_hyperthreads_of_one_core_are_counted_once(system):
    for number, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        core(system, number, siblings)
    assert machine.look().cores == 2


@pytest.mark.parametrize(
    ("lines", "bf16", "int8"),
    [
        ("flags\t\t: fpu avx512_bf16 amx_bf16 avx512_vnni", ("amx_bf16", "avx512_bf16"), ("avx512_vnni",)),
        ("flags\t\t: fpu sse2 avx2", (), ()),
        ("processor\t: 0\nFeatures\t: fp asimd asimddp bf16 i8mm", ("bf16",), ("i8mm", "asimddp")),
        ("", None, None),
    ],
)
def test_what_a_processor_computes_in_natively_is_read_from_its_instructions(system, lines, bf16, int8):
    (system / "_PROC" / "cpuinfo").write_text(f"{lines}\n\nprocessor\t: 1\n")
    found = machine.look()
    assert (found.bf16, found.int8) == (bf16, int8)


def test_memory_is_in_bytes_and_a_containers_limits_are_its_own(system):
    (system / "_PROC" / "meminfo").write_text("MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable: 1024 kB\nHuge: none\n")
    (system / "_CGROUP" / "memory.max").write_text("1048576\n")
    (system / "_CGROUP" / "cpu.max").write_text("150000 100000\n")
    found = machine.look()
    assert (found.memory, found.memory_free, found.memory_limit, found.cpu_limit) == (2**21, 2**20, 2**20, 1.5)


def test_no_limit_is_none(system):
    (system / "_CGROUP" / "memory.max").write_text("max\n")
    (system / "_CGROUP" / "cpu.max").write_text("max 100000\n")
    found = machine.look()
    assert (found.memory_limit, found.cpu_limit) == (None, None)


def test_a_system_that_says_nothing_has_threads_and_nothing_else(system):
    found = machine.look()
    assert found.threads >= 1
    assert (found.cores, found.memory, found.memory_free, found.bf16) == (None, None, None, None)


def test_a_mac_is_asked_through_sysctl(system, monkeypatch):
    told = {"hw.physicalcpu": "8", "hw.memsize": str(2**34), "hw.optional.arm.FEAT_BF16": "1"}
    told |= {"hw.optional.arm.FEAT_I8MM": "0", "machdep.cpu.brand_string": "Apple M2"}
    monkeypatch.setattr(machine, "_sysctl", lambda name: told[name])
    found = machine.look()
    assert (found.cores, found.memory, found.bf16, found.int8, found.cpu) == (8, 2**34, ("FEAT_BF16",), (), "Apple M2")


def test_where_there_is_no_sysctl_it_says_nothing(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(machine.subprocess, "run", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError()))
    assert machine._sysctl("hw.memsize") == ""


def test_windows_is_read_through_psutil(system, monkeypatch):
    psutil = SimpleNamespace(
        cpu_count=lambda logical: 4, virtual_memory=lambda: SimpleNamespace(total=2**30, available=2**29)
    )
    monkeypatch.setattr(machine, "_psutil", lambda: psutil)
    monkeypatch.delattr(machine.os, "sched_getaffinity", raising=False)
    found = machine.look()
    assert (found.cores, found.memory, found.memory_free) == (4, 2**30, 2**29)


def test_a_driver_is_seen_where_it_is(system):
    assert not machine.has_gpu_driver()
    (system / "driver").touch()
    assert machine.has_gpu_driver()


def test_each_gpu_is_asked_for_itself(monkeypatch):
    torch = ModuleType("torch")
    torch.asked = []

    class Device:
        def __init__(self, number):
            self.number = number

        def __enter__(self):
            torch.asked.append(self.number)

        def __exit__(self, *_):
            pass

    torch.cuda = SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 2,
        device=Device,
        get_device_properties=lambda number: SimpleNamespace(name=f"card {number}", total_memory=2**34),
        # Emulated, it would be slower than float32.
        is_bf16_supported=lambda including_emulation: including_emulation or torch.asked[-1] == 0,
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert machine.gpus() == [machine.GPU("card 0", 2**34, True), machine.GPU("card 1", 2**34, False)]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere psutil is what is asked")
def test_this_machine_is_what_the_system_says():
    psutil = pytest.importorskip("psutil")
    found = machine.look()
    assert found.threads == len(psutil.Process().cpu_affinity())
    assert found.cores == psutil.cpu_count(logical=False)
    assert found.memory == psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("flags", "named"),
    [("fpu avx512_bf16 amx_bf16", "bfloat16"), ("fpu avx512_bf16", "float32"), ("fpu sse2", "float32")],
)
def test_models_compute_in_bfloat16_on_a_cpu_where_its_instructions_gain_something(system, monkeypatch, flags, named):
    (system / "_PROC" / "cpuinfo").write_text(f"flags\t\t: {flags}\n")
    torch = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False))
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert machine.number_type() == named


@pytest.mark.parametrize(
    ("told", "limit", "threads"), [("3", "max", 3), ("3,1", "max", 3), ("", "100000", 1), ("none", "50000", 1)]
)
def test_libraries_start_as_many_threads_as_they_may(system, monkeypatch, told, limit, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    (system / "_CGROUP" / "cpu.max").write_text(f"{limit} 100000\n")
    assert machine.usable_threads() == threads


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_freed_blocks_are_kept_and_then_given_back():
    # In a process of its own: how a process's allocator works cannot be set back.
    lines = [
        "from pinchtune import machine",
        "def resident(): return int(open('/proc/self/statm').read().split()[1])",
        "if machine._glibc() is None: raise SystemExit(0)",
        "machine.keep_freed_memory()",
        "before = resident()",
        "block = bytearray(2**28); block[::4096] = b'x' * 2**16",
        "del block",
        "assert resident() - before > 2**15, 'not kept'",
        "machine.return_freed_memory()",
        "assert resident() - before < 2**13, 'not given back'",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
