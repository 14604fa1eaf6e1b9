/*
 * spool.h - one message: in memory up to a size, then in an unlinked temporary file.
 *
 * It holds the octets of header and body as they came over the wire, dots still stuffed, without the
 * terminator: they have passed the data parser (smtp/data.h), so they can be sent on as they are.  Every
 * write is checked.  The memory of all spools of a worker together is bounded: when the bound is reached,
 * spool_reserve() makes the caller wait (it then stops reading) instead of taking more.
 */
#ifndef PROXY_SPOOL_SPOOL_H
#define PROXY_SPOOL_SPOOL_H

#include <sallyport/filter.h>

struct spool_config {
	const char *directory; /* for temporary files; default /var/tmp or $TMPDIR */
	size_t memory;         /* octets kept in memory for one message, default 256 KiB */
	size_t total_memory;   /* octets for all of this worker, default 64 MiB */
};
void spool_configure(const struct spool_config *c);

struct spool;
struct spool *spool_new(void); /* null: no memory */
void spool_free(struct spool **s);

/* Suspends until n octets can be written within the bound on all memory.  A message that holds some already
 * goes to its file instead of taking more, so only one that is still empty waits.  SP_TIMEOUT, SP_CANCELED,
 * SP_SYSTEM. */
enum sp_status spool_reserve(struct spool *s, size_t n, int64_t deadline_ms);
/* Appends; suspends nothing. SP_SYSTEM: ENOSPC, EIO, EDQUOT, EMFILE ... (errno in spool_errno()). After that all writes and
 * reads fail the same way. */
enum sp_status spool_write(struct spool *s, struct sp_span bytes);
int spool_errno(const struct spool *s);
/* No more writes: checks that what the file holds is what was written (length). */
enum sp_status spool_seal(struct spool *s);
int64_t spool_size(const struct spool *s);

/* Octets from offset on, as many as lie together (never none before the end): SP_OK; SP_NONE at the end; SP_SYSTEM.
 * From memory without a copy; from a file through the spool's one 64 KiB window: valid until the next call. */
enum sp_status spool_read(struct spool *s, int64_t offset, struct sp_span *ret);
/* Descriptor when it is in a file, else -1. Complete once it is sealed. */
int spool_fd(const struct spool *s);
/* Free octets on the file system of the directory; -1: not known. */
int64_t spool_disk_free(void);
size_t spool_memory_used(void); /* of all spools of this process */

#endif
