/*
 * arc_module.c - the module "arc" with a host in a box: what it seals it validates, and what was touched it does not.
 */
#include "tests/unit/arc_host.h"

#define MESSAGE \
	"From: John <j@author.example>\r\nTo: list@list.example\r\nSubject: a  b\r\n\r\nHello,\r\nthis is  a test.\r\n\r\n--J.\r\n"

static struct arc_box_key key;

static const char *const known[] = { "list.example", "other.example", NULL };
static const char *const nobody[] = { "elsewhere.example", NULL };

struct pair {
	struct arc_box sealer, reader;
};

static int
pair_setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	static const struct sp_table table = { known };

	assert_non_null(p);
	p->sealer.conf = (struct arc_conf){ .keys = key.path, .domain = box_span("list.example") };
	assert_int_equal(arc_box_init(&p->sealer, key.record), SP_OK);
	p->reader.conf = (struct arc_conf){ .trusted = &table, .domain = box_span("none") };
	assert_int_equal(arc_box_init(&p->reader, key.record), SP_OK);
	*state = p;
	return 0;
}

static int
pair_teardown(void **state)
{
	struct pair *p = *state;

	arc_box_fini(&p->sealer);
	arc_box_fini(&p->reader);
	free(p);
	return 0;
}

/* The message behind so many more sealers; it is in p->sealer.text then. */
static void
seal(struct pair *p, const char *text, size_t len, unsigned hops)
{
	struct arc_box *b = &p->sealer;

	if (hops == 0) {
		memcpy(b->text, text, len + 1);
		b->len = len;
	}
	for (unsigned i = 0; i < hops; i++) {
		assert_int_equal(arc_box_see(b, i == 0 ? text : b->text, i == 0 ? len : b->len), SP_OK);
		assert_int_equal(arc_box_final(b), SP_OK);
		arc_box_reset(b);
	}
}

static int64_t
number(const struct pair *p, unsigned fact)
{
	const struct sp_value *v = box_fact(&p->reader.box, -1, fact);

	return v == NULL ? -1 : v->type == SP_BOOL ? v->u.boolean : v->type == SP_DOMAINS ? (int64_t)v->u.set.count : v->u.integer;
}

/* What the reader says of what the sealer has. */
static void
read_sealed(struct pair *p)
{
	p->reader.box.piece = 7;
	assert_int_equal(arc_box_see(&p->reader, p->sealer.text, p->sealer.len), SP_OK);
	arc_box_reset(&p->reader);
}

static void
expect_result(const struct pair *p, enum arc_result result, const char *text)
{
	assert_int_equal(number(p, FACT_RESULT), result);
	assert_string_equal(p->reader.result, text);
	assert_int_equal(p->reader.result_count, 1);
}

static void
touch(struct pair *p, const char *what, char to)
{
	char *at = strstr(p->sealer.text, what);

	assert_non_null(at);
	assert_int_not_equal(*at, to);
	*at = to;
}

/* ---- chains that pass --------------------------------------------------------------------------- */

static void
no_chain(void **state)
{
	struct pair *p = *state;

	seal(p, MESSAGE, strlen(MESSAGE), 0);
	read_sealed(p);
	expect_result(p, ARC_NONE, "arc=none ()");
	assert_int_equal(number(p, FACT_INSTANCES), 0);
	assert_int_equal(number(p, FACT_TRUSTED), false);
	assert_int_equal(number(p, FACT_SEALERS), 0);
	assert_int_equal(p->reader.asked, 0);
}

