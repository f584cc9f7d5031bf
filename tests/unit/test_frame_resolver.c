/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve/frame_resolver with a made-up source of names that writes down what it
 * was asked. Stacks are compared as text, root first: "KIND NAME (FILE:LINE)".
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "abi/process_abi.h"
#include "base/cleanup.h"
#include "profile/intern.h"
#include "resolve/frame_resolver.h"
#include "unit/fake_code.h"

#define FRAMES_MAX 1500
#define CODE (FAKE_BASE + 0x1000)
#define MS 1000000ull

/* Objects of the made-up source; mappings of `program` below. */
enum { NAMED = 1, STRIPPED = 2, BROKEN = 3, INTERPRETER = 4, VDSO = 5 };

struct fixture {
	struct fake_memory *m;
	struct name_source source;
	struct process_view view;
	struct profile *profile;
	struct frame_resolver *resolver;
	/* the sample under way, leaf first */
	struct native_frame native[FRAMES_MAX];
	struct python_item python[FRAMES_MAX];
	uint64_t kernel[FRAMES_MAX];
	struct merged_frame merged[FRAMES_MAX];
	struct sample sample;
	struct merged_stack stack;
	/* what was asked */
	uint32_t requests, asked, kernel_asked;
	size_t largest;
};

static int native_names(void *context, uint32_t object, const uint64_t *vaddrs, size_t count,
			char **names, uint64_t *starts)
{
	struct fixture *f = context;

	f->requests++;
	f->asked += count;
	if (count > f->largest)
		f->largest = count;
	if (object == BROKEN)
		return -EIO;
	for (size_t i = 0; i < count; i++) {
		uint64_t start = vaddrs[i] & ~0xffull;

		assert_null(names[i]);
		assert_int_equal(starts[i], 0);
		if (object == STRIPPED && vaddrs[i] < 0x9000)
			starts[i] = start;
		else if (object == VDSO || object == STRIPPED)
			continue;
		else if (start == 0x1f00)
			names[i] = strdup("puts@plt");
		else if (asprintf(&names[i], "fn_%lx", start) < 0)
			return -ENOMEM;
	}
	return 0;
}

static const char *kernel_name(void *context, uint64_t address, const char **ret_module)
{
	struct fixture *f = context;

	f->kernel_asked++;
	*ret_module = address & 1 ? "zfs" : "";
	return address >> 32 == 0xffffffff ? "do_exit" : NULL;
}

static const char paths[] = "/usr/bin/app\0/usr/lib/stripped.so\0\0[vdso]";

