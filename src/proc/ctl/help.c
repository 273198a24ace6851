/* help.c: what --help says, each with an example. The man pages say more. */
#include "proc/ctl/ctl_private.h"

#define OPTIONS                                                                                                        \
	"  -c, --config FILE   configuration (default /etc/mansio/mansio.toml, or $MANSIO_CONFIG)\n"                       \
	"  --json              the answer as JSON\n"                                                                       \
	"  -h, --help          this text\n"

const char CTL_HELP[] =
	"mansio: a mail server. This is its command line; the server itself is `mansio serve`.\n"
	"\n"
	"usage: mansio COMMAND [OPTION]... [ARGUMENT]...\n"
	"\n"
	"  serve                                    run the server in the foreground\n"
	"  status                                   what runs, and how it is\n"
	"  who, kick                                who is connected; end connections\n"
	"  metrics                                  all counters, for Prometheus\n"
	"  log level                                what the processes write into the log\n"
	"  reload                                   have the server read its configuration again\n"
	"  account add|list|show|password|app-password|pop3|quota|move|remove\n"
	"                                           people who have mail here\n"
	"  domain add|list|pop3|remove              domains whose mail comes here\n"
	"  alias add|list|remove                    addresses that lead to others\n"
	"  undelete list|restore                    mail that was expunged by mistake\n"
	"  export, import                           mail to files of other programs, and back\n"
	"  store check|compact|salvage              is all mail whole; the space of removed mail; repair\n"
	"  backup, backup list|verify               all mail into another folder, while the server runs\n"
	"  restore                                  a store from a backup\n"
	"  config check|show                        is the configuration right; what is in force\n"
	"\n"
	OPTIONS
	"  --version           the version\n"
	"\n"
	"example:\n"
	"  mansio domain add example.test\n"
	"  mansio account add alice@example.test\n"
	"\n"
	"More: mansio COMMAND --help, man mansio\n";

const char CTL_HELP_ACCOUNT[] =
	"usage: mansio account add|list|show|password|app-password|pop3|quota|move|remove [OPTION]... [ADDRESS]\n"
	"\n"
	"  add ADDRESS         a new account\n"
	"  list [DOMAIN]       all accounts, or those of a domain\n"
	"  show ADDRESS        one account, with its aliases and how much mail it holds\n"
	"  password ADDRESS    a new password\n"
	"  app-password        further passwords: add, list, remove\n"
	"  pop3 ADDRESS        what becomes of messages that POP3 clients fetch\n"
	"  quota ADDRESS       what an account may hold, and holds\n"
	"  move ADDRESS        to another shard\n"
	"  remove ADDRESS      destroys an account and its mail\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio account add alice@example.test --generate-password\n";

const char CTL_HELP_ACCOUNT_ADD[] =
	"usage: mansio account add [OPTION]... ADDRESS\n"
	"\n"
	"Makes an account. Its domain must exist (mansio domain add). The password is asked for twice, unless:\n"
	"  --password-file FILE   it is the one line of FILE (\"-\": standard input)\n"
	"  --generate-password    a good one is made, and printed this once\n"
	"\n"
	"Or many accounts, without ADDRESS:\n"
	"  --from FILE            one in each line: address, space, password (\"-\": standard input)\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio account add alice@example.test\n"
	"  mansio account add bob@example.test --generate-password\n"
	"  mansio account add --from people.txt\n";

const char CTL_HELP_ACCOUNT_LIST[] =
	"usage: mansio account list [OPTION]... [DOMAIN]\n"
	"\n"
	"Lists all accounts, or those of one domain.\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio account list example.test\n";

const char CTL_HELP_ACCOUNT_SHOW[] =
	"usage: mansio account show [OPTION]... ADDRESS\n"
	"\n"
	"Shows one account: its id, its shard, the aliases that lead to it, what was said of POP3 for it or its app\n"
	"passwords, and (while the server runs) its mail.\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio account show alice@example.test\n";

