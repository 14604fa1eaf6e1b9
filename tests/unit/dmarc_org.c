/*
 * dmarc_org.c - organisational domains by list and by walk, and which record speaks for a domain.
 *
 * With the path of a list as its argument it is a driver for other tests: it reads domains, one a line, and prints the
 * registrable part of each, or "null".
 */
#include "tests/unit/dmarc_env.h"

static struct sp_span
org_of(const char *domain, const char *const *records)
{
	static struct walk w;

	walk_init(&w, text_of(domain));
	for (size_t i = 0; i < w.count; i++) {
		w.records[i] = (struct record){ .state = RECORD_NONE };
		for (size_t n = 0; records[n] != NULL; n += 2)
			if (text_is(w.names[i], text_of(records[n])))
				assert_true(record_parse(text_of(records[n + 1]), &w.records[i]));
	}
	return walk_org(&w);
}

static void
expect_org(const char *domain, const char *const *records, const char *org)
{
	struct sp_span got = org_of(domain, records);

	if (!text_is(got, text_of(org)))
		fail_msg("%s: %.*s instead of %s", domain, (int)got.len, got.ptr, org);
}

static void
test_walk_names(void **state)
{
	static const char *const seven[] = { "g.f.e.d.c.b.a", "f.e.d.c.b.a", "e.d.c.b.a", "d.c.b.a", "c.b.a", "b.a", "a" };
	static const char *const ten[] = { "j.i.h.g.f.e.d.c.b.a", "g.f.e.d.c.b.a", "f.e.d.c.b.a", "e.d.c.b.a", "d.c.b.a", "c.b.a",
		"b.a", "a" };
	struct walk w;

	(void)state;
	walk_init(&w, text_of(seven[0]));
	assert_int_equal(w.count, 7);
	for (size_t i = 0; i < w.count; i++)
		assert_true(text_is(w.names[i], text_of(seven[i])));
	walk_init(&w, text_of("h.g.f.e.d.c.b.a"));
	assert_int_equal(w.count, 8);
	for (size_t i = 1; i < w.count; i++)
		assert_true(text_is(w.names[i], text_of(ten[i])));
	walk_init(&w, text_of(ten[0]));
	assert_int_equal(w.count, WALK_MAX);
	for (size_t i = 0; i < w.count; i++)
		assert_true(text_is(w.names[i], text_of(ten[i])));
	walk_init(&w, text_of("b.a"));
	assert_int_equal(w.count, 2);
}

static void
test_walk_org(void **state)
{
	static const char *const none[] = { NULL };
	static const char *const two[] = { "mail.example.com", "v=DMARC1; p=none", "example.com", "v=DMARC1; p=none", NULL };
	static const char *const psd_yes[] = { "com", "v=DMARC1; p=none; psd=y", NULL };
	static const char *const psd_no[] = { "mail.example.com", "v=DMARC1; p=none; psd=n", "example.com", "v=DMARC1; p=none",
		NULL };
	static const char *const between[] = { "co.uk", "v=DMARC1; p=none; psd=y", "uk", "v=DMARC1; p=none", "a.b.co.uk",
		"v=DMARC1; p=none", NULL };
	static const char *const far[] = { "g.f.e.d.c.b.a", "v=DMARC1; p=none; psd=y", NULL };

	(void)state;
	expect_org("a.mail.example.com", none, "a.mail.example.com");
	expect_org("a.mail.example.com", two, "example.com");
	expect_org("a.mail.example.com", psd_yes, "example.com");
	expect_org("a.mail.example.com", psd_no, "mail.example.com");
	expect_org("example.com", psd_no, "example.com");
	expect_org("a.b.co.uk", between, "b.co.uk"); /* what is above psd=y is not seen */
	expect_org("co.uk", between, "co.uk");       /* also where it starts: else uk would own all that stands below it */
	expect_org("x.uk", between, "uk");
	expect_org("com", psd_yes, "com");
	expect_org("j.i.h.g.f.e.d.c.b.a", far, "h.g.f.e.d.c.b.a"); /* one label below, though the walk left it out */
}

