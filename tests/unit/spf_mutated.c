/*
 * spf_mutated.c - 100,000 records that were changed at random, through the whole module: nothing may die, and what a
 * check asks stays below what RFC 7208 allows.
 *
 * Seeded, so that a failure comes again; SPF_MUTATIONS in the environment is another number of them.
 */
#include "tests/unit/spf_env.h"

#define ITEMS(a) (sizeof(a) / sizeof((a)[0]))
enum { MUTATIONS = 100000, RECORD = 6000, QUESTIONS_MAX = 1 + 10 * 11 + 11 + 1 };

static const char *const seeds[] = {
	"v=spf1 -all",
	"v=spf1 +a -mx/24 ~ptr ?exists:%{i}._spf.%{d2} include:%{l1r+-}.b.org -all exp=e.%{o}",
	"v=spf1 ip4:192.0.2.0/24 ip4:10.0.0.0/8 ip6:2001:db8::/32 ip6:::ffff:1.2.3.4/96 redirect=%{d}.c.org",
	"v=spf1 a:%{s} mx:%{h}//64 a:b.org/24//64 exists:%{p}.%{v}.%{ir} moo=%{c}%{r}%{t} -all",
	"v=spf1 include:a.org include:b.org include:c.org include:d.org redirect=e.org exp=x.org",
	"v=spf1 mx mx mx ptr ptr a a exists:%{d127r.-+,/_=}.org -all",
	"v=spf1 exists:%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA -all",
	"%{i} said %{s} %{H} %{p} %% %_ %- at %{t}, %{D3R/_} AAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
};
static const char *const pieces[] = { "%{d}", "%{S}", "%{p}", "%{", "}", "%", "%%", "/", "//", "/0", "//0", "/32", "//128", ":", "=",
	" ", "v=spf1 ", " include:", " redirect=", " exp=", " exists:", " mx", " ptr", " a", " all", " ip4:1.2.3.4", " ip6:::1", "\xff",
	"\x80", "\n", "\t", "-", "~", "?", "+", ".org", "example.org", "%{d}%{d}%{d}%{d}%{d}%{d}%{d}%{d}", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" };

static const char *const terms[] = { " a:b.org", " ~mx/8//16", " -include:%{d2}", " ?exists:%{l}.%{ir}.x.org", " ptr", " -all",
	" ip4:1.2.3.0/24", " x=%{s}", " redirect=%{o}" };

struct world {
	struct spf_env env;
	struct spf_env_conf conf;
	uint64_t random;
	char record[RECORD];
	size_t len;
};

static uint32_t
next_random(struct world *w, uint32_t below)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (uint32_t)(w->random >> 32) % below;
}

static void
insert(struct world *w, const char *text, size_t len, unsigned times)
{
	size_t at = next_random(w, (uint32_t)w->len + 1);

	while (times-- > 0 && w->len + len <= RECORD) {
		memmove(w->record + at + len, w->record + at, w->len - at);
		memmove(w->record + at, text, len);
		w->len += len;
	}
}

static void
mutate_once(struct world *w)
{
	const char *piece = pieces[next_random(w, ITEMS(pieces))];
	size_t at = w->len > 0 ? next_random(w, (uint32_t)w->len) : 0, cut;

	switch (next_random(w, 10)) {
	case 0:
	case 1:
		insert(w, piece, strlen(piece), 1);
		break;
	case 8:
	case 9: /* one more term, so that many a record keeps the grammar */
		piece = terms[next_random(w, ITEMS(terms))];
		if (w->len + strlen(piece) <= RECORD)
			memcpy(w->record + w->len, piece, strlen(piece));
		w->len += w->len + strlen(piece) <= RECORD ? strlen(piece) : 0;
		break;
	case 2:
		insert(w, piece, strlen(piece), next_random(w, 130));
		break;
	case 3:
		insert(w, "\0", 1, 1);
		break;
	case 4:
		if (w->len > 0)
			w->record[at] = (char)next_random(w, 256);
		break;
	case 5:
		if (w->len > 0)
			w->record[at] = (char)(w->record[at] ^ (char)(1u << next_random(w, 8)));
		break;
	case 6:
		cut = next_random(w, (uint32_t)(w->len - at) + 1) % 20;
		memmove(w->record + at, w->record + at + cut, w->len - at - cut);
		w->len -= cut;
		break;
	default:
		cut = next_random(w, (uint32_t)(w->len - at) + 1);
		insert(w, w->record, cut < RECORD / 4 ? cut : 1, 1); /* itself, overlapping */
		break;
	}
}

