/* who.c: pages of connections by session id, so that a list of many thousands goes through frames of a bounded size,
 * whatever comes and goes between two pages: who stays is in it exactly once. Keeps nothing from one request to the
 * next. */
#include "proc/who.h"

#include "base/json.h"
#include "base/mem.h"
#include "ipc/channel.h"
#include "ipc/control.h"
#include "loop/turns.h"

#define PAGE_CONNECTIONS 512
#define PAGE_BYTES       (IPC_BODY_MAX / 2) /* the last one may pass it by what one takes */
#define HEX_SIZE         16

struct item {
	uint64_t session;
	void *connection;
};

static int by_session(const void *a, const void *b)
{
	uint64_t x = ((const struct item *)a)->session, y = ((const struct item *)b)->session;
	return (x > y) - (x < y);
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

/* All whose session is above `after`, in order; the caller frees. */
static struct item *gather(const struct who_source *source, void *owner, bool from_start, uint64_t after, size_t *n)
{
	size_t size = 0;
	struct item *items;
	*n = 0;
	for (void *c = source->next(owner, NULL); c; c = source->next(owner, c))
		size++;
	items = mem_alloc(size + 1, sizeof *items);
	for (void *c = source->next(owner, NULL); c; c = source->next(owner, c)) {
		struct who who = { 0 };
		source->describe(owner, c, &who);
		if (from_start || who.session > after)
			items[(*n)++] = (struct item){ who.session, c };
	}
	qsort(items, *n, sizeof *items, by_session);
	return items;
}

static void page(const struct who_source *source, void *owner, struct str after, struct control_reply *reply,
                 struct buf *json)
{
	uint64_t session = 0;
	size_t n, i;
	if (after.n > 0 && get_hex(after, &session) != 0) {
		reply->result = ERR_SYNTAX;
		reply->message = STR("that is no session id");
		return;
	}
	struct item *items = gather(source, owner, after.n == 0, session, &n);
	json_begin_object(json);
	json_key(json, "connections");
	json_begin_array(json);
	for (i = 0; i < n && i < PAGE_CONNECTIONS && json->n < PAGE_BYTES; i++) {
		struct who who = { 0 };
		source->describe(owner, items[i].connection, &who);
		print(&who, json);
	}
	json_end_array(json);
	if (i < n) {
		char last[HEX_SIZE + 1];
		put_hex(items[i - 1].session, last);
		json_field_string(json, "next", str_of(last, HEX_SIZE));
	}
	json_end_object(json);
	mem_free(items);
}

static bool is_meant(const struct who *who, struct str kind, struct str value, uint64_t session)
{
	if (str_eq(kind, STR("session")))
		return who->session == session;
	if (str_eq(kind, STR("account")))
		return who->account.n > 0 && str_ieq(who->account, value);
	return str_eq(who->peer, value);
}

static void kick(const struct who_source *source, void *owner, struct str kind, struct str value,
                 struct control_reply *reply, struct buf *json)
{
	uint64_t session = 0, kicked = 0;
	bool by_id = str_eq(kind, STR("session"));
	bool good = by_id ? get_hex(value, &session) == 0 : str_eq(kind, STR("account")) || str_eq(kind, STR("address"));
	if (!good || value.n == 0) {
		reply->result = ERR_SYNTAX;
		reply->message = STR("a session id, an account or an address must be named");
		return;
	}
	for (void *c = source->next(owner, NULL), *following; c; c = following) {
		struct who who = { 0 };
		following = source->next(owner, c);
		source->describe(owner, c, &who);
		if (!is_meant(&who, kind, value, session))
			continue;
		log_info("kicked", LOG_ID(who.session), LOG_S("user", who.account), LOG_S("peer", who.peer));
		source->kick(owner, c);
		kicked++;
	}
	json_begin_object(json);
	json_field_u64(json, "kicked", kicked);
	json_end_object(json);
}

bool who_command(struct role_process *process, const struct who_source *source, void *owner, uint64_t number,
                 struct str body)
{
	struct control_request request;
	struct control_reply reply = { 0 };
	struct buf json = BUF_INIT(IPC_BODY_MAX), out = BUF_INIT(IPC_BODY_MAX);
	if (control_request_decode(body, &request) != 0 ||
	    (request.command != CONTROL_WHO && request.command != CONTROL_KICK))
		return false;
	if (request.n_arguments != (request.command == CONTROL_WHO ? 2 : 3)) {
		reply.result = ERR_SYNTAX;
		reply.message = STR("wrong number of arguments");
	} else if (request.command == CONTROL_WHO) {
		page(source, owner, request.arguments[1], &reply, &json);
	} else {
		kick(source, owner, request.arguments[1], request.arguments[2], &reply, &json);
	}
	reply.json = buf_str(&json);
	control_reply_encode(&reply, &out);
	role_control_reply(process, number, buf_str(&out));
	buf_free(&json);
	buf_free(&out);
	loop_did(process->loop, STR("who or kick"));
	return true;
}
