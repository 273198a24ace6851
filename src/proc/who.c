/* who.c: pages of connections by session id, so that many thousands of them go through frames of a bounded size and
 * turns of a bounded length, whatever comes and goes between two pages: who stays is in one of them exactly once. Keeps
 * nothing from one request to the next. */
#include "proc/who.h"

#include "base/json.h"
#include "ipc/channel.h"
#include "ipc/control.h"
#include "loop/turns.h"

#define PAGE_CONNECTIONS 512 /* listed or kicked by one request */
#define PAGE_BYTES       (IPC_BODY_MAX / 2) /* the last one may pass it by what one takes */
#define HEX_SIZE         16

/* What a request is about. */
struct who_wish {
	bool from_start;
	uint64_t after; /* else: sessions above it */
	struct str kind, value; /* "account" and an address, say; empty: all */
	uint64_t session; /* the value, when kind is "session" */
};

struct item {
	uint64_t session;
	void *connection;
};

struct page {
	struct item items[PAGE_CONNECTIONS];
	size_t n;
	bool more; /* than there is room for */
};

static int smallest_first(const void *a, const void *b)
{
	uint64_t x = ((const struct item *)a)->session, y = ((const struct item *)b)->session;
	return (x > y) - (x < y);
}

static int largest_first(const void *a, const void *b)
{
	return smallest_first(b, a);
}

static void put_hex(uint64_t value, char out[HEX_SIZE + 1])
{
	snprintf(out, HEX_SIZE + 1, "%016llx", (unsigned long long)value);
}

