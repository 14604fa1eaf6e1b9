/*
 * mailauth_signature.c - signatures: the examples of RFC 6376 and 8463, those that dkimpy made, our own; each fault in one.
 */
#include "tests/unit/filter_host.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <time.h>

#include "mailauth/keytable.h"
#include "mailauth/signature.h"
#include "mailauth/text.h"
#include "tests/unit/mailauth_vectors.h"

/* ---- a message ------------------------------------------------------------------------------------------- */

static struct box box; /* its fields and body only */

static void
message_set(struct sp_span text)
{
	memset(&box, 0, sizeof(box));
	box_set_message(&box, text);
}

static enum sp_status
field_get(void *arg, size_t index, struct sp_header *ret)
{
	return box_header_get(arg, index, ret);
}

static const struct signature_fields fields = { field_get, &box };

static void
body_hash(enum canon form, int64_t limit, unsigned char hash[static EVP_MAX_MD_SIZE])
{
	struct canon_body body;
	size_t len;

	assert_int_equal(canon_body_init(&body, EVP_sha256(), form, limit), SP_OK);
	canon_body_add(&body, box.body);
	assert_int_equal(canon_body_end(&body, hash, &len), SP_OK);
	canon_body_fini(&body);
}

/* Is this signature, a field of the message, right by this record? */
static bool
verified(const struct sp_header *own, struct sp_span record)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	const char *error;
	struct signature s;
	struct key k;
	bool right;

	if (signature_parse(own->value, SIGNATURE_DKIM, &s, &error) != SP_OK)
		fail_msg("not parsed: %s", error);
	body_hash(s.body, s.limit, hash);
	right = s.bh_len == CANON_HASH && memcmp(s.bh, hash, CANON_HASH) == 0;
	assert_int_equal(signature_hash(&fields, s.names, s.header, own->field, hash), SP_OK);
	assert_int_equal(key_parse(record, &k), KEY_OK);
	right = right && signature_verify(k.pkey, s.type, hash, s.b, s.b_len);
	key_fini(&k);
	assert_int_equal(ERR_peek_error(), 0);
	return right;
}

/* ---- dkimpy's -------------------------------------------------------------------------------------------- */

static struct sp_span
record_of(const struct sp_header *own)
{
	const char *error;
	struct signature s;

	assert_int_equal(signature_parse(own->value, SIGNATURE_DKIM, &s, &error), SP_OK);
	return s.type == KEY_RSA ? text_of(vector_rsa_record) : text_of(vector_ed25519_record);
}

static void
test_dkimpy(void **state)
{
	char text[4096];

	(void)state;
	assert_int_equal(VECTORS, 8);
	for (size_t i = 0; i < VECTORS; i++) {
		int len = snprintf(text, sizeof(text), "%s%s", vector_signatures[i], vector_message);

		message_set((struct sp_span){ text, (size_t)len });
		if (!verified(&box.fields[0], record_of(&box.fields[0])))
			fail_msg("signature %zu", i);
	}
}

/* Any octet of the message that a signature is over changed, it is right no more. */
static void
test_dkimpy_changed(void **state)
{
	char text[4096];

	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		size_t len = (size_t)snprintf(text, sizeof(text), "%s%s", vector_signatures[i], vector_message);
		char *const at[] = { strstr(text, "post@"), strstr(text, "one@"), strstr(text, "Sun, 22 Nov 2026 09:00:00 +0000\r\nMIME"),
			strstr(text, "gr=C3"), strstr(text, ".dot"),
			strstr(text, "here"), strstr(text, " bh=") + 5, strstr(text, "t=1795339847") + 2 };

		for (size_t n = 0; n < sizeof(at) / sizeof(*at); n++) {
			*at[n] ^= 1;
			message_set((struct sp_span){ text, len });
			if (verified(&box.fields[0], record_of(&box.fields[0])))
				fail_msg("signature %zu, change %zu", i, n);
			*at[n] ^= 1;
		}
	}
}

