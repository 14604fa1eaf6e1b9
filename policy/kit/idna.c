/*
 * idna.c - see idna.h.  libidn2 does the work on each label beyond ASCII by itself, and its memory is freed here.
 */
#include "policy/kit/idna.h"

#include <idn2.h>
#include <stdio.h>

#include "policy/kit/span.h"
#include "policy/kit/utf8.h"

enum { LABEL_MAX = 63 };

/* A U-label into to: octets written, 0 if it is none. */
static size_t
label_encode(struct sp_span label, char to[static LABEL_MAX + 1])
{
	char text[DOMAIN_OCTETS + 1];
	uint8_t *out = NULL;
	int len = 0;

	if (!utf8_is_plain(label))
		return 0;
	(void)snprintf(text, sizeof(text), "%.*s", (int)label.len, label.ptr);
	if (idn2_lookup_u8((const uint8_t *)text, &out, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK) {
		struct sp_span s = span_str((const char *)out);

		if (s.len <= LABEL_MAX && span_starts(s, SPAN_LIT("xn--")) && span_find(s, '.') == s.len)
			len = snprintf(to, LABEL_MAX + 1, "%s", (const char *)out);
	}
	idn2_free(out);
	return (size_t)len;
}

enum sp_status
idna_fold(struct sp_span name, char to[static DOMAIN_OCTETS], struct sp_span *ret)
{
	char encoded[LABEL_MAX + 1];
	size_t used = 0;

	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	for (size_t at = 0; at < name.len;) {
		struct sp_span rest = span_from(name, at);
		struct sp_span label = span_head(rest, span_find(rest, '.'));

		if (label.len > DOMAIN_OCTETS)
			return SP_LIMIT;
		at += label.len + 1;
		if (!utf8_is_ascii(label)) {
			label = span_of(encoded, label_encode(label, encoded));
			if (label.len == 0)
				return SP_INVALID;
		}
		if (used + label.len + (at <= name.len) > DOMAIN_OCTETS)
			return SP_LIMIT;
		for (size_t i = 0; i < label.len; i++)
			to[used++] = span_lower(label.ptr[i]);
		if (at <= name.len) /* this label was followed by a dot */
			to[used++] = '.';
	}
	*ret = span_of(to, used);
	return SP_OK;
}