static struct view_mapping mappings[] = {
	{.start = 0x400000, .end = 0x402000, .bias = 0x3ff000, .offset = 0x2000, .object = NAMED},
	{.start = 0x500000,
	 .end = 0x510000,
	 .bias = 0x500000,
	 .offset = 0x3000,
	 .object = STRIPPED,
	 .path = 13},
	{.start = 0x600000, .end = 0x601000, .bias = 0x600000, .object = BROKEN, .path = 13},
	{.start = 0x700000, .end = 0x701000, .flags = MAPPING_ANONYMOUS, .path = 34},
	{.start = 0x800000,
	 .end = 0x801000,
	 .bias = 0x800000,
	 .object = INTERPRETER,
	 .flags = MAPPING_INTERPRETER},
	{.start = 0x900000,
	 .end = 0x901000,
	 .offset = 0x700,
	 .path = 13}, /* a file we cannot read */
	{.start = 0xa00000, .end = 0xa02000, .bias = 0xa00000, .object = VDSO, .path = 35},
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->m = fake_memory_new();
	f->source = (struct name_source){native_names, kernel_name, fake_remote(f->m), f};
	f->view = fake_python_view();
	f->view.mappings = mappings;
	f->view.mapping_count = sizeof(mappings) / sizeof(mappings[0]);
	f->view.paths = (char *)paths;
	f->view.paths_size = sizeof(paths);
	f->stack.frames = f->merged;
	f->stack.root_reached = true;
	f->sample.native = f->native;
	f->sample.python = f->python;
	f->sample.kernel = f->kernel;
	f->sample.head.time_ns = 1000 * MS;
	assert_int_equal(profile__new(&f->profile), 0);
	assert_int_equal(frame_resolver__new(&f->source, f->profile, &f->resolver), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	frame_resolver__free(f->resolver);
	profile__free(f->profile);
	free(f->m);
	free(f);
	return 0;
}

/* --- frames, leaf first --- */

static void add_merged(struct fixture *f, uint8_t kind, uint32_t index)
{
	assert_true(f->stack.count < FRAMES_MAX);
	f->merged[f->stack.count++] = (struct merged_frame){.kind = kind, .index = index};
}

static void add_native(struct fixture *f, uint64_t pc)
{
	f->native[f->sample.native_count] = (struct native_frame){.pc = pc};
	add_merged(f, MERGED_NATIVE, f->sample.native_count++);
}

static void add_exact(struct fixture *f, uint64_t pc)
{
	add_native(f, pc);
	f->native[f->sample.native_count - 1].exact_pc = true;
}

static void add_eval(struct fixture *f, uint64_t pc)
{
	add_native(f, pc);
	f->merged[f->stack.count - 1].has_segment = true;
}

static void add_python(struct fixture *f, uint64_t code, int32_t unit)
{
	f->python[f->sample.python_count] = (struct python_item){
		.kind = PYTHON_ITEM_FRAME, .address = code, .instr = fake_instr(code, unit)};
	add_merged(f, MERGED_PYTHON, f->sample.python_count++);
}

static void add_kernel(struct fixture *f, uint64_t address)
{
	f->kernel[f->sample.kernel_count] = address;
	add_merged(f, MERGED_KERNEL, f->sample.kernel_count++);
}

static void start_sample(struct fixture *f, uint64_t after_ns)
{
	f->sample.head.time_ns += after_ns;
	f->sample.native_count = f->sample.python_count = f->sample.kernel_count = 0;
	f->stack.count = 0;
	f->stack.root_reached = true;
	f->requests = f->asked = f->kernel_asked = 0;
	f->largest = 0;
}

static uint32_t resolve(struct fixture *f, const struct process_view *view)
{
	uint32_t stack = UINT32_MAX;

	assert_int_equal(
		frame_resolver__resolve(f->resolver, &f->sample, &f->stack, view, 0, &stack), 0);
	return stack;
}

static const char *text_of(const struct fixture *f, uint32_t stack)
{
	static const char kinds[] = "?NPKIM";
	static char text[1 << 16];
	static uint32_t ids[FRAMES_MAX + 1];
	size_t depth = profile__stack_frames(f->profile, stack, ids, FRAMES_MAX + 1), at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < depth && at < sizeof(text) - 512; i++) {
		const struct profile_frame *frame = profile__frame(f->profile, ids[i]);
		const struct string_table *s = profile__strings(f->profile);

		at += (size_t)snprintf(
			text + at, sizeof(text) - at, "%s%c%s%s%s %s (%s:%d)", i ? "; " : "",
			kinds[frame->kind], frame->flags & FRAME_EVAL ? "e" : "",
			frame->flags & FRAME_PLT ? "p" : "",
			frame->flags & FRAME_UNNAMED ? "u" : "", string_table__get(s, frame->name),
			string_table__get(s, frame->file), frame->line);
	}
	return text;
}

static void expect(struct fixture *f, const char *text)
{
	assert_string_equal(text_of(f, resolve(f, &f->view)), text);
}

/* --- native --- */

static void return_addresses_lie_in_their_call(void **state)
{
	struct fixture *f = *state;

	/* bias 0x3ff000: 0x400100 is vaddr 0x1100; a call that ends a function returns to the next
	 */
	add_exact(f, 0x400100);
	add_native(f, 0x400100);
	add_native(f, 0x400101);
	expect(f, "N fn_1100 (/usr/bin/app:0); N fn_1000 (/usr/bin/app:0); "
		  "N fn_1100 (/usr/bin/app:0)");
}

