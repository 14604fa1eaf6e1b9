/*
 * failing.c - a milter that does one thing at one stage, for whoever tests what a mail server makes of it.
 *
 *   failing STAGE ACTION SOCKET
 *
 *   STAGE   connect helo mail rcpt data header eoh body eom
 *   ACTION  a verdict: continue accept reject tempfail discard skip "reply CODE ENHANCED TEXT"
 *           hang         says nothing for an hour
 *           die          the process ends at once, with all its connections
 *           slow N       N times a second of silence and smfi_progress, then continues; eom only
 *
 * What libmilter cannot be made to do is in broken.c.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

static const char *failing_stage, *action;

static sfsistat
slow(SMFICTX *ctx, int seconds)
{
	const struct timespec one = { .tv_sec = 1 };

	for (int i = 0; i < seconds; i++) {
		nanosleep(&one, NULL);
		(void)smfi_progress(ctx);
	}
	return SMFIS_CONTINUE;
}

static sfsistat
at(SMFICTX *ctx, const char *stage)
{
	const struct timespec hour = { .tv_sec = 3600 };
	sfsistat verdict;
	char text[1024];
	int n;

	if (strcmp(stage, failing_stage) != 0)
		return SMFIS_CONTINUE;
	snprintf(text, sizeof(text), "%s", action);
	if (strcmp(action, "die") == 0)
		_exit(9);
	if (strcmp(action, "hang") == 0)
		nanosleep(&hour, NULL);
	if (strncmp(action, "slow ", 5) == 0 && milter_number(action + 5, &n))
		return slow(ctx, n);
	return milter_verdict(ctx, text, &verdict) ? verdict : SMFIS_CONTINUE;
}

static sfsistat
on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
	(void)host, (void)address;
	return at(ctx, "connect");
}

static sfsistat
on_helo(SMFICTX *ctx, char *name)
{
	(void)name;
	return at(ctx, "helo");
}

static sfsistat
on_mail(SMFICTX *ctx, char **words)
{
	(void)words;
	return at(ctx, "mail");
}

static sfsistat
on_rcpt(SMFICTX *ctx, char **words)
{
	(void)words;
	return at(ctx, "rcpt");
}

static sfsistat
on_data(SMFICTX *ctx)
{
	return at(ctx, "data");
}

static sfsistat
on_header(SMFICTX *ctx, char *name, char *value)
{
	(void)name, (void)value;
	return at(ctx, "header");
}

static sfsistat
on_eoh(SMFICTX *ctx)
{
	return at(ctx, "eoh");
}

static sfsistat
on_body(SMFICTX *ctx, unsigned char *octets, size_t len)
{
	(void)octets, (void)len;
	return at(ctx, "body");
}

static sfsistat
on_eom(SMFICTX *ctx)
{
	return at(ctx, "eom");
}

static sfsistat
on_negotiate(SMFICTX *ctx, unsigned long actions, unsigned long steps, unsigned long more, unsigned long most,
	unsigned long *want_actions, unsigned long *want_steps, unsigned long *want_more, unsigned long *want_most)
{
	(void)ctx, (void)actions, (void)more, (void)most;
	*want_actions = *want_more = *want_most = 0;
	*want_steps = steps & SMFIP_SKIP;
	return SMFIS_CONTINUE;
}

/* Words that at() will know; a reply is judged by libmilter, once there is a session. */
static bool
known(const char *stage, const char *what)
{
	static const char *const stages[] = { "connect", "helo", "mail", "rcpt", "data", "header", "eoh", "body", "eom" };
	static const char *const actions[] = { "continue", "accept", "reject", "tempfail", "discard", "skip", "hang", "die" };
	bool stage_known = false, action_known = strncmp(what, "reply ", 6) == 0;
	int n;

	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++)
		stage_known |= strcmp(stages[i], stage) == 0;
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		action_known |= strcmp(actions[i], what) == 0;
	action_known |= strncmp(what, "slow ", 5) == 0 && milter_number(what + 5, &n) && strcmp(stage, "eom") == 0;
	return stage_known && action_known;
}

int
main(int argc, char **argv)
{
	struct smfiDesc d = { .xxfi_name = "failing", .xxfi_version = SMFI_VERSION, .xxfi_connect = on_connect, .xxfi_helo = on_helo,
		.xxfi_envfrom = on_mail, .xxfi_envrcpt = on_rcpt, .xxfi_header = on_header, .xxfi_eoh = on_eoh, .xxfi_body = on_body,
		.xxfi_eom = on_eom, .xxfi_data = on_data, .xxfi_negotiate = on_negotiate };

	if (argc != 4 || !known(argv[1], argv[2])) {
		fprintf(stderr, "usage: failing STAGE ACTION SOCKET\n");
		return 2;
	}
	failing_stage = argv[1];
	action = argv[2];
	return milter_serve(argv[3], &d);
}
