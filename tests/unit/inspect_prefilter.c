/*
 * inspect_prefilter.c - the module "rules": the texts that an expression needs, and that looking
 * for them first changes nothing, at random and with real rules on real messages.
 */
#include "tests/unit/filter_host.h"

#include <dirent.h>

#include "tests/unit/rules_text.h"

/* ---- literals ------------------------------------------------------------------------------- */

static void
assert_literals(const char *pattern, const char *want)
{
	struct literal_set set;
	char text[LITERALS_MAX * (LITERAL_MAX + 1) + 1] = "";

	if (literal_find(box_span(pattern), false, &set))
		for (size_t i = 0; i < set.count; i++) {
			size_t len = strlen(text);

			snprintf(text + len, sizeof(text) - len, "%s%.*s", i > 0 ? "|" : "",
				(int)set.items[i].len, set.items[i].text);
		}
	assert_string_equal(text, want);
}

static void
test_literals(void **state)
{
	static const char *const cases[][2] = { { "Viagra", "viagra" }, { "abc", "" },
		{ "viagra|cialis", "viagra|cialis" }, { "viagra|abc", "" },
		{ "(?:viagra|cialis)?", "" }, { "(viagra|cialis)+ now", "viagra|cialis" },
		{ "abcd?ef", "" }, { "abcd*efgh", "efgh" }, { "abcd+efgh", "defgh" },
		{ "abc{0,2}defg", "defg" }, { "abc{2}defg", "cdefg" }, { "abcd{x}", "" },
		{ "abcd{,3}", "" }, { "a\\x62cd", "abcd" }, { "a\\x6", "" }, { "abcd\\x{41}", "" },
		{ "\\bviagra\\b", "viagra" }, { "\\d+viagra", "viagra" }, { "[abcd]efgh", "efgh" },
		{ "[]abcd]efgh", "efgh" }, { "[^]abcd]efgh", "efgh" },
		{ "[[:alpha:]]efgh", "efgh" }, { "[\\]abcd]efgh", "efgh" }, { "[[:]efgh", "efgh" },
		{ "(?=abcd)e", "" }, { "(?!abcdef)ghij", "ghij" }, { "(?<=abcd)e", "" },
		{ "(?<!abcd)efgh", "efgh" }, { "(?<n>abcd)", "abcd" }, { "(?P<n>abcd)", "abcd" },
		{ "(?'n'abcd)", "abcd" }, { "(?i)abcd", "abcd" }, { "(?i:abcd)", "abcd" },
		{ "(?x) a b c d", "" }, { "(?#abcd)efgh", "" }, { "(?(1)abcd|efgh)ijkl", "" },
		{ "(*MARK:a)abcd", "" }, { "abcd(*ACCEPT)efgh", "" }, { "\\Qabcd\\E", "" },
		{ "ab\\Kcdef", "" }, { "abcd\\1efgh", "abcd" }, { "(abcd)\\1234", "abcd" },
		{ "a.b", "" }, { "(?:(?:abcd)?e)?", "" }, { "(?:abcd){0}", "" },
		{ "(?:abcd){0,1}efgh", "efgh" }, { "(?>abcd)", "abcd" }, { "(?R)?abcd", "abcd" },
		{ "(?&n)(?<n>abcd)", "abcd" }, { "a\\.b\\/c", "a.b/c" }, { "\\pLabcd", "" },
		{ "abcd\\cAefgh", "" }, { "(?|abcd|efgh)", "abcd|efgh" }, { "", "" },
		{ "abcd|", "" }, { "(?:abcd|)", "" }, { "^$", "" },
		{ "foo(?:bar|quux)longerone", "longerone" }, { "a\\nbcd", "a\nbcd" },
		{ "(?C1)abcd", "" }, { "abcd++efgh", "defgh" }, { "abcd??efgh", "efgh" } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_literals(cases[i][0], cases[i][1]);
}

/* ---- the prefilter changes nothing ------------------------------------------------------------
 */

static void
scan_all(const struct rule_set *set, struct box *box, bool direct, uint8_t *hit)
{
	struct rule_scan s = {
		.set = set, .hit = hit, .budget_ns = INT64_MAX / 2, .direct = direct
	};
	struct sp_span body = box->body;

	s.candidate = calloc(1, rule_set_count(set) + 1);
	memset(hit, 0, rule_set_count(set));
	for (size_t i = 0; i < box->field_count; i++)
		assert_int_equal(
			rule_scan_field(&s, box->fields[i].field, box->fields[i].name.len), SP_OK);
	if (body.len > RULES_WINDOW)
		body.len = RULES_WINDOW;
	if (rule_scan_window(&s, body, true, true) != SP_OK)
		fail_msg("%.*s: %s", (int)s.failed->name.len, s.failed->name.ptr, s.why);
	free(s.candidate);
}

static size_t
assert_same(const struct rule_set *set, struct box *box)
{
	size_t count = rule_set_count(set), hits = 0;
	uint8_t *filtered = malloc(count + 1), *direct = malloc(count + 1);

	scan_all(set, box, false, filtered);
	scan_all(set, box, true, direct);
	for (size_t i = 0; i < count; i++) {
		const struct rule *r = rule_set_rule(set, i);

		if (filtered[i] != direct[i])
			fail_msg("%.*s: %d with the prefilter, %d without", (int)r->pattern.len,
				r->pattern.ptr, filtered[i], direct[i]);
		hits += direct[i];
	}
	free(filtered);
	free(direct);
	return hits;
}

/* Random expressions over a small alphabet, against random texts made of the same pieces. */
static void
test_same_at_random(void **state)
{
	static const char *const pieces[] = { "abcd", "(?:abcd|bcda)", "ab", "[a-c]", "d?",
		"(?:ab)?", "a+", "\\x61", ".", "b{2}", "(?=ab)", "|", "\\b", "c*", "(cdab|dabc)+",
		"ABCD", "(?i:DaBc)", "(?!cd)", "b{1,3}" };
	char *rules = calloc(1, 400 * 128), text[512];
	struct faults faults = { "" };
	struct rules_report report = { faults_add, &faults };
	struct rule_set *set;
	struct box box = { .now_ms = 0 };
	enum sp_status st;
	size_t len = 0, hits = 0;

	(void)state;
	srandom(1);
	for (int i = 0; i < 400; i++) {
		len = append(rules, 400 * 128, len, "R%d 1 body /", i);
		for (long n = 1 + random() % 6; n > 0; n--)
			len = append(rules, 400 * 128, len, "%s",
				pieces[(size_t)random() % (sizeof(pieces) / sizeof(pieces[0]))]);
		len = append(rules, 400 * 128, len, "/%s\n", random() % 2 ? "i" : "");
	}
	set = rule_set_new(box_span(rules), &report, &st);
	assert_string_equal(faults.text, "");
	for (int i = 0; i < 2000; i++) {
		size_t n = (size_t)random() % 40;

		for (size_t at = 0; at < n; at++)
			text[at] = "abcdABCD \n"[random() % 10];
		box.body = (struct sp_span){ text, n };
		hits += assert_same(set, &box);
	}
	assert_true(hits > 10000);
	rule_set_free(&set);
	free(rules);
}

/* The text of a JSON string member of a line, unescaped; false: it has none, or odd characters. */
static bool
json_text(const char *line, const char *member, char *ret, size_t room)
{
	const char *p = strstr(line, member);
	size_t len = 0;

	if (p == NULL)
		return false;
	for (p += strlen(member); *p != '"'; p++) {
		if (*p == '\\' && strchr("\"\\/", *++p) == NULL)
			return false;
		if (len + 2 >= room || (unsigned char)*p < ' ')
			return false;
		ret[len++] = *p;
	}
	ret[len] = '\0';
	return true;
}

/* Patterns are written between slashes here, so a slash of their own needs its backslash. */
static size_t
pattern_write(char *to, const char *pattern)
{
	size_t len = 0;

	for (const char *p = pattern; *p != '\0'; p++) {
		if (*p == '/')
			to[len++] = '\\';
		to[len++] = *p;
		if (*p == '\\' && p[1] != '\0')
			to[len++] = *++p;
	}
	return len;
}

static char *
corpus_rules(size_t *ret_count)
{
	FILE *f = fopen(SALLYPORT_DATA "/spamassassin-rules/rules.jsonl", "re");
	char *rules = calloc(1, RULES_FILE_MAX), line[32768], pattern[8192], flags[16], *p;
	size_t len = 0, count = 0;

	if (f == NULL) {
		free(rules);
		return NULL;
	}
	while (fgets(line, sizeof(line), f) != NULL) {
		bool header = strstr(line, "\"type\": \"header\"") != NULL;

		if (strstr(line, "\"pcre2\": \"ok\"") == NULL ||
			!json_text(line, "\"pattern\": \"", pattern, sizeof(pattern)) ||
			strlen(pattern) > 3000)
			continue;
		if (!json_text(line, "\"flags\": \"", flags, sizeof(flags)))
			flags[0] = '\0';
		len = append(rules, RULES_FILE_MAX, len, "R%zu 1 %s /", count++,
			header ? "header *" : "body");
		len += pattern_write(rules + len, pattern);
		rules[len++] = '/';
		for (p = flags; *p != '\0'; p++)
			if (strchr("imsx", *p) != NULL && strchr(p + 1, *p) == NULL)
				rules[len++] = *p;
		rules[len++] = '\n';
	}
	fclose(f);
	*ret_count = count;
	return rules;
}

/* A file with CRLF line ends; null: it cannot be read. */
static char *
message_read(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "re");
	char *text;
	size_t room = 400000;
	int c, last = 0;

	if (f == NULL)
		return NULL;
	text = malloc(room);
	for (*ret_len = 0; *ret_len + 2 < room && (c = fgetc(f)) != EOF; last = c) {
		if (c == '\n' && last != '\r')
			text[(*ret_len)++] = '\r';
		text[(*ret_len)++] = (char)c;
	}
	fclose(f);
	return text;
}

