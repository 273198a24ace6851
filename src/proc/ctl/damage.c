/* damage.c: what `store check` found, with the addresses of the accounts: shards know ids only, the directory knows whose
 * they are. Everything is freed before it returns. */
#include "proc/ctl/ctl_private.h"

#include "base/checked.h"
#include "base/json.h"
#include "base/mem.h"

#define PAGE_ARENA   ((size_t)64 * 1024 * 1024)
#define DAMAGE_ARENA ((size_t)512 * 1024 * 1024)

/* An account that has damage. */
struct owner {
	struct str id; /* in hexadecimal digits; in the arena of the damage */
	char *address; /* NULL: not known */
};

struct owners {
	struct owner *list; /* by id */
	size_t n;
};

static int by_id(const void *a, const void *b)
{
	return str_cmp(((const struct owner *)a)->id, ((const struct owner *)b)->id);
}

static struct owner *find_owner(const struct owners *owners, struct str id)
{
	const struct owner wanted = { .id = id };
	return owners->n ? bsearch(&wanted, owners->list, owners->n, sizeof wanted, by_id) : NULL;
}

static void list_owners(const struct json_value *damage, struct owners *owners)
{
	size_t n = 0;
	for (const struct json_value *item = damage->first; item; item = item->next) {
		if ((n & (n - 1)) == 0)
			owners->list = mem_resize(owners->list, n ? n * 2 : 1, sizeof *owners->list);
		owners->list[n++] = (struct owner){ .id = json_string(json_member(item, "account")) };
	}
	if (n)
		qsort(owners->list, n, sizeof *owners->list, by_id);
	for (size_t i = 0; i < n; i++)
		if (owners->n == 0 || !str_eq(owners->list[owners->n - 1].id, owners->list[i].id))
			owners->list[owners->n++] = owners->list[i];
}

/* One page of all accounts; *last: the address to go on after, empty behind the last page. */
static int read_page(struct ctl *ctl, struct owners *owners, struct buf *last)
{
	struct arena arena = ARENA_INIT(PAGE_ARENA);
	struct str arguments[] = { STR(""), buf_str(last) };
	struct ctl_reply reply;
	struct json_value *page;
	ctl_reply_init(&reply);
	int result = ctl_ask(ctl, CONTROL_ACCOUNT_LIST, arguments, COUNT_OF(arguments), &reply, &arena, &page);
	buf_clear(last);
	for (const struct json_value *item = result == EXIT_DONE ? page->first : NULL; item; item = item->next) {
		struct str address = json_string(json_member(item, "address"));
		struct owner *owner = find_owner(owners, json_string(json_member(item, "id")));
		if (owner && !owner->address)
			owner->address = mem_copy(address);
		if (!item->next)
			buf_add(last, address);
	}
	arena_free(&arena);
	ctl_reply_free(&reply);
	return result;
}

static void print_item(const struct json_value *item, const struct owners *owners, struct buf *out)
{
	const struct owner *owner = find_owner(owners, json_string(json_member(item, "account")));
	json_begin_object(out);
	if (owner && owner->address)
		json_field_string(out, "address", str_from_c(owner->address));
	for (const struct json_value *member = item->first; member; member = member->next) {
		json_key_str(out, member->key);
		json_print(member, out);
	}
	json_end_object(out);
}

int ctl_name_damage(struct ctl *ctl, struct buf *damage)
{
	struct arena arena = ARENA_INIT(DAMAGE_ARENA);
	struct buf last = BUF_INIT(CONTROL_ARGUMENT_MAX);
	struct owners owners = { NULL, 0 };
	struct json_value *list;
	int result = EXIT_DONE;
	if (json_parse(buf_str(damage), &arena, &list) == 0 && list->first) {
		list_owners(list, &owners);
		do
			result = read_page(ctl, &owners, &last);
		while (result == EXIT_DONE && last.n > 0);
		struct buf named = BUF_INIT(damage->max);
		json_begin_array(&named);
		for (const struct json_value *item = list->first; item; item = item->next)
			print_item(item, &owners, &named);
		json_end_array(&named);
		if (!buf_error(&named)) {
			buf_free(damage);
			*damage = named;
		} else {
			buf_free(&named);
		}
	}
	for (size_t i = 0; i < owners.n; i++)
		mem_free(owners.list[i].address);
	mem_free(owners.list);
	arena_free(&arena);
	buf_free(&last);
	return result;
}
