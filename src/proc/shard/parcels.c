/* parcels.c: parcels (store/parcel.h) from this shard and to it, over a stream socket that the supervisor or auth hands
 * us: for the command line (backup, import, ...), or the move of an account between two shards. Nothing blocks: a
 * parcel is made and read in slices of a few milliseconds, as fast as the other end takes or brings it.
 *
 * Out: made when the queue of output runs low. In: waits for the gate; what was written is acknowledged (ACK) when it
 * is durable, and so is the end (RESULT). The other end closing ends the transfer. Errors are said in a RESULT, in
 * both directions, as the last frame. Owned by the shard; each ends with its stream. */
#include "proc/shard/shard.h"

#include "base/checked.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/control.h"
#include "loop/turns.h"
#include "proc/store_folder.h"
#include "store/readable.h"

#include <unistd.h>

#define TRANSFERS_MAX   8
#define OUTPUT_LOW      (512 * 1024)
#define OUTPUT_MAX      (4 * 1024 * 1024)
#define INPUT_MAX       (2 * (PARCEL_HEAD_SIZE + PARCEL_FRAME_MAX))
#define ANSWERS_MAX     65536
#define SILENCE_MAX_MS  (10 * 60 * 1000) /* people may look at a paused import for a while */
#define PROBLEM_MAX     300
#define ACCOUNT_GONE    "the account was moved or removed meanwhile; run the same command again"
#define SERVER_DAMAGE   "what is brought cannot be put there"
#define BATCH_DAMAGE    "something that was written together with what is brought cannot be put there; try again"

struct transfer {
	struct shard *shard;
	struct transfer *next, **link;
	struct account_id account;
	struct stream *stream;
	struct parcel_writer *writer; /* out */
	struct parcel_reader *reader; /* in */
	struct loop_later later;
	uint64_t begin_batch;    /* out: not before this is durable */
	struct parcel_counts told;  /* in: that the other end has heard of */
	struct parcel_counts made;  /* in: what will be durable with `batch` */
	uint64_t batch;             /* 0: nothing waits */
	bool applied;               /* in: the end has come */
	bool wants_gate;
	bool reading;            /* in: the reader is at work */
	int voided;              /* what it wrote meanwhile is gone, for this */
	bool over;               /* everything is said: waits for the other end to close */
	int result;              /* as it is told to whoever began it */
	char problem[PROBLEM_MAX];
	parcel_done_fn *done;    /* NULL: nobody, or was told */
	void *owner;
};

/* --- the end --- */

static void tell_owner(struct transfer *t, int result)
{
	parcel_done_fn *done = t->done;
	struct parcel_counts counts = t->told;
	t->done = NULL;
	if (done)
		done(t->owner, result, counts.messages, str_of(t->problem, strlen(t->problem)));
}

static void transfer_free(struct transfer *t)
{
	struct shard *shard = t->shard;
	if (t->next)
		t->next->link = t->link;
	*t->link = t->next;
	shard->n_transfers--;
	tell_owner(t, t->over ? t->result : ERR_CLOSED);
	loop_later_cancel(shard->process->loop, &t->later);
	stream_free(&t->stream);
	parcel_writer_free(&t->writer);
	parcel_reader_free(&t->reader);
	loop_timer_start(shard->idle_work, IDLE_WORK_PACE_MS); /* what was given up is removed */
	shard_turn(shard);
	mem_free(t);
}

static void answer(struct transfer *t, const struct parcel_answer *m)
{
	struct buf out = BUF_INIT(ANSWERS_MAX);
	parcel_put_answer(&out, m);
	outq_add(stream_output(t->stream), buf_str(&out));
	buf_free(&out);
}

/* For people, in `room`. */
static struct str damaged_index(const struct shard *shard, const char *what, char room[PROBLEM_MAX])
{
	int n = snprintf(room, PROBLEM_MAX, STORE_FOLDER_SHARDS "/%02u/index.db is damaged: %s. 'mansio store check' says where; stop the "
	                 "server, and 'mansio store salvage %u' recovers its mail", shard->process->setup.index, what,
	                 shard->process->setup.index);
	return str_of(room, (size_t)n);
}

