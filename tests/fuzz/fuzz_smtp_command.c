/*
 * fuzz_smtp_command.c - command lines and paths: what is taken is plain, within its lengths, and reads the same again.
 * Octet 0 chooses what is offered and allowed.
 */
#include "proxy/smtp/command.h"

#include <string.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_plain(struct sp_span s)
{
	for (size_t i = 0; i < s.len; i++)
		MUST(s.ptr[i] >= ' ' && s.ptr[i] <= '~');
}

static void
check_address(const struct address *addr, bool quoted_local, bool literals)
{
	struct address again;
	char folded[255];

	check_plain(addr->text);
	MUST(addr->local.len <= 64 && addr->domain.len <= 255 && addr->text.len <= 254);
	MUST((quoted_local || !addr->quoted) && (literals || !addr->literal));
	if (addr->domain.len == 0)
		return; /* <> or <postmaster> */
	MUST(addr->text.len == addr->local.len + 1 + addr->domain.len);
	MUST(address_parse_bare(addr->text, &again) == ADDRESS_OK);
	MUST(span_eq(again.local, addr->local) && span_eq(again.domain, addr->domain));
	MUST(address_helo_ok(addr->domain));
	MUST(addr->literal || address_domain_ok(address_domain_fold(addr->domain, folded)));
}

static void
check_path(struct sp_span argument, const struct command_limits *limits)
{
	struct command_path path;
	struct command_error err = command_parse_path(argument, limits, &path);

	if (err.code != 0) {
		MUST(err.code / 100 == 5 && err.enhanced[0] == '5' && err.text[0] != '\0');
		return;
	}
	MUST(path.size >= -1 && (limits->mail || path.size == -1));
	MUST((limits->offered & EXT_BIT(EXT_SIZE)) != 0 || path.size == -1);
	MUST((limits->offered & EXT_BIT(EXT_8BITMIME)) != 0 || !path.body_given);
	check_address(&path.address, limits->quoted_local, limits->literals);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct command_limits limits = { 0 };
	struct sp_span line;
	struct command cmd;

	if (size < 1)
		return 0;
	limits.mail = (data[0] & 1) != 0;
	limits.offered = ((data[0] & 2) != 0 ? EXT_BIT(EXT_SIZE) : 0) | ((data[0] & 4) != 0 ? EXT_BIT(EXT_8BITMIME) : 0);
	limits.quoted_local = (data[0] & 8) != 0;
	limits.literals = (data[0] & 16) != 0;
	line = span_of((const char *)data + 1, size - 1);
	cmd = command_parse(line);
	MUST(cmd.word.len + cmd.argument.len <= line.len);
	check_path(cmd.argument, &limits);
	check_path(line, &limits);
	if (address_helo_ok(line)) {
		check_plain(line);
		MUST(line.len <= 255 && span_find(line, ' ') == line.len);
	}
	return 0;
}
