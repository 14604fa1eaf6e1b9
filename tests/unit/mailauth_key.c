/*
 * mailauth_key.c - key records and key files, right ones and each kind of wrong one; base64 as tags have it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mailauth/base64.h"
#include "mailauth/key.h"
#include "mailauth/text.h"
#include "tests/unit/mailauth_vectors.h"

/* ---- base64 ---------------------------------------------------------------------------------------------- */

static void
test_base64(void **state)
{
	static const struct {
		const char *text;
		enum sp_status status;
		const char *octets;
	} rows[] = {
		{ "YQ==", SP_OK, "a" },
		{ "YWI=", SP_OK, "ab" },
		{ "YWJj", SP_OK, "abc" },
		{ "YWJjZA==", SP_OK, "abcd" },
		{ "Y W\r\n\tJjZA= = ", SP_OK, "abcd" },
		{ "+/+/", SP_OK, "\xfb\xff\xbf" },
		{ "", SP_INVALID, NULL },
		{ " ", SP_INVALID, NULL },
		{ "=", SP_INVALID, NULL },
		{ "====", SP_INVALID, NULL },
		{ "Y", SP_INVALID, NULL },
		{ "YQ", SP_INVALID, NULL },
		{ "YQ=", SP_INVALID, NULL },
		{ "YQ===", SP_INVALID, NULL },
		{ "YWJj=", SP_INVALID, NULL },
		{ "YWJj====", SP_INVALID, NULL },
		{ "YQ==YQ==", SP_INVALID, NULL },
		{ "YW=I", SP_INVALID, NULL },
		{ "YR==", SP_INVALID, NULL }, /* bits behind the last octet */
		{ "YWJ=", SP_INVALID, NULL },
		{ "YWJ-", SP_INVALID, NULL },
		{ "YWJ_", SP_INVALID, NULL },
		{ "YW:j", SP_INVALID, NULL },
		{ "YWJjZGVmZ2hp", SP_LIMIT, NULL },
	};
	unsigned char octets[8];
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (base64_decode(text_of(rows[i].text), octets, sizeof(octets), &len) != rows[i].status)
			fail_msg("'%s'", rows[i].text);
		if (rows[i].status != SP_OK)
			continue;
		assert_int_equal(len, strlen(rows[i].octets));
		assert_memory_equal(octets, rows[i].octets, len);
	}
	assert_int_equal(base64_decode(TEXT("YW\0j"), octets, sizeof(octets), &len), SP_INVALID);
}

static void
test_base64_round(void **state)
{
	unsigned char octets[64], back[64];
	char text[88];

	(void)state;
	for (size_t len = 1; len <= sizeof(octets); len++) {
		struct sp_span s;
		size_t got;

		for (size_t i = 0; i < len; i++)
			octets[i] = (unsigned char)(i * 89 + len * 7);
		assert_int_equal(base64_encode(octets, len, text, (len + 2) / 3 * 4, &s), SP_OK);
		assert_int_equal(s.len, (len + 2) / 3 * 4);
		assert_int_equal(base64_decode(s, back, len, &got), SP_OK);
		assert_int_equal(got, len);
		assert_memory_equal(back, octets, len);
		assert_int_equal(base64_encode(octets, len, text, (len + 2) / 3 * 4 - 1, &s), SP_LIMIT);
	}
}

/* ---- records --------------------------------------------------------------------------------------------- */

static void
check_record(const char *record, enum key_fault want)
{
	struct key k;
	enum key_fault got = key_parse(text_of(record), &k);

	if (got != want)
		fail_msg("fault %d, not %d: %s", (int)got, (int)want, record);
	assert_int_equal(k.pkey != NULL, want == KEY_OK);
	key_fini(&k);
	key_fini(&k);
	assert_int_equal(ERR_peek_error(), 0);
}

#define P_ED25519 "p=wiuDZSMTzb07W/QPQjBcu2E+Mx+9lU7uOsfwn7yOi6U="

