/*
 * secure.c - TLS to the backend.
 */
#include "proxy/relay/relay_priv.h"

enum relay_fault
secure_first(const struct opening *o, struct conn *c)
{
	(void)o;
	(void)c;
	return FAULT_NONE;
}

enum relay_fault
secure_greeted(const struct opening *o, struct conn *c, bool *ret_again)
{
	(void)o;
	(void)c;
	*ret_again = false;
	return FAULT_NONE;
}