const char CTL_HELP_ACCOUNT_PASSWORD[] =
	"usage: mansio account password [OPTION]... ADDRESS\n"
	"\n"
	"Gives an account a new password; the old one is void at once. It is asked for twice, unless:\n"
	"  --password-file FILE   it is the one line of FILE (\"-\": standard input)\n"
	"  --generate-password    a good one is made, and printed this once\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio account password alice@example.test\n";

const char CTL_HELP_ACCOUNT_MOVE[] =
	"usage: mansio account move [OPTION]... ADDRESS --shard NUMBER\n"
	"\n"
	"Moves an account's mail to another shard while the server runs. Its sessions end and may come again at once; until\n"
	"the move is over they are told to try again, and so is whoever brings mail for it. Everything goes along: uids,\n"
	"flags, POP3 ids, what happened lately and what can be undeleted. It goes on when this command is interrupted.\n"
	"  --shard NUMBER      where to; mansio status lists the shards, mansio account show says where it is\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio account move alice@example.test --shard 1\n";

const char CTL_HELP_ACCOUNT_QUOTA[] =
	"usage: mansio account quota [OPTION]... ADDRESS\n"
	"\n"
	"Shows what an account holds and may hold, or sets new limits:\n"
	"  --bytes SIZE        of all its mail together: a number of bytes, or with K, M, G or T\n"
	"  --messages NUMBER   how many messages\n"
	"Either may be \"default\" (what [quota] of the configuration says) or \"none\" (no limit).\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio account quota alice@example.test\n"
	"  mansio account quota alice@example.test --bytes 5G --messages none\n";

const char CTL_HELP_ACCOUNT_REMOVE[] =
	"usage: mansio account remove [OPTION]... ADDRESS\n"
	"\n"
	"Destroys an account with all its mail. Says what that is, and asks, unless:\n"
	"  -y, --yes           do not ask (needed where there is no terminal)\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio account remove bob@example.test\n";

const char CTL_HELP_DOMAIN[] =
	"usage: mansio domain add|list|pop3|remove [OPTION]... [DOMAIN]\n"
	"\n"
	"  add DOMAIN          mail for DOMAIN is received from now on\n"
	"  list                all domains\n"
	"  pop3 DOMAIN         what becomes of messages that POP3 clients fetch\n"
	"  remove DOMAIN       no longer; its accounts and aliases must be gone first\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio domain add example.test\n";

const char CTL_HELP_DOMAIN_ADD[] =
	"usage: mansio domain add [OPTION]... DOMAIN\n"
	"\n"
	"Mail for DOMAIN is received from now on. Mail to its postmaster is always taken.\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio domain add example.test\n";

const char CTL_HELP_DOMAIN_LIST[] =
	"usage: mansio domain list [OPTION]...\n"
	"\n"
	"Lists the domains whose mail comes here.\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio domain list --json\n";

const char CTL_HELP_DOMAIN_REMOVE[] =
	"usage: mansio domain remove [OPTION]... DOMAIN\n"
	"\n"
	"Mail for DOMAIN is refused from now on. Its accounts and aliases must be gone first.\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio domain remove example.test\n";

const char CTL_HELP_ALIAS[] =
	"usage: mansio alias add|list|remove [OPTION]... [ADDRESS [TARGET]...]\n"
	"\n"
	"  add ADDRESS TARGET...       mail to ADDRESS goes to each TARGET (as well)\n"
	"  list [DOMAIN]               all aliases, or those of a domain\n"
	"  remove ADDRESS [TARGET]...  no longer to each TARGET, or not at all\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio alias add team@example.test alice@example.test bob@example.test\n";

const char CTL_HELP_ALIAS_ADD[] =
	"usage: mansio alias add [OPTION]... ADDRESS TARGET...\n"
	"\n"
	"Mail to ADDRESS goes to each TARGET, an account or another alias of this server. An alias that exists gets\n"
	"the targets as well. Circles are refused, and so is *@DOMAIN: there are no catch-all addresses.\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio alias add team@example.test alice@example.test bob@example.test\n";

