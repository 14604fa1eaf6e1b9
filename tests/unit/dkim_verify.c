/*
 * dkim_verify.c - what a signature is worth, and what is said of it: the faults of CASES H01, H05, H06, settings, results.
 */
#include "tests/unit/dkim_env.h"

#include <time.h>

static EVP_PKEY *rsa, *rsa1024, *rsa512, *ed25519;
static char rsa_record[2048], rsa1024_record[1024], rsa512_record[1024], ed25519_record[256];

static const char header[] = "From: a@example.org\r\nSubject: hello\r\n";
static const char name[] = "s._domainkey.example.org";

static int
keys_new(void **state)
{
	(void)state;
	rsa = EVP_RSA_gen(2048);
	rsa1024 = EVP_RSA_gen(1024);
	rsa512 = EVP_RSA_gen(512);
	ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	key_record(rsa_record, sizeof(rsa_record), "v=DKIM1; ", rsa);
	key_record(rsa1024_record, sizeof(rsa1024_record), "", rsa1024);
	key_record(rsa512_record, sizeof(rsa512_record), "", rsa512);
	key_record(ed25519_record, sizeof(ed25519_record), "k=ed25519; ", ed25519);
	return 0;
}

static int
keys_free(void **state)
{
	(void)state;
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(rsa1024);
	EVP_PKEY_free(rsa512);
	EVP_PKEY_free(ed25519);
	return 0;
}

/* A world that has this key, with a message of this body, signed as the job says, seen by the module. */
static void
send(struct world *w, const struct job *j, const char *body)
{
	static char message[WORLD_TEXT], field[8192];

	sign(j, header, field, sizeof(field));
	snprintf(message, sizeof(message), "%s%s\r\n%s", field, header, body);
	world_send(w, message);
}

static struct world *
world_with(const char *record)
{
	struct world *w = world_new();

	world_publish(w, name, record);
	return w;
}

/* ---- right ones ---------------------------------------------------------------------------------------- */

static void
test_pass(void **state)
{
	struct world *w = world_with(rsa_record);
	const struct sp_value *domains;

	(void)state;
	send(w, &(struct job){ .key = rsa, .body = "hi\r\n", .domain = "Example.ORG" }, "hi\r\n");
	assert_verdict(w, "pass", "");
	assert_string_equal(w->results[0].d, "example.org");
	assert_string_equal(w->results[0].s, "s");
	assert_string_equal(w->results[0].a, "rsa-sha256");
	assert_int_equal(strlen(w->results[0].b), 8);
	domains = box_fact(&w->box, -1, FACT_DOMAINS);
	assert_int_equal(domains->u.set.items[0].len, 11);
	assert_memory_equal(domains->u.set.items[0].ptr, "example.org", 11);
	assert_int_equal(number(w, FACT_SIGNATURES), 1);
	for (unsigned fact = FACT_LENGTH; fact <= FACT_FROM; fact++)
		assert_false(flag(w, fact));
	assert_int_equal(w->asked_count, 1);
	assert_string_equal(w->asked[0], name);
	world_free(w);
}

static void
test_ed25519(void **state)
{
	struct world *w = world_with(ed25519_record);

	(void)state;
	w->conf.min_rsa = 8192; /* says nothing of other keys */
	send(w, &(struct job){ .key = ed25519, .algorithm = "ed25519-sha256", .body = "hi\r\n" }, "hi\r\n");
	assert_verdict(w, "pass", "");
	assert_false(flag(w, FACT_WEAK));
	send(w, &(struct job){ .key = ed25519, .algorithm = "ed25519-sha256", .body = "hi\r\n" }, "ho\r\n");
	assert_verdict(w, "fail", "the body was altered");
	world_free(w);
}

static void
test_unsigned(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_send(w, "From: a@example.org\r\n\r\nhi\r\n");
	assert_verdict(w, "none", "");
	assert_int_equal(w->result_count, 1);
	assert_int_equal(number(w, FACT_SIGNATURES), 0);
	assert_false(flag(w, FACT_FROM));
	assert_int_equal(w->calls, 0);
	world_send(w, ""); /* nothing at all */
	assert_verdict(w, "none", "");
	world_free(w);
}

/* ---- altered ones -------------------------------------------------------------------------------------- */

