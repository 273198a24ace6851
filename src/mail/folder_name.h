/* folder_name.h: mailbox names as names of files and folders, and back. What stands in a file system cannot be
 * everything that a mailbox may be called, so a few characters are written as '\' and two hexadecimal digits (the way
 * of Dovecot's listescape): '\' itself; in Maildir++ every '.'; elsewhere a '.' at the beginning, a first letter of
 * "cur", "new" and "tmp", and (nested) of files that lie beside these; the '.' of an ending that means something. */
#ifndef MAIL_FOLDER_NAME_H
#define MAIL_FOLDER_NAME_H

#include "base/buf.h"

enum folder_layout {
	FOLDER_MAILDIR_PLUS, /* ".Work.2019", modified UTF-7 (RFC 3501, 5.1.3) as Dovecot and Courier write it */
	FOLDER_NESTED,       /* "Work/2019", UTF-8; each folder has cur, new and tmp */
	FOLDER_MBOX,         /* "Work/2019.mbox", UTF-8; read: "Work.sbd/2019" (Thunderbird) and "Work.mbox/mbox" too */
};

#define FOLDER_PATH_MAX 4000

/* The path below the root of a mailbox other than INBOX (which callers place) as that layout has it; appended to out.
 * ERR_LIMIT: a file system has no room for that name (255 bytes). */
int folder_name_print(struct str mailbox, enum folder_layout layout, struct buf *out) MUST_CHECK;

/* The mailbox that a path below the root means, appended to out: separator '/', well-formed UTF-8 whatever came in; a
 * part that is not modified UTF-7 is taken for UTF-8. Whether such a mailbox may be made is imap_name_check's
 * question. */
void folder_name_read(struct str path, enum folder_layout layout, struct buf *out);

#endif
