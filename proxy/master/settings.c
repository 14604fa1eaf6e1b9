/*
 * settings.c - the tables of settings: names, types, defaults, one line of help each.
 */
#include "proxy/master/config.h"

static const char *const line_end_words[] = { "refuse", "space", NULL };
static const char *const format_words[] = { "logfmt", "json", NULL };
static const char *const relay_words[] = { "early", "late", NULL };
static const char *const auth_words[] = { "off", "offer", "require", NULL };
static const char *const user_table[] = { "string", "string" };
static const char *const protocol_words[] = { "smtp", "lmtp", NULL };
static const char *const tls_words[] = { "off", "may", "require", NULL };
static const char *const tls_backend_words[] = { "off", "may", "require", "verify", NULL };
static const char *const tls_ask_words[] = { "off", "ask", "require", NULL };
static const char *const tls_min_words[] = { "TLSv1.2", "TLSv1.3", NULL };
static const char *const proxy_words[] = { "no", "v1", "v2", NULL };
static const char *const source_words[] = { "own", "client", NULL };
static const char *const backend_kind[] = { "backend", NULL };
static const char *const atrn_kind[] = { "atrn", NULL };

#define SECONDS(n) ((int64_t)(n) * 1000)
#define NO_LIMIT INT64_MAX

static const struct policy_setting_decl program_settings[] = {
	{ "resolver", POLICY_SET_ENDPOINT, .list = true, .help = "DNS resolvers, address:port; default: those of resolv.conf" },
	{ "dns timeout", POLICY_SET_DURATION, .fallback = "5s", .min = 10, .max = SECONDS(60), .help = "of one try of a question" },
	{ "dns cache", POLICY_SET_INT, .fallback = "10000", .min = 0, .max = 10000000, .help = "answers kept by each worker" },
	{ "workers", POLICY_SET_INT, .fallback = "0", .min = 0, .max = 256, .help = "processes; 0: one for each core" },
	{ "user", POLICY_SET_STRING, .help = "account to run as once the listeners are open; default: as started" },
	{ "log", POLICY_SET_STRING, .fallback = "stderr", .help = "stderr, syslog, or a file's path" },
	{ "log format", POLICY_SET_ENUM, .fallback = "logfmt", .words = format_words, .help = "form of log lines" },
	{ "drain", POLICY_SET_DURATION, .fallback = "30s", .help = "after SIGTERM, how long open transactions may go on" },
	{ "stop", POLICY_SET_DURATION, .fallback = "300s", .help = "after SIGTERM, when the last worker is ended" },
	{ 0 }
};

