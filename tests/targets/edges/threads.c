/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: one that spins, and many that come and go. */
#include "edges.h"

#include <pthread.h>
#include <unistd.h>

EDGE void leaf_thread(uint64_t rounds)
{
	SPIN(rounds);
}

EDGE void *thread_main(void *rounds)
{
	leaf_thread(*(uint64_t *)rounds);
	CALLED_BEFORE_THIS();
	return NULL;
}

static void one(void)
{
	uint64_t rounds = FOREVER;
	pthread_t thread;

	pthread_create(&thread, NULL, thread_main, &rounds);
	pthread_join(thread, NULL);
}

/* As fast as it can be: well above 1,000 a second. */
static void storm(void)
{
	uint64_t rounds = A_WHILE / 20;
	pthread_t threads[4];

	for (;;) {
		for (int i = 0; i < 4; i++)
			pthread_create(&threads[i], NULL, thread_main, &rounds);
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
	}
}

MAIN({"one", one}, {"storm", storm})
