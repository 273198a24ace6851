/* import_record.c: what an import remembers, read and printed (import_record.h). No state; what is not as it is printed
 * here is ERR_CORRUPT, and nothing of it is used: half a memory would bring mail in twice. */
#include "proc/ctl/import_record.h"

#include "base/json.h"
#include "base/str.h"
#include "syntax/json.h"

#define FORM 2
#define HEAD "list\t"

static void field_digits(struct buf *out, const char *name, const unsigned char bytes[ACCOUNT_ID_SIZE])
{
	struct buf digits = BUF_INIT(2 * ACCOUNT_ID_SIZE);
	buf_add_hex(&digits, str_of((const char *)bytes, ACCOUNT_ID_SIZE));
	json_field_string(out, name, buf_str(&digits));
	buf_free(&digits);
}

void import_record_print(const struct import_record *record, struct buf *out)
{
	json_begin_object(out);
	json_field_u64(out, "form", FORM);
	field_digits(out, "transfer", record->transfer);
	json_field_string(out, "account", record->account);
	json_field_string(out, "source", record->source);
	json_field_string(out, "mailbox", record->mailbox);
	json_field_string(out, "format", record->format);
	field_digits(out, "list", record->list);
	json_field_u64(out, "number", record->number);
	json_field_u64(out, "before", record->before);
	json_field_u64(out, "next", record->next);
	json_field_u64(out, "imported", record->imported);
	json_field_bool(out, "complete", record->complete);
	json_field_u64(out, "counter", record->counter);
	json_key(out, "left");
	json_begin_array(out);
	for (uint32_t i = 0; i < record->left.n; i++) {
		json_put_u64(out, record->left.ranges[i].first);
		json_put_u64(out, record->left.ranges[i].last);
	}
	json_end_array(out);
	json_end_object(out);
	buf_add_byte(out, '\n');
}

/* Pairs of numbers, in order. */
static int take_left(const struct json_value *list, struct set *left)
{
	uint64_t above = 0;
	uint32_t n = 0;
	if (!list || list->kind != JSON_ARRAY)
		return ERR_CORRUPT;
	for (const struct json_value *value = list->first; value; value = value->next->next, n++) {
		uint64_t first = json_u64(value), last = json_u64(value->next);
		if (n == IMPORT_LEFT_MAX || !value->next || first <= above || last < first || last > IMPORT_NUMBER_MAX)
			return ERR_CORRUPT;
		set_add(left, (uint32_t)first, (uint32_t)last);
		above = last;
	}
	return 0;
}

int import_record_parse(struct str text, struct arena *arena, struct import_record *out)
{
	struct json_value *value;
	if (json_parse(text, arena, &value) < 0)
		return ERR_CORRUPT;
	struct import_record record = {
		.account = json_string(json_member(value, "account")),
		.source = json_string(json_member(value, "source")),
		.mailbox = json_string(json_member(value, "mailbox")),
		.format = json_string(json_member(value, "format")),
		.number = json_u64(json_member(value, "number")),
		.before = json_u64(json_member(value, "before")),
		.next = json_u64(json_member(value, "next")),
		.imported = json_u64(json_member(value, "imported")),
		.complete = json_is_true(json_member(value, "complete")),
		.counter = json_u64(json_member(value, "counter")),
		.left = SET_INIT,
	};
	bool good = json_u64(json_member(value, "form")) == FORM && record.next <= IMPORT_NUMBER_MAX &&
	            record.number < record.next && record.before < record.next &&
	            str_to_bytes(json_string(json_member(value, "transfer")), record.transfer, sizeof record.transfer) == 0 &&
	            (!json_member(value, "list") ||
	             str_to_bytes(json_string(json_member(value, "list")), record.list, sizeof record.list) == 0);
	if (!good || take_left(json_member(value, "left"), &record.left) < 0) {
		set_free(&record.left);
		return ERR_CORRUPT;
	}
	*out = record;
	return 0;
}

int import_head_take(struct str *rest, unsigned char list[ACCOUNT_ID_SIZE])
{
	struct str all = *rest;
	unsigned char digits[ACCOUNT_ID_SIZE] = { 0 };
	if (str_starts(all, STR(HEAD))) {
		struct str line = str_from(str_cut(&all, '\n'), STR(HEAD).n);
		if (!all.p || str_to_bytes(line, digits, sizeof digits) < 0)
			return ERR_CORRUPT;
	}
	memcpy(list, digits, sizeof digits);
	*rest = all;
	return 0;
}

void import_head_print(const unsigned char list[ACCOUNT_ID_SIZE], struct buf *out)
{
	buf_add(out, STR(HEAD));
	buf_add_hex(out, str_of((const char *)list, ACCOUNT_ID_SIZE));
	buf_add_byte(out, '\n');
}

int import_line_take(struct str *rest, uint64_t after, struct import_line *out)
{
	struct str all = *rest, name = str_cut(&all, '\n');
	struct str number = str_cut(&name, '\t'), folder = str_cut(&name, '\t');
	struct import_line line = { .folder = folder, .name = name };
	if (!all.p || !name.p || folder.n == 0 || folder.n >= IMPORT_PATH_MAX || str_find_byte(name, '\t') >= 0 ||
	    str_to_u64(number, IMPORT_NUMBER_MAX, &line.number) < 0 || line.number <= after)
		return ERR_CORRUPT;
	*out = line;
	*rest = all;
	return 0;
}

void import_line_print(const struct import_line *line, struct buf *out)
{
	buf_add_u64(out, line->number);
	buf_add_byte(out, '\t');
	buf_add(out, line->folder);
	buf_add_byte(out, '\t');
	buf_add(out, line->name);
	buf_add_byte(out, '\n');
}