static const struct policy_setting_decl listen_settings[] = {
	{ "backend", POLICY_SET_NAME, .words = backend_kind, .help = "where mail of this listener goes; default: the first backend" },
	{ "hostname", POLICY_SET_STRING, .help = "our name in banner, EHLO and Received; backend: that of the backend; default: the system's" },
	{ "banner", POLICY_SET_STRING, .fallback = "ESMTP Sallyport", .help = "what follows our name in the 220; backend: what follows the backend's" },
	{ "received", POLICY_SET_BOOL, .fallback = "yes", .help = "write a Received field" },
	{ "authserv-id", POLICY_SET_STRING, .help = "our name in Authentication-Results; default: the hostname" },
	{ "authentication results", POLICY_SET_BOOL, .fallback = "yes", .help = "write what the filters found; those that claim our name are removed in any case" },
	{ "several from", POLICY_SET_BOOL, .fallback = "no", .help = "take a message with several From fields" },
	{ "relay to", POLICY_SET_DOMAINS, .repeat = true, .help = "recipient domains that are taken from anybody" },
	{ "relay for", POLICY_SET_NETS, .repeat = true, .help = "clients that may send to any domain" },
	{ "relay for authenticated", POLICY_SET_BOOL, .fallback = "no", .help = "who has logged in may send to any domain" },
	{ "relay for certificates", POLICY_SET_TABLE, .words = user_table, .help = "table from the SHA-256 of a client's certificate, as in tls.client.fingerprint, to a name: he may send to any domain" },
	{ "relay as backend", POLICY_SET_BOOL, .fallback = "no", .help = "what the backend takes, is taken: it must see the client's own address" },
	{ "auth", POLICY_SET_ENUM, .fallback = "off", .words = auth_words, .help = "AUTH, passed through to the backend: off, offer, or require before MAIL" },
	{ "auth plaintext", POLICY_SET_BOOL, .fallback = "no", .help = "AUTH without TLS, too" },
	{ "auth mechanisms", POLICY_SET_STRING, .list = true, .help = "those of the backend's that are passed on; default: all but EXTERNAL, ANONYMOUS and ...-PLUS" },
	{ "max auth failures", POLICY_SET_INT, .fallback = "3", .min = 1, .max = 1000, .help = "refused logins before 421" },
	{ "max auth failures per client", POLICY_SET_INT, .fallback = "100", .min = 1, .max = 1000000, .help = "refused logins of one IPv4 address or IPv6 /64 in an hour, in each worker" },
	{ "submission", POLICY_SET_BOOL, .fallback = "no", .help = "RFC 6409: AUTH is needed, who has logged in may send to any domain, Date, Message-ID, From and Sender are completed" },
	{ "senders", POLICY_SET_TABLE, .words = user_table, .help = "table from user to the addresses and @domains, with commas, that may be his MAIL FROM and From" },
	{ "proxy protocol from", POLICY_SET_NETS, .repeat = true, .help = "peers that name their client by a PROXY header, version 1 or 2" },
	{ "xclient from", POLICY_SET_NETS, .repeat = true, .help = "peers that may name their client by XCLIENT" },
	{ "transparent", POLICY_SET_BOOL, .fallback = "no", .help = "take connections to any address that the kernel brings here; each goes to the server that it was meant for" },
	{ "relay", POLICY_SET_ENUM, .fallback = "early", .words = relay_words, .help = "early: the backend is asked at each RCPT; late: after the verdict only" },
	{ "bare line ends", POLICY_SET_ENUM, .fallback = "refuse", .words = line_end_words, .help = "bare CR, bare LF and NUL: refuse the message, or turn each into a space" },
	{ "quoted local part", POLICY_SET_BOOL, .fallback = "no", .help = "take \"quoted\"@example.com" },
	{ "etrn from", POLICY_SET_NETS, .repeat = true, .help = "clients that may start the backend's queue by ETRN, where it offers that" },
	{ "atrn from", POLICY_SET_NETS, .repeat = true, .help = "clients that may fetch their mail by ATRN once they have logged in, where the backend offers that" },
	{ "atrn listener", POLICY_SET_NAME, .words = atrn_kind, .help = "the atrn block whose rules that mail passes; default: the first" },
	{ "pass", POLICY_SET_STRING, .list = true, .repeat = true, .help = "of DELIVERBY, FUTURERELEASE, LIMITS, MT-PRIORITY, REQUIRETLS those that are offered where the backend has them" },
	{ "withhold", POLICY_SET_STRING, .list = true, .repeat = true, .help = "extensions that EHLO does not offer, whatever the backend has" },
	{ "tls", POLICY_SET_ENUM, .words = tls_words, .help = "off, may, or require it before MAIL; default: may where there is a certificate" },
	{ "tls certificate", POLICY_SET_FILE, .repeat = true, .help = "PEM chain; the first is for who names no host that a certificate has" },
	{ "tls key", POLICY_SET_FILE, .repeat = true, .help = "PEM key of the certificate, in the same order" },
	{ "tls implicit", POLICY_SET_BOOL, .fallback = "no", .help = "TLS before the banner, as on port 465" },
	{ "tls min", POLICY_SET_ENUM, .fallback = "TLSv1.2", .words = tls_min_words, .help = "oldest version that is spoken" },
	{ "tls client certificate", POLICY_SET_ENUM, .fallback = "off", .words = tls_ask_words, .help = "ask for it, or require one that tls ca vouches for" },
	{ "tls ca", POLICY_SET_FILE, .help = "PEM: who vouches for clients' certificates" },
	{ "max message", POLICY_SET_SIZE, .fallback = "50M", .min = 1024, .max = NO_LIMIT, .help = "octets of a message" },
	{ "max header", POLICY_SET_SIZE, .fallback = "256K", .min = 1024, .max = 16 << 20, .help = "octets of a header block" },
	{ "max line", POLICY_SET_SIZE, .fallback = "1M", .min = 998, .max = NO_LIMIT, .help = "octets of a line of text" },
	{ "max recipients", POLICY_SET_INT, .fallback = "1000", .min = 1, .max = 100000, .help = "of one message" },
	{ "max errors", POLICY_SET_INT, .fallback = "20", .min = 1, .max = 10000, .help = "wrong commands before 421" },
	{ "max junk", POLICY_SET_INT, .fallback = "100", .min = 1, .max = 100000, .help = "NOOP, RSET, VRFY, HELP between messages before 421" },
	{ "max bad recipients", POLICY_SET_INT, .fallback = "100", .min = 1, .max = 100000, .help = "refused recipients before 421" },
	{ "max hops", POLICY_SET_INT, .fallback = "50", .min = 5, .max = 1000, .help = "Received fields: above it is a loop" },
	{ "max connections", POLICY_SET_INT, .fallback = "20000", .min = 1, .max = 1000000, .help = "on this listener, in each worker" },
	{ "max connections per client", POLICY_SET_INT, .fallback = "50", .min = 1, .max = 1000000, .help = "of one IPv4 address or IPv6 /64, in each worker" },
	{ "greet delay", POLICY_SET_DURATION, .fallback = "0s", .max = SECONDS(30), .help = "silence before the banner; who speaks first is refused" },
	{ "command timeout", POLICY_SET_DURATION, .fallback = "300s", .min = 100, .max = NO_LIMIT, .help = "for a whole command line" },
	{ "data timeout", POLICY_SET_DURATION, .fallback = "180s", .min = 100, .max = NO_LIMIT, .help = "between two pieces of a message" },
	{ "min data rate", POLICY_SET_SIZE, .fallback = "500", .help = "octets a second, measured over a minute" },
	{ "commit deadline", POLICY_SET_DURATION, .fallback = "240s", .min = 100, .max = NO_LIMIT, .help = "from the client's final dot to ours" },
	{ "filter budget", POLICY_SET_DURATION, .fallback = "60s", .min = 10, .max = NO_LIMIT, .help = "for all filters of a transaction together" },
	{ "dns budget", POLICY_SET_DURATION, .fallback = "20s", .min = 10, .max = NO_LIMIT, .help = "for all that filters ask the DNS about one message" },
	{ 0 }
};

