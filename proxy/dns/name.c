/*
 * name.c - the check of names before they are asked (RFC 1035 2.3.4, 3.5; RFC 3596 2.5).
 *
 * The wire engine reads a backslash as an escape, so a name with one is refused: what is asked is
 * always what was checked.  Nothing here allocates.
 */
#include "proxy/dns/name.h"

#include <stdio.h>

#include "policy/kit/span.h"

enum sp_status
dns_name_check(struct sp_span text, struct dns_name *ret)
{
	struct dns_name name = { 0 };
	size_t label = 0;

	if (text.len > 0 && text.ptr[text.len - 1] == '.')
		text.len--;
	if (text.len == 0 || text.len > DNS_NAME_MAX)
		return SP_INVALID;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c < ' ' || c > '~' || c == '\\')
			return SP_INVALID;
		label = c == '.' ? 0 : label + 1;
		if (label > DNS_LABEL_MAX || (c == '.' && (i == 0 || text.ptr[i - 1] == '.')))
			return SP_INVALID;
		name.text[i] = span_lower(c);
	}
	if (label == 0)
		return SP_INVALID;
	name.len = (uint8_t)text.len;
	*ret = name;
	return SP_OK;
}

enum sp_status
dns_name_reverse(const struct sp_ip *ip, struct dns_name *ret)
{
	static const char hex[] = "0123456789abcdef";
	struct dns_name name = { 0 };
	int len = 0;

	if (ip->family == 4) {
		len = snprintf(name.text, sizeof(name.text), "%u.%u.%u.%u.in-addr.arpa", ip->bytes[3],
			ip->bytes[2], ip->bytes[1], ip->bytes[0]);
	} else if (ip->family == 6) {
		for (int i = 15; i >= 0; i--) {
			name.text[len++] = hex[ip->bytes[i] & 15];
			name.text[len++] = '.';
			name.text[len++] = hex[ip->bytes[i] >> 4];
			name.text[len++] = '.';
		}
		len += snprintf(name.text + len, sizeof(name.text) - (size_t)len, "ip6.arpa");
	} else {
		return SP_INVALID;
	}
	name.len = (uint8_t)len;
	*ret = name;
	return SP_OK;
}

bool
dns_label_is_host(struct sp_span label)
{
	for (size_t i = 0; i < label.len; i++) {
		char c = label.ptr[i];

		if (!span_is_alpha(c) && !span_is_digit(c) && c != '-' && c != '_')
			return false;
	}
	return label.len > 0;
}

bool
dns_label_is_visible(struct sp_span label)
{
	for (size_t i = 0; i < label.len; i++)
		if (label.ptr[i] <= ' ' || label.ptr[i] > '~' || label.ptr[i] == '\\' || label.ptr[i] == '.')
			return false;
	return label.len > 0;
}
