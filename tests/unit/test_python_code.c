/* SPDX-License-Identifier: Apache-2.0 */
/* Code objects laid out by hand in a memory of 3.11's and 3.12's layout. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "fake_memory.h"
#include "python/python_code.h"

#define CODE (FAKE_BASE + 0x1000)
#define NAME (FAKE_BASE + 0x2000)
#define QUALNAME (FAKE_BASE + 0x10000)
#define FILENAME (FAKE_BASE + 0x20000)
#define TABLE (FAKE_BASE + 0x30000)
#define CODE_TYPE 0x55550000ULL
#define UNITS 10
#define FIRST_LINE 40

struct fixture {
	struct fake_memory fake;
	struct remote_memory memory;
	const struct python_layout *layout;
};

static void put_string(struct fixture *f, uint64_t at, const void *characters, uint64_t length,
		       unsigned kind, bool ascii)
{
	const struct python_layout *l = f->layout;

	fake_u64(&f->fake, at + l->unicode_length, length);
	fake_u32(&f->fake, at + l->unicode_state, kind << 2 | 0x20u | (ascii ? 0x40u : 0));
	fake_put(&f->fake, at + (ascii ? l->unicode_ascii_data : l->unicode_compact_data),
		 characters, length * kind);
}

static void put_ascii(struct fixture *f, uint64_t at, const char *text)
{
	put_string(f, at, text, strlen(text), 1, true);
}

static void put_code(struct fixture *f)
{
	static const uint8_t table[] = {
		0x80 | 15 << 3 | 0,	  /* unit 0: no line */
		0x80 | 10 << 3 | 1, 0, 0, /* units 1, 2: line 40 */
		0x80 | 12 << 3 | 6, 0, 0, /* units 3-9: line 42 */
	};
	const struct python_layout *l = f->layout;

	fake_u64(&f->fake, CODE, 5); /* refcount */
	fake_u64(&f->fake, CODE + l->walk.object_type, CODE_TYPE);
	fake_u64(&f->fake, CODE + 16, UNITS);
	fake_u64(&f->fake, CODE + l->code_name, NAME);
	fake_u64(&f->fake, CODE + l->code_qualname, QUALNAME);
	fake_u64(&f->fake, CODE + l->code_filename, FILENAME);
	fake_u64(&f->fake, CODE + l->code_linetable, TABLE);
	fake_u32(&f->fake, CODE + l->code_firstlineno, FIRST_LINE);
	fake_u32(&f->fake, CODE + l->walk.code_firsttraceable, 1);
	put_ascii(f, NAME, "method");
	put_ascii(f, QUALNAME, "Class.method");
	put_ascii(f, FILENAME, "/srv/app.py");
	fake_u64(&f->fake, TABLE + l->bytes_size, sizeof(table));
	fake_put(&f->fake, TABLE + l->bytes_data, table, sizeof(table));
}

static int set_up_version(void **state, uint32_t version)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->memory = fake_memory_new(&f->fake);
	f->layout = python_layout_find(version);
	put_code(f);
	*state = f;
	return 0;
}

static int set_up_3_11(void **state)
{
	return set_up_version(state, 0x030b07f0);
}

static int set_up_3_12(void **state)
{
	return set_up_version(state, 0x030c01f0);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	free(f->fake.bytes);
	free(f);
	return 0;
}

static int read_code(struct fixture *f, struct python_code **code)
{
	return python_code_read(&f->memory, 1, f->layout, CODE, CODE_TYPE, code);
}

static void assert_read(struct fixture *f, int expected)
{
	struct python_code *code = NULL;

	assert_int_equal(read_code(f, &code), expected);
	if (expected)
		assert_null(code);
	python_code_free(code);
}

static void assert_filename(struct fixture *f, const char *expected)
{
	struct python_code *code = NULL;

	assert_int_equal(read_code(f, &code), 0);
	assert_string_equal(code->filename, expected);
	python_code_free(code);
}

static void plain(void **state)
{
	struct fixture *f = *state;
	struct python_code *code = NULL;

	assert_int_equal(read_code(f, &code), 0);
	assert_string_equal(code->name, "Class.method");
	assert_string_equal(code->filename, "/srv/app.py");
	assert_int_equal(code->first_line, FIRST_LINE);
	assert_int_equal(code->line_table_size, 7);
	assert_false(code->is_init_shim);
	python_code_free(code);
	assert_int_equal(python_code_read(&f->memory, 1, f->layout, CODE, 0, &code), 0);
	python_code_free(code);
	assert_int_equal(python_code_read(&f->memory, 1, f->layout, CODE, CODE_TYPE + 8, &code),
			 -EBADMSG);
	assert_int_equal(python_code_read(&f->memory, 1, f->layout, 8, 0, &code), -EFAULT);
}