static size_t
assert_same_folder(const struct rule_set *set, const char *folder, size_t *messages)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	struct box *box = calloc(1, sizeof(*box));
	size_t hits = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		char path[1024], *text = NULL;
		size_t len = 0;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (entry->d_type == DT_REG)
			text = message_read(path, &len);
		if (text == NULL)
			continue;
		box_set_message(box, (struct sp_span){ text, len });
		hits += assert_same(set, box);
		(*messages)++;
		free(text);
	}
	if (dir != NULL)
		closedir(dir);
	free(box);
	return hits;
}

static void
test_same_on_real_rules(void **state)
{
	struct faults faults = { "" };
	struct rules_report report = { faults_add, &faults };
	size_t count = 0, messages = 0, hits;
	char *rules = corpus_rules(&count);
	struct rule_set *set;
	enum sp_status st;

	(void)state;
	if (rules == NULL)
		skip();
	set = rule_set_new(box_span(rules), &report, &st);
	assert_string_equal(faults.text, "");
	hits = assert_same_folder(set, SALLYPORT_DATA "/mail-sa-testdata/nice", &messages);
	hits += assert_same_folder(set, SALLYPORT_DATA "/mail-sa-testdata/spam", &messages);
	print_message("%zu rules, %zu always tried; %zu messages, %zu hits\n", count,
		rule_set_unfiltered(set), messages, hits);
	assert_true(rule_set_unfiltered(set) * 2 < count);
	rule_set_free(&set);
	free(rules);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_literals),
		cmocka_unit_test(test_same_at_random),
		cmocka_unit_test(test_same_on_real_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
