/*
 * endpoint.c - the written form of addresses to listen on and to connect to.
 *
 * Strict: host names are those of RFC 1123 section 2.1 (letters, digits, hyphens inside labels, a last
 * label that is not a number), ports plain decimal without leading zeros.
 */
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "policy/kit/span.h"
#include "proxy/net/net_priv.h"

static bool
parse_port(struct sp_span s, uint16_t *ret)
{
	uint64_t n;

	if ((s.len > 1 && s.ptr[0] == '0') || span_to_u64(s, UINT16_MAX, &n) != SP_OK)
		return false;
	*ret = (uint16_t)n;
	return true;
}

static bool
label_ok(struct sp_span s)
{
	if (s.len == 0 || s.len > 63 || s.ptr[0] == '-' || s.ptr[s.len - 1] == '-')
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!span_is_alpha(s.ptr[i]) && !span_is_digit(s.ptr[i]) && s.ptr[i] != '-')
			return false;
	return true;
}

static bool
host_ok(struct sp_span s)
{
	struct sp_span label = { NULL, 0 };
	uint64_t n;

	if (s.len == 0 || s.len > 253)
		return false;
	for (;;) {
		label = span_head(s, span_find(s, '.'));
		if (!label_ok(label))
			return false;
		if (label.len == s.len)
			break;
		s = span_from(s, label.len + 1);
		if (s.len == 0)
			return false; /* a dot at the end */
	}
	return span_to_u64(label, UINT64_MAX, &n) == SP_INVALID;
}

static enum sp_status
parse_unix(struct sp_span path, struct net_endpoint *e)
{
	if (path.len == 0 || path.ptr[0] != '/' || span_find(path, '\0') < path.len ||
		path.len >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return SP_INVALID;
	e->kind = NET_UNIX;
	memcpy(e->text, path.ptr, path.len);
	return SP_OK;
}

/* Splits "host:port", "[v6]:port" or either without its port. */
static bool
split(struct sp_span text, struct sp_span *host, struct sp_span *port, bool *bracketed)
{
	size_t end = span_rfind(text, ']');

	*bracketed = text.len > 0 && text.ptr[0] == '[';
	if (*bracketed) {
		if (end == text.len)
			return false;
		*host = span_from(span_head(text, end), 1);
		*port = span_from(text, end + 1);
	} else {
		end = span_find(text, ':');
		*host = span_head(text, end);
		*port = span_from(text, end);
	}
	return port->len == 0 || port->ptr[0] == ':';
}

static void
print_ip(struct net_endpoint *e)
{
	char ip[46];

	span_from_ip(&e->ip, ip);
	if (e->ip.family == 0)
		snprintf(e->text, sizeof(e->text), "*:%u", e->port);
	else
		snprintf(e->text, sizeof(e->text), e->ip.family == 6 ? "[%s]:%u" : "%s:%u", ip, e->port);
}

enum sp_status
net_endpoint_parse(struct sp_span text, uint16_t default_port, struct net_endpoint *ret)
{
	struct net_endpoint e = { .kind = NET_IP, .port = default_port };
	struct sp_span host, port;
	bool bracketed;

	if (span_starts(text, SPAN_LIT("unix:"))) {
		if (parse_unix(span_from(text, 5), &e) != SP_OK)
			return SP_INVALID;
		e.port = 0;
		*ret = e;
		return SP_OK;
	}
	if (!split(text, &host, &port, &bracketed))
		return SP_INVALID;
	if (port.len == 0 ? default_port == 0 : !parse_port(span_from(port, 1), &e.port))
		return SP_INVALID;
	if (bracketed) {
		if (span_find(host, ':') == host.len || span_to_ip(host, &e.ip) != SP_OK)
			return SP_INVALID;
	} else if (!span_eq(host, SPAN_LIT("*")) && span_to_ip(host, &e.ip) != SP_OK) {
		if (!host_ok(host))
			return SP_INVALID;
		e.kind = NET_HOST;
		memcpy(e.text, host.ptr, host.len);
	}
	if (e.kind == NET_IP)
		print_ip(&e);
	*ret = e;
	return SP_OK;
}

bool
net_endpoint_is_loopback(const struct net_endpoint *e)
{
	static const struct sp_net loopback[] = {
		{ { 4, { 127 } }, 8 },
		{ { 6, { [15] = 1 } }, 128 },
	};

	if (e->kind == NET_UNIX)
		return true;
	return e->kind == NET_IP && (net_has(&loopback[0], &e->ip) || net_has(&loopback[1], &e->ip));
}