static void
test_altered(void **state)
{
	struct world *w = world_with(rsa_record);
	char field[4096], message[8192];

	(void)state;
	send(w, &(struct job){ .key = rsa, .body = "hi\r\n" }, "hi\r\n");
	assert_int_equal(box_fact(&w->box, -1, FACT_HASH)->u.text.len, 44);
	send(w, &(struct job){ .key = rsa, .body = "hi\r\n" }, "hi there\r\n");
	assert_verdict(w, "fail", "the body was altered");
	assert_int_equal(box_fact(&w->box, -1, FACT_HASH)->u.text.len, 0);
	sign(&(struct job){ .key = rsa, .body = "hi\r\n" }, header, field, sizeof(field));
	snprintf(message, sizeof(message), "%sFrom: b@example.org\r\nSubject: hello\r\n\r\nhi\r\n", field);
	world_send(w, message);
	assert_verdict(w, "fail", "the signature does not match");
	world_free(w);
}

/* bh= of another length than a hash has: neither read beyond nor taken for a match. */
static void
test_body_hash_length(void **state)
{
	static const char *const hashes[] = { "", "AA==", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "!!!!" };
	struct world *w = world_with(rsa_record);
	char message[1024];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		snprintf(message, sizeof(message),
			"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s; h=from; bh=%s; b=AAAA\r\n%s\r\nhi\r\n",
			hashes[i], header);
		world_send(w, message);
		assert_false(flag(w, FACT_PASS));
		assert_int_equal(number(w, FACT_RESULT), i == 0 ? VERDICT_PERMERROR : VERDICT_FAIL);
	}
	world_free(w);
}

static void
test_several_from(void **state)
{
	struct world *w = world_with(rsa_record);
	char field[4096], message[8192];

	(void)state;
	sign(&(struct job){ .key = rsa, .body = "hi\r\n" }, header, field, sizeof(field));
	/* the lower one is signed, the upper one is what a reader sees */
	snprintf(message, sizeof(message), "From: ceo@example.org\r\n%s%s\r\nhi\r\n", field, header);
	world_send(w, message);
	assert_verdict(w, "permerror", "there are several From fields");
	snprintf(message, sizeof(message), "%sfROM : ceo@example.org\r\n%s\r\nhi\r\n", field, header);
	world_send(w, message);
	assert_verdict(w, "permerror", "there are several From fields");
	snprintf(message, sizeof(message), "%sSubject: hello\r\n\r\nhi\r\n", field);
	world_send(w, message);
	assert_verdict(w, "permerror", "there is no From field");
	assert_int_equal(w->calls, 0); /* of the last one: nothing is asked for */
	world_free(w);
}

/* ---- l= -------------------------------------------------------------------------------------------------- */

static void
test_length(void **state)
{
	struct world *w = world_with(rsa_record);
	struct job all = { .key = rsa, .tags = "l=4; ", .body = "hi\r\n" };
	struct job none = { .key = rsa, .tags = "l=0; ", .body = "" };
	struct job more = { .key = rsa, .tags = "l=5; ", .body = "hi\r\n" };

	(void)state;
	send(w, &all, "hi\r\n");
	assert_verdict(w, "pass", "");
	assert_false(flag(w, FACT_LENGTH));
	send(w, &all, "hi\r\n\r\n\r\n"); /* empty lines at the end are in no canonical form */
	assert_verdict(w, "pass", "");
	send(w, &all, "hi\r\nand more\r\n");
	assert_verdict(w, "policy", "l= leaves a part of the body unsigned");
	assert_true(flag(w, FACT_LENGTH));
	send(w, &none, "hi\r\n");
	assert_verdict(w, "policy", "l= leaves a part of the body unsigned");
	send(w, &more, "hi\r\n");
	assert_verdict(w, "permerror", "l= is longer than the body");
	w->conf.allow_length = true;
	send(w, &all, "hi\r\nand more\r\n");
	assert_verdict(w, "pass", "");
	assert_true(flag(w, FACT_LENGTH));
	send(w, &none, "hi\r\n");
	assert_verdict(w, "pass", "");
	send(w, &all, "ho\r\nand more\r\n");
	assert_verdict(w, "fail", "the body was altered");
	assert_false(flag(w, FACT_LENGTH)); /* it is not right at all */
	world_free(w);
}

