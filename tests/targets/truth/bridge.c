/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The truth workload's C extension: every way for C to stand between two Python
 * frames, or to be the leaf. Each function that shall be seen is exported, never
 * inlined or cloned, and does something after its call so that no call is a tail
 * call; built without frame pointers and stripped, so only its CFI and its
 * .dynsym tell what it is. Compiles for CPython 2.7 to 3.15.
 *
 * While a hook is set (the first pass of truth.py), a C leaf calls the hook in
 * place of spinning, so that Python can note the frames above it.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define BRIDGE __attribute__((noinline, noclone, visibility("default")))
#define CALLED_BEFORE_THIS() __asm__ volatile("" ::: "memory")
#define SPIN(rounds)                                                                               \
	for (uint64_t i_ = 0; i_ < (rounds); i_++)                                                 \
	__asm__ volatile("" : "+r"(i_))

/* Exported without a header: only the dynamic linker ever looks for them. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

static uint64_t spin_rounds = 1000000;
static PyObject *hook;
static PyObject *held;

static PyObject *set_hook(PyObject *self, PyObject *callable)
{
	Py_CLEAR(hook);
	if (callable != Py_None) {
		Py_INCREF(callable);
		hook = callable;
	}
	Py_RETURN_NONE;
}

static PyObject *set_rounds(PyObject *self, PyObject *rounds)
{
	spin_rounds = PyNumber_AsSsize_t(rounds, NULL);
	Py_RETURN_NONE;
}

/* Leaves. */

BRIDGE PyObject *bridge_leaf_spin(PyObject *self, PyObject *unused)
{
	if (hook)
		return PyObject_CallObject(hook, NULL);
	SPIN(spin_rounds);
	Py_RETURN_NONE;
}

BRIDGE PyObject *bridge_leaf_nogil(PyObject *self, PyObject *unused)
{
	if (hook)
		return PyObject_CallObject(hook, NULL);
	Py_BEGIN_ALLOW_THREADS;
	SPIN(spin_rounds);
	Py_END_ALLOW_THREADS;
	Py_RETURN_NONE;
}

/* As the last one, below another C frame. */
BRIDGE void bridge_leaf_nogil_deep(void)
{
	SPIN(spin_rounds);
}

BRIDGE PyObject *bridge_release(PyObject *self, PyObject *unused)
{
	if (hook)
		return PyObject_CallObject(hook, NULL);
	Py_BEGIN_ALLOW_THREADS;
	bridge_leaf_nogil_deep();
	Py_END_ALLOW_THREADS;
	Py_RETURN_NONE;
}

/* The time is spent in libc. */
BRIDGE PyObject *bridge_leaf_libc(PyObject *self, PyObject *unused)
{
	static char from[1 << 16], to[1 << 16];

	if (hook)
		return PyObject_CallObject(hook, NULL);
	for (uint64_t i = 0; i < spin_rounds / 4096; i++) {
		memcpy(to, from, sizeof(to));
		__asm__ volatile("" ::"r"(to) : "memory");
	}
	Py_RETURN_NONE;
}

/* The time is spent in the kernel, in page faults and in a system call. */
BRIDGE PyObject *bridge_leaf_kernel(PyObject *self, PyObject *unused)
{
	const size_t bytes = 1 << 20;
	char *pages;

	if (hook)
		return PyObject_CallObject(hook, NULL);
	pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED)
		return PyErr_SetFromErrno(PyExc_OSError);
	for (int round = 0; round < 6; round++) {
		for (size_t at = 0; at < bytes; at += 4096)
			pages[at] = 1;
		madvise(pages, bytes, MADV_DONTNEED);
	}
	munmap(pages, bytes);
	Py_RETURN_NONE;
}

/* Calls of Python. */

BRIDGE PyObject *bridge_call(PyObject *self, PyObject *callable)
{
	PyObject *result = PyObject_CallObject(callable, NULL);

	CALLED_BEFORE_THIS();
	return result;
}

BRIDGE PyObject *bridge_call2_inner(PyObject *callable)
{
	PyObject *result = PyObject_CallObject(callable, NULL);

	CALLED_BEFORE_THIS();
	return result;
}

BRIDGE PyObject *bridge_call2_outer(PyObject *self, PyObject *callable)
{
	PyObject *result = bridge_call2_inner(callable);

	CALLED_BEFORE_THIS();
	return result;
}

/* bridge_deep(n) is n + 1 frames. */
BRIDGE PyObject *bridge_deep(unsigned int below, PyObject *callable)
{
	PyObject *result =
		below ? bridge_deep(below - 1, callable) : PyObject_CallObject(callable, NULL);

	CALLED_BEFORE_THIS();
	return result;
}

static PyObject *call_deep(PyObject *self, PyObject *callable)
{
	return bridge_deep(299, callable);
}

/* A frame of unknown size: its CFA is found from rbp. */
BRIDGE PyObject *bridge_call_alloca(PyObject *self, PyObject *callable)
{
	volatile size_t bytes = 100 + spin_rounds % 1000;
	char *space = alloca(bytes);
	PyObject *result;

	memset(space, 1, bytes);
	__asm__ volatile("" ::"r"(space) : "memory");
	result = PyObject_CallObject(callable, NULL);
	__asm__ volatile("" ::"r"(space) : "memory");
	return result;
}

