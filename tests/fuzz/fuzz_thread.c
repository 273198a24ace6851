/* fuzz_thread.c: THREAD's tree from whatever stands in the headers of messages. Each line of the input is a message:
 * Message-ID, References, In-Reply-To and Subject, with tabs between them; its date is its first byte. The tree must name
 * each message once, whichever way it was made, with brackets that close; and a base subject must not be longer than its
 * subject, and have no other base. */
#include "proto/imap/thread.h"

#include "base/checked.h"
#include "base/mem.h"
#include "syntax/subject.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGES_MAX 200
#define TEXT_MAX     (1u << 20)

struct messages {
	uint32_t n;
	unsigned char dates[MESSAGES_MAX];
	struct buf subjects[MESSAGES_MAX];
	bool replies[MESSAGES_MAX];
	uint32_t order[MESSAGES_MAX], names[MESSAGES_MAX];
};

static void check(bool holds)
{
	if (!holds)
		abort();
}

static struct str subject_of(const void *owner, uint32_t message)
{
	return buf_str(&((const struct messages *)owner)->subjects[message]);
}

static bool is_reply(const void *owner, uint32_t message)
{
	return ((const struct messages *)owner)->replies[message];
}

static void add_subject(struct messages *m, struct str text)
{
	struct buf *base = &m->subjects[m->n], again = BUF_INIT(TEXT_MAX);
	bool ignored;
	*base = BUF_INIT(TEXT_MAX);
	subject_base(text, base, &m->replies[m->n]);
	check(buf_error(base) == 0 && base->n <= text.n);
	subject_base(buf_str(base), &again, &ignored);
	check(ignored || str_eq(buf_str(&again), buf_str(base)) || again.n < base->n);
	buf_free(&again);
}

static void sort_by_date(struct messages *m)
{
	for (uint32_t i = 0; i < m->n; i++) {
		uint32_t at = i;
		for (; at > 0 && m->dates[m->order[at - 1]] > m->dates[i]; at--)
			m->order[at] = m->order[at - 1];
		m->order[at] = i;
		m->names[i] = i + 1;
	}
}

static void check_tree(const struct messages *m, struct thread_ids *ids)
{
	const struct thread_facts facts = { m->order, m->n, subject_of, is_reply, m, 7 };
	struct thread_work *work = thread_work_new(&facts, ids);
	struct buf text = BUF_INIT(TEXT_MAX);
	bool seen[MESSAGES_MAX + 1] = { false };
	uint64_t number = 0, named = 0, depth = 0;
	while (!thread_work_step(work))
		;
	struct thread_walk walk = { .at = thread_work_tree(work)->first_root };
	while (walk.at != THREAD_NONE)
		thread_print(thread_work_tree(work), m->names, &walk, 3, &text);
	check(buf_error(&text) == 0);
	for (size_t i = 0; i < text.n; i++) {
		if (ascii_is_digit(text.p[i])) {
			number = number * 10 + (uint64_t)(text.p[i] - '0');
			continue;
		}
		check(number <= m->n && !seen[number]);
		seen[number] = number > 0;
		named += number > 0;
		number = 0;
		check(depth > 0 || text.p[i] == '(');
		depth += text.p[i] == '(';
		depth -= text.p[i] == ')';
	}
	check(named == m->n && depth == 0);
	buf_free(&text);
	thread_work_free(&work);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_of((const char *)data, MIN(size, (size_t)65536));
	struct messages *m = mem_alloc(1, sizeof *m);
	struct thread_ids *ids = thread_ids_new(7, MESSAGES_MAX);
	while (rest.n && m->n < MESSAGES_MAX) {
		struct str line = str_cut(&rest, '\n');
		m->dates[m->n] = line.n ? (unsigned char)line.p[0] : 0;
		struct str id = str_cut(&line, '\t'), references = str_cut(&line, '\t'), in_reply_to = str_cut(&line, '\t');
		check(thread_ids_add(ids, id, references, in_reply_to) == 0);
		add_subject(m, line);
		m->n++;
	}
	sort_by_date(m);
	check_tree(m, ids);
	check_tree(m, NULL);
	for (uint32_t i = 0; i < m->n; i++)
		buf_free(&m->subjects[i]);
	thread_ids_free(&ids);
	mem_free(m);
	return 0;
}
