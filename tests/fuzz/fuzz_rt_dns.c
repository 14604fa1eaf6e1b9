/*
 * fuzz_rt_dns.c - any octets as the answer to a question. The first octet chooses the question.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "proxy/dns/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum dns_type types[] = { DNS_A, DNS_AAAA, DNS_MX, DNS_PTR, DNS_TXT };
enum { TYPES = sizeof(types) / sizeof(types[0]) };

static void
record_check(enum dns_type type, const struct dns_record *r)
{
	switch (type) {
	case DNS_A:
		MUST(r->data.len == 4);
		break;
	case DNS_AAAA:
		MUST(r->data.len == 16);
		break;
	case DNS_MX:
	case DNS_PTR:
		MUST(r->data.len <= DNS_NAME_MAX && (type == DNS_MX || r->data.len > 0));
		for (size_t i = 0; i < r->data.len; i++)
			MUST(r->data.ptr[i] == '.' || dns_label_is_host(span_of(&r->data.ptr[i], 1)));
		break;
	default:
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_answer a;
	struct dns_name name;
	struct dns_record r;
	struct sp_span packed;
	enum dns_type type;
	size_t count = 0;

	if (size == 0)
		return 0;
	type = types[data[0] % TYPES];
	MUST(dns_name_check(data[0] & 0x80 ? SPAN_LIT("a") : SPAN_LIT("www.example.org"), &name) == SP_OK);
	dns_answer_init(&a);
	dns_answer_parse(&a, span_of((const char *)data + 1, size - 1), &name, type);
	packed = buf_span(&a.records);
	for (; dns_record_next(&packed, &r); count++)
		record_check(type, &r);
	MUST(count == a.count && count <= DNS_RECORDS_MAX);
	MUST((a.status == SP_OK) == (count > 0));
	MUST(a.status == SP_OK || a.status == SP_NONE || (a.status == SP_TEMPFAIL && a.ttl == 0));
	MUST(a.ttl <= DNS_TTL_MAX);
	dns_answer_fini(&a);
	return 0;
}
