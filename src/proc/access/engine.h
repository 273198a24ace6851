/* engine.h: IMAP and POP3 before login as one table of functions, so that the rest of the role does not know which
 * it has. */
#ifndef PROC_ACCESS_ENGINE_H
#define PROC_ACCESS_ENGINE_H

#include "conf/conf.h"
#include "ipc/access_auth.h"
#include "ipc/access_shard.h"
#include "proto/imap/login.h"
#include "proto/pop3/login.h"

/* What the engines ask of their owner: as in proto/login.h. */
struct outq *access_output(void *owner);
void access_start_tls(void *owner);
bool access_has_certificate(void *owner);
void access_authenticate(void *owner, struct str user, struct str password);
void access_start_timer(void *owner, uint64_t milliseconds);
void access_hand_over(void *owner, struct str tag);
void access_close(void *owner);

struct login_engine {
	struct str name;
	struct str refusal; /* instead of a greeting, when there are too many connections */
	enum handover_protocol protocol;
	enum ticket_right right;
	void *(*start)(void *owner, const struct login_settings *settings, const struct login_facts *facts);
	void (*free)(void **login);
	size_t (*input)(void *login, struct str bytes);
	bool (*wants_input)(const void *login);
	void (*answer)(void *login, enum login_verdict verdict);
	void (*timer)(void *login);
	void (*tls_started)(void *login);
	void (*bye)(void *login, struct str text);
};

extern const struct login_engine imap_login_engine, pop3_login_engine;

struct login_settings login_settings_of(const struct conf *conf);

#endif
