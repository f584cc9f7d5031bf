# SPDX-License-Identifier: Apache-2.0
"""The demo's workload: Python -> C extension -> Python -> zlib, libc -> kernel, in a loop.

    workload.py DIRECTORY    DIRECTORY holds the compiled extension; it runs until it is killed
"""
import os
import sys
import zlib

sys.path.insert(0, sys.argv[1])
import native  # noqa: E402 (found by the line above)

DATA = bytes(range(256)) * 2048


class Archive:
    """Compresses blocks and writes them where the kernel throws them away."""

    def __init__(self):
        self.sink = os.open("/dev/null", os.O_WRONLY)
        self.source = os.open("/dev/zero", os.O_RDONLY)
        self.blocks = 0

    def add(self, block):
        packed = zlib.compress(block, 1)
        native.checksum(packed)
        self.store(packed)
        self.blocks += 1

    def store(self, packed):
        padding = os.read(self.source, 1 << 16)
        os.write(self.sink, padding + packed)

    def index(self):
        return sorted(range(2000), key=self.rank)

    def rank(self, number):
        return (number * 2654435761) & 0xFFFF


def archive_everything(archive):
    native.for_each_block(DATA, 16384, archive.add)
    archive.index()


def main():
    archive = Archive()
    print("ready", flush=True)
    while True:
        archive_everything(archive)


main()
