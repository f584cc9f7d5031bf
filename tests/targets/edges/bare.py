# SPDX-License-Identifier: Apache-2.0
"""Calls an extension without CFI, and runs enough of ordinary code beside it."""
import bare_extension


def leaf_ordinary():
    total = 0
    for i in range(20000):
        total += i
    return total


def call_spin():
    bare_extension.spin()


def call_nested():
    bare_extension.call(call_spin)


def middle():
    leaf_ordinary()
    call_spin()
    call_nested()


def main():
    print("ready", flush=True)
    while True:
        middle()


main()
