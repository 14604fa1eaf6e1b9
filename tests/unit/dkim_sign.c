/*
 * dkim_sign.c - signing a message: by which keys, as whom, over what; and when it goes on unsigned.
 */
#include "tests/unit/filter_host.h"

#include <time.h>

#include "dkim/dkim.h"
#include "mailauth/signature.h"
#include "mailauth/text.h"
#include "tests/unit/folder.h"
#include "tests/unit/mailauth_vectors.h"

enum { INSERTED_MAX = 4 };

/* ---- a host with what the last hook has besides ------------------------------------------------------------ */

static struct world {
	struct box box; /* first: services find it by the context */
	struct dkim_conf conf;
	struct sp_host host;
	struct sp_span inserted[INSERTED_MAX]; /* values, the last one called for last */
	size_t count;
	enum sp_status body_status, insert_status, sleep_status; /* what those services say, unless SP_OK */
	size_t sleeps;
} world;

static enum sp_status
world_insert(struct sp_ctx *ctx, size_t index, const char *name, struct sp_span value)
{
	char *copy = box_take(box_of(ctx), value.len + 1);

	assert_int_equal(index, 0);
	assert_string_equal(name, "DKIM-Signature");
	if (world.insert_status != SP_OK)
		return world.insert_status;
	assert_true(world.count < INSERTED_MAX);
	memcpy(copy, value.ptr, value.len);
	world.inserted[world.count++] = (struct sp_span){ copy, value.len };
	return SP_OK;
}

static enum sp_status
world_body_get(struct sp_ctx *ctx, int64_t offset, struct sp_span *ret)
{
	return world.body_status != SP_OK ? world.body_status : box_body_get(ctx, offset, ret);
}

static enum sp_status
world_sleep(struct sp_ctx *ctx, int64_t ms)
{
	(void)ctx;
	assert_int_equal(ms, 0);
	world.sleeps++;
	return world.sleep_status;
}

static void
world_new(void)
{
	static const struct sp_filter none = { SP_FILTER_HEAD, .name = "none" };
	struct sp_load load = { &world.box };
	static char path[128];

	memset(&world, 0, sizeof(world));
	assert_int_equal(box_init(&world.box, &none, &world.conf, NULL, 0), SP_OK);
	world.host = box_host;
	world.host.header_insert = world_insert;
	world.host.body_get = world_body_get;
	world.host.sleep = world_sleep;
	world.box.ctx.host = &world.host;
	snprintf(path, sizeof(path), "%s/table", folder);
	world.conf = (struct dkim_conf){ .keys = path, .header = CANON_RELAXED, .body = CANON_RELAXED };
	assert_int_equal(sign_load(&load, &world.host, &world.conf), SP_OK);
	assert_string_equal(world.box.errors, "");
}

static void
world_free(void)
{
	sign_unload(&world.conf);
	assert_null(world.conf.table);
	sign_unload(&world.conf);
	box_fini(&world.box, &world.conf, NULL);
}

static enum sp_status
sign(const char *message)
{
	struct sp_final ev;

	box_set_message(&world.box, box_span(message));
	world.count = 0;
	world.box.logs[0] = '\0';
	ev = (struct sp_final){ world.box.field_count, (int64_t)strlen(message) };
	return sign_final(&world.box.ctx, &ev);
}

/* ---- is it right? ------------------------------------------------------------------------------------------- */

static enum sp_status
field_get(void *arg, size_t index, struct sp_header *ret)
{
	return box_header_get(arg, index, ret);
}