/* Fields are taken from the bottom up; what is listed once more than it is there may not be added. */
static void
test_dkimpy_fields(void **state)
{
	static const struct {
		const char *above, *below;
		bool right;
	} rows[] = {
		{ "", "", true },
		{ "X-Other: 1\r\n", "X-Last: 1\r\n", true },
		{ "Received: x\r\n", "", true },
		{ "To: above@rcpt.example\r\n", "", true }, /* two were signed, this is a third */
		{ "", "To: below@rcpt.example\r\n", false },
		{ "From: <a@b.example>\r\n", "", false },
		{ "", "From: <a@b.example>\r\n", false },
		{ "REPLY-TO: <a@b.example>\r\n", "", false },
		{ "Subject: above\r\n", "", true },
		{ "", "Subject: below\r\n", false },
	};
	char text[4096];

	(void)state;
	for (size_t i = 0; i < VECTORS; i++)
		for (size_t n = 0; n < sizeof(rows) / sizeof(*rows); n++) {
			const char *end = strstr(vector_message, "\r\n\r\n") + 2;
			int len = snprintf(text, sizeof(text), "%s%s%.*s%s%s", rows[n].above, vector_signatures[i],
				(int)(end - vector_message), vector_message, rows[n].below, end);
			size_t own = 0;

			message_set((struct sp_span){ text, (size_t)len });
			while (!text_is(box.fields[own].name, TEXT("DKIM-Signature")))
				own++;
			if (verified(&box.fields[own], record_of(&box.fields[own])) != rows[n].right)
				fail_msg("signature %zu, fields %zu", i, n);
		}
}

/* A signature that names its own kind of field is over others of that kind, never over itself. */
static void
test_own_name(void **state)
{
	unsigned char hash[CANON_HASH], want[CANON_HASH];
	struct sp_span own, names = TEXT("from:dkim-signature:dkim-signature");

	(void)state;
	message_set(TEXT("From: a\r\nDKIM-Signature: other\r\n\r\n"));
	own = TEXT("DKIM-Signature: b=");
	assert_int_equal(signature_hash(&fields, names, CANON_RELAXED, own, want), SP_OK);
	message_set(TEXT("From: a\r\nDKIM-Signature: b=abc\r\nDKIM-Signature: other\r\n\r\n"));
	assert_int_equal(signature_hash(&fields, names, CANON_RELAXED, box.fields[1].field, hash), SP_OK);
	assert_memory_equal(hash, want, CANON_HASH);
}

/* ---- the RFCs' ------------------------------------------------------------------------------------------- */

static size_t
file_read(const char *path, char *memory, size_t max)
{
	FILE *f = fopen(path, "rb");
	size_t len;

	if (f == NULL)
		return 0;
	len = fread(memory, 1, max - 1, f);
	fclose(f);
	memory[len] = '\0';
	return len;
}

/* LF becomes CR LF where it is not one already. */
static struct sp_span
message_read(const char *path)
{
	static char raw[16384], text[32768];
	size_t len = file_read(path, raw, sizeof(raw)), to = 0;

	for (size_t i = 0; i < len; i++) {
		if (raw[i] == '\n' && (i == 0 || raw[i - 1] != '\r'))
			text[to++] = '\r';
		text[to++] = raw[i];
	}
	return (struct sp_span){ text, to };
}

/* The first text of a name in dns.json, which has one text each. */
static struct sp_span
record_find(const char *json, const struct signature *s)
{
	char name[600];
	const char *at;

	snprintf(name, sizeof(name), "\"%.*s._domainkey.%.*s\":", (int)s->selector.len, s->selector.ptr,
		(int)s->domain.len, s->domain.ptr);
	at = strstr(json, name);
	assert_non_null(at);
	at = strstr(at, "[");
	assert_non_null(at);
	at = strchr(at, '"');
	assert_non_null(at);
	return (struct sp_span){ at + 1, strcspn(at + 1, "\"") };
}

/* All signatures of a message, which are to be right. */
static size_t
check_file(const char *folder, const char *name)
{
	static char json[32768];
	char path[512];
	size_t count = 0;

	snprintf(path, sizeof(path), "%s/%s/dns.json", SALLYPORT_DATA, folder);
	if (file_read(path, json, sizeof(json)) == 0) {
		print_message("skipped: there is no %s\n", path);
		skip();
	}
	snprintf(path, sizeof(path), "%s/%s/%s", SALLYPORT_DATA, folder, name);
	message_set(message_read(path));
	for (size_t i = 0; i < box.field_count; i++) {
		const char *error;
		struct signature s;

		if (!text_same(box.fields[i].name, TEXT("DKIM-Signature")))
			continue;
		if (signature_parse(box.fields[i].value, SIGNATURE_DKIM, &s, &error) != SP_OK)
			fail_msg("%s: %s", name, error);
		if (!verified(&box.fields[i], record_find(json, &s)))
			fail_msg("%s: field %zu", name, i);
		count++;
	}
	return count;
}

