/*
 * sasl.h - what passes by in an AUTH exchange: base64, and who the client says he is (RFC 4954; RFC 4422).
 *
 * Nothing is verified here: the backend does that.  The name is taken from the answers strictly, so that it is the one that the
 * backend takes from them too; answers of which two readings are possible are refused.
 */
#ifndef PROXY_SMTP_SASL_H
#define PROXY_SMTP_SASL_H

#include <sallyport/filter.h>

enum {
	SASL_LINE = 12288, /* octets of a line of an exchange without its CRLF (RFC 4954 4.) */
	SASL_NAME = 255,   /* octets of a name */
	SASL_MECHANISM = 20
};

/* One to 20 capital letters, digits, hyphens, underscores; small letters are taken too. */
bool sasl_mechanism_ok(struct sp_span name);
/* Is it base64, whole groups of four, without anything around it? Empty is. */
bool sasl_base64_ok(struct sp_span text);
/* Into to, room for 3 octets of each 4. SP_INVALID: it is no base64, or has bits behind its end. */
enum sp_status sasl_base64_decode(struct sp_span text, char *to, size_t *ret_len);

/* One exchange, watched. Begun by sasl_init(); holds no memory. */
struct sasl {
	unsigned kind;    /* which of the mechanisms that we read */
	unsigned answers; /* so far */
	char name[SASL_NAME + 1];
};
void sasl_init(struct sasl *s, struct sp_span mechanism);
/* The client's next answer, the initial one too, as sent. SP_INVALID: it must not go on: no base64, not the mechanism's form,
 * more answers than it has, control octets. */
enum sp_status sasl_answer(struct sasl *s, struct sp_span base64);
/* Who he says he is: the authentication identity; "unknown": this mechanism does not tell, or not us. */
struct sp_span sasl_name(const struct sasl *s);

#endif
