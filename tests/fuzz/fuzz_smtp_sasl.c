/* Answers of an AUTH exchange: the first line is the mechanism, each further one an answer.  A name that comes of it is printable; base64
 * has one form. */
#include <stdlib.h>
#include <string.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "policy/kit/utf8.h"
#include "proxy/smtp/mailbox.h"
#include "proxy/smtp/sasl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is decoded is not longer than it can be, and the encoding of nothing else is taken in its place. */
static void
check_base64(struct sp_span text)
{
	char *out = malloc(text.len / 4 * 3 + 1);
	size_t len = 0;
	enum sp_status st;

	MUST(out != NULL);
	st = sasl_base64_decode(text, out, &len);
	MUST((st == SP_OK) == sasl_base64_ok(text));
	MUST(st != SP_OK || (len + 2) / 3 * 4 == text.len);
	free(out);
}

static void
check_mailboxes(struct sp_span text)
{
	struct address a;
	size_t left = text.len + 1;

	while (mailbox_next(&text, &a) == SP_OK) {
		MUST(text.len < left); /* it comes to an end */
		MUST(a.text.len > 0);
		left = text.len;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_span rest = span_of((const char *)data, size);
	size_t len = span_find(rest, '\n');
	struct sasl s;

	check_mailboxes(rest);
	sasl_init(&s, span_head(rest, len));
	rest = span_from(rest, len + 1);
	while (rest.len > 0) {
		struct sp_span line = span_head(rest, span_find(rest, '\n'));

		check_base64(line);
		(void)sasl_answer(&s, line);
		MUST(utf8_is_plain(sasl_name(&s)) && sasl_name(&s).len > 0 && sasl_name(&s).len <= SASL_NAME);
		rest = span_from(rest, line.len + 1);
	}
	return 0;
}
