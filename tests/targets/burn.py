# SPDX-License-Identifier: Apache-2.0
"""A small busy target: burn.py [SECONDS [STATUS]]. Burns CPU in known frames, then exits.

Its names are not ASCII, a thread starts 0.3 s after the main one, and MIXPROF_COMM, if set, becomes
its comm. Prints one line when it is about to burn.
"""
import ctypes
import os
import sys
import threading
import time

PR_SET_NAME = 15


class Brûleur:
    """A class whose name is Latin-1."""

    def 燃える(self):
        return burn_a_while()


def burn_a_while():
    total = 0
    for i in range(20000):
        total += i * i
    return total


def burn_until(end):
    burner = Brûleur()
    while time.monotonic() < end:
        burner.燃える()


def late_thread(end):
    time.sleep(0.3)
    burn_until(end)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3600
    status = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    if "MIXPROF_COMM" in os.environ:
        ctypes.CDLL(None).prctl(PR_SET_NAME, os.fsencode(os.environ["MIXPROF_COMM"]), 0, 0, 0)
    end = time.monotonic() + seconds
    print("ready", flush=True)
    threading.Thread(target=late_thread, args=(end,), daemon=True).start()
    burn_until(end)
    sys.exit(status)


if __name__ == "__main__":
    main()
