/*
 * must.h - the first of the three grades of failure: our own bug.
 *
 * MUST(x) stays in production.  When x is false the process says where and aborts; the master
 * starts another worker.  It is never used for what a peer, a disk or a user can cause.
 */
#ifndef POLICY_KIT_MUST_H
#define POLICY_KIT_MUST_H

#define MUST(x) ((x) ? (void)0 : must_failed(#x, __FILE__, __LINE__))

_Noreturn void must_failed(const char *what, const char *file, int line);

#endif
