/*
 * dkim_verify_keys.c - which keys are asked for and what becomes of the answers; many signatures; names that are none
 * (CASES H04, H05); transactions that end early, and memory that runs out.
 */
#include "tests/unit/dkim_env.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <time.h>

static EVP_PKEY *rsa, *ed25519;
static char rsa_record[2048], ed25519_record[256];

static const char header[] = "From: a@example.org\r\nSubject: hello\r\n";
static const char name[] = "s._domainkey.example.org";
static char message[WORLD_TEXT];

static int
keys_new(void **state)
{
	(void)state;
	rsa = EVP_RSA_gen(2048);
	ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	key_record(rsa_record, sizeof(rsa_record), "v=DKIM1; ", rsa);
	key_record(ed25519_record, sizeof(ed25519_record), "k=ed25519; ", ed25519);
	return 0;
}

static int
keys_free(void **state)
{
	(void)state;
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ed25519);
	return 0;
}

/* ---- messages ---------------------------------------------------------------------------------------------- */

static void
add(const char *text)
{
	char *end = strchr(message, '\0');

	assert_true((size_t)(end - message) + strlen(text) < sizeof(message));
	memcpy(end, text, strlen(text) + 1);
}

/* A signature by this selector, below those that are there. */
static void
add_signature(const char *selector)
{
	char field[4096];

	sign(&(struct job){ .key = rsa, .selector = selector, .body = "hi\r\n" }, header, field, sizeof(field));
	add(field);
}

static void
add_rest(void)
{
	add(header);
	add("\r\nhi\r\n");
}

static void
send_one(struct world *w)
{
	message[0] = '\0';
	add_signature("s");
	add_rest();
	world_send(w, message);
}

/* ---- many signatures ----------------------------------------------------------------------------------------- */

static void
test_parallel(void **state)
{
	static const char *const selectors[] = { "a", "b", "c", "a", "b" };
	struct world *w = world_new();

	(void)state;
	world_publish(w, "a._domainkey.example.org", rsa_record);
	world_publish(w, "c._domainkey.example.org", rsa_record);
	message[0] = '\0';
	for (size_t i = 0; i < 5; i++)
		add_signature(selectors[i]);
	add_rest();
	world_send(w, message);
	assert_int_equal(w->calls, 1); /* all at once, each name once */
	assert_int_equal(w->asked_count, 3);
	assert_int_equal(w->result_count, 5);
	for (size_t i = 0; i < 5; i++) {
		assert_string_equal(w->results[i].s, selectors[i]);
		assert_string_equal(w->results[i].result, selectors[i][0] == 'b' ? "permerror" : "pass");
	}
	assert_int_equal(box_fact(&w->box, -1, FACT_DOMAINS)->u.set.count, 1); /* a set */
	world_free(w);
}

static void
test_two_hundred(void **state)
{
	char selector[16];
	struct world *w = world_new();

	(void)state;
	message[0] = '\0';
	for (int i = 0; i < 200; i++) {
		snprintf(selector, sizeof(selector), "s%d", i);
		add_signature(selector);
	}
	add_rest();
	world_publish(w, "s10._domainkey.example.org", rsa_record); /* beyond the maximum */
	world_send(w, message);
	assert_int_equal(w->calls, 1);
	assert_int_equal(w->asked_count, 10);
	assert_string_equal(w->asked[9], "s9._domainkey.example.org");
	assert_int_equal(number(w, FACT_SIGNATURES), 200);
	assert_false(flag(w, FACT_PASS));
	assert_int_equal(w->result_count, 11);
	assert_string_equal(w->results[10].result, "policy");
	assert_string_equal(w->results[10].reason, "too many signatures, 190 were not looked at");
	assert_non_null(strstr(w->box.logs, "190 were not looked at"));
	world_publish(w, "s9._domainkey.example.org", rsa_record); /* the last that counts */
	world_send(w, message);
	assert_true(flag(w, FACT_PASS));
	w->conf.max_signatures = 32;
	world_send(w, message);
	assert_int_equal(w->asked_count, 32);
	assert_true(flag(w, FACT_PASS));
	world_free(w);
}

/* ---- the DNS fails --------------------------------------------------------------------------------------------- */