static void
test_records(void **state)
{
	static const struct {
		const char *record;
		enum key_fault fault;
	} rows[] = {
		{ vector_rsa_record, KEY_OK },
		{ vector_ed25519_record, KEY_OK },
		{ "k=ed25519; " P_ED25519, KEY_OK },
		{ "v=DKIM1; k=ed25519; n=note; g=*; zz=1; p=wiuDZSMTzb07W/QPQjBc u2E+Mx+9lU7uOsfwn7yOi6U= ;", KEY_OK },
		{ "v=DKIM1; k=ed25519; p=", KEY_REVOKED },
		{ "v=DKIM1; k=dsa; p=", KEY_REVOKED },
		{ "v=DKIM1; p= ;", KEY_REVOKED },
		{ "", KEY_SYNTAX },
		{ "v=DKIM1", KEY_SYNTAX },
		{ "v=DKIM1; k=ed25519", KEY_SYNTAX },
		{ "v=dkim1; k=ed25519; " P_ED25519, KEY_SYNTAX },
		{ "v=DKIM2; k=ed25519; " P_ED25519, KEY_SYNTAX },
		{ "k=ed25519; v=DKIM1; " P_ED25519, KEY_SYNTAX },
		{ "v=DKIM1; k=ed25519; " P_ED25519 "; " P_ED25519, KEY_SYNTAX },
		{ "v=spf1 -all", KEY_SYNTAX },
		{ "v=DKIM1; k=dsa; " P_ED25519, KEY_TYPE },
		{ "v=DKIM1; k=RSA; " P_ED25519, KEY_TYPE },
		{ "v=DKIM1; " P_ED25519, KEY_UNUSABLE },
		{ "v=DKIM1; k=ed25519; p=wiuDZSMTzb07W/QPQjBcu2E+Mx+9lU7uOsfwn7yOi6U", KEY_UNUSABLE },
		{ "v=DKIM1; k=ed25519; p=wiuDZSMTzb07", KEY_UNUSABLE },
		{ "v=DKIM1; k=ed25519; p=not*base64", KEY_UNUSABLE },
		{ "v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A", KEY_UNUSABLE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		check_record(rows[i].record, rows[i].fault);
}

static void
test_flags(void **state)
{
	static const struct {
		const char *tags;
		bool testing, strict, email, sha256, sha1;
	} rows[] = {
		{ "", false, false, true, true, true },
		{ "t=y; ", true, false, true, true, true },
		{ "t=s; ", false, true, true, true, true },
		{ "t=x : s:y; ", true, true, true, true, true },
		{ "t=Y; s=*; ", false, false, true, true, true },
		{ "s=email; ", false, false, true, true, true },
		{ "s=tlsrpt; ", false, false, false, true, true },
		{ "s=tlsrpt:*; ", false, false, true, true, true },
		{ "h=sha256; ", false, false, true, true, false },
		{ "h=sha1; ", false, false, true, false, true },
		{ "h=sha1 : sha256; ", false, false, true, true, true },
		{ "h=md5; ", false, false, true, false, false },
	};
	char record[256];
	struct key k;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		snprintf(record, sizeof(record), "v=DKIM1; %sk=ed25519; " P_ED25519, rows[i].tags);
		assert_int_equal(key_parse(text_of(record), &k), KEY_OK);
		assert_int_equal(k.type, KEY_ED25519);
		if (k.testing != rows[i].testing || k.strict != rows[i].strict || k.email != rows[i].email ||
			k.sha256 != rows[i].sha256 || k.sha1 != rows[i].sha1)
			fail_msg("%s", record);
		key_fini(&k);
	}
}

/* The record of an RSA key with a modulus of so many bits, as SubjectPublicKeyInfo or as RSAPublicKey; power: octets of the
 * exponent. */
static size_t
rsa_record(unsigned bits, size_t power, bool raw, char *memory, size_t max)
{
	unsigned char modulus[1200], exponent[1200] = { 1 } /* 65537 where it has 3 octets */, der[2400], *at = der;
	OSSL_PARAM params[3];
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *pkey = NULL;
	struct sp_span text;
	size_t octets = bits / 8;
	int len;

	memset(modulus, 0xa5, sizeof(modulus)); /* odd, its highest bit set, both ways round */
	exponent[power - 1] |= 1;
	params[0] = OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_N, modulus, octets);
	params[1] = OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_E, exponent, power);
	params[2] = OSSL_PARAM_construct_end();
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params), 1);
	len = raw ? i2d_PublicKey(pkey, &at) : i2d_PUBKEY(pkey, &at);
	assert_true(len > 0);
	EVP_PKEY_free(pkey);
	EVP_PKEY_CTX_free(ctx);
	memcpy(memory, "v=DKIM1; p=", 11);
	assert_int_equal(base64_encode(der, (size_t)len, memory + 11, max - 12, &text), SP_OK);
	memory[11 + text.len] = '\0';
	return 11 + text.len;
}

