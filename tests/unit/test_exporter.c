/* SPDX-License-Identifier: Apache-2.0 */
/* Formats are found by their name and by the file's extension. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "output/exporter.h"

static void by_name(void **state)
{
	(void)state;
	assert_ptr_equal(exporter_find("folded")->write, export_folded);
	assert_ptr_equal(exporter_find("html")->write, export_html);
	assert_null(exporter_find("Folded"));
	assert_null(exporter_find(""));
}

static void by_path(void **state)
{
	(void)state;
	assert_ptr_equal(exporter_for_path("/tmp/a.b/x.folded")->write, export_folded);
	assert_ptr_equal(exporter_for_path("flame.html")->write, export_html);
	assert_null(exporter_for_path("-"));
	assert_null(exporter_for_path("folded"));
	assert_null(exporter_for_path("x.html.gz"));
	assert_null(exporter_for_path(""));
}

static void each_is_found_again(void **state)
{
	(void)state;
	assert_non_null(exporters[0]);
	for (size_t i = 0; exporters[i]; i++) {
		char path[64] = "x";

		assert_ptr_equal(exporter_find(exporters[i]->name), exporters[i]);
		assert_ptr_equal(exporter_for_path(strcat(path, exporters[i]->extension)),
				 exporters[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_name),
		cmocka_unit_test(by_path),
		cmocka_unit_test(each_is_found_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
