/* Whose an Authentication-Results field is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/kit/span.h"
#include "proxy/smtp/authres.h"

static const struct claim_case {
	const char *value;
	enum authres_claim want;
} cases[] = {
	{ " our.id; dmarc=pass", AUTHRES_OURS },
	{ "our.id;dmarc=pass", AUTHRES_OURS },
	{ " OUR.ID; dmarc=pass", AUTHRES_OURS },
	{ " \"our.id\"; dmarc=pass", AUTHRES_OURS },
	{ " \"Our.Id\" ; dmarc=pass", AUTHRES_OURS },
	{ " \"o\\ur\\.id\"; dmarc=pass", AUTHRES_OURS },
	{ " \"our.\r\n id\"; dmarc=pass", AUTHRES_UNCLEAR },
	{ " (c) our.id; dmarc=pass", AUTHRES_OURS },
	{ "(a(b)c)(d)our.id(e);dmarc=pass", AUTHRES_OURS },
	{ " (\\)) our.id; dmarc=pass", AUTHRES_OURS },
	{ " (\" not quoted in here ) our.id; dmarc=pass", AUTHRES_OURS },
	{ "\r\n our.id; dmarc=pass", AUTHRES_OURS },
	{ "\r\n\t(c\r\n d)\r\n our.id\r\n ; dmarc=pass", AUTHRES_OURS },
	{ " our.id 1; dmarc=pass", AUTHRES_OURS },
	{ " our.id (v) 1 (one); dmarc=pass", AUTHRES_OURS },
	{ " our.id 2x; dmarc=pass", AUTHRES_OURS },
	{ " our.id", AUTHRES_OURS },
	{ " our.id; none", AUTHRES_OURS },
	{ " our.id dmarc=pass", AUTHRES_OURS },
	{ " our.id=pass", AUTHRES_OURS },
	{ " our.id/1", AUTHRES_OURS },
	{ " our.id.; dmarc=pass", AUTHRES_OURS },
	{ " our.id(unclosed", AUTHRES_OURS },
	{ " \xc2\xa0our.id; dmarc=pass", AUTHRES_OURS }, /* blanks and what is not shown, beyond ASCII */
	{ " our.id\xa0; dmarc=pass", AUTHRES_OURS },
	{ " \xef\xbb\xbfour\xe2\x80\x8b.id\xe2\x80\x8d; dmarc=pass", AUTHRES_OURS },
	{ " \"our.id\xc2\xa0\"; dmarc=pass", AUTHRES_OURS },
	{ " other.id; dmarc=pass", AUTHRES_OTHER },
	{ " our.id.example; dmarc=pass", AUTHRES_OTHER },
	{ " mx.our.id; dmarc=pass", AUTHRES_OTHER },
	{ " our.i; dmarc=pass", AUTHRES_OTHER },
	{ " \"other id\" 1; dmarc=pass", AUTHRES_OTHER },
	{ " \"\"; dmarc=pass", AUTHRES_OTHER },
	{ " (our.id) other.id; dmarc=pass", AUTHRES_OTHER },
	{ " other.id (our.id); dmarc=pass", AUTHRES_OTHER },
	{ " other.id; our.id; dmarc=pass", AUTHRES_OTHER },
	{ " other.id 1 (c)", AUTHRES_OTHER },
	{ " b\xc3\xbc" "cher.example; dmarc=pass", AUTHRES_OTHER },
	{ " dkim=none (message not signed) header.d=none;dmarc=none", AUTHRES_OTHER },
	{ "", AUTHRES_UNCLEAR },
	{ " \t\r\n ", AUTHRES_UNCLEAR },
	{ " ; dmarc=pass", AUTHRES_UNCLEAR },
	{ " (our.id; dmarc=pass", AUTHRES_UNCLEAR },
	{ " (c\\", AUTHRES_UNCLEAR },
	{ " (c)) our.id; dmarc=pass", AUTHRES_UNCLEAR },
	{ " \"our.id; dmarc=pass", AUTHRES_UNCLEAR },
	{ " \"our.id\\", AUTHRES_UNCLEAR },
	{ " <our.id>; dmarc=pass", AUTHRES_UNCLEAR },
	{ " @our.id; dmarc=pass", AUTHRES_UNCLEAR },
	{ " our (c) .id; dmarc=pass", AUTHRES_UNCLEAR },
	{ " our .id; dmarc=pass", AUTHRES_UNCLEAR },
	{ " \"our\".id; dmarc=pass", AUTHRES_UNCLEAR },
	{ " \"our\"\".id\"; dmarc=pass", AUTHRES_UNCLEAR },
	{ " x@our.id; dmarc=pass", AUTHRES_UNCLEAR },
	{ " x,our.id; dmarc=pass", AUTHRES_UNCLEAR },
	{ " x (unclosed; dmarc=pass", AUTHRES_UNCLEAR },
	{ " \x01our.id; dmarc=pass", AUTHRES_UNCLEAR },
};

static void
claims(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		struct sp_span value = span_str(cases[n].value);
		char *copy = malloc(value.len + 1); /* of just its size, for AddressSanitizer */

		assert_non_null(copy);
		memcpy(copy, value.ptr, value.len);
		if (authres_claims(span_of(copy, value.len), SPAN_LIT("our.id")) != cases[n].want)
			fail_msg("'%s': %d", cases[n].value, (int)authres_claims(span_of(copy, value.len), SPAN_LIT("our.id")));
		free(copy);
	}
}

/* An id that is no domain, and one with a dot at its end. */
static void
other_ids(void **state)
{
	(void)state;
	assert_int_equal(authres_claims(SPAN_LIT(" \"mail gate\"; none"), SPAN_LIT("Mail Gate")), AUTHRES_OURS);
	assert_int_equal(authres_claims(SPAN_LIT(" mail gate; none"), SPAN_LIT("mail gate")), AUTHRES_UNCLEAR);
	assert_int_equal(authres_claims(SPAN_LIT(" our.id; none"), SPAN_LIT("our.id.")), AUTHRES_OURS);
	assert_int_equal(authres_claims(SPAN_LIT(" b\xc3\xbc" "cher; none"), SPAN_LIT("b\xc3\xbc" "cher")), AUTHRES_OURS);
	assert_int_equal(authres_claims(SPAN_LIT(" b\xc3\xb6" "cher; none"), SPAN_LIT("b\xc3\xbc" "cher")), AUTHRES_OTHER);
	assert_int_equal(authres_claims(SPAN_LIT(" bcher; none"), SPAN_LIT("b\xc3\xbc" "cher")), AUTHRES_OTHER);
	assert_int_equal(authres_claims(SPAN_LIT(" our.id.; none"), SPAN_LIT("our.id.")), AUTHRES_OURS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(claims), cmocka_unit_test(other_ids) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
