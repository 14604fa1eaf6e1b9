/*
 * table.c - how long a table of a million entries takes to load and to be asked.
 *
 * Prints one line for each kind of key: seconds to load from a file, entries a second, resident
 * memory that it took, and nanoseconds per look-up of keys drawn at random, half of them present.
 * Usage: bench_table [ENTRIES]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "policy/kit/span.h"
#include "policy/table/table.h"

enum { LOOKUPS = 2000000, SAMPLE = 1 << 16 };

static uint64_t random_state = 1;

static uint64_t
next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double
resident_mib(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long all = 0, resident = 0;

	if (f == NULL || fscanf(f, "%lu %lu", &all, &resident) != 2)
		resident = 0;
	if (f != NULL)
		fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

/* The n-th key of a kind; the same n gives the same key. */
static void
make_key(const char *kind, uint64_t n, char *to, size_t room)
{
	uint64_t mixed = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
	unsigned high = (unsigned)(mixed >> 32), low = (unsigned)(mixed >> 8) & 0xffff;

	if (kind[0] == '4')
		snprintf(to, room, "%u.%u.%u.%u", high >> 24, high >> 16 & 255, high >> 8 & 255, high & 255);
	else if (kind[0] == '6')
		snprintf(to, room, "2001:db8:%x:%x::%x", high >> 16, high & 0xffff, low);
	else if (kind[0] == 'd')
		snprintf(to, room, "%sh%x.net%x.example", n % 2 == 0 ? "." : "", high, low);
	else
		snprintf(to, room, "user%x@net%x.example", high, low);
}

static void
fault(void *arg, unsigned line, unsigned column, const char *sentence)
{
	(void)arg;
	fprintf(stderr, "%u:%u: %s\n", line, column, sentence);
}

static double
load(struct table *t, const char *kind, uint64_t entries)
{
	static const char path[] = "/tmp/sallyport-bench-table";
	struct table_reader r = { NULL, fault, NULL };
	FILE *to = fopen(path, "we");
	struct sp_span dup;
	char key[80];
	double start;

	if (to == NULL) {
		perror(path);
		exit(1);
	}
	for (uint64_t i = 0; i < entries; i++) {
		make_key(kind, i, key, sizeof(key));
		fprintf(to, "%s\n", key);
	}
	fclose(to);
	start = now();
	if (table_read_file(t, path, &r) != SP_OK || table_close(t, &dup) != SP_OK)
		exit(1);
	start = now() - start;
	unlink(path);
	return start;
}

static void
bench(const char *kind, enum sp_type type, uint64_t entries)
{
	static char keys[SAMPLE][80];
	static struct sp_value values[SAMPLE];
	double before = resident_mib(), seconds, start;
	struct table *t = table_new(type, SP_END);
	size_t hits = 0;

	seconds = load(t, kind, entries);
	for (size_t i = 0; i < SAMPLE; i++) {
		make_key(kind, next_random() % (entries * 2), keys[i], sizeof(keys[i]));
		values[i] = (struct sp_value){ type, { .text = span_str(keys[i]) } };
		if (type == SP_NET) {
			values[i].type = SP_IP;
			span_to_ip(span_str(keys[i]), &values[i].u.ip);
		}
	}
	start = now();
	for (size_t i = 0; i < LOOKUPS; i++)
		hits += table_find(t, &values[i % SAMPLE]) != NULL;
	start = now() - start;
	printf("%-8s %8zu entries  load %5.2f s  %6.1f MiB  look-up %4.0f ns  (%zu%% found)\n", kind, table_count(t),
		seconds, resident_mib() - before, start / LOOKUPS * 1e9, hits * 100 / LOOKUPS);
	table_free(&t);
}

int
main(int argc, char **argv)
{
	uint64_t entries = 1000000;

	if (argc > 1 && span_to_u64(span_str(argv[1]), 100000000, &entries) != SP_OK) {
		fprintf(stderr, "usage: %s [ENTRIES]\n", argv[0]);
		return 2;
	}
	bench("4 net", SP_NET, entries);
	bench("6 net", SP_NET, entries);
	bench("domain", SP_DOMAIN, entries);
	bench("address", SP_ADDRESS, entries);
	return 0;
}