static void
sealed_and_read(void **state)
{
	struct pair *p = *state;

	for (unsigned hops = 1; hops <= 3; hops++) {
		seal(p, MESSAGE, strlen(MESSAGE), hops);
		read_sealed(p);
		expect_result(p, ARC_PASS, "arc=pass () header.oldest-pass=0 smtp.remote-ip=192.0.2.1");
		assert_int_equal(number(p, FACT_INSTANCES), hops);
		assert_int_equal(number(p, FACT_SEALERS), hops);
		assert_int_equal(number(p, FACT_TRUSTED), true);
		assert_int_equal(number(p, FACT_DMARC), ARC_STATED_PASS);
		assert_int_equal(number(p, FACT_OLDEST), 0);
		assert_int_equal(p->reader.asked, 1); /* all have one key */
	}
}

static void
fifty_hops_and_no_more(void **state)
{
	struct pair *p = *state;
	size_t len;

	seal(p, MESSAGE, strlen(MESSAGE), 50);
	read_sealed(p);
	assert_int_equal(number(p, FACT_RESULT), ARC_PASS);
	assert_int_equal(number(p, FACT_INSTANCES), 50);
	assert_int_equal(number(p, FACT_OLDEST), 40); /* so many are looked at, and one more */
	assert_int_equal(p->reader.turns, 10); /* others get their turn before each but the newest */
	p->reader.turn = SP_CANCELED;
	assert_int_equal(arc_box_see(&p->reader, p->sealer.text, p->sealer.len), SP_CANCELED);
	arc_box_reset(&p->reader);
	len = p->sealer.len;
	seal(p, p->sealer.text, len, 1);
	assert_int_equal(p->sealer.len, len);
	assert_non_null(strstr(p->sealer.box.logs, "not sealed: the chain has 50 instances"));
}

static void
trusted_only_by_the_table(void **state)
{
	static const struct sp_table strangers = { nobody };
	struct pair *p = *state;

	seal(p, MESSAGE, strlen(MESSAGE), 1);
	p->reader.conf.trusted = &strangers;
	read_sealed(p);
	assert_int_equal(number(p, FACT_RESULT), ARC_PASS);
	assert_int_equal(number(p, FACT_TRUSTED), false);
	p->reader.conf.trusted = NULL;
	read_sealed(p);
	assert_int_equal(number(p, FACT_TRUSTED), false);
}

/* A list adds a footer and seals again: its predecessor's message signature is no longer right, the chain is. */
/* A first sealer who states many results costs no more than one who states one. */
static void
many_results(void **state)
{
	static const char item[] = ";\r\n\tdmarc=pass header.from=author.example";
	char results[16 + 300 * sizeof(item)] = "mx.example";
	struct pair *p = *state;

	for (size_t n = 0; n < 300; n++)
		memcpy(results + strlen("mx.example") + n * (sizeof(item) - 1), item, sizeof(item));
	p->sealer.results = results;
	seal(p, MESSAGE, strlen(MESSAGE), 1);
	read_sealed(p);
	assert_int_equal(number(p, FACT_RESULT), ARC_PASS);
	assert_int_equal(number(p, FACT_DMARC), ARC_STATED_PASS);
	assert_in_range(p->reader.gets, 1, 100);
}

/* A sealer who wrote a sender's text as it was: what stands behind it may be hidden by it, so a pass before it is no pass. */
static void
results_behind_a_fault(void **state)
{
	static const struct {
		const char *results;
		enum arc_stated want;
	} cases[] = {
		{ "mx.example; dmarc=pass header.from=author.example; spf=pass smtp.mailfrom=a;", ARC_STATED_PASS },
		{ "mx.example; dmarc=pass header.from=author.example; dmarc=fail", ARC_STATED_FAIL },
		{ "mx.example; spf=pass smtp.mailfrom=x; dmarc=pass header.from=author.example; a=b (; dmarc=fail", ARC_STATED_NONE },
		{ "mx.example; spf=pass smtp.mailfrom=x; dmarc=pass header.from=author.example; @b; dmarc=fail", ARC_STATED_NONE },
		{ "mx.example; spf=pass smtp.mailfrom=x; dmarc=pass header.from=author.example; a=b \"; dmarc=fail", ARC_STATED_NONE },
		{ "mx.example; dmarc=fail header.from=author.example; a=b (", ARC_STATED_FAIL },
		{ "mx.example; dmarc=pass header.from=author.example (; dmarc=fail", ARC_STATED_NONE },
	};
	struct pair *p = *state;

	for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		p->sealer.results = cases[n].results;
		seal(p, MESSAGE, strlen(MESSAGE), 1);
		read_sealed(p);
		assert_int_equal(number(p, FACT_RESULT), ARC_PASS);
		if (number(p, FACT_DMARC) != (int64_t)cases[n].want)
			fail_msg("'%s': %lld", cases[n].results, (long long)number(p, FACT_DMARC));
	}
}

