/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTML file that needs nothing else: viewer/ (compiled in) around the
 * profile's columns. All views are made here, by the code all exporters share;
 * the page only chooses between them.
 *
 * Names are data: they stand in one JSON script element, in which `<`, `>` and
 * `&` can only occur inside strings and are written \uXXXX there, so that no text
 * of a target ends the element, whatever it says.
 */
#include "output/exporter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/sanitize.h"
#include "output/view_columns.h"

#define TITLE_BYTES_MAX 512

#define EMBED(symbol, path)                                                                        \
	__asm__(".pushsection .rodata\n"                                                           \
		"viewer_" #symbol ":\n"                                                            \
		".incbin \"src/output/viewer/" path "\"\n"                                         \
		".byte 0\n"                                                                        \
		".popsection\n");                                                                  \
	extern const char viewer_##symbol[]

EMBED(page, "viewer.html");
EMBED(style, "viewer.css");
EMBED(model, "model.js");
EMBED(graph, "graph.js");
EMBED(panels, "panels.js");
EMBED(viewer, "viewer.js");

static const struct part {
	const char *name, *text;
} parts[] = {
	{"style", viewer_style},   {"model", viewer_model},   {"graph", viewer_graph},
	{"panels", viewer_panels}, {"viewer", viewer_viewer},
};

static const char *const view_names[] = {
	[FRAMES_MIXED] = "mixed",
	[FRAMES_PYTHON] = "python",
	[FRAMES_NATIVE] = "native",
	[FRAMES_FULL] = "full",
};

struct page {
	const struct profile *profile;
	const struct run_stats *stats;
	const struct export_options *options;
	char *title; /* owned; clean */
	struct buffer out;
};

static void page_done(struct page *page)
{
	free(page->title);
	buffer_done(&page->out);
}

/* JSON text whose every byte may stand in a script element. */
static void put_json_text(struct buffer *out, const char *json, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (strchr("<>&", json[i]) && json[i])
			buffer_printf(out, "\\u%04x", json[i]);
		else if (size - i >= 3 && memcmp(json + i, "\xe2\x80", 2) == 0 &&
			 ((uint8_t)json[i + 2] | 1) == 0xa9) /* U+2028, U+2029 */
			buffer_printf(out, "\\u%04x", 0x2000 | ((uint8_t)json[(i += 2)] - 0x80));
		else
			buffer_u8(out, (uint8_t)json[i]);
	}
}

/* Clean text: without control characters. */
static void put_json_string(struct buffer *out, const char *s)
{
	_cleanup_(buffer_done) struct buffer escaped = {0};

	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			buffer_u8(&escaped, '\\');
		buffer_u8(&escaped, (uint8_t)*s);
	}
	buffer_u8(out, '"');
	if (escaped.failed)
		out->failed = true;
	else
		put_json_text(out, (const char *)escaped.data, escaped.size);
	buffer_u8(out, '"');
}

static void put_html_text(struct buffer *out, const char *s)
{
	for (; *s; s++) {
		if (strchr("<>&\"'", *s))
			buffer_printf(out, "&#%d;", *s);
		else
			buffer_u8(out, (uint8_t)*s);
	}
}

/* The object of --stats, as it is. */
static int put_stats(struct page *page)
{
	_cleanup_free_ char *json = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&json, &size);
	int err;

	if (!to)
		return -ENOMEM;
	err = export_stats_json(page->profile, page->stats, to);
	if (fclose(to) != 0 && !err)
		err = -ENOMEM;
	if (!err)
		put_json_text(&page->out, json, size);
	return err;
}

static void put_strings(struct buffer *out, const struct string_table *strings)
{
	for (uint32_t i = 0; i < string_table__count(strings); i++) {
		buffer_string(out, i ? ",\n" : "");
		put_json_string(out, string_table__get(strings, i));
	}
}

