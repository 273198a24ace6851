/* metrics.c: the counters of all processes in the text format of Prometheus (version 0.0.4), by one table. A process
 * tells its counters as pairs (counters.c, which lets no key pass that is no plain word or came before); what is not in
 * the table is not told here. */
#include "proc/supervisor/supervisor_private.h"

#include "base/checked.h"
#include "base/clock.h"

/* One counter of a role and the labels that it has there. A key that ends with "_" stands for all that begin with it:
 * their rest is the values of the labels, which are names with a comma between them then. */
struct source {
	enum role role; /* ROLE_SUPERVISOR: every process's */
	const char *key;
	const char *labels;
};

#define SOURCES_MAX 5
#define MICRO       1000000

struct metric {
	const char *name, *type, *help;
	struct source sources[SOURCES_MAX]; /* a NULL key ends them */
	bool microseconds; /* told in seconds */
};

static const struct metric METRICS[] = {
	{ "mansio_connections", "gauge", "Connections that are open, logged in or not.",
	  { { ROLE_ACCESS, "connections" }, { ROLE_SMTP, "connections" } } },
	{ "mansio_connections_before_login", "gauge", "IMAP and POP3 connections that nobody has logged in on yet.",
	  { { ROLE_ACCESS, "connections_before_login" } } },
	{ "mansio_connections_accepted_total", "counter", "Connections that were accepted.",
	  { { ROLE_ACCESS, "accepted_", "service" }, { ROLE_SMTP, "accepted_", "service" } } },
	{ "mansio_connections_refused_total", "counter", "Connections that were one too many.",
	  { { ROLE_ACCESS, "connections_refused" }, { ROLE_SMTP, "connections_refused" } } },
	{ "mansio_logins_total", "counter", "Logins, with the right password.",
	  { { ROLE_ACCESS, "logins_", "protocol" }, { ROLE_SMTP, "logins", "protocol=\"smtp\"" } } },
	{ "mansio_login_failures_total", "counter", "Logins that were denied.",
	  { { ROLE_ACCESS, "login_failures_", "protocol" }, { ROLE_SMTP, "login_failures", "protocol=\"smtp\"" } } },
	{ "mansio_logins_cached_total", "counter", "Logins whose password was remembered.", { { ROLE_AUTH, "logins_cached" } } },
	{ "mansio_logins_delayed_total", "counter", "Logins that had to wait, or to come again, because of others.",
	  { { ROLE_AUTH, "logins_put_off" } } },
	{ "mansio_passwords_waiting", "gauge", "Passwords that wait to be hashed.", { { ROLE_AUTH, "passwords_queued" } } },
	{ "mansio_passwords_compared_total", "counter", "Passwords that were hashed to compare them.",
	  { { ROLE_AUTHWORK, "passwords_right", "result=\"right\"" }, { ROLE_AUTHWORK, "passwords_wrong", "result=\"wrong\"" },
	    { ROLE_AUTHWORK, "passwords_failed", "result=\"failed\"" } } },
	{ "mansio_domains", "gauge", "Domains in the directory.", { { ROLE_AUTH, "domains" } } },
	{ "mansio_accounts", "gauge", "Accounts in the directory.", { { ROLE_AUTH, "accounts" } } },
	{ "mansio_aliases", "gauge", "Aliases in the directory.", { { ROLE_AUTH, "aliases" } } },
	{ "mansio_recipients_resolved_total", "counter", "Recipients that were looked up, or known from before.",
	  { { ROLE_AUTH, "addresses_resolved", "result=\"found\"" }, { ROLE_SMTP, "addresses_known", "result=\"known\"" },
	    { ROLE_AUTH, "addresses_refused", "result=\"refused\"" } } },
	{ "mansio_messages_received_total", "counter", "Messages by SMTP, LMTP and submission, once each.",
	  { { ROLE_SMTP, "messages_delivered", "result=\"delivered\"" }, { ROLE_SMTP, "messages_failed", "result=\"failed\"" } } },
	{ "mansio_messages_received_bytes_total", "counter", "Bytes of the messages that were received.",
	  { { ROLE_SMTP, "bytes_received" } } },
	{ "mansio_message_memory_bytes", "gauge", "Memory that messages on their way in take.", { { ROLE_SMTP, "body_memory" } } },
	{ "mansio_messages_parsed_late_total", "counter", "Messages that were parsed only when complete, for lack of memory.",
	  { { ROLE_SMTP, "bodies_parsed_late" } } },
	{ "mansio_sessions", "gauge", "Sessions after login.",
	  { { ROLE_SHARD, "sessions_imap", "protocol=\"imap\"" }, { ROLE_SHARD, "sessions_pop3", "protocol=\"pop3\"" } } },
	{ "mansio_sessions_idling", "gauge", "IMAP sessions in IDLE.", { { ROLE_SHARD, "sessions_idling" } } },
	{ "mansio_sessions_waiting_for_disk", "gauge", "Sessions whose answers wait for a batch to be on disk.",
	  { { ROLE_SHARD, "sessions_held" } } },
	{ "mansio_commands_total", "counter", "Commands; those of IMAP and POP3 before login are with access, the others with the shards.",
	  { { ROLE_ACCESS, "commands_", "protocol,command" }, { ROLE_SHARD, "commands_", "protocol,command" },
	    { ROLE_SMTP, "commands_", "protocol,command" } } },
	{ "mansio_deliveries_total", "counter", "Copies of messages that came to a shard.",
	  { { ROLE_SHARD, "deliveries", "result=\"stored\"" }, { ROLE_SHARD, "deliveries_refused", "result=\"refused\"" } } },
	{ "mansio_requests_waiting", "gauge", "Deliveries and orders that wait for the commit gate or for their batch.",
	  { { ROLE_SHARD, "waiting" } } },
	{ "mansio_batches_total", "counter", "Batches that were committed.", { { ROLE_SHARD, "batches" } } },
	{ "mansio_batches_void_total", "counter", "Batches that could not be written.", { { ROLE_SHARD, "batches_voided" } } },
	{ "mansio_fsyncs_total", "counter", "Waits for the disk.", { { ROLE_SHARD, "syncs" } } },
	{ "mansio_fsync_seconds_total", "counter", "Time of these waits.", { { ROLE_SHARD, "sync_us" } }, true },
	{ "mansio_checkpoints_total", "counter", "Times that the log was folded back into the database.",
	  { { ROLE_SHARD, "checkpoints" } } },
	{ "mansio_wal_bytes", "gauge", "Write-ahead log since the last checkpoint.", { { ROLE_SHARD, "wal_bytes" } } },
	{ "mansio_store_messages", "gauge", "Messages whose bytes are kept, expunged ones that can come back too.",
	  { { ROLE_SHARD, "messages" } } },
	{ "mansio_store_segments", "gauge", "Files of message bytes.", { { ROLE_SHARD, "segments" } } },
	{ "mansio_store_segments_damaged", "gauge", "Of them, those with damage.", { { ROLE_SHARD, "segments_damaged" } } },
	{ "mansio_store_bytes", "gauge", "Bytes of these files.", { { ROLE_SHARD, "body_bytes" } } },
	{ "mansio_store_dead_bytes", "gauge", "Of them, of messages that are gone.", { { ROLE_SHARD, "body_bytes_dead" } } },
	{ "mansio_store_freed_bytes_total", "counter", "Bytes that compaction gave back.", { { ROLE_SHARD, "body_bytes_freed" } } },
	{ "mansio_disk_free_bytes", "gauge", "Bytes free on the disk of a shard.", { { ROLE_SHARD, "disk_free_bytes" } } },
	{ "mansio_disk_short", "gauge", "1 when that is less than store.reserve_free_space, and nothing is written; else 0.",
	  { { ROLE_SHARD, "short_of_space" } } },
	{ "mansio_accounts_in_memory", "gauge", "Accounts that a shard has open.", { { ROLE_SHARD, "accounts_in_memory" } } },
	{ "mansio_view_memory_bytes", "gauge", "Memory of the entries of mailboxes.", { { ROLE_SHARD, "view_bytes" } } },
	{ "mansio_cold_reads_total", "counter", "Reads of message bytes that were not in memory.", { { ROLE_SHARD, "cold_reads" } } },
	{ "mansio_slow_turns_total", "counter", "Times that a process served nobody else for server.slow_turn or longer.",
	  { { ROLE_SUPERVISOR, "slow_turns" } } },
	{ "mansio_longest_turn_seconds", "gauge", "The longest time that a process served nobody else.",
	  { { ROLE_SUPERVISOR, "longest_turn_us" } }, true },
};

