/* relay_sink.c - a backend that is a Maildir: what lies in it after each ending. */
#include "tests/unit/relay_env.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char parent[64], folder[80]; /* the Maildir is made inside of the parent */

static unsigned
files_in(const char *part, char *ret_path, size_t room)
{
	char path[128];
	unsigned n = 0;
	struct dirent *d;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, part);
	dir = opendir(path);
	while (dir != NULL && (d = readdir(dir)) != NULL) {
		if (d->d_name[0] == '.')
			continue;
		n++;
		if (ret_path != NULL)
			(void)snprintf(ret_path, room, "%s/%.100s", path, d->d_name);
	}
	if (dir != NULL)
		closedir(dir);
	return n;
}

static void
run(struct env *e, void (*fn)(struct env *))
{
	*e = (struct env){ .fn = fn };
	e->config = (struct relay_config){ .name = "sink",
		.helo = "gate.example",
		.sink = folder,
		.timeouts = relay_timeouts_default };
	assert_int_equal(co_start(env_main, e, NULL), SP_OK);
	rt_run();
}

static int
set_up(void **state)
{
	(void)snprintf(parent, sizeof(parent), "/tmp/sallyport-sink-XXXXXX");
	if (mkdtemp(parent) == NULL)
		return -1;
	(void)snprintf(folder, sizeof(folder), "%s/mail", parent);
	return env_set_up(state);
}

static void
remove_files(const char *part)
{
	char path[256];

	while (files_in(part, path, sizeof(path)) > 0)
		if (unlink(path) != 0)
			break;
	(void)snprintf(path, sizeof(path), "%s/%s", folder, part);
	(void)rmdir(path);
}

static int
tear_down(void **state)
{
	remove_files("tmp");
	remove_files("new");
	remove_files("cur");
	(void)rmdir(folder);
	(void)rmdir(parent);
	return env_tear_down(state);
}

static void
file_one(struct env *e)
{
	struct sp_span body = SPAN_LIT("Cut: away\r\nSubject: x\r\n\r\n..a\r\n.");

	assert_true(relay_backend_offer(e->backend).known);
	env_begin(e);
	assert_string_equal(env_rcpt(e, "one@example.com"), "250 2.1.5 Ok");
	assert_string_equal(env_rcpt(e, "two@example.com"), "250 2.1.5 Ok");
	assert_int_equal(relay_accepted(e->relay), 2);
	e->message.spool = spool_new();
	/* a stuffed dot cut from its line by the edge of a write */
	assert_int_equal(spool_write(e->message.spool, body), SP_OK);
	assert_int_equal(spool_write(e->message.spool, SPAN_LIT(".b..\r\n..\r\n")), SP_OK);
	assert_int_equal(spool_seal(e->message.spool), SP_OK);
	e->message.from = 11;
	(void)env_send(e, "Received: here\r\n");
	assert_int_equal(e->outcome, RELAY_ANSWERED);
	assert_int_equal(strncmp(e->text, "250 2.0.0 Ok: filed as ", 23), 0);
	assert_true(span_eq(relay_facts(e->relay)->queue_id, span_str(e->text + 23)));
	spool_free(&e->message.spool);
}

static void
the_file_is_the_message(void **state)
{
	static const char expected[] =
		"Return-Path: <a@example.org>\r\nDelivered-To: one@example.com\r\n"
		"Delivered-To: two@example.com\r\nReceived: here\r\nSubject: x\r\n\r\n"
		".a\r\n.b..\r\n.\r\n";
	char path[256], text[512];
	struct env e;
	ssize_t n;
	int fd;

	(void)state;
	run(&e, file_one);
	assert_int_equal(files_in("new", path, sizeof(path)), 1);
	assert_int_equal(files_in("tmp", NULL, 0), 0);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	n = read(fd, text, sizeof(text));
	close(fd);
	assert_int_equal(n, sizeof(expected) - 1);
	assert_memory_equal(text, expected, sizeof(expected) - 1);
	run(&e, file_one);
	assert_int_equal(files_in("new", NULL, 0), 2);
}

static bool
never(void *arg)
{
	(void)arg;
	return false;
}

static void
uncommitted(struct env *e)
{
	e->message.commit = never;
	env_begin(e);
	(void)env_rcpt(e, "one@example.com");
	assert_string_equal(
		env_send(e, "x\r\n"), "451 4.3.0 not passed on in time, try again later");
	assert_int_equal(e->outcome, RELAY_NOT_SENT);
}

static void
without_commit_nothing_is_filed(void **state)
{
	struct env e;

	(void)state;
	run(&e, uncommitted);
	assert_int_equal(files_in("new", NULL, 0), 0);
	assert_int_equal(files_in("tmp", NULL, 0), 0);
}

static void
unwritable(struct env *e)
{
	env_begin(e);
	(void)env_rcpt(e, "one@example.com");
	assert_string_equal(
		env_send(e, "x\r\n"), "451 4.3.1 message cannot be stored, try again later");
	assert_int_equal(e->outcome, RELAY_NOT_SENT);
	assert_string_equal(relay_facts(e->relay)->fault, "disk");
}

static void
a_folder_that_cannot_be_made(void **state)
{
	struct env e;
	int fd = open(folder, O_WRONLY | O_CREAT, 0600);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	run(&e, unwritable);
	assert_int_equal(unlink(folder), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_file_is_the_message, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_commit_nothing_is_filed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_made, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
