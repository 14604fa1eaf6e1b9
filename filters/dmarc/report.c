/*
 * report.c - one line of aggregate-report data, and the file for it (see report.h).  RFC 7489 appendix C, RFC 8259.
 *
 * Memory: the caller's.  Results hold what senders wrote, so every string is encoded here, whatever it is.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dmarc/report.h"

/* ---- the file -------------------------------------------------------------------------------- */

/* Whoever may write to the folder is to write to the file, too: a reload is not done by root. */
static bool
give_to_owner(int fd, const char *path)
{
	char memory[PATH_MAX];
	struct stat folder;

	if (geteuid() != 0)
		return true;
	snprintf(memory, sizeof(memory), "%s", path);
	return stat(dirname(memory), &folder) == 0 && fchown(fd, folder.st_uid, folder.st_gid) == 0;
}

int
report_open(const char *path)
{
	const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK; /* a pipe is not waited for */
	int fd = open(path, flags);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	fd = open(path, flags | O_CREAT | O_EXCL, 0640); /* never what a link of theirs leads to */
	if (fd >= 0 && !give_to_owner(fd, path)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* ---- strings -------------------------------------------------------------------------------- */

/* Octets of the UTF-8 sequence at the front (RFC 3629 4); 0: there is none. */
static size_t
utf8_length(struct sp_span s)
{
	const unsigned char *p = (const unsigned char *)s.ptr;
	unsigned char low = 0x80, high = 0xbf;
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	for (size_t i = 1; i < len; i++, low = 0x80, high = 0xbf)
		if (i >= s.len || p[i] < low || p[i] > high)
			return 0;
	return len;
}

void
report_string(struct writer *w, struct sp_span s)
{
	writer_char(w, '"');
	while (s.len > 0) {
		size_t len = utf8_length(s);
		char c = s.ptr[0];

		if (len == 0)
			writer_add(w, TEXT("\\ufffd"));
		else if (len > 1)
			writer_add(w, text_head(s, len));
		else if (c == '"' || c == '\\')
			writer_printf(w, "\\%c", c);
		else if ((unsigned char)c < ' ' || c == 127)
			writer_printf(w, "\\u%04x", (unsigned)c);
		else
			writer_char(w, c);
		s = text_from(s, len > 0 ? len : 1);
	}
	writer_char(w, '"');
}

/* ---- members -------------------------------------------------------------------------------- */

/* "name":"text" behind what is there. */
static void
add_text(struct writer *w, const char *name, struct sp_span text)
{
	if (w->len > 0 && w->ptr[w->len - 1] != '{')
		writer_char(w, ',');
	writer_printf(w, "\"%s\":", name);
	report_string(w, text);
}

static void
add_word(struct writer *w, const char *name, const char *word)
{
	add_text(w, name, text_of(word));
}

static void
add_client(struct writer *w, const struct sp_ip *ip)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (ip->family != 0)
		inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->bytes, text, sizeof(text));
	add_word(w, "client", text);
}

static void
add_rcpts(struct writer *w, const struct report *r)
{
	writer_add(w, TEXT(",\"envelope_to\":["));
	for (size_t i = 0; i < r->rcpt_count; i++) {
		if (i > 0)
			writer_char(w, ',');
		report_string(w, r->rcpts[i]);
	}
	writer_char(w, ']');
}

static void
add_policy(struct writer *w, const struct report *r)
{
	const struct record *rec = &r->found->record;

	writer_add(w, TEXT(",\"policy\":{"));
	add_text(w, "domain", r->found->at);
	add_word(w, "discovery", r->way == ORG_TREE ? "tree" : "psl");
	add_word(w, "p", policy_words[rec->p]);
	if (rec->sp != POLICY_UNPUBLISHED)
		add_word(w, "sp", policy_words[rec->sp]);
	if (rec->np != POLICY_UNPUBLISHED)
		add_word(w, "np", policy_words[rec->np]);
	add_word(w, "adkim", rec->strict_dkim ? "s" : "r");
	add_word(w, "aspf", rec->strict_spf ? "s" : "r");
	writer_printf(w, ",\"pct\":%u", rec->percent);
	add_word(w, "t", rec->testing ? "y" : "n");
	if (rec->fo.len > 0)
		add_text(w, "fo", rec->fo);
	if (rec->rua.len > 0)
		add_text(w, "rua", rec->rua);
	writer_char(w, '}');
}

static void
add_evaluated(struct writer *w, const struct verdict *v)
{
	writer_add(w, TEXT(",\"evaluated\":{"));
	add_word(w, "result", result_words[v->result]);
	/* where the result is not known, neither is what would have followed */
	if (v->result != RESULT_TEMPERROR)
		add_word(w, "disposition", policy_words[v->disposition]);
	add_word(w, "dkim", v->by & ALIGNED_DKIM ? "pass" : "fail");
	add_word(w, "spf", v->by & ALIGNED_SPF ? "pass" : "fail");
	if (v->sampled_out)
		add_word(w, "reason", "sampled_out");
	writer_char(w, '}');
}

/* ---- what DKIM and SPF found ----------------------------------------------------------------- */

static void
add_result(struct writer *w, const struct sp_auth_result *r)
{
	struct sp_span selector = result_prop(r, "header", "s");
	bool helo;

	writer_char(w, '{');
	add_text(w, "domain", result_domain(r, &helo));
	if (strcmp(r->method, "spf") == 0)
		add_word(w, "scope", helo ? "helo" : "mfrom");
	else if (selector.len > 0)
		add_text(w, "selector", selector);
	add_word(w, "result", r->result);
	writer_char(w, '}');
}

static void
add_results(struct writer *w, struct sp_ctx *ctx, const char *method)
{
	struct sp_auth_result r;
	bool first = true, helo;

	writer_printf(w, "\"%s\":[", method);
	for (size_t i = 0; sp_result_get(ctx, i, &r) == SP_OK; i++) {
		if (strcmp(r.method, method) != 0 || result_domain(&r, &helo).len == 0)
			continue; /* "dkim=none" is about no domain */
		if (!first)
			writer_char(w, ',');
		first = false;
		add_result(w, &r);
	}
	writer_char(w, ']');
}

void
report_write(struct writer *w, struct sp_ctx *ctx, const struct report *r)
{
	writer_printf(w, "{\"time\":%lld", (long long)r->time);
	add_client(w, &r->client);
	add_text(w, "header_from", r->header_from);
	add_text(w, "envelope_from", r->envelope_from);
	add_rcpts(w, r);
	add_policy(w, r);
	add_evaluated(w, r->verdict);
	writer_add(w, TEXT(",\"auth_results\":{"));
	add_results(w, ctx, "dkim");
	writer_char(w, ',');
	add_results(w, ctx, "spf");
	writer_add(w, TEXT("}}\n"));
}
