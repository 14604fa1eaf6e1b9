/*
 * test.c - "sallyport test FILE...": each scene in a process of its own, one line for each, transcripts of what failed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/cmd/cmd.h"
#include "proxy/test/scene.h"

enum { SCENE_MAX = 4 << 20 };

static const char test_usage[] =
	"usage: sallyport test [-kv] FILE.sally ...\n"
	"\n"
	"Plays SMTP dialogues against a policy, with a fake backend, a fake DNS and a clock that can run fast, over\n"
	"real sockets on loopback.  Nothing outside of this machine is asked.  Each file is one scene; see sallyport(8).\n"
	"\n"
	"  -k   keep the folder with the policy that was run\n"
	"  -v   show the transcripts of scenes that passed, too\n"
	"\n"
	"Exit status: 0 all passed, 1 some failed, 2 usage.\n";

/* In a child: a scene may not disturb the next one. */
static int
play_one(const char *path, const struct scene_options *o)
{
	struct scene *s = scene_new(path);
	struct buf text;
	bool ok;

	if (s == NULL || !cmd_read_file(path, SCENE_MAX, &text))
		return 2;
	ok = scene_parse(s, buf_span(&text)) && scene_play(s, o);
	printf("%s %s: %.*s\n", ok ? "ok    " : "FAILED", path, (int)s->title.len, s->title.len > 0 ? s->title.ptr : "");
	if (s->error.len > 0)
		printf("%s\n", buf_cstr(&s->error));
	fflush(stdout);
	scene_free(&s);
	buf_fini(&text);
	return ok ? 0 : 1;
}

static bool
passed(const char *path, const struct scene_options *o)
{
	pid_t pid = fork();
	int status = 1;

	if (pid == 0)
		exit(play_one(path, o));
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int
test_main(int argc, char **argv)
{
	char program[4096];
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);
	struct scene_options o = { .program = program };
	unsigned good = 0, bad = 0;
	int opt;

	while ((opt = getopt(argc, argv, "kv")) != -1) {
		if (opt == 'k')
			o.keep = true;
		else if (opt == 'v')
			o.verbose = true;
		else
			return cmd_usage_error(&cmd_test, "wrong option");
	}
	if (optind == argc || len < 0)
		return cmd_usage_error(&cmd_test, "at least one scene is expected");
	program[len] = '\0';
	for (int i = optind; i < argc; i++)
		if (passed(argv[i], &o))
			good++;
		else
			bad++;
	printf("%u passed, %u failed\n", good, bad);
	return bad > 0;
}

const struct cmd cmd_test = { "test", "play scripted SMTP dialogues against a policy", test_usage, test_main };
