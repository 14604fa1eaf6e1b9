/* Authentication-Results as senders forge them: our id behind any blanks, comments and quotes is always ours. */
#include <stdlib.h>
#include <string.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "proxy/smtp/authres.h"

#define OURS "mx.example.com"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_span in = span_of((const char *)data, size);
	enum authres_claim claim = authres_claims(in, SPAN_LIT(OURS));
	char *text = malloc(size + sizeof(OURS "; "));

	MUST(claim == AUTHRES_OTHER || claim == AUTHRES_OURS || claim == AUTHRES_UNCLEAR);
	MUST(text != NULL);
	/* whatever stands behind our id does not make it another's */
	memcpy(text, OURS ";", sizeof(OURS));
	if (size > 0)
		memcpy(text + sizeof(OURS), data, size);
	MUST(authres_claims(span_of(text, sizeof(OURS) + size), SPAN_LIT(OURS)) == AUTHRES_OURS);
	/* it is read alike whatever the case of our id */
	MUST(claim == authres_claims(in, SPAN_LIT("MX.example.COM")));
	free(text);
	return 0;
}