static void
test_rsa_sizes(void **state)
{
	static const struct {
		unsigned bits;
		enum key_fault fault;
	} rows[] = {
		{ 512, KEY_UNUSABLE },
		{ 768, KEY_UNUSABLE },
		{ 1016, KEY_UNUSABLE },
		{ 1024, KEY_OK },
		{ 2048, KEY_OK },
		{ 4096, KEY_OK },
		{ 8192, KEY_OK },
		{ 8200, KEY_UNUSABLE },
	};
	char record[2048];
	struct key k;

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(*rows); i++) {
		struct sp_span text = { record, rsa_record(rows[i / 2].bits, 3, i % 2 == 1, record, sizeof(record)) };

		if (key_parse(text, &k) != rows[i / 2].fault)
			fail_msg("%u bits, %s", rows[i / 2].bits, i % 2 == 1 ? "raw" : "info");
		assert_int_equal(k.bits, rows[i / 2].bits);
		assert_int_equal(k.pkey != NULL, rows[i / 2].fault == KEY_OK);
		key_fini(&k);
		assert_int_equal(ERR_peek_error(), 0);
	}
}

/* Whose exponent is long makes us work: 9 ms for one signature of 3,072 bits. */
static void
test_rsa_exponents(void **state)
{
	static const struct {
		unsigned bits;
		size_t power;
		enum key_fault fault;
	} rows[] = {
		{ 1024, 3, KEY_OK },
		{ 3072, 4, KEY_OK },
		{ 1024, 5, KEY_UNUSABLE },
		{ 3072, 5, KEY_UNUSABLE },
		{ 3072, 383, KEY_UNUSABLE },
		{ 8192, 8, KEY_UNUSABLE },
	};
	char record[4096];
	struct key k;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct sp_span text = { record, rsa_record(rows[i].bits, rows[i].power, false, record, sizeof(record)) };

		if (key_parse(text, &k) != rows[i].fault)
			fail_msg("%u bits, an exponent of %zu octets", rows[i].bits, rows[i].power);
		key_fini(&k);
		assert_int_equal(ERR_peek_error(), 0);
	}
}

/* Octets behind the key, or a key of another kind in the wrapping: neither is an RSA key. */
static void
test_rsa_other(void **state)
{
	char record[2048];
	struct sp_span text;
	unsigned char der[400], *at = der;
	EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	struct key k;
	size_t len;

	(void)state;
	len = rsa_record(1024, 3, false, record, sizeof(record));
	assert_int_equal(base64_decode(text_from((struct sp_span){ record, len }, 11), der, sizeof(der) - 1, &len), SP_OK);
	der[len++] = 0;
	assert_int_equal(base64_encode(der, len, record + 11, sizeof(record) - 11, &text), SP_OK);
	assert_int_equal(key_parse((struct sp_span){ record, 11 + text.len }, &k), KEY_UNUSABLE);

	len = (size_t)i2d_PUBKEY(ec, &at);
	EVP_PKEY_free(ec);
	assert_int_equal(base64_encode(der, len, record + 11, sizeof(record) - 11, &text), SP_OK);
	assert_int_equal(key_parse((struct sp_span){ record, 11 + text.len }, &k), KEY_UNUSABLE);
	assert_int_equal(ERR_peek_error(), 0);
}