/* The last word. */
static void finish(struct transfer *t, int result, struct str problem)
{
	if (t->over)
		return;
	t->over = true;
	t->result = result;
	snprintf(t->problem, sizeof t->problem, "%.*s", STR_ARG(str_first(problem, PROBLEM_MAX - 1)));
	if (result < 0)
		log_warning("parcel-failed", LOG_C("direction", t->reader ? "in" : "out"), LOG_C("problem", t->problem),
		            LOG_ERR(result));
	if (t->reader || result < 0)
		answer(t, &(struct parcel_answer){ .type = PARCEL_RESULT, .messages = t->told.messages,
		                                   .entries = t->told.entries, .refused = t->told.refused,
		                                   .passed = t->told.passed, .keywords = t->told.keywords,
		                                   .next = t->told.next, .result = result, .text = problem });
	bool sends = t->writer && result == 0;
	parcel_reader_free(&t->reader);
	parcel_writer_free(&t->writer);
	tell_owner(t, result);
	stream_flush(t->stream);
	if (sends)
		stream_end_output(t->stream); /* the other end may take its time with what is queued */
	else
		stream_finish(t->stream, LINGER_MS);
}

/* --- in --- */

static void tell_durable(struct transfer *t)
{
	t->batch = 0;
	t->told = t->made;
	if (t->applied) {
		finish(t, 0, STR(""));
	} else if (outq_empty(stream_output(t->stream))) {
		answer(t, &(struct parcel_answer){ .type = PARCEL_ACK, .messages = t->told.messages, .entries = t->told.entries,
		                                   .refused = t->told.refused, .passed = t->told.passed,
		                                   .keywords = t->told.keywords, .next = t->told.next });
		stream_flush(t->stream);
	}
}

/* The reader's: nothing of that message will be there, whatever becomes of the rest. */
static void tell_refused(void *owner, uint64_t number)
{
	struct transfer *t = owner;
	answer(t, &(struct parcel_answer){ .type = PARCEL_REFUSED, .number = number });
	stream_flush(t->stream);
}

/* Remembers what was done until now, to be told when it is durable; one such promise at a time. */
static void promise(struct transfer *t, bool applied)
{
	if (t->batch && !applied)
		return;
	t->applied = applied;
	t->made = parcel_reader_counts(t->reader);
	t->batch = MIN(parcel_reader_batch(t->reader), store_last_batch(t->shard->store));
	if (t->batch <= store_durable(t->shard->store))
		tell_durable(t);
}

/* In place of the next frame, whoever sends the parcel says why there is none. */
static size_t take_failure(struct transfer *t, struct str bytes)
{
	struct parcel_answer said;
	char copy[PROBLEM_MAX];
	size_t used;
	int result = parcel_answer_next(bytes, &said, &used);
	if (result == ERR_INCOMPLETE)
		return 0;
	bool good = result == 0 && said.result < 0;
	snprintf(copy, sizeof copy, "%.*s", STR_ARG(good ? str_first(said.text, PROBLEM_MAX - 1) : STR("not a parcel")));
	finish(t, good ? said.result : ERR_CORRUPT, str_from_c(copy));
	return bytes.n;
}

/* Whose write it was that failed is not known: it may have been another one's. */
static void tell_voided(struct transfer *t, int err)
{
	char room[PROBLEM_MAX];
	struct str problem = err == ERR_NO_SPACE  ? STR("the disk is full")
	                     : err == ERR_CORRUPT ? damaged_index(t->shard, BATCH_DAMAGE, room)
	                                          : STR("the server could not write it; try again");
	finish(t, err == ERR_NO_SPACE ? err : ERR_UNAVAILABLE, problem);
}

/* The reader failed, with or without a batch, or (0) a batch alone. */
static void fail_in(struct transfer *t, int result)
{
	char room[PROBLEM_MAX];
	if (result == 0) {
		tell_voided(t, t->voided);
	} else if (parcel_reader_met_damage(t->reader)) {
		finish(t, result, damaged_index(t->shard, SERVER_DAMAGE, room));
	} else {
		snprintf(room, sizeof room, "%.*s", STR_ARG(str_first(parcel_reader_problem(t->reader), PROBLEM_MAX - 1)));
		finish(t, result, str_from_c(room));
	}
}