static void
test_rfc_examples(void **state)
{
	(void)state;
	assert_int_equal(check_file("dkim-rfc-examples", "unsigned.eml"), 0);
	assert_int_equal(check_file("dkim-rfc-examples", "verified.eml"), 1);
	assert_int_equal(check_file("dkim-rfc-examples", "verifiedRawRSA.eml"), 1);
	assert_int_equal(check_file("dkim-rfc-examples", "verifiedEd25519.eml"), 2);
	assert_int_equal(check_file("dkim-rfc-examples", "tooManySignatures.eml"), 3);
}

static void
test_dkimpy_files(void **state)
{
	(void)state;
	assert_int_equal(check_file("dkim-dkimpy", "data/rfc6376.signed.msg"), 2);
	assert_int_equal(check_file("dkim-dkimpy", "data/ed25519test2.msg"), 1);
}

/* ---- our own --------------------------------------------------------------------------------------------- */

static EVP_PKEY *
private_key(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

	assert_non_null(pkey);
	BIO_free(bio);
	return pkey;
}

/* No line longer than 78, none of blanks only, and nothing but CR LF before each tab. */
static void
check_lines(const char *name, struct sp_span value)
{
	struct sp_span line;
	size_t before = strlen(name) + 2;

	while (text_cut(&value, '\n', &line)) {
		if (value.ptr != NULL) {
			assert_true(line.len > 0 && line.ptr[line.len - 1] == '\r' && value.len > 1);
			assert_int_equal(value.ptr[0], '\t');
			line.len--;
		}
		if (line.len + before > 78)
			fail_msg("too long: %.*s", (int)line.len, line.ptr);
		assert_true(text_trim(line).len > 0);
		assert_true(text_find(line, '\r') == line.len && line.ptr[line.len - 1] != ' ');
		before = 7; /* a tab is 8 columns */
	}
}

static void
sign_and_verify(const struct keytable_key *key, enum canon header, enum canon body, int64_t expires)
{
	char names[4096], value[4096], text[8192];
	unsigned char hash[EVP_MAX_MD_SIZE];
	struct signing s = { .key = key, .domain = TEXT("sender.example"), .header = header, .body = body,
		.body_hash = hash, .time = 1795339847, .expires = expires, .kind = SIGNATURE_DKIM, .field = "DKIM-Signature" };
	struct signature parsed;
	struct sp_span out;
	const char *error;
	int len;

	message_set(text_of(vector_message));
	assert_int_equal(signing_names(&fields, NULL, names, sizeof(names), &s.names), SP_OK);
	body_hash(body, -1, hash);
	assert_int_equal(signing_make(&s, &fields, value, sizeof(value), &out), SP_OK);
	check_lines(s.field, out);
	if (signature_parse(out, SIGNATURE_DKIM, &parsed, &error) != SP_OK)
		fail_msg("%s", error);
	assert_true(parsed.type == key->type && !parsed.sha1 && parsed.header == header && parsed.body == body);
	assert_true(text_is(parsed.domain, s.domain) && text_is(parsed.selector, key->selector));
	assert_true(parsed.limit == -1 && parsed.time == s.time && parsed.expires == expires);
	len = snprintf(text, sizeof(text), "DKIM-Signature: %.*s\r\n%s", (int)out.len, out.ptr, vector_message);
	message_set((struct sp_span){ text, (size_t)len });
	assert_true(verified(&box.fields[0], record_of(&box.fields[0])));
	text[len - 20] ^= 1;
	assert_false(verified(&box.fields[0], record_of(&box.fields[0])));
	text[len - 20] ^= 1;
	/* what was signed cannot be had twice */
	memcpy(strstr(text, "Received:"), "Reply-To:", 9);
	message_set((struct sp_span){ text, (size_t)len });
	assert_false(verified(&box.fields[0], record_of(&box.fields[0])));
}

