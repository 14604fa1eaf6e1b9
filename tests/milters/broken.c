/*
 * broken.c - a milter that breaks the protocol, in one way per command line; what libmilter cannot be made to do.
 *
 *   broken KIND COMMAND SOCKET     KIND happens in place of the answer to COMMAND; all else is answered well
 *   broken -l                      lists the kinds
 *
 *   COMMAND   open (before anything is said) negotiate connect helo mail rcpt data header eoh body end
 *   SOCKET    unix:/path, or inet:port@127.0.0.1
 *
 * Who starts it knows that it is ready when it can connect.  A connection is a thread; nothing is kept between them.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <libmilter/mfapi.h>

enum { PACKET_MAX = 2 << 20 };

/* Octets of a kind; how > 0: done by code below. */
enum how { OCTETS, CLOSE, HALF, HANG, SILENT_PROGRESS, LONG_REPLY, MANY_FIELDS, LONG_BODY, LONG_VALUE };
struct kind {
	const char *name;
	enum how how;
	const char *octets;
	size_t len;
	bool edit; /* at end, and the end of the message is answered behind it */
};
#define RAW(s) OCTETS, s, sizeof(s) - 1
static const struct kind kinds[] = {
	{ "close", CLOSE, NULL, 0, false },
	{ "half", HALF, NULL, 0, false },         /* of a good answer, then close */
	{ "hang", HANG, NULL, 0, false },
	{ "progress", SILENT_PROGRESS, NULL, 0, false }, /* ten a second, for ever */
	{ "garbage", RAW("HTTP/1.1 400 Bad Request\r\n\r\n"), false },
	{ "text", RAW("250 ok\r\n"), false },
	{ "length-zero", RAW("\0\0\0\0"), false },
	{ "length-huge", RAW("\xff\xff\xff\xff" "c"), false },
	{ "length-over", RAW("\0\x20\0\1" "c"), false }, /* more than the largest piece of a body */
	{ "letter", RAW("\0\0\0\1" "Z"), false },
	{ "letter-nul", RAW("\0\0\0\1" "\0"), false },
	{ "command", RAW("\0\0\0\1" "M"), false }, /* a letter of the other direction */
	{ "version-0", RAW("\0\0\0\x0d" "O\0\0\0\0\0\0\0\0\0\0\0\0"), false },
	{ "version-1", RAW("\0\0\0\x0d" "O\0\0\0\1\0\0\0\0\0\0\0\0"), false },
	{ "version-7", RAW("\0\0\0\x0d" "O\0\0\0\7\0\0\0\0\0\0\0\0"), false },
	{ "optneg-short", RAW("\0\0\0\x09" "O\0\0\0\6\0\0\0\0"), false },
	{ "optneg-actions", RAW("\0\0\0\x0d" "O\0\0\0\6\0\0\2\0\0\0\0\0"), false },
	{ "optneg-steps", RAW("\0\0\0\x0d" "O\0\0\0\6\0\0\0\0\0\x20\0\0"), false },
	{ "optneg-list", RAW("\0\0\0\x13" "O\0\0\0\6\0\0\0\0\0\0\0\0\0\0\0\0ij"), false },
	{ "optneg", RAW("\0\0\0\x0d" "O\0\0\0\6\0\0\0\0\0\0\0\0"), false },
	{ "continue-data", RAW("\0\0\0\2" "cx"), false },
	{ "reply-empty", RAW("\0\0\0\1" "y"), false },
	{ "reply-no-nul", RAW("\0\0\0\x0d" "y550 5.7.1 no"), false },
	{ "reply-short", RAW("\0\0\0\6" "y55 x\0"), false },
	{ "reply-letters", RAW("\0\0\0\x08" "yabc no\0"), false },
	{ "reply-2xx", RAW("\0\0\0\x08" "y250 ok\0"), false },
	{ "reply-3xx", RAW("\0\0\0\x08" "y354 go\0"), false },
	{ "reply-6xx", RAW("\0\0\0\x08" "y650 no\0"), false },
	{ "reply-class", RAW("\0\0\0\x0e" "y550 4.7.1 no\0"), false },
	{ "reply-line", RAW("\0\0\0\x11" "y550 no\r\n250 yes\0"), false },
	{ "reply-mixed", RAW("\0\0\0\x10" "y550-no\r\n450 no\0"), false },
	{ "reply-bare-lf", RAW("\0\0\0\x0f" "y550-no\n550 no\0"), false },
	{ "reply-bare-cr", RAW("\0\0\0\x0b" "y550 n\ro x\0"), false },
	{ "reply-nul", RAW("\0\0\0\x0b" "y550 n\0o x\0"), false },
	{ "reply-control", RAW("\0\0\0\x0b" "y550 \x1b[2Jx\0"), false },
	{ "reply-long", LONG_REPLY, NULL, 0, false },
	{ "skip", RAW("\0\0\0\1" "s"), false },
	{ "two-answers", RAW("\0\0\0\1" "c" "\0\0\0\1" "r"), false },
	{ "early-add", RAW("\0\0\0\6" "hX\0" "1\0" "\0"), false },
	{ "add-empty", RAW("\0\0\0\1" "h"), true },
	{ "add-no-value", RAW("\0\0\0\4" "hX-\0"), true },
	{ "add-no-nul", RAW("\0\0\0\6" "hX-\0ab"), true },
	{ "add-no-name", RAW("\0\0\0\4" "h\0a\0"), true },
	{ "add-too-much", RAW("\0\0\0\x08" "hX-\0a\0b\0"), true },
	{ "add-name-blank", RAW("\0\0\0\x08" "hX Y\0ab\0"), true },
	{ "add-name-colon", RAW("\0\0\0\x08" "hX:Y\0ab\0"), true },
	{ "add-name-lf", RAW("\0\0\0\x08" "hX\nY\0ab\0"), true },
	{ "add-name-8bit", RAW("\0\0\0\x08" "hX\xe9Y\0ab\0"), true },
	{ "add-value-field", RAW("\0\0\0\x0b" "hX\0a\r\nB: c\0"), true },
	{ "add-value-cr", RAW("\0\0\0\x07" "hX\0a\rb\0"), true },
	{ "add-value-end", RAW("\0\0\0\x0b" "hX\0a\n\nbody\0"), true },
	{ "add-value-long", LONG_VALUE, NULL, 0, true },
	{ "add-many", MANY_FIELDS, NULL, 0, true },
	{ "insert-short", RAW("\0\0\0\3" "i\0\0"), true },
	{ "insert-negative", RAW("\0\0\0\x0a" "i\xff\xff\xff\xffX\0ab\0"), true },
	{ "insert-no-nul", RAW("\0\0\0\x09" "i\0\0\0\0X\0ab"), true },
	{ "change-short", RAW("\0\0\0\3" "m\0\0"), true },
	{ "change-negative", RAW("\0\0\0\x0a" "m\xff\xff\xff\xffX\0ab\0"), true },
	{ "change-no-name", RAW("\0\0\0\x08" "m\0\0\0\1\0a\0"), true },
	{ "from-empty", RAW("\0\0\0\1" "e"), true },
	{ "from-no-nul", RAW("\0\0\0\x06" "e<a@b>"), true },
	{ "from-crlf", RAW("\0\0\0\x12" "e<a@b>\r\nDATA\r\n<x>\0"), true },
	{ "from-args-crlf", RAW("\0\0\0\x14" "e<a@b>\0SIZE=1\r\nRSET\0"), true },
	{ "rcpt-empty", RAW("\0\0\0\1" "+"), true },
	{ "rcpt-no-nul", RAW("\0\0\0\x06" "+<a@b>"), true },
	{ "rcpt-crlf", RAW("\0\0\0\x10" "+<a@b>\r\nQUIT\r\n>\0"), true },
	{ "unrcpt-no-nul", RAW("\0\0\0\x06" "-<a@b>"), true },
	{ "quarantine-empty", RAW("\0\0\0\1" "q"), true },
	{ "quarantine-no-nul", RAW("\0\0\0\5" "qspam"), true },
	{ "body-nul", RAW("\0\0\0\x05" "ba\0b\n"), true },
	{ "body-dot", RAW("\0\0\0\x14" "ba\n.\nMAIL FROM:<>\nb\n"), true },
	{ "body-long", LONG_BODY, NULL, 0, true },
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const struct kind *kind;
static char when; /* the command's letter; 0: open */

/* ---- octets --------------------------------------------------------------------------------- */

static bool
say(int fd, const void *octets, size_t len)
{
	const char *at = octets;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static bool
say_packet(int fd, char letter, const char *data, size_t len)
{
	uint32_t n = htonl((uint32_t)len + 1);

	return say(fd, &n, sizeof(n)) && say(fd, &letter, 1) && say(fd, data, len);
}

static bool
hear(int fd, void *to, size_t len)
{
	return recv(fd, to, len, MSG_WAITALL) == (ssize_t)len;
}

/* ---- kinds ---------------------------------------------------------------------------------- */

static bool
progress(int fd)
{
	const struct timespec tenth = { .tv_nsec = 100000000 };

	while (say_packet(fd, SMFIR_PROGRESS, "", 0))
		nanosleep(&tenth, NULL);
	return false;
}

/* A packet of so many octets: front, then filler, then a NUL where it ends in one. */
static bool
say_long(int fd, char letter, const char *front, size_t front_len, size_t len)
{
	char *data = malloc(len);
	bool ok = data != NULL;

	if (ok) {
		memset(data, 'a', len);
		memcpy(data, front, front_len);
		if (letter != SMFIR_REPLBODY)
			data[len - 1] = '\0';
		ok = say_packet(fd, letter, data, len);
	}
	free(data);
	return ok;
}

static bool
break_it(int fd)
{
	char octet;

	switch (kind->how) {
	case OCTETS:
		return say(fd, kind->octets, kind->len);
	case CLOSE:
		return false;
	case HALF:
		(void)say(fd, "\0\0\0\5y4", 6);
		return false;
	case HANG:
		while (recv(fd, &octet, 1, 0) > 0)
			;
		return false;
	case SILENT_PROGRESS:
		return progress(fd);
	case LONG_REPLY:
		return say_long(fd, SMFIR_REPLYCODE, "550 ", 4, 60000);
	case LONG_VALUE:
		return say_long(fd, SMFIR_ADDHEADER, "X-Long\0", 7, 1000000);
	case MANY_FIELDS:
		for (unsigned i = 0; i < 100000; i++)
			if (!say_packet(fd, SMFIR_ADDHEADER, "X-Many\0a\0", 9))
				return false;
		return true;
	case LONG_BODY:
		for (unsigned i = 0; i < 20000; i++) /* 1.2 GB */
			if (!say_long(fd, SMFIR_REPLBODY, "", 0, 60000))
				return false;
		return true;
	}
	return false;
}

/* ---- connections ---------------------------------------------------------------------------- */

static bool
negotiate(int fd)
{
	const uint32_t said[] = { htonl(6), htonl(SMFI_CURR_ACTS), 0 };

	return say_packet(fd, SMFIC_OPTNEG, (const char *)said, sizeof(said));
}

static bool
answer(int fd, char command)
{
	if (command == when)
		return break_it(fd) && (!kind->edit || say_packet(fd, SMFIR_CONTINUE, "", 0));
	if (command == SMFIC_OPTNEG)
		return negotiate(fd);
	if (strchr("ADK", command) != NULL)
		return true;
	return command != SMFIC_QUIT && say_packet(fd, SMFIR_CONTINUE, "", 0);
}

static void *
serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char *data = malloc(PACKET_MAX);
	uint32_t len;
	bool ok = data != NULL && (when != 0 || break_it(fd));

	while (ok && hear(fd, &len, sizeof(len)) && (len = ntohl(len)) > 0 && len <= PACKET_MAX && hear(fd, data, len))
		ok = answer(fd, data[0]);
	free(data);
	close(fd);
	return NULL;
}

/* ---- the listener --------------------------------------------------------------------------- */

static int
bound(int fd, const void *address, socklen_t len)
{
	int on = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return fd >= 0 && bind(fd, address, len) == 0 && listen(fd, 128) == 0 ? fd : -1;
}

static int
listener(const char *name)
{
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	unsigned port = 0;

	if (strncmp(name, "unix:", 5) == 0) {
		snprintf(local.sun_path, sizeof(local.sun_path), "%.107s", name + 5);
		(void)unlink(local.sun_path);
		return bound(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), &local, sizeof(local));
	}
	if (strncmp(name, "inet:", 5) != 0)
		return -1;
	for (name += 5; *name >= '0' && *name <= '9' && port < 65536; name++)
		port = port * 10 + (unsigned)(*name - '0');
	in.sin_port = htons((uint16_t)port);
	return bound(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), &in, sizeof(in));
}