/* In the order of the profile, which is that of the threads column. */
static void put_processes(struct page *page)
{
	for (uint32_t i = 0; i < profile__process_count(page->profile); i++) {
		const struct profile_process *process = profile__process(page->profile, i);
		_cleanup_free_ char *comm = NULL;
		const char *s = string_table__get(profile__strings(page->profile), process->comm);

		comm = sanitize_name(s, strlen(s), TITLE_BYTES_MAX);
		if (!comm) {
			page->out.failed = true;
			return;
		}
		buffer_printf(&page->out, "%s{\"pid\":%" PRIu32 ",\"comm\":", i ? "," : "",
			      process->pid);
		put_json_string(&page->out, comm);
		buffer_u8(&page->out, '}');
	}
}

static int put_views(struct page *page, const struct view_columns *columns)
{
	int err = 0;

	for (int i = FRAMES_MIXED; i <= FRAMES_FULL && !err; i++) {
		buffer_printf(&page->out, "%s\"%s\":\"", i ? "\",\n" : "", view_names[i]);
		err = view_columns__stacks(columns, i, &page->out);
	}
	buffer_u8(&page->out, '"');
	return err;
}

static int put_data(struct page *page)
{
	_cleanup_(view_columns__freep) struct view_columns *columns = NULL;
	struct buffer *out = &page->out;
	int err = view_columns__new(page->profile, page->options->no_lines, &columns);

	if (err)
		return err;
	buffer_printf(out, "{\"format\":1,\"view\":\"%s\",\"lines\":%s,\"total\":%" PRIu64 ",",
		      view_names[page->options->frames], page->options->no_lines ? "false" : "true",
		      profile__total(page->profile));
	buffer_string(out, "\"title\":");
	put_json_string(out, page->title);
	buffer_string(out, ",\n\"stats\":");
	err = put_stats(page);
	if (err)
		return err;
	buffer_string(out, ",\n\"processes\":[");
	put_processes(page);
	buffer_string(out, "],\n\"strings\":[");
	put_strings(out, view_columns__strings(columns));
	buffer_string(out, "],\n\"frames\":\"");
	view_columns__frames(columns, out);
	buffer_string(out, "\",\n\"threads\":\"");
	view_columns__threads(columns, out);
	buffer_string(out, "\",\n\"views\":{");
	err = put_views(page, columns);
	buffer_string(out, "}}");
	return err;
}

static int put_part(struct page *page, const char *name)
{
	if (strcmp(name, "title") == 0)
		put_html_text(&page->out, *page->title ? page->title : "flame graph");
	else if (strcmp(name, "profile") == 0)
		return put_data(page);
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		if (strcmp(name, parts[i].name) == 0)
			buffer_string(&page->out, parts[i].text);
	return 0;
}

/* viewer.html with each {{part}} in its place; what is put there is not searched again. */
static int put_page(struct page *page)
{
	const char *at = viewer_page, *open, *close;

	while ((open = strstr(at, "{{")) && (close = strstr(open, "}}"))) {
		char name[16];
		int err;

		buffer_append(&page->out, at, (size_t)(open - at));
		snprintf(name, sizeof(name), "%.*s", (int)(close - open - 2), open + 2);
		err = put_part(page, name);
		if (err)
			return err;
		at = close + 2;
	}
	buffer_string(&page->out, at);
	return page->out.failed ? -ENOMEM : 0;
}

int export_html(const struct profile *profile, const struct run_stats *stats,
		const struct export_options *options, FILE *to)
{
	_cleanup_(page_done) struct page page = {
		.profile = profile, .stats = stats, .options = options};
	const char *title = options->title ? options->title : "";
	int err;

	page.title = sanitize_name(title, strlen(title), TITLE_BYTES_MAX);
	if (!page.title)
		return -ENOMEM;
	err = put_page(&page);
	if (err)
		return err;
	errno = 0;
	if (fwrite(page.out.data, 1, page.out.size, to) != page.out.size)
		return errno ? -errno : -EIO;
	return exporter_finish(to);
}