static void
mutate(struct world *w)
{
	const char *seed = seeds[next_random(w, ITEMS(seeds))];

	w->len = strlen(seed);
	memcpy(w->record, seed, w->len);
	for (uint32_t n = 1 + next_random(w, 3); n > 0; n--)
		mutate_once(w);
}

/* TXT: the record itself, sometimes another or two; the rest is a throw of the dice. */
static enum sp_status
ask(void *arg, struct sp_span name, enum spf_env_type type, struct sp_names *ret)
{
	static struct sp_span items[64];
	struct world *w = arg;
	size_t count = next_random(w, 8) == 0 ? next_random(w, ITEMS(items)) : 1;

	assert_true(name.len > 0 && name.len <= 253);
	if (next_random(w, 12) == 0)
		return next_random(w, 2) == 0 ? SP_NONE : SP_INVALID;
	if (next_random(w, 40) == 0)
		return SP_TEMPFAIL;
	for (size_t i = 0; i < count; i++) {
		items[i] = box_span("h.example.org");
		if (type == ZONE_TXT)
			items[i] = i == 0 ? (struct sp_span){ w->record, w->len } : box_span(seeds[next_random(w, ITEMS(seeds))]);
		if (type == ZONE_A || type == ZONE_AAAA)
			items[i] = (struct sp_span){ next_random(w, 4) == 0 ? "\x01\x02\x03\x04\0\0\0\0\0\0\0\0\0\0\0" : "0123456789abcdef",
				type == ZONE_A ? 4 : 16 };
	}
	*ret = (struct sp_names){ items, count };
	return count > 0 ? SP_OK : SP_NONE;
}

static void
run_one(struct world *w)
{
	static const char *const senders[] = { "a@example.org", "", "\"x y\"@b.c.d.e.f.example.org", "%{d}%{d}@example.org", "@example.org",
		"strong-bad+x=y@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.org" };
	struct sp_ip client = next_random(w, 2) == 0 ? spf_env_ip4(1, 2, 3, 4) : (struct sp_ip){ 6, { 1, 2, 3, 4 } };

	spf_env_init(&w->env, &w->conf);
	w->env.ask = ask;
	w->env.arg = w;
	mutate(w);
	spf_env_mail(&w->env, client, "helo.example.org", senders[next_random(w, ITEMS(senders))]);
	assert_string_not_equal(spf_env_word(&w->env, SPF_RESULT), "unset");
	assert_string_not_equal(spf_env_word(&w->env, SPF_HELO), "unset");
	assert_true(w->env.asked <= 2 * QUESTIONS_MAX);
	spf_env_fini(&w->env, &w->conf);
}

static uint64_t
mutations(void)
{
	const char *text = getenv("SPF_MUTATIONS");
	uint64_t n = 0;

	for (; text != NULL && *text >= '0' && *text <= '9'; text++)
		n = n * 10 + (uint64_t)(*text - '0');
	return n > 0 ? n : MUTATIONS;
}

static void
test_mutated(void **state)
{
	static struct world w = { .conf = { .check_helo = true, .received_spf = true }, .random = 0x5eed5eed5eed5eedull };
	uint64_t verdicts[7] = { 0 };

	(void)state;
	for (uint64_t n = mutations(); n > 0; n--) {
		run_one(&w);
		verdicts[box_fact(&w.env.box, -1, SPF_RESULT)->u.integer]++;
	}
	for (size_t i = 0; i < ITEMS(verdicts); i++) {
		print_message("%-9s %llu\n", sp_filter_spf.facts[SPF_RESULT].words[i], (unsigned long long)verdicts[i]);
		assert_true(verdicts[i] > 0); /* else it tests less than it says */
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_mutated) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