static struct org_found
discover(struct env *e, const char *from)
{
	struct org_found f;

	e->asked = 0;
	assert_int_equal(org_discover(&e->box.ctx, &e->conf.org, text_of(from), &f), SP_OK);
	return f;
}

static void
test_discover_by_list(void **state)
{
	static struct env e;
	struct org_found f;

	(void)state;
	env_init(&e, ORG_LIST, NULL);
	env_dns(&e, 't', "_dmarc.example.com", "v=DMARC1; p=reject; sp=quarantine; np=none");
	env_dns(&e, 't', "_dmarc.own.example.com", "v=DMARC1; p=none; sp=reject");
	env_dns(&e, 't', "_dmarc.twice.example.com", "v=DMARC1; p=none");
	env_dns(&e, 't', "_dmarc.twice.example.com", "v=DMARC1; p=none");
	env_dns(&e, 't', "_dmarc.other.example.com", "v=spf1 -all");
	env_dns(&e, 'm', "mx.example.com", "");
	env_dns(&e, 'a', "host.example.com", "");
	f = discover(&e, "example.com");
	assert_int_equal(f.policy, POLICY_REJECT);
	assert_int_equal(e.asked, 1);
	f = discover(&e, "own.example.com"); /* sp= is for those below */
	assert_int_equal(f.policy, POLICY_NONE);
	assert_true(text_is(f.org, TEXT("example.com")) && text_is(f.at, TEXT("own.example.com")));
	assert_int_equal(e.asked, 1);
	assert_int_equal(discover(&e, "mx.example.com").policy, POLICY_QUARANTINE);
	assert_int_equal(discover(&e, "host.example.com").policy, POLICY_QUARANTINE);
	f = discover(&e, "a.missing.example.com");
	assert_int_equal(f.policy, POLICY_NONE); /* np= */
	assert_true(text_is(f.at, TEXT("example.com")));
	assert_int_equal(e.asked, 4); /* its own record, the organisation's, MX, addresses */
	f = discover(&e, "twice.example.com"); /* several records end the search (6.6.3, step 5) */
	assert_int_equal(f.record.state, RECORD_SEVERAL);
	assert_int_equal(f.policy, POLICY_UNPUBLISHED);
	f = discover(&e, "other.example.com");
	assert_true(text_is(f.at, TEXT("example.com")));
	f = discover(&e, "example.co.uk");
	assert_int_equal(f.record.state, RECORD_NONE);
	assert_int_equal(e.asked, 1);
	f = discover(&e, "co.uk"); /* a public suffix is its own organisation */
	assert_true(text_is(f.org, TEXT("co.uk")));
	env_fini(&e);
}

static void
test_np_asks_only_if_it_matters(void **state)
{
	static struct env e;

	(void)state;
	env_init(&e, ORG_LIST, NULL);
	env_dns(&e, 't', "_dmarc.example.com", "v=DMARC1; p=reject; np=reject");
	env_dns(&e, 't', "_dmarc.example.org", "v=DMARC1; p=none; np=reject");
	assert_int_equal(discover(&e, "missing.example.com").policy, POLICY_REJECT);
	assert_int_equal(e.asked, 2);
	assert_int_equal(discover(&e, "missing.example.org").policy, POLICY_REJECT);
	assert_int_equal(e.asked, 4);
	env_fini(&e);
}

