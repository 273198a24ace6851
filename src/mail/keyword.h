/* keyword.h: flags of IMAP as other programs write them into files (mbox, Maildir). */
#ifndef MAIL_KEYWORD_H
#define MAIL_KEYWORD_H

#include "base/str.h"

/* True for what IMAP can name: an atom (RFC 3501, 9: flag-keyword) of at most KEYWORD_NAME_MAX bytes. */
bool mail_keyword_is_valid(struct str name);

#endif
