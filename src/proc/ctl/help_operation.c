/* help_operation.c: what --help says of the running server's commands. */
#include "proc/ctl/ctl_private.h"

#define OPTIONS                                                                                                        \
	"  -c, --config FILE   configuration (default /etc/mansio/mansio.toml, or $MANSIO_CONFIG)\n"                       \
	"  --json              the answer as JSON\n"                                                                       \
	"  -h, --help          this text\n"

const char CTL_HELP_RELOAD[] =
	"usage: mansio reload [OPTION]...\n"
	"\n"
	"Has the running server read its configuration, certificate and key again, as SIGHUP and `systemctl reload mansio`\n"
	"do, and says which settings have changed and which of them need a restart. With an error anywhere nothing is\n"
	"changed. Connections stay; those that are open keep the time-outs that they began with.\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio config check && mansio reload\n";

const char CTL_HELP_WHO[] =
	"usage: mansio who [OPTION]...\n"
	"\n"
	"Lists who is connected: account, protocol, address, TLS, the selected mailbox, for how long, how long ago the last\n"
	"byte came or went, the session as it stands in the log, and the process that has it.\n"
	"\n"
	"  --all               connections too that nobody has logged in on: before a login, and other servers\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio who\n"
	"  mansio who --all --json\n";

const char CTL_HELP_KICK[] =
	"usage: mansio kick [OPTION]... ACCOUNT|SESSION\n"
	"       mansio kick [OPTION]... --address ADDRESS\n"
	"\n"
	"Ends all connections of an account, one connection by its session (mansio who), or all from an IP address. IMAP\n"
	"clients hear BYE, SMTP clients 421; POP3 connections are closed, and nothing is deleted. Nobody is kept from coming\n"
	"again. Exit status 3: there was no such connection.\n"
	"\n"
	"  --address ADDRESS   all connections from there, before their login too (\"unix\": of the LMTP socket)\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio kick alice@example.test\n"
	"  mansio kick 9f3a2c0471e85b6d\n"
	"  mansio kick --address 192.0.2.1\n";

const char CTL_HELP_METRICS[] =
	"usage: mansio metrics [OPTION]...\n"
	"\n"
	"Prints what all processes count, in the text format of Prometheus: connections, logins, commands, deliveries,\n"
	"batches, waits for the disk, sizes. The same can be fetched by HTTP from this machine: metrics.listen in\n"
	"mansio.toml(5).\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio metrics | grep mansio_commands_total\n"
	"  mansio metrics > mansio.prom.new && mv mansio.prom.new mansio.prom\n";

const char CTL_HELP_LOG[] =
	"usage: mansio log level [OPTION]... [[PROCESS] LEVEL]\n"
	"\n"
	"  level               shows or changes what the processes write into the log\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio log level access debug\n";

const char CTL_HELP_LOG_LEVEL[] =
	"usage: mansio log level [OPTION]... [[PROCESS] LEVEL]\n"
	"\n"
	"Shows what each process writes into the log, or changes it while the server runs, until it ends. PROCESS is a role\n"
	"(supervisor, access, smtp, auth, authwork, shard), one process as it stands in the log (shard.0), or all, as when\n"
	"it is left out. LEVEL is debug, info, warning or error, and lines below it are not written; or default, that of\n"
	"the configuration (server.log_level).\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio log level\n"
	"  mansio log level access debug\n"
	"  mansio log level default\n";
