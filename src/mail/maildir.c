/* maildir.c: see maildir.h. No state, no I/O. */
#include "mail/maildir.h"

#include "base/checked.h"
#include "mail/keyword.h"
#include "store/store.h"

/* In the order in which they are written; FORWARDED is no flag of the store. */
#define FORWARDED 128
static const struct {
	char letter;
	uint8_t flag;
} FLAGS[] = {
	{ 'D', FLAG_DRAFT }, { 'F', FLAG_FLAGGED }, { 'P', FORWARDED },
	{ 'R', FLAG_ANSWERED }, { 'S', FLAG_SEEN }, { 'T', FLAG_DELETED },
};

static void add_flag(struct maildir_name *name, char letter)
{
	if (letter >= 'a' && letter <= 'z')
		name->letters |= UINT32_C(1) << (letter - 'a');
	for (size_t i = 0; i < COUNT_OF(FLAGS); i++) {
		if (letter != FLAGS[i].letter)
			continue;
		if (FLAGS[i].flag == FORWARDED)
			name->is_forwarded = true;
		else
			name->flags |= FLAGS[i].flag;
	}
}

int maildir_name_parse(struct str file, struct maildir_name *out)
{
	struct str info = file;
	struct maildir_name name = { .unique = str_cut(&info, ':') };
	if (name.unique.n == 0 || name.unique.p[0] == '.')
		return ERR_SYNTAX;
	if (str_starts(info, STR("2,"))) {
		info = str_from(info, 2);
		struct str flags = str_cut(&info, ','); /* others put more behind a comma */
		for (size_t i = 0; i < flags.n; i++)
			add_flag(&name, flags.p[i]);
	}
	*out = name;
	return 0;
}

void maildir_name_print(const struct maildir_name *name, struct buf *out)
{
	buf_add(out, name->unique);
	buf_add(out, STR(":2,"));
	for (size_t i = 0; i < COUNT_OF(FLAGS); i++)
		if (FLAGS[i].flag == FORWARDED ? name->is_forwarded : name->flags & FLAGS[i].flag)
			buf_add_byte(out, FLAGS[i].letter);
	for (int i = 0; i < MAILDIR_LETTERS_MAX; i++)
		if (name->letters >> i & 1)
			buf_add_byte(out, (char)('a' + i));
}

/* Letters that the text speaks of, be it with a name that IMAP cannot have. */
static uint32_t read_keywords(struct str text, struct str names[MAILDIR_LETTERS_MAX])
{
	uint32_t told = 0;
	for (size_t i = 0; i < MAILDIR_LETTERS_MAX; i++)
		names[i] = STR("");
	while (text.n > 0) {
		struct str line = str_cut(&text, '\n');
		struct str number = str_cut(&line, ' ');
		uint64_t at;
		line = str_trim(line);
		if (str_to_u64(number, MAILDIR_LETTERS_MAX - 1, &at) < 0)
			continue;
		told |= UINT32_C(1) << at;
		if (mail_keyword_is_valid(line))
			names[at] = line;
	}
	return told;
}

void maildir_keywords_read(struct str text, struct str names[MAILDIR_LETTERS_MAX])
{
	(void)read_keywords(text, names);
}

static uint8_t letter_of(const struct str names[MAILDIR_LETTERS_MAX], struct str keyword)
{
	for (uint8_t i = 0; i < MAILDIR_LETTERS_MAX; i++)
		if (str_ieq(names[i], keyword))
			return i;
	return MAILDIR_NO_LETTER;
}

size_t maildir_keywords_add(struct str text, uint32_t used, const struct str *keywords, size_t n, uint8_t *letters,
                            struct buf *out)
{
	struct str names[MAILDIR_LETTERS_MAX];
	size_t without = 0;
	used |= read_keywords(text, names);
	buf_add(out, text);
	for (size_t i = 0; i < n; i++) {
		letters[i] = letter_of(names, keywords[i]);
		for (uint8_t at = 0; at < MAILDIR_LETTERS_MAX && letters[i] == MAILDIR_NO_LETTER; at++)
			if (!(used >> at & 1))
				letters[i] = at;
		if (letters[i] == MAILDIR_NO_LETTER) {
			without++;
		} else if (names[letters[i]].n == 0) {
			names[letters[i]] = keywords[i];
			used |= UINT32_C(1) << letters[i];
			buf_addf(out, "%s%d %.*s\n", out->n > 0 && out->p[out->n - 1] != '\n' ? "\n" : "", letters[i], STR_ARG(keywords[i]));
		}
	}
	return without;
}

static uint64_t leading_number(struct str s)
{
	size_t n = 0;
	uint64_t value = 0;
	while (n < s.n && ascii_is_digit(s.p[n]))
		n++;
	return str_to_u64(str_first(s, n), UINT64_MAX, &value) == 0 ? value : 0;
}

int maildir_name_compare(struct str a, struct str b)
{
	uint64_t first = leading_number(a), second = leading_number(b);
	return first < second ? -1 : first > second ? 1 : str_cmp(a, b);
}
