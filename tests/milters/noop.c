/*
 * noop.c - a milter that changes nothing and refuses nothing, to measure what a milter costs.
 *
 *   noop [-a | -n] SOCKET
 *
 *   (none)  wants no command that can be left out (all SMFIP_NO*): only the end of each message is left
 *   -a      wants every command, and answers each
 *   -n      wants every command, and answers none that need not be (all SMFIP_NR_*)
 */
#include <stdio.h>
#include <unistd.h>

#include "common.h"

static const unsigned long no_commands = SMFIP_NOCONNECT | SMFIP_NOHELO | SMFIP_NOMAIL | SMFIP_NORCPT | SMFIP_NOBODY | SMFIP_NOHDRS |
	SMFIP_NOEOH | SMFIP_NOUNKNOWN | SMFIP_NODATA;
static const unsigned long no_answers = SMFIP_NR_CONN | SMFIP_NR_HELO | SMFIP_NR_MAIL | SMFIP_NR_RCPT | SMFIP_NR_DATA | SMFIP_NR_UNKN |
	SMFIP_NR_HDR | SMFIP_NR_EOH | SMFIP_NR_BODY;
static unsigned long wanted;
static sfsistat answer;

static sfsistat
on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
	(void)ctx, (void)host, (void)address;
	return answer;
}

static sfsistat
on_text(SMFICTX *ctx, char *text)
{
	(void)ctx, (void)text;
	return answer;
}

static sfsistat
on_unknown(SMFICTX *ctx, const char *text)
{
	(void)ctx, (void)text;
	return answer;
}

static sfsistat
on_words(SMFICTX *ctx, char **words)
{
	(void)ctx, (void)words;
	return answer;
}

static sfsistat
on_header(SMFICTX *ctx, char *name, char *value)
{
	(void)ctx, (void)name, (void)value;
	return answer;
}

static sfsistat
on_call(SMFICTX *ctx)
{
	(void)ctx;
	return answer;
}

static sfsistat
on_body(SMFICTX *ctx, unsigned char *octets, size_t len)
{
	(void)ctx, (void)octets, (void)len;
	return answer;
}

static sfsistat
on_eom(SMFICTX *ctx)
{
	(void)ctx;
	return SMFIS_CONTINUE;
}

static sfsistat
on_negotiate(SMFICTX *ctx, unsigned long actions, unsigned long steps, unsigned long more, unsigned long most,
	unsigned long *want_actions, unsigned long *want_steps, unsigned long *want_more, unsigned long *want_most)
{
	(void)ctx, (void)actions, (void)more, (void)most;
	*want_actions = *want_more = *want_most = 0;
	*want_steps = steps & wanted;
	return SMFIS_CONTINUE;
}

int
main(int argc, char **argv)
{
	struct smfiDesc d = { .xxfi_name = "noop", .xxfi_version = SMFI_VERSION, .xxfi_connect = on_connect, .xxfi_helo = on_text,
		.xxfi_envfrom = on_words, .xxfi_envrcpt = on_words, .xxfi_header = on_header, .xxfi_eoh = on_call, .xxfi_body = on_body,
		.xxfi_eom = on_eom, .xxfi_abort = on_eom, .xxfi_close = on_eom, .xxfi_unknown = on_unknown, .xxfi_data = on_call,
		.xxfi_negotiate = on_negotiate };
	int o;

	wanted = no_commands;
	answer = SMFIS_CONTINUE;
	while ((o = getopt(argc, argv, "an")) != -1) {
		if (o == '?')
			return 2;
		wanted = o == 'n' ? no_answers : 0;
		answer = o == 'n' ? SMFIS_NOREPLY : SMFIS_CONTINUE;
	}
	if (optind != argc - 1) {
		fprintf(stderr, "usage: noop [-a | -n] SOCKET\n");
		return 2;
	}
	return milter_serve(argv[optind], &d);
}
