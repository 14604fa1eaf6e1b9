/*
 * keeper.h - the process that starts programs: one for each connection that is made to their sockets.
 */
#ifndef PROXY_MASTER_KEEPER_H
#define PROXY_MASTER_KEEPER_H

#include <stddef.h>
#include <sys/types.h>

enum { KEEPER_PROGRAMS = 64, KEEPER_CHILDREN = 256, KEEPER_WORDS = 64 };

struct keeper_program {
	char *command;  /* words divided by blanks, the first a path */
	char path[108]; /* of the socket */
	int fd;         /* that listens */
};

/* Runs until the other end of alive is closed, or an octet has come from there: then the folder of the sockets is still needed.
 * Ends all that it has started. Never returns.
 * started: of KEEPER_CHILDREN process groups, in memory that is shared with the master, who ends them if the keeper cannot any more; 0: none. */
_Noreturn void keeper_run(const struct keeper_program *programs, size_t count, int alive, pid_t *started);

#endif
