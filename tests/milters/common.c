/*
 * common.c - see common.h.  No memory of its own.
 */
#include "common.h"

#include <stdio.h>
#include <string.h>

int
milter_serve(const char *socket_name, struct smfiDesc *d)
{
	char name[256];

	snprintf(name, sizeof(name), "%s", socket_name); /* libmilter takes no const */
	if (smfi_setconn(name) != MI_SUCCESS || smfi_register(*d) != MI_SUCCESS || smfi_settimeout(3600) != MI_SUCCESS ||
		smfi_opensocket(true) != MI_SUCCESS) {
		fprintf(stderr, "%s: cannot listen at %s\n", d->xxfi_name, socket_name);
		return 2;
	}
	return smfi_main() == MI_SUCCESS ? 0 : 1;
}

char *
milter_word(char **rest)
{
	char *word = *rest, *end = strchr(word, ' ');

	if (end == NULL) {
		*rest = word + strlen(word);
	} else {
		*end = '\0';
		*rest = end + 1;
	}
	return word;
}

bool
milter_number(const char *text, int *ret)
{
	int n = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9' || n > 200000000)
			return false;
		n = n * 10 + (*text - '0');
	}
	*ret = n;
	return true;
}

static int
hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c == '\0' ? NULL : strchr(digits, c | (c >= 'A' ? 0x20 : 0));

	return at == NULL ? -1 : (int)(at - digits);
}

void
milter_unescape(char *text)
{
	static const char from[] = "rnts\\", to[] = "\r\n\t \\";
	char *out = text;

	for (const char *in = text; *in != '\0'; in++) {
		const char *at = in[0] == '\\' && in[1] != '\0' ? strchr(from, in[1]) : NULL;

		if (at != NULL) {
			*out++ = to[at - from];
			in++;
		} else if (in[0] == '\\' && in[1] == 'x' && hex_digit(in[2]) >= 0 && hex_digit(in[3]) >= 0) {
			*out++ = (char)(hex_digit(in[2]) * 16 + hex_digit(in[3]));
			in += 3;
		} else {
			*out++ = *in;
		}
	}
	*out = '\0';
}

/* CODE ENHANCED TEXT */
static bool
reply(SMFICTX *ctx, char *text, sfsistat *ret)
{
	char *code = milter_word(&text), *enhanced = milter_word(&text), *lines[4] = { NULL };

	milter_unescape(text);
	for (size_t i = 0; i < 4 && text != NULL; i++) {
		char *end = strchr(text, '\n');

		lines[i] = text;
		text = end == NULL ? NULL : end + 1;
		if (end != NULL)
			*end = '\0';
	}
	*ret = code[0] == '4' ? SMFIS_TEMPFAIL : SMFIS_REJECT;
	return smfi_setmlreply(ctx, code, enhanced, lines[0], lines[1], lines[2], lines[3], NULL) == MI_SUCCESS;
}

bool
milter_verdict(SMFICTX *ctx, char *text, sfsistat *ret)
{
	static const struct {
		const char *name;
		sfsistat is;
	} verdicts[] = { { "continue", SMFIS_CONTINUE }, { "accept", SMFIS_ACCEPT }, { "reject", SMFIS_REJECT },
		{ "tempfail", SMFIS_TEMPFAIL }, { "discard", SMFIS_DISCARD }, { "skip", SMFIS_SKIP } };

	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
		if (strcmp(text, verdicts[i].name) == 0) {
			*ret = verdicts[i].is;
			return true;
		}
	return strncmp(text, "reply ", 6) == 0 && reply(ctx, text + 6, ret);
}