static void
test_signing(void **state)
{
	struct keytable_key keys[] = {
		{ .selector = TEXT("rsa"), .type = KEY_RSA, .pkey = private_key(vector_rsa_pem) },
		{ .selector = TEXT("ed"), .type = KEY_ED25519, .pkey = private_key(vector_ed25519_pem) },
	};

	(void)state;
	for (unsigned n = 0; n < 16; n++)
		sign_and_verify(&keys[n & 1], n & 2 ? CANON_RELAXED : CANON_SIMPLE, n & 4 ? CANON_RELAXED : CANON_SIMPLE,
			n & 8 ? 1795339848 : -1);
	EVP_PKEY_free(keys[0].pkey);
	EVP_PKEY_free(keys[1].pkey);
}

/* A key that does not fit, no room: a status, no signature. */
static void
test_signing_faults(void **state)
{
	struct keytable_key key = { .selector = TEXT("ed"), .type = KEY_ED25519, .pkey = private_key(vector_ed25519_pem) };
	char value[4096];
	unsigned char hash[EVP_MAX_MD_SIZE] = { 0 };
	struct signing s = { .key = &key, .domain = TEXT("sender.example"), .names = TEXT("from"), .body_hash = hash,
		.time = 1, .expires = -1, .kind = SIGNATURE_DKIM, .field = "DKIM-Signature" };
	struct sp_span out;

	(void)state;
	message_set(text_of(vector_message));
	assert_int_equal(signing_make(&s, &fields, value, sizeof(value), &out), SP_OK);
	assert_int_equal(signing_make(&s, &fields, value, out.len, &out), SP_OK);
	assert_int_equal(signing_make(&s, &fields, value, out.len - 1, &out), SP_LIMIT);
	assert_int_equal(signature_make(key.pkey, KEY_ED25519, hash, value, 88, &out), SP_OK);
	assert_int_equal(out.len, 88);
	assert_int_equal(signature_make(key.pkey, KEY_ED25519, hash, value, 87, &out), SP_LIMIT);
	assert_int_equal(signature_make(key.pkey, KEY_RSA, hash, value, sizeof(value), &out), SP_SYSTEM);
	assert_int_equal(signature_make(NULL, KEY_RSA, hash, value, sizeof(value), &out), SP_SYSTEM);
	assert_false(signature_verify(key.pkey, KEY_RSA, hash, hash, 64));
	assert_false(signature_verify(key.pkey, KEY_ED25519, hash, hash, 64));
	assert_false(signature_verify(key.pkey, KEY_ED25519, hash, hash, 0));
	assert_int_equal(ERR_peek_error(), 0);
	EVP_PKEY_free(key.pkey);
}

static void
test_arc_signing(void **state)
{
	struct keytable_key key = { .selector = TEXT("ed"), .type = KEY_ED25519, .pkey = private_key(vector_ed25519_pem) };
	char value[4096];
	unsigned char hash[EVP_MAX_MD_SIZE] = { 0 };
	struct signing s = { .key = &key, .domain = TEXT("sender.example"), .header = CANON_RELAXED, .body = CANON_RELAXED,
		.names = TEXT("from:to"), .body_hash = hash, .time = 1, .expires = -1, .kind = SIGNATURE_ARC_MESSAGE,
		.instance = 12, .field = "ARC-Message-Signature" };
	struct signature parsed;
	struct sp_span out;
	const char *error;

	(void)state;
	message_set(text_of(vector_message));
	assert_int_equal(signing_make(&s, &fields, value, sizeof(value), &out), SP_OK);
	check_lines(s.field, out);
	assert_true(text_is(text_head(out, 6), TEXT("i=12; ")));
	assert_int_equal(signature_parse(out, SIGNATURE_DKIM, &parsed, &error), SP_INVALID);
	assert_int_equal(signature_parse(out, SIGNATURE_ARC_MESSAGE, &parsed, &error), SP_OK);
	assert_true(text_is(parsed.identity, TEXT("12")));
	EVP_PKEY_free(key.pkey);
}

/* ---- names ----------------------------------------------------------------------------------------------- */

static void
test_names(void **state)
{
	static const char *const extra[] = { "dkim-signature", "x-mark", NULL };
	char names[4096];
	struct sp_span got;

	(void)state;
	message_set(TEXT("Received: x\r\nFROM: a\r\nX-Mark: 1\r\nTo: b\r\nAuthentication-Results: x\r\nto: c\r\n"
			 "List-Id: l\r\nX-Mark: 2\r\nX-Other: 3\r\n\r\n"));
	assert_int_equal(signing_names(&fields, extra, names, sizeof(names), &got), SP_OK);
	assert_int_equal(got.len, strlen("from:from:to:to:to:cc:subject:date:reply-to:message-id:mime-version:content-type:"
					 "content-transfer-encoding:in-reply-to:references:list-id:x-mark:x-mark"));
	assert_memory_equal(got.ptr, "from:from:to:to:to:cc:subject:date:reply-to:message-id:mime-version:content-type:"
				     "content-transfer-encoding:in-reply-to:references:list-id:x-mark:x-mark", got.len);
	assert_int_equal(signing_names(&fields, extra, names, got.len - 1, &got), SP_LIMIT);
}

