/*
 * tlsmail.c - sends mail over STARTTLS, a connection and a whole handshake for each message.
 *
 * Prints the seconds that it took; smtp-source does not know TLS.  No session is resumed, and certificates are not looked at.
 * Usage: tlsmail PORT SESSIONS MESSAGES OCTETS
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

enum { SESSIONS_MAX = 100, REPLY = 4096, OCTETS_MAX = 1 << 20 };

static SSL_CTX *context;
static uint16_t port;
static char message[OCTETS_MAX + 100];
static size_t message_len;
static atomic_long left;

static _Noreturn void
fail(const char *what)
{
	fprintf(stderr, "tlsmail: %s\n", what);
	exit(1);
}

static size_t
octets_read(int fd, SSL *ssl, char *to, size_t room)
{
	ssize_t n = ssl != NULL ? SSL_read(ssl, to, (int)room) : read(fd, to, room);

	return n > 0 ? (size_t)n : 0;
}

/* A whole reply that begins with this digit. */
static void
expect(int fd, SSL *ssl, char digit)
{
	char reply[REPLY + 1];
	size_t len = 0, last = 0;

	for (;;) {
		size_t n = octets_read(fd, ssl, reply + len, REPLY - len);

		if (n == 0)
			fail("the connection was closed");
		len += n;
		reply[len] = '\0';
		for (char *end; (end = strchr(reply + last, '\n')) != NULL; last = (size_t)(end - reply) + 1) {
			if (reply[last + 3] == '-')
				continue;
			if (reply[0] != digit)
				fail(reply);
			return;
		}
	}
}

static void
say(int fd, SSL *ssl, const char *text, size_t len)
{
	ssize_t n = ssl != NULL ? SSL_write(ssl, text, (int)len) : write(fd, text, len);

	if (n != (ssize_t)len)
		fail("cannot write");
}

static void
command(int fd, SSL *ssl, const char *text, char digit)
{
	say(fd, ssl, text, strlen(text));
	expect(fd, ssl, digit);
}

static int
connect_there(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		fail("cannot connect");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static void
send_one(void)
{
	int fd = connect_there();
	SSL *ssl = SSL_new(context);

	expect(fd, NULL, '2');
	command(fd, NULL, "EHLO client.example.org\r\n", '2');
	command(fd, NULL, "STARTTLS\r\n", '2');
	if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1)
		fail("no handshake");
	command(fd, ssl, "EHLO client.example.org\r\n", '2');
	command(fd, ssl, "MAIL FROM:<ann@sender.example>\r\n", '2');
	command(fd, ssl, "RCPT TO:<bob@example.com>\r\n", '2');
	command(fd, ssl, "DATA\r\n", '3');
	say(fd, ssl, message, message_len);
	expect(fd, ssl, '2');
	command(fd, ssl, "QUIT\r\n", '2');
	(void)SSL_shutdown(ssl);
	SSL_free(ssl);
	close(fd);
}

static void *
session(void *arg)
{
	while (atomic_fetch_sub(&left, 1) > 0)
		send_one();
	return arg;
}

static void
make_message(size_t octets)
{
	static const char line[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n";
	static const char head[] = "From: ann@sender.example\r\nSubject: bench\r\n\r\n";

	if (octets > OCTETS_MAX)
		fail("too large");
	memcpy(message, head, sizeof(head) - 1);
	for (message_len = sizeof(head) - 1; message_len < octets; message_len++)
		message[message_len] = line[message_len % (sizeof(line) - 1)];
	if (message[message_len - 1] == '\r')
		message_len--;
	memcpy(message + message_len, "\r\n.\r\n", 5);
	message_len += 5;
}

static unsigned long
number(const char *text)
{
	unsigned long n = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		n = n * 10 + (unsigned long)(*text - '0');
	return n;
}

int
main(int argc, char **argv)
{
	pthread_t threads[SESSIONS_MAX];
	struct timespec begin, end;
	size_t sessions;

	if (argc != 5)
		fail("usage: tlsmail PORT SESSIONS MESSAGES OCTETS");
	port = (uint16_t)number(argv[1]);
	sessions = number(argv[2]);
	atomic_init(&left, (long)number(argv[3]));
	make_message(number(argv[4]));
	context = SSL_CTX_new(TLS_client_method());
	if (context == NULL || sessions > SESSIONS_MAX)
		fail("too many sessions");
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	(void)clock_gettime(CLOCK_MONOTONIC, &begin);
	for (size_t i = 0; i < sessions; i++)
		if (pthread_create(&threads[i], NULL, session, NULL) != 0)
			fail("no thread");
	for (size_t i = 0; i < sessions; i++)
		(void)pthread_join(threads[i], NULL);
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%.3f\n", (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
	SSL_CTX_free(context);
	return 0;
}