static bool is_prefix(struct str key)
{
	return key.n > 0 && key.p[key.n - 1] == '_';
}

/* `protocol="imap",command="fetch"` of the names and the values "imap_fetch". */
static void put_labels(struct str names, struct str values, struct buf *out)
{
	while (names.n > 0) {
		struct str name = str_cut(&names, ',');
		struct str value = names.n > 0 ? str_cut(&values, '_') : values;
		buf_addf(out, ",%.*s=\"%.*s\"", STR_ARG(name), STR_ARG(value));
	}
}

static void put_value(uint64_t value, bool microseconds, struct buf *out)
{
	if (microseconds)
		buf_addf(out, " %llu.%06llu\n", (unsigned long long)(value / MICRO), (unsigned long long)(value % MICRO));
	else
		buf_addf(out, " %llu\n", (unsigned long long)value);
}

static void put_process(const struct child *child, struct buf *out)
{
	buf_addf(out, "process=\"%.*s.%u\"", STR_ARG(role_name(child->role)), (unsigned)child->index);
}

static void put_sample(const struct metric *metric, const struct source *source, const struct child *child,
                       struct str key, uint64_t value, struct buf *out)
{
	struct str pattern = str_from_c(source->key), labels = str_from_c(source->labels ? source->labels : "");
	buf_addf(out, "%s{", metric->name);
	put_process(child, out);
	if (is_prefix(pattern))
		put_labels(labels, str_from(key, pattern.n), out);
	else if (labels.n > 0)
		buf_addf(out, ",%.*s", STR_ARG(labels));
	buf_add_byte(out, '}');
	put_value(value, metric->microseconds, out);
}