/* Author and results may write a domain beyond ASCII in either way. */
static void
results_beyond_ascii(void **state)
{
	static const char message[] = "From: \303\266@B\303\274cher.example\r\nTo: list@list.example\r\n\r\nHello.\r\n";
	static const struct {
		const char *results;
		enum arc_stated want;
	} cases[] = {
		{ "mx.example; dmarc=pass header.from=xn--bcher-kva.example", ARC_STATED_PASS },
		{ "mx.example; dmarc=pass header.from=b\303\274cher.example", ARC_STATED_PASS },
		{ "mx.example; dmarc=pass header.from=bucher.example", ARC_STATED_NONE },
		{ "mx.example; dmarc=pass header.from=b\374cher.example", ARC_STATED_NONE },
	};
	struct pair *p = *state;

	for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		p->sealer.results = cases[n].results;
		seal(p, message, strlen(message), 1);
		read_sealed(p);
		assert_int_equal(number(p, FACT_RESULT), ARC_PASS);
		if (number(p, FACT_DMARC) != (int64_t)cases[n].want)
			fail_msg("'%s': %lld", cases[n].results, (long long)number(p, FACT_DMARC));
	}
}

static void
oldest_pass(void **state)
{
	struct pair *p = *state;
	struct arc_box *b = &p->sealer;

	seal(p, MESSAGE, strlen(MESSAGE), 2);
	assert_int_equal(arc_box_see(b, b->text, b->len), SP_OK);
	b->box.body = box_span("Hello, this is another.\r\n"); /* an edit, between the end of the message and the seal */
	touch(p, "Hello,\r\n", '\0');
	b->len = strlen(b->text);
	assert_int_equal(arc_box_final(b), SP_OK);
	arc_box_reset(b);
	b->len += (size_t)snprintf(b->text + b->len, sizeof(b->text) - b->len, "Hello, this is another.\r\n");
	read_sealed(p);
	expect_result(p, ARC_PASS, "arc=pass () header.oldest-pass=3 smtp.remote-ip=192.0.2.1");
	assert_int_equal(number(p, FACT_OLDEST), 3);
}

/* ---- chains that fail --------------------------------------------------------------------------- */

static void
touched(void **state)
{
	static const struct {
		const char *what;
		char to;
		const char *result;
	} cases[] = {
		{ "Hello", 'J', "arc=fail (the body was changed) smtp.remote-ip=192.0.2.1" },
		{ "John", 'D', "arc=fail (the message signature is not right) smtp.remote-ip=192.0.2.1" },
		{ "mx.example", 'n', "arc=fail (a seal is not right) smtp.remote-ip=192.0.2.1" },
		{ "cv=pass", 'd', "arc=fail (a seal is malformed) smtp.remote-ip=192.0.2.1" },
		{ "d=list.example", 'x', "arc=fail (a seal is malformed) smtp.remote-ip=192.0.2.1" },
		{ "i=1;", 'j', "arc=fail (a field without a valid instance) smtp.remote-ip=192.0.2.1" },
	};
	struct pair *p = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		seal(p, MESSAGE, strlen(MESSAGE), 2);
		touch(p, cases[i].what, cases[i].to);
		read_sealed(p);
		expect_result(p, ARC_FAIL, cases[i].result);
		assert_int_equal(number(p, FACT_TRUSTED), false);
		assert_int_equal(number(p, FACT_SEALERS), 0);
		assert_int_equal(number(p, FACT_DMARC), ARC_STATED_NONE);
		assert_int_equal(number(p, FACT_OLDEST), 0);
	}
}

