/*
 * scene.h - one .sally file: a policy, a fake world around it, dialogues, and what must have come of them.
 *
 *   parse.c        text to struct scene, with steps.c (dialogues) and words.c
 *   play.c         starts the world and the gateway, plays the dialogues, stops all, judges
 *   client.c       a dialogue's client side
 *   backend.c      the scripted backend
 *   milter.c       scripted milters, with parse_milter.c and milter_words.c
 *   certificate.c  certificates, with secure.c, which shakes hands
 *   site.c         the folder with the policy and what belongs to it
 *   gateway.c      the gateway as a child process, and its log
 *   expect.c       what must be true at the end
 *   fakedns.c      the DNS
 *
 * The gateway is driven by sockets and signals and judged by replies and log lines only.
 */
#ifndef PROXY_TEST_SCENE_H
#define PROXY_TEST_SCENE_H

#include "policy/kit/arena.h"
#include "policy/kit/buf.h"
#include "policy/kit/span.h"

enum { SCENE_OPTIONS = 8, SCENE_STEPS = 4096, SCENE_TRANSCRIPT = 4 << 20 };

/* One step of a client's dialogue. */
enum step_kind {
	STEP_SEND,     /* text, CR LF added */
	STEP_RAW,      /* text as it is */
	STEP_EXPECT,   /* a whole reply: text "250", "550 5.7.1", "5xx", "*"; more: a part of its text,
	                * or, if number is not 0, what it lacks */
	STEP_CLOSED,   /* the gateway closes, and says nothing more */
	STEP_SILENCE,  /* nothing comes for number ms */
	STEP_PAUSE,    /* number ms */
	STEP_WITHIN,   /* from now on each reply must come within number ms */
	STEP_CHUNK,    /* from now on at most number octets a write; 0: all at once */
	STEP_CLOSE,
	STEP_RESET,
	STEP_SHUTDOWN, /* no more will be sent */
	STEP_FILL,     /* number octets of text in lines of 78 */
	STEP_LINE,     /* a line of number octets and CR LF */
	STEP_TEXT,     /* number octets without a line end; with any more: and the repeat's round */
	STEP_REPEAT,   /* steps up to the matching STEP_END, number times; {n} in their texts counts from 1 */
	STEP_HOLD,     /* the same on number more connections, which then stay open until this one ends */
	STEP_END,
	STEP_MANY,     /* text, number times, in one write */
	STEP_STARTTLS,
	STEP_NOTIFY,   /* TLS close_notify, and the connection stays open */
	STEP_PLAIN,    /* text, in the clear whatever TLS there is */
	STEP_GATEWAY,  /* text: TERM HUP USR1 KILL-WORKER, or POLICY with more: the new file's text */
	STEP_WAIT_LOG, /* until a log line has the text */
	STEP_WAIT_BACKEND, /* until the backend's transcript has it */
	STEP_BACKEND,  /* text: DOWN or UP */
	STEP_MILTER,   /* text: its name; more: DOWN or UP */
	STEP_WAIT_MILTER /* text: its name; until its transcript has more */
};
struct step {
	enum step_kind kind;
	unsigned line;
	struct sp_span text, more;
	int64_t number;
};

struct dialogue {
	struct sp_span from; /* the client's address as the gateway shall see it; empty: 127.0.0.1 */
	int64_t chunks[8];   /* played once with each of these octets a write; 0: all at once */
	size_t chunk_count;
	struct step *steps;
	size_t count;
	unsigned line;
};

/* "on RCPT <b@c> reply "550 no"": what the backend does instead of saying yes. */
enum trick_kind { TRICK_REPLY, TRICK_RAW, TRICK_CLOSE, TRICK_RESET, TRICK_SILENT, TRICK_DRIP, TRICK_DELAY, TRICK_STALL, TRICK_PLAIN };
struct trick {
	struct sp_span when, match; /* verb or connect, body, dot; match: part of the command line */
	enum trick_kind kind;
	struct sp_span text;
	int64_t number; /* DELAY: ms */
	int64_t times;  /* how often it still applies; -1: always */
};