static void
test_temperror(void **state)
{
	static const enum sp_status statuses[] = { SP_TEMPFAIL, SP_TIMEOUT, SP_LIMIT, SP_INVALID, SP_SYSTEM, SP_CANCELED };
	struct world *w = world_new();

	(void)state;
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		w->record_count = 0;
		world_fails(w, name, statuses[i]);
		send_one(w);
		assert_verdict(w, "temperror", "the key could not be looked up");
	}
	world_free(w);
	w = world_new();
	w->call_status = SP_TEMPFAIL; /* not even asked */
	send_one(w);
	assert_verdict(w, "temperror", "the key could not be looked up");
	assert_false(flag(w, FACT_SHA1)); /* known from the field alone */
	assert_false(flag(w, FACT_LENGTH));
	assert_false(flag(w, FACT_EXPIRED));
	assert_false(flag(w, FACT_FROM));
	assert_false(knows(w, FACT_WEAK));
	world_free(w);
}

/* What else might have been right, had there been an answer, is unknown as well. */
static void
test_temperror_flags(void **state)
{
	struct world *w = world_new();
	char field[4096];

	(void)state;
	world_fails(w, name, SP_TEMPFAIL);
	sign(&(struct job){ .key = rsa, .algorithm = "rsa-sha1", .tags = "l=4; x=1000000000; ", .body = "hi\r\n" }, header,
		field, sizeof(field));
	snprintf(message, sizeof(message), "%s%s\r\nhi\r\nmore\r\n", field, header);
	world_send(w, message);
	assert_verdict(w, "temperror", "the key could not be looked up");
	assert_false(knows(w, FACT_SHA1));
	assert_false(knows(w, FACT_LENGTH));
	assert_false(knows(w, FACT_EXPIRED));
	world_free(w);
}

static void
test_temperror_among_others(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_fails(w, "t._domainkey.example.org", SP_TIMEOUT);
	world_publish(w, name, rsa_record);
	message[0] = '\0';
	add_signature("t");
	add_signature("s");
	add_rest();
	world_send(w, message);
	assert_string_equal(w->results[0].result, "temperror");
	assert_string_equal(w->results[1].result, "pass");
	assert_true(flag(w, FACT_PASS)); /* whatever the other is */
	assert_int_equal(number(w, FACT_RESULT), VERDICT_PASS);
	assert_int_equal(box_fact(&w->box, -1, FACT_DOMAINS)->u.set.count, 1);
	w->record_count = 1; /* now the second has no key: the first might still have passed */
	world_send(w, message);
	assert_string_equal(w->results[0].result, "temperror");
	assert_string_equal(w->results[1].result, "permerror");
	assert_false(knows(w, FACT_PASS));
	assert_false(knows(w, FACT_DOMAINS));
	assert_int_equal(number(w, FACT_RESULT), VERDICT_TEMPERROR);
	world_free(w);
}

/* ---- names (H04) ------------------------------------------------------------------------------------------------- */

static void
test_names(void **state)
{
	static const struct {
		const char *d, *s;
	} names[] = {
		{ "legitimate.com'a.attack.com", "s" },
		{ "example.net(.example.com", "s" },
		{ "example.org", "selector._domainkey.attack.com.\\x00.any" },
		{ "example.org", "selector._domainkey.attack.com\x01.any" },
		{ "example.org.", "s" },
		{ "org", "s" },
		{ "", "s" },
		{ "example..org", "s" },
		{ ".example.org", "s" },
		{ "example.org", "" },
		{ "example.org", ".s" },
		{ "example.org", "s." },
		{ "example.org", "s s" },
		{ "ex\xc3\xa4mple.org", "s" },
		{ "example.org", "a23456789012345678901234567890123456789012345678901234567890123456" },
	};
	struct world *w = world_new();

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(message, sizeof(message),
			"DKIM-Signature: v=1; a=rsa-sha256; d=%s; s=%s; h=from; bh=AAAA; b=AAAA\r\n%s\r\nhi\r\n", names[i].d,
			names[i].s, header);
		world_send(w, message);
		assert_int_equal(number(w, FACT_RESULT), VERDICT_PERMERROR);
		assert_int_equal(w->calls, 0);
		assert_string_equal(w->results[0].s, "");
		if (strcmp(names[i].d, "example.org") != 0)
			assert_string_equal(w->results[0].d, "");
	}
	world_free(w);
}

