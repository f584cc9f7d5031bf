# SPDX-License-Identifier: Apache-2.0
"""The truth workload without some of its ways: workload.py CHAINS.json [WAY...]

A stack of hundreds of frames makes a line of 50 KB; one case has them, the others do not.
"""
import sys

import truth


def leave_out(names):
    """Removes ways before anything visits them."""
    for name in names:
        truth.WAYS.remove(getattr(truth, name))


if __name__ == "__main__":
    leave_out(sys.argv[2:])
    truth.main(sys.argv[1])
