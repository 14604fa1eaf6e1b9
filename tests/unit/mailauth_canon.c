/*
 * mailauth_canon.c - canonical fields and bodies: the RFC's examples, a table of our own, and any chunking against a plain
 * reading of RFC 6376 3.4.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/err.h>
#include <stdlib.h>

#include "mailauth/canon.h"
#include "mailauth/text.h"

static void
sha256(struct sp_span text, unsigned char hash[static EVP_MAX_MD_SIZE])
{
	unsigned len;

	assert_int_equal(EVP_Digest(text.ptr != NULL ? text.ptr : "", text.len, hash, &len, EVP_sha256(), NULL), 1);
	assert_int_equal(len, CANON_HASH);
}

/* ---- fields --------------------------------------------------------------------------------------- */

static void
check_field(enum canon form, const char *field, const char *want, bool end, bool own)
{
	unsigned char got[EVP_MAX_MD_SIZE], expected[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	assert_int_equal(EVP_DigestInit_ex(md, EVP_sha256(), NULL), 1);
	if (own)
		assert_true(canon_unsigned_field(md, form, text_of(field)));
	else
		assert_true(canon_field(md, form, text_of(field), end));
	assert_int_equal(EVP_DigestFinal_ex(md, got, NULL), 1);
	EVP_MD_CTX_free(md);
	sha256(text_of(want), expected);
	if (memcmp(got, expected, CANON_HASH) != 0)
		fail_msg("%s of '%s' is not '%s'", form == CANON_SIMPLE ? "simple" : "relaxed", field, want);
	assert_int_equal(ERR_peek_error(), 0);
}

static void
test_fields(void **state)
{
	char field[2048], want[2048];
	size_t len;

	(void)state;
	/* RFC 6376 3.4.5 */
	check_field(CANON_RELAXED, "A: X", "a:X\r\n", true, false);
	check_field(CANON_RELAXED, "B : Y\t\r\n\tZ  ", "b:Y Z\r\n", true, false);
	check_field(CANON_SIMPLE, "B : Y\t\r\n\tZ  ", "B : Y\t\r\n\tZ  \r\n", true, false);

	check_field(CANON_RELAXED, "A:", "a:\r\n", true, false);
	check_field(CANON_RELAXED, "A: \t\r\n ", "a:", false, false);
	check_field(CANON_RELAXED, "SUBJect: AbC: d:E", "subject:AbC: d:E", false, false);
	check_field(CANON_RELAXED, "A:b\r\n \r\n\t c", "a:b c", false, false);
	check_field(CANON_RELAXED, "A:b \r c\rd", "a:b \r c\rd", false, false); /* no fold, so nothing to unfold */
	check_field(CANON_RELAXED, "A:b\nc\r", "a:b\nc\r", false, false);
	check_field(CANON_RELAXED, "A", "a", false, false);
	check_field(CANON_RELAXED, "", "", false, false);
	check_field(CANON_SIMPLE, "", "", false, false);
	/* longer than what is gathered before it is hashed */
	memcpy(field, "A: ", 3);
	memcpy(want, "a:", 2);
	for (len = 0; len < 2000; len++)
		field[3 + len] = want[2 + len] = (char)('a' + len % 26);
	field[3 + len] = want[2 + len] = '\0';
	check_field(CANON_RELAXED, field, want, false, false);
}

static void
test_own_field(void **state)
{
	static const struct {
		const char *field, *simple, *relaxed;
	} rows[] = {
		{ "S: v=1; b=abc; d=x", "S: v=1; b=; d=x", "s:v=1; b=; d=x" },
		{ "S: v=1; b=abc", "S: v=1; b=", "s:v=1; b=" },
		{ "S: v=1; b= ab\r\n\tc= \r\n ; d=x", "S: v=1; b=; d=x", "s:v=1; b=; d=x" },
		{ "S: v=1;\r\n\tb \t=\r\n abc", "S: v=1;\r\n\tb \t=", "s:v=1; b =" },
		{ "S: bh=b=b; b=abc;\r\n\tb=2", "S: bh=b=b; b=;\r\n\tb=2", "s:bh=b=b; b=; b=2" },
		{ "S:b=abc;v=1", "S:b=;v=1", "s:b=;v=1" },
		{ "S: v=1; B=abc ", "S: v=1; B=abc ", "s:v=1; B=abc" },
		{ "S: v=1; bb=1; xb=2", "S: v=1; bb=1; xb=2", "s:v=1; bb=1; xb=2" },
		{ "b=1", "b=1", "b=1" },
		{ "S:", "S:", "s:" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		check_field(CANON_SIMPLE, rows[i].field, rows[i].simple, false, true);
		check_field(CANON_RELAXED, rows[i].field, rows[i].relaxed, false, true);
	}
}

/* ---- the body ------------------------------------------------------------------------------------- */

/* Hashes text in random pieces of up to piece_max octets; 0: in one. */
static int64_t
body_hash(enum canon form, struct sp_span text, int64_t limit, unsigned piece_max, unsigned char hash[static EVP_MAX_MD_SIZE])
{
	struct canon_body b;
	size_t len = 0;

	assert_int_equal(canon_body_init(&b, EVP_sha256(), form, limit), SP_OK);
	while (text.len > 0) {
		size_t piece = piece_max == 0 ? text.len : (size_t)rand() % (piece_max + 1);

		if (piece > text.len)
			piece = text.len;
		canon_body_add(&b, text_head(text, piece));
		text = text_from(text, piece);
	}
	assert_int_equal(canon_body_end(&b, hash, &len), SP_OK);
	assert_int_equal(len, CANON_HASH);
	canon_body_fini(&b);
	canon_body_fini(&b);
	assert_int_equal(ERR_peek_error(), 0);
	return b.octets;
}

static void
check_body(enum canon form, struct sp_span body, struct sp_span want)
{
	unsigned char got[EVP_MAX_MD_SIZE], expected[EVP_MAX_MD_SIZE];

	sha256(want, expected);
	for (unsigned piece = 0; piece <= 2; piece++) {
		int64_t octets = body_hash(form, body, -1, piece, got);

		if (memcmp(got, expected, CANON_HASH) != 0)
			fail_msg("%s of '%.*s' is not '%.*s'", form == CANON_SIMPLE ? "simple" : "relaxed", (int)body.len,
				body.ptr, (int)want.len, want.ptr);
		assert_int_equal(octets, want.len);
	}
}

static void
test_bodies(void **state)
{
	static const struct {
		const char *body, *simple, *relaxed;
	} rows[] = {
		{ "", "\r\n", "" },
		{ "\r\n", "\r\n", "" },
		{ "\r\n\r\n\r\n", "\r\n", "" },
		{ " C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n" }, /* RFC 6376 3.4.5 */
		{ "a", "a\r\n", "a\r\n" },
		{ "a\r\n", "a\r\n", "a\r\n" },
		{ "a\r\n\r\n", "a\r\n", "a\r\n" },
		{ "\r\n\r\na\r\n", "\r\n\r\na\r\n", "\r\n\r\na\r\n" },
		{ "a\r\n\r\n\r\nb\r\n\r\n", "a\r\n\r\n\r\nb\r\n", "a\r\n\r\n\r\nb\r\n" },
		{ " ", " \r\n", "" },
		{ " \r\n", " \r\n", "" },
		{ " \t\r\n\r\n \r\n", " \t\r\n\r\n \r\n", "" },
		{ "a\r\n \r\n", "a\r\n \r\n", "a\r\n" },
		{ "a\r\n \t\r\nb", "a\r\n \t\r\nb\r\n", "a\r\n\r\nb\r\n" },
		{ "a \t", "a \t\r\n", "a\r\n" },
		{ "\t\ta\t b", "\t\ta\t b\r\n", " a b\r\n" },
		{ "a\rb\nc \rd \r", "a\rb\nc \rd \r\r\n", "a\rb\nc \rd \r\r\n" },
		{ "\r", "\r\r\n", "\r\r\n" },
		{ "\r\r\n", "\r\r\n", "\r\r\n" },
		{ ".\r\n..\r\n", ".\r\n..\r\n", ".\r\n..\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		check_body(CANON_SIMPLE, text_of(rows[i].body), text_of(rows[i].simple));
		check_body(CANON_RELAXED, text_of(rows[i].body), text_of(rows[i].relaxed));
	}
	check_body(CANON_RELAXED, TEXT("a\0 \0\r\n"), TEXT("a\0 \0\r\n"));
}

/* RFC 6376 3.4.3 and 3.4.4 read word by word over the whole body, with as many passes as it has sentences. */
static struct sp_span
plain(enum canon form, struct sp_span body, char *memory)
{
	char *out = memory;
	size_t len = 0;

	for (size_t i = 0; i < body.len; i++) {
		char c = body.ptr[i];

		if (form == CANON_RELAXED && (c == ' ' || c == '\t')) {
			if (len == 0 || out[len - 1] != ' ')
				out[len++] = ' ';
			continue;
		}
		out[len++] = c;
	}
	if (form == CANON_RELAXED) {
		size_t to = 0;

		for (size_t i = 0; i < len; i++)
			if (!(out[i] == ' ' && (i + 1 == len || (i + 2 < len && out[i + 1] == '\r' && out[i + 2] == '\n'))))
				out[to++] = out[i];
		len = to;
	}
	if (len > 0 && (len < 2 || out[len - 2] != '\r' || out[len - 1] != '\n')) {
		out[len++] = '\r';
		out[len++] = '\n';
	}
	while (len >= 4 && memcmp(out + len - 4, "\r\n\r\n", 4) == 0)
		len -= 2;
	if (len == 2 && memcmp(out, "\r\n", 2) == 0)
		len = 0;
	if (len == 0 && form == CANON_SIMPLE) {
		memcpy(out, "\r\n", 2);
		len = 2;
	}
	return (struct sp_span){ out, len };
}

static size_t
random_body(char *memory, size_t max)
{
	static const char *const words[] = { "\r\n", "\r\n", "\r\n", " ", " ", "\t", "a", "bcd", ".", "\r", "\n", "  \r\n" };
	size_t len = 0, count = (size_t)rand() % 24;

	for (size_t i = 0; i < count; i++) {
		const char *word = words[(size_t)rand() % (sizeof(words) / sizeof(*words))];

		assert_true(len + strlen(word) <= max);
		memcpy(memory + len, word, strlen(word));
		len += strlen(word);
	}
	return len;
}

static void
test_chunks(void **state)
{
	char body[256], memory[300];
	unsigned char got[EVP_MAX_MD_SIZE], expected[EVP_MAX_MD_SIZE];

	(void)state;
	srand(1);
	for (size_t n = 0; n < 20000; n++) {
		struct sp_span text = { body, random_body(body, sizeof(body)) };
		enum canon form = n % 2 == 0 ? CANON_SIMPLE : CANON_RELAXED;
		struct sp_span want = plain(form, text, memory);
		int64_t limit = n % 3 == 0 ? rand() % 30 : -1;

		sha256(limit >= 0 ? text_head(want, (size_t)limit) : want, expected);
		assert_int_equal(body_hash(form, text, limit, (unsigned)rand() % 5, got), want.len);
		if (memcmp(got, expected, CANON_HASH) != 0)
			fail_msg("round %zu: %.*s", n, (int)text.len, text.ptr);
	}
}

/* Larger than what is gathered, and with more empty lines than that. */
static void
test_large(void **state)
{
	enum { SIZE = 300000 };
	char *body = malloc(SIZE), *memory = malloc(SIZE + 2);
	unsigned char got[EVP_MAX_MD_SIZE], expected[EVP_MAX_MD_SIZE];

	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		body[i] = i < 100000 ? (i % 2 == 0 ? '\r' : '\n') : i % 78 == 0 ? '\r' : i % 78 == 1 ? '\n' : i % 7 == 0 ? ' ' : 'x';
	for (unsigned form = CANON_SIMPLE; form <= CANON_RELAXED; form++) {
		struct sp_span text = { body, SIZE };

		sha256(plain((enum canon)form, text, memory), expected);
		for (unsigned piece = 0; piece <= 8192; piece = piece * 2 + 1000) {
			body_hash((enum canon)form, text, -1, piece, got);
			assert_memory_equal(got, expected, CANON_HASH);
		}
	}
	free(body);
	free(memory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_own_field),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