/* No more names than signature_hash() takes. */
static void
test_names_limit(void **state)
{
	static char text[8192];
	char names[4096];
	struct sp_span got;
	unsigned char hash[CANON_HASH];

	(void)state;
	for (size_t count = 240; count < 250; count++) {
		enum sp_status st;
		size_t len = 0;

		for (size_t i = 0; i < count; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "To: a\r\n");
		message_set((struct sp_span){ text, len });
		st = signing_names(&fields, NULL, names, sizeof(names), &got);
		assert_int_equal(st, count + 12 <= SIGNATURE_FIELDS_MAX ? SP_OK : SP_LIMIT);
		if (st == SP_OK)
			assert_int_equal(signature_hash(&fields, got, CANON_RELAXED, TEXT("S: b="), hash), SP_OK);
	}
	memset(names, ':', SIGNATURE_FIELDS_MAX);
	got = (struct sp_span){ names, SIGNATURE_FIELDS_MAX - 1 };
	assert_int_equal(signature_hash(&fields, got, CANON_RELAXED, TEXT("S: b="), hash), SP_OK);
	got.len++;
	assert_int_equal(signature_hash(&fields, got, CANON_RELAXED, TEXT("S: b="), hash), SP_INVALID);
}

/* Names that a sender has made up so that they are hard to tell apart: 7 pairs of octets of the same sum each. */
static size_t
hard_name(char *to, size_t number)
{
	static const char pairs[4][3] = { "a~", "b_", "c@", "d!" };

	for (size_t i = 0; i < 7; i++, number /= 4)
		memcpy(to + 2 * i, pairs[number % 4], 2);
	return 14;
}

enum { HARD_FIELDS = 9000 };

static enum sp_status
hard_get(void *arg, size_t index, struct sp_header *ret)
{
	static char field[] = "..............: 1";

	(void)arg;
	if (index == HARD_FIELDS)
		return SP_NONE;
	hard_name(field, index);
	*ret = (struct sp_header){ .name = { field, 14 }, .field = { field, sizeof(field) - 1 }, .index = index };
	return SP_OK;
}

/* 256 names, none of which is there: 22 of these are the most that one message can ask for (by ARC, without c=). */
static void
test_hard_names(void **state)
{
	const struct signature_fields hard = { hard_get, NULL };
	char names[SIGNATURE_FIELDS_MAX * 15];
	unsigned char hash[CANON_HASH];
	struct timespec before, behind;
	size_t len = 0;
	long ms;

	(void)state;
	for (size_t i = 0; i < SIGNATURE_FIELDS_MAX; i++) {
		len += hard_name(names + len, 16000 - i);
		names[len++] = ':';
	}
	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before), 0);
	for (size_t i = 0; i < 22; i++)
		assert_int_equal(signature_hash(&hard, (struct sp_span){ names, len - 1 }, CANON_RELAXED, TEXT("S: b="), hash),
			SP_OK);
	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &behind), 0);
	ms = (behind.tv_sec - before.tv_sec) * 1000 + (behind.tv_nsec - before.tv_nsec) / 1000000;
	if (ms > 500) /* 22 are usual, 100 with AddressSanitizer; names by fields would be ten times that */
		fail_msg("%ld ms", ms);
}

/* ---- reading --------------------------------------------------------------------------------------------- */

#define BH "bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define REST "; b=YWJj; " BH

