/*
 * span.h - working with struct sp_span, bytes with a length.  Nothing here allocates.
 */
#ifndef POLICY_KIT_SPAN_H
#define POLICY_KIT_SPAN_H

#include <string.h>

#include <sallyport/filter.h>

#define SPAN_LIT(s) ((struct sp_span){ "" s, sizeof(s) - 1 })

static inline struct sp_span
span_of(const char *ptr, size_t len)
{
	return (struct sp_span){ ptr, len };
}

static inline struct sp_span
span_str(const char *s)
{
	return (struct sp_span){ s, s != NULL ? strlen(s) : 0 };
}

/* The part from start on; empty when start is past the end. */
static inline struct sp_span
span_from(struct sp_span s, size_t start)
{
	return start >= s.len ? (struct sp_span){ NULL, 0 }
			      : (struct sp_span){ s.ptr + start, s.len - start };
}

/* At most len bytes of the front. */
static inline struct sp_span
span_head(struct sp_span s, size_t len)
{
	return (struct sp_span){ s.ptr, len < s.len ? len : s.len };
}

/* ASCII only, whatever the locale. */
static inline char
span_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static inline bool
span_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
span_is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool span_eq(struct sp_span a, struct sp_span b);
bool span_ieq(struct sp_span a, struct sp_span b); /* ASCII case folded */
/* <0, 0, >0 by bytes, then by length. */
int span_cmp(struct sp_span a, struct sp_span b);
bool span_starts(struct sp_span s, struct sp_span prefix);
bool span_istarts(struct sp_span s, struct sp_span prefix);
bool span_iends(struct sp_span s, struct sp_span suffix);
/* Offset of the first c, or s.len. */
size_t span_find(struct sp_span s, char c);
size_t span_rfind(struct sp_span s, char c); /* of the last c, or s.len */
/* Without spaces and tabs at both ends. */
struct sp_span span_trim(struct sp_span s);

/* The whole span as decimal digits, no sign: SP_OK, SP_INVALID (empty, other bytes), SP_LIMIT (> max). */
enum sp_status span_to_u64(struct sp_span s, uint64_t max, uint64_t *ret);

/* "192.0.2.1" or "2001:db8::1": SP_OK or SP_INVALID. ::ffff:a.b.c.d becomes IPv4. */
enum sp_status span_to_ip(struct sp_span s, struct sp_ip *ret);
/* "192.0.2.0/24", "::/0", or a bare address. SP_INVALID also when bits beyond the prefix are set. */
enum sp_status span_to_net(struct sp_span s, struct sp_net *ret);
/* Writes at most 46 bytes with the ending NUL and returns text's span; family 0 gives "unknown". */
struct sp_span span_from_ip(const struct sp_ip *ip, char text[static 46]);
bool ip_eq(const struct sp_ip *a, const struct sp_ip *b);
bool net_has(const struct sp_net *net, const struct sp_ip *ip);

#endif