/* What stands below the l= of a message signature is signed by nobody. */
static void
appended_below_the_length(void **state)
{
	struct arc_judge judge = { .begun = true, .result = ARC_PASS, .instances = 1, .message_count = 1, .body_count = 1 };
	struct arc_body *b = &judge.bodies[0];
	unsigned char hash[EVP_MAX_MD_SIZE];
	struct canon_body whole;
	size_t len;

	(void)state;
	assert_int_equal(canon_body_init(&whole, EVP_sha256(), CANON_RELAXED, -1), SP_OK);
	canon_body_add(&whole, box_span("Hello\r\n"));
	assert_int_equal(canon_body_end(&whole, hash, &len), SP_OK);
	canon_body_fini(&whole);
	memcpy(judge.messages[0].hash, hash, CANON_HASH);
	b->form = CANON_RELAXED;
	b->limit = 7;
	assert_int_equal(canon_body_init(&b->canon, EVP_sha256(), CANON_RELAXED, 7), SP_OK);
	arc_judge_body(&judge, box_span("Hello\r\nBuy this\r\n"));
	assert_int_equal(arc_judge_end(&judge), SP_OK);
	assert_int_equal(judge.result, ARC_FAIL);
	assert_string_equal(judge.reason, "the message signature covers only a part of the body");
	arc_judge_fini(&judge);
}

static void
failed_chains_end(void **state)
{
	struct pair *p = *state;
	size_t len;

	seal(p, MESSAGE, strlen(MESSAGE), 1);
	touch(p, "Hello", 'J');
	seal(p, p->sealer.text, p->sealer.len, 1);
	assert_non_null(strstr(p->sealer.text, "i=2; a=rsa-sha256; cv=fail;"));
	read_sealed(p);
	expect_result(p, ARC_FAIL, "arc=fail (a seal says that the chain had failed) smtp.remote-ip=192.0.2.1");
	len = p->sealer.len;
	seal(p, p->sealer.text, len, 1);
	assert_int_equal(p->sealer.len, len);
	assert_non_null(strstr(p->sealer.box.logs, "not sealed: the chain has ended with cv=fail"));
}

/* ---- the DNS ------------------------------------------------------------------------------------ */

/* The record of an RSA key of 4096 or 8192 bits, as RSAPublicKey. */
static void
large_record(size_t octets, char *record)
{
	static const unsigned char exponent[] = { 0x02, 0x03, 0x01, 0x00, 0x01 };
	unsigned char der[1100] = { 0x30, 0x82, (unsigned char)((octets + 10) >> 8), (unsigned char)(octets + 10),
		0x02, 0x82, (unsigned char)((octets + 1) >> 8), (unsigned char)(octets + 1), 0x00 };

	memset(der + 9, 0xa5, octets);
	memcpy(der + 9 + octets, exponent, sizeof(exponent));
	memcpy(record, "v=DKIM1; p=", 11);
	EVP_EncodeBlock((unsigned char *)record + 11, der, (int)(14 + octets));
}

/* A message may ask for 72 verifications: with keys of 8192 bits that would be as many milliseconds. */
static void
keys_that_are_too_large(void **state)
{
	struct pair *p = *state;
	char record[1600];

	seal(p, MESSAGE, strlen(MESSAGE), 1);
	p->reader.record = record;
	large_record(512, record);
	read_sealed(p);
	expect_result(p, ARC_FAIL, "arc=fail (a seal is not right) smtp.remote-ip=192.0.2.1");
	large_record(1024, record);
	read_sealed(p);
	expect_result(p, ARC_FAIL, "arc=fail (a seal's key is not there, or not to be used) smtp.remote-ip=192.0.2.1");
}