static void
test_dns_fails(void **state)
{
	static struct env e;
	struct org_found f;

	(void)state;
	for (int way = ORG_LIST; way <= ORG_TREE; way++) {
		env_init(&e, (enum org_way)way, NULL);
		env_dns_fails(&e, 't', "_dmarc.a.example.com");
		env_dns_fails(&e, 't', "_dmarc.example.org");
		env_dns(&e, 't', "_dmarc.example.net", "v=DMARC1; p=none; np=reject");
		env_dns_fails(&e, 'a', "a.example.net");
		env_dns_fails(&e, 'm', "b.example.net");
		assert_int_equal(org_discover(&e.box.ctx, &e.conf.org, TEXT("a.example.com"), &f), SP_TEMPFAIL);
		assert_int_equal(org_discover(&e.box.ctx, &e.conf.org, TEXT("b.example.org"), &f), SP_TEMPFAIL);
		assert_int_equal(org_discover(&e.box.ctx, &e.conf.org, TEXT("a.example.net"), &f), SP_TEMPFAIL);
		assert_int_equal(org_discover(&e.box.ctx, &e.conf.org, TEXT("b.example.net"), &f), SP_TEMPFAIL);
		env_fini(&e);
	}
}

static void
test_discover_by_walk(void **state)
{
	static struct env e;
	struct org_found f;

	(void)state;
	env_init(&e, ORG_TREE, NULL);
	env_dns(&e, 't', "_dmarc.mail.example.com", "v=DMARC1; p=none; sp=reject");
	env_dns(&e, 't', "_dmarc.example.com", "v=DMARC1; p=reject; sp=quarantine");
	env_dns(&e, 't', "_dmarc.twice.example.com", "v=DMARC1; p=none");
	env_dns(&e, 't', "_dmarc.twice.example.com", "v=DMARC1; p=none");
	env_dns(&e, 't', "_dmarc.bank", "v=DMARC1; p=reject; sp=quarantine; np=reject; psd=y");
	env_dns(&e, 't', "_dmarc.own.bank", "v=DMARC1; p=none; psd=n");
	env_dns_fails(&e, 't', "_dmarc.stop");
	env_dns(&e, 't', "_dmarc.end.stop", "v=DMARC1; p=quarantine; psd=n");
	env_dns(&e, 'a', "a.bank", "");
	f = discover(&e, "mail.example.com");
	assert_int_equal(f.policy, POLICY_NONE);
	assert_true(text_is(f.org, TEXT("example.com")));
	f = discover(&e, "a.mail.example.com"); /* the organisation's, not the nearest */
	assert_int_equal(f.policy, POLICY_QUARANTINE);
	assert_true(text_is(f.at, TEXT("example.com")));
	assert_int_equal(e.asked, 4);
	f = discover(&e, "twice.example.com"); /* several are none, and the walk goes on (RFC 9989 4.10, step 2) */
	assert_int_equal(f.policy, POLICY_QUARANTINE);
	f = discover(&e, "a.bank");
	assert_int_equal(f.policy, POLICY_QUARANTINE);
	assert_true(text_is(f.at, TEXT("bank")) && text_is(f.org, TEXT("a.bank")));
	assert_int_equal(discover(&e, "missing.bank").policy, POLICY_REJECT);
	assert_int_equal(discover(&e, "own.bank").policy, POLICY_NONE);
	f = discover(&e, "x.end.stop"); /* a fault above where the walk ends is none */
	assert_int_equal(f.policy, POLICY_QUARANTINE);
	assert_int_equal(discover(&e, "example.net").record.state, RECORD_NONE);
	env_fini(&e);
}

