/* fuzz_smtp_xclient.c - XCLIENT lines: what is taken has no control characters in it and an address that is one; and what we
 * write of it has no octet that could end a word or a line, and is read as the same. */
#include <stdlib.h>

#include "policy/kit/span.h"
#include "proxy/smtp/xclient.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			abort();
}

static void
check_again(const struct xclient *x, bool with_login)
{
	struct xclient again;
	struct buf line;

	buf_init(&line, 4096);
	xclient_add(&line, XCLIENT_NAME, span_str(x->name));
	xclient_add(&line, XCLIENT_HELO, span_str(x->helo));
	if (with_login)
		xclient_add(&line, XCLIENT_LOGIN, span_str(x->login));
	if ((x->given & XCLIENT_BIT(XCLIENT_ADDR)) != 0)
		xclient_add_ip(&line, XCLIENT_ADDR, &x->ip);
	for (size_t i = 0; i < line.len; i++)
		if (line.ptr[i] < ' ' || line.ptr[i] > '~')
			abort();
	if (xclient_parse(buf_span(&line), &again) != SP_OK || strcmp(again.name, x->name) != 0 || strcmp(again.helo, x->helo) != 0)
		abort();
	if ((x->given & XCLIENT_BIT(XCLIENT_ADDR)) != 0 && !ip_eq(&again.ip, &x->ip))
		abort();
	/* one that grows too long as xtext is left out */
	if (with_login && again.login[0] != '\0' && strcmp(again.login, x->login) != 0)
		abort();
	buf_fini(&line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_span in = span_of((const char *)data, size);
	struct xclient x;

	(void)xclient_offer(in);
	if (xclient_parse(in, &x) != SP_OK)
		return 0;
	if (x.given == 0)
		abort();
	if ((x.given & XCLIENT_BIT(XCLIENT_ADDR)) != 0 && x.ip.family != 4 && x.ip.family != 6)
		abort();
	check_text(x.name);
	check_text(x.helo);
	check_text(x.login);
	check_again(&x, false);
	check_again(&x, true);
	return 0;
}
