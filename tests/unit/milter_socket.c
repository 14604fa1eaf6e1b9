/*
 * The ways to write where a milter listens, and what a configuration may not say.
 */
#include "tests/unit/milter_host.h"

#include "milter/socket.h"

static void
test_forms(void **state)
{
	static const char *const forms[][2] = {
		{ "unix:/run/x.sock", "unix:/run/x.sock" },
		{ "local:/run/x.sock", "unix:/run/x.sock" },
		{ "/run/x.sock", "unix:/run/x.sock" },
		{ "inet:8891@localhost", "127.0.0.1:8891" },
		{ "inet:8891@192.0.2.1", "192.0.2.1:8891" },
		{ "inet:8891@[192.0.2.1]", "192.0.2.1:8891" },
		{ "inet6:8891@localhost", "[::1]:8891" },
		{ "inet6:8891@[2001:db8::1]", "[2001:db8::1]:8891" },
		{ "inet:milter.example.org:8891", "milter.example.org:8891" },
		{ "inet:localhost:8891", "127.0.0.1:8891" },
		{ "192.0.2.1:65535", "192.0.2.1:65535" },
		{ "[::1]:1", "[::1]:1" },
		{ "LOCALHOST:25", "127.0.0.1:25" },
	};
	static const char *const wrong[] = { "", "unix:", "unix:run/x", "unix:./x", "8891", "inet:8891", "inet:8891@", "inet:@localhost",
		"inet:0@localhost", "inet:65536@localhost", "inet:08@localhost", "inet:8x@localhost", "host:", ":25", "a b:25", "::1:25", "a@b@c",
		"25@a/b", "tcp:8891@localhost", "[]:25", "[::1:25" };
	char text[SOCKET_MAX], lengthy[400];

	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		assert_int_equal(socket_read(box_span(forms[i][0]), text), SP_OK);
		assert_string_equal(text, forms[i][1]);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (socket_read(box_span(wrong[i]), text) != SP_INVALID)
			fail_msg("'%s' was taken", wrong[i]);
	memset(lengthy, 'x', sizeof(lengthy));
	memcpy(lengthy, "unix:/", 6);
	assert_int_equal(socket_read((struct sp_span){ lengthy, sizeof(lengthy) }, text), SP_INVALID);
	assert_int_equal(socket_read((struct sp_span){ "unix:/a\0b", 9 }, text), SP_INVALID);
}

static void
test_load(void **state)
{
	struct milter_conf conf = { .socket = box_span("inet:25@localhost"), .protocol = 6 };
	struct box box;

	(void)state;
	assert_int_equal(box_init(&box, &sp_filter_milter, &conf, NULL, 0), SP_OK);
	assert_string_equal(conf.endpoint, "127.0.0.1:25");
	box_fini(&box, &conf, NULL);
	conf.protocol = 5;
	assert_int_equal(box_init(&box, &sp_filter_milter, &conf, NULL, 0), SP_INVALID);
	assert_non_null(strstr(box.errors, "no version 5"));
	box_fini(&box, &conf, NULL);
	conf = (struct milter_conf){ .socket = box_span("here"), .protocol = 6 };
	assert_int_equal(box_init(&box, &sp_filter_milter, &conf, NULL, 0), SP_INVALID);
	assert_non_null(strstr(box.errors, "'socket' is"));
	box_fini(&box, &conf, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