/* "at MAIL ["part"] reply "550 no"": what a milter does instead of saying continue. */
struct milter_deed {
	uint32_t command;        /* SMFIC_*; 0: when somebody connects */
	struct sp_span match;    /* part of the command as the transcript shows it */
	enum deed_kind { DEED_SEND, DEED_CLOSE, DEED_RESET, DEED_HANG, DEED_DELAY, DEED_FILL } kind;
	bool answers;            /* it takes the place of the ordinary answer */
	bool verdict;            /* and of that of later deeds */
	struct sp_span octets;   /* SEND: a packet, or anything */
	struct sp_span shown;    /* as it was written */
	int64_t number;          /* DELAY: ms; FILL: octets of a new body */
	int64_t times;           /* how often it still applies; -1: always */
};
enum { MILTER_DEEDS = 48, MILTER_LISTS = 7, SCENE_MILTERS = 8 };
/* "milter NAME { ... }": it listens at {folder}/NAME.sock. */
struct scene_milter {
	struct sp_span name;
	bool refuses;            /* nobody listens, until a step UP */
	bool says_version, says_actions; /* else as it is asked */
	uint32_t version, actions, steps;
	struct sp_span lists[MILTER_LISTS]; /* of macros, by SMFIM_*; null: none */
	struct milter_deed deeds[MILTER_DEEDS];
	size_t deed_count;
};

struct record {
	struct sp_span name, type, value;
};

/* A file beside the policy. */
struct scene_file {
	struct sp_span name, text;
};

/* "certificate NAME "host,host" [rsa [large]] [expired] [by NAME]": NAME.pem and NAME.key in the folder. */
struct scene_certificate {
	struct sp_span name, hosts, by; /* by: who signs; empty: itself */
	bool rsa, large, expired; /* rsa: 2048 bits, large: 4096 */
};

struct expectation {
	unsigned line;
	struct sp_span words[6];
	size_t count;
	bool quoted[6];
};

struct scene {
	struct arena *arena;
	const char *path;
	struct sp_span title, policy, policy_file, listen, offers;
	struct sp_span fails; /* not empty: it passes if it fails, and says this */
	bool has_policy, backend_refuses, has_dns, tls;
	bool backend_own;  /* the policy's own backends are used, not the fake one for all of them */
	bool backend_local; /* it listens on the unix socket {folder}/backend.sock, too */
	bool backend_drops; /* no answer to a SYN */
	const char *options[SCENE_OPTIONS];
	size_t option_count;
	struct scene_file files[16];
	size_t file_count;
	struct scene_certificate certificates[16];
	size_t certificate_count;
	struct sp_span backend_tls; /* the certificate of the fake backend, which then offers STARTTLS; empty: none */
	bool backend_tls_implicit;
	int64_t clock; /* how many times faster than real time */
	struct dialogue dialogues[64];
	size_t dialogue_count;
	struct trick tricks[64];
	size_t trick_count;
	struct scene_milter milters[SCENE_MILTERS];
	size_t milter_count;
	struct record records[256];
	size_t record_count;
	struct expectation expectations[128];
	size_t expectation_count;
	struct buf error; /* of parsing, or why it failed */
};

/* Null only without memory. parse: false with scene->error "file:line: ..." */
struct scene *scene_new(const char *path);
void scene_free(struct scene **s);
bool scene_parse(struct scene *s, struct sp_span text);

/* Plays it in this process (a child is forked for the gateway). program: the sallyport to run. keep: leave the folder of
 * temporary files. True: all as expected; else scene->error says what, with transcripts. */
struct scene_options {
	const char *program;
	bool keep, verbose;
};
bool scene_play(struct scene *s, const struct scene_options *o);

#endif