static void
test_parse(void **state)
{
	static const struct {
		const char *value;
		enum signature_kind kind;
		const char *fault; /* null: none */
	} rows[] = {
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from" REST, SIGNATURE_DKIM, NULL },
		{ " v=1;\r\n\ta=rsa-sha256;\r\n d=a.example;s=s;h = to :\r\n From::" REST " ;", SIGNATURE_DKIM, NULL },
		{ "v=1; a=rsa-sha256; c=relaxed; q=dns/txt; d=a.example; s=x.y; h=from; t=1; x=2; l=0; z=a" REST, SIGNATURE_DKIM, NULL },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from; i=u@a.example" REST, SIGNATURE_DKIM, NULL },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from; i=\"a@b\"@x.A.example" REST, SIGNATURE_DKIM, NULL },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from; l=99999999999999999999999999; x=99999999999999999999999" REST, SIGNATURE_DKIM, NULL },
		{ "v=1; a=rsa-sha1; d=a.example; s=s; h=from; b=YQ==; bh=2jmj7l5rSw0yVb/vlWAYkK/YBwk=", SIGNATURE_DKIM, NULL },
		{ "", SIGNATURE_DKIM, "list of tags" },
		{ "v=1; v=1; a=rsa-sha256; d=a.example; s=s; h=from" REST, SIGNATURE_DKIM, "list of tags" },
		{ "a=rsa-sha256; d=a.example; s=s; h=from" REST, SIGNATURE_DKIM, "v=" },
		{ "v=0.5; a=rsa-sha256; d=a.example; s=s; h=from" REST, SIGNATURE_DKIM, "v=" },
		{ "v=1; d=a.example; s=s; h=from" REST, SIGNATURE_DKIM, "a=" },
		{ "v=1; a=; d=a.example; s=s; h=from" REST, SIGNATURE_DKIM, "a=" },
		{ "v=1; a=rsa-md5; d=a.example; s=s; h=from" REST, SIGNATURE_DKIM, "a=" },
		{ "v=1; a=ed25519-sha1; d=a.example; s=s; h=from" REST, SIGNATURE_DKIM, "a=" },
		{ "v=1; a=rsa-sha256; c=; d=a.example; s=s; h=from" REST, SIGNATURE_DKIM, "c=" },
		{ "v=1; a=rsa-sha256; c=relaxed/; d=a.example; s=s; h=from" REST, SIGNATURE_DKIM, "c=" },
		{ "v=1; a=rsa-sha256; c=nofws/simple; d=a.example; s=s; h=from" REST, SIGNATURE_DKIM, "c=" },
		{ "v=1; a=rsa-sha256; s=s; h=from" REST, SIGNATURE_DKIM, "d=" },
		{ "v=1; a=rsa-sha256; d=; s=s; h=from" REST, SIGNATURE_DKIM, "d=" },
		{ "v=1; a=rsa-sha256; d=a.example'b.example; s=s; h=from" REST, SIGNATURE_DKIM, "d=" }, /* CASES H04 */
		{ "v=1; a=rsa-sha256; d=a.example(.b.example; s=s; h=from" REST, SIGNATURE_DKIM, "d=" },
		{ "v=1; a=rsa-sha256; d=a..example; s=s; h=from" REST, SIGNATURE_DKIM, "d=" },
		{ "v=1; a=rsa-sha256; d=a.example; h=from" REST, SIGNATURE_DKIM, "s=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=; h=from" REST, SIGNATURE_DKIM, "s=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s.; h=from" REST, SIGNATURE_DKIM, "s=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s%t; h=from" REST, SIGNATURE_DKIM, "s=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s" REST, SIGNATURE_DKIM, "h=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=" REST, SIGNATURE_DKIM, "h=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=to:fromm" REST, SIGNATURE_DKIM, "From" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from:to cc" REST, SIGNATURE_DKIM, "h=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from; i=a.example" REST, SIGNATURE_DKIM, "i=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from; i=@b.example" REST, SIGNATURE_DKIM, "i=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from; i=@xa.example" REST, SIGNATURE_DKIM, "i=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from; l=-1" REST, SIGNATURE_DKIM, "l=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from; l=" REST, SIGNATURE_DKIM, "l=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from; t=1k" REST, SIGNATURE_DKIM, "t=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from; t=99999999999999999999999x" REST, SIGNATURE_DKIM, "t=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from; x=1 2" REST, SIGNATURE_DKIM, "x=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from; t=2; x=2" REST, SIGNATURE_DKIM, "x=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from; q=http" REST, SIGNATURE_DKIM, "q=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from; " BH, SIGNATURE_DKIM, "b=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from; b=; " BH, SIGNATURE_DKIM, "b=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from; b=YWJ; " BH, SIGNATURE_DKIM, "b=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from; b=YWJj", SIGNATURE_DKIM, "bh=" },
		{ "v=1; a=rsa-sha256; d=a.example; s=s; h=from; b=YWJj; bh=YWJj", SIGNATURE_DKIM, "bh=" },
		{ "v=1; a=rsa-sha1; d=a.example; s=s; h=from" REST, SIGNATURE_DKIM, "bh=" },
		{ "i=1; a=rsa-sha256; d=a.example; s=s; h=" REST, SIGNATURE_ARC_MESSAGE, NULL },
		{ "i=x; a=rsa-sha256; d=a.example; s=s; h=to::cc" REST, SIGNATURE_ARC_MESSAGE, NULL },
		{ "i=; a=rsa-sha256; d=a.example; s=s; h=to" REST, SIGNATURE_ARC_MESSAGE, "i=" },
		{ "a=rsa-sha256; d=a.example; s=s; h=to" REST, SIGNATURE_ARC_MESSAGE, "i=" },
		{ "i=1; a=rsa-sha256; d=a.example; s=s; h=to:ARC-Seal" REST, SIGNATURE_ARC_MESSAGE, "ARC-Seal" },
	};
	struct signature s;
	const char *error;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		enum sp_status st;

		error = NULL;
		st = signature_parse(text_of(rows[i].value), rows[i].kind, &s, &error);
		if (st != (rows[i].fault == NULL ? SP_OK : SP_INVALID))
			fail_msg("%s: %s", rows[i].value, error != NULL ? error : "taken");
		if (st != SP_OK && strstr(error, rows[i].fault) == NULL)
			fail_msg("%s: '%s'", rows[i].value, error);
	}
}