const char CTL_HELP_ALIAS_LIST[] =
	"usage: mansio alias list [OPTION]... [DOMAIN]\n"
	"\n"
	"Lists all aliases, or those of one domain, with where they lead.\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio alias list\n";

const char CTL_HELP_ALIAS_REMOVE[] =
	"usage: mansio alias remove [OPTION]... ADDRESS [TARGET]...\n"
	"\n"
	"Mail to ADDRESS no longer goes to each TARGET; without a TARGET the alias is removed.\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio alias remove team@example.test bob@example.test\n";

const char CTL_HELP_STATUS[] =
	"usage: mansio status [OPTION]...\n"
	"\n"
	"Shows on one screen whether the server runs and what is wrong, then what it does, where it listens, and each of its\n"
	"processes. With --json: all that they count.\n"
	"Exit status 5: it does not run.\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio status\n";

const char CTL_HELP_UNDELETE[] =
	"usage: mansio undelete list|restore [OPTION]... ADDRESS\n"
	"\n"
	"  list ADDRESS        what was expunged from an account and can still be put back\n"
	"  restore ADDRESS     puts it back\n"
	"\n"
	"Expunged mail can be put back for a time (store.undelete_window, 7 days if nothing else is set).\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio undelete restore alice@example.test --since 2h\n";

const char CTL_HELP_UNDELETE_LIST[] =
	"usage: mansio undelete list [OPTION]... ADDRESS\n"
	"\n"
	"Lists what was expunged from an account and can still be put back, the oldest first.\n"
	"\n"
	"  --mailbox NAME      only from this mailbox\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio undelete list alice@example.test --mailbox INBOX\n";

const char CTL_HELP_UNDELETE_RESTORE[] =
	"usage: mansio undelete restore [OPTION]... ADDRESS\n"
	"\n"
	"Puts back what was expunged from an account, all of it or what the options say: into its mailbox, or into\n"
	"INBOX when that is gone, with its flags. It is there for all clients at once.\n"
	"\n"
	"  --mailbox NAME      only from this mailbox\n"
	"  --since TIME        only what was expunged since: 90m, 2h, 1d ago, or 2026-01-31, 2026-01-31T12:00 (UTC)\n"
	"  --id ID             only this message, by its id in the list; may be given several times\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio undelete restore alice@example.test --mailbox INBOX --since 2h\n"
	"  mansio undelete restore alice@example.test --id 4711 --id 4712\n";

const char CTL_HELP_STORE[] =
	"usage: mansio store check|compact|salvage [OPTION]...\n"
	"\n"
	"  check               reads everything and lists what is damaged\n"
	"  compact             gives the space of removed mail back, now\n"
	"  salvage [SHARD]...  makes shards anew from what can be read of damaged ones; the server must be stopped\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio store compact\n";

const char CTL_HELP_STORE_CHECK[] =
	"usage: mansio store check [OPTION]...\n"
	"\n"
	"Reads all mail while the server serves, and compares it with what came in; then each table of the indexes and\n"
	"the directory. Lists what is damaged, with its file and place; all else goes on as it is. Exit status 1: there\n"
	"is damage. A note is none. Run it as root, or as the user who starts the server.\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio store check --json\n";

const char CTL_HELP_STORE_COMPACT[] =
	"usage: mansio store compact [OPTION]...\n"
	"\n"
	"Gives the space of removed mail back, as far as it can no longer be undeleted. The server does that by itself,\n"
	"slowly, for files that are mostly dead (store.compaction_rate); this does it at once, for all, while it serves.\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio store compact --json\n";

