/*
 * fuzz_mailauth_signature.c - a field of a signature of any octets, over a message that it is part of: what is parsed lies
 * within it, and is hashed without a fault.
 */
#include <stdlib.h>

#include "mailauth/signature.h"
#include "mailauth/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_within(struct sp_span s, struct sp_span text)
{
	if (s.len > 0 && (s.ptr < text.ptr || s.ptr + s.len > text.ptr + text.len))
		abort();
}

static struct sp_header
field_of(struct sp_span field)
{
	size_t colon = text_find(field, ':');

	return (struct sp_header){ .name = text_head(field, colon), .value = text_from(field, colon + 1), .field = field };
}

struct message {
	struct sp_header fields[5];
};

static enum sp_status
field_get(void *arg, size_t index, struct sp_header *ret)
{
	const struct message *m = arg;

	if (index >= sizeof(m->fields) / sizeof(*m->fields))
		return SP_NONE;
	*ret = m->fields[index];
	return SP_OK;
}

static void
check(struct sp_span field, enum signature_kind kind)
{
	struct message m = { { field_of(field), field_of(TEXT("From: <a@b.example>")), field_of(TEXT("to : x")),
		field_of(TEXT("To: y")), field_of(TEXT("Subject:")) } };
	struct signature_fields fields = { field_get, &m };
	unsigned char hash[CANON_HASH];
	const char *error = NULL;
	struct signature s;
	struct sp_span value = m.fields[0].value;

	if (signature_parse(value, kind, &s, &error) != SP_OK) {
		if (error == NULL)
			abort();
		return;
	}
	check_within(s.domain, value);
	check_within(s.selector, value);
	check_within(s.names, value);
	check_within(s.identity, value);
	if (!domain_ok(s.domain) || s.b_len == 0 || s.b_len > sizeof(s.b) || s.bh_len > sizeof(s.bh))
		abort();
	if (s.limit < -1 || s.time < -1 || s.expires < -1)
		abort();
	if (signature_hash(&fields, s.names, s.header, field, hash) != SP_OK)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_span field = { (const char *)data, size };

	check(field, SIGNATURE_DKIM);
	check(field, SIGNATURE_ARC_MESSAGE);
	return 0;
}