static void
keys_that_are_not_there(void **state)
{
	struct pair *p = *state;

	seal(p, MESSAGE, strlen(MESSAGE), 2);
	p->reader.dns = SP_NONE;
	read_sealed(p);
	expect_result(p, ARC_FAIL, "arc=fail (a seal's key is not there, or not to be used) smtp.remote-ip=192.0.2.1");
	p->reader.dns = SP_OK;
	p->reader.record = "v=DKIM1; p=";
	read_sealed(p);
	assert_int_equal(number(p, FACT_RESULT), ARC_FAIL);
}

/* What is known is said, what is not is left open; one that nobody trusts is not worth waiting for. */
static void
keys_that_cannot_be_fetched(void **state)
{
	static const struct sp_table strangers = { nobody };
	struct pair *p = *state;

	seal(p, MESSAGE, strlen(MESSAGE), 2);
	p->reader.dns = SP_TIMEOUT;
	read_sealed(p);
	expect_result(p, ARC_TEMPERROR, "arc=fail (a key could not be fetched) smtp.remote-ip=192.0.2.1");
	assert_int_equal(number(p, FACT_INSTANCES), 2);
	assert_int_equal(number(p, FACT_TRUSTED), -1);
	assert_int_equal(number(p, FACT_SEALERS), -1);
	assert_int_equal(number(p, FACT_DMARC), -1);
	assert_int_equal(number(p, FACT_OLDEST), -1);
	p->reader.conf.trusted = &strangers;
	read_sealed(p);
	assert_int_equal(number(p, FACT_RESULT), ARC_TEMPERROR);
	assert_int_equal(number(p, FACT_TRUSTED), false);
	p->reader.dns = SP_OK;
	p->reader.dns_call = SP_TIMEOUT;
	read_sealed(p);
	assert_int_equal(number(p, FACT_RESULT), ARC_TEMPERROR);
	p->reader.dns_call = SP_CANCELED;
	assert_int_equal(arc_box_see(&p->reader, p->sealer.text, p->sealer.len), SP_CANCELED);
	assert_int_equal(number(p, FACT_RESULT), -1);
	arc_box_reset(&p->reader);
}

/* A structure that is wrong is wrong whatever the DNS says, and it is not asked. */
static void
no_question_in_vain(void **state)
{
	struct pair *p = *state;

	seal(p, MESSAGE, strlen(MESSAGE), 2);
	touch(p, "ARC-Seal", 'X');
	p->reader.dns = SP_TIMEOUT;
	read_sealed(p);
	assert_int_equal(number(p, FACT_RESULT), ARC_FAIL);
	assert_int_equal(p->reader.calls, 0);
}

/* ---- who seals ---------------------------------------------------------------------------------- */

static void
a_result_is_stated_once(void **state)
{
	struct pair *p = *state;

	p->sealer.above = "spf";
	seal(p, MESSAGE, strlen(MESSAGE), 1);
	assert_int_equal(p->sealer.result_count, 1);
	p->sealer.above = "arc";
	seal(p, MESSAGE, strlen(MESSAGE), 1);
	assert_int_equal(p->sealer.result_count, 0);
	assert_non_null(strstr(p->sealer.text, "ARC-Seal: i=1;"));
}

static void
no_seal_without_a_judgement(void **state)
{
	struct pair *p = *state;

	assert_int_equal(box_mail(&p->sealer.box, -1), SP_OK);
	assert_int_equal(arc_box_final(&p->sealer), SP_TEMPFAIL);
	arc_box_reset(&p->sealer);
	seal(p, MESSAGE, strlen(MESSAGE), 0);
	read_sealed(p);
	assert_int_equal(arc_box_final(&p->reader), SP_OK); /* it does not seal at all */
	assert_null(strstr(p->reader.text, "ARC-"));
}

