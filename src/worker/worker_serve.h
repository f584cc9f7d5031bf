/* SPDX-License-Identifier: Apache-2.0 */
/* The child's loop without its sandbox, for tests that run it in a thread. */
#ifndef MIXPROF_WORKER_WORKER_SERVE_H
#define MIXPROF_WORKER_WORKER_SERVE_H

/* Greets, then answers requests until the other end closes: 0. Negative errno otherwise. */
int worker_serve(int socket);

#endif