static void every_kind_of_string(void **state)
{
	static const uint8_t latin[] = {0xe9, 't', 0xe9, 0xff};
	static const uint16_t ucs2[] = {0x0444, 0x95a2, 'x', 0xdcff};
	static const uint32_t ucs4[] = {0x10300, 'y', 0x10ffff, 0x110000, 0xffffffff};
	struct fixture *f = *state;

	put_string(f, FILENAME, latin, 4, 1, false);
	assert_filename(f, "\u00e9t\u00e9\u00ff");
	put_string(f, FILENAME, ucs2, 4, 2, false);
	assert_filename(f, "\u0444\u95a2x\ufffd"); /* surrogateescape: one byte that was no UTF-8 */
	put_string(f, FILENAME, ucs4, 5, 4, false);
	assert_filename(f, "\U00010300y\U0010ffff\ufffd\ufffd");
	put_ascii(f, FILENAME, "");
	assert_filename(f, "");
	put_ascii(f, FILENAME, "a\nb\033[31m");
	assert_filename(f, "a\ufffdb\ufffd[31m");
}

static void long_names_are_cut_and_marked(void **state)
{
	struct fixture *f = *state;
	struct python_code *code = NULL;
	char text[PYTHON_NAME_BYTES_MAX + 100];
	uint32_t wide[PYTHON_NAME_BYTES_MAX];

	memset(text, 'a', sizeof(text));
	put_string(f, FILENAME, text, PYTHON_NAME_BYTES_MAX, 1, true);
	assert_int_equal(read_code(f, &code), 0);
	assert_int_equal(strlen(code->filename), PYTHON_NAME_BYTES_MAX);
	assert_null(strchr(code->filename, '.'));
	python_code_free(code);
	put_string(f, FILENAME, text, sizeof(text), 1, true);
	assert_int_equal(read_code(f, &code), 0);
	assert_int_equal(strlen(code->filename), PYTHON_NAME_BYTES_MAX);
	assert_string_equal(code->filename + PYTHON_NAME_BYTES_MAX - 3, "...");
	python_code_free(code);
	for (size_t i = 0; i < PYTHON_NAME_BYTES_MAX; i++)
		wide[i] = 0x10300;
	put_string(f, FILENAME, wide, PYTHON_NAME_BYTES_MAX, 4, false);
	assert_int_equal(read_code(f, &code), 0);
	assert_int_equal(strlen(code->filename), 1023); /* 255 characters of 4 bytes, three dots */
	python_code_free(code);
}

static void strings_that_cannot_be(void **state)
{
	static const uint32_t states[] = {0,
					  1 << 2 | 0x40,
					  3 << 2 | 0x20,
					  0 << 2 | 0x20,
					  2 << 2 | 0x60,
					  7 << 2 | 0x20,
					  UINT32_MAX};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		fake_u32(&f->fake, QUALNAME + f->layout->unicode_state, states[i]);
		assert_read(f, -EBADMSG);
	}
	put_ascii(f, QUALNAME, "x");
	fake_u64(&f->fake, QUALNAME + f->layout->unicode_length, UINT64_MAX);
	assert_read(f, -EBADMSG);
	put_ascii(f, QUALNAME, "x");
	fake_u64(&f->fake, CODE + f->layout->code_filename, 0);
	assert_read(f, -EFAULT);
	fake_u64(&f->fake, CODE + f->layout->code_filename, FAKE_BASE + FAKE_BYTES - 50);
	assert_read(f, -EBADMSG); /* zeroes */
	put_code(f);
	assert_read(f, 0);
}

static void line_tables_that_cannot_be(void **state)
{
	struct fixture *f = *state;
	struct python_code *code = NULL;

	fake_u64(&f->fake, TABLE + f->layout->bytes_size, UINT64_MAX);
	assert_read(f, -EBADMSG);
	fake_u64(&f->fake, TABLE + f->layout->bytes_size, 1u << 30);
	assert_int_equal(read_code(f, &code), 0); /* cut */
	assert_int_equal(code->line_table_size, PYTHON_LINETABLE_BYTES_MAX);
	python_code_free(code);
	fake_u64(&f->fake, TABLE + f->layout->bytes_size, 0);
	assert_read(f, 0);
	fake_u64(&f->fake, CODE + f->layout->code_linetable, 0x10);
	assert_read(f, -EFAULT);
}

static void layouts_that_cannot_be(void **state)
{
	struct fixture *f = *state;
	struct python_layout l = *f->layout;
	struct python_code *code = NULL;

	l.code_size = PYTHON_CODE_HEADER_MAX + 1;
	assert_int_equal(python_code_read(&f->memory, 1, &l, CODE, 0, &code), -EBADMSG);
	l = *f->layout;
	l.code_qualname = PY_OFFSET_NONE;
	assert_int_equal(python_code_read(&f->memory, 1, &l, CODE, 0, &code), -EBADMSG);
	l = *f->layout;
	l.unicode_ascii_data = 4000;
	assert_int_equal(python_code_read(&f->memory, 1, &l, CODE, 0, &code), -EBADMSG);
	assert_null(code);
}