const char CTL_HELP_STORE_SALVAGE[] =
	"usage: mansio store salvage [OPTION]... [SHARD]...\n"
	"\n"
	"Makes shards anew (all, or those whose numbers are given) from what can be read of damaged ones. The server must be\n"
	"stopped. Every message whose bytes are whole is in the new shard; what cannot be read is listed. Flags may be lost,\n"
	"expunged mail may come back, and each mailbox gets a new UIDVALIDITY. The damaged shard is kept beside the new one,\n"
	"as it was; the two share the files of messages, so this needs little space. Exit status 1: failed; or a message was\n"
	"lost, or may have been, and the new shard is in place.\n"
	"\n"
	"  --dry-run           says what could be salvaged, and changes nothing\n"
	"  --leave-out ADDRESS  an account that two shards have: only that of the shard in which the directory has it is kept;\n"
	"                      may be given several times\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio store salvage --dry-run\n"
	"  mansio store salvage 0\n";

const char CTL_HELP_CONFIG[] =
	"usage: mansio config check|show [OPTION]... [FILE]\n"
	"\n"
	"  check [FILE]        says all that is wrong with the configuration\n"
	"  show                prints every setting, and where its value comes from\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio config check /etc/mansio/mansio.toml\n";

const char CTL_HELP_CONFIG_CHECK[] =
	"usage: mansio config check [OPTION]... [FILE]\n"
	"\n"
	"Reads FILE, or the configuration in use, as the server would, with the certificate and key that it names, and\n"
	"says all that is wrong, each with its line and column. Exit status 6: something is. Changes nothing.\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio config check mansio.toml && systemctl reload mansio\n";

const char CTL_HELP_CONFIG_SHOW[] =
	"usage: mansio config show [OPTION]...\n"
	"\n"
	"Prints the configuration in force as TOML that could be read again: every setting, and whether its value is the\n"
	"default, stands in a line of the file, or comes from the environment.\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio config show | grep -v default\n";

const char CTL_HELP_EXPORT[] =
	"usage: mansio export [OPTION]... --to PATH ADDRESS\n"
	"\n"
	"Writes the mail of an account to files that other programs read, while the server serves: a Maildir, or one mbox\n"
	"file for each mailbox. What is damaged is listed and left out; all the rest is exported, and the exit status is\n"
	"1. Given again, the same command adds to a Maildir what is missing there.\n"
	"\n"
	"  --to PATH           where to: a folder, which is made\n"
	"  --format FORMAT     maildir (if nothing is said) or mbox\n"
	"  --layout LAYOUT     of a Maildir: maildir++ (if nothing is said; Dovecot, Courier) or nested\n"
	"  --mailbox NAME      only this mailbox; may be given several times. With one, and --format mbox, PATH is a file\n"
	"  -y, --yes           replace mbox files that exist\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio export alice@example.test --to alice-mail\n"
	"  mansio export alice@example.test --format mbox --mailbox Archive --to archive.mbox\n";

const char CTL_HELP_IMPORT[] =
	"usage: mansio import [OPTION]... ADDRESS PATH\n"
	"\n"
	"Adds mail of another program to an account, while the server serves: a Maildir (Maildir++ or folders in folders),\n"
	"an mbox file, or a folder with such files (Thunderbird, mutt, ...), with folders, flags, keywords and dates. The\n"
	"same command, given again, goes on where it was interrupted, and then brings only what is new: no message comes in\n"
	"twice, whatever was done to it here.\n"
	"\n"
	"  --again             import everything, also what was imported before\n"
	"  --format FORMAT     auto (if nothing is said), maildir or mbox\n"
	"  --mailbox NAME      everything goes to this mailbox and below it\n"
	"  --state FILE        where to note what was imported (in ~/.local/state/mansio if nothing is said)\n"
	"  --uidl WAY          the ids that POP3 clients know messages by: auto (if nothing is said: those of Dovecot and\n"
	"                      Courier in a Maildir, X-UIDL in an mbox), none, or a pattern such as %08Xu%08Xv, %v-%u or %f\n"
	"  --uidl-file FILE    the same from a file: in each line the name of a file of the Maildir, space, id\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio import alice@example.test alice/Maildir\n"
	"  mansio import alice@example.test alice/Maildir      # after the MX record was changed: what has come since\n"
	"  mansio import alice@example.test old.mbox --mailbox Archive/old\n";
