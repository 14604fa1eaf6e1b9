/*
 * inspect_size.c - the module "size": what it counts, and when an entry is over.
 */
#include "tests/unit/filter_host.h"

#include "filters/size/size.c"

enum { SUBJECT, FROM, ALL, LISTS, BOB, BELOW, ENTRIES };

struct world {
	struct size_entry confs[ENTRIES];
	struct sp_entry entries[ENTRIES];
	struct box box;
};

static struct sp_span
span(const char *text)
{
	return (struct sp_span){ text, strlen(text) };
}

static void
world_new(struct world *w)
{
	static const char *const names[] = { "subject", "from", "all", "lists", "bob", "below" };

	memset(w, 0, sizeof(*w));
	w->confs[SUBJECT] = (struct size_entry){ .header = span("subject"), .limit = 20 };
	w->confs[FROM] = (struct size_entry){ .header = span("From"), .count = 1 };
	w->confs[ALL] = (struct size_entry){ .header = span("*"), .limit = 1000, .count = 3 };
	w->confs[LISTS] =
		(struct size_entry){ .rcpt = span("lists.example.com"), .limit = 1000, .count = 2 };
	w->confs[BOB] = (struct size_entry){ .rcpt = span("bob@example.com"), .limit = 500 };
	w->confs[BELOW] = (struct size_entry){ .rcpt = span(".example.com"), .count = 1 };
	for (size_t i = 0; i < ENTRIES; i++)
		w->entries[i] = (struct sp_entry){ names[i], &w->confs[i],
			size_entry_stage(&w->confs[i], SP_CONNECT) };
	assert_int_equal(box_init(&w->box, &sp_filter_size, NULL, w->entries, ENTRIES), SP_OK);
}

static bool
over(struct world *w, int entry)
{
	const struct sp_value *v = box_fact(&w->box, entry, ENTRY_OVER);

	assert_non_null(v);
	return v->u.boolean;
}

static int64_t
number(struct world *w, int entry, unsigned which)
{
	const struct sp_value *v = box_fact(&w->box, entry, which);

	assert_non_null(v);
	return v->u.integer;
}

static void
test_stages(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	assert_int_equal(w.entries[SUBJECT].stage, SP_HEADER);
	assert_int_equal(w.entries[LISTS].stage, SP_RCPT);
	box_fini(&w.box, NULL, w.entries);
}

static void
test_recipients(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	assert_int_equal(box_mail(&w.box, 1000), SP_OK);
	assert_int_equal(box_rcpt(&w.box, "a@Lists.Example.Com", 0), SP_OK);
	assert_false(over(&w, LISTS)); /* 1000 are not above 1000 */
	assert_int_equal(number(&w, LISTS, ENTRY_OCTETS), 1000);
	assert_false(over(&w, BOB));
	assert_int_equal(number(&w, BOB, ENTRY_OCTETS), 0);
	assert_false(over(&w, BELOW));
	assert_int_equal(number(&w, -1, FACT_DOMAINS), 1);
	assert_int_equal(box_rcpt(&w.box, "Bob@example.com", 1), SP_OK);
	assert_true(over(&w, BOB));
	assert_false(over(&w, LISTS)); /* not this one's entry */
	assert_false(over(&w, BELOW)); /* the domain itself is not below itself */
	assert_int_equal(number(&w, -1, FACT_DOMAINS), 2);
	assert_int_equal(box_rcpt(&w.box, "c@lists.example.com", 2), SP_OK);
	assert_false(over(&w, LISTS));
	assert_true(over(&w, BELOW));
	assert_int_equal(box_rcpt(&w.box, "d@lists.example.com", 3), SP_OK);
	assert_true(over(&w, LISTS));
	assert_int_equal(number(&w, LISTS, ENTRY_COUNT), 3);
	assert_int_equal(number(&w, -1, FACT_DOMAINS), 2);
	assert_int_equal(box_mail(&w.box, 1001), SP_OK); /* the next transaction begins anew */
	assert_int_equal(box_rcpt(&w.box, "a@lists.example.com", 0), SP_OK);
	assert_true(over(&w, LISTS)); /* by its size now */
	assert_int_equal(number(&w, LISTS, ENTRY_COUNT), 1);
	assert_int_equal(number(&w, -1, FACT_DOMAINS), 1);
	box_fini(&w.box, NULL, w.entries);
}

