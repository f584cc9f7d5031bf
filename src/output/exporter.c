/* SPDX-License-Identifier: Apache-2.0 */
/* The table of output formats: adding one is one export_X.c and one row here. */
#include "output/exporter.h"

#include <string.h>

static const struct exporter folded = {"folded", ".folded", export_folded};
static const struct exporter html = {"html", ".html", export_html};

const struct exporter *const exporters[] = {&folded, &html, NULL};

const struct exporter *exporter_find(const char *name)
{
	for (size_t i = 0; exporters[i]; i++)
		if (strcmp(exporters[i]->name, name) == 0)
			return exporters[i];
	return NULL;
}

const struct exporter *exporter_for_path(const char *path)
{
	size_t size = strlen(path);

	for (size_t i = 0; exporters[i]; i++) {
		size_t extension = strlen(exporters[i]->extension);

		if (size > extension &&
		    strcmp(path + size - extension, exporters[i]->extension) == 0)
			return exporters[i];
	}
	return NULL;
}