/* The length is that of the canonical body, not of what was sent. */
static void
test_length_relaxed(void **state)
{
	struct world *w = world_with(rsa_record);
	struct job j = { .key = rsa, .form = "simple/relaxed", .tags = "l=5; ", .body = "a b\r\n" };

	(void)state;
	w->box.piece = 1;
	send(w, &j, "a  \t b  \r\n \r\n\r\n");
	assert_verdict(w, "pass", "");
	send(w, &j, "a  \t b  \r\n \r\n\r\nc\r\n");
	assert_verdict(w, "policy", "l= leaves a part of the body unsigned");
	world_free(w);
}

/* ---- what a setting may forgive -------------------------------------------------------------------------- */

static void
test_sha1(void **state)
{
	struct world *w = world_with(rsa_record);
	struct job j = { .key = rsa, .algorithm = "rsa-sha1", .body = "hi\r\n" };

	(void)state;
	send(w, &j, "hi\r\n");
	assert_verdict(w, "permerror", "rsa-sha1 is not accepted");
	assert_true(flag(w, FACT_SHA1));
	send(w, &j, "ho\r\n"); /* refused as it is; the fact says that it was not right either */
	assert_verdict(w, "permerror", "rsa-sha1 is not accepted");
	assert_false(flag(w, FACT_SHA1));
	w->conf.allow_sha1 = true;
	send(w, &j, "ho\r\n");
	assert_verdict(w, "fail", "the body was altered");
	send(w, &j, "hi\r\n");
	assert_verdict(w, "pass", "");
	assert_true(flag(w, FACT_SHA1));
	world_free(w);
}

static void
test_expired(void **state)
{
	struct world *w = world_with(rsa_record);
	struct job j = { .key = rsa, .body = "hi\r\n" };
	char tags[100];

	(void)state;
	j.tags = "t=1000000000; x=1000086400; ";
	send(w, &j, "hi\r\n");
	assert_verdict(w, "permerror", "the signature has expired");
	assert_true(flag(w, FACT_EXPIRED));
	j.tags = "x=1000086400; "; /* without t= too */
	send(w, &j, "hi\r\n");
	assert_verdict(w, "permerror", "the signature has expired");
	send(w, &j, "ho\r\n"); /* what has expired is refused before it is verified */
	assert_verdict(w, "permerror", "the signature has expired");
	assert_false(flag(w, FACT_EXPIRED));
	w->conf.allow_expired = true;
	send(w, &j, "ho\r\n");
	assert_verdict(w, "fail", "the body was altered");
	send(w, &j, "hi\r\n");
	assert_verdict(w, "pass", "");
	assert_true(flag(w, FACT_EXPIRED));
	w->conf.allow_expired = false;
	j.tags = tags; /* clocks may differ by 300 s */
	snprintf(tags, sizeof(tags), "t=%lld; x=%lld; ", (long long)time(NULL) + 200, (long long)time(NULL) + 10000);
	send(w, &j, "hi\r\n");
	assert_verdict(w, "pass", "");
	snprintf(tags, sizeof(tags), "t=%lld; x=%lld; ", (long long)time(NULL) - 1000, (long long)time(NULL) - 200);
	send(w, &j, "hi\r\n");
	assert_verdict(w, "pass", "");
	snprintf(tags, sizeof(tags), "t=%lld; ", (long long)time(NULL) + 400);
	send(w, &j, "hi\r\n");
	assert_verdict(w, "permerror", "signed in the future");
	snprintf(tags, sizeof(tags), "t=1000000000; x=999999999; ");
	send(w, &j, "hi\r\n");
	assert_int_equal(number(w, FACT_RESULT), VERDICT_PERMERROR);
	world_free(w);
}

