/*
 * introduce.c - whose connection it is: what a backend is told of the client.
 */
#include "proxy/relay/relay_priv.h"

bool
introduce_binds(const struct relay_config *config)
{
	(void)config;
	return false;
}

enum relay_fault
introduce_first(const struct opening *o, struct conn *c)
{
	(void)o;
	(void)c;
	return FAULT_NONE;
}

enum relay_fault
introduce_greeted(const struct opening *o, struct conn *c, bool *ret_again)
{
	(void)o;
	(void)c;
	*ret_again = false;
	return FAULT_NONE;
}

enum relay_fault
introduce_mail(struct relay *r, int64_t limit_ms)
{
	(void)r;
	(void)limit_ms;
	return FAULT_NONE;
}