static void
test_names_octets(void **state)
{
	static const char text[] = "DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s.attack.com.\0.any; h=from; bh=AA; b=AA\r\n"
				   "From: a@example.org\r\n\r\nhi\r\n";
	struct world *w = world_new();
	char long_name[300];

	(void)state;
	assert_int_equal(world_send_span(w, (struct sp_span){ text, sizeof(text) - 1 }), SP_OK);
	assert_int_equal(number(w, FACT_RESULT), VERDICT_PERMERROR);
	assert_int_equal(w->calls, 0);
	memset(long_name, 'a', sizeof(long_name));
	for (size_t i = 50; i < sizeof(long_name); i += 50)
		long_name[i] = '.';
	/* 250 octets are a domain, but its key's name is too long */
	snprintf(message, sizeof(message),
		"DKIM-Signature: v=1; a=rsa-sha256; d=%.250s; s=s; h=from; bh=AAAA; b=AAAA\r\n%s\r\nhi\r\n", long_name, header);
	world_send(w, message);
	assert_int_equal(w->calls, 0);
	assert_verdict(w, "permerror", "s= is no selector");
	/* the other signature is judged all the same */
	snprintf(message, sizeof(message),
		"DKIM-Signature: v=1; a=rsa-sha256; d=%.290s; s=s; h=from; bh=AAAA; b=AAAA\r\nDKIM-Signature: none at all\r\n",
		long_name);
	add_signature("s");
	add_rest();
	world_publish(w, name, rsa_record);
	world_send(w, message);
	assert_int_equal(number(w, FACT_SIGNATURES), 3);
	assert_string_equal(w->results[0].reason, "d= is no domain name");
	assert_string_equal(w->results[1].reason, "the signature is no list of tags");
	assert_string_equal(w->results[2].result, "pass");
	assert_true(flag(w, FACT_PASS));
	world_free(w);
}

/* ---- key records --------------------------------------------------------------------------------------------------- */

static void
expect(struct world *w, const char *record, const char *result, const char *reason)
{
	w->record_count = 0;
	world_publish(w, name, record);
	send_one(w);
	assert_verdict(w, result, reason);
}

static void
test_records(void **state)
{
	struct world *w = world_new();
	char text[9000];

	(void)state;
	expect(w, "v=DKIM1; p=", "permerror", "the key is revoked");
	expect(w, "v=DKIM1; k=rsa", "permerror", "the key record is malformed");
	expect(w, "v=DKIM2; p=AAAA", "permerror", "the key record is malformed");
	expect(w, "hello", "permerror", "the key record is malformed");
	expect(w, "v=DKIM1; k=dsa; p=AAAA", "permerror", "the key is of an unknown type");
	expect(w, "v=DKIM1; p=AAAA", "permerror", "the key cannot be used");
	expect(w, ed25519_record, "permerror", "the key is of another type than a= says");
	key_record(text, sizeof(text), "s=tlsrpt; ", rsa);
	expect(w, text, "permerror", "the key is not for mail");
	key_record(text, sizeof(text), "s=tlsrpt:email; ", rsa);
	expect(w, text, "pass", "");
	key_record(text, sizeof(text), "h=sha1; ", rsa);
	expect(w, text, "permerror", "the key does not allow this hash");
	key_record(text, sizeof(text), "h=sha1:sha256; t=y; ", rsa);
	expect(w, text, "pass", "");
	w->record_count = 0;
	send_one(w);
	assert_verdict(w, "permerror", "no key for the signature");
	world_free(w);
}

/* The library's buffer holds 1024 octets of a record; a sender's notes are no reason to fail. */
static void
test_record_length(void **state)
{
	struct world *w = world_new();
	char text[16384], tags[10000];

	(void)state;
	snprintf(tags, sizeof(tags), "n=%01500d; ", 0);
	key_record(text, sizeof(text), tags, rsa);
	expect(w, text, "pass", "");
	snprintf(tags, sizeof(tags), "n=%08200d; ", 0);
	key_record(text, sizeof(text), tags, rsa);
	expect(w, text, "permerror", "the key record is too long");
	world_free(w);
}

/* A key of this many bits; nobody could sign with it. */
static EVP_PKEY *
public_of(int bits)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *key = NULL;
	BIGNUM *n = BN_new();
	unsigned char octets[2048];
	size_t e = 65537;
	OSSL_PARAM params[] = { OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, octets, (size_t)bits / 8),
		OSSL_PARAM_size_t(OSSL_PKEY_PARAM_RSA_E, &e), OSSL_PARAM_END };

	assert_int_equal(BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD), 1);
	assert_int_equal(BN_bn2nativepad(n, octets, bits / 8), bits / 8);
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
	BN_free(n);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static void
test_large_keys(void **state)
{
	static const struct {
		int bits;
		const char *result, *reason;
	} cases[] = { { 4096, "fail", "the signature does not match" }, { 8192, "permerror", "the key record is too long" } };
	struct world *w = world_new();
	char text[2048];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		EVP_PKEY *key = public_of(cases[i].bits);

		key_record(text, sizeof(text), "", key);
		EVP_PKEY_free(key);
		expect(w, text, cases[i].result, cases[i].reason);
	}
	world_free(w);
}

