/*
 * edits.c - edits a message in every way that there is, so that suites can test what is signed behind it.
 *
 * A message that has a field "Edit" gets them all, one with "Edit: body" another body besides.
 */
#include <string.h>

#include <sallyport/filter.h>

enum { BODY_LINES = 8000 }; /* 600 KiB: more than a spool keeps in memory */

static struct sp_span
text(const char *s)
{
	return (struct sp_span){ s, strlen(s) };
}

static bool
is(struct sp_span s, const char *word)
{
	return s.len == strlen(word) && memcmp(s.ptr, word, s.len) == 0;
}

static enum sp_status
edit_header(struct sp_ctx *ctx)
{
	enum sp_status st = ctx->host->header_replace(ctx, "Subject", 0, text("another\r\n\t subject "));

	if (st == SP_OK)
		st = sp_header_remove(ctx, "To", 1);
	if (st == SP_OK)
		st = sp_header_insert(ctx, 0, "List-Id", text("<first.list.example>"));
	if (st == SP_OK)
		st = sp_header_insert(ctx, 2, ".Dotted", text("x"));
	if (st == SP_OK)
		st = sp_header_insert(ctx, 1000, "Cc", text(" last@list.example"));
	return st == SP_OK ? sp_header_add(ctx, "References", text("\r\n <added@list.example>")) : st;
}

/* Lines begin with dots, and come in pieces that end within them. */
static enum sp_status
edit_body(struct sp_ctx *ctx)
{
	static const char line[] = "..a line that begins with dots \t and has blanks at its end, of 75 octets  \r\n";
	enum sp_status st = SP_OK;

	for (int n = 0; n < BODY_LINES && st == SP_OK; n++) {
		st = ctx->host->body_replace(ctx, (struct sp_span){ line, 1 });
		if (st == SP_OK)
			st = ctx->host->body_replace(ctx, (struct sp_span){ line + 1, sizeof(line) - 2 });
	}
	return st == SP_OK ? ctx->host->body_replace(ctx, text("\r\n\r\n.\r\n")) : st;
}

static enum sp_status
edits_on_eom(struct sp_ctx *ctx, const struct sp_eom *ev)
{
	struct sp_header h;

	(void)ev;
	for (size_t n = 0; sp_header_get(ctx, n, &h) == SP_OK; n++)
		if (is(h.name, "Edit")) {
			enum sp_status st = is(h.value, " body") ? edit_body(ctx) : SP_OK;

			return st == SP_OK ? edit_header(ctx) : st;
		}
	return SP_OK;
}

SP_FILTER(edits) = { SP_FILTER_HEAD, .name = "edits", .summary = "all edits that there are", .on_eom = edits_on_eom };