static void plt_is_flagged(void **state)
{
	struct fixture *f = *state;

	add_exact(f, 0x400f20);
	expect(f, "Np puts@plt (/usr/bin/app:0)");
}

static void unnamed_code(void **state)
{
	struct fixture *f = *state;

	add_exact(f, 0x501234); /* its function starts at vaddr 0x1200: file offset 0x4200 */
	add_exact(f, 0x5012f0); /* the same function, the same frame */
	add_exact(f, 0x509876); /* no start known: offset 0xc876 of the file */
	add_exact(f, 0x600042); /* the worker cannot read it */
	add_exact(f, 0x700042); /* anonymous: no number, they differ in each run */
	add_exact(f, 0x900042); /* no object: offset 0x742 */
	add_exact(f, 0xa00abc); /* the vDSO without symbols */
	add_exact(f, 0xb00000); /* in no mapping */
	expect(f, "Nu [unknown] (:0); Nu [vdso]+0xabc ([vdso]:0); "
		  "Nu stripped.so+0x742 (/usr/lib/stripped.so:0); Nu [anonymous] (:0); "
		  "Nu stripped.so+0x42 (/usr/lib/stripped.so:0); "
		  "Nu stripped.so+0xc876 (/usr/lib/stripped.so:0); "
		  "Nu stripped.so+0x4200 (/usr/lib/stripped.so:0); "
		  "Nu stripped.so+0x4200 (/usr/lib/stripped.so:0)");
}

/* A mapping's edge: the return address after a call that ends it belongs to it. */
static void edges_of_mappings(void **state)
{
	struct fixture *f = *state;

	add_native(f, 0x402000);
	add_native(f, 0x400000);
	add_exact(f, 0x401fff);
	expect(f, "N fn_2f00 (/usr/bin/app:0); Nu [unknown] (:0); N fn_2f00 (/usr/bin/app:0)");
}

static void interpreter_and_its_evals(void **state)
{
	struct fixture *f = *state;

	add_native(f, 0x800201);
	add_eval(f, 0x800201);
	add_eval(f, 0x400301); /* an eval outside of a mapping that is marked */
	expect(f, "Ne fn_1300 (/usr/bin/app:0); Ie fn_200 (/usr/bin/app:0); "
		  "I fn_200 (/usr/bin/app:0)");
}

static void process_not_known(void **state)
{
	struct fixture *f = *state;

	add_exact(f, 0x400100);
	add_python(f, CODE, 0);
	add_kernel(f, 0xffffffff81000000);
	assert_string_equal(text_of(f, resolve(f, NULL)),
			    "K do_exit (:0); Pu [unreadable] (:0); Nu [unknown] (:0)");
	assert_int_equal(f->requests, 0);
}

static void asked_once(void **state)
{
	struct fixture *f = *state;
	uint32_t first, again;

	for (uint64_t i = 0; i < 10; i++)
		add_exact(f, 0x400000 + 0x100 * i);
	add_exact(f, 0x501234);
	first = resolve(f, &f->view);
	assert_int_equal(f->requests, 2); /* one per object */
	assert_int_equal(f->asked, 11);
	f->requests = 0;
	again = resolve(f, &f->view);
	assert_int_equal(again, first);
	assert_int_equal(f->requests, 0);
	f->native[0].pc += 4; /* one new address */
	resolve(f, &f->view);
	assert_int_equal(f->requests, 1);
	assert_int_equal(f->asked, 12);
}

static void more_names_than_a_request_holds(void **state)
{
	struct fixture *f = *state;
	static char want[1 << 16];
	size_t at = 0;

	for (uint32_t i = 0; i < 1000; i++)
		add_exact(f, 0x400000 + 3 * i);
	for (uint32_t i = 1000; i-- > 0;)
		at += (size_t)snprintf(want + at, sizeof(want) - at, "%sN fn_%x (/usr/bin/app:0)",
				       i == 999 ? "" : "; ", (0x1000 + 3 * i) & ~0xff);
	expect(f, want);
	assert_int_equal(f->requests, 4);
	assert_int_equal(f->asked, 1000);
	assert_int_equal(f->largest, 256);
}

