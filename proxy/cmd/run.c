/*
 * run.c - "sallyport run POLICY" and "sallyport proxy --listen A --to B": the gateway itself.
 */
#include <stdio.h>
#include <string.h>

#include "policy/kit/span.h"
#include "proxy/cmd/cmd.h"
#include "proxy/master/master.h"
#include "proxy/smtp/address.h"

static const char run_usage[] =
	"usage: sallyport run [option ...] POLICY\n"
	"\n"
	"Serves the listeners of POLICY in the foreground; logs go where the policy says (standard error).\n"
	"\n"
	"  --shadow         the whole policy only reports: nothing is refused by a rule\n"
	"  --listen A:P     listen here instead of where the policy says\n"
	"  --backend A:P    relay to this address instead of the policy's backends\n"
	"  --resolver A:P   ask this DNS resolver\n"
	"  --log WHERE      stderr, syslog or a file\n"
	"  --trust-proxy N  take PROXY v1 lines from this net\n"
	"  --time-scale N   let time-outs run N times faster (for tests)\n"
	"\n"
	"SIGHUP reloads the policy; a broken one is reported and the old one goes on.\n"
	"SIGTERM stops: idle clients are told 421, open transactions finish.  SIGUSR1 reopens the log file.\n";

static bool
run_option(struct master_options *o, int opt)
{
	switch (opt) {
	case 's':
		o->shadow = true;
		return true;
	case 'l':
		o->override.listen = optarg;
		return true;
	case 'b':
		o->override.backend = optarg;
		return true;
	case 'r':
		o->override.resolver = optarg;
		return true;
	case 'o':
		o->override.log = optarg;
		return true;
	case 'p':
		return span_to_net(span_str(optarg), &o->override.trust_proxy) == SP_OK;
	case 't':
		return cmd_parse_factor(optarg, &o->time_scale);
	default:
		return false;
	}
}

static int
run_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "shadow", no_argument, NULL, 's' }, { "time-scale", required_argument, NULL, 't' },
		{ "listen", required_argument, NULL, 'l' }, { "backend", required_argument, NULL, 'b' },
		{ "resolver", required_argument, NULL, 'r' }, { "log", required_argument, NULL, 'o' },
		{ "trust-proxy", required_argument, NULL, 'p' }, { 0 }
	};
	struct master_options o = { .time_scale = 1 };
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!run_option(&o, opt))
			return cmd_usage_error(&cmd_run, "wrong option or value");
	o.path = cmd_one_path(&cmd_run, argc, argv);
	return o.path == NULL ? 2 : master_run(&o);
}

const struct cmd cmd_run = { "run", "serve the listeners of a policy", run_usage, run_main };

/* ---- proxy ---------------------------------------------------------------------------------- */

static const char proxy_usage[] =
	"usage: sallyport proxy --listen ADDRESS:PORT --to ADDRESS:PORT [--relay-to DOMAIN]... [--hostname NAME]\n"
	"\n"
	"A gateway without any file: what comes to --listen goes to --to, with Sallyport's protocol checks and\n"
	"log lines but no rules.  On loopback it passes on what the backend takes; on any other address it\n"
	"needs --relay-to for each domain that the backend serves, so that it cannot be an open relay.\n";

struct proxy {
	const char *listen, *to, *hostname;
	struct buf domains;
};

/* The values go into a policy text: nothing but what an endpoint or a domain may have. */
static bool
proxy_words_ok(const struct proxy *p)
{
	struct net_endpoint e;

	if (net_endpoint_parse(span_str(p->listen), 0, &e) != SP_OK || e.kind != NET_IP)
		return cmd_usage_error(&cmd_proxy, "--listen takes ADDRESS:PORT, not '%s'", p->listen), false;
	if (net_endpoint_parse(span_str(p->to), 25, &e) != SP_OK)
		return cmd_usage_error(&cmd_proxy, "--to takes ADDRESS:PORT, not '%s'", p->to), false;
	if (p->hostname != NULL && !address_domain_ok(span_str(p->hostname)))
		return cmd_usage_error(&cmd_proxy, "--hostname takes a host name, not '%s'", p->hostname), false;
	return true;
}

static int
proxy_run(const struct proxy *p)
{
	struct master_options o = { .time_scale = 1 };
	struct buf text;
	int status;

	if (!proxy_words_ok(p))
		return 2;
	buf_init(&text, 65536);
	buf_printf(&text, "policy 1\nlisten %s {", p->listen);
	if (p->hostname != NULL)
		buf_printf(&text, " hostname \"%s\"", p->hostname);
	if (p->domains.len > 0)
		buf_printf(&text, " relay to %.*s", (int)p->domains.len, p->domains.ptr);
	buf_printf(&text, " }\nbackend mail { address %s }\nrules { accept }\n", p->to);
	o.text = buf_span(&text);
	status = master_run(&o);
	buf_fini(&text);
	return status;
}

static int
proxy_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "listen", required_argument, NULL, 'l' }, { "to", required_argument, NULL, 't' },
		{ "relay-to", required_argument, NULL, 'r' }, { "hostname", required_argument, NULL, 'h' }, { 0 }
	};
	struct proxy p = { 0 };
	int opt, status;

	buf_init(&p.domains, 32768);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'l')
			p.listen = optarg;
		else if (opt == 't')
			p.to = optarg;
		else if (opt == 'h')
			p.hostname = optarg;
		else if (opt == 'r' && address_domain_ok(span_str(optarg)))
			buf_printf(&p.domains, "%s%s", p.domains.len > 0 ? ", " : "", optarg);
		else
			return cmd_usage_error(&cmd_proxy, opt == 'r' ? "--relay-to takes a domain" : "wrong option");
	}
	if (p.listen == NULL || p.to == NULL || optind < argc)
		return cmd_usage_error(&cmd_proxy, "--listen and --to are expected, and nothing else");
	status = proxy_run(&p);
	buf_fini(&p.domains);
	return status;
}

const struct cmd cmd_proxy = { "proxy", "a gateway without any file: --listen ADDRESS:PORT --to ADDRESS:PORT",
	proxy_usage, proxy_main };
