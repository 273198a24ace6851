/* help_pop3.c: what --help says of app passwords and of what POP3 does. */
#include "proc/ctl/ctl_private.h"

#define OPTIONS                                                                                                        \
	"  -c, --config FILE   configuration (default /etc/mansio/mansio.toml, or $MANSIO_CONFIG)\n"                       \
	"  --json              the answer as JSON\n"                                                                       \
	"  -h, --help          this text\n"

#define POP3_OPTIONS                                                                                                   \
	"  --mode client       what the client deletes is deleted\n"                                                       \
	"  --mode delete       what it retrieves is deleted as well\n"                                                     \
	"  --mode keep         what it deletes is hidden from this login, and stays for all others\n"                      \
	"  --mode days         the same; what was retrieved or hidden is deleted by the server after some days\n"          \
	"  --days N            how many\n"                                                                                 \
	"  --deleted gone      what is deleted can be undeleted for a while, or\n"                                         \
	"  --deleted trash     goes to the mailbox Trash\n"                                                                \
	"  --seen yes|no       whether mail that was retrieved counts as read for IMAP\n"                                  \
	"  --mailbox NAME      the mailbox that POP3 shows\n"                                                              \
	"Each may be \"inherit\": what is said further off holds again. "

const char CTL_HELP_APP_PASSWORD[] =
	"usage: mansio account app-password add [OPTION]... ADDRESS NAME\n"
	"       mansio account app-password list [OPTION]... ADDRESS\n"
	"       mansio account app-password remove [OPTION]... ADDRESS NAME\n"
	"\n"
	"Further passwords of an account, one for each program or device: made here and printed this once, good for some\n"
	"protocols only, and removed without the others noticing. One that is removed is void at once, and its sessions end.\n"
	"The list says what was said of POP3 for each (mansio account pop3 --app-password).\n"
	"\n"
	"  --protocols LIST    some of imap, pop3 and smtp, with commas between them; all if nothing is said\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio account app-password add alice@example.test phone --protocols imap,smtp\n"
	"  mansio account app-password list alice@example.test\n"
	"  mansio account app-password remove alice@example.test phone\n";

const char CTL_HELP_ACCOUNT_POP3[] =
	"usage: mansio account pop3 [OPTION]... ADDRESS\n"
	"\n"
	"Shows what becomes of messages that POP3 clients fetch from an account, and where each of it was said; or says it:\n"
	"\n"
	POP3_OPTIONS "The nearest place decides:\n"
	"an app password before the account, the account before its domain, the domain before [pop3] of the configuration.\n"
	"\n"
	"  --app-password NAME for clients that log in with this app password only\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio account pop3 alice@example.test\n"
	"  mansio account pop3 alice@example.test --mode delete --app-password office\n"
	"  mansio account pop3 alice@example.test --mode days --days 14 --deleted trash\n";

const char CTL_HELP_DOMAIN_POP3[] =
	"usage: mansio domain pop3 [OPTION]... DOMAIN\n"
	"\n"
	"Shows what becomes of messages that POP3 clients fetch from accounts of a domain, or says it:\n"
	"\n"
	POP3_OPTIONS "What is said for an\n"
	"account or an app password (mansio account pop3) comes before it.\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio domain pop3 example.test --mode keep --seen yes\n";