static const struct source *source_of(const struct metric *metric, enum role role, struct str key)
{
	for (size_t i = 0; i < SOURCES_MAX && metric->sources[i].key; i++) {
		const struct source *source = &metric->sources[i];
		struct str pattern = str_from_c(source->key);
		bool same = is_prefix(pattern) ? str_starts(key, pattern) && key.n > pattern.n : str_eq(key, pattern);
		if (same && (source->role == role || source->role == ROLE_SUPERVISOR))
			return source;
	}
	return NULL;
}

static void put_head(const char *name, const char *type, const char *help, struct buf *out)
{
	buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_metric(const struct metric *metric, const struct status_request *request, const struct supervisor *s,
                       struct buf *out)
{
	put_head(metric->name, metric->type, metric->help, out);
	for (size_t i = 0; i < s->n_children; i++) {
		struct wire_reader r = wire_reader(status_counters(request, i));
		struct str key;
		uint64_t value;
		while (counters_next(&r, &key, &value)) {
			const struct source *source = source_of(metric, s->children[i].role, key);
			if (source)
				put_sample(metric, source, &s->children[i], key, value, out);
		}
	}
}

/* What the supervisor knows by itself. */
static void put_processes(const struct status_request *request, const struct supervisor *s, struct buf *out)
{
	uint64_t uptime_ms = loop_now_ms(s->loop) - s->started_ms;
	put_head("mansio_build_info", "gauge", "The version that runs.", out);
	buf_addf(out, "mansio_build_info{version=\"%s\"} 1\n", MANSIO_VERSION);
	put_head("mansio_start_time_seconds", "gauge", "When the server was started, in seconds since 1970.", out);
	buf_addf(out, "mansio_start_time_seconds %lld\n", (long long)(clock_wall_seconds() - (int64_t)(uptime_ms / 1000)));
	put_head("mansio_process_up", "gauge", "Whether a process serves: it is ready, and has answered.", out);
	for (size_t i = 0; i < s->n_children; i++) {
		buf_add(out, STR("mansio_process_up{"));
		put_process(&s->children[i], out);
		buf_addf(out, "} %d\n", s->children[i].ready && status_answered(request, i));
	}
	put_head("mansio_process_restarts_total", "counter", "How often a process had to be started again.", out);
	for (size_t i = 0; i < s->n_children; i++) {
		buf_add(out, STR("mansio_process_restarts_total{"));
		put_process(&s->children[i], out);
		buf_addf(out, "} %u\n", (unsigned)s->children[i].restarts);
	}
}

static void put_certificate(const struct supervisor *s, struct buf *out)
{
	if (s->keys.certificate.n == 0)
		return;
	put_head("mansio_certificate_not_before_seconds", "gauge", "From when on the certificate is valid, in seconds since 1970.",
	         out);
	buf_addf(out, "mansio_certificate_not_before_seconds %lld\n", (long long)s->keys.not_before);
	put_head("mansio_certificate_not_after_seconds", "gauge", "Until when the certificate is valid, in seconds since 1970.",
	         out);
	buf_addf(out, "mansio_certificate_not_after_seconds %lld\n", (long long)s->keys.not_after);
}

void metrics_print(const struct status_request *request, const struct supervisor *s, struct buf *out)
{
	put_processes(request, s, out);
	put_certificate(s, out);
	for (size_t i = 0; i < COUNT_OF(METRICS); i++)
		put_metric(&METRICS[i], request, s, out);
}
