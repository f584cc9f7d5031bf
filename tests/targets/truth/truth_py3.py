# SPDX-License-Identifier: Apache-2.0
"""Ways that need the syntax of Python 3.6: coroutines, and names that are not ASCII."""
import asyncio
import os

import bridge
import learn

WAYS = []


def way(function):
    """Registers one way."""
    WAYS.append(function)
    return function


def run_coroutine(coroutine):
    """Drives it without an event loop."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        pass


# Coroutines.


def leaf_await():
    for i in learn.SPIN:
        i * i


async def await_inner():
    leaf_await()


async def await_middle():
    await await_inner()


async def await_outer():
    await await_middle()


@way
def via_await():
    run_coroutine(learn.make(await_outer))


def leaf_async_generator():
    for i in learn.SPIN:
        i * i


async def async_generator():
    leaf_async_generator()
    yield 1


async def use_async_generator():
    async for _ in async_generator():
        pass


@way
def via_async_generator():
    run_coroutine(learn.make(use_async_generator))


def leaf_async_with():
    for i in learn.SPIN:
        i * i


class AsyncManager:
    """Burns when it is entered."""

    async def __aenter__(self):
        leaf_async_with()

    async def __aexit__(self, *_reason):
        pass


async def use_async_with():
    async with AsyncManager():
        pass


@way
def via_async_with():
    run_coroutine(learn.make(use_async_with))


def leaf_yield_from():
    for i in learn.SPIN:
        i * i


def yield_inner():
    leaf_yield_from()
    yield 1


def yield_outer():
    yield from yield_inner()


@way
def via_yield_from():
    list(yield_outer())


def leaf_throw_from():
    for i in learn.SPIN:
        i * i


def throw_inner():
    try:
        yield 1
    except ValueError:
        leaf_throw_from()


def throw_outer():
    yield from throw_inner()


@way
def via_throw_from():
    thrown = throw_outer()
    next(thrown)
    try:
        thrown.throw(ValueError())
    except StopIteration:
        pass


def leaf_asyncio():
    for i in learn.SPIN:
        i * i


async def task_body():
    leaf_asyncio()


async def task_main():
    await asyncio.ensure_future(task_body())


LOOP = asyncio.new_event_loop()


@way
def via_asyncio():
    LOOP.run_until_complete(task_main())


# Names: Latin-1, UCS-2 and UCS-4 strings inside CPython, and a file name too.


def leaf_été():
    for i in learn.SPIN:
        i * i


@way
def via_latin1():
    bridge.call(leaf_été)  # -> bridge_call


def leaf_лист():
    for i in learn.SPIN:
        i * i


@way
def via_кириллица():
    leaf_лист()


def leaf_葉():
    for i in learn.SPIN:
        i * i


@way
def via_漢字():
    leaf_葉()


def leaf_𠀀():
    for i in learn.SPIN:
        i * i


class Évaluation:
    """A qualified name of two kinds."""

    def méthode(self):
        leaf_𠀀()


@way
def via_astral():
    Évaluation().méthode()


PATH_SOURCE = """
def leaf_path():
    for i in learn.SPIN:
        i * i
leaf_path()
"""
PATH_CODE = compile(PATH_SOURCE, os.path.join("źródło", "файл 葉;𠀀.py"), "exec")


@way
def via_path():
    exec(PATH_CODE, {"learn": learn})