/* What was not announced is not above a limit: the manual says so. */
static void
test_size_not_declared(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	assert_int_equal(box_mail(&w.box, -1), SP_OK);
	assert_int_equal(box_rcpt(&w.box, "bob@example.com", 0), SP_OK);
	assert_false(over(&w, BOB));
	assert_int_equal(number(&w, BOB, ENTRY_OCTETS), 0);
	box_fini(&w.box, NULL, w.entries);
}

static void
test_fields(void **state)
{
	static const char text[] = "From: a\r\nSubject: 8901234567\r\nX: 1\r\n\r\n";
	static const char more[] = "From: a\r\nFrom: b\r\nSUBJECT: 890\r\n 567890\r\nX: 1\r\n\r\n";
	struct world w;

	(void)state;
	world_new(&w);
	assert_int_equal(box_mail(&w.box, -1), SP_OK);
	assert_int_equal(box_message(&w.box, span(text)), SP_OK);
	assert_false(over(&w, SUBJECT)); /* 19 octets */
	assert_int_equal(number(&w, SUBJECT, ENTRY_OCTETS), 19);
	assert_false(over(&w, FROM));
	assert_false(over(&w, ALL));
	assert_int_equal(number(&w, -1, FACT_FIELD), 19);
	assert_int_equal(box_mail(&w.box, -1), SP_OK);
	assert_int_equal(box_message(&w.box, span(more)), SP_OK);
	assert_true(over(&w, SUBJECT)); /* 21 with its fold */
	assert_int_equal(number(&w, SUBJECT, ENTRY_OCTETS), 21);
	assert_true(over(&w, FROM));
	assert_true(over(&w, ALL)); /* four fields */
	assert_int_equal(number(&w, ALL, ENTRY_COUNT), 4);
	box_fini(&w.box, NULL, w.entries);
}

static void
test_lines_in_any_pieces(void **state)
{
	static const char text[] =
		"Subject: x\r\n 0123456789012\r\n\r\nab\r\n01234567890123456789\r\n\r\nno end";
	struct world w;

	(void)state;
	world_new(&w);
	for (size_t piece = 0; piece < 30; piece++) {
		w.box.piece = piece;
		assert_int_equal(box_mail(&w.box, -1), SP_OK);
		assert_int_equal(box_message(&w.box, span(text)), SP_OK);
		assert_int_equal(number(&w, -1, FACT_LINE), 20);
		assert_int_equal(number(&w, -1, FACT_BODY), 34);
	}
	assert_int_equal(box_mail(&w.box, -1), SP_OK);
	assert_int_equal(
		box_message(&w.box, span("Subject: x\r\n 0123456789012\r\n\r\nab\r\n")), SP_OK);
	assert_int_equal(number(&w, -1, FACT_LINE), 14); /* lines of the header count too */
	assert_int_equal(box_mail(&w.box, -1), SP_OK);
	assert_int_equal(box_message(&w.box, span("A: x\r\n\r\n0123456789")), SP_OK);
	assert_int_equal(number(&w, -1, FACT_LINE), 10);
	assert_int_equal(box_mail(&w.box, -1), SP_OK);
	assert_int_equal(box_message(&w.box, span("")), SP_OK);
	assert_int_equal(number(&w, -1, FACT_LINE), 0);
	assert_int_equal(number(&w, -1, FACT_BODY), 0);
	box_fini(&w.box, NULL, w.entries);
}

static void
test_refused_at_load(void **state)
{
	struct world w;
	struct sp_load load = { &w.box };

	(void)state;
	world_new(&w);
	w.confs[SUBJECT].rcpt = span("x");
	w.confs[FROM].header.len = 0;
	w.confs[BOB].limit = 0;
	assert_int_equal(size_load(&load, &box_host, NULL, w.entries, ENTRIES), SP_INVALID);
	assert_string_equal(w.box.errors, "subject: it is either for a 'header' or for a 'rcpt'\n"
					  "from: it is either for a 'header' or for a 'rcpt'\n"
					  "bob: it needs a limit in octets, a 'count' or both\n");
	box_fini(&w.box, NULL, w.entries);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stages),
		cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_size_not_declared),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_lines_in_any_pieces),
		cmocka_unit_test(test_refused_at_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
