"""What a machine is: cores, memory, GPUs, and the number types that it computes in natively; read, never guessed.

What a system does not say is None. On Linux it is read from /proc and /sys, on macOS from sysctl, on Windows through
psutil where that is installed (accelerate brings it).
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

#: Where Linux and Windows show that a GPU's driver is there: NVIDIA's, AMD's, Windows' for Linux; NVIDIA's for Windows.
_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg", r"C:\Windows\System32\nvcuda.dll")
_PROC, _CGROUP, _CPUS = Path("/proc"), Path("/sys/fs/cgroup"), Path("/sys/devices/system/cpu")
#: Instructions that compute in a type, as Linux names them on x86 and on ARM, and then as macOS does.
_BF16 = ("amx_bf16", "avx512_bf16", "bf16"), "FEAT_BF16"
_INT8 = ("amx_int8", "avx512_vnni", "avx_vnni", "i8mm", "asimddp"), "FEAT_I8MM"

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


class GPU(msgspec.Struct, frozen=True):
    """One GPU that torch computes on."""

    name: str
    #: Bytes.
    memory: int
    #: Whether it computes in bfloat16 itself.
    bf16: bool


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The processor and the memory."""

    #: Such as "Linux x86_64".
    system: str
    #: The processor's name; may be empty.
    cpu: str
    #: That this process may use, hyperthreads counted.
    threads: int
    #: Hyperthreads of one counted once.
    cores: int | None
    #: CPUs that a container may keep busy, where it has a limit.
    cpu_limit: float | None
    #: Bytes: installed, not in use, and allowed to a container where it has a limit.
    memory: int | None
    memory_free: int | None
    memory_limit: int | None
    #: Instructions for a number type; empty: there are none, it is emulated; None: not known.
    bf16: tuple[str, ...] | None
    int8: tuple[str, ...] | None


def look() -> Machine:
    """Return what this machine is."""
    told = _cpu_info()
    memory, free = _memory()
    flags = frozenset((told.get("flags") or told.get("Features") or "").split())
    limit = _read(_CGROUP / "memory.max").strip()
    # Linux alone has affinities.
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        cpu=told.get("model name") or _sysctl("machdep.cpu.brand_string") or platform.processor(),
        threads=threads,
        cores=_cores(),
        cpu_limit=_cpu_limit(),
        memory=memory,
        memory_free=free,
        memory_limit=int(limit) if limit.isdigit() else None,
        bf16=_native(flags, *_BF16),
        int8=_native(flags, *_INT8),
    )


def number_type() -> str:
    """Return torch's name of the type that models compute in here: "bfloat16" where that is the faster, or "float32".

    That is on a GPU that computes in it, and on a CPU with AMX. AVX-512's bf16 instructions alone gain nothing over
    float32, and where there are none it is emulated at half the speed (measured: docs/decisions/0007-speed.md).
    Loads torch, which has to be installed.
    """
    torch = importlib.import_module("torch")
    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if has_amx(look()) else "float32"


def has_amx(here: Machine) -> bool:
    """Return whether the processor multiplies matrices of bfloat16 in tiles (Intel's AMX)."""
    return here.bf16 is not None and "amx_bf16" in here.bf16


def usable_threads() -> int:
    """Return how many threads a library should start: OMP_NUM_THREADS, or what this process and container may use."""
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if told.isdigit() and int(told) > 0:
        return int(told)
    here = look()
    return max(1, min(here.threads, int(here.cpu_limit or here.threads)))


def keep_freed_memory() -> None:
    """Let the allocator keep large blocks that were freed, for the next ones; on glibc, elsewhere nothing.

    glibc asks the system for each block over some megabytes, and the system clears its pages each time: on a CPU a
    sixth of the time of tuning, and a fifth of answering's, went there (docs/decisions/0007-speed.md). The values are
    those of malloc.h: https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)


def return_freed_memory() -> None:
    """Give what was freed back to the system; on glibc, elsewhere nothing."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def has_gpu_driver() -> bool:
    """Return whether a driver is there for a GPU that torch may know."""
    return any(Path(driver).exists() for driver in _DRIVERS)


def gpus() -> list[GPU]:
    """Return what torch sees; loads torch, which has to be installed, and takes seconds.

    Raises:
        Exception: whatever a torch that does not fit its driver raises.
    """
    torch = importlib.import_module("torch")
    found = []
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        told = torch.cuda.get_device_properties(number)
        with torch.cuda.device(number):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        found.append(GPU(str(told.name), int(told.total_memory), bool(native)))
    return found


def _native(flags: frozenset[str], wanted: Sequence[str], apple: str) -> tuple[str, ...] | None:
    if flags:
        return tuple(flag for flag in wanted if flag in flags)
    told = _sysctl(f"hw.optional.arm.{apple}")
    return ((apple,) if told == "1" else ()) if told else None


def _cpu_info() -> dict[str, str]:
    """Return the first processor's lines of /proc/cpuinfo."""
    first = _read(_PROC / "cpuinfo").split("\n\n", 1)[0]
    lines = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _cores() -> int | None:
    found = {_read(path).strip() for path in _CPUS.glob("cpu[0-9]*/topology/thread_siblings_list")} - {""}
    if found:
        return len(found)
    if (told := _sysctl("hw.physicalcpu")).isdigit():
        return int(told)
    counted: int | None = _psutil().cpu_count(logical=False) if _psutil() else None
    return counted


def _cpu_limit() -> float | None:
    """Return a container's share, from cgroup v2: https://docs.kernel.org/admin-guide/cgroup-v2.html"""
    quota, _, period = _read(_CGROUP / "cpu.max").strip().partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _memory() -> tuple[int | None, int | None]:
    lines = (line.split() for line in _read(_PROC / "meminfo").splitlines())
    told = {line[0]: 1024 * int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}
    if "MemTotal:" in told:
        return told["MemTotal:"], told.get("MemAvailable:")
    if _psutil():
        memory = _psutil().virtual_memory()
        return int(memory.total), int(memory.available)
    size = _sysctl("hw.memsize")
    return (int(size) if size.isdigit() else None), None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _sysctl(name: str) -> str:
    """Return what macOS says of itself; "" elsewhere, and where it does not know the name."""
    if sys.platform != "darwin":
        return ""
    command = ["/usr/sbin/sysctl", "-n", name]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=2, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.stdout.strip()


@functools.cache
def _glibc() -> Any:
    if platform.libc_ver()[0] != "glibc":
        return None
    return ctypes.CDLL(None)


@functools.cache
def _psutil() -> Any:
    try:
        return importlib.import_module("psutil")
    except ImportError:
        return None
