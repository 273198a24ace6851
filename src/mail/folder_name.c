/* folder_name.c: see folder_name.h. No state. What folder_name_print writes, folder_name_read reads as the same. */
#include "mail/folder_name.h"

#include "base/checked.h"
#include "syntax/imap_name.h"
#include "text/utf8.h"

#define COMPONENT_MAX 255

static char separator_of(enum folder_layout layout)
{
	return layout == FOLDER_MAILDIR_PLUS ? '.' : '/';
}

/* Would be taken for modified UTF-7. */
static bool is_ambiguous(struct str part)
{
	struct buf decoded = BUF_INIT(FOLDER_PATH_MAX);
	bool ambiguous = imap_utf7_decode(part, &decoded) == 0 && !str_eq(part, buf_str(&decoded));
	buf_free(&decoded);
	return ambiguous;
}

/* Files and folders that a Maildir has for itself: of the messages; those that import reads beside them. */
static bool is_reserved(struct str part, enum folder_layout layout)
{
	static const struct str FOLDERS[] = { STR_INIT("cur"), STR_INIT("new"), STR_INIT("tmp") };
	static const struct str FILES[] = { STR_INIT("dovecot-keywords"), STR_INIT("dovecot-uidlist"),
		                                STR_INIT("courierpop3dsizelist"), STR_INIT("courierimapuiddb") };
	bool reserved = false;
	for (size_t i = 0; i < COUNT_OF(FOLDERS); i++)
		reserved |= str_eq(part, FOLDERS[i]);
	for (size_t i = 0; i < COUNT_OF(FILES) && layout == FOLDER_NESTED; i++)
		reserved |= str_eq(part, FILES[i]);
	return reserved;
}

/* Must the byte at `at` be escaped? */
static bool is_special(struct str part, size_t at, enum folder_layout layout)
{
	char c = part.p[at];
	if (c == '\\')
		return true;
	if (layout == FOLDER_MAILDIR_PLUS)
		return c == '.';
	if (at == 0 && (c == '.' || is_reserved(part, layout)))
		return true;
	if (c == '&' && is_ambiguous(part))
		return true;
	struct str ending = str_from(part, at);
	return layout == FOLDER_MBOX && ((at == 0 && str_eq(part, STR("mbox"))) || str_eq(ending, STR(".mbox")) ||
	                                 str_eq(ending, STR(".sbd")));
}

static void escape(struct str part, enum folder_layout layout, struct buf *out)
{
	for (size_t i = 0; i < part.n; i++) {
		if (is_special(part, i, layout))
			buf_addf(out, "\\%02x", (unsigned char)part.p[i]);
		else
			buf_add_byte(out, part.p[i]);
	}
}

static int print_part(struct str part, enum folder_layout layout, struct buf *out)
{
	struct buf escaped = BUF_INIT(FOLDER_PATH_MAX);
	int err = 0;
	escape(part, layout, &escaped);
	if (layout == FOLDER_MAILDIR_PLUS)
		err = imap_utf7_encode(buf_str(&escaped), out);
	else
		buf_add(out, buf_str(&escaped));
	if (!err)
		err = buf_error(&escaped);
	buf_free(&escaped);
	return err;
}

int folder_name_print(struct str mailbox, enum folder_layout layout, struct buf *out)
{
	struct buf path = BUF_INIT(FOLDER_PATH_MAX);
	size_t room = layout == FOLDER_MBOX ? COMPONENT_MAX - sizeof ".mbox.partial" : COMPONENT_MAX;
	int err = 0;
	while (mailbox.p && !err) {
		struct str part = str_cut(&mailbox, '/');
		size_t before = layout == FOLDER_MAILDIR_PLUS ? 0 : path.n;
		if (layout == FOLDER_MAILDIR_PLUS || path.n > 0)
			buf_add_byte(&path, separator_of(layout));
		err = print_part(part, layout, &path);
		if (!err && path.n - before > room)
			err = ERR_LIMIT;
	}
	if (!err && layout == FOLDER_MBOX)
		buf_add(&path, STR(".mbox"));
	if (!err)
		err = buf_error(&path);
	if (!err)
		buf_add(out, buf_str(&path));
	buf_free(&path);
	return err ? err : buf_error(out);
}

static void unescape(struct str part, struct buf *out)
{
	for (size_t i = 0; i < part.n; i++) {
		int high = -1, low = -1;
		if (part.p[i] == '\\' && i + 2 < part.n) {
			high = ascii_hex_value(part.p[i + 1]);
			low = ascii_hex_value(part.p[i + 2]);
		}
		int c = high >= 0 && low >= 0 ? high * 16 + low : -1;
		bool is_escape = c > ' ' && c < 0x7f && c != '/';
		buf_add_byte(out, is_escape ? (char)c : part.p[i]);
		i += is_escape ? 2 : 0;
	}
}

static void read_part(struct str part, struct buf *out)
{
	struct buf decoded = BUF_INIT(FOLDER_PATH_MAX);
	if (imap_utf7_decode(part, &decoded) < 0) {
		buf_clear(&decoded);
		utf8_put_repaired(&decoded, part);
	}
	unescape(buf_str(&decoded), out);
	buf_free(&decoded);
}

void folder_name_read(struct str path, enum folder_layout layout, struct buf *out)
{
	size_t begin = out->n;
	bool was_mbox = false;
	while (path.p) {
		struct str part = str_cut(&path, separator_of(layout));
		bool is_last = !path.p;
		if (part.n == 0 || (layout == FOLDER_MBOX && is_last && was_mbox && str_eq(part, STR("mbox"))))
			continue;
		was_mbox = layout == FOLDER_MBOX && str_ends(part, STR(".mbox"));
		if (was_mbox)
			part.n -= sizeof ".mbox" - 1;
		else if (layout == FOLDER_MBOX && !is_last && str_ends(part, STR(".sbd")))
			part.n -= sizeof ".sbd" - 1;
		if (out->n > begin)
			buf_add_byte(out, '/');
		read_part(part, out);
	}
}