/*
 * A realigned frame, as vector code has it. With arguments on the stack gcc keeps their address
 * in a slot, and the CFA becomes a DWARF expression that loads it.
 */
BRIDGE PyObject *bridge_call_aligned(PyObject *callable, long b, long c, long d, long e, long f,
				     long g, long h)
{
	char block[256] __attribute__((aligned(64)));
	PyObject *result;

	memset(block, (int)(b + c + d + e + f + g), sizeof(block));
	__asm__ volatile("" ::"r"(block) : "memory");
	result = PyObject_CallObject(callable, NULL);
	__asm__ volatile("" ::"r"(block), "r"(h) : "memory");
	return result;
}

static PyObject *call_aligned(PyObject *self, PyObject *callable)
{
	return bridge_call_aligned(callable, 1, 2, 3, 4, 5, 6, (long)spin_rounds);
}

BRIDGE PyObject *bridge_next(PyObject *self, PyObject *iterator)
{
	PyObject *item = PyIter_Next(iterator);

	CALLED_BEFORE_THIS();
	if (!item && !PyErr_Occurred())
		Py_RETURN_NONE;
	return item;
}

static PyObject *hold(PyObject *self, PyObject *object)
{
	Py_INCREF(object);
	held = object;
	Py_RETURN_NONE;
}

/* The last reference goes here: __del__ runs below this frame. */
BRIDGE PyObject *bridge_drop(PyObject *self, PyObject *unused)
{
	Py_CLEAR(held);
	CALLED_BEFORE_THIS();
	Py_RETURN_NONE;
}

/* For ctypes: libffi stands between this and Python. */
BRIDGE void bridge_each(void (*visit)(void))
{
	visit();
	CALLED_BEFORE_THIS();
}

/* A signal handler on top of whatever runs. */

BRIDGE void bridge_leaf_signal(int number)
{
	SPIN(spin_rounds);
}

BRIDGE PyObject *bridge_raise(PyObject *self, PyObject *unused)
{
	struct sigaction action = {.sa_handler = bridge_leaf_signal, .sa_flags = SA_RESTART};

	if (hook)
		return PyObject_CallObject(hook, NULL);
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
	CALLED_BEFORE_THIS();
	Py_RETURN_NONE;
}

/* Threads that C made. */

BRIDGE void *bridge_thread_main(void *callable)
{
	PyGILState_STATE state = PyGILState_Ensure();
	PyObject *result = PyObject_CallObject(callable, NULL);

	CALLED_BEFORE_THIS();
	if (!result)
		PyErr_WriteUnraisable(callable);
	Py_XDECREF(result);
	PyGILState_Release(state);
	return NULL;
}

BRIDGE void bridge_leaf_native(void)
{
	SPIN(spin_rounds);
}

BRIDGE void *bridge_native_main(void *unused)
{
	bridge_leaf_native();
	CALLED_BEFORE_THIS();
	return NULL;
}

static PyObject *run_thread(void *(*body)(void *), void *argument)
{
	pthread_t thread;
	int err;

	Py_BEGIN_ALLOW_THREADS;
	err = pthread_create(&thread, NULL, body, argument);
	if (!err)
		pthread_join(thread, NULL);
	Py_END_ALLOW_THREADS;
	if (err)
		return PyErr_Format(PyExc_RuntimeError, "pthread_create: error %d", err);
	Py_RETURN_NONE;
}

static PyObject *foreign_thread(PyObject *self, PyObject *callable)
{
	return run_thread(bridge_thread_main, callable);
}

static PyObject *native_thread(PyObject *self, PyObject *unused)
{
	return run_thread(bridge_native_main, NULL);
}

static PyMethodDef methods[] = {
	{"set_hook", set_hook, METH_O, NULL},
	{"set_rounds", set_rounds, METH_O, NULL},
	{"leaf_spin", bridge_leaf_spin, METH_NOARGS, NULL},
	{"leaf_nogil", bridge_leaf_nogil, METH_NOARGS, NULL},
	{"release", bridge_release, METH_NOARGS, NULL},
	{"leaf_libc", bridge_leaf_libc, METH_NOARGS, NULL},
	{"leaf_kernel", bridge_leaf_kernel, METH_NOARGS, NULL},
	{"call", bridge_call, METH_O, NULL},
	{"call2", bridge_call2_outer, METH_O, NULL},
	{"call_deep", call_deep, METH_O, NULL},
	{"call_alloca", bridge_call_alloca, METH_O, NULL},
	{"call_aligned", call_aligned, METH_O, NULL},
	{"next", bridge_next, METH_O, NULL},
	{"hold", hold, METH_O, NULL},
	{"drop", bridge_drop, METH_NOARGS, NULL},
	{"raise_signal", bridge_raise, METH_NOARGS, NULL},
	{"foreign_thread", foreign_thread, METH_O, NULL},
	{"native_thread", native_thread, METH_NOARGS, NULL},
	{NULL, NULL, 0, NULL},
};

#if PY_MAJOR_VERSION >= 3
static struct PyModuleDef module = {
	PyModuleDef_HEAD_INIT, "bridge", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_bridge(void)
{
	return PyModule_Create(&module);
}
#else
PyMODINIT_FUNC initbridge(void)
{
	PyEval_InitThreads();
	Py_InitModule("bridge", methods);
}
#endif