static const struct policy_setting_decl backend_settings[] = {
	{ "address", POLICY_SET_ENDPOINT, .list = true, .repeat = true, .help = "address:port or name:port, tried in order" },
	{ "protocol", POLICY_SET_ENUM, .fallback = "smtp", .words = protocol_words, .help = "smtp, or lmtp, which is also spoken over unix sockets" },
	{ "recipients together", POLICY_SET_BOOL, .fallback = "no", .help = "LMTP: several in one transaction, the strictest reply speaks for all; else one at a time" },
	{ "for", POLICY_SET_DOMAINS, .repeat = true, .help = "recipient domains that go here, whatever backend the listener has" },
	{ "mx", POLICY_SET_STRING, .help = "a domain: its MX hosts are the addresses" },
	{ "maildir", POLICY_SET_FILE, .help = "no server: file each message into this Maildir" },
	{ "helo", POLICY_SET_STRING, .help = "our name to the backend; default: the system's" },
	{ "tls", POLICY_SET_ENUM, .fallback = "off", .words = tls_backend_words, .help = "off, may where it is offered, require, or verify the certificate, too" },
	{ "tls implicit", POLICY_SET_BOOL, .fallback = "no", .help = "TLS before the banner" },
	{ "tls min", POLICY_SET_ENUM, .fallback = "TLSv1.2", .words = tls_min_words, .help = "oldest version that is spoken" },
	{ "tls ca", POLICY_SET_FILE, .help = "PEM: who vouches for the certificate; default: whom the system believes" },
	{ "tls name", POLICY_SET_STRING, .help = "that the certificate must have; default: the name in the only address" },
	{ "tls fingerprint", POLICY_SET_STRING, .list = true, .repeat = true, .help = "\"sha256:...\" of certificates that need no one to vouch for them" },
	{ "xclient", POLICY_SET_BOOL, .fallback = "no", .help = "tell it by XCLIENT who the client is; where it does not take that, 451" },
	{ "xforward", POLICY_SET_BOOL, .fallback = "no", .help = "tell it by XFORWARD who the client is, for its log" },
	{ "proxy protocol", POLICY_SET_ENUM, .fallback = "no", .words = proxy_words, .help = "tell it by a PROXY header of that version who the client is" },
	{ "source", POLICY_SET_ENUM, .fallback = "own", .words = source_words, .help = "the address that it sees: ours, or the client's (IP_TRANSPARENT)" },
	{ "maintenance", POLICY_SET_BOOL, .fallback = "no", .help = "it gets no mail: clients are told 451 4.3.2" },
	{ "max failures", POLICY_SET_INT, .fallback = "0", .min = 0, .max = 1000000, .help = "in a row, then 451 4.3.2 at MAIL until a probe finds it well; 0: never" },
	{ "high latency", POLICY_SET_DURATION, .fallback = "0s", .max = SECONDS(600), .help = "the same when it takes so long to answer; 0: never" },
	{ "pool", POLICY_SET_INT, .fallback = "20", .min = 0, .max = 10000, .help = "idle connections that each worker keeps" },
	{ "pool idle", POLICY_SET_DURATION, .fallback = "30s", .help = "how long it keeps them" },
	{ "connect timeout", POLICY_SET_DURATION, .fallback = "10s", .min = 10, .max = NO_LIMIT, .help = "for each address" },
	{ "reply timeout", POLICY_SET_DURATION, .fallback = "120s", .min = 10, .max = SECONDS(280), .help = "for MAIL and RCPT; the banner, EHLO and DATA get half" },
	{ 0 }
};

static const struct policy_setting_decl spool_settings[] = {
	{ "directory", POLICY_SET_FILE, .help = "for temporary files; default /var/tmp" },
	{ "memory", POLICY_SET_SIZE, .fallback = "256K", .min = 4096, .max = NO_LIMIT, .help = "octets of a message kept in memory" },
	{ "total", POLICY_SET_SIZE, .fallback = "64M", .min = 1 << 20, .max = NO_LIMIT, .help = "memory for all messages of a worker" },
	{ 0 }
};

const struct policy_block_decl config_blocks[] = {
	{ "", POLICY_HEAD_NONE, true, program_settings, "settings of the program" },
	{ "listen", POLICY_HEAD_ENDPOINT, false, listen_settings, "an address on which clients are served" },
	{ "atrn", POLICY_HEAD_NAME, false, listen_settings, "a listener without an address: the backend, when it brings by ATRN what a client fetches" },
	{ "backend", POLICY_HEAD_NAME, false, backend_settings, "a mail server behind the gateway; one named sink without an address files mail as Maildir" },
	{ "spool", POLICY_HEAD_NONE, true, spool_settings, "where messages wait for their verdict" },
	{ NULL, POLICY_HEAD_NONE, false, NULL, NULL }
};