static void
check_signature(size_t index, enum key_type type, const char *domain, const char *selector)
{
	const struct signature_fields fields = { field_get, &world.box.ctx };
	struct sp_span record = type == KEY_RSA ? text_of(vector_rsa_record) : text_of(vector_ed25519_record), own;
	unsigned char hash[EVP_MAX_MD_SIZE];
	struct canon_body body;
	struct signature s;
	const char *error;
	char text[4096];
	struct key k;
	size_t len;

	assert_true(index < world.count);
	if (signature_parse(world.inserted[index], SIGNATURE_DKIM, &s, &error) != SP_OK)
		fail_msg("%s", error);
	assert_true(s.type == type && text_is(s.domain, text_of(domain)) && text_is(s.selector, text_of(selector)));
	assert_int_equal(s.identity.len, 0);
	assert_true(s.time >= (int64_t)time(NULL) - 60 && s.time <= (int64_t)time(NULL));
	assert_true(s.header == (enum canon)world.conf.header && s.body == (enum canon)world.conf.body);

	assert_int_equal(canon_body_init(&body, EVP_sha256(), s.body, -1), SP_OK);
	canon_body_add(&body, world.box.body);
	assert_int_equal(canon_body_end(&body, hash, &len), SP_OK);
	canon_body_fini(&body);
	assert_memory_equal(hash, s.bh, CANON_HASH);

	own = (struct sp_span){ text, (size_t)snprintf(text, sizeof(text), "DKIM-Signature: %.*s",
					      (int)world.inserted[index].len, world.inserted[index].ptr) };
	assert_int_equal(signature_hash(&fields, s.names, s.header, own, hash), SP_OK);
	assert_int_equal(key_parse(record, &k), KEY_OK);
	assert_true(signature_verify(k.pkey, s.type, hash, s.b, s.b_len));
	key_fini(&k);
}

/* ---- tests -------------------------------------------------------------------------------------------------- */

static void
test_keys(void **state)
{
	(void)state;
	world_new();
	for (unsigned n = 0; n < 8; n++) {
		world.conf.header = n & 1 ? CANON_RELAXED : CANON_SIMPLE;
		world.conf.body = n & 2 ? CANON_RELAXED : CANON_SIMPLE;
		world.box.piece = n & 4 ? 1 : 0;
		assert_int_equal(sign(vector_message), SP_OK);
		assert_int_equal(world.count, 2);
		check_signature(0, KEY_RSA, "sender.example", "rsa");
		check_signature(1, KEY_ED25519, "sender.example", "ed");
		assert_string_equal(world.box.logs, "");
	}
	world_free();
}

static void
test_domains(void **state)
{
	(void)state;
	world_new();
	assert_int_equal(sign("From: A <a@Mail.Sender.EXAMPLE>\r\n\r\n"), SP_OK);
	assert_int_equal(world.count, 2);
	check_signature(0, KEY_RSA, "sender.example", "rsa");
	assert_int_equal(sign("From: <a@Deep.Other.example>\r\nSubject: x\r\n\r\nbody"), SP_OK);
	assert_int_equal(world.count, 1);
	check_signature(0, KEY_ED25519, "deep.other.example", "any");
	assert_int_equal(sign("From: <\303\266@B\303\234cher.example>\r\n\r\nbody"), SP_OK); /* d= is of A-labels */
	assert_int_equal(world.count, 1);
	check_signature(0, KEY_ED25519, "xn--bcher-kva.example", "any");
	world_free();
}

static void
test_lifetime(void **state)
{
	struct signature s;
	const char *error;

	(void)state;
	world_new();
	assert_int_equal(sign(vector_message), SP_OK);
	assert_int_equal(signature_parse(world.inserted[0], SIGNATURE_DKIM, &s, &error), SP_OK);
	assert_int_equal(s.expires, -1);
	world.conf.lifetime = 86400500;
	assert_int_equal(sign(vector_message), SP_OK);
	assert_int_equal(signature_parse(world.inserted[0], SIGNATURE_DKIM, &s, &error), SP_OK);
	assert_int_equal(s.expires - s.time, 86401);
	world_free();
}

