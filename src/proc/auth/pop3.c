/* pop3.c: what POP3 does for a login, and what access says of it before there is one. Reads the directory each time:
 * changes hold from the next login on. */
#include "proc/auth/auth.h"

#include "auth/pop3_settings.h"
#include "ipc/access_auth.h"
#include "proc/auth/control.h"

int pop3_policy_of(struct auth *auth, const struct directory_account *account, uint64_t app_password,
		   struct pop3_choices *choices, struct pop3_policy *policy)
{
	struct pop3_place place = { POP3_APP_PASSWORD, account->address.domain, &account->id, app_password };
	enum pop3_level from[POP3_FROM_COUNT];
	int err = pop3_settings_read(auth->directory, &place, choices);
	if (err) {
		log_error("directory-failed", LOG_ERR(err));
		return err;
	}
	control_pop3_defaults(&auth->process->conf, &choices->at[POP3_SERVER]);
	pop3_choices_resolve(choices, policy, from);
	policy->login = app_password;
	return 0;
}

static void tell(struct auth_peer *access, const struct expire_news *news)
{
	struct buf body = BUF_INIT(64);
	expire_news_encode(news, &body);
	if (buf_error(&body) || ipc_send(access->channel, AUTH_ACCESS_EXPIRE, buf_str(&body), -1) < 0)
		log_warning("news-lost", LOG_C("to", "access"), LOG_U("index", access->index));
	buf_free(&body);
}

void pop3_tell_expire(struct auth *auth, struct auth_peer *access)
{
	struct pop3_choice server;
	struct pop3_expire expire;
	control_pop3_defaults(&auth->process->conf, &server);
	int err = pop3_settings_expire(auth->directory, (enum pop3_mode)server.mode, (uint16_t)server.days, &expire);
	if (err) {
		log_error("directory-failed", LOG_ERR(err));
		return;
	}
	struct expire_news news = { expire.days, expire.differs };
	bool changed = expire.days != auth->expire_days || expire.differs != auth->expire_differs;
	auth->expire_days = expire.days;
	auth->expire_differs = expire.differs;
	if (access)
		tell(access, &news);
	for (size_t i = 0; changed && i < AUTH_PEERS_MAX; i++)
		if (auth->access[i].channel && &auth->access[i] != access)
			tell(&auth->access[i], &news);
}
