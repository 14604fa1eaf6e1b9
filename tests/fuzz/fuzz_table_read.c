/* fuzz_table_read.c - a table file of any bytes; then every word of it is looked up. The first byte
 * chooses the kinds of key and value. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "policy/kit/span.h"
#include "policy/table/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum sp_status
parse(void *arg, struct sp_span text, struct sp_value *ret, const char **reterr)
{
	(void)arg;
	if (text.ptr[0] == '!') {
		*reterr = "refused";
		return SP_INVALID;
	}
	*ret = (struct sp_value){ SP_STRING, { .text = text } };
	return SP_OK;
}

static void
report(void *arg, unsigned line, unsigned column, const char *sentence)
{
	unsigned *count = arg;

	if (line == 0 || column == 0 || sentence == NULL || ++*count > 20)
		__builtin_trap();
}

static void
look_up(const struct table *t, struct sp_span text)
{
	while (text.len > 0) {
		size_t end = span_find(text, '\n');
		struct sp_span word = span_head(text, end);
		struct sp_value key = { SP_STRING, { .text = word } };

		if (table_key_type(t) == SP_NET && span_to_net(word, &key.u.net) == SP_OK)
			key.type = SP_NET;
		table_find(t, &key);
		text = span_from(text, end + 1);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum sp_type keys[] = { SP_NET, SP_DOMAIN, SP_ADDRESS, SP_STRING };
	static int fd = -1;
	static char path[40];
	unsigned reports = 0;
	struct table_reader r = { parse, report, &reports };
	struct table *t;
	struct sp_span dup;
	enum sp_status st;

	if (size == 0)
		return 0;
	if (fd < 0) {
		fd = memfd_create("table", 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data + 1, size - 1, 0) != (ssize_t)(size - 1))
		return 0;
	t = table_new(keys[data[0] % 4], data[0] % 8 < 4 ? SP_END : SP_STRING);
	st = table_read_file(t, path, &r);
	if ((st == SP_OK) != (reports == 0))
		__builtin_trap();
	if (table_close(t, &dup) == SP_OK)
		look_up(t, span_of((const char *)data + 1, size - 1));
	table_free(&t);
	return 0;
}
