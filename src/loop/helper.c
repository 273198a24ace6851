/* helper.c: one thread, two lists under one mutex: jobs to do and jobs done. The thread takes a job, does it, puts
 * it on the done list and wakes the loop by an eventfd; the loop calls done() for all of them. Owned by a role;
 * freeing waits for the running job. A thread that cannot be started ends the process: without it nothing would ever
 * become durable. */
#include "loop/helper.h"

#include "base/mem.h"
#include "loop/loop_private.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct job_list {
	struct loop_job *first, **end;
};

struct loop_helper {
	struct loop_watch *watch; /* of wake */
	int wake;
	pthread_t thread;
	pthread_mutex_t mutex; /* guards what follows */
	pthread_cond_t work_came;
	struct job_list todo, done;
	bool stopping;
};

static void list_init(struct job_list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void list_add(struct job_list *list, struct loop_job *job)
{
	job->next = NULL;
	*list->end = job;
	list->end = &job->next;
}

static struct loop_job *list_take(struct job_list *list)
{
	struct loop_job *job = list->first;
	if (!job)
		return NULL;
	list->first = job->next;
	if (!list->first)
		list->end = &list->first;
	job->next = NULL;
	return job;
}

static void *work(void *argument)
{
	struct loop_helper *helper = argument;
	const uint64_t one = 1;
	pthread_mutex_lock(&helper->mutex);
	while (!helper->stopping) {
		struct loop_job *job = list_take(&helper->todo);
		if (!job) {
			pthread_cond_wait(&helper->work_came, &helper->mutex);
			continue;
		}
		pthread_mutex_unlock(&helper->mutex);
		job->result = job->work(job);
		pthread_mutex_lock(&helper->mutex);
		bool awake = helper->done.first; /* and has not taken them yet */
		list_add(&helper->done, job);
		if (awake)
			continue;
		/* Who is woken wants the mutex: with it held, each of the two would wake the other once more. */
		pthread_mutex_unlock(&helper->mutex);
		(void)!write(helper->wake, &one, sizeof one);
		pthread_mutex_lock(&helper->mutex);
	}
	pthread_mutex_unlock(&helper->mutex);
	return NULL;
}

static void on_wake(void *owner, int events)
{
	struct loop_helper *helper = owner;
	uint64_t ignored;
	(void)events;
	(void)!read(helper->wake, &ignored, sizeof ignored);
	pthread_mutex_lock(&helper->mutex);
	struct loop_job *job = helper->done.first;
	list_init(&helper->done);
	pthread_mutex_unlock(&helper->mutex);
	while (job) {
		struct loop_job *next = job->next;
		job->next = NULL;
		job->done(job, job->result);
		job = next;
	}
}

struct loop_helper *loop_helper_new(struct loop *loop)
{
	struct loop_helper *helper = mem_alloc(1, sizeof *helper);
	list_init(&helper->todo);
	list_init(&helper->done);
	pthread_mutex_init(&helper->mutex, NULL);
	pthread_cond_init(&helper->work_came, NULL);
	sigset_t all, before;
	sigfillset(&all);
	helper->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (helper->wake < 0)
		abort();
	helper->watch = loop_watch_new(loop, helper->wake, on_wake, helper);
	loop_watch_set(helper->watch, LOOP_READ);
	/* Signals are the loop's business. */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&helper->thread, NULL, work, helper) != 0)
		abort();
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return helper;
}

static void drop_all(struct job_list *list)
{
	for (struct loop_job *job; (job = list_take(list));) {
		if (job->dropped)
			job->dropped(job);
	}
}

void loop_helper_free(struct loop_helper **helper)
{
	struct loop_helper *h = *helper;
	if (!h)
		return;
	*helper = NULL;
	pthread_mutex_lock(&h->mutex);
	h->stopping = true;
	pthread_cond_signal(&h->work_came);
	pthread_mutex_unlock(&h->mutex);
	pthread_join(h->thread, NULL);
	drop_all(&h->done);
	drop_all(&h->todo);
	loop_watch_free(&h->watch);
	close(h->wake);
	pthread_cond_destroy(&h->work_came);
	pthread_mutex_destroy(&h->mutex);
	mem_free(h);
}

void loop_helper_submit(struct loop_helper *helper, struct loop_job *job)
{
	pthread_mutex_lock(&helper->mutex);
	list_add(&helper->todo, job);
	pthread_mutex_unlock(&helper->mutex);
	pthread_cond_signal(&helper->work_came); /* not before: see work() */
}
