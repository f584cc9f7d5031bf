# SPDX-License-Identifier: Apache-2.0
"""What the kernel knows of a running profiler, and how to hold its events still.

A profiler's descriptors are duplicated (pidfd_getfd), never guessed by name: other recordings may
run on the machine. Through a perf event's duplicate the event can be switched off and on without
stopping the profiler; through a program's, its statistics outlive the profiler.
"""
import contextlib
import ctypes
import fcntl
import os
import re
import struct
import time

SYS_PIDFD_GETFD = 438
SYS_PERF_EVENT_OPEN = 298  # x86-64
PERF_EVENT_IOC_ENABLE, PERF_EVENT_IOC_DISABLE = 0x2400, 0x2401
STATS_SWITCH = "/proc/sys/kernel/bpf_stats_enabled"
LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def bpf_statistics():
    """Counts every program's runs and time, and puts the switch back."""
    with open(STATS_SWITCH, encoding="ascii") as file:
        before = file.read()
    try:
        with open(STATS_SWITCH, "w", encoding="ascii") as file:
            file.write("1")
        yield
    finally:
        with open(STATS_SWITCH, "w", encoding="ascii") as file:
            file.write(before)


def duplicates(pid, target):
    """Our own copies of the descriptors of pid that link to target."""
    copies = []
    pidfd = os.pidfd_open(pid)
    try:
        for number in os.listdir("/proc/%d/fd" % pid):
            try:
                if os.readlink("/proc/%d/fd/%s" % (pid, number)) != target:
                    continue
            except FileNotFoundError:
                continue
            copy = LIBC.syscall(SYS_PIDFD_GETFD, pidfd, int(number), 0)
            if copy < 0:
                raise OSError(ctypes.get_errno(), "pidfd_getfd")
            copies.append(copy)
    finally:
        os.close(pidfd)
    return copies


class Program:
    """The one BPF program of a profiler."""

    def __init__(self, pid):
        copies = duplicates(pid, "anon_inode:bpf-prog")
        if not copies:
            raise RuntimeError("process %d holds no BPF program" % pid)
        self.descriptor = copies[0]
        for copy in copies[1:]:
            os.close(copy)

    def statistics(self):
        """(runs, nanoseconds) so far."""
        with open("/proc/self/fdinfo/%d" % self.descriptor, encoding="ascii") as file:
            values = dict(re.findall(r"^(\w+):\s+(\d+)$", file.read(), re.M))
        return int(values["run_cnt"]), int(values["run_time_ns"])

    def close(self):
        """The program goes when its last descriptor does."""
        os.close(self.descriptor)


class Events:
    """Perf events that can be switched."""

    def __init__(self, descriptors):
        self.descriptors = descriptors

    def on(self):
        """Lets them count."""
        for descriptor in self.descriptors:
            fcntl.ioctl(descriptor, PERF_EVENT_IOC_ENABLE, 0)

    def off(self):
        """No timer, no interrupt."""
        for descriptor in self.descriptors:
            fcntl.ioctl(descriptor, PERF_EVENT_IOC_DISABLE, 0)

    def close(self):
        """Forgets them; the profiler has its own descriptors."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = []


def events_of(pid):
    """Those of a profiler."""
    return Events(duplicates(pid, "anon_inode:[perf_event]"))


def bare_timer(cpu, hz):
    """A cpu-clock event that nobody reads: what the interrupt alone costs."""
    attributes = bytearray(112)
    # type, size, config, sample_freq, sample_type, read_format, flags: disabled | freq
    struct.pack_into("<IIQQQQQ", attributes, 0, 1, len(attributes), 0, hz, 0, 0, 1 | 1 << 10)
    buffer = (ctypes.c_char * len(attributes)).from_buffer(attributes)
    descriptor = LIBC.syscall(SYS_PERF_EVENT_OPEN, ctypes.byref(buffer), -1, cpu, -1, 0)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "perf_event_open")
    return Events([descriptor])


def cpu_seconds(pid):
    """CPU time of a process, all its threads, to the nanosecond."""
    return time.clock_gettime((~pid << 3) | 2)


def children(pid):
    """Of all threads of a process."""
    found = []
    for thread in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/children" % (pid, thread), encoding="ascii") as file:
            found.extend(int(word) for word in file.read().split())
    return found


def memory_kb(pid):
    """Rss, Pss and private memory now."""
    with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as file:
        values = dict(re.findall(r"^(\w+):\s+(\d+) kB$", file.read(), re.M))
    return {"rss": int(values["Rss"]), "pss": int(values["Pss"]),
            "private": int(values["Private_Clean"]) + int(values["Private_Dirty"])}
