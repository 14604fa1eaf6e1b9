/*
 * play.h - a scene while it is played; for the files of proxy/test.
 */
#ifndef PROXY_TEST_PLAY_H
#define PROXY_TEST_PLAY_H

#include <sys/types.h>

#include "proxy/net/net.h"
#include "proxy/rt/rt.h"
#include "proxy/test/fakedns.h"
#include "proxy/test/scene.h"

/* What went over one connection, readable: one line a piece, CR and LF visible. */
void transcript_add(struct buf *to, const char *who, struct sp_span bytes);
void transcript_add_wide(struct buf *to, const char *who, struct sp_span bytes, size_t width); /* octets of a line at most */

/* ---- backend.c ---- */

struct fake_message {
	struct sp_span bytes; /* wire form without terminator, in the heap */
};
struct fake_backend {
	const struct scene *scene;
	struct trick tricks[64];      /* with what is left of their times */
	struct rt_watch *watch;
	int listener;                 /* -1: down */
	int holder;                   /* keeps the port for us while we are down; -1 */
	uint16_t port;
	int local;                    /* a unix socket beside it; -1: none */
	struct rt_watch *local_watch;
	struct buf transcript;
	struct fake_message messages[4096];
	size_t message_count;         /* accepted by a 2xx to the dot */
	size_t connections, open;
	struct visit *visits;         /* that are going on */
	const char *folder;           /* with its certificate */
	struct tls_context *tls;      /* null: not needed yet */
};
bool fake_backend_start(struct fake_backend *b, const struct scene *s);
/* Also on the unix socket backend.sock in the folder. */
bool fake_backend_local(struct fake_backend *b, const char *folder);
void fake_backend_stop(struct fake_backend *b);
/* Cuts all connections and refuses new ones; or takes them again, on the same port. */
void fake_backend_down(struct fake_backend *b);
bool fake_backend_up(struct fake_backend *b);

/* ---- milter.c ---- */

struct play;
struct fake_milter {
	const struct scene *scene;
	const struct scene_milter *script;
	struct milter_deed deeds[MILTER_DEEDS]; /* with what is left of their times */
	struct rt_watch *watch;
	int listener;                 /* -1: down */
	struct buf transcript;
	size_t connections, open, peak; /* peak: the most that were open at once */
	struct call *calls;           /* that are going on */
	struct rt_event ending;       /* wakes those that delay */
};
/* All of the scene, at NAME.sock in the folder. */
bool fake_milters_start(struct play *p, const char *folder);
/* Once the gateway has ended: lets them read to the end of each connection. */
void fake_milters_stop(struct play *p);
struct fake_milter *fake_milter_named(struct play *p, struct sp_span name); /* null: there is none */
void fake_milter_down(struct fake_milter *m); /* cuts all connections, and is not there any more */
bool fake_milter_up(struct fake_milter *m, const char *folder);

/* ---- certificate.c ---- */

enum { CERTIFICATE_PRINT = 65 };

/* NAME.pem and NAME.key in the folder; who signs it must be there. */
bool certificate_make(const char *folder, const struct scene_certificate *c);
/* SHA-256 of NAME.pem in hex. */
bool certificate_fingerprint(const char *folder, struct sp_span name, char ret[static CERTIFICATE_PRINT]);
/* If rest begins with "{fingerprint:NAME}", adds the fingerprint and returns the length of the placeholder; else 0. */
size_t certificate_placeholder(struct buf *to, struct sp_span rest, const char *folder);

/* ---- secure.c ---- */

/* The step starttls. */
void secure_client(struct play *p, struct stream *s, const struct step *st);
/* Sends octets below TLS. */
void secure_plain(struct stream *s, struct sp_span bytes);
/* The backend's side of a handshake; false: it failed. */
bool fake_backend_secure(struct fake_backend *b, struct stream *s, int64_t deadline_ms);

/* ---- gateway.c ---- */

struct child_world {
	const char *program, *folder;
	uint16_t backend_port, dns_port;
	int64_t clock;
};
struct child {
	struct child_world world;
	pid_t pid;
	int log_fd;                   /* its standard error */
	struct rt_fd *log_wait;
	struct buf log;               /* all that it said */
	struct rt_event logged;       /* something new was said */
	bool log_ended;
	uint16_t port;                /* of its first listener; 0: not listening yet */
	int status;                   /* of waitpid, once it has ended */
	char policy_path[4096];
};
/* Writes the policy, starts the program, waits until it listens. False: it did not start (log has why). */
bool child_start(struct child *c, const struct scene *s, const struct child_world *w);
/* SIGTERM if it still runs, then waits for its end and the rest of its log. */
void child_stop(struct child *c);
void child_signal(struct child *c, int signo);
/* Kills one of its workers. False: none was found. */
bool child_kill_worker(struct child *c);
/* Waits until its log has the text after offset from; false: deadline. */
bool child_wait_log(struct child *c, struct sp_span text, size_t from, int64_t deadline_ms);
/* The value of key in a logfmt line; unquoted, in the arena. {null,0}: not there. */
struct sp_span log_value(struct arena *a, struct sp_span line, const char *key);

/* ---- site.c ---- */

/* Writes the policy (c->policy_path) and the scene's files into the folder. */
bool site_make(struct child *c, const struct scene *s);
/* Writes another policy where the first stood. */
bool child_write_policy(struct child *c, const struct scene *s, struct sp_span policy);
/* How many messages lie in the folder's Maildir "mail", and their texts one after the other. */
size_t site_filed(const char *folder, struct buf *to);
/* Removes the folder with all in it. */
void site_remove(const char *folder);

/* ---- client.c ---- */

/* The address from which the gateway takes PROXY lines. */
#define PROXY_PEER "127.0.0.9"

struct play {
	struct scene *scene;
	struct child child;
	struct fake_backend backend;
	struct fake_milter milters[SCENE_MILTERS];
	struct fakedns *dns;
	struct buf transcript;
	bool failed;
};
void dialogue_play(struct play *p, const struct dialogue *d);
__attribute__((format(printf, 3, 4))) void play_fail(struct play *p, unsigned line, const char *fmt, ...);
/* Deadline for what should come at once: 20 s of real time whatever the clock's scale. */
int64_t play_deadline(const struct play *p);

/* ---- expect.c ---- */
void expect_all(struct play *p);

#endif
