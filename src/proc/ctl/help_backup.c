/* help_backup.c: what --help says of backup and restore. */
#include "proc/ctl/ctl_private.h"

#define OPTIONS                                                                                                        \
	"  -c, --config FILE   configuration (default /etc/mansio/mansio.toml, or $MANSIO_CONFIG)\n"                       \
	"  --json              the answer as JSON\n"                                                                       \
	"  -h, --help          this text\n"

const char CTL_HELP_BACKUP[] =
	"usage: mansio backup [OPTION]... DIR\n"
	"       mansio backup list|verify [OPTION]... DIR\n"
	"\n"
	"Makes a backup of the whole store in the folder DIR, which is made when it is missing, while the server goes on\n"
	"(or while it is stopped). Each run adds one backup; of the mail itself only what is new is copied. All mail that\n"
	"was acknowledged before the run began is in it. Run it as root, or as the user who starts the server.\n"
	"\n"
	"  --keep N            backups that stay, the new one too; older ones are removed (default: 7)\n"
	OPTIONS
	"\n"
	"Exit status 1: failed; or messages or databases are damaged in the store itself, which are listed, and all others are\n"
	"saved; or a backup there is dated later than now, by more than a day, because a clock was wrong. In both cases no\n"
	"older one is removed.\n"
	"\n"
	"example:\n"
	"  mansio backup /backup/mail\n"
	"  mansio backup --keep 30 /backup/mail\n"
	"  mansio backup verify /backup/mail\n"
	"  mansio restore /backup/mail\n";

const char CTL_HELP_BACKUP_LIST[] =
	"usage: mansio backup list [OPTION]... DIR\n"
	"\n"
	"Lists the backups in the folder, the oldest first: how much each holds, and how much was copied anew for it.\n"
	"Exit status 5 while a backup is made there: try again later.\n"
	"\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio backup list /backup/mail\n";

const char CTL_HELP_BACKUP_VERIFY[] =
	"usage: mansio backup verify [OPTION]... DIR\n"
	"\n"
	"Reads all of a backup, and compares it with what was written: checksums of all files, the databases, and each\n"
	"message. What is damaged is listed, with file and offset. Exit status 1: there is damage, or the newest backup has a\n"
	"manifest that cannot be read.\n"
	"\n"
	"  --at WHEN           latest (default), a name from the list, or a time: the newest backup that is not later,\n"
	"                      2026-01-31 or 2026-01-31T12:00 (UTC)\n"
	OPTIONS
	"\n"
	"example:\n"
	"  mansio backup verify /backup/mail\n";

const char CTL_HELP_RESTORE[] =
	"usage: mansio restore [OPTION]... DIR\n"
	"\n"
	"Restores the whole store from the folder of backups DIR, as it was, into server.directory of the configuration,\n"
	"which must be empty or missing; the server must be stopped. All is verified. Then start the server.\n"
	"\n"
	"Or, with --account, mail of one account into the running server. Each mailbox of the backup takes the place of the\n"
	"one of its name: what is there now can be undeleted for a while, and clients read the mailbox anew. With --message,\n"
	"the messages are added to their mailbox, each once, and nothing else changes. What is damaged in the backup is left\n"
	"out; a mailbox of which nothing can be read stays as it is now. DIR may lie where nothing can be written.\n"
	"\n"
	"  --account ADDRESS   the account, which must be there (see mansio account add)\n"
	"  --mailbox NAME      only this mailbox of it; may be given several times\n"
	"  --message UIDS      only these messages of one mailbox, by their uids at that time: 4711, or 12,15:20\n"
	"  --at WHEN           latest (default), a name from mansio backup list, or a time: the newest backup that is\n"
	"                      not later, 2026-01-31 or 2026-01-31T12:00 (UTC)\n"
	OPTIONS
	"\n"
	"Exit status 1: failed; or messages or databases are damaged in the backup, which are listed, and all others are\n"
	"restored; what is to be done before the server starts is said. Or the newest backup has a manifest that cannot be\n"
	"read, and an older one was taken.\n"
	"\n"
	"example:\n"
	"  mansio restore /backup/mail\n"
	"  mansio restore --at 2026-01-31 --account alice@example.test /backup/mail\n"
	"  mansio restore --account alice@example.test --mailbox Sent /backup/mail\n"
	"  mansio restore --account alice@example.test --mailbox INBOX --message 4711 /backup/mail\n";