static size_t on_input(void *owner, struct str bytes)
{
	struct transfer *t = owner;
	size_t used;
	bool done;
	if (!t->reader || t->applied)
		return bytes.n; /* the receiver's answers: it closes when it has said them */
	if (!store_writable(t->shard->store)) {
		t->wants_gate = true;
		stream_pause(t->stream, true); /* so that its end is not told before all was read */
		return 0;
	}
	shard_turn(t->shard);
	if (bytes.n > 0 && (unsigned char)bytes.p[0] == PARCEL_RESULT)
		return take_failure(t, bytes);
	t->reading = true;
	int result = parcel_reader_input(t->reader, bytes, &used, &done);
	t->reading = false;
	loop_did(t->shard->process->loop, STR("parcel comes in"));
	if (result < 0 || t->voided < 0) {
		fail_in(t, result);
		return bytes.n;
	}
	if (used > 0 || done)
		promise(t, done);
	if (used > 0 && used < bytes.n && !t->over)
		stream_offer_again(t->stream);
	return used;
}

/* --- out --- */

static void fail_out(struct transfer *t, int result)
{
	char text[PROBLEM_MAX];
	bool account_is_gone = result == ERR_NOT_FOUND;
	struct str problem = parcel_writer_problem(t->writer);
	if (result == ERR_NOT_FOUND && !t->done)
		result = ERR_UNAVAILABLE; /* the command line asked for an account that is, or was a moment ago */
	if (account_is_gone)
		problem = STR(ACCOUNT_GONE);
	else if (result != ERR_CORRUPT || problem.n == 0)
		problem = str_from_c(err_text(result));
	snprintf(text, sizeof text, "%.*s", STR_ARG(problem));
	finish(t, result, str_from_c(text));
}

static void pump(void *owner)
{
	struct transfer *t = owner;
	struct outq *out = stream_output(t->stream);
	uint64_t durable = store_durable(t->shard->store);
	bool done = false;
	if (!t->writer || t->over || t->begin_batch > durable || out->total > OUTPUT_LOW)
		return; /* goes on when it is durable, or the output has left */
	int result = parcel_writer_step(t->writer, &done);
	loop_did(t->shard->process->loop, STR("parcel goes out"));
	shard_turn(t->shard);
	if (result < 0) {
		fail_out(t, result);
		return;
	}
	struct parcel_maker *maker = parcel_writer_maker(t->writer);
	if (maker->out.n > 0 && parcel_writer_batch(t->writer) > durable) {
		t->begin_batch = MIN(parcel_writer_batch(t->writer), store_last_batch(t->shard->store));
		loop_later(t->shard->process->loop, &t->later);
		return; /* it rests on what is not durable yet */
	}
	outq_add(out, buf_str(&maker->out));
	buf_consume(&maker->out, maker->out.n);
	stream_flush(t->stream);
	if (done)
		finish(t, 0, STR(""));
	else
		loop_later(t->shard->process->loop, &t->later);
}

static void on_drained(void *owner)
{
	struct transfer *t = owner;
	if (t->writer)
		loop_later(t->shard->process->loop, &t->later);
}

/* --- life --- */

/* The other end says no more. Who has sent all of a parcel waits for our word. */
static void on_ended(void *owner)
{
	struct transfer *t = owner;
	if (t->reader && !t->applied)
		finish(t, ERR_CLOSED, STR("the stream was cut off before its end"));
	else if (!t->reader)
		transfer_free(t);
}

static void on_closed(void *owner, int err)
{
	struct transfer *t = owner;
	(void)err;
	transfer_free(t);
}

static const struct stream_events events = { .input = on_input, .drained = on_drained, .closed = on_closed,
	                                     .ended = on_ended };

