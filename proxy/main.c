/*
 * main.c - "sallyport COMMAND ...": finds the command and runs it.
 */
#include <stdio.h>
#include <string.h>

#include "proxy/cmd/cmd.h"

static const struct cmd *const commands[] = {
	&cmd_run, &cmd_proxy, &cmd_check, &cmd_explain, &cmd_test, &cmd_plan, &cmd_facts, &cmd_fmt,
	&cmd_milter_probe,
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void
usage(FILE *to)
{
	fprintf(to, "usage: sallyport COMMAND [option ...] [argument ...]\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
	fprintf(to, "  %-12s %s\n  %-12s %s\n\n", "help", "this text, or \"help COMMAND\"", "version", "print the version");
	fprintf(to, "Try it:  sallyport proxy --listen 127.0.0.1:2525 --to 127.0.0.1:25\n"
		    "Manual:  sallyport(8), sallyport.policy(5), sallyport-filter(3)\n");
}

static const struct cmd *
find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static int
help(const char *name)
{
	const struct cmd *cmd = name == NULL ? NULL : find(name);

	if (cmd != NULL)
		fputs(cmd->usage, stdout);
	else
		usage(stdout);
	return 0;
}

int
main(int argc, char **argv)
{
	const struct cmd *cmd;

	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return help(argc > 2 ? argv[2] : NULL);
	if (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0) {
		printf("sallyport %s\n", SALLYPORT_VERSION);
		return 0;
	}
	cmd = find(argv[1]);
	if (cmd == NULL) {
		fprintf(stderr, "sallyport: no command named '%s'; \"sallyport help\" lists them\n", argv[1]);
		return 2;
	}
	if (argc > 2 && strcmp(argv[2], "--help") == 0)
		return help(cmd->name);
	return cmd->run(argc - 1, argv + 1);
}