static bool
command_line(const char *name, const char *command)
{
	static const struct {
		const char *word;
		char letter;
	} commands[] = { { "open", 0 }, { "negotiate", SMFIC_OPTNEG }, { "connect", SMFIC_CONNECT }, { "helo", SMFIC_HELO },
		{ "mail", SMFIC_MAIL }, { "rcpt", SMFIC_RCPT }, { "data", SMFIC_DATA }, { "header", SMFIC_HEADER }, { "eoh", SMFIC_EOH },
		{ "body", SMFIC_BODY }, { "end", SMFIC_BODYEOB } };
	bool known = false;

	for (size_t i = 0; i < KINDS; i++)
		if (strcmp(kinds[i].name, name) == 0)
			kind = &kinds[i];
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].word, command) == 0) {
			when = commands[i].letter;
			known = true;
		}
	return kind != NULL && known && (!kind->edit || when == SMFIC_BODYEOB);
}

int
main(int argc, char **argv)
{
	int from, fd;
	pthread_t thread;

	if (argc == 2 && strcmp(argv[1], "-l") == 0) {
		for (size_t i = 0; i < KINDS; i++)
			printf("%s%s\n", kinds[i].name, kinds[i].edit ? " edit" : "");
		return 0;
	}
	if (argc != 4 || !command_line(argv[1], argv[2])) {
		fprintf(stderr, "usage: broken KIND COMMAND SOCKET, or broken -l; an edit is broken at end only\n");
		return 2;
	}
	from = listener(argv[3]);
	if (from < 0) {
		fprintf(stderr, "broken: cannot listen at %s\n", argv[3]);
		return 2;
	}
	while ((fd = accept4(from, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0)
			pthread_detach(thread);
		else
			close(fd);
	return 1;
}