/* Takes the descriptor. */
static struct transfer *transfer_new(struct shard *shard, const struct account_id *account, int fd)
{
	struct stream_limits limits = { .input_max = INPUT_MAX, .output_max = OUTPUT_MAX };
	struct transfer *t = mem_alloc(1, sizeof *t);
	*t = (struct transfer){ .shard = shard, .account = *account };
	t->later = (struct loop_later){ .fn = pump, .owner = t };
	t->next = shard->transfers;
	t->link = &shard->transfers;
	if (t->next)
		t->next->link = &t->next;
	shard->transfers = t;
	shard->n_transfers++;
	t->stream = stream_new(shard->process->loop, fd, limits, &events, t);
	stream_set_timeout(t->stream, SILENCE_MAX_MS);
	return t;
}

static int check(const struct shard *shard, int fd)
{
	if (fd < 0 || shard->stopping || shard->n_transfers == TRANSFERS_MAX)
		return ERR_UNAVAILABLE;
	return stream_takes(fd) ? 0 : ERR_SYNTAX;
}

int parcel_send(struct shard *shard, const struct account_id *id, bool leaving, const struct parcel_filter *filter, int fd,
                parcel_done_fn *done, void *owner)
{
	struct account *account;
	int result = check(shard, fd);
	if (result == 0)
		result = leaving         ? account_open_leaving(shard->store, id, &account)
		         : filter->whole ? account_open(shard->store, id, &account)
		                         : account_open_readable(shard->store, id, &account);
	if (result < 0)
		return result;
	struct transfer *t = transfer_new(shard, id, fd);
	t->done = done;
	t->owner = owner;
	t->writer = parcel_writer_new(account, filter);
	t->begin_batch = leaving ? store_last_batch(shard->store) : 0;
	account_close(&account);
	loop_later(shard->process->loop, &t->later);
	return 0;
}

/* What the arguments of `parcel write` say. */
struct reception {
	enum parcel_mode mode;
	struct account_id source; /* parcel_reader_settings */
	bool made_anew;
};

static int receive(struct shard *shard, const struct account_id *id, const struct reception *how, int fd,
                   parcel_done_fn *done, void *owner)
{
	int result = check(shard, fd);
	if (result < 0)
		return result;
	struct parcel_reader_settings settings = { .mail = shard->mail, .max_mailboxes = shard->imap.max_mailboxes,
		                                       .spool_directory = buf_str(&shard->directory), .mode = how->mode,
		                                       .account = *id, .source = how->source,
		                                       .made_anew = how->made_anew };
	struct transfer *t = transfer_new(shard, id, fd);
	settings.refused = tell_refused;
	settings.owner = t;
	t->done = done;
	t->owner = owner;
	t->reader = parcel_reader_new(shard->store, &settings);
	return 0;
}

int parcel_receive(struct shard *shard, const struct account_id *id, enum parcel_mode mode, int fd, parcel_done_fn *done,
                   void *owner)
{
	return receive(shard, id, &(struct reception){ .mode = mode }, fd, done, owner);
}

struct parcel_counts parcel_progress(const struct shard *shard, const struct account_id *id)
{
	for (const struct transfer *t = shard->transfers; t; t = t->next)
		if (t->reader && memcmp(&t->account, id, sizeof *id) == 0)
			return parcel_reader_counts(t->reader);
	return (struct parcel_counts){ 0 };
}

void parcels_cancel(struct shard *shard, const struct account_id *id)
{
	for (struct transfer *t = shard->transfers, *next; t; t = next) {
		next = t->next;
		if (memcmp(&t->account, id, sizeof *id) == 0 && !t->over)
			finish(t, ERR_UNAVAILABLE, t->writer && !t->done ? STR(ACCOUNT_GONE) : STR("it was called off"));
	}
}

void parcels_writable(struct shard *shard)
{
	for (struct transfer *t = shard->transfers; t; t = t->next)
		if (t->wants_gate) {
			t->wants_gate = false;
			stream_pause(t->stream, false);
		}
}

void parcels_durable(struct shard *shard, uint64_t batch)
{
	for (struct transfer *t = shard->transfers, *next; t; t = next) {
		next = t->next;
		if (t->writer && t->begin_batch)
			loop_later(shard->process->loop, &t->later);
		if (t->reader && t->batch && t->batch <= batch)
			tell_durable(t);
	}
}

/* What came in with that batch is gone; who reads from an account that is gone finds out itself. A reader that is at work may
 * have brought this about: it needs what it holds until it has returned. */