/* RFC 6376 allows the bare RSAPublicKey too. */
static void
test_bare_rsa(void **state)
{
	struct world *w = world_new();
	unsigned char *der = NULL;
	char text[2048] = "v=DKIM1; p=";
	int len = i2d_PublicKey(rsa, &der);

	(void)state;
	base64(text + strlen(text), der, (size_t)len);
	OPENSSL_free(der);
	expect(w, text, "pass", "");
	world_free(w);
}

static void
test_several_records(void **state)
{
	struct world *w = world_new();
	struct world_record *r = &w->records[0];

	(void)state;
	expect(w, "google-site-verification=x", "permerror", "the key record is malformed");
	r->texts[1] = box_span(rsa_record); /* the first that is a key counts */
	r->count = 2;
	send_one(w);
	assert_verdict(w, "pass", "");
	r->texts[0] = box_span("p="); /* and a revoked one is one */
	send_one(w);
	assert_verdict(w, "permerror", "the key is revoked");
	r->texts[0] = (struct sp_span){ "p=\0", 3 };
	r->count = 1;
	send_one(w);
	assert_verdict(w, "permerror", "the key record is malformed");
	r->count = 0;
	send_one(w);
	assert_verdict(w, "permerror", "no key for the signature");
	world_free(w);
}

/* Who only tests signs no worse than who does not sign. */
static void
test_testing(void **state)
{
	struct world *w = world_new();
	char text[2048];

	(void)state;
	key_record(text, sizeof(text), "t=y; ", rsa);
	world_publish(w, name, text);
	message[0] = '\0';
	add_signature("s");
	add(header);
	add("\r\nho\r\n");
	world_send(w, message);
	assert_verdict(w, "neutral", "failed, but the signer is only testing");
	world_free(w);
}

/* ---- limits ---------------------------------------------------------------------------------------------------------- */

static void
test_header_limits(void **state)
{
	struct world *w = world_new();
	struct sp_header h = { .name = box_span("X"), .value = box_span(" y"), .field = box_span("X: y") };
	struct sp_header from = { .name = box_span("From"), .value = box_span(" a@b.c"), .field = box_span("From: a@b.c") };
	struct sp_header sig = { .name = box_span("DKIM-Signature") };
	struct sp_eoh eoh = { 0, 0 };
	struct sp_eom eom = { 0 };

	(void)state;
	sig.value = box_span(" v=1; a=rsa-sha256; d=example.org; s=s; h=from; bh=AA; b=AA");
	sig.field = box_span("DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s; h=from; bh=AA; b=AA");
	for (size_t extra = 0; extra < 2; extra++) {
		world_begin(w);
		assert_int_equal(w->box.filter->on_header(&w->box.ctx, &from), SP_OK);
		assert_int_equal(w->box.filter->on_header(&w->box.ctx, &sig), SP_OK);
		for (size_t i = 2; i < VERIFY_FIELDS_MAX + extra; i++)
			assert_int_equal(w->box.filter->on_header(&w->box.ctx, &h), SP_OK);
		assert_int_equal(w->box.filter->on_eoh(&w->box.ctx, &eoh), SP_OK);
		assert_int_equal(w->box.filter->on_eom(&w->box.ctx, &eom), SP_OK);
		assert_verdict(w, "permerror", extra > 0 ? "the header is too large" : "no key for the signature");
		world_reset(w);
	}
	world_free(w);
}

/* Names times fields: what is beyond that costs the lower signature, not the upper one. */
static void
test_work(void **state)
{
	enum { FIELDS = 1000, NAMES = VERIFY_WORK_MAX / FIELDS };
	struct world *w = world_new();
	struct sp_eoh eoh = { 0, 0 };
	struct sp_eom eom = { 0 };

	(void)state;
	for (size_t extra = 0; extra < 2; extra++) {
		struct sp_header h = { .name = box_span("DKIM-Signature") };

		message[0] = '\0';
		add("DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s; bh=AA; b=AA; h=from");
		for (size_t i = 1; i < NAMES / 2 + extra; i++)
			add(":x");
		h.field = box_span(message);
		h.value = (struct sp_span){ message + 15, strlen(message) - 15 };
		world_begin(w);
		for (size_t i = 0; i < 2; i++)
			assert_int_equal(w->box.filter->on_header(&w->box.ctx, &h), SP_OK);
		h = (struct sp_header){ .name = box_span("From"), .field = box_span("From: a@b.c"), .value = box_span(" a@b.c") };
		for (size_t i = 2; i < FIELDS; i++) {
			assert_int_equal(w->box.filter->on_header(&w->box.ctx, &h), SP_OK);
			h = (struct sp_header){ .name = box_span("x"), .field = box_span("x:"), .value = box_span("") };
		}
		assert_int_equal(w->box.filter->on_eoh(&w->box.ctx, &eoh), SP_OK);
		assert_int_equal(w->box.filter->on_eom(&w->box.ctx, &eom), SP_OK);
		assert_string_equal(w->results[0].reason, "no key for the signature");
		assert_string_equal(w->results[1].reason,
			extra > 0 ? "h= has too many names for so many fields" : "no key for the signature");
		world_reset(w);
	}
	world_free(w);
}

