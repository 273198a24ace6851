/* fuzz_maildir.c: names of files and folders: what was read is printed in a form that is read as the same. */
#include "mail/folder_name.h"
#include "mail/maildir.h"

#include "base/checked.h"
#include "mail/keyword.h"
#include "syntax/imap_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_file(struct str text)
{
	struct maildir_name name, again;
	struct buf out = BUF_INIT(1 << 20);
	if (maildir_name_parse(text, &name) == 0) {
		maildir_name_print(&name, &out);
		if (maildir_name_parse(buf_str(&out), &again) < 0 || !str_eq(name.unique, again.unique) ||
		    name.flags != again.flags || name.is_forwarded != again.is_forwarded || name.letters != again.letters)
			abort();
	}
	buf_free(&out);
}

static void check_folder(struct str text, enum folder_layout layout)
{
	struct buf name = BUF_INIT(1 << 20), path = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
	const char *why;
	folder_name_read(text, layout, &name);
	if (!str_is_utf8(buf_str(&name)))
		abort();
	if (imap_name_check(buf_str(&name), &why) == 0 && folder_name_print(buf_str(&name), layout, &path) == 0) {
		folder_name_read(buf_str(&path), layout, &again);
		if (!str_eq(buf_str(&name), buf_str(&again)))
			abort();
	}
	buf_free(&name);
	buf_free(&path);
	buf_free(&again);
}

/* What has a name keeps it, and each letter that was given is read as the keyword that got it. */
static void check_keywords(struct str text)
{
	static const struct str KEYWORDS[] = { STR_INIT("$Work"), STR_INIT("a"), STR_INIT("B"), STR_INIT("$work"), STR_INIT("other") };
	struct str before[MAILDIR_LETTERS_MAX], after[MAILDIR_LETTERS_MAX];
	uint8_t letters[COUNT_OF(KEYWORDS)];
	struct buf out = BUF_INIT(1 << 20);
	maildir_keywords_read(text, before);
	size_t without = maildir_keywords_add(text, (uint32_t)text.n, KEYWORDS, COUNT_OF(KEYWORDS), letters, &out);
	maildir_keywords_read(buf_str(&out), after);
	for (int i = 0; i < MAILDIR_LETTERS_MAX; i++)
		if ((before[i].n > 0 && !mail_keyword_is_valid(before[i])) || (before[i].n > 0 && !str_eq(before[i], after[i])))
			abort();
	for (size_t i = 0; i < COUNT_OF(KEYWORDS) && !buf_error(&out); i++) {
		without -= letters[i] == MAILDIR_NO_LETTER;
		if (letters[i] != MAILDIR_NO_LETTER && !str_ieq(after[letters[i]], KEYWORDS[i]))
			abort();
	}
	if (without > 0 && !buf_error(&out))
		abort();
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	check_file(text);
	check_folder(text, FOLDER_MAILDIR_PLUS);
	check_folder(text, FOLDER_NESTED);
	check_folder(text, FOLDER_MBOX);
	check_keywords(text);
	return 0;
}
