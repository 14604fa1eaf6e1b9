/*
 * naming.c - a listener's banner, and whether it goes by the backend's name.
 */
#include "proxy/master/config.h"

#include "policy/kit/span.h"

enum { BANNER_MAX = 200 };

static bool
printable(struct sp_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < ' ' || s.ptr[i] > '~')
			return false;
	return s.len > 0 && s.len <= BANNER_MAX;
}

void
config_naming(const struct config *c, const struct policy_block *b, struct session_config *ret, struct policy_diag *d)
{
	struct sp_span banner = policy_setting_text(b, "banner", 0);

	ret->hostname_backend = policy_setting_count(b, "hostname") > 0 &&
		span_eq(policy_setting_text(b, "hostname", 0), SPAN_LIT("backend"));
	ret->received = policy_setting_int(b, "received") != 0;
	ret->banner_backend = span_eq(banner, SPAN_LIT("backend"));
	ret->banner = ret->banner_backend ? "ESMTP" : banner.ptr;
	if (!printable(banner))
		policy_diag_at(d, c->policy, policy_setting_place(b, "banner"), false,
			"a banner is printable ASCII, at most %d octets", BANNER_MAX);
}
