// SPDX-License-Identifier: Apache-2.0
/*
 * The demo's C extension: calls back into Python from C, and burns time of its
 * own, so that a stack of the demo goes Python -> C -> Python -> C -> kernel.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

/* for_each_block(data, size, callable): callable(memoryview of each block). */
static PyObject *for_each_block(PyObject *module, PyObject *args)
{
	PyObject *data, *callable;
	Py_ssize_t size, length, at;

	(void)module;
	if (!PyArg_ParseTuple(args, "OnO:for_each_block", &data, &size, &callable))
		return NULL;
	length = PyObject_Length(data);
	if (length < 0 || size <= 0)
		return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "bad size");
	for (at = 0; at < length; at += size) {
		PyObject *block = PySequence_GetSlice(data, at, at + size);
		PyObject *result;

		if (!block)
			return NULL;
		result = PyObject_CallOneArg(callable, block);
		Py_DECREF(block);
		if (!result)
			return NULL;
		Py_DECREF(result);
	}
	Py_RETURN_NONE;
}

static uint64_t mix(const uint8_t *bytes, Py_ssize_t size)
{
	uint64_t hash = 14695981039346656037ULL;

	for (int round = 0; round < 16; round++)
		for (Py_ssize_t i = 0; i < size; i++)
			hash = (hash ^ bytes[i]) * 1099511628211ULL;
	return hash;
}

static PyObject *checksum(PyObject *module, PyObject *args)
{
	Py_buffer buffer;
	uint64_t hash;

	(void)module;
	if (!PyArg_ParseTuple(args, "y*:checksum", &buffer))
		return NULL;
	hash = mix(buffer.buf, buffer.len);
	PyBuffer_Release(&buffer);
	return PyLong_FromUnsignedLongLong(hash);
}

static PyMethodDef methods[] = {
	{"for_each_block", for_each_block, METH_VARARGS, "Calls a callable with each block."},
	{"checksum", checksum, METH_VARARGS, "FNV-1a, sixteen times over."},
	{NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_definition = {
	.m_base = PyModuleDef_HEAD_INIT,
	.m_name = "native",
	.m_methods = methods,
};

PyMODINIT_FUNC PyInit_native(void)
{
	return PyModule_Create(&module_definition);
}
