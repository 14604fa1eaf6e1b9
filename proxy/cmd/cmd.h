/*
 * cmd.h - the subcommands of the program, and what they share.
 */
#ifndef PROXY_CMD_CMD_H
#define PROXY_CMD_CMD_H

#include <getopt.h>
#include <stdbool.h>

#include "policy/kit/buf.h"

struct cmd {
	const char *name, *summary;
	const char *usage; /* the whole text of --help */
	/* argv[0] is the command's name. Returns the exit status: 0 well, 1 the policy or a test is at fault,
	 * 2 wrong usage or a refusal of the system. */
	int (*run)(int argc, char **argv);
};

extern const struct cmd cmd_run, cmd_proxy, cmd_check, cmd_explain, cmd_test, cmd_plan, cmd_facts, cmd_fmt, cmd_milter_probe;

/* Prints what is wrong and where help is; returns 2. */
__attribute__((format(printf, 2, 3))) int cmd_usage_error(const struct cmd *cmd, const char *fmt, ...);
/* The one path argument that must be left after the options; null (told) when there is none or more. */
const char *cmd_one_path(const struct cmd *cmd, int argc, char **argv);
/* Reads a whole file ("-": standard input) of at most max octets; false: told on standard error. */
bool cmd_read_file(const char *path, size_t max, struct buf *to);
/* "1.5" as a positive factor, without locale. */
bool cmd_parse_factor(const char *text, double *ret);

#endif