static void
test_unsigned(void **state)
{
	static const struct {
		const char *message, *log;
	} rows[] = {
		{ "Subject: x\r\n\r\n", "there is no From" },
		{ "From: <a@sender.example>\r\nfrom: <a@sender.example>\r\n\r\n", "several From fields" },
		{ "From: <a@sender.example>, <b@sender.example>\r\n\r\n", "names several" },
		{ "From: us: <a@sender.example>;\r\n\r\n", "names several" },
		{ "From: <>\r\n\r\n", "names nobody" },
		{ "From: a@sender.example b\r\n\r\n", "cannot be parsed" },
	};
	char many[4096];
	size_t len;

	(void)state;
	world_new();
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(sign(rows[i].message), SP_OK);
		assert_int_equal(world.count, 0);
		if (strstr(world.box.logs, rows[i].log) == NULL)
			fail_msg("%s: %s", rows[i].message, world.box.logs);
	}
	len = (size_t)snprintf(many, sizeof(many), "From: <a@sender.example>\r\n");
	for (size_t i = 0; i < 250; i++)
		len += (size_t)snprintf(many + len, sizeof(many) - len, "To: <>\r\n");
	assert_int_equal(sign(many), SP_OK);
	assert_int_equal(world.count, 0);
	assert_non_null(strstr(world.box.logs, "too many fields"));
	world_free();
}

static void
test_no_key(void **state)
{
	struct sp_load load = { &world.box };
	char path[128];

	(void)state;
	world_new();
	sign_unload(&world.conf);
	snprintf(path, sizeof(path), "%s/one", folder);
	world.conf.keys = path;
	assert_int_equal(sign_load(&load, &world.host, &world.conf), SP_OK);
	assert_int_equal(sign("From: <a@other.example>\r\n\r\n"), SP_OK);
	assert_int_equal(world.count, 0);
	assert_non_null(strstr(world.box.logs, "no key for other.example"));
	sign_unload(&world.conf);
	world.conf.keys = "/nonexistent/table";
	assert_int_equal(sign_load(&load, &world.host, &world.conf), SP_INVALID);
	assert_non_null(strstr(world.box.errors, "/nonexistent/table:0:0: "));
	world_free();
}

/* What fails is told, so that the message is deferred and never goes out half signed in silence. */
static void
test_failures(void **state)
{
	(void)state;
	world_new();
	world.body_status = SP_SYSTEM;
	assert_int_equal(sign(vector_message), SP_SYSTEM);
	assert_int_equal(world.count, 0);
	assert_non_null(strstr(world.box.logs, "signing failed"));
	world.body_status = SP_OK;
	world.insert_status = SP_LIMIT;
	assert_int_equal(sign(vector_message), SP_LIMIT);
	assert_non_null(strstr(world.box.logs, "signing failed"));
	world_free();
}

/* A large body leaves others their turn, and is given up when the session is. */
static void
test_large(void **state)
{
	enum { SIZE = 1000000 };
	char *text = malloc(SIZE + 1);
	int len;

	(void)state;
	len = snprintf(text, SIZE, "From: <a@sender.example>\r\n\r\n");
	memset(text + len, 'x', (size_t)(SIZE - len));
	text[SIZE] = '\0';
	world_new();
	world.box.piece = 16384;
	assert_int_equal(sign(text), SP_OK);
	assert_int_equal(world.sleeps, 3);
	check_signature(0, KEY_RSA, "sender.example", "rsa");
	world.sleep_status = SP_CANCELED;
	assert_int_equal(sign(text), SP_CANCELED);
	assert_int_equal(world.count, 0);
	world_free();
	free(text);
}

static int
folder_make(void **state)
{
	(void)state;
	if (folder_new() != 0)
		return -1;
	folder_write("rsa.pem", vector_rsa_pem, 0600);
	folder_write("ed.pem", vector_ed25519_pem, 0600);
	folder_write("one", "sender.example ed ed.pem\n", 0600);
	folder_write("table", "sender.example rsa rsa.pem\nsender.example ed ed.pem\n* any ed.pem\n", 0600);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_domains),
		cmocka_unit_test(test_lifetime),
		cmocka_unit_test(test_unsigned),
		cmocka_unit_test(test_no_key),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