/* One address a thousand times: asked for once. */
static void recursion(void **state)
{
	struct fixture *f = *state;
	uint32_t ids[FRAMES_MAX], stack;

	for (uint32_t i = 0; i < 1000; i++)
		add_native(f, 0x400201);
	stack = resolve(f, &f->view);
	assert_int_equal(profile__stack_frames(f->profile, stack, ids, FRAMES_MAX), 1000);
	for (uint32_t i = 1; i < 1000; i++)
		assert_int_equal(ids[i], ids[0]);
	assert_int_equal(f->requests, 1);
	assert_int_equal(f->asked, 1);
}

/* --- kernel --- */

static void kernel_frames(void **state)
{
	struct fixture *f = *state;

	add_kernel(f, 0xffffffff81000000);
	add_kernel(f, 0xffffffff81000001);
	add_kernel(f, 0x1234000);
	expect(f, "Ku kernel+0x1234000 (:0); K do_exit (zfs:0); K do_exit (:0)");
	resolve(f, &f->view);
	assert_int_equal(f->kernel_asked, 3);
}

/* --- Python --- */

static void python_lines(void **state)
{
	struct fixture *f = *state;

	fake_code(f->m, CODE, "/app/a.py", "C.method", 100);
	fake_code(f->m, CODE + 0x400, "/app/a.py", "main", 1);
	add_python(f, CODE, 0);
	add_python(f, CODE, 7);
	add_python(f, CODE, 8);
	add_python(f, CODE + 0x400, 15);
	add_python(f, CODE + 0x400, -1); /* one unit before its bytecode: not started */
	expect(f, "P main (/app/a.py:1); P main (/app/a.py:6); P C.method (/app/a.py:105); "
		  "P C.method (/app/a.py:103); P C.method (/app/a.py:103)");
	for (int i = 128; i < STOP_REASON_MAX; i++)
		assert_int_equal(frame_resolver__stops(f->resolver)[i], 0);
}

static void no_line(void **state)
{
	struct fixture *f = *state;

	fake_code(f->m, CODE, "a.py", "f", 100);
	add_python(f, CODE, 16); /* beyond the bytecode */
	expect(f, "P f (a.py:0)");
	assert_int_equal(frame_resolver__stops(f->resolver)[STOP_NAME_NO_LINE], 1);
}

static void unreadable_code(void **state)
{
	struct fixture *f = *state;

	fake_code(f->m, CODE, "a.py", "f", 1);
	fake_put(f->m, CODE + 8, 1, 8);
	add_python(f, CODE, 0);
	add_python(f, 0x1000, 0);
	add_python(f, 0x1000, 0);
	expect(f, "Pu [unreadable] (:0); Pu [unreadable] (:0); Pu [unreadable] (:0)");
	assert_int_equal(frame_resolver__stops(f->resolver)[STOP_NAME_BAD_CODE], 1);
	assert_int_equal(frame_resolver__stops(f->resolver)[STOP_NAME_CODE_UNREADABLE], 2);
}

/* 3.12's helper frame of an inlined __init__: its filename is its name object. */
static void init_helper_is_not_shown(void **state)
{
	struct fixture *f = *state;
	uint64_t name = fake_string(f->m, "__init__");

	fake_code(f->m, CODE, "a.py", "f", 1);
	fake_code_of(f->m, CODE + 0x400, name, name, name, 1);
	add_python(f, CODE, 0);
	add_python(f, CODE + 0x400, 0);
	add_python(f, CODE, 8);
	expect(f, "P f (a.py:6); P f (a.py:4)");
}

