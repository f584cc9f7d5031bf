/* SPDX-License-Identifier: Apache-2.0 */
/* `mixprof replay FILE`: a capture to the profile that was, or could have been, recorded with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/result.h"

struct replay_options {
	struct result_options result;
};

static const struct option_spec options[] = {
	RESULT_OPTIONS(struct replay_options, result),
	{0},
};

static int replay(const struct replay_options *wanted, const char *path)
{
	_cleanup_(pipeline__freep) struct pipeline *pipeline = NULL;
	_cleanup_(result__freep) struct result *result = NULL;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct pipeline_error error = {0};
	int status;

	if (fd < 0) {
		log_error("cannot read \"%s\": %s", path, strerror(errno));
		return STATUS_FAILED;
	}
	status = result__open(&wanted->result, "replay", &result);
	if (status)
		return status;
	if (pipeline__replay(fd, &pipeline, &error)) {
		log_error("%s", error.message);
		return error.system_cannot ? STATUS_SYSTEM : STATUS_FAILED;
	}
	if (profile__total(pipeline__profile(pipeline)) == 0) {
		log_error("\"%s\" holds no sample", path);
		return STATUS_NOTHING;
	}
	return result__write(result, pipeline);
}

static int run(const struct command *self, int argc, char **argv)
{
	struct replay_options wanted = {0};
	struct operands operands;
	int status;

	if (!command_parse(self, &wanted, argc, argv, &operands, &status))
		return status;
	if (operands.before_count + operands.after_count != 1) {
		log_error("replay needs one capture file: mixprof replay FILE");
		return STATUS_USAGE;
	}
	result_set_log_level(&wanted.result);
	interrupt_install();
	interrupt_give_up_at_once();
	return replay(&wanted, operands.before_count ? operands.before[0] : operands.after[0]);
}

const struct command cmd_replay = {
	.name = "replay",
	.summary = "Make a profile from a capture file",
	.synopsis = "[OPTIONS] FILE",
	.options = options,
	.operand_files = "capture",
	.run = run,
};