static void
test_parse_values(void **state)
{
	char value[2048];
	struct signature s;
	const char *error;
	size_t len;

	(void)state;
	assert_int_equal(signature_parse(TEXT("v=1; a=ed25519-sha256; c=relaxed; d=A.example; s=x.y; h=from :\r\n\tto; "
					      "l=5; t=1; x=99999999999999999999999; i=u@b.a.example" REST),
				 SIGNATURE_DKIM, &s, &error), SP_OK);
	assert_true(s.type == KEY_ED25519 && !s.sha1 && s.header == CANON_RELAXED && s.body == CANON_SIMPLE);
	assert_true(text_is(s.domain, TEXT("A.example")) && text_is(s.selector, TEXT("x.y")));
	assert_true(text_is(s.names, TEXT("from :\r\n\tto")) && text_is(s.identity, TEXT("u@b.a.example")));
	assert_true(s.limit == 5 && s.time == 1 && s.expires == INT64_MAX);
	assert_int_equal(s.b_len, 3);
	assert_memory_equal(s.b, "abc", 3);
	assert_int_equal(s.bh_len, CANON_HASH);

	/* names at their limit, and one more */
	for (size_t extra = 0; extra < 2; extra++) {
		len = (size_t)snprintf(value, sizeof(value), "v=1; a=rsa-sha256; d=a.example; s=s" REST "; h=from");
		for (size_t i = 1; i < SIGNATURE_FIELDS_MAX + extra; i++)
			len += (size_t)snprintf(value + len, sizeof(value) - len, ":a");
		assert_int_equal(signature_parse((struct sp_span){ value, len }, SIGNATURE_DKIM, &s, &error),
			extra == 0 ? SP_OK : SP_INVALID);
	}
	/* b= at its limit, and one more */
	for (size_t digits = SIGNATURE_B64_MAX / 3 * 4; digits < SIGNATURE_B64_MAX / 3 * 4 + 8; digits += 4) {
		len = (size_t)snprintf(value, sizeof(value), "v=1; a=rsa-sha256; d=a.example; s=s; h=from; " BH "; b=");
		memset(value + len, 'A', digits);
		len += digits;
		assert_int_equal(signature_parse((struct sp_span){ value, len }, SIGNATURE_DKIM, &s, &error),
			digits / 4 * 3 <= SIGNATURE_B64_MAX ? SP_OK : SP_INVALID);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dkimpy),
		cmocka_unit_test(test_dkimpy_changed),
		cmocka_unit_test(test_dkimpy_fields),
		cmocka_unit_test(test_own_name),
		cmocka_unit_test(test_rfc_examples),
		cmocka_unit_test(test_dkimpy_files),
		cmocka_unit_test(test_signing),
		cmocka_unit_test(test_signing_faults),
		cmocka_unit_test(test_arc_signing),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_names_limit),
		cmocka_unit_test(test_hard_names),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
