/*
 * fuzz_smtp_command.c - command lines and paths: what is taken is plain, within its lengths, and reads the same again; what
 * goes on to the backend is parameters and nothing else, and names one domain for every reader.
 * Octet 0 chooses what is allowed, octets 1 and 2 what is offered.
 */
#include "proxy/smtp/command.h"

#include <string.h>

#include "policy/kit/must.h"
#include "policy/kit/span.h"
#include "policy/kit/utf8.h"
#include "proxy/smtp/parameter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_plain(struct sp_span s)
{
	for (size_t i = 0; i < s.len; i++)
		MUST(s.ptr[i] >= ' ' && s.ptr[i] <= '~');
}

/* The name that policy sees is one of the DNS, and the fold of it is itself. */
static void
check_domain(const struct address *addr)
{
	char folded[DOMAIN_OCTETS], again[DOMAIN_OCTETS];
	struct sp_span name = address_domain_fold(addr->domain, folded);

	check_plain(name);
	MUST(addr->literal || address_domain_ok(name));
	MUST(span_eq(address_domain_fold(name, again), name));
}

static void
check_address(const struct address *addr, const struct command_limits *limits)
{
	struct address again;

	MUST(utf8_is_plain(addr->text));
	MUST(addr->utf8 == !utf8_is_ascii(addr->text));
	MUST(addr->local.len <= 64 && addr->domain.len <= 255 && addr->text.len <= 254);
	MUST((limits->quoted_local || !addr->quoted) && (limits->literals || !addr->literal));
	if (addr->domain.len == 0)
		return; /* <> or <postmaster> */
	MUST(addr->text.len == addr->local.len + 1 + addr->domain.len);
	MUST(address_parse_bare(addr->text, &again) == ADDRESS_OK);
	MUST(span_eq(again.local, addr->local) && span_eq(again.domain, addr->domain));
	MUST(addr->utf8 || address_helo_ok(addr->domain));
	check_domain(addr);
}

/* What goes on is taken again, alone, and goes on the same. */
static void
check_params(const struct command_path *path, const struct command_limits *limits)
{
	struct arena *a = arena_new(4096, 1 << 20);
	struct sp_span text = parameter_text(a, path->params, limits->mail), line, twice;
	struct command_path again;

	MUST(text.ptr != NULL && text.len <= path->params.len + 1 && utf8_is_plain(text));
	MUST(limits->utf8 || utf8_is_ascii(text));
	line = span_str(arena_printf(a, "%s:<a@b>%.*s", limits->mail ? "FROM" : "TO", (int)text.len, text.ptr));
	MUST(command_parse_path(line, limits, &again).code == 0);
	MUST((again.needs & ~path->needs) == 0 && again.smtputf8 == path->smtputf8);
	twice = parameter_text(a, again.params, limits->mail);
	MUST(span_eq(twice, text));
	arena_free(&a);
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
	MUST((path.needs & ~limits->offered) == 0);
	MUST(!path.address.utf8 || (limits->mail ? path.smtputf8 : limits->utf8));
	check_address(&path.address, limits);
	check_params(&path, limits);
}

/* The same octets where an address stands, and where parameters do. */
static void
check_inside(struct sp_span line, const struct command_limits *limits)
{
	struct arena *a = arena_new(8192, 1 << 20);
	const char *verb = limits->mail ? "FROM" : "TO", *utf8 = limits->mail ? " SMTPUTF8" : "";

	check_path(span_str(arena_printf(a, "%s:<%.*s>%s", verb, (int)line.len, line.ptr, utf8)), limits);
	check_path(span_str(arena_printf(a, "%s:<a@%.*s>%s", verb, (int)line.len, line.ptr, utf8)), limits);
	check_path(span_str(arena_printf(a, "%s:<a@b> %.*s", verb, (int)line.len, line.ptr)), limits);
	arena_free(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct command_limits limits = { 0 };
	struct sp_span line;
	struct command cmd;

	if (size < 3)
		return 0;
	limits.mail = (data[0] & 1) != 0;
	limits.utf8 = !limits.mail && (data[0] & 2) != 0;
	limits.quoted_local = (data[0] & 8) != 0;
	limits.literals = (data[0] & 16) != 0;
	limits.offered = ((uint32_t)data[1] << 8 | data[2]) << 1;
	line = span_of((const char *)data + 3, size - 3);
	if (line.len > 2048)
		return 0;
	cmd = command_parse(line);
	MUST(cmd.word.len + cmd.argument.len <= line.len);
	check_path(cmd.argument, &limits);
	check_path(line, &limits);
	check_inside(line, &limits);
	if (address_helo_ok(line)) {
		check_plain(line);
		MUST(line.len <= 255 && span_find(line, ' ') == line.len);
	}
	return 0;
}
