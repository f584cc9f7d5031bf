/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Demangling of names that come from other people's files. C++ keeps its
 * parameters (overloads are different functions), Rust loses its hash, as perf
 * and samply show them.
 *
 * A few hundred mangled bytes can stand for gigabytes of text (each substitution
 * may double it), and libiberty would print them all. So its callback interface,
 * which allocates nothing for C++, prints into a fixed buffer, what exceeds it is
 * dropped, and a name that goes on and on is left by longjmp. Printing that
 * yields no text is left to the worker's deadline.
 */
#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <libiberty/demangle.h>

#include "symbol/demangle.h"

#define MANGLED_MAX 4096	 /* libiberty's stack use grows with the length of the name */
#define PRINTED_MAX (64u * 1024) /* no name that someone reads is longer */

struct printer {
	char text[DEMANGLE_RESULT_MAX + 1];
	size_t size; /* of what was printed, kept or not */
	jmp_buf runaway;
};

static void print_piece(const char *piece, size_t size, void *opaque)
{
	struct printer *printer = opaque;

	if (printer->size < sizeof(printer->text)) {
		size_t room = sizeof(printer->text) - printer->size;

		memcpy(printer->text + printer->size, piece, size < room ? size : room);
	}
	printer->size += size;
	if (printer->size > PRINTED_MAX)
		longjmp(printer->runaway, 1);
}

/* Bytes of text that remain when it is cut for "...", at the start of a UTF-8 character. */
static size_t cut_size(const char *text)
{
	size_t size = DEMANGLE_RESULT_MAX - 3;

	while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
		size--;
	return size;
}

static char *copy_cut(const char *text, size_t size)
{
	bool is_cut = size > DEMANGLE_RESULT_MAX;
	size_t kept = is_cut ? cut_size(text) : size;
	char *copy = malloc(kept + sizeof("..."));

	if (!copy)
		return NULL;
	memcpy(copy, text, kept);
	memcpy(copy + kept, is_cut ? "..." : "", is_cut ? sizeof("...") : 1);
	return copy;
}

/* noinline: what longjmp returns to must not share a frame with locals in registers. */
static __attribute__((noinline)) bool print_demangled(const char *mangled, struct printer *printer)
{
	const int options = DMGL_PARAMS | DMGL_ANSI | DMGL_AUTO;

	if (setjmp(printer->runaway))
		return true;
	/* Rust first: its legacy form is a valid C++ name with a hash. */
	if (rust_demangle_callback(mangled, options, print_piece, printer))
		return true;
	printer->size = 0;
	/*
	 * The limit on recursion refuses every name over 1 KB, of which C++ has plenty. Without it
	 * the depth is bounded by the name's length, as a substitution is not parsed again (in Rust
	 * a reference is, so there it stays).
	 */
	return cplus_demangle_v3_callback(mangled, options | DMGL_NO_RECURSE_LIMIT, print_piece,
					  printer) != 0;
}

char *demangle_symbol(const char *mangled)
{
	size_t size = strnlen(mangled, MANGLED_MAX + 1);
	struct printer printer;

	printer.size = 0;
	if (size <= MANGLED_MAX && mangled[0] == '_' && print_demangled(mangled, &printer) &&
	    printer.size > 0)
		return copy_cut(printer.text, printer.size);
	return copy_cut(mangled, size);
}
