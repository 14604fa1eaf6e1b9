/*
 * dmarc_module.c - the module as the host sees it: loading, facts and their stages, the result, the file of reports.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/dmarc_env.h"

enum { FACT_RESULT, FACT_POLICY, FACT_DISPOSITION, FACT_ALIGNED_BY, FACT_FROM_DOMAIN, FACT_FROM, FACT_RECORD };
enum { UNKNOWN = -1 };

static int64_t
fact(struct env *e, unsigned which)
{
	const struct sp_value *v = box_fact(&e->box, -1, which);

	return v != NULL ? v->u.integer : UNKNOWN;
}

static bool
from_is(struct env *e, const char *domain)
{
	const struct sp_value *v = box_fact(&e->box, -1, FACT_FROM_DOMAIN);

	return v != NULL && v->type == SP_DOMAIN && text_is(v->u.text, text_of(domain));
}

static void
run(struct env *e, const char *message)
{
	assert_int_equal(box_connect(&e->box), SP_OK);
	assert_int_equal(box_mail(&e->box, -1), SP_OK);
	assert_int_equal(box_rcpt(&e->box, "b@example.com", 0), SP_OK);
	assert_int_equal(box_message(&e->box, box_span(message)), SP_OK);
}

static void
test_pass(void **state)
{
	static struct env e;

	(void)state;
	env_init(&e, ORG_LIST, NULL);
	env_dns(&e, 't', "_dmarc.example.org", "v=DMARC1; p=reject; adkim=x");
	env_dkim(&e, "pass", "example.org");
	run(&e, "Subject: x\r\nFROM: \"x\" <a@Mail.Example.org>\r\n\r\nbody\r\n");
	assert_int_equal(fact(&e, FACT_RESULT), RESULT_PASS);
	assert_int_equal(fact(&e, FACT_POLICY), POLICY_REJECT);
	assert_int_equal(fact(&e, FACT_DISPOSITION), POLICY_NONE);
	assert_int_equal(fact(&e, FACT_ALIGNED_BY), ALIGNED_DKIM);
	assert_int_equal(fact(&e, FACT_FROM), MAILBOX_ONE);
	assert_int_equal(fact(&e, FACT_RECORD), RECORD_FAULTY);
	assert_true(from_is(&e, "mail.example.org"));
	assert_string_equal(e.stated.method, "dmarc");
	assert_string_equal(e.stated.result, "pass");
	assert_string_equal(e.from, "header.from=mail.example.org");
	assert_string_equal(e.reason, "policy=reject disposition=none aligned=dkim");
	e.result_count = 0;
	run(&e, "From: a@example.org\r\n\r\n");
	assert_int_equal(fact(&e, FACT_RESULT), RESULT_FAIL);
	assert_int_equal(fact(&e, FACT_DISPOSITION), POLICY_REJECT);
	assert_string_equal(e.reason, "policy=reject disposition=reject aligned=none");
	env_fini(&e);
}

static void
test_not_one_author(void **state)
{
	static const struct {
		const char *message;
		enum mailbox_count from;
	} cases[] = { { "Subject: x\r\n\r\n", MAILBOX_NONE }, { "From: <>\r\n\r\n", MAILBOX_NONE },
		{ "From: a@example.org\r\nFrom: a@example.org\r\n\r\n", MAILBOX_SEVERAL },
		{ "From: x\r\nTo: y\r\nfrom : a@example.org\r\n\r\n", MAILBOX_SEVERAL },
		{ "From: a@example.org, b@example.org\r\n\r\n", MAILBOX_SEVERAL },
		{ "From: a@example.org\r\n \r\n b\r\n\r\n", MAILBOX_INVALID } };
	static struct env e;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		env_init(&e, ORG_LIST, NULL);
		env_dns(&e, 't', "_dmarc.example.org", "v=DMARC1; p=none");
		env_dkim(&e, "pass", "example.org");
		run(&e, cases[i].message);
		assert_int_equal(fact(&e, FACT_FROM), cases[i].from);
		assert_int_equal(fact(&e, FACT_RESULT), RESULT_PERMERROR);
		assert_int_equal(fact(&e, FACT_POLICY), POLICY_UNPUBLISHED);
		assert_int_equal(fact(&e, FACT_DISPOSITION), POLICY_NONE);
		assert_int_equal(fact(&e, FACT_ALIGNED_BY), ALIGNED_NONE);
		assert_int_equal(fact(&e, FACT_RECORD), RECORD_NONE);
		assert_true(from_is(&e, ""));
		assert_string_equal(e.stated.result, "permerror");
		assert_string_equal(e.from, "");
		assert_int_equal(e.asked, 0);
		env_fini(&e);
	}
}

/* What cannot be known is left unknown; the result says so. */
static void
test_dns_fails(void **state)
{
	static struct env e;

	(void)state;
	env_init(&e, ORG_LIST, NULL);
	env_dns_fails(&e, 't', "_dmarc.example.org");
	env_dkim(&e, "pass", "example.org");
	run(&e, "From: a@example.org\r\n\r\n");
	assert_int_equal(fact(&e, FACT_RESULT), RESULT_TEMPERROR);
	assert_int_equal(fact(&e, FACT_POLICY), UNKNOWN);
	assert_int_equal(fact(&e, FACT_RECORD), UNKNOWN);
	assert_int_equal(fact(&e, FACT_DISPOSITION), UNKNOWN);
	assert_int_equal(fact(&e, FACT_ALIGNED_BY), UNKNOWN);
	assert_true(from_is(&e, "example.org"));
	assert_string_equal(e.stated.result, "temperror");
	env_fini(&e);
}