/* Nobody's mail waits for ever since it has too many fields. */
/* A large body is hashed by pieces, others get their turn between them; the session may be ended then. */
static void
large_body(void **state)
{
	static char text[sizeof(MESSAGE) + 600 * 1024] = MESSAGE;
	struct pair *p = *state;

	for (size_t at = strlen(text); at + 3 < sizeof(text); at += 2)
		memcpy(text + at, at % 64 == 0 ? "\r\n" : "xy", 3);
	memcpy(text + strlen(text) - 2, "\r\n", 2);
	p->sealer.box.piece = 4096;
	seal(p, text, strlen(text), 1);
	assert_int_equal(p->sealer.turns, 2);
	read_sealed(p);
	assert_int_equal(number(p, FACT_RESULT), ARC_PASS);
	p->sealer.turn = SP_CANCELED;
	assert_int_equal(arc_box_see(&p->sealer, text, strlen(text)), SP_OK);
	assert_int_equal(arc_box_final(&p->sealer), SP_CANCELED);
	arc_box_reset(&p->sealer);
}

static void
too_many_fields_to_sign(void **state)
{
	struct pair *p = *state;
	char text[8192];
	size_t len = 0;

	for (unsigned i = 0; i < 250; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "DKIM-Signature: %u\r\n", i);
	len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", MESSAGE);
	seal(p, text, len, 1);
	assert_int_equal(p->sealer.len, len);
	assert_non_null(strstr(p->sealer.box.logs, "not sealed: more header fields than a signature may name"));
}

static void
loading(void **state)
{
	static const struct {
		bool keys;
		const char *domain, *wrong;
	} cases[] = { { true, "none", "'keys' needs 'domain': who seals?" },
		{ false, "list.example", "'domain' is for a use that seals: give 'keys' too" },
		{ true, "elsewhere.example", "the table of keys has no RSA key for 'domain': seals are made with RSA" },
		{ true, "sub.list.example", NULL } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arc_box *b = calloc(1, sizeof(*b));
		enum sp_status st;

		assert_non_null(b);
		b->conf.keys = cases[i].keys ? key.path : NULL;
		b->conf.domain = box_span(cases[i].domain);
		st = arc_box_init(b, key.record);
		assert_int_equal(st, cases[i].wrong == NULL ? SP_OK : SP_INVALID);
		if (cases[i].wrong != NULL)
			assert_non_null(strstr(b->box.errors, cases[i].wrong));
		else
			assert_true(text_is(b->conf.sealer, TEXT("list.example")));
		arc_box_fini(b);
		free(b);
	}
}

static int
key_setup(void **state)
{
	(void)state;
	arc_box_key_make(&key, "list.example");
	return 0;
}

static int
key_teardown(void **state)
{
	(void)state;
	arc_box_key_remove(&key);
	return 0;
}

#define PAIR_TEST(name) cmocka_unit_test_setup_teardown(name, pair_setup, pair_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = { PAIR_TEST(no_chain), PAIR_TEST(sealed_and_read), PAIR_TEST(fifty_hops_and_no_more),
		PAIR_TEST(trusted_only_by_the_table), PAIR_TEST(many_results),
		PAIR_TEST(results_behind_a_fault), PAIR_TEST(results_beyond_ascii), PAIR_TEST(oldest_pass), PAIR_TEST(touched),
		PAIR_TEST(appended_below_the_length), PAIR_TEST(failed_chains_end), PAIR_TEST(keys_that_are_too_large), PAIR_TEST(keys_that_are_not_there),
		PAIR_TEST(keys_that_cannot_be_fetched), PAIR_TEST(no_question_in_vain), PAIR_TEST(a_result_is_stated_once),
		PAIR_TEST(no_seal_without_a_judgement),
		PAIR_TEST(large_body), PAIR_TEST(too_many_fields_to_sign), cmocka_unit_test(loading) };

	return cmocka_run_group_tests(tests, key_setup, key_teardown);
}