/* Filename and name are one object in _Py_InitCleanup. */
static void init_shim(void **state)
{
	struct fixture *f = *state;
	struct python_code *code = NULL;

	fake_u64(&f->fake, CODE + f->layout->code_filename, NAME);
	assert_int_equal(read_code(f, &code), 0);
	assert_int_equal(code->is_init_shim, f->layout->walk.version >= 0x030c);
	python_code_free(code);
}

static void stays_current_while_the_program_runs(void **state)
{
	struct fixture *f = *state;
	const struct python_layout *l = f->layout;
	struct python_code *code = NULL;

	assert_int_equal(read_code(f, &code), 0);
	fake_u64(&f->fake, CODE, 99);
	if (l->code_warmup != PY_OFFSET_NONE)
		fake_u32(&f->fake, CODE + l->code_warmup, 0x1234abcd);
	for (uint64_t at = l->code_linetable + 8u; at < l->walk.code_firsttraceable; at += 8)
		fake_u64(&f->fake, CODE + at, 0xabcdef);
	fake_u64(&f->fake, CODE + l->walk.code_firsttraceable + 8u, 0xabcdef); /* co_extra */
	assert_true(python_code_is_current(&f->memory, 1, CODE, code));
	python_code_free(code);
}

/* Any lasting field that differs tells another object. */
static void another_object_is_noticed(void **state)
{
	struct fixture *f = *state;
	const struct python_layout *l = f->layout;
	struct python_code *code = NULL;
	size_t noticed = 0;

	assert_int_equal(read_code(f, &code), 0);
	for (uint64_t at = 8; at < l->code_linetable + 8u; at++) {
		f->fake.bytes[CODE - FAKE_BASE + at] ^= 0x10;
		noticed += !python_code_is_current(&f->memory, 1, CODE, code);
		f->fake.bytes[CODE - FAKE_BASE + at] ^= 0x10;
	}
	assert_int_equal(noticed, l->code_linetable - (l->code_warmup == PY_OFFSET_NONE ? 0 : 4));
	assert_true(python_code_is_current(&f->memory, 1, CODE, code));
	f->fake.dead = CODE;
	assert_false(python_code_is_current(&f->memory, 1, CODE, code));
	python_code_free(code);
}

#define NO_LINE (-1)
#define BAD_LINE (-2)

static int line_at(const struct fixture *f, const struct python_layout *l, uint64_t instr)
{
	struct python_code *code = NULL;
	int32_t line = 0;
	int err;

	assert_int_equal(python_code_read(&f->memory, 1, l, CODE, CODE_TYPE, &code), 0);
	err = python_code_line(code, l, CODE, instr, &line);
	python_code_free(code);
	assert_true(err == 0 || err == -ENOENT || err == -EBADMSG);
	return err == -ENOENT ? NO_LINE : err ? BAD_LINE : line;
}

static void lines(void **state)
{
	struct fixture *f = *state;
	struct python_layout later = *f->layout;
	uint64_t first = CODE + f->layout->walk.code_adaptive;

	later.walk.chain = PY_CHAIN_SHIM;
	assert_int_equal(line_at(f, f->layout, first - 2), FIRST_LINE); /* not started */
	assert_int_equal(line_at(f, &later, first - 2), BAD_LINE);  /* 3.13+ have no such value */
	assert_int_equal(line_at(f, f->layout, first), FIRST_LINE); /* before RESUME, no line */
	assert_int_equal(line_at(f, f->layout, first + 4), 40);
	assert_int_equal(line_at(f, f->layout, first + 6), 42);
	assert_int_equal(line_at(f, f->layout, first + 18), 42);
	assert_int_equal(line_at(f, f->layout, first + 20), BAD_LINE); /* behind the code */
	assert_int_equal(line_at(f, f->layout, first + 5), BAD_LINE);  /* between two units */
	assert_int_equal(line_at(f, f->layout, first - 4), BAD_LINE);
	assert_int_equal(line_at(f, f->layout, 0), BAD_LINE);
	assert_int_equal(line_at(f, f->layout, UINT64_MAX), BAD_LINE);
	fake_u32(&f->fake, CODE + f->layout->walk.code_firsttraceable, 0);
	assert_int_equal(line_at(f, f->layout, first), NO_LINE);
}

#define BOTH(test)                                                                                 \
	cmocka_unit_test_setup_teardown(test, set_up_3_11, tear_down),                             \
		cmocka_unit_test_setup_teardown(test, set_up_3_12, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(plain),
		BOTH(every_kind_of_string),
		BOTH(long_names_are_cut_and_marked),
		BOTH(strings_that_cannot_be),
		BOTH(line_tables_that_cannot_be),
		BOTH(layouts_that_cannot_be),
		BOTH(init_shim),
		BOTH(stays_current_while_the_program_runs),
		BOTH(another_object_is_noticed),
		BOTH(lines),
	};

	return cmocka_run_group_tests_name("python_code", tests, NULL, NULL);
}