static void
test_same_by_walk(void **state)
{
	static struct env e;
	struct org_found f;
	bool same;

	(void)state;
	env_init(&e, ORG_TREE, NULL);
	env_dns(&e, 't', "_dmarc.example.com", "v=DMARC1; p=reject");
	env_dns(&e, 't', "_dmarc.own.example.com", "v=DMARC1; p=reject; psd=n");
	env_dns_fails(&e, 't', "_dmarc.broken.example.com");
	env_dns_fails(&e, 't', "_dmarc.attacker.com");
	f = discover(&e, "a.example.com");
	assert_int_equal(org_same(&e.box.ctx, &e.conf.org, &f, TEXT("b.example.com"), &same), SP_OK);
	assert_true(same);
	assert_int_equal(org_same(&e.box.ctx, &e.conf.org, &f, TEXT("x.own.example.com"), &same), SP_OK);
	assert_false(same);
	assert_int_equal(org_same(&e.box.ctx, &e.conf.org, &f, TEXT("broken.example.com"), &same), SP_TEMPFAIL);
	/* who is not below the organisation is not asked about: a stranger's DNS that fails would leave it open */
	e.asked = 0;
	assert_int_equal(org_same(&e.box.ctx, &e.conf.org, &f, TEXT("attacker.com"), &same), SP_OK);
	assert_false(same);
	assert_int_equal(org_same(&e.box.ctx, &e.conf.org, &f, TEXT("x.badexample.com"), &same), SP_OK);
	assert_false(same);
	assert_int_equal(e.asked, 0);
	env_fini(&e);
}

/* A name that leaves no room for "_dmarc." cannot have a record. */
static void
test_long_names(void **state)
{
	static struct env e;
	struct org_found f;
	char name[DOMAIN_MAX + 1];

	(void)state;
	for (size_t i = 0; i < DOMAIN_MAX; i++)
		name[i] = i % 2 == 1 ? '.' : 'a';
	memcpy(name + DOMAIN_MAX - 11, "example.com", 11);
	name[DOMAIN_MAX - 12] = '.';
	name[DOMAIN_MAX - 13] = 'a';
	name[DOMAIN_MAX] = '\0';
	for (int way = ORG_LIST; way <= ORG_TREE; way++) {
		env_init(&e, (enum org_way)way, NULL);
		env_dns(&e, 't', "_dmarc.example.com", "v=DMARC1; p=reject");
		f = discover(&e, name);
		assert_int_equal(f.policy, POLICY_REJECT);
		assert_true(e.asked <= WALK_LABELS);
		env_fini(&e);
	}
}

/* Several names of a walk may be too long for a record: here the domain and the one above it. */
static void
test_long_names_above(void **state)
{
	static struct env e;
	char name[DOMAIN_MAX + 1];
	bool same;

	(void)state;
	memset(name, 'x', DOMAIN_MAX);
	name[DOMAIN_MAX] = '\0';
	name[1] = name[65] = name[129] = name[193] = '.';
	memcpy(name + DOMAIN_MAX - 12, ".example.com", 12);
	env_init(&e, ORG_TREE, NULL);
	env_dns(&e, 't', "_dmarc.example.com", "v=DMARC1; p=reject");
	assert_int_equal(discover(&e, name).policy, POLICY_REJECT);
	e.asked = 0;
	assert_int_equal(org_same(&e.box.ctx, &e.conf.org, &(struct org_found){ .record = { .state = RECORD_VALID },
		.org = TEXT("example.com") }, text_of(name), &same), SP_OK);
	assert_true(same);
	env_fini(&e);
}

static int
drive(const char *list_path)
{
	psl_ctx_t *list = psl_load_file(list_path);
	char line[1024];

	if (list == NULL)
		return 2;
	while (fgets(line, sizeof(line), stdin) != NULL) {
		struct sp_span domain = { line, strcspn(line, "\n") }, part = org_registrable(list, domain);

		if (part.len == 0)
			part = TEXT("null");
		printf("%.*s\n", (int)part.len, part.ptr);
	}
	psl_free(list);
	return 0;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_walk_names), cmocka_unit_test(test_walk_org),
		cmocka_unit_test(test_discover_by_list), cmocka_unit_test(test_np_asks_only_if_it_matters),
		cmocka_unit_test(test_dns_fails), cmocka_unit_test(test_discover_by_walk), cmocka_unit_test(test_same_by_walk),
		cmocka_unit_test(test_long_names), cmocka_unit_test(test_long_names_above) };

	if (argc > 1)
		return drive(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
