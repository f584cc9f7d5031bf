/* SPDX-License-Identifier: Apache-2.0 */
/* nest.call(callable, argument, depth): calls it below that many C frames of this file. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define CALLED_BEFORE_THIS() __asm__ volatile("" ::: "memory")

static __attribute__((noinline, noclone)) PyObject *nest_below(PyObject *callable,
							       PyObject *argument, int depth)
{
	PyObject *result = depth > 1 ? nest_below(callable, argument, depth - 1)
				     : PyObject_CallFunctionObjArgs(callable, argument, NULL);

	CALLED_BEFORE_THIS();
	return result;
}

static PyObject *nest_call(PyObject *self, PyObject *arguments)
{
	PyObject *callable, *argument, *result;
	int depth;

	if (!PyArg_ParseTuple(arguments, "OOi", &callable, &argument, &depth))
		return NULL;
	result = nest_below(callable, argument, depth);
	CALLED_BEFORE_THIS();
	return result;
}

static PyMethodDef methods[] = {
	{"call", nest_call, METH_VARARGS, NULL},
	{NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
	PyModuleDef_HEAD_INIT, "nest", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_nest(void);

PyMODINIT_FUNC PyInit_nest(void)
{
	return PyModule_Create(&module);
}