enum { LOTS = 400 };

/* What becomes of many messages; again: their bodies differ. */
static void
draw_lots(struct env *e, int again, int64_t fates[static LOTS])
{
	for (size_t i = 0; i < LOTS; i++) {
		char message[128];

		snprintf(message, sizeof(message), "Message-ID: <%zu@x>\r\nFrom: a@example.org\r\n\r\n%d\r\n", i, again);
		run(e, message);
		fates[i] = fact(e, FACT_DISPOSITION);
	}
}

/* A message that comes again meets the same fate; of many, as many as pct= says are let off; and which, no sender can
 * work out beforehand. */
static void
test_lots(void **state)
{
	int64_t first[LOTS], fates[LOTS];
	static struct env e;
	int rejected = 0;

	(void)state;
	env_init(&e, ORG_LIST, NULL);
	env_dns(&e, 't', "_dmarc.example.org", "v=DMARC1; p=reject; pct=30");
	draw_lots(&e, 0, first);
	draw_lots(&e, 1, fates);
	assert_memory_equal(fates, first, sizeof(first));
	for (size_t i = 0; i < LOTS; i++)
		rejected += first[i] == POLICY_REJECT;
	assert_in_range(rejected, 60, 180); /* 120, and six times its deviation */
	env_fini(&e);
	env_init(&e, ORG_LIST, NULL);
	env_dns(&e, 't', "_dmarc.example.org", "v=DMARC1; p=reject; pct=30");
	draw_lots(&e, 0, fates);
	assert_memory_not_equal(fates, first, sizeof(first));
	env_fini(&e);
}

static void
test_reports(void **state)
{
	static struct env e;
	char path[] = "/tmp/dmarc_reports_XXXXXX", text[4096];
	int fd = mkstemp(path);
	ssize_t len;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "kept\n", 5), 5);
	env_init(&e, ORG_LIST, path);
	env_dns(&e, 't', "_dmarc.example.org", "v=DMARC1; p=reject");
	env_dns(&e, 't', "_dmarc.example.net", "v=DMARC1; p=x");
	run(&e, "From: a@example.org\r\n\r\n");
	run(&e, "From: a@example.net\r\n\r\n"); /* a record that is as good as none: nothing */
	run(&e, "From: a@example.com\r\n\r\n"); /* no record: nothing */
	run(&e, "\r\n");
	e.box.ctx.dry_run = true;
	run(&e, "From: a@example.org\r\n\r\n"); /* leaves no trace */
	len = pread(fd, text, sizeof(text) - 1, 0);
	assert_true(len > 5);
	text[len] = '\0';
	assert_memory_equal(text, "kept\n{\"time\":", 13);
	assert_ptr_equal(strchr(text + 5, '\n'), text + len - 1); /* one line */
	assert_non_null(strstr(text, "\"header_from\":\"example.org\",\"envelope_from\":\"example.org\",\"envelope_to\":[\"example.com\"]"));
	env_fini(&e);
	close(fd);
	unlink(path);
}