/* The library takes seconds for thousands of tags, and gives up the message for some names: it sees neither, however low. */
static void
test_unbearable_below(void **state)
{
	struct world *w = world_new();
	char tag[16];
	clock_t began;

	(void)state;
	world_publish(w, name, rsa_record);
	w->conf.max_signatures = 1;
	message[0] = '\0';
	add_signature("s");
	add("DKIM-Signature: v=1; a=rsa-sha256; d=a.b; s=s; h=from; bh=AA");
	for (int i = 0; i < 25000; i++) {
		snprintf(tag, sizeof(tag), ";a%d=", i);
		add(tag);
	}
	add("\r\nDKIM-Signature: v=1; a=rsa-sha256; d=a.b; s=");
	for (size_t i = 0; i < 1000; i++)
		add("xx.");
	add("x; h=from; bh=AA; b=AA\r\n");
	add_rest();
	began = clock();
	world_send(w, message);
	assert_true(clock() - began < CLOCKS_PER_SEC / 2); /* of CPU time */
	assert_string_equal(w->results[0].result, "pass");
	assert_true(flag(w, FACT_PASS));
	assert_int_equal(number(w, FACT_SIGNATURES), 3);
	world_free(w);
}

/* ---- ends ------------------------------------------------------------------------------------------------------------- */

/* Whenever the client goes, nothing stays behind: the leak checker says so. */
static void
test_reset_anywhere(void **state)
{
	struct world *w = world_new();
	const struct sp_filter *f = w->box.filter;
	struct sp_eoh eoh = { 0, 0 };
	struct sp_body body = { box_span("hi\r\n") };

	(void)state;
	world_publish(w, name, rsa_record);
	message[0] = '\0';
	add_signature("s");
	add(header);
	add("\r\n");
	for (int steps = 0; steps < 6; steps++) {
		world_begin(w);
		box_set_message(&w->box, box_span(message));
		for (size_t i = 0; i < w->box.field_count && (int)i < steps; i++)
			assert_int_equal(f->on_header(&w->box.ctx, &w->box.fields[i]), SP_OK);
		if (steps > 3)
			assert_int_equal(f->on_eoh(&w->box.ctx, &eoh), SP_OK);
		if (steps > 4)
			assert_int_equal(f->on_body(&w->box.ctx, &body), SP_OK);
		world_reset(w);
	}
	w->box.filter->on_reset(&w->box.ctx); /* outside of a transaction */
	send_one(w);
	assert_verdict(w, "pass", "");
	world_free(w);
}

static void
test_no_memory(void **state)
{
	struct world *w = world_new();
	enum sp_status st = SP_LIMIT;
	long allowed = 0;

	(void)state;
	world_publish(w, name, rsa_record);
	send_one(w); /* makes the message */
	for (; st != SP_OK; allowed++) {
		w->allocs = allowed;
		st = world_send_span(w, box_span(message));
		assert_true(allowed < 100);
		if (st == SP_OK)
			continue;
		assert_true(st == SP_LIMIT || st == SP_SYSTEM);
		assert_false(knows(w, FACT_PASS));
		assert_false(knows(w, FACT_DOMAINS));
	}
	assert_true(allowed > 4);
	assert_verdict(w, "pass", "");
	world_free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parallel),
		cmocka_unit_test(test_two_hundred),
		cmocka_unit_test(test_temperror),
		cmocka_unit_test(test_temperror_flags),
		cmocka_unit_test(test_temperror_among_others),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_names_octets),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_record_length),
		cmocka_unit_test(test_large_keys),
		cmocka_unit_test(test_bare_rsa),
		cmocka_unit_test(test_several_records),
		cmocka_unit_test(test_testing),
		cmocka_unit_test(test_header_limits),
		cmocka_unit_test(test_work),
		cmocka_unit_test(test_unbearable_below),
		cmocka_unit_test(test_reset_anywhere),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, keys_new, keys_free);
}
