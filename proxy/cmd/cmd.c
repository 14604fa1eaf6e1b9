/* cmd.c - see cmd.h */
#include "proxy/cmd/cmd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/kit/span.h"

int
cmd_usage_error(const struct cmd *cmd, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "sallyport %s: ", cmd->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "; \"sallyport help %s\" shows how\n", cmd->name);
	return 2;
}

const char *
cmd_one_path(const struct cmd *cmd, int argc, char **argv)
{
	if (optind == argc - 1)
		return argv[optind];
	cmd_usage_error(cmd, optind == argc ? "a policy file is expected" : "one policy file is expected, not several");
	return NULL;
}

bool
cmd_read_file(const char *path, size_t max, struct buf *to)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char piece[16384];
	size_t n;
	bool ok;

	buf_init(to, max);
	if (file == NULL) {
		fprintf(stderr, "sallyport: cannot read %s: %s\n", path, strerror(errno));
		return false;
	}
	while ((n = fread(piece, 1, sizeof(piece), file)) > 0)
		buf_add(to, span_of(piece, n));
	ok = !ferror(file) && buf_status(to) == SP_OK;
	if (!ok)
		fprintf(stderr, "sallyport: cannot read %s: %s\n", path,
			buf_status(to) != SP_OK ? "too big" : strerror(errno));
	if (file != stdin)
		fclose(file);
	return ok;
}

bool
cmd_parse_factor(const char *text, double *ret)
{
	struct sp_span s = span_str(text), whole = span_head(s, span_find(s, '.')), part = span_from(s, whole.len + 1);
	uint64_t units, parts = 0;
	double scale = 1;

	if (span_to_u64(whole, 1000000, &units) != SP_OK ||
		(part.len > 0 && span_to_u64(part, 1000000, &parts) != SP_OK))
		return false;
	for (size_t i = 0; i < part.len; i++)
		scale *= 10;
	*ret = (double)units + (double)parts / scale;
	return *ret > 0;
}