static void
test_weak_key(void **state)
{
	struct world *w = world_with(rsa1024_record);
	struct job j = { .key = rsa1024, .body = "hi\r\n" };

	(void)state;
	send(w, &j, "hi\r\n");
	assert_verdict(w, "pass", "");
	assert_false(flag(w, FACT_WEAK));
	w->conf.min_rsa = 2048;
	send(w, &j, "hi\r\n");
	assert_verdict(w, "policy", "the RSA key is too short");
	assert_true(flag(w, FACT_WEAK));
	w->record_count = 0;
	world_publish(w, name, rsa512_record);
	w->conf.min_rsa = 1024;
	j.key = rsa512;
	send(w, &j, "hi\r\n");
	assert_verdict(w, "permerror", "the RSA key is too short");
	assert_true(flag(w, FACT_WEAK));
	world_free(w);
}

static void
test_from_unsigned(void **state)
{
	struct world *w = world_with(rsa_record);

	(void)state;
	send(w, &(struct job){ .key = rsa, .names = "subject:to", .body = "hi\r\n" }, "hi\r\n");
	assert_verdict(w, "permerror", "From is not signed");
	assert_true(flag(w, FACT_FROM));
	assert_int_equal(w->calls, 0);
	world_free(w);
}

/* ---- i= ---------------------------------------------------------------------------------------------------- */

static void
test_identity(void **state)
{
	struct world *w = world_with(rsa_record);
	struct job j = { .key = rsa, .body = "hi\r\n", .tags = "i=a@sub.example.org; " };
	char strict[2048];

	(void)state;
	send(w, &j, "hi\r\n");
	assert_verdict(w, "pass", "");
	key_record(strict, sizeof(strict), "t=s; ", rsa);
	w->record_count = 0;
	world_publish(w, name, strict);
	send(w, &j, "hi\r\n");
	assert_int_equal(number(w, FACT_RESULT), VERDICT_PERMERROR);
	j.tags = "i=a@example.org; ";
	send(w, &j, "hi\r\n");
	assert_verdict(w, "pass", "");
	j.tags = "i=a@example.net; ";
	send(w, &j, "hi\r\n");
	assert_int_equal(number(w, FACT_RESULT), VERDICT_PERMERROR);
	world_free(w);
}

/* ---- bodies ------------------------------------------------------------------------------------------------ */

static void
test_bodies(void **state)
{
	static const struct {
		const char *sent, *canonical;
	} bodies[] = {
		{ "", "\r\n" },
		{ "\r\n\r\n\r\n\r\n", "\r\n" },
		{ "no line end", "no line end\r\n" },
		{ ".\r\n..\r\n.x\r\n", ".\r\n..\r\n.x\r\n" },
		{ "X-Field: in the body\r\n\r\nFrom: b@example.org\r\n", "X-Field: in the body\r\n\r\nFrom: b@example.org\r\n" },
	};
	struct world *w = world_with(rsa_record);

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		for (w->box.piece = 0; w->box.piece < 4; w->box.piece++) {
			send(w, &(struct job){ .key = rsa, .body = bodies[i].canonical }, bodies[i].sent);
			assert_verdict(w, "pass", "");
		}
	world_free(w);
}

/* The library drops bare CR and LF from what it hashes: so none may reach it. */
static void
test_bare_line_ends(void **state)
{
	static const char *const bodies[] = { "hi\rho\r\n", "hi\nho\r\n", "hiho\r\n\n", "hiho\r\n\r", "\nhiho\r\n" };
	struct world *w = world_with(rsa_record);

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		for (w->box.piece = 0; w->box.piece < 3; w->box.piece++) {
			send(w, &(struct job){ .key = rsa, .body = "hiho\r\n" }, bodies[i]);
			assert_verdict(w, "permerror", "the body holds a bare CR or LF");
		}
	w->box.piece = 1; /* CR and LF in two pieces are no fault */
	send(w, &(struct job){ .key = rsa, .body = "hi\r\nho\r\n" }, "hi\r\nho\r\n");
	assert_verdict(w, "pass", "");
	world_free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pass),
		cmocka_unit_test(test_ed25519),
		cmocka_unit_test(test_unsigned),
		cmocka_unit_test(test_altered),
		cmocka_unit_test(test_body_hash_length),
		cmocka_unit_test(test_several_from),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_length_relaxed),
		cmocka_unit_test(test_sha1),
		cmocka_unit_test(test_expired),
		cmocka_unit_test(test_weak_key),
		cmocka_unit_test(test_from_unsigned),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_bare_line_ends),
	};

	return cmocka_run_group_tests(tests, keys_new, keys_free);
}