/* Read once: the same text gives the same key, also to one whose holder has let go of it, until others need the place. */
static void
test_read_before(void **state)
{
	struct sp_span text = text_of(vector_rsa_record);
	struct key first, again;
	char other[64];

	(void)state;
	assert_int_equal(key_parse(text, &first), KEY_OK);
	assert_int_equal(key_parse(text, &again), KEY_OK);
	assert_ptr_equal(first.pkey, again.pkey);
	assert_int_equal(again.bits, first.bits);
	key_fini(&again);
	key_fini(&first);
	for (unsigned n = 0; n < 5000; n++) { /* each fault takes a place, too */
		snprintf(other, sizeof(other), "v=DKIM1; k=rsa; p=; n=%u", n);
		assert_int_equal(key_parse(text_of(other), &again), KEY_REVOKED);
		assert_null(again.pkey);
	}
	assert_int_equal(key_parse(text, &again), KEY_OK);
	assert_int_equal(EVP_PKEY_get_bits(again.pkey), (int)again.bits);
	key_fini(&again);
}

/* ---- files ----------------------------------------------------------------------------------------------- */

static char folder[64];

static const char *
file_path(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static const char *
file_write(const char *name, const char *text, mode_t mode)
{
	const char *path = file_path(name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

static void
check_file(const char *path, const char *part)
{
	const char *error = NULL;
	enum key_type type;
	EVP_PKEY *pkey = key_load_private(path, &type, &error);

	assert_null(pkey);
	assert_non_null(error);
	if (strstr(error, part) == NULL)
		fail_msg("%s: '%s', not '%s'", path, error, part);
	assert_int_equal(ERR_peek_error(), 0);
}

static void
file_write_key(const char *name, EVP_PKEY *pkey, const char *passphrase)
{
	FILE *f = fopen(file_path(name), "w");

	assert_int_equal(PEM_write_PKCS8PrivateKey(f, pkey, passphrase != NULL ? EVP_aes_128_cbc() : NULL, passphrase,
				 passphrase != NULL ? (int)strlen(passphrase) : 0, NULL, NULL), 1);
	fclose(f);
	EVP_PKEY_free(pkey);
	assert_int_equal(chmod(file_path(name), 0640), 0);
}

static void
test_files(void **state)
{
	const char *error = NULL;
	enum key_type type;
	EVP_PKEY *pkey;

	(void)state;
	pkey = key_load_private(file_write("rsa", vector_rsa_pem, 0640), &type, &error);
	assert_non_null(pkey);
	assert_int_equal(type, KEY_RSA);
	EVP_PKEY_free(pkey);
	pkey = key_load_private(file_write("ed25519", vector_ed25519_pem, 0600), &type, &error);
	assert_non_null(pkey);
	assert_int_equal(type, KEY_ED25519);
	EVP_PKEY_free(pkey);
	assert_null(error);

	check_file(file_write("open", vector_ed25519_pem, 0644), "chmod");
	check_file(file_write("open", vector_ed25519_pem, 0602), "chmod");
	check_file(file_path("absent"), "no such file");
	check_file(folder, "no file");
	assert_int_equal(mkfifo(file_path("fifo"), 0600), 0);
	check_file(file_path("fifo"), "no file");
	check_file(file_write("empty", "", 0600), "");
	check_file(file_write("text", "not a key\n", 0600), "");
	check_file(file_write("half", "-----BEGIN PRIVATE KEY-----\nMC4C\n", 0600), "");
	file_write_key("ec", EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), NULL);
	check_file(file_path("ec"), "neither RSA nor Ed25519");
	file_write_key("short", EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)768), NULL);
	check_file(file_path("short"), "less than 1024");
	file_write_key("locked", EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "secret");
	check_file(file_path("locked"), "");
}

static void
test_file_size(void **state)
{
	char *text = malloc(40001);

	(void)state;
	memset(text, '\n', 40000);
	text[40000] = '\0';
	check_file(file_write("big", text, 0600), "too big");
	free(text);
}

static int
folder_make(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/mailauth_key.XXXXXX");
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int
folder_remove(void **state)
{
	static const char *const names[] = { "rsa", "ed25519", "open", "fifo", "empty", "text", "half", "ec", "short",
		"locked", "big" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unlink(file_path(names[i]));
	return rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_base64_round),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_rsa_sizes),
		cmocka_unit_test(test_rsa_exponents),
		cmocka_unit_test(test_rsa_other),
		cmocka_unit_test(test_read_before),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_file_size),
	};

	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
