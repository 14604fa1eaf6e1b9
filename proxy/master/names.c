/*
 * names.c - see names.h. What is no name is an error of the policy, with its place.
 */
#include "proxy/master/names.h"

#include <string.h>
#include <unistd.h>

#include "policy/kit/span.h"
#include "proxy/smtp/address.h"

enum { AUTH_ID_MAX = 255 };

const char *
names_system(struct arena *a)
{
	char name[256];

	if (gethostname(name, sizeof(name)) != 0)
		return "localhost";
	name[sizeof(name) - 1] = '\0';
	return arena_strdup(a, span_str(name));
}

const char *
names_host(const struct names *n, const struct policy_block *b, const char *key)
{
	const char *name = policy_setting_text(b, key, 0).ptr;

	if (name == NULL)
		return names_system(n->arena);
	if (!address_helo_ok(span_str(name)))
		policy_diag_at(n->diag, n->policy, policy_setting_place(b, key), false, "'%s' is no host name", name);
	return name;
}

/* RFC 8601 2.2: a value of RFC 2045, here without the need of quotes. */
static bool
is_token(struct sp_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || strchr("()<>@,;:\\\"/[]?=", s.ptr[i]) != NULL)
			return false;
	return s.len > 0 && s.len <= AUTH_ID_MAX;
}

const char *
names_auth_id(const struct names *n, const struct policy_block *b, const char *hostname)
{
	const char *id = policy_setting_text(b, "authserv-id", 0).ptr;

	if (id == NULL)
		return hostname;
	if (!is_token(span_str(id)))
		policy_diag_at(n->diag, n->policy, policy_setting_place(b, "authserv-id"), false,
			"'%s' cannot name us in Authentication-Results: write a host name, or a word of letters, digits, '.', '-' and '_'", id);
	return id;
}