/* An address that comes to hold another function is noticed within 100 ms of sample time. */
static void address_reused(void **state)
{
	struct fixture *f = *state;

	fake_code(f->m, CODE, "a.py", "f", 1);
	add_python(f, CODE, 0);
	expect(f, "P f (a.py:4)");
	fake_code(f->m, CODE, "b.py", "g", 1);
	f->sample.head.time_ns += 99 * MS;
	expect(f, "P f (a.py:4)");
	f->sample.head.time_ns += MS;
	expect(f, "P g (b.py:4)");
	/* a ring that is drained late: time goes back, no new epoch */
	fake_code(f->m, CODE, "c.py", "h", 1);
	f->sample.head.time_ns -= 90 * MS;
	expect(f, "P g (b.py:4)");
	f->sample.head.time_ns += 190 * MS;
	expect(f, "P h (c.py:4)");
	f->m->gone = true;
	f->sample.head.time_ns += 1000 * MS;
	expect(f, "P h (c.py:4)");
}

static void lines_of_the_dead(void **state)
{
	struct fixture *f = *state;

	fake_code(f->m, CODE, "a.py", "f", 1);
	add_python(f, CODE, 0);
	resolve(f, &f->view);
	f->m->gone = true;
	start_sample(f, 200 * MS);
	add_python(f, CODE, 8); /* a line that was never asked for */
	expect(f, "P f (a.py:6)");
}

/* --- the stack --- */

static void all_kinds_root_first(void **state)
{
	struct fixture *f = *state;

	fake_code(f->m, CODE, "a.py", "f", 1);
	add_kernel(f, 0xffffffff81000000);
	add_exact(f, 0x400120);
	add_python(f, CODE, 0);
	add_eval(f, 0x800201);
	add_native(f, 0x400201);
	expect(f, "N fn_1200 (/usr/bin/app:0); Ie fn_200 (/usr/bin/app:0); P f (a.py:4); "
		  "N fn_1100 (/usr/bin/app:0); K do_exit (:0)");
}

static void cut_stacks_begin_with_a_marker(void **state)
{
	struct fixture *f = *state;

	add_exact(f, 0x400120);
	f->stack.root_reached = false;
	f->stack.stop = STOP_UNWIND_UNREADABLE;
	expect(f, "M [truncated:unwind_unreadable] (:0); N fn_1100 (/usr/bin/app:0)");
	f->stack.stop = 63;
	expect(f, "M [truncated:unknown] (:0); N fn_1100 (/usr/bin/app:0)");
	f->stack.stop = UINT16_MAX;
	expect(f, "M [truncated:unknown] (:0); N fn_1100 (/usr/bin/app:0)");
	f->sample.head.flags = SAMPLE_KERNEL_THREAD; /* has no user stack to cut */
	expect(f, "N fn_1100 (/usr/bin/app:0)");
	start_sample(f, 0);
	f->sample.head.flags = 0;
	f->stack.root_reached = false;
	f->stack.stop = STOP_UNWIND_UNCONFIGURED;
	expect(f, "M [truncated:unwind_unconfigured] (:0)");
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FIXTURE(return_addresses_lie_in_their_call),
		WITH_FIXTURE(plt_is_flagged),
		WITH_FIXTURE(unnamed_code),
		WITH_FIXTURE(edges_of_mappings),
		WITH_FIXTURE(interpreter_and_its_evals),
		WITH_FIXTURE(process_not_known),
		WITH_FIXTURE(asked_once),
		WITH_FIXTURE(more_names_than_a_request_holds),
		WITH_FIXTURE(recursion),
		WITH_FIXTURE(kernel_frames),
		WITH_FIXTURE(python_lines),
		WITH_FIXTURE(no_line),
		WITH_FIXTURE(unreadable_code),
		WITH_FIXTURE(init_helper_is_not_shown),
		WITH_FIXTURE(address_reused),
		WITH_FIXTURE(lines_of_the_dead),
		WITH_FIXTURE(all_kinds_root_first),
		WITH_FIXTURE(cut_stacks_begin_with_a_marker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
