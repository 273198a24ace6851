/* body.h: the body of one message while it comes in: gathered in memory, or, when it is large or memory is short,
 * in an unnamed file; hashed for the delivery keys; and read by the MIME parser, so that a message that kills the
 * parser costs an smtp worker and not a shard. All bodies of the process share one store with a budget of memory, the
 * parsers' included.
 *
 * Over the budget a body goes to a file, and its parser is given up; when the body is complete it is read once more, by
 * a parser of that moment alone. So no message reaches a shard unread, nobody is refused for what others hold, and all
 * that a lack of memory costs is time. */
#ifndef PROC_SMTP_BODY_H
#define PROC_SMTP_BODY_H

#include "ipc/smtp_shard.h"
#include "syntax/mime.h"

/* Memory of all bodies of a process; beyond it bodies go to files whatever their size, and each holds no more than
 * BODY_FILE_BUFFER_MIN and its hash. */
#define BODY_MEMORY_MAX (UINT64_C(64) * 1024 * 1024)

#define BODY_FILE_BUFFER_MIN 4096

#define BODY_SECRET_SIZE 192

/* Files kept for the next large bodies, and the bytes of one at most: the page cache that they hold. */
#define BODY_FILES_MAX      8
#define BODY_FILE_SIZE_MAX  (UINT64_C(4) * 1024 * 1024)

struct body;

struct body_store {
	unsigned char secret[BODY_SECRET_SIZE];
	int spool;              /* folder for unnamed files; -1: none, large bodies are ERR_NO_SPACE. Borrowed */
	uint64_t in_memory_max; /* bytes of one body */
	uint64_t free_space_min; /* left on the spool's disk */
	uint64_t budget;        /* of memory, for all */
	struct mime_limits mime;
	uint64_t held;          /* memory of all bodies now */
	uint64_t n_parsed_late;  /* bodies, for lack of memory */
	struct body *idle;      /* kept for reuse: parser and hash state are dear to make; not in held */
	uint32_t n_idle;
	int files[BODY_FILES_MAX]; /* kept for reuse: writing over pages that are there costs a fifth of making new ones */
	uint32_t n_files;
};

/* Derives the secret from the store's. All else is set by the caller before the first body. */
void body_store_secret(struct body_store *store, const unsigned char *store_secret, size_t n);
void body_store_free(struct body_store *store);

/* A new body, of `expected` bytes (0: unknown). ERR_NO_SPACE, ERR_IO. */
int body_new(struct body_store *store, uint64_t expected, struct body **out) MUST_CHECK;
/* After an error the body can only be freed. ERR_NO_SPACE, ERR_IO. */
int body_add(struct body *body, struct str bytes) MUST_CHECK;
/* No more bytes. ERR_NO_SPACE, ERR_IO. */
int body_finish(struct body *body) MUST_CHECK;
void body_free(struct body **body);

/* After body_finish. A body is in memory, or in the first body_length bytes of the file (-1: in memory). */
uint64_t body_length(const struct body *body);
struct str body_bytes(const struct body *body);
int body_file(const struct body *body);

/* Takes the file, or -1, out of the body: who shares it with others gives it back when they have answered, and closes
 * it when they have not: the next body writes over it. */
int body_take_file(struct body *body);
void body_give_file(struct body_store *store, int fd, uint64_t length);

/* Names the delivery of this body from that sender to that account: the same for a retry, another for all else.
 *
 * A keyed hash (XXH3, 128 bits, under a secret made from the store's): a key that is left over suppresses the next
 * delivery with the same key, so nobody may be able to compute two messages with one key. The secret never leaves
 * the host and the keys are never shown. */
struct delivery_key body_delivery_key(const struct body *body, struct str sender, const struct account_id *account);

#endif
