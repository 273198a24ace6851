/* key_pair.h: the certificate and the key of [tls], read from their files and tried: for the supervisor and for `mansio
 * config check`, which say the same of them. */
#ifndef PROC_KEY_PAIR_H
#define PROC_KEY_PAIR_H

#include "base/buf.h"
#include "base/err.h"
#include "conf/conf.h"

#define KEY_PAIR_PEM_MAX  (256 * 1024) /* bytes of each file */
#define KEY_PAIR_TEXT_MAX (3 * 4096)   /* of a sentence: it may name two files */

struct key_pair {
	struct buf certificate, key;   /* PEM; both empty: none are set */
	int64_t not_before, not_after; /* of the certificate, in seconds since 1970 */
};

/* What is wrong, once for each file that cannot be read, or once for both: a sentence, and the setting it is about. */
typedef void key_pair_problem_fn(void *owner, enum conf_setting setting, struct str sentence);

/* Nothing is left to free after ERR_CONFIG, which is told to `problem`. */
int key_pair_read(const struct conf *conf, key_pair_problem_fn *problem, void *owner, struct key_pair *out) MUST_CHECK;
void key_pair_free(struct key_pair *pair); /* wipes the key */

/* Whether there is something to say of the certificate's dates at `now` (seconds since 1970): it has ended, ends within 7
 * days (or the last third of its time, when that is less), or is not valid yet. A sentence; `file` is its name. */
bool key_pair_warning(const struct key_pair *pair, struct str file, int64_t now, struct buf *sentence);

#endif
