# SPDX-License-Identifier: Apache-2.0
"""Runs inside gdb (gdb_oracle.py starts it): stops the target, lets host_walk and then gdb walk
the same stopped threads, and prints one JSON object per thread and stop.

The target is held by SIGSTOP. Only one tracer can be attached, so host_walk goes first; a group
stop outlasts a tracer, hence neither runs an instruction in between.
"""
import json
import os
import random
import signal
import subprocess
import time

import gdb

FRAMES_MAX = 4000
STOP_SECONDS_MAX = 10


def thread_state(pid, tid):
    """The letter of /proc/PID/task/TID/stat, or None for a thread that is gone."""
    try:
        with open("/proc/%d/task/%d/stat" % (pid, tid), encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return None


def stop(pid):
    """SIGSTOP, and wait until every thread has taken it. Returns the threads."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while time.monotonic() < deadline:
        threads = [int(name) for name in os.listdir("/proc/%d/task" % pid)]
        states = [thread_state(pid, tid) for tid in threads]
        if all(state == "T" for state in states):
            return threads
        time.sleep(0.001)
    raise RuntimeError("process %d did not stop" % pid)


def gdb_frames():
    """[(pc, sp)] of the selected thread, leaf first; frames that only DWARF invents left out."""
    frames = []
    frame = gdb.newest_frame()
    while frame is not None and frame.is_valid() and len(frames) < FRAMES_MAX:
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            frames.append((frame.pc(), int(frame.read_register("rsp")) & (2**64 - 1)))
        frame = frame.older()
    return frames


def gdb_threads(pid):
    """{tid: frames}."""
    gdb.execute("attach %d" % pid, to_string=True)
    walked = {}
    try:
        for thread in gdb.selected_inferior().threads():
            thread.switch()
            walked[thread.ptid[1]] = gdb_frames()
    finally:
        gdb.execute("detach", to_string=True)
    return walked


def host_walk(tool, pid, tid):
    """What the tool says, its failure included."""
    done = subprocess.run([tool, str(pid), str(tid)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    return {"status": done.returncode, "lines": done.stdout.splitlines(),
            "error": done.stderr.strip()}


def one_stop(pid, tool, output):
    """Stops, walks twice, continues."""
    try:
        threads = stop(pid)
        by_tool = {tid: host_walk(tool, pid, tid) for tid in threads}
        by_gdb = gdb_threads(pid)
    finally:
        os.kill(pid, signal.SIGCONT)
    for tid in threads:
        output.write(json.dumps({"tid": tid, "gdb": by_gdb.get(tid, []), "host": by_tool[tid]}))
        output.write("\n")
    output.flush()


def main():
    """What gdb_oracle.py asked for."""
    wanted = json.loads(os.environ["GDB_WALK"])
    for setting in ["pagination off", "confirm off", "backtrace past-main on",
                    "backtrace past-entry on", "backtrace limit unlimited",
                    "print thread-events off"]:
        gdb.execute("set " + setting)
    chance = random.Random(wanted["seed"])
    with open(wanted["output"], "w", encoding="utf-8") as output:
        for _ in range(wanted["stops"]):
            time.sleep(chance.uniform(0.002, 0.2))
            one_stop(wanted["pid"], wanted["tool"], output)


main()