/* A file that is missing becomes its folder's owner's, who is to write to it after a reload, too. */
static void
test_reports_made(void **state)
{
	char folder[] = "/tmp/dmarc_reports_XXXXXX", path[64];
	static struct env e;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/made", folder);
	if (geteuid() == 0)
		assert_int_equal(chown(folder, 1234, 5678), 0);
	for (int again = 0; again < 2; again++) {
		env_init(&e, ORG_LIST, path);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_uid, geteuid() == 0 ? 1234 : geteuid());
		assert_int_equal(st.st_mode & 07, 0);
		env_fini(&e);
	}
	unlink(path);
	rmdir(folder);
}

/* Reports are not what mail waits for. */
static void
test_reports_fail(void **state)
{
	char folder[] = "/tmp/dmarc_reports_XXXXXX", path[64];
	struct dmarc_conf conf = { .reports = path };
	static struct env e;

	(void)state;
	env_init(&e, ORG_LIST, "/dev/full");
	env_dns(&e, 't', "_dmarc.example.org", "v=DMARC1; p=reject");
	run(&e, "From: a@example.org\r\n\r\n");
	assert_int_equal(fact(&e, FACT_DISPOSITION), POLICY_REJECT);
	env_fini(&e);
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/pipe", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	alarm(5); /* nobody reads: this must not wait for somebody */
	assert_int_equal(box_init(&e.box, &sp_filter_dmarc, &conf, NULL, 0), SP_SYSTEM);
	alarm(0);
	box_fini(&e.box, &conf, NULL);
	unlink(path);
	rmdir(folder);
}

static enum sp_status
load(struct dmarc_conf *conf, struct box *box)
{
	return box_init(box, &sp_filter_dmarc, conf, NULL, 0);
}

static void
test_load(void **state)
{
	static const char rules[] = "// ===BEGIN ICANN DOMAINS===\nexample\n*.wild.example\n// ===END ICANN DOMAINS===\n";
	char path[] = "/tmp/dmarc_list_XXXXXX";
	struct dmarc_conf conf;
	static struct box box;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	conf = (struct dmarc_conf){ .psl = path };
	assert_int_equal(load(&conf, &box), SP_INVALID); /* nothing in it */
	assert_non_null(strstr(box.errors, path));
	box_fini(&box, &conf, NULL);
	assert_int_equal(write(fd, rules, sizeof(rules) - 1), (ssize_t)sizeof(rules) - 1);
	conf = (struct dmarc_conf){ .psl = path };
	assert_int_equal(load(&conf, &box), SP_OK);
	assert_true(text_is(org_registrable(conf.list, TEXT("a.B.x.wild.example")), TEXT("B.x.wild.example")));
	box_fini(&box, &conf, NULL);
	conf = (struct dmarc_conf){ .psl = "/nonexistent/list" };
	assert_int_equal(load(&conf, &box), SP_INVALID);
	box_fini(&box, &conf, NULL);
	conf = (struct dmarc_conf){ .discovery = ORG_TREE, .psl = "/nonexistent/list" }; /* not needed, not read */
	assert_int_equal(load(&conf, &box), SP_OK);
	box_fini(&box, &conf, NULL);
	conf = (struct dmarc_conf){ .reports = "/nonexistent/reports" };
	assert_int_equal(load(&conf, &box), SP_SYSTEM);
	assert_non_null(strstr(box.errors, "/nonexistent/reports"));
	box_fini(&box, &conf, NULL);
	close(fd);
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_pass), cmocka_unit_test(test_not_one_author),
		cmocka_unit_test(test_dns_fails), cmocka_unit_test(test_lots), cmocka_unit_test(test_reports),
		cmocka_unit_test(test_reports_made), cmocka_unit_test(test_reports_fail), cmocka_unit_test(test_load) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
