/*
 * mailauth_keytable.c - the table of signing keys: which key speaks for which domain, and each fault by file and line.
 */
#include "tests/unit/filter_host.h"

#include <openssl/err.h>

#include "mailauth/keytable.h"
#include "mailauth/text.h"
#include "tests/unit/folder.h"
#include "tests/unit/mailauth_vectors.h"

static struct box box;

static struct keytable *
table_load(const char *text)
{
	char path[256];
	struct sp_load load = { &box };
	struct keytable *t;

	memset(&box, 0, sizeof(box));
	folder_write("table", text, 0644);
	snprintf(path, sizeof(path), "%s/table", folder);
	t = keytable_load(&load, &box_host, path);
	assert_int_equal(ERR_peek_error(), 0);
	assert_int_equal(t == NULL, box.errors[0] != '\0');
	return t;
}

/* The selectors of a domain's keys, joined. */
static const char *
selectors(const struct keytable *t, const char *domain)
{
	static char text[256];
	const struct keytable_key *key = keytable_find(t, text_of(domain));
	struct writer w;

	writer_init(&w, text, sizeof(text) - 1);
	for (; key != NULL; key = key->next) {
		assert_non_null(key->pkey);
		assert_true(EVP_PKEY_is_a(key->pkey, key->type == KEY_RSA ? "RSA" : "ED25519"));
		writer_add(&w, key->selector);
		writer_char(&w, ' ');
	}
	text[w.len] = '\0';
	return text;
}

static void
test_find(void **state)
{
	struct keytable *t = table_load("# whose key is whose\r\n"
					"\n"
					"Example.COM   s1   rsa.pem    # the first\n"
					"other.example s2   ed.pem\n"
					"example.com   e1   ed.pem\r\n"
					"\tdeep.example.com\tE2  with blank#1.pem\n"
					"*  any rsa.pem");

	(void)state;
	assert_non_null(t);
	assert_string_equal(selectors(t, "example.com"), "s1 e1 ");
	assert_string_equal(selectors(t, "mail.example.com"), "s1 e1 ");
	assert_string_equal(selectors(t, "deep.example.com"), "E2 ");
	assert_string_equal(selectors(t, "a.b.deep.example.com"), "E2 ");
	assert_string_equal(selectors(t, "other.example"), "s2 ");
	assert_string_equal(selectors(t, "xexample.com"), "any ");
	assert_string_equal(selectors(t, "com"), "any ");
	assert_string_equal(selectors(t, "zzz.example"), "any ");
	assert_true(text_is(keytable_find(t, TEXT("zzz.example"))->domain, TEXT("*")));
	assert_true(text_is(keytable_find(t, TEXT("mail.example.com"))->domain, TEXT("example.com")));
	keytable_free(&t);
	assert_null(t);
	keytable_free(&t);
}

static void
test_no_fallback(void **state)
{
	char text[512];
	struct keytable *t;

	(void)state;
	snprintf(text, sizeof(text), "example.com s1 %s/ed.pem\n", folder);
	t = table_load(text);
	assert_non_null(t);
	assert_string_equal(selectors(t, "example.com"), "s1 ");
	assert_string_equal(selectors(t, "example.net"), "");
	assert_string_equal(selectors(t, "com"), "");
	assert_string_equal(selectors(t, ""), "");
	keytable_free(&t);
}

static void
test_many(void **state)
{
	enum { DOMAINS = 3000 };
	char *text = malloc(DOMAINS * 32);
	size_t len = 0;
	struct keytable *t;

	(void)state;
	for (size_t i = 0; i < DOMAINS; i++)
		len += (size_t)snprintf(text + len, DOMAINS * 32 - len, "d%zu.example s%zu %s\n", i, i, i % 2 ? "rsa.pem" : "ed.pem");
	t = table_load(text);
	free(text);
	assert_non_null(t);
	for (size_t i = 0; i < DOMAINS; i++) {
		char domain[32], want[32];

		snprintf(domain, sizeof(domain), "d%zu.example", i);
		snprintf(want, sizeof(want), "s%zu ", i);
		assert_string_equal(selectors(t, domain), want);
	}
	keytable_free(&t);
}

static void
test_faults(void **state)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{ "", "/table:0:0: the table of keys has no line" },
		{ "# nothing\n\n", "/table:0:0: the table of keys has no line" },
		{ "example.com\n", "/table:1:1: the second word is no selector" },
		{ "example.com s1\n", "/table:1:1: the third word is no key file" },
		{ "example.com s1 # rsa.pem\n", "/table:1:1: the third word is no key file" },
		{ "example s1 rsa.pem\n", "/table:1:1: the first word is no domain" },
		{ "*.example.com s1 rsa.pem\n", "/table:1:1: the first word is no domain" },
		{ "example.com. s1 rsa.pem\n", "/table:1:1: the first word is no domain" },
		{ "a@example.com s1 rsa.pem\n", "/table:1:1: the first word is no domain" },
		{ "\nexample.com s..1 rsa.pem\n", "/table:2:1: the second word is no selector" },
		{ "* s/1 rsa.pem\n", "/table:1:1: the second word is no selector" },
		{ "\n\nexample.com s1 absent.pem\n", "/table:3:1: key file " },
		{ "example.com s1 absent.pem\n", "/absent.pem: there is no such file" },
		{ "example.com s1 open.pem\n", "chmod o=" },
		{ "example.com s1 table\n", "/table:1:1: key file " },
		{ "example.com s1 rsa.pem\nEXAMPLE.com S1 ed.pem\n", "/table:2:1: the same domain and selector as in line 1" },
		{ "* s1 rsa.pem\nx.example s ed.pem\n* s1 ed.pem\n", "/table:3:1: the same domain and selector as in line 1" },
		{ "a.example s1 ed.pem\na.example s2 ed.pem\na.example s3 ed.pem\na.example s4 ed.pem\na.example s5 ed.pem\n"
		  "a.example s6 ed.pem\na.example s7 ed.pem\na.example s8 ed.pem\na.example s9 ed.pem\na.example s10 ed.pem\n",
			"/table:9:1: more than 8 keys for one domain" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_null(table_load(rows[i].text));
		if (strstr(box.errors, rows[i].error) == NULL)
			fail_msg("%s: %s", rows[i].text, box.errors);
	}
	/* all of them in one run */
	assert_null(table_load("a b c\nexample.com s1 absent.pem\nexample.com s1 absent.pem\n"));
	assert_non_null(strstr(box.errors, "/table:1:1: "));
	assert_non_null(strstr(box.errors, "/table:2:1: key file "));
	assert_non_null(strstr(box.errors, "/table:3:1: the same"));
}

static void
test_no_table(void **state)
{
	struct sp_load load = { &box };

	(void)state;
	memset(&box, 0, sizeof(box));
	assert_null(keytable_load(&load, &box_host, "/nonexistent/table"));
	assert_non_null(strstr(box.errors, "cannot be opened: No such file"));
	assert_null(keytable_load(&load, &box_host, folder));
	assert_non_null(strstr(box.errors, "it is no file"));
}

static int
folder_make(void **state)
{
	(void)state;
	if (folder_new() != 0)
		return -1;
	folder_write("rsa.pem", vector_rsa_pem, 0640);
	folder_write("ed.pem", vector_ed25519_pem, 0600);
	folder_write("with blank#1.pem", vector_ed25519_pem, 0600);
	folder_write("open.pem", vector_ed25519_pem, 0644);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_no_fallback),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_no_table),
	};

	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