/* Session ids as the log writes them. */
static int get_hex(struct str text, uint64_t *out)
{
	uint64_t value = 0;
	for (size_t i = 0; i < text.n; i++) {
		char c = ascii_lower(text.p[i]);
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return ERR_SYNTAX;
		value = value << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	if (text.n == 0 || text.n > HEX_SIZE)
		return ERR_SYNTAX;
	*out = value;
	return 0;
}

static void put_optional(struct buf *json, const char *key, struct str value)
{
	if (value.n > 0) {
		json_field_string(json, key, value);
	} else {
		json_key(json, key);
		json_put_null(json);
	}
}

static void print(const struct who *who, struct buf *json)
{
	char session[HEX_SIZE + 1];
	put_hex(who->session, session);
	json_begin_object(json);
	json_field_string(json, "session", str_of(session, HEX_SIZE));
	put_optional(json, "account", who->account);
	json_field_string(json, "protocol", who->protocol);
	json_field_string(json, "address", who->peer);
	put_optional(json, "tls", who->tls);
	put_optional(json, "mailbox", who->mailbox);
	json_field_u64(json, "seconds", who->age_ms / 1000);
	json_field_u64(json, "idle_seconds", who->idle_ms / 1000);
	json_end_object(json);
}

static bool is_meant(const struct who_wish *wish, const struct who *who)
{
	if (str_eq(wish->kind, STR("session")))
		return who->session == wish->session;
	if (str_eq(wish->kind, STR("account")))
		return who->account.n > 0 && str_ieq(who->account, wish->value);
	return str_eq(who->peer, wish->value);
}

static bool is_wanted(const struct who_source *source, void *owner, const struct who_wish *wish, void *connection)
{
	struct who who = { 0 };
	if (!wish->from_start && source->id(connection) <= wish->after)
		return false;
	if (wish->kind.n == 0)
		return true;
	source->describe(owner, connection, &who);
	return is_meant(wish, &who);
}

/* Puts another item in place of the largest, which is the first. */
static void replace_largest(struct item *heap, size_t n, struct item item)
{
	size_t at = 0;
	for (size_t child; (child = 2 * at + 1) < n; at = child) {
		child += child + 1 < n && heap[child + 1].session > heap[child].session;
		if (heap[child].session <= item.session)
			break;
		heap[at] = heap[child];
	}
	heap[at] = item;
}

/* The lowest sessions of those that are wanted, in order, with one look at each connection. */
static void gather(const struct who_source *source, void *owner, const struct who_wish *wish, struct page *page)
{
	page->n = 0;
	page->more = false;
	for (void *c = source->next(owner, NULL); c; c = source->next(owner, c)) {
		if (!is_wanted(source, owner, wish, c))
			continue;
		struct item item = { source->id(c), c };
		if (page->n < PAGE_CONNECTIONS) {
			page->items[page->n++] = item;
			if (page->n == PAGE_CONNECTIONS)
				qsort(page->items, page->n, sizeof item, largest_first); /* a heap */
			continue;
		}
		page->more = true;
		if (item.session < page->items[0].session)
			replace_largest(page->items, page->n, item);
	}
	qsort(page->items, page->n, sizeof page->items[0], smallest_first);
}

/* Where the next request goes on, when this one came only as far as that item. */
static void put_next(const struct page *page, size_t done, struct buf *json)
{
	char last[HEX_SIZE + 1];
	if (done == page->n && !page->more)
		return;
	put_hex(page->items[done - 1].session, last);
	json_field_string(json, "next", str_of(last, HEX_SIZE));
}

static void list(const struct who_source *source, void *owner, const struct who_wish *wish, struct buf *json)
{
	struct page page;
	size_t i;
	gather(source, owner, wish, &page);
	json_begin_object(json);
	json_key(json, "connections");
	json_begin_array(json);
	for (i = 0; i < page.n && json->n < PAGE_BYTES; i++) {
		struct who who = { 0 };
		source->describe(owner, page.items[i].connection, &who);
		print(&who, json);
	}
	json_end_array(json);
	put_next(&page, i, json);
	json_end_object(json);
}

static void kick(const struct who_source *source, void *owner, const struct who_wish *wish, struct buf *json)
{
	struct page page;
	gather(source, owner, wish, &page);
	for (size_t i = 0; i < page.n; i++) {
		struct who who = { 0 };
		source->describe(owner, page.items[i].connection, &who);
		log_info("kicked", LOG_ID(who.session), LOG_S("user", who.account), LOG_S("peer", who.peer));
		source->kick(owner, page.items[i].connection);
	}
	json_begin_object(json);
	json_field_u64(json, "kicked", page.n);
	put_next(&page, page.n, json);
	json_end_object(json);
}

static int read_wish(const struct control_request *request, struct who_wish *out)
{
	bool kicks = request->command == CONTROL_KICK;
	struct who_wish wish = { 0 };
	if (request->n_arguments != (kicks ? 4 : 2))
		return ERR_SYNTAX;
	struct str after = request->arguments[request->n_arguments - 1];
	wish.from_start = after.n == 0;
	if (after.n > 0 && get_hex(after, &wish.after) != 0)
		return ERR_SYNTAX;
	if (kicks) {
		wish.kind = request->arguments[1];
		wish.value = request->arguments[2];
		bool by_session = str_eq(wish.kind, STR("session"));
		if (!by_session && !str_eq(wish.kind, STR("account")) && !str_eq(wish.kind, STR("address")))
			return ERR_SYNTAX;
		if (wish.value.n == 0 || (by_session && get_hex(wish.value, &wish.session) != 0))
			return ERR_SYNTAX;
	}
	*out = wish;
	return 0;
}

bool who_command(struct role_process *process, const struct who_source *source, void *owner, uint64_t number,
                 struct str body)
{
	struct control_request request;
	struct who_wish wish;
	struct control_reply reply = { 0 };
	struct buf json = BUF_INIT(IPC_BODY_MAX), out = BUF_INIT(IPC_BODY_MAX);
	if (control_request_decode(body, &request) != 0 ||
	    (request.command != CONTROL_WHO && request.command != CONTROL_KICK))
		return false;
	reply.result = read_wish(&request, &wish);
	if (reply.result != 0)
		reply.message = STR("a session id, an account or an address must be named");
	else if (request.command == CONTROL_WHO)
		list(source, owner, &wish, &json);
	else
		kick(source, owner, &wish, &json);
	reply.json = buf_str(&json);
	control_reply_encode(&reply, &out);
	role_control_reply(process, number, buf_str(&out));
	buf_free(&json);
	buf_free(&out);
	loop_did(process->loop, STR("who or kick"));
	return true;
}
