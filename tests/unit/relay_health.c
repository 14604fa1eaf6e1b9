/* relay_health.c - a backend's marks: when it is spared, and when it is served again. */
#include "tests/unit/relay_env.h"

#include "proxy/relay/relay_priv.h"

static struct relay_backend b;

static void
marks(unsigned failures, int64_t latency_ms)
{
	b = (struct relay_backend){ .config = { .max_failures = failures, .high_latency_ms = latency_ms } };
}

static void
failures_in_a_row(void **state)
{
	(void)state;
	marks(3, 0);
	health_failed(&b, FAULT_TIMEOUT);
	health_failed(&b, FAULT_REFUSED);
	assert_null(relay_backend_spared(&b));
	health_answered(&b, 250, 1);
	health_failed(&b, FAULT_CLOSED);
	health_answered(&b, 451, 1);
	health_answered(&b, 550, 1); /* it is well, and refuses that one */
	assert_null(relay_backend_spared(&b));
	health_failed(&b, FAULT_BUSY);
	assert_non_null(relay_backend_spared(&b));
	health_answered(&b, 250, 1); /* of a transaction that was open: only a probe ends it */
	assert_non_null(relay_backend_spared(&b));
	health_probed(&b, 1);
	assert_null(relay_backend_spared(&b));
	health_failed(&b, FAULT_TIMEOUT);
	assert_non_null(relay_backend_spared(&b));
}

static void
faults_of_others_do_not_count(void **state)
{
	const enum relay_fault others[] = { FAULT_LOCAL, FAULT_COMMIT, FAULT_SPOOL, FAULT_DISK, FAULT_EXTENSION, FAULT_REPLAY,
		FAULT_INTRODUCE };

	(void)state;
	marks(1, 0);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		health_failed(&b, others[i]);
	assert_null(relay_backend_spared(&b));
}

static void
latency_is_smoothed(void **state)
{
	(void)state;
	marks(0, 1000);
	health_took(&b, 3900);
	assert_null(relay_backend_spared(&b));
	for (int i = 0; i < 20; i++)
		health_took(&b, 10);
	health_took(&b, 3900);
	assert_null(relay_backend_spared(&b));
	health_took(&b, 3900);
	assert_non_null(relay_backend_spared(&b));
	health_probed(&b, 1001); /* it still takes too long */
	assert_non_null(relay_backend_spared(&b));
	health_probed(&b, 1000);
	assert_null(relay_backend_spared(&b));
}

static void
no_mark_no_sparing(void **state)
{
	(void)state;
	marks(0, 0);
	for (int i = 0; i < 1000; i++)
		health_failed(&b, FAULT_REFUSED);
	health_took(&b, 1000000);
	assert_null(relay_backend_spared(&b));
	b.config.maintenance = true;
	assert_non_null(relay_backend_spared(&b));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_in_a_row),
		cmocka_unit_test(faults_of_others_do_not_count),
		cmocka_unit_test(latency_is_smoothed),
		cmocka_unit_test(no_mark_no_sparing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
