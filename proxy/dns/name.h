/*
 * name.h - domain names as they are asked for.
 */
#ifndef PROXY_DNS_NAME_H
#define PROXY_DNS_NAME_H

#include <sallyport/filter.h>

enum { DNS_NAME_MAX = 253, DNS_LABEL_MAX = 63 };

/* A name that can be asked: lower case, no trailing dot, NUL-ended. */
struct dns_name {
	uint8_t len;
	char text[DNS_NAME_MAX + 1];
};

/* Labels 1-63 octets, the whole at most 253 (RFC 1035 2.3.4), printable ASCII without backslash; a blank is an octet
 * like others (RFC 2181 11; SPF asks for such names).  One trailing dot is taken off. SP_INVALID. */
enum sp_status dns_name_check(struct sp_span text, struct dns_name *ret);
/* The name under in-addr.arpa or ip6.arpa. SP_INVALID: family 0. */
enum sp_status dns_name_reverse(const struct sp_ip *ip, struct dns_name *ret);
/* May it stand in a header, a log line or a reply as the name of a host: letters, digits, hyphen,
 * underscore? */
bool dns_label_is_host(struct sp_span label);
/* Can it be asked for, and is it visible? A dot inside is not. */
bool dns_label_is_visible(struct sp_span label);

#endif
