/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/maps from any bytes: what is accepted is ascending, and found again by address. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "process/proc_maps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct proc_maps maps;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (proc_maps_parse(text, size, &maps))
		return 0;
	for (size_t i = 0; i < maps.count; i++) {
		const struct proc_map *map = &maps.maps[i];

		if (map->start >= map->end || (i && map->start < map[-1].end) ||
		    strlen(map->path) > size || proc_maps_find(&maps, map->start) != map ||
		    proc_maps_find(&maps, map->end - 1) != map)
			abort();
	}
	proc_maps_done(&maps);
	return 0;
}
