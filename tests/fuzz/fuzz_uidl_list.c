/* fuzz_uidl_list.c: lists of POP3's unique ids: whatever they say, an item has a name, and what is said of it lies in its
 * line; a list that is written from what was read reads the same. The first byte chooses the kind. */
#include "mail/uidl_list.h"

#include "syntax/pop3.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct str part, struct str line)
{
	if (part.n > 0 && (part.p < line.p || part.p + part.n > line.p + line.n))
		abort();
}

static void check_item(const struct uidl_item *item, struct str line)
{
	struct buf out = BUF_INIT(1 << 20);
	struct uidl_list again = { .kind = UIDL_LIST_OF_PAIRS };
	struct uidl_item same;
	if (item->name.n == 0 || str_find_byte(item->name, ':') >= 0)
		abort();
	check_inside(item->name, line);
	check_inside(item->uidl, line);
	if (uidl_pattern_print(STR("%08Xu%08Xv"), item, &out) == 0 && !pop3_uidl_is_foreign(buf_str(&out)))
		abort(); /* no id of Dovecot's is one of ours */
	buf_clear(&out);
	if (str_find_byte(item->name, ' ') < 0 && item->uidl.n > 0) {
		buf_add(&out, item->name);
		buf_add_byte(&out, ' ');
		buf_add(&out, item->uidl);
		if (uidl_list_line(&again, buf_str(&out), &same) == 0 && !str_eq(str_trim(item->uidl), same.uidl))
			abort();
	}
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = { (const char *)data, size };
	struct uidl_list list = { .kind = size ? (enum uidl_list_kind)(data[0] % 3) : UIDL_LIST_OF_UIDS };
	struct uidl_item item;
	struct buf out = BUF_INIT(1 << 20);
	rest = str_from(rest, 1);
	struct uidl_item some = { STR("name"), 7, 9, { NULL, 0 } };
	(void)!uidl_pattern_print(rest, &some, &out);
	buf_free(&out);
	while (rest.n > 0) {
		struct str line = str_cut(&rest, '\n');
		int result = uidl_list_line(&list, line, &item);
		if (result == 0)
			check_item(&item, line);
		if (result == ERR_UNSUPPORTED)
			return 0;
	}
	return 0;
}
