/*
 * programs.h - programs that filters talk to: each is started whenever a worker connects to its endpoint.
 *
 * The master notes what a policy wants while it is compiled, and then forks one keeper (keeper.h) for each generation, which
 * starts them. Workers hold nothing of this: they connect to a unix socket that only our own user can reach.
 */
#ifndef PROXY_MASTER_PROGRAMS_H
#define PROXY_MASTER_PROGRAMS_H

#include <stdbool.h>
#include <sys/types.h>

/* Before a policy is compiled: what an earlier one wanted is forgotten. */
void programs_begin(void);
/* For policy_env.program: notes the program and returns the endpoint at which it will be had; null: *reterr says why it
 * cannot be run. The texts live until the next call. Nothing is started. */
const char *programs_endpoint(void *arg, const char *command, const char **reterr);

/* Starts the keeper of a generation if its policy wants programs; forget is called in it and closes what is the master's.
 * False: the system refuses it, which was printed. */
bool programs_start(unsigned generation, void (*forget)(void));
/* In each process that is forked otherwise: closes what is the keepers'. */
void programs_in_child(void);
/* From time to time: ends keepers of generations before the present one that nobody serves any more, restarts one that has died. */
void programs_tend(unsigned present, unsigned (*workers_of)(unsigned generation));
/* A child of the master has ended: was it a keeper? */
bool programs_died(pid_t pid);
void programs_signal(int signo);
/* Ends all keepers, with the programs that they keep, and waits for them. */
void programs_stop(void);

#endif
