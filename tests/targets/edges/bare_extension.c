/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An extension module without CFI and without frame pointers, in which rbp is
 * a counter: only the Python shim tells where the stack goes on.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "edges.h"

EDGE void leaf_lost(uint64_t rounds)
{
	__asm__ volatile("push %%rbp\n"
			 "mov %0, %%rbp\n"
			 "1: dec %%rbp\n"
			 "jnz 1b\n"
			 "pop %%rbp\n"
			 : "+r"(rounds)::"memory");
}

EDGE PyObject *bare_spin(PyObject *self, PyObject *unused)
{
	(void)self;
	(void)unused;
	leaf_lost(2 * A_WHILE);
	Py_RETURN_NONE;
}

/* The same work where the walk knows its way. */
EDGE PyObject *bare_call(PyObject *self, PyObject *callable)
{
	PyObject *result = PyObject_CallNoArgs(callable);

	(void)self;
	CALLED_BEFORE_THIS();
	return result;
}

static PyMethodDef methods[] = {{"spin", bare_spin, METH_NOARGS, NULL},
				{"call", bare_call, METH_O, NULL},
				{NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {
	PyModuleDef_HEAD_INIT, "bare_extension", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_bare_extension(void)
{
	return PyModule_Create(&module);
}