void parcels_voided(struct shard *shard, uint64_t batch, int err)
{
	for (struct transfer *t = shard->transfers, *next; t; t = next) {
		next = t->next;
		bool wrote = t->reader && parcel_reader_batch(t->reader) >= batch;
		if (t->reading)
			t->voided = err;
		else if ((wrote || (t->writer && t->begin_batch >= batch)) && !t->over)
			tell_voided(t, err);
	}
}

void parcels_free(struct shard *shard)
{
	while (shard->transfers)
		transfer_free(shard->transfers);
}

/* --- commands of the command line --- */

static int read_filter(const struct control_request *request, struct str *names, struct parcel_filter *out)
{
	*out = (struct parcel_filter){ .mailboxes = names };
	for (uint32_t i = 1; i < request->n_arguments; i++) {
		struct str value = request->arguments[i];
		struct str name = str_cut(&value, '=');
		if (str_eq(name, STR("mailbox")))
			names[out->n_mailboxes++] = value;
		else if (!str_eq(name, STR("after")) || str_to_u64(value, PARCEL_NUMBER_MAX, &out->after) < 0)
			return ERR_SYNTAX;
	}
	return 0;
}

/* exact, back, or add; behind add there may be the number of what is imported, and made-anew. */
static int read_mode(const struct control_request *request, struct reception *out)
{
	struct str text = request->n_arguments >= 2 ? request->arguments[1] : STR("");
	uint32_t n = request->n_arguments;
	*out = (struct reception){ .mode = str_eq(text, STR("exact"))  ? PARCEL_EXACT
		                               : str_eq(text, STR("back")) ? PARCEL_BACK
		                                                           : PARCEL_ADD };
	if (out->mode != PARCEL_ADD)
		return n == 2 ? 0 : ERR_SYNTAX;
	if (!str_eq(text, STR("add")) || n > 4 || (n > 2 && request->arguments[2].n != sizeof out->source.bytes) ||
	    (n > 3 && !str_eq(request->arguments[3], STR("made-anew"))))
		return ERR_SYNTAX;
	if (n > 2)
		memcpy(out->source.bytes, request->arguments[2].p, sizeof out->source.bytes);
	out->made_anew = n > 3;
	return 0;
}

static int begin_transfer(struct shard *shard, struct str body, int fd)
{
	struct str names[CONTROL_ARGUMENTS_MAX];
	struct control_request request;
	struct parcel_filter filter;
	struct account_id id;
	struct reception how;
	if (control_request_decode(body, &request) < 0 || request.n_arguments == 0 ||
	    request.arguments[0].n != sizeof id.bytes)
		return ERR_SYNTAX;
	memcpy(id.bytes, request.arguments[0].p, sizeof id.bytes);
	if (request.command == CONTROL_PARCEL_WRITE) {
		int result = read_mode(&request, &how);
		return result < 0 ? result : receive(shard, &id, &how, fd, NULL, NULL);
	}
	int result = read_filter(&request, names, &filter);
	return result < 0 ? result : parcel_send(shard, &id, false, &filter, fd, NULL, NULL);
}

void parcel_command(struct role_process *process, uint64_t number, struct str body, int fd)
{
	struct shard *shard = process->state;
	struct buf out = BUF_INIT(IPC_BODY_MAX);
	char problem[PROBLEM_MAX];
	int result = begin_transfer(shard, body, fd);
	struct str message = result == ERR_CORRUPT ? damaged_index(shard, "the account's mailboxes cannot be read", problem) :
	                     result == ERR_NOT_FOUND ? STR("the account is being made, moved or removed; try again") :
	                     result == ERR_SYNTAX ? STR("malformed arguments") :
	                     result == ERR_UNAVAILABLE ? STR("too many transfers are under way; try again later") :
	                     result == 0 ? STR("") : str_from_c(err_text(result));
	if (result < 0 && fd >= 0)
		close(fd);
	if (result == ERR_NOT_FOUND)
		result = ERR_UNAVAILABLE; /* auth knows it */
	control_reply_encode(&(struct control_reply){ result, message, STR("{}") }, &out);
	role_control_reply(process, number, buf_str(&out));
	buf_free(&out);
}
